"""The report of a run: figures, a Markdown file, and one page that needs nothing from outside."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from rmttheory.studies import figures
from rmttheory.studies.figures import Figure
from rmttheory.studies.records import Folder, Run, environment
from rmttheory.studies.spectrum import SpectrumStudy, study_spectrum
from rmttheory.studies.style import DARK, LIGHT, Theme, number
from rmttheory.studies.tables import HEADINGS, rows, summary, vacuous_sentences
from rmttheory.studies.typeset import to_html
from rmttheory.theorem.claims import Claim, find_claim, registry
from rmttheory.theorem.verdicts import Kind, Outcome, Verdict

ENSEMBLE = {"shape": (1600, 800), "spikes": (2.0, 1.5, 1.1), "noise": "rademacher"}
"""What the spectrum in every report is drawn from: two spikes clear of the threshold 0.84, one near it."""

RECONSTRUCTED = (
    "The text of the 2023 paper (arXiv:2310.03165) was not available while this program was written. A statement "
    "marked “reconstructed” is our own reading of what its theorem must say, from its abstract, its table of "
    "contents and the later papers. A verdict on it speaks of our statement, not of the published one."
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure in all its forms.

    Attributes
    ----------
    name : str
        Of its files.
    caption : str
        What it shows and how to read it.
    light, dark : str
        Data URIs of its SVG forms.
    width, height : int
        In CSS pixels.
    """

    name: str
    caption: str
    light: str
    dark: str
    width: int
    height: int


def write_report(run: Run, folder: Folder) -> None:
    """Write ``figures/``, ``report.md`` and ``report.html`` of ``run``.

    Raises
    ------
    NotWritten
        If a file cannot be written.
    """
    pictures = {name: _picture(folder, name, *made) for name, made in _figures(run).items()}
    facts = _facts(run) | {"pictures": pictures}
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("rmttheory.studies"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    pages.filters |= {
        "number": number,
        "percent": lambda share: f"{100 * share:.1f} %",
        "math": lambda text: Markup(to_html(text)),  # noqa: S704  to_html escapes
        "cell": _markdown_cell,
    }
    for name in ("report.md", "report.html"):
        folder.write(name, pages.get_template(f"{name}.j2").render(facts))


def save_spectrum(study: SpectrumStudy, path: Path) -> None:
    """Write the figure of ``study``; the ending of ``path`` says as what.

    Raises
    ------
    NotWritten
        If it cannot be written.
    """
    with figures.drawn_in(LIGHT):
        Folder(path.parent).write(path.name, figures.encode(spectrum_figure(study), path.suffix[1:].lower()))


def _figures(run: Run) -> dict[str, tuple[Callable[..., Figure], str]]:
    """Return how each figure is drawn, and its caption."""
    made: dict[str, tuple[Callable[..., Figure], str]] = {}
    if run.verdicts:
        made["verdicts"] = (
            partial(figures.overview_figure, run.verdicts),
            "Every verdict. The bar goes from the median to the worst trial of left side over right side: at 1 a bound "
            "is tight, far below it is loose, beyond it is violated. Hollow marks are bounds that say nothing.",
        )
    bounds = [curve for curve in run.curves if curve.bound]
    limits = [curve for curve in run.curves if not curve.bound]
    if bounds:
        made["bounds"] = (
            partial(figures.ladder_figure, bounds),
            "Bound against truth along a ladder of widths: medians, with the middle 80 % of trials shaded. Where the "
            "bound lies above the dotted line it says nothing.",
        )
    if limits:
        made["limits"] = (
            partial(figures.ladder_figure, limits),
            "Limit statements: distance to the limit along a ladder of widths, beside the claimed rate.",
        )
    study = study_spectrum(**ENSEMBLE, seed=run.seed)  # type: ignore[arg-type]
    made["spectrum"] = (
        partial(spectrum_figure, study),
        "One draw of a spiked ensemble against the law of its bulk, with the fitted edge, the values above it, and "
        "where the theory puts each spike.",
    )
    for layer in run.network.examination.layers if run.network else ():
        n, m = layer.shape
        made[f"layer-{layer.index}"] = (
            partial(
                figures.pruning_figure,
                layer.singular_values,
                layer.shape,
                g=layer.edge.g,
                edge=layer.edge.edge,
                rank=layer.rank,
                title=f"Layer {layer.index}, {n} x {m}",
            ),
            f"Layer {layer.index} of the trained network before and after its bulk is removed.",
        )
    return made


def spectrum_figure(study: SpectrumStudy, *, theme: Theme = LIGHT) -> Figure:
    """Draw a `SpectrumStudy`."""
    return figures.spectrum_figure(
        study.values,
        study.model.shape,
        g=study.estimate.g,
        edge=study.estimate.edge,
        predicted=[place for place in study.predicted if place is not None],
        title=study.title,
        theme=theme,
    )


def _picture(folder: Folder, name: str, make: Callable[..., Figure], caption: str) -> Picture:
    encoded = {}
    for theme in (LIGHT, DARK):
        with figures.drawn_in(theme):
            figure = make(theme=theme)
            encoded[theme.name] = figures.encode(figure, "svg")
            if theme is LIGHT:
                for kind in ("png", "pdf"):
                    folder.write(f"figures/{name}.{kind}", figures.encode(figure, kind))
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    uris = {kind: f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}" for kind, svg in encoded.items()}
    return Picture(name=name, caption=caption, width=width, height=height, **uris)


def _facts(run: Run) -> dict[str, Any]:
    """Return everything that the templates show."""
    return {
        "run": run,
        "network": run.network,
        "summary": summary(run.verdicts),
        "refuted": [v for v in run.verdicts if v.outcome is Outcome.REFUTED],
        "vacuous": vacuous_sentences(run.verdicts),
        "headings": HEADINGS,
        "rows": rows(run.verdicts),
        "claims": [(claim, [v for v in run.verdicts if v.claim == claim.id]) for claim in _claims(run.verdicts)],
        "outcomes": [outcome for outcome in Outcome if run.count(outcome)],
        "predicates": _predicate_statements(),
        "environment": environment(),
        "reconstructed": RECONSTRUCTED,
        "share": run.alpha / run.shares if run.shares else run.alpha,
        "Kind": Kind,
        "style": Markup(_style()),  # noqa: S704  ours
    }


def _claims(verdicts: tuple[Verdict, ...]) -> list[Claim]:
    names = dict.fromkeys(verdict.claim for verdict in verdicts)
    return [find_claim(name) for name in names if name.partition("/")[0] in registry()]


def _predicate_statements() -> dict[str, str]:
    from rmttheory.theorem.predicates import PREDICATES

    return {predicate.id: predicate.statement for predicate in PREDICATES}


def _style() -> str:
    """Return the style sheet, its colours those of the figures."""
    light, dark = (
        " ".join(f"--{name}: {color};" for name, color in theme.colors.items()) for theme in (LIGHT, DARK)
    )
    sheet = resources.files("rmttheory.studies").joinpath("templates/report.css").read_text("utf-8")
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{sheet}"


def _markdown_cell(text: Any) -> str:
    """Escape what would end a cell or be read as HTML."""
    plain = str(text).replace("|", "\\|").replace("\n", " ")
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
