r"""
Accuracy and losses under noise on the weights
==============================================

The paper adds independent normal noise to every layer but the last of a trained network
[784, 3000, 3000, 3000, 3000, 500, 10], and draws accuracy, cross-entropy and L2 loss against a noise level
:math:`\varepsilon` up to 0.01. The L2 loss tells what :math:`\varepsilon` is: for noise of standard deviation
:math:`\varepsilon` the penalty rises by :math:`\lambda \cdot \text{entries} \cdot \varepsilon^2` on average,
for variance :math:`\varepsilon` in proportion to :math:`\varepsilon`.

The other axis here is :math:`g = N \varepsilon^2`: independent entries at the Marchenko-Pastur
scale of the theorems have :math:`g = 1`. The paper's axis ends at :math:`g = 0.3`.

Run ``python simulations/noise_on_weights.py [--preset quick|paper|published] [--device cuda] [--jobs N]``.
``paper`` takes ten minutes of a core; ``published`` has the paper's widths and all images, and needs a GPU.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import Stream
from rmttheory.arrays import Array, HostArray, Placement, namespace, scalar
from rmttheory.networks import Network, accuracy, cross_entropy, initial_network, load_dataset, train
from rmttheory.studies import figures
from rmttheory.studies.comparisons import Interval, mean_interval
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT
from rmttheory.theorem.verdicts import fit_slope

LEVELS = (0.01, 0.03, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
"""Values of ``g``; ``1 / N``, where the standard deviation is ``1 / N``, comes first."""
AXIS_ENDS = 0.3
"""``g`` at the end of the paper's axis: 3000 * 0.01^2."""
LAMBDA = 0.01
"""Of the L2 loss, with which nothing is trained."""
DRAWS = 3
FALSE_ALARM = 1e-3
PENALTIES = {"l1": 5e-6, "l2": 5e-6}
CHUNK = 4096

PUBLISHED_LOSS = {0.0: 44.5, 0.002: 45.7, 0.004: 49.2, 0.006: 55.3, 0.008: 63.8, 0.01: 74.5}
"""L2 loss at ``eps``, read off the paper's figure to about 0.1."""
PUBLISHED = {
    "train accuracy": "100 to about 93 % (85 at worst)",
    "test accuracy": "90.3 to about 86 %",
    "train cross-entropy": "0.00 to 0.36 - 1.2",
    "test cross-entropy": "0.74 to 1.1 - 2.1",
}


def noisy(network: Network, deviation: float, stream: Stream) -> tuple[Network, float]:
    """Return the network with noise on all matrices but the last, and what that adds to ``sum W^2``."""
    added = 0.0
    for index in network.weighted[:-1]:
        W = network.layers[index].weight
        V = W + stream.child(index).normal(tuple(W.shape), scale=deviation)
        added += energy(V) - energy(W)
        network = network.replace(index, V)
    return network, added


def energy(W: Array) -> float:
    """``sum W^2``, added up in double precision."""
    xp = namespace(W)
    return scalar(xp.sum(W * W, dtype=xp.float64))


def measured(network: Network, samples: tuple[HostArray, HostArray]) -> dict[str, float]:
    """Return accuracy and cross-entropy, a chunk of samples at a time."""
    x, y = samples
    sums = {"accuracy": 0.0, "cross-entropy": 0.0}
    for i in range(0, len(x), CHUNK):
        logits, labels = network.logits(x[i : i + CHUNK]), y[i : i + CHUNK]
        sums["accuracy"] += accuracy(logits, labels) * len(labels)
        sums["cross-entropy"] += cross_entropy(logits, labels) * len(labels)
    return {name: total / len(x) for name, total in sums.items()}


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Train one network, and measure it at every level of noise."""
    place = dataclasses.replace(place, dtype="float32")
    data = load_dataset(cell["data"])
    n = cell["n"]
    stream = Stream(cell["seed"], placement=place).child("width", n)
    sizes = (data.train_x.shape[1], n, n, n, n, n // 6, data.classes)
    start = initial_network(sizes, stream=stream.child("initial"), scale="lecun")
    network = train(
        start,
        data,
        epochs=cell["epochs"],
        rate=cell["rate"],
        batch=cell["batch"],
        schedule=lambda epoch: 0.96**epoch,
        rng=stream.child("order"),
        **PENALTIES,
    ).network
    matrices = [network.layers[index].weight for index in network.weighted[:-1]]
    halves = {"train": (data.train_x, data.train_y), "test": (data.test_x, data.test_y)}

    def found(at: Network) -> dict[str, float]:
        return {
            f"{half} {name}": value
            for half, samples in halves.items()
            for name, value in measured(at, samples).items()
        }

    draws = []
    for g in (1 / n, *LEVELS):
        for i in range(DRAWS):
            disturbed, added = noisy(network, math.sqrt(g / n), stream.child("noise", g, i))
            draws.append({"g": g, "added": added} | found(disturbed))
    return {
        "clean": found(network),
        "energy": sum(energy(W) for W in matrices),
        "entries": sum(math.prod(W.shape) for W in matrices),
        "draws": draws,
    }


# %%
# For independent noise the penalty rises by :math:`\lambda (\|R\|_F^2 + 2 \langle W, R \rangle)`, whose mean
# and variance are known: :math:`\text{entries}\, \varepsilon^2` and
# :math:`2\, \text{entries}\, \varepsilon^4 + 4 \varepsilon^2 \|W\|_F^2`, times :math:`\lambda` and
# :math:`\lambda^2`. Every draw is compared with that, at one level for all of them together.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Judge the quadratic law, and read the changes at the paper's noise and at that of the theorems."""
    from scipy.special import ndtri

    deviations = []
    for cell, r in zip(cells, results):
        for one in r["draws"]:
            square = one["g"] / cell["n"]
            spread = math.sqrt(2 * r["entries"] * square**2 + 4 * square * r["energy"])
            deviations.append((one["added"] - r["entries"] * square) / spread)
    worst = float(np.max(np.abs(deviations)))
    allowed = -float(ndtri(FALSE_ALARM / 2 / len(deviations)))
    levels = np.array([one["g"] for r in results for one in r["draws"]])
    roots = np.sqrt(levels)
    relative = np.array(
        [c["n"] * one["added"] / r["entries"] for c, r in zip(cells, results) for one in r["draws"]]
    )
    fit = fit_slope(roots[levels >= 0.01], relative[levels >= 0.01], alpha=0.025, claimed=2)
    eps = np.array(sorted(PUBLISHED_LOSS))[1:]
    rises = np.array([PUBLISHED_LOSS[e] for e in eps]) - PUBLISHED_LOSS[0.0]
    theirs = float(np.polyfit(np.log(eps), np.log(rises), 1)[0])
    factor = float(rises @ eps**2 / np.sum(eps**4))
    off = float(np.max(np.abs(rises - factor * eps**2)))
    published_entries = 784 * 3000 + 3 * 3000**2 + 3000 * 500
    rows = [
        Row(
            quantity="exponent of the rise of the L2 loss in eps",
            paper=f"{theirs:.2f} (read off)",
            ours=f"{fit.value:.3f} [{fit.low:.3f}, {fit.high:.3f}]",
            agrees=abs(theirs - fit.value) < 0.5,
        ),
        Row(
            quantity="rise of the L2 loss against lambda * entries * eps^2",
            paper=f"largest error {off:.1f} at lambda = {factor / published_entries:.4f}",
            ours=f"largest of {len(deviations)} deviations {worst:.1f} sd, {allowed:.1f} allowed",
            agrees=worst < allowed,
        ),
    ]
    changes: dict[str, dict[str, dict[float, Interval]]] = {}
    widths = sorted({c["n"] for c in cells})
    for n in widths:
        mine = [r for c, r in zip(cells, results) if c["n"] == n]
        changes[str(n)] = {
            what: {g: mean_interval(change_at(mine, what, g)) for g in (1 / n, *LEVELS)} for what in PUBLISHED
        }
        for what, paper in PUBLISHED.items():
            found = changes[str(n)][what]
            scale, unit = (100, "points") if "accuracy" in what else (1, "nats")
            clean = float(np.mean([r["clean"][what] for r in mine]))
            rows.append(
                Row(
                    quantity=f"change of {what} at g = {AXIS_ENDS:g} from {scale * clean:.3g}, N = {n}",
                    paper=paper,
                    ours=f"{found[AXIS_ENDS].text(scale=scale)} {unit}",
                    agrees=_rises(found[AXIS_ENDS], "entropy" in what),
                )
            )
        test = changes[str(n)]["test accuracy"]
        rows += [
            Row(
                quantity=f"change of test accuracy at eps = 1/N, g = {1 / n:.1g}, N = {n}",
                paper="none",
                ours=f"{test[1 / n].text(scale=100)} points",
                agrees=abs(test[1 / n].value) < 0.005,
            ),
            Row(
                quantity=f"change of test accuracy at g = 1, N = {n}",
                paper="not shown",
                ours=f"{test[1.0].text(scale=100)} points",
            ),
        ]
    widest = changes[str(widths[-1])]["test accuracy"]
    series = {
        "levels": {n: list(by["test accuracy"]) for n, by in changes.items()},
        "changes": {
            n: {what: [[x.value, x.low, x.high] for x in by.values()] for what, by in found.items()}
            for n, found in changes.items()
        },
        "relative": [levels, relative],
    }
    variance = "a standard deviation" if theirs > 1.5 else "a variance"
    verdict = (
        f"The published L2 loss rises with eps to the power {theirs:.2f}, so eps is {variance} and its axis "
        f"ends at g = {AXIS_ENDS:g}; there test accuracy has changed by "
        f"{100 * widest[AXIS_ENDS].value:+.1f} points at N = {widths[-1]}, at the Marchenko-Pastur "
        f"scale g = 1 by {100 * widest[1.0].value:+.1f}, and at eps = 1/N by "
        f"{100 * widest[1 / widths[-1]].value:+.2f}."
    )
    return Summary(verdict=verdict, rows=tuple(rows), series=series)


def change_at(results: Sequence[Any], what: str, g: float) -> list[float]:
    """Return how far a measurement is from that without noise, averaged over the draws of each network."""
    return [
        float(np.mean([one[what] for one in r["draws"] if one["g"] == g])) - r["clean"][what] for r in results
    ]


def _rises(change: Interval, expected: bool) -> bool | None:
    return None if change.low <= 0 <= change.high else (change.value > 0) == expected


def draw(summary: Summary) -> figures.Figure:
    """Draw all four changes and the L2 loss against ``g``."""
    figure = figures.Figure(figsize=(1.9 * figures.WIDTH, 4.0))
    panels = figure.subplots(1, 3)
    colors = {"train": LIGHT.law, "test": LIGHT.spike}
    styles = ("-", "--", ":")
    for style, (n, changes) in zip(styles, summary.series["changes"].items()):
        g = np.array(summary.series["levels"][n])
        for what, values in changes.items():
            half, name = what.split(" ", 1)
            scale = 100 if name == "accuracy" else 1
            mean, low, high = (scale * np.array(column) for column in zip(*values))
            axes = panels[0 if name == "accuracy" else 1]
            look: dict[str, Any] = {"color": colors[half], "markersize": 3.5}
            axes.errorbar(g, mean, (mean - low, high - mean), fmt=f"o{style}", capsize=2, **look)
    for half, color in colors.items():
        panels[2].plot([], [], "-", color=color, label=f"{half} set")
    for style, n in zip(styles, summary.series["changes"]):
        panels[2].plot([], [], style, color=LIGHT.muted, label=f"$N$ = {n}")
    levels, relative = (np.array(values) for values in summary.series["relative"])
    g = np.geomspace(levels.min(), levels.max(), 50)
    panels[2].plot(levels, relative, "o", color=LIGHT.muted, markersize=3.5, label="each draw")
    panels[2].plot(g, g, color=LIGHT.ink, linewidth=1, label="known mean")
    eps = np.array([e for e in PUBLISHED_LOSS if e])
    rises = np.array([PUBLISHED_LOSS[e] - PUBLISHED_LOSS[0.0] for e in eps])
    published = rises / rises[-1] * AXIS_ENDS
    panels[2].plot(3000 * eps**2, published, "*", color=LIGHT.spike, markersize=9, label="paper, scaled")
    titles = ("Accuracy", "Cross-entropy", "L2 loss")
    labels = ("change in points", "change in nats", r"rise $\cdot\, N / (\lambda \cdot$ entries$)$")
    for axes, title, label in zip(panels, titles, labels):
        axes.axvline(AXIS_ENDS, color=LIGHT.muted, linestyle=":", linewidth=1)
        axes.axvline(1, color=LIGHT.ink, linestyle="--", linewidth=1)
        axes.set(xscale="log", xlabel=r"$g = N \varepsilon^2$", ylabel=label, title=title)
        axes.grid()
    panels[0].annotate(
        "paper's axis ends",
        (AXIS_ENDS, 0.03),
        rotation=90,
        ha="right",
        fontsize=8.5,
        xycoords=("data", "axes fraction"),
    )
    panels[0].annotate(
        "$g = 1$", (1, 0.03), rotation=90, ha="right", fontsize=8.5, xycoords=("data", "axes fraction")
    )
    panels[2].set(yscale="log")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


EXPERIMENT = Experiment(
    name="noise_on_weights",
    title="Accuracy and losses under noise on the weights",
    presets={
        "quick": grid(
            data=["fashion-mnist-3000"], n=[60, 120], epochs=[20], rate=[0.02], batch=[32], seed=range(3)
        ),
        "paper": grid(
            data=["fashion-mnist:6000+5000"],
            n=[300, 600],
            epochs=[30],
            rate=[0.02],
            batch=[32],
            seed=range(3),
        ),
        "published": grid(
            data=["fashion-mnist"], n=[3000], epochs=[24], rate=[0.02], batch=[128], seed=range(3)
        ),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
