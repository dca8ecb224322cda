"""An inspection in words, once for terminal, notebook, Markdown and page."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rmttheory.arrays import Unavailable
from rmttheory.matrices import EdgeStatus
from rmttheory.studies.style import number
from rmttheory.theorem.hypotheses import Reading
from rmttheory.theorem.trained.single import LEVEL

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rmttheory.studies.inspected import Inspection, LayerInspection

HEADINGS = (
    ("layer", "kind, n x m, c = m/n"),
    ("edge", "g"),
    ("spikes", "energy"),
    ("bulk p", "spread"),
    ("tail", "p; noise"),
    ("stable rank", "entropy rank"),
    ("hypotheses", "unknown"),
    ("keep", "saves"),
)
READING = (
    "Spikes: singular values above the edge, of which noise alone shows one with probability 0.1; energy: "
    "their share of the squared Frobenius norm. Bulk p: probability that noise fits as badly. Spread: how "
    "localised singular vectors of the bulk are, outputs and inputs, 1 like noise. Tail: exponent of the "
    "best power law of squared values with its p-value, and the exponent that noise of this shape has. "
    "Hypotheses: how many of those that one matrix can refute fail, random ones at level "
    f"{LEVEL:g} each, and how many it cannot know. Keep: the rank that this matrix alone speaks for; in "
    "brackets what cutting at the edge would save where the bulk is not noise."
)

_NAME = 36
"""Characters of a name in one line of a terminal."""

Order = Callable[["LayerInspection"], Any] | None
ORDERS: dict[str, Order] = {
    "file": None,
    "name": lambda layer: layer.name,
    "size": lambda layer: -layer.parameters,
    "spikes": lambda layer: -layer.edge.spikes,
    "energy": lambda layer: -layer.energy,
    "fit": lambda layer: -layer.edge.p_value,
    "tail": lambda layer: layer.tail.exponent,
    "spread": lambda layer: -max(layer.spread.left, layer.spread.right),
    "rank": lambda layer: layer.entropy_rank / min(layer.shape),
    "saved": lambda layer: (-layer.saved, -layer.cut_saves),
}


@dataclass(frozen=True)
class Row:
    """A layer in words: a pair for each of `HEADINGS`, the second less important."""

    cells: tuple[tuple[str, str], ...]


def layer_row(layer: LayerInspection) -> Row:
    """Return the row of a layer."""
    fit, tail, (n, m) = layer.edge, layer.tail, layer.shape
    counts = [len(layer.read(reading)) for reading in (Reading.FAILS, Reading.NOT_REFUTED, Reading.UNKNOWN)]
    cut = layer.recommended_rank < min(layer.shape)
    keep = f"rank {layer.recommended_rank}" if cut else "all"
    saves = percent(layer.saved / layer.parameters)
    if not cut:
        saves = {
            "no_bulk": f"not noise ({percent(layer.cut_saves)})",
            "no_spike": "no spike",
            "no_gain": "no gain",
        }[layer.advice.name.lower()]
    crowded = " crowded" if fit.status is EdgeStatus.CROWDED else ""
    return Row(
        (
            (layer.name, f"{layer.kind}, {n:,} x {m:,}, {number(layer.aspect)}"),
            (with_error(fit.edge, fit.edge_error), with_error(fit.g, fit.g_error)),
            (f"{fit.spikes}{crowded}", percent(layer.energy)),
            (
                _p_value(fit.p_value, 1 / 500),
                f"{number(layer.spread.left)}, {number(layer.spread.right)}",
            ),
            (
                with_error(tail.exponent, tail.exponent_error),
                f"{_p_value(tail.p_value, 1 / 100)}; {number(layer.noise_exponent, 2)}",
            ),
            (number(layer.stable_rank), number(layer.entropy_rank)),
            (f"{counts[0]} of {counts[0] + counts[1]} fail", f"{counts[2]} unknown"),
            (keep, saves),
        )
    )


def with_error(value: float, error: float) -> str:
    """Return a number with as many places as its error has with one digit."""
    if not 0 < error < abs(value) or not 1e-3 <= abs(value) < 1e6:
        return f"{number(value)} ± {number(error, 1)}"
    places = max(0, -math.floor(math.log10(error)))
    return f"{value:.{places}f} ± {error:.{places}f}"


def percent(share: float) -> str:
    """Return a share in percent, to two digits and never rounded to nothing or all."""
    if 0 < share < 0.001:
        return "< 0.1 %"
    if 0.999 < share < 1:
        return "> 99.9 %"
    return f"{100 * share:.{0 if 0.1 <= share < 0.995 or share in (0, 1) else 1}f} %"


def skipped_sentences(inspection: Inspection) -> list[str]:
    """Say what was not inspected, a sentence for each reason."""
    reasons: dict[str, list[str]] = {}
    for one in inspection.skipped:
        reasons.setdefault(one.reason, []).append(one.name)
    return [f"Not inspected, {reason}: {_list(names, 3)}." for reason, names in reasons.items()]


def choice_sentences(inspection: Inspection) -> list[str]:
    """Say how tensors were taken to be matrices, a sentence for each way."""
    choices: dict[str, list[str]] = {}
    for layer in inspection.layers:
        choices.setdefault(layer.choice, []).append(layer.name)
    return [f"Taken {choice}: {_list(names, 3)}." for choice, names in choices.items()]


def title(inspection: Inspection) -> str:
    """Return one line: what was looked at."""
    count, size = len(inspection.layers), sum(layer.parameters for layer in inspection.layers)
    noise = sum(layer.edge.p_value > LEVEL for layer in inspection.layers)
    return (
        f"{inspection.source} ({inspection.format}): {count} {'layer' if count == 1 else 'layers'}, {size:,} "
        f"parameters; the bulk passes for noise in {noise}"
    )


def rich_table(rows: Iterable[Row], headings: Sequence[tuple[str, str]] = HEADINGS) -> RenderableType:
    """Lay rows out for a terminal, two lines each."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for first, second in headings:
        table.add_column(Text(f"{first}\n{second}"), overflow="fold")
    for row in rows:
        cells = ((_folded(row.cells[0][0]), row.cells[0][1]), *row.cells[1:])
        table.add_row(*(Text.assemble(first, "\n", (second, "dim")) for first, second in cells))
    return table


def rich_page(inspection: Inspection) -> RenderableType:
    """Lay an inspection out for a terminal."""
    from rich.console import Group
    from rich.text import Text

    below = [READING, *choice_sentences(inspection), *skipped_sentences(inspection)]
    return Group(
        Text(f"{title(inspection)}\n", style="bold"),
        rich_table(inspection.rows),
        *(Text(f"\n{line}" if line is READING else line, style="dim") for line in below),
    )


def html_table(
    rows: Sequence[Row], links: Sequence[str] = (), headings: Sequence[tuple[str, str]] = HEADINGS
) -> str:
    """Lay rows out as HTML; ``links`` are what the names lead to."""
    head = "".join(f"<th>{_two(*heading)}</th>" for heading in headings)
    lines = []
    for i, row in enumerate(rows):
        cells = [_two(*cell) for cell in row.cells]
        if links:
            name, rest = (html.escape(text) for text in row.cells[0])
            cells[0] = f'<a href="#{html.escape(links[i])}">{name}</a><br><small>{rest}</small>'
        lines.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def html_page(inspection: Inspection) -> str:
    """Lay an inspection out for a notebook."""
    below = [READING, *choice_sentences(inspection), *skipped_sentences(inspection)]
    words = "".join(f"<p><small>{html.escape(line)}</small></p>" for line in below)
    return f"<p><b>{html.escape(title(inspection))}</b></p>{html_table(inspection.rows)}{words}"


def data_frame(inspection: Inspection) -> Any:
    """Return a row of numbers for each layer, as `Inspection.to_pandas` says."""
    from rmttheory.studies.inspected import plain_row

    return frame([plain_row(layer) for layer in inspection.layers])


def frame(rows: Sequence[Mapping[str, Any]]) -> Any:
    """Return a data frame of pandas.

    Raises
    ------
    Unavailable
        If pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        msg = "`to_pandas` needs pandas: pip install pandas; `to_dict` does without."
        raise Unavailable(msg) from None
    return pd.DataFrame(list(rows))


def _folded(name: str) -> str:
    """Break a name behind dots and slashes, where it is longer than its column."""
    lines = [""]
    for part in re.findall(rf"[^./]{{1,{_NAME - 1}}}[./]?|[./]", name):
        if lines[-1] and len(lines[-1]) + len(part) > _NAME:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _p_value(p: float, least: float) -> str:
    return f"<= {number(least)}" if p <= least else number(p, 2)


def _list(names: Sequence[str], most: int = 99) -> str:
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most:,} more"


def _two(first: str, second: str) -> str:
    return f"{html.escape(first)}<br><small>{html.escape(second)}</small>"
