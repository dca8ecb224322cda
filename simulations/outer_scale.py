r"""
The outer-layer scale and the accuracy against the width
========================================================

The loss theorem for three layers, with the noise in the middle one, assumes that
:math:`a(N, s) = \|W_3\|_\infty |W_1 s|_2 \sqrt{\log(2N) / N}` tends to 0. The paper trains networks
[784, N, N, 10] on Fashion-MNIST with an L1 penalty, inputs scaled to :math:`\max_s |s|_2 = 0.05` and entries
drawn from :math:`N(0, 1/N)` or :math:`N(0, 1/N^2)`, and draws :math:`\sqrt 2\, a + K N^{-3/8}` against
:math:`N`, where :math:`K = \|W_3\|_\infty |W_1 s|_2`. A factor of this falls with :math:`N` whatever the
network does, so here :math:`K` stands alone as well, with the part of it that was there before training.
Accuracies on the test set come from the same networks.

The paper does not say when inputs are scaled, nor which rate or penalty was used. Since these networks are
homogeneous, inputs may be scaled *before* training, or *after* it without changing one label; both are run.
For the same reason a small :math:`a` alone says nothing: a margin above :math:`4 \sqrt 2\, a` does, and its
share among the test samples is given.

Run ``python simulations/outer_scale.py [--preset quick|paper|published] [--device cuda] [--jobs N]``.
``paper`` takes six minutes of a core; ``published`` has the paper's widths and images, and needs a
GPU.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import Stream
from rmttheory.arrays import Array, Placement, namespace, scalar, to_host
from rmttheory.networks import Dense, Network, load_dataset, margins, train
from rmttheory.networks.datasets import Dataset
from rmttheory.studies import figures
from rmttheory.studies.comparisons import paired_difference
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT
from rmttheory.theorem.verdicts import Slope, fit_slope

LONGEST = 0.05
"""Length of the longest input after scaling."""
INITIAL = ("1/N", "1/N^2")
WIDTHS = (500, 1000, 1500, 2000, 3000, 4000, 5000, 7000, 10000, 20000, 30000)
PUBLISHED = {
    "1/N": (2.33, 1.69, 1.53, 1.47, 1.12, 0.93, 0.89, 0.83, 0.73, 0.55, 0.37),
    "1/N^2": (1.27, 0.69, 0.56, 0.44, 0.27, 0.23, 0.20, 0.145, 0.11, 0.065, 0.037),
}
"""The paper's diagnostic at these widths."""
RESOLUTION = 0.25
"""An interval of a slope that reaches further than this cannot tell the power 1/2 from none."""
LEARNED = 0.5
"""A network whose test accuracy is below has not learned, and its scale says nothing."""
PUBLISHED_ACCURACY = {"1/N": (88.5, 87.9), "1/N^2": (89.3, 88.55)}
"""Percent at the least and the largest width, read off the paper's figure."""


def explicit(n: float) -> float:
    """What multiplies ``K`` in the diagnostic: it falls with the width by itself."""
    return math.sqrt(2 * math.log(2 * n) / n) + n**-0.375


def slope_of(widths: Sequence[float], values: Sequence[float]) -> float:
    """Exponent of a power law through one value at each width."""
    return float(np.polyfit(np.log(widths), np.log(values), 1)[0])


def initial(cell: Mapping[str, Any], inputs: int, classes: int, place: Placement) -> Network:
    """Draw the three layers, without biases, all of one variance as the paper states it."""
    n = cell["n"]
    deviation = {"1/N": n**-0.5, "1/N^2": 1 / n}[cell["init"]]
    stream = Stream(cell["seed"], placement=place).child("initial")
    shapes = ((n, inputs), (n, n), (classes, n))
    weights = [stream.child(i).normal(shape, scale=deviation) for i, shape in enumerate(shapes)]
    return Network(tuple(Dense(W, None, kind) for W, kind in zip(weights, ("relu", "relu", "identity"))))


def outer_scale(network: Network, x: Array) -> Array:
    """``K`` of each sample."""
    layer = network.layers[0]
    images = layer.linear(network.inputs(x))
    return network.layers[2].stretch * namespace(images).linalg.vector_norm(images, axis=1)


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Train one network, and measure its outer-layer scale before and after."""
    place = dataclasses.replace(place, dtype="float32")
    data = load_dataset(cell["data"])
    factor = np.float32(LONGEST / np.max(np.linalg.norm(data.train_x, axis=1)))
    before = scaled(data, factor if cell["inputs"] == "before" else np.float32(1))
    after = data.test_x * factor  # the same whenever inputs are scaled
    start = initial(cell, data.train_x.shape[1], data.classes, place)
    network = train(
        start,
        before,
        epochs=cell["epochs"],
        rate=cell["rate"],
        batch=cell["batch"],
        l1=cell["l1"],
        rng=Stream(cell["seed"]).child("order"),
    )
    n, last = cell["n"], network.history[-1]
    scale = outer_scale(network.network, after)
    confidence = margins(network.network.logits(after), data.test_y)
    certified = 4 * math.sqrt(2) * scale * math.sqrt(math.log(2 * n) / n)
    xp = namespace(scale)
    return {
        "scale": scalar(xp.max(scale)),
        "mean": scalar(xp.mean(scale)),
        "start": scalar(xp.max(outer_scale(start, after))),
        "row sum": network.network.layers[2].stretch,
        "train": last.train_accuracy,
        "test": last.test_accuracy,
        "certified": float(np.mean(to_host(confidence > certified))),
    }


def scaled(data: Dataset, factor: np.float32) -> Dataset:
    return dataclasses.replace(data, train_x=data.train_x * factor, test_x=data.test_x * factor)


# %%
# Networks that did not learn are counted and left out. A slope agrees if the paper's lies in our interval of
# 95 %, unless that is too wide to say. Accuracies at the ends of the ladder are compared seed by seed.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Fit the slopes, set the paper's values beside ours, and say where the decay comes from."""
    rows, arms, words = [], {}, []
    for way in dict.fromkeys(_way(c) for c in cells):
        init, inputs, l1 = way
        name = f"{init}, inputs scaled {inputs} training, l1 = {l1:g}"
        mine = [(c, r) for c, r in zip(cells, results) if _way(c) == way]
        learned = [(c, r) for c, r in mine if r["test"] > LEARNED]
        widths = sorted({c["n"] for c, _ in learned})
        rows.append(
            Row(
                quantity=f"networks that learned, {name}",
                paper="all",
                ours=f"{len(learned)} of {len(mine)}",
                agrees=len(learned) == len(mine),
            )
        )
        if len(widths) < 2:
            continue
        at = {n: [r for c, r in learned if c["n"] == n] for n in widths}
        fits, found = _scale_rows(init, name, learned)
        rows += found
        own = slope_of(widths, [explicit(n) for n in widths])
        words.append(
            f"{fits['diagnostic'].value:.2f} for {name} ({own:.2f} from the explicit factor, "
            f"{fits['K'].value:+.2f} from K)"
        )
        means = {
            key: [float(np.mean([r[key] for r in at[n]])) for n in widths]
            for key in ("scale", "start", "certified", "test")
        }
        start = means["start"]
        ours = f"{start[0]:.3g} to {start[-1]:.3g}, slope {slope_of(widths, start):.2f}"
        rows.append(Row(quantity=f"K before training, {name}", paper="-", ours=ours))
        ours = f"{100 * means['certified'][0]:.1f} % to {100 * means['certified'][-1]:.1f} %"
        rows.append(Row(quantity=f"test samples with margin > 4 sqrt2 a, {name}", paper="-", ours=ours))
        ends = [{c["seed"]: r["test"] for c, r in learned if c["n"] == n} for n in (widths[0], widths[-1])]
        rows += _accuracy_rows(name, PUBLISHED_ACCURACY[init], *ends)
        points = [[c["n"], r["test"]] for c, r in learned]
        arms[name] = {"init": init, "inputs": inputs, "l1": l1, "widths": widths, "points": points, **means}
    active = max(r["certified"] for r in results)
    verdict = (
        f"The slope of sqrt2 a + K N^(-3/8) is {'; '.join(words)}, where the paper has "
        f"{' and '.join(f'{slope_of(WIDTHS, PUBLISHED[init]):.2f} ({init})' for init in INITIAL)}; the "
        f"certificate that a is for speaks of {100 * active:.1f} % of the test samples at most."
    )
    return Summary(verdict=verdict, rows=tuple(rows), series={"arms": arms})


def _way(cell: Mapping[str, Any]) -> tuple[str, str, float]:
    return cell["init"], cell["inputs"], cell["l1"]


def _scale_rows(init: str, name: str, learned: list[Any]) -> tuple[dict[str, Slope], list[Row]]:
    """Compare slopes of the diagnostic and of ``K``, and ``K`` itself where the paper has that width."""
    n = np.array([c["n"] for c, _ in learned])
    scale = np.array([r["scale"] for _, r in learned])
    factor = np.array([explicit(width) for width in n])
    theirs = {
        "diagnostic": PUBLISHED[init],
        "K": tuple(value / explicit(width) for width, value in zip(WIDTHS, PUBLISHED[init])),
    }
    fits, rows = {}, []
    for what, values in (("diagnostic", scale * factor), ("K", scale)):
        fit = fits[what] = fit_slope(n, values, alpha=0.025, claimed=-0.5)
        paper = slope_of(WIDTHS, theirs[what])
        rows.append(
            Row(
                quantity=f"slope of {'K' if what == 'K' else 'sqrt2 a + K N^(-3/8)'}, {name}",
                paper=f"{paper:.3f} over N = {WIDTHS[0]} to {WIDTHS[-1]}",
                ours=f"{fit.value:.3f} [{fit.low:.3f}, {fit.high:.3f}] over N = {n.min()} to {n.max()}",
                agrees=fit.low <= paper <= fit.high if fit.high - fit.value <= RESOLUTION else None,
            )
        )
    for width in sorted(set(n.tolist()) & set(WIDTHS)):
        paper = theirs["K"][WIDTHS.index(width)]
        ours = float(np.mean(scale[n == width]))
        rows.append(Row(quantity=f"K at N = {width}, {name}", paper=f"{paper:.2f}", ours=f"{ours:.2f}"))
    return fits, rows


def _accuracy_rows(
    name: str, read: tuple[float, float], first: dict[int, float], last: dict[int, float]
) -> list[Row]:
    """Compare the change of the test accuracy with what the paper says, and with what it draws."""
    seeds = sorted(first.keys() & last.keys())
    if len(seeds) < 2:
        return []
    change = paired_difference([last[seed] for seed in seeds], [first[seed] for seed in seeds])
    rises = None if change.low <= 0 <= change.high else change.value > 0
    ours = f"{change.text(scale=100)} points, {len(seeds)} seeds"
    return [
        Row(
            quantity=f"change of test accuracy with N, {name}",
            paper="increases (text)",
            ours=ours,
            agrees=rises,
        ),
        Row(
            quantity=f"change of test accuracy with N, {name}",
            paper=f"{read[1] - read[0]:+.2f} points (figure)",
            ours=ours,
            agrees=None if rises is None else not rises,
        ),
    ]


def draw(summary: Summary) -> figures.Figure:
    """Draw diagnostic, ``K`` alone, and test accuracy against the width."""
    figure = figures.Figure(figsize=(1.9 * figures.WIDTH, 4.2))
    left, middle, right = figure.subplots(1, 3)
    colors = {"1/N": LIGHT.law, "1/N^2": LIGHT.spike}
    pretty = {"1/N": "$N(0, 1/N)$", "1/N^2": "$N(0, 1/N^2)$"}
    for init, values in PUBLISHED.items():
        look: dict[str, Any] = {"color": colors[init], "markersize": 7, "linewidth": 1}
        left.plot(WIDTHS, values, "*:", label=f"{pretty[init]}, paper", **look)
        middle.plot(WIDTHS, [v / explicit(n) for n, v in zip(WIDTHS, values)], "*:", **look)
    for arm in summary.series["arms"].values():
        n, scale, before = arm["widths"], arm["scale"], arm["inputs"] == "before"
        style, look = "o-" if before else "s--", {"color": colors[arm["init"]], "markersize": 4}
        if arm["l1"] > WEAK:
            style = "^-."
        label = f"{pretty[arm['init']]}, scaled {arm['inputs']}, l1 = {arm['l1']:g}"
        left.plot(n, [k * explicit(width) for k, width in zip(scale, n)], style, label=label, **look)
        middle.plot(n, scale, style, **look)
        middle.plot(n, arm["start"], "-", color=colors[arm["init"]], linewidth=0.8)
        right.plot(n, 100 * np.array(arm["test"]), style, **look)
        width, accuracy = zip(*arm["points"])
        right.plot(width, 100 * np.array(accuracy), ".", color=colors[arm["init"]], markersize=3)
    left.plot([], [], "-", color=LIGHT.muted, linewidth=0.8, label="before training")
    for axes in (left, middle, right):
        axes.set(xscale="log", xlabel="$N$")
        axes.grid()
    left.set(yscale="log", title=r"$\sqrt{2}\,a + K N^{-3/8}$", ylabel="largest over the test set")
    middle.set(yscale="log", title=r"$K = \|W_3\|_\infty |W_1 s|_2$ alone")
    right.set(ylabel="percent, mean and each seed", title="Test accuracy")
    widths = sorted({width for arm in summary.series["arms"].values() for width in arm["widths"]})
    right.set_xticks(widths, map(str, widths))
    right.xaxis.set_minor_locator(figures.NullLocator())
    figure.legend(loc="outside lower center", ncols=4)
    return figure


WEAK, STRONG = 1e-6, 1e-4
RATES = {"before": 0.3, "after": 0.01}
"""On scaled inputs gradients are some hundred times smaller, but a rate as much larger is not stable. A
penalty above the weak one takes what starts at ``N(0, 1/N^2)`` to 0 before it has learned anything."""


def cells(inputs: str, **values: Any) -> tuple[dict[str, Any], ...]:
    """Return every combination of the values, trained on inputs scaled before or after."""
    given = {"init": INITIAL, "l1": [WEAK]} | values
    return tuple(cell | {"inputs": inputs, "rate": RATES[inputs]} for cell in grid(**given))


QUICK: dict[str, Any] = {"data": ["fashion-mnist-3000"], "batch": [32], "seed": range(3)}
PAPER: dict[str, Any] = {"data": ["fashion-mnist:6000+5000"], "batch": [32], "seed": range(3)}
FULL: dict[str, Any] = {"data": ["fashion-mnist"], "batch": [128], "seed": range(3)}
EXPERIMENT = Experiment(
    name="outer_scale",
    title="The outer-layer scale and the accuracy against the width",
    presets={
        "quick": cells("before", n=[48, 96, 192], epochs=[20], **QUICK)
        + cells("after", n=[48, 96, 192], epochs=[16], **QUICK),
        "paper": cells("before", n=[125, 250, 500], epochs=[24], **PAPER)
        + cells("after", n=[125, 250, 500], epochs=[8], **PAPER)
        + cells("after", n=[125, 250, 500], epochs=[8], init=["1/N"], l1=[STRONG], **PAPER),
        "published": cells("before", n=[500, 1000, 2000, 4000, 8000], epochs=[16], init=["1/N"], **FULL),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
