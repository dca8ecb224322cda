r"""
The spectrum of R + S in the papers' example
============================================

The paper draws :math:`W = R + S` with standard normal :math:`R` and the deterministic matrix
:math:`S_{ij} = \tan(\pi/2 + 1/(j+1)) + \cos(i)\log(i+j+1) + \sin(j)\cos(i/j)`, and shows the eigenvalues of
:math:`X = W^T W / N`: a Marchenko-Pastur bulk on [0, 4] and single outliers between 4.1 and 7.3, in a plot
that ends at 8. Each outlier belongs to a singular value :math:`\theta \sqrt N` of :math:`S` with
:math:`\theta > 1` and is predicted at :math:`(\theta + 1/\theta)^2`.

Run ``python simulations/esd_of_signal_and_noise.py [--preset quick|paper] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import MarchenkoPastur, Stream, outlier, singular_values
from rmttheory.arrays import Placement, to_host
from rmttheory.matrices.published import example_signal
from rmttheory.studies import figures
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT

N = 1000
PLOT_ENDS = 8.0
READ_OFF = (4.1, 7.3)
"""Smallest and largest outlier in the paper's figure."""
READING = 0.05
BINS = np.linspace(0, PLOT_ENDS, 81)


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Eigenvalues of one ``X`` beside those of its noise, and where the outliers are predicted."""
    stream = Stream(cell["seed"], placement=place)
    S = place.asarray(example_signal(cell["n"]))
    R = stream.child("noise").normal((cell["n"], cell["n"]))
    values, noise, theta = (to_host(singular_values(A)) / np.sqrt(cell["n"]) for A in (S + R, R, S))
    spikes = theta[theta > 1]
    bulk = values[len(spikes) :] ** 2
    law = MarchenkoPastur(1.0)
    ranks = (np.arange(len(bulk), 0, -1) - 0.5) / len(bulk)
    return {
        "outliers": values[: len(spikes)] ** 2,
        "predicted": [outlier(t, 1.0) ** 2 for t in spikes],
        "largest of the rest": bulk[0],
        "largest of the noise": noise[0] ** 2,
        "distance": np.max(np.abs(law.cdf(bulk) - ranks)),
        "counts": np.histogram(values**2, BINS)[0],
    }


# %%
# The paper's figure shows one draw. Its range agrees if smallest and largest outlier lie within two standard
# deviations of ours, and what reading the figure may be off by.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Compare the outliers on the paper's axis with prediction and figure."""
    found = np.array([r["outliers"] for r in results])
    predicted = np.array(results[0]["predicted"])
    shown = predicted < PLOT_ENDS
    means, spreads = found.mean(axis=0), found.std(axis=0)
    low, high = found[:, shown].min(axis=1), found[:, shown].max(axis=1)
    rest = np.array([r["largest of the rest"] for r in results])
    distance = float(np.mean([r["distance"] for r in results]))
    places = ", ".join(f"{m:.2f}" for m in means[shown])
    off = ", ".join(f"{m:.3g}" for m in means[~shown])
    errors = np.abs(means - predicted)[shown] / predicted[shown]
    like_figure = all(abs(x.mean() - read) <= 2 * x.std() + READING for x, read in zip((low, high), READ_OFF))
    rows = (
        Row(
            quantity="bulk",
            paper="[0, 4]",
            ours=f"ends at {rest.mean():.3f}, KS {distance:.4f}",
            agrees=distance < 0.01,
        ),
        Row(
            quantity="outliers on the axis",
            paper=f"{READ_OFF[0]} to {READ_OFF[1]}",
            ours=f"{low.mean():.2f} to {high.mean():.2f} ({places})",
            agrees=bool(like_figure),
        ),
        Row(quantity="outliers beyond the axis", paper="not shown", ours=off),
        Row(
            quantity="largest relative error of the prediction",
            paper="-",
            ours=f"{100 * errors.max():.1f} % on the axis",
        ),
    )
    verdict = (
        f"The bulk on [0, 4] and outliers from {low.mean():.1f} to {high.mean():.1f} are "
        f"{'as published' if like_figure else 'not as published'}; {int(np.sum(~shown))} more, up to "
        f"{means[0]:.1e}, lie beyond the paper's axis."
    )
    series = {
        "counts": np.sum([r["counts"] for r in results], axis=0),
        "draws": len(cells),
        "means": means[shown],
        "spreads": spreads[shown],
        "predicted": predicted[shown],
    }
    return Summary(verdict=verdict, rows=rows, series=series)


def draw(summary: Summary) -> figures.Figure:
    """Draw the mean spectrum, its law, and each outlier beside its prediction."""
    series = summary.series
    figure = figures.Figure(figsize=(1.6 * figures.WIDTH, 3.6))
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    density = np.array(series["counts"]) / (series["draws"] * N * np.diff(BINS))
    left.stairs(density, BINS, fill=True, color=LIGHT.bulk, label=f"$R + S$, {series['draws']} draws")
    x = np.linspace(0.01, 4, 800)
    left.plot(x, MarchenkoPastur(1.0).pdf(x), color=LIGHT.law, label="Marchenko-Pastur")
    left.set(ylim=(0, 1), xlim=(0, PLOT_ENDS), xlabel="eigenvalue of $X$", ylabel="density", title="Spectrum")
    inset = left.inset_axes((0.45, 0.28, 0.53, 0.38))
    inset.stairs(density, BINS, fill=True, color=LIGHT.bulk)
    for place in series["predicted"]:
        inset.axvline(place, color=LIGHT.spike, linestyle=":", linewidth=1)
    inset.set(xlim=(3.7, PLOT_ENDS), ylim=(0, 0.012), title="the same, enlarged")
    inset.title.set_fontsize(8.5)
    inset.tick_params(labelsize=8)
    left.plot([], [], ":", color=LIGHT.spike, linewidth=1, label="predicted outliers")
    left.legend(loc="upper right")
    right.axline((4, 4), slope=1, color=LIGHT.muted, linewidth=1)
    right.errorbar(
        series["predicted"], series["means"], series["spreads"], fmt="o", color=LIGHT.spike, markersize=4
    )
    for place, label in zip(READ_OFF, ("range in the paper's figure", None)):
        right.axhline(place, color=LIGHT.ink, linestyle="--", linewidth=1, label=label)
    right.set(xlabel=r"predicted $(\theta + 1/\theta)^2$", ylabel="outlier, mean ± sd", title="Outliers")
    right.legend(loc="upper left", bbox_to_anchor=(0, 0.93))
    return figure


EXPERIMENT = Experiment(
    name="esd_of_signal_and_noise",
    title="The spectrum of R + S in the papers' example",
    presets={"quick": grid(n=[N], seed=range(5)), "paper": grid(n=[N], seed=range(30))},
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
