r"""
Penalties and pruning in one table
==================================

The paper trains a network [784, 3000, 3000, 3000, 3000, 500, 10] on Fashion-MNIST for 100 epochs with and
without penalties, and with and without removing singular values below the Marchenko-Pastur edge every fourth
epoch, and reports that pruning raises the test accuracy by 8 to 10 points.

In the published code the arms differ in more than pruning: learning rates fall, and velocities are forgotten,
only where a pruned network's optimiser is built anew, and what is not pruned keeps its first rate. Every arm
is run here in that way, *as published*, and *on equal footing*: one rate at each epoch for all arms, and
velocities kept. A linear classifier on the same images stands beside them, and every
arm comes with what is left of it to be stored.

Run ``python simulations/penalties_and_pruning.py [--preset quick|paper] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import Stream
from rmttheory.arrays import Placement
from rmttheory.networks import (
    Protocol,
    initial_network,
    load_dataset,
    published_protocol,
    stored_parameters,
    train,
)
from rmttheory.studies import figures
from rmttheory.studies.comparisons import Interval, mean_interval, paired_difference
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT

ARMS: dict[str, dict[str, Any]] = {
    "neither": {"pruned": False, "l1": 0.0, "l2": 0.0},
    "MP": {"pruned": True, "l1": 0.0, "l2": 0.0},
    "L1+L2": {"pruned": False, "l1": 1e-6, "l2": 1e-6},
    "MP+L1+L2": {"pruned": True, "l1": 1e-6, "l2": 1e-6},
    "MP+L2": {"pruned": True, "l1": 0.0, "l2": 1e-6},
}
PUBLISHED = {
    "neither": (78.03, 71.64),
    "MP": (88.12, 81.22),
    "L1+L2": (87.57, 81.70),
    "MP+L1+L2": (99.82, 90.53),
    "MP+L2": (99.98, 90.16),
}
"""Train and test accuracy in percent."""
PAIRS = (("MP", "neither"), ("MP+L1+L2", "L1+L2"))
PROTOCOLS = ("equal", "published")
NAMES = {"equal": "on equal footing", "published": "as published"}
EVERY, SPAN = 4, 200.0


def protocol(cell: Mapping[str, Any]) -> Protocol:
    """Prune at the start of every fourth epoch; the rate is ``0.01 * 0.96^(epoch / 4)``."""
    plan = published_protocol(every=EVERY, epochs=cell["epochs"], rate=cell["rate"], span=SPAN)
    return dataclasses.replace(plan, factor_every=EVERY, equal=cell["protocol"] == "equal")


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Train one arm."""
    place = dataclasses.replace(place, dtype="float32")
    data, n = load_dataset(cell["data"]), cell["n"]
    stream = Stream(cell["seed"], placement=place)
    hidden = () if cell["arm"] == "linear" else (n, n, n, n, n // 6)
    sizes = (data.train_x.shape[1], *hidden, data.classes)
    arm = ARMS["neither" if cell["arm"] == "linear" else cell["arm"]]
    network = train(
        initial_network(sizes, stream=stream.child("initial"), scale="lecun"),
        data,
        batch=cell["batch"],
        l1=arm["l1"],
        l2=arm["l2"],
        rng=stream.child("order"),
        **protocol(cell).arguments("pruned" if arm["pruned"] else "control"),
    )
    last = network.history[-1]
    return {
        "train": last.train_accuracy,
        "test": last.test_accuracy,
        "parameters": stored_parameters(network.network),
        "history": [epoch.test_accuracy for epoch in network.history],
    }


# %%
# Arms share their first network and the order of the samples, so that differences are taken seed by seed.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Set every accuracy beside the paper's, and what pruning changed beside what the paper says it did."""
    found = {(c["protocol"], c["arm"], c["seed"]): r for c, r in zip(cells, results)}
    seeds = sorted({c["seed"] for c in cells})

    def values(way: str, arm: str, what: str) -> list[Any]:
        return [found[way, arm, seed][what] for seed in seeds]

    linear = mean_interval(values("equal", "linear", "test"))
    rows = [Row(quantity="linear classifier: test", paper="-", ours=f"{linear.text(scale=100)} %")]
    for way in PROTOCOLS:
        for arm, (train_read, test_read) in PUBLISHED.items():
            ours = {half: mean_interval(values(way, arm, half)) for half in ("train", "test")}
            kept = np.mean(values(way, arm, "parameters")) / np.mean(values(way, "neither", "parameters"))
            rows.append(
                Row(
                    quantity=f"{arm}, {NAMES[way]}: train / test",
                    paper=f"{train_read:.2f} / {test_read:.2f} %",
                    ours=f"{ours['train'].text(scale=100)} / {ours['test'].text(scale=100)} %, "
                    f"{100 * kept:.0f} % of the parameters",
                )
            )
    gains: dict[str, dict[str, Interval]] = {}
    for way in PROTOCOLS:
        gains[way] = {}
        for pruned, control in PAIRS:
            gain = paired_difference(values(way, pruned, "test"), values(way, control, "test"))
            gains[way][f"{pruned} - {control}"] = gain
            read = PUBLISHED[pruned][1] - PUBLISHED[control][1]
            rows.append(
                Row(
                    quantity=f"test accuracy, {pruned} minus {control}, {NAMES[way]}",
                    paper=f"{read:+.2f} points",
                    ours=f"{gain.text(scale=100)} points",
                    agrees=True if gain.low > 0 else False if gain.high < read / 100 else None,
                )
            )
    below = [arm for arm, (_, test) in PUBLISHED.items() if test / 100 < linear.low]
    worse = [arm for way in PROTOCOLS for arm in ARMS if np.mean(values(way, arm, "test")) < linear.low]
    rows.append(
        Row(
            quantity="arms below the linear classifier",
            paper=", ".join(below) or "none",
            ours=", ".join(dict.fromkeys(worse)) or "none",
        )
    )
    said = "; ".join(
        f"{NAMES[way]} {', '.join(f'{g.text(scale=100)} ({name})' for name, g in gains[way].items())}"
        for way in PROTOCOLS
    )
    read = ", ".join(f"{PUBLISHED[a][1] - PUBLISHED[b][1]:+.1f}" for a, b in PAIRS)
    verdict = (
        f"Pruning changes the test accuracy, in points, {said}, where the paper has {read}; "
        f"of its {len(PUBLISHED)} arms {len(below)} did worse than a linear classifier does here."
    )
    history = {
        way: {
            arm: np.mean([found[way, arm, seed]["history"] for seed in seeds], axis=0).tolist()
            for arm in ARMS
        }
        for way in PROTOCOLS
    }
    series = {
        "history": history,
        "ends": {way: {arm: values(way, arm, "test") for arm in ARMS} for way in PROTOCOLS},
        "linear": linear.value,
    }
    return Summary(verdict=verdict, rows=tuple(rows), series=series)


def draw(summary: Summary) -> figures.Figure:
    """Draw accuracies along training in both ways, and where they end beside the paper's."""
    figure = figures.Figure(figsize=(1.9 * figures.WIDTH, 4.0))
    panels = figure.subplots(1, 3)
    looks = {
        "neither": (LIGHT.muted, "-"),
        "MP": (LIGHT.spike, "-"),
        "L1+L2": (LIGHT.muted, "--"),
        "MP+L1+L2": (LIGHT.spike, "--"),
        "MP+L2": (LIGHT.law, ":"),
    }
    for axes, (way, histories) in zip(panels, summary.series["history"].items()):
        for arm, history in histories.items():
            color, style = looks[arm]
            epochs = np.arange(1, len(history) + 1)
            axes.plot(epochs, 100 * np.array(history), style, color=color, label=arm, linewidth=1.4)
        axes.axhline(100 * summary.series["linear"], color=LIGHT.ink, linewidth=0.8, label="linear")
        axes.set(title=NAMES[way].capitalize(), xlabel="epoch", ylabel="test accuracy, %")
        axes.grid()
    for way, mark in zip(PROTOCOLS, "os"):
        for x, values in enumerate(summary.series["ends"][way].values()):
            shift = -0.12 if way == "equal" else 0.12
            panels[2].plot(
                np.full(len(values), x + shift), 100 * np.array(values), mark, markersize=3.5, color=LIGHT.law
            )
        panels[2].plot([], [], mark, markersize=3.5, color=LIGHT.law, label=NAMES[way])
    panels[2].plot(range(len(ARMS)), [PUBLISHED[arm][1] for arm in ARMS], "*", markersize=10, color=LIGHT.ink)
    panels[2].plot([], [], "*", markersize=10, color=LIGHT.ink, label="paper")
    panels[2].axhline(100 * summary.series["linear"], color=LIGHT.ink, linewidth=0.8)
    panels[2].set_xticks(range(len(ARMS)), list(ARMS), rotation=25, ha="right")
    panels[2].set(title="At the end, each seed", ylabel="test accuracy, %")
    panels[2].grid(axis="y")
    handles, labels = (a + b for a, b in zip(*(p.get_legend_handles_labels() for p in panels[1:])))
    figure.legend(handles, labels, loc="outside lower center", ncols=9, fontsize=8.5)
    return figure


def cells(**values: Any) -> tuple[dict[str, Any], ...]:
    """Return every arm in both ways, and the linear classifier once."""
    arms = grid(protocol=PROTOCOLS, arm=ARMS, **values)
    return arms + grid(protocol=["equal"], arm=["linear"], **values)


EXPERIMENT = Experiment(
    name="penalties_and_pruning",
    title="Penalties and pruning in one table",
    presets={
        "quick": cells(
            data=["fashion-mnist-3000"], n=[60], epochs=[32], rate=[0.01], batch=[32], seed=range(3)
        ),
        "paper": cells(
            data=["fashion-mnist:3000+4000"], n=[120], epochs=[100], rate=[0.01], batch=[64], seed=range(3)
        ),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
