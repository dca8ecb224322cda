r"""
The fingerprint of a slip: a misfit of 0.74 at a bulk of 73 %
==============================================================

The paper measures how well a Marchenko-Pastur law fits a layer by the largest difference of distribution
functions over the middle half of the spectrum, and reports it beside the share of values below the edge: a
misfit of 0.74 at a bulk of 73 % for one layer of a vision transformer, 0.01 at 99.73 % for another. In the
published code the fitted distribution function is 0 beyond the edge, where it is 1. As soon as less than
three quarters of the spectrum lie below the edge, the end of the middle half passes it, and the misfit jumps
to about :math:`1 - \alpha = 0.75`.

Here layers of the same aspect ratio :math:`1/4` get columns of log-normal scale, from equal ones to a heavy
spectrum, and both misfits are drawn against the share of the bulk.

Run ``python simulations/cdf_slip.py [--preset quick|paper] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import Spiked, Stream, singular_values
from rmttheory.arrays import Placement, to_host
from rmttheory.matrices.published import published_fit
from rmttheory.studies import figures
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT

ALPHA = 0.25
PAPER = ((0.73, 0.74), (0.9973, 0.01))
"""Share of the bulk and misfit of two layers."""
SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 2.0)
"""Standard deviation of the logarithm of the scale of a column."""


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, float]:
    """Share of the bulk and both misfits of one layer."""
    n, m = cell["shape"]
    noise = f"column-scaled:{cell['spread']:g}" if cell["spread"] else "gaussian"
    W = Spiked((n, m), noise=noise).sample(Stream(cell["seed"], placement=place).child("layer")).W
    values = np.sort(to_host(singular_values(W))) ** 2
    slipped, right = (
        published_fit(values, m / n, alpha=ALPHA, distribution_slip=slip) for slip in (True, False)
    )
    return {
        "bulk": float(np.mean(values <= slipped.edge)),
        "with the slip": slipped.misfit,
        "corrected": right.misfit,
    }


# %%
# The paper's first layer is compared with those of our layers whose bulk is nearest to 73 %, the second one
# with layers of equal columns.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Look at layers with the paper's share of the bulk."""
    points = {name: np.array([r[name] for r in results]) for name in results[0]}
    heavy = np.argsort(np.abs(points["bulk"] - PAPER[0][0]))[:3]
    even = np.array([cell["spread"] == 0 for cell in cells])
    rows, seen = [], []
    for (share, misfit), chosen in zip(PAPER, (heavy, even)):
        mean = {name: float(np.mean(x[chosen])) for name, x in points.items()}
        seen.append(abs(mean["with the slip"] - misfit) <= 0.02)
        ours = f"{mean['with the slip']:.3f} with the slip, {mean['corrected']:.3f} corrected"
        quantity = f"misfit at a bulk of {100 * share:.4g} % (ours {100 * mean['bulk']:.1f} %)"
        rows.append(Row(quantity=quantity, paper=f"{misfit:g}", ours=ours, agrees=seen[-1]))
    heavy_right = float(np.mean(points["corrected"][heavy]))
    lowest = float(np.min(points["with the slip"][points["bulk"] < 1 - ALPHA - 0.01], initial=1.0))
    highest = float(np.max(points["with the slip"][points["bulk"] > 1 - ALPHA + 0.01], initial=0.0))
    step = f"{lowest:.2f} or more below a bulk of 74 %, {highest:.2f} or less above 76 %"
    rows.append(Row(quantity="misfit with the slip", paper="-", ours=step))
    has, reason = (
        ("has", "what was published is the end of the window and no distance")
        if seen[0]
        else ("does not have", "the slip does not explain what was published")
    )
    verdict = (
        f"A heavy spectrum with the paper's bulk {has} the published misfit of {PAPER[0][1]} with the slip, "
        f"and {heavy_right:.2f} without it: the layer fits badly either way, but {reason}."
    )
    order = np.argsort(points["bulk"])
    return Summary(verdict=verdict, rows=tuple(rows), series={name: x[order] for name, x in points.items()})


def draw(summary: Summary) -> figures.Figure:
    """Draw both misfits against the share of the bulk."""
    figure = figures.Figure(figsize=(figures.WIDTH, 3.8))
    axes = figure.subplots()
    series = summary.series
    axes.axvline(1 - ALPHA, color=LIGHT.muted, linewidth=1, linestyle="--", label=r"$1 - \alpha$")
    axes.plot(
        series["bulk"], series["with the slip"], "s", color=LIGHT.spike, markersize=4, label="with the slip"
    )
    axes.plot(series["bulk"], series["corrected"], "o", color=LIGHT.law, markersize=4, label="corrected")
    axes.plot(*zip(*PAPER), "*", color=LIGHT.ink, markersize=12, label="the paper's two layers")
    axes.set(
        xlabel="share of values below the fitted edge",
        ylabel="misfit",
        title="Misfit of heavy spectra",
        ylim=(0, 0.9),
    )
    axes.legend(loc="upper right")
    axes.grid()
    return figure


EXPERIMENT = Experiment(
    name="cdf_slip",
    title="The fingerprint of a slip: a misfit of 0.74 at a bulk of 73 %",
    presets={
        "quick": grid(shape=[(1536, 384)], spread=SPREADS, seed=range(3)),
        "paper": grid(shape=[(3072, 768)], spread=SPREADS, seed=range(8)),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
