r"""
The fitted edge against its two settings, as published and corrected
====================================================================

BEMA fits the noise level to the middle of the spectrum, leaving out a share :math:`\alpha` at either end, and
puts the edge where noise alone exceeds it with probability :math:`\beta`. The paper draws that edge against
both, for :math:`W = R + S` of its example. Two slips of the published code move it: order statistics are
compared with quantiles half a rank too low, and the width of the edge is computed as
:math:`(1+\sqrt\gamma)^4/3` where :math:`(1+\sqrt\gamma)^{4/3}` is meant.

Here every spectrum is fitted with both slips, as BEMA is stated, and by ``fit_edge``, which also allows for
the spikes; so is that of noise alone, whose edge is known. The example's :math:`S` has about twenty singular
values below the threshold as well, which no estimator can see: they widen the bulk, which is shown by fitting
noise with the spikes above the threshold only.

Run ``python simulations/edge_settings.py [--preset quick|paper] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import Spiked, Stream, TracyWidom, fit_edge, singular_values
from rmttheory.arrays import Placement, to_host
from rmttheory.matrices import tracy_widom_scaling
from rmttheory.matrices.published import example_signal, published_fit
from rmttheory.studies import figures
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT

N = 1000
ALPHAS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45)
LEVELS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
PAPER = {"alpha": {0.05: 4.021, 0.25: 4.000, 0.3: 3.994}, "beta": {0.05: 4.12, 0.5: 4.00, 0.95: 3.897}}
"""Read off the figures of the paper, to about 0.005."""
NULLS = 10
"""Spectra of noise a draw."""
FAR = 1e4
"""Of larger values it only matters that they are far above the edge; beside 3e8 the least looks like 0."""
FITS = ("both slips", "as stated", "fit_edge")


def edges(values: np.ndarray, alpha: float, level: float) -> dict[str, float]:
    """Return the edge of ``X`` from ascending squared singular values over ``N``, fitted in every way."""
    n = len(values)
    slips = {"both slips": True, "as stated": False}
    found = {
        name: published_fit(values, 1.0, alpha=alpha, level=level, index_slip=slip, exponent_slip=slip).edge
        for name, slip in slips.items()
    }
    s = np.sqrt(np.minimum(values, FAR))
    return found | {"fit_edge": fit_edge(s, (n, n), alpha=alpha, level=level).edge ** 2}


@functools.cache
def signal(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the parts of ``S`` above and below the threshold."""
    U, s, V = np.linalg.svd(example_signal(n))
    spikes = int(np.sum(s > np.sqrt(n)))
    return (U[:, :spikes] * s[:spikes]) @ V[:spikes], (U[:, spikes:] * s[spikes:]) @ V[spikes:]


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Fit one spectrum of ``R + S``, and some of noise, at every setting."""
    n, stream = cell["n"], Stream(cell["seed"], placement=place)
    R = stream.child("noise").normal((n, n))
    above, below = (place.asarray(part) for part in signal(n))
    W, spikes = (np.sort(to_host(singular_values(A))) ** 2 / n for A in (R + (above + below), R + above))
    noise = np.sort(Spiked((n, n)).singular_values(stream.child("null"), trials=NULLS)) ** 2
    fits = [[edges(values, 0.25, level) for values in noise] for level in LEVELS]
    return {
        "alpha": [edges(W, alpha, 0.5) for alpha in ALPHAS],
        "beta": [edges(W, 0.25, level) for level in LEVELS],
        "spikes": edges(spikes, 0.25, 0.5)["fit_edge"],
        "noise": [{fit: np.mean([one[fit] for one in found]) for fit in FITS} for found in fits],
        "exceeded": [
            {fit: np.mean([one[fit] for one in found] < noise[:, -1]) for fit in FITS} for found in fits
        ],
    }


def right_edge(level: float) -> float:
    """Where noise of known variance exceeds the edge with probability ``level``."""
    centre, scale = tracy_widom_scaling(N, N)
    return (centre + scale * float(TracyWidom(1).ppf(1 - level))) / N


# %%
# At a single setting the published edge and that of ``fit_edge`` may agree by accident: one has too large a
# noise level, and the other a bulk that :math:`S` has widened. The span over :math:`\beta` tells them apart.
#
# Of noise alone it is counted how often the largest value exceeds the fitted edge: that is what
# :math:`\beta` promises.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:  # noqa: ARG001
    """Average over the draws, and set the paper's values beside them."""
    settings = {"alpha": ALPHAS, "beta": LEVELS}
    draws = {axis: [r[axis] for r in results] for axis in (*settings, "noise", "exceeded")}
    means = {
        axis: {
            fit: [float(np.mean([one[i][fit] for one in found])) for i in range(len(found[0]))]
            for fit in FITS
        }
        for axis, found in draws.items()
    }
    spreads = {
        axis: float(max(np.std([r[axis][i]["both slips"] for r in results]) for i in range(len(values))))
        for axis, values in settings.items()
    }
    rows = []
    for axis, values in settings.items():
        for setting, read in PAPER[axis].items():
            ours = {fit: means[axis][fit][values.index(setting)] for fit in FITS}
            text = ", ".join(f"{fit} {ours[fit]:.3f}" for fit in FITS)
            near = abs(ours["both slips"] - read) <= 2 * spreads[axis] + 0.005
            rows.append(
                Row(quantity=f"edge at {axis} = {setting:g}", paper=f"{read:.3f}", ours=text, agrees=near)
            )
    spans = {fit: means["beta"][fit][0] - means["beta"][fit][-1] for fit in FITS}
    text = ", ".join(f"{fit} {spans[fit]:.3f}" for fit in FITS)
    read = PAPER["beta"][0.05] - PAPER["beta"][0.95]
    slipped = abs(spans["both slips"] - read) < abs(spans["as stated"] - read)
    rows.append(Row(quantity="span over beta", paper=f"{read:.3f}", ours=text, agrees=slipped))
    exceeded = means["exceeded"]
    for level in (0.1, 0.5, 0.9):
        i = LEVELS.index(level)
        text = ", ".join(f"{fit} {exceeded[fit][i]:.2f}" for fit in FITS)
        rows.append(Row(quantity=f"noise exceeds the edge at beta = {level:g}", paper="-", ours=text))
    middle = LEVELS.index(0.5)
    parts = {
        "R": means["noise"]["fit_edge"][middle],
        "R and the spikes above the threshold": float(np.mean([r["spikes"] for r in results])),
        "R + S": means["beta"]["fit_edge"][middle],
    }
    text = ", ".join(f"{name} {value:.3f}" for name, value in parts.items())
    rows.append(Row(quantity="edge at beta = 0.5 by fit_edge", paper="-", ours=text))
    verdict = (
        f"The published edges span {read:.3f} over beta: with both slips we find {spans['both slips']:.3f}, "
        f"without them {spans['as stated']:.3f}, so the figures show "
        f"{'the slips' if slipped else 'no sign of the slips'}; at beta = 0.5 the corrected edge is "
        f"{parts['R + S']:.3f}, where noise of known variance has {right_edge(0.5):.3f} and S below the "
        f"threshold adds {parts['R + S'] - parts['R and the spikes above the threshold']:.3f}."
    )
    return Summary(verdict=verdict, rows=tuple(rows), series=means)


def draw(summary: Summary) -> figures.Figure:
    """Draw the edge against either setting, and what the level is worth on noise."""
    figure = figures.Figure(figsize=(1.9 * figures.WIDTH, 3.6))
    panels = figure.subplots(1, 3)
    looks = dict(zip(FITS, ((LIGHT.spike, "s"), (LIGHT.muted, "o"), (LIGHT.law, "D"))))
    names = {"both slips": "as published: both slips", "as stated": "BEMA as stated", "fit_edge": "fit_edge"}
    for axes, (axis, values, title) in zip(
        panels,
        (
            ("alpha", ALPHAS, r"against $\alpha$, $\beta$ = 0.5"),
            ("beta", LEVELS, r"against $\beta$, $\alpha$ = 0.25"),
        ),
    ):
        for fit, (color, mark) in looks.items():
            axes.plot(
                values, summary.series[axis][fit], f"{mark}-", color=color, markersize=3.5, label=names[fit]
            )
        axes.plot(*zip(*PAPER[axis].items()), "*", color=LIGHT.ink, markersize=10, label="read off the paper")
        truth = [right_edge(0.5 if axis == "alpha" else value) for value in values]
        axes.plot(values, truth, "--", color=LIGHT.ink, linewidth=1, label="known noise")
        axes.set(title=f"Edge {title}", xlabel=rf"$\{axis}$", ylabel="edge of $X$")
        axes.grid()
    panels[1].legend(fontsize=8.5)
    for fit, (color, mark) in looks.items():
        panels[2].plot(LEVELS, summary.series["exceeded"][fit], f"{mark}-", color=color, markersize=3.5)
    panels[2].axline((0, 0), slope=1, color=LIGHT.ink, linestyle="--", linewidth=1)
    panels[2].set(title="Noise above its edge", xlabel=r"stated, $\beta$", ylabel="share of draws of noise")
    panels[2].grid()
    return figure


EXPERIMENT = Experiment(
    name="edge_settings",
    title="The fitted edge against its two settings, as published and corrected",
    presets={"quick": grid(n=[N], seed=range(5)), "paper": grid(n=[N], seed=range(30))},
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
