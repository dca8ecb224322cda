"""Figures from results: the only importer of matplotlib, and never through its global state."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from rmttheory.arrays import HostArray
from rmttheory.matrices import SingularMarchenkoPastur
from rmttheory.studies.curves import Curve
from rmttheory.studies.style import LIGHT, MARKERS, number
from rmttheory.studies.tables import cell_text
from rmttheory.theorem.verdicts import Kind, Outcome, Slope, Verdict

WIDTH = 5.4
"""Inches; text of 10 points then stays legible when a phone shows the figure in 360 pixels."""
DPI = 200
LONGEST = 38
"""Characters in the name of a row: more would leave its bar no room."""
RATIOS = (1e-6, 1e3)
"""Ratios beyond these are drawn at the end: so loose or so broken a bound needs no more room."""


@contextmanager
def appearance() -> Iterator[None]:
    """Draw and save figures inside as this package does."""
    settings: Any = {
        "font.family": "DejaVu Sans",
        "font.size": 10,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": LIGHT.muted,
        "axes.labelcolor": LIGHT.ink,
        "axes.facecolor": LIGHT.paper,
        "axes.axisbelow": True,
        "figure.facecolor": LIGHT.paper,
        "figure.constrained_layout.use": True,
        "grid.color": LIGHT.faint,
        "grid.linewidth": 0.6,
        "legend.columnspacing": 1.4,
        "legend.frameon": False,
        "legend.handlelength": 1.6,
        "legend.fontsize": 9.5,
        "legend.title_fontsize": 9.5,
        "lines.linewidth": 1.8,
        "savefig.facecolor": LIGHT.paper,
        "text.color": LIGHT.ink,
        "xtick.color": LIGHT.muted,
        "xtick.labelcolor": LIGHT.ink,
        "ytick.color": LIGHT.muted,
        "ytick.labelcolor": LIGHT.ink,
        "svg.hashsalt": "rmttheory",
        "pdf.fonttype": 42,
    }
    with mpl.rc_context(settings):
        yield


def encode(figure: Figure, kind: str, *, dpi: int = DPI) -> bytes:
    """Return the figure as the bytes of a ``png``, ``pdf`` or ``svg`` file."""
    if figure.get_layout_engine():  # settled once: every later form then costs less, and looks the same
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    figure.savefig(buffer, format=kind, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


def spectrum_figure(
    values: HostArray,
    shape: tuple[int, int],
    *,
    g: float,
    edge: float,
    predicted: Sequence[float] = (),
    title: str,
) -> Figure:
    """Draw singular values against the Marchenko-Pastur law, with edge, outliers and their predictions.

    Parameters
    ----------
    values : ndarray
        All singular values of one matrix with noise entries of variance ``g / n``.
    shape : tuple of int
    g : float
        Noise level of the law that is drawn.
    edge : float
        Values above it count as spikes.
    predicted : sequence of float
        Where spikes should show.
    """
    figure = Figure(figsize=(WIDTH, 3.8))
    axes = figure.subplots()
    draw_bulk(axes, values, shape, g=g, edge=edge)
    if len(predicted):
        axes.plot(
            predicted,
            np.full(len(predicted), _stem(axes)),
            "D",
            markersize=7,
            fillstyle="none",
            color=LIGHT.ink,
            label="predicted outlier",
        )
    axes.set(title=title, xlabel="singular value $s$", ylabel="density")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def pruning_figure(
    values: HostArray, shape: tuple[int, int], *, g: float, edge: float, rank: int, title: str
) -> Figure:
    """Draw the singular values of one layer before and after those under the edge are removed.

    Parameters
    ----------
    values : ndarray
        Before, descending; after, the first ``rank`` of them stay and the others are 0.
    shape, g, edge
        As for `spectrum_figure`.
    rank : int
    """
    figure = Figure(figsize=(WIDTH, 5.0))
    before, after = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    draw_bulk(before, values, shape, g=g, edge=edge)
    before.set(title=f"{title}, before", ylabel="density", xlim=(-0.03 * values[0], 1.04 * values[0]))
    figure.legend(loc="outside lower center", ncols=2)
    after.axvline(edge, color=LIGHT.ink, linestyle="--", linewidth=1)
    after.vlines(values[:rank], 0, 1, color=LIGHT.spike, linewidth=1.6)
    after.plot(values[:rank], np.ones(rank), "o", color=LIGHT.spike, markersize=4)
    after.vlines([0], 0, 1, color=LIGHT.muted, linewidth=4)
    after.annotate(
        f"{len(values) - rank} values set to 0",
        (0, 1),
        xytext=(7, 0),
        textcoords="offset points",
        va="top",
        color=LIGHT.muted,
    )
    after.set(title=f"After: rank {rank}", xlabel="singular value $s$", yticks=[], ylim=(0, 1.25))
    after.spines["left"].set_visible(False)
    return figure


def ladder_figure(curves: Sequence[Curve], *, ylabel: str) -> Figure:
    """Draw truth and bound along widths, log-log with fitted slopes, a panel a curve."""
    columns = min(2, len(curves))
    rows = math.ceil(len(curves) / columns)
    figure = Figure(figsize=(WIDTH, 3.7 if columns == 1 else 0.3 + 2.7 * rows))
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes, curve in zip(panels, curves):
        _ladder(axes, curve)
    for axes in panels[::columns]:
        axes.set_ylabel(ylabel)
    for axes in panels[len(curves) :]:
        axes.remove()
    return figure


def ratio_figure(ratios: HostArray) -> Figure:
    """Draw how left sides compare with right sides, one count a trial; beyond 1 a claim is violated."""
    figure = Figure(figsize=(WIDTH, 2.4))
    axes = figure.subplots()
    clipped = np.clip(ratios, *RATIOS)
    low = 10 ** math.floor(math.log10(max(RATIOS[0], float(np.quantile(clipped, 0.05)))))
    high = max(2.0, 1.2 * float(clipped.max()))
    bins = np.geomspace(low, high, 41)
    axes.hist(np.clip(clipped, low, high), list(bins), color=LIGHT.bulk, edgecolor=LIGHT.paper, linewidth=0.4)
    axes.axvline(1.0, color=LIGHT.ink, linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("left side / right side")
    axes.set_ylabel("trials")
    return figure


def overview_figure(verdicts: Sequence[Verdict]) -> Figure:
    """Draw every verdict in a row: its outcome, and how much of its bound the truth used up."""
    figure = Figure(figsize=(WIDTH, 1.1 + 0.24 * len(verdicts)))
    axes = figure.subplots()
    rows = np.arange(len(verdicts))[::-1]
    ratios = [ratio for verdict in verdicts for ratio in _ratios(verdict)]
    axes.set(xscale="log", xlim=(min([0.06, *ratios]) / 2, 2 * max([1.0, *ratios])))
    for row, verdict in zip(rows, verdicts):
        _verdict(axes, row, verdict)
    axes.axvline(1, color=LIGHT.ink, linewidth=1, linestyle="--", zorder=1)
    axes.set_yticks(rows, [_row_name(verdict) for verdict in verdicts], fontsize=8.5)
    axes.set_ylim(-0.7, len(verdicts) - 0.3)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.spines["left"].set_visible(False)
    outcomes = axes.secondary_yaxis("right")
    outcomes.set_yticks(rows, [v.outcome.value for v in verdicts], fontsize=8.5)
    for label, verdict in zip(outcomes.get_yticklabels(), verdicts):
        label.set(color=LIGHT.outcomes[verdict.outcome], fontweight="bold")
    outcomes.tick_params(axis="y", length=0)
    outcomes.spines["right"].set_visible(False)
    figure.supxlabel(
        "left side / right side of the claim, from the median to the worst trial; 1 is tight", fontsize=9
    )
    return figure


def plain_numbers(axes: Axes) -> None:
    """Write the numbers of a logarithmic axis as people do."""
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if _decades(axes) < 1.5 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: number(x)))
    axes.xaxis.set_minor_locator(NullLocator())


def _decades(axes: Axes) -> float:
    low, high = axes.get_xlim()
    return math.log10(high / low)


def draw_bulk(
    axes: Axes,
    values: HostArray,
    shape: tuple[int, int],
    *,
    g: float,
    edge: float,
    window: float = math.inf,
) -> None:
    """Draw a histogram, the law scaled to its share of the values, the edge, and each value above it.

    Values beyond ``window`` are counted in the legend and left out of sight.
    """
    law = SingularMarchenkoPastur(shape[1] / shape[0], g)
    low, high = law.support
    above = values[values > edge]
    top = min(max(float(values.max()), high), max(window, high))
    count = int(np.clip(2 * len(values) ** 0.5, 12, 60))
    bins = np.linspace(max(0.0, min(low, float(values.min()))), high, count + 1)
    width = float(bins[1] - bins[0])
    bins = np.append(bins, np.arange(high, max(edge, high) + width, width)[1:])
    below = values[values <= edge]
    weights = np.full(len(below), 1 / (len(values) * width))
    axes.hist(
        below,
        list(bins),
        weights=weights,
        color=LIGHT.bulk,
        edgecolor=LIGHT.paper,
        linewidth=0.4,
        label="singular values",
    )
    x = np.linspace(low, high, 600)
    share = len(below) / len(values)
    axes.plot(x, share * law.pdf(x), color=LIGHT.law, label="Marchenko-Pastur law")
    axes.axvline(edge, color=LIGHT.ink, linestyle="--", linewidth=1, label=f"edge {number(edge)}")
    if len(above):
        label = f"{len(above)} above the edge"
        seen = above[above <= top]
        axes.plot(seen, np.full(len(seen), _stem(axes)), "o", color=LIGHT.spike, markersize=4, label=label)
        axes.vlines(seen, 0, _stem(axes), color=LIGHT.spike, linewidth=1.2)
    axes.set_xlim(max(0.0, float(bins[0]) - 0.03 * top), 1.04 * top)


def _stem(axes: Axes) -> float:
    """Height of the marks over single values: they stand for position, not density."""
    return 0.12 * float(axes.dataLim.y1)


def _ladder(axes: Axes, curve: Curve) -> None:
    n = np.array(curve.widths, dtype=float)
    axes.fill_between(n, curve.low, curve.high, color=LIGHT.law, alpha=0.2, linewidth=0)
    truth = f"{'truth' if curve.bound else 'median'}, slope {_exponent(curve.slope)}"
    axes.plot(n, curve.median, "o-", color=LIGHT.law, markersize=4, label=truth)
    if curve.bound and curve.bound_slope:
        name = f"bound, slope {_exponent(curve.bound_slope)}"
        axes.plot(n, curve.bound, "s-", color=LIGHT.bound, markersize=4, label=name)
        if curve.safe:
            axes.plot(n, curve.safe, ":", color=LIGHT.ink, label="half the median margin")
    else:
        name = f"claimed slope {_signed(curve.slope.claimed)}"
        guide = curve.median[0] * (n / n[0]) ** curve.slope.claimed
        axes.plot(n, guide, "--", color=LIGHT.ink, linewidth=1, label=name)
    legend = axes.legend(
        title=curve.label or None,
        alignment="left",
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        borderpad=0,
        labelspacing=0.2,
    )
    lines = len(legend.get_texts()) + bool(curve.label)
    axes.set_title(curve.claim, pad=14.5 * lines + 4)
    axes.set(xscale="log", yscale="log", xlabel="width $n$")
    axes.set_xticks(n, [f"{width:.0f}" for width in n])
    axes.xaxis.set_minor_locator(NullLocator())
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 1e3 else (1,)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: number(y)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.grid()


def _exponent(slope: Slope) -> str:
    return f"{round(slope.value, 2) + 0.0:.2f}".replace("-", "−")  # the sum turns -0.00 into 0.00


def _signed(value: float) -> str:
    return number(value).replace("-", "−")


def _ratios(verdict: Verdict) -> list[float]:
    """Median and worst ratio of a verdict on a bound, within `RATIOS`; empty for one on something else."""
    median, worst = verdict.median_ratio, verdict.worst_ratio
    if verdict.kind not in (Kind.EXACT, Kind.TAIL) or median is None or worst is None:
        return []
    return [float(np.clip(ratio, *RATIOS)) for ratio in (median, worst)]


def _row_name(verdict: Verdict) -> str:
    text = f"{verdict.claim}{cell_text(verdict, brief=True)}"
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _verdict(axes: Axes, row: float, verdict: Verdict) -> None:
    color = LIGHT.outcomes[verdict.outcome]
    hollow = verdict.outcome in (Outcome.VACUOUS, Outcome.INAPPLICABLE)
    ratios = _ratios(verdict)
    if ratios:
        axes.plot(ratios, [row, row], color=color, linewidth=3, alpha=0.45)
        marker, fill = MARKERS[verdict.outcome], "none" if hollow else "full"
        axes.plot(ratios[1:], [row], marker, color=color, markersize=6, fillstyle=fill)
        return
    text = "no bound to compare"
    if verdict.slope:
        text = f"slope {_exponent(verdict.slope)}, claimed {_signed(verdict.slope.claimed)}"
    elif verdict.lower is not None and verdict.upper is not None:
        text = (
            f"P {number(verdict.lower, 2)} to {number(verdict.upper, 2)}, claimed {number(verdict.allowed)}"
        )
    elif verdict.kind is Kind.IDENTITY:
        text = "symbolic identity"
    axes.text(
        0.01,
        row,
        text,
        transform=axes.get_yaxis_transform(),
        va="center",
        fontsize=8.5,
        color=LIGHT.muted,
        bbox={"facecolor": LIGHT.paper, "edgecolor": "none", "pad": 1},
        in_layout=False,
    )
