r"""
The published runs, with and without pruning, at the same steps
===============================================================

The log of the 2023 paper's dense network on Fashion-MNIST shows accuracies that jump where singular values
below the Marchenko-Pastur edge are removed, first at epoch 13: training accuracy from 93.2 to 94.6 %. At the
same epochs the optimiser is built anew, so that the learning rate falls at once by 41 % and velocities are 0.

Five arms share their first network and the order of the samples, and take the two apart:

* *pruned* and *control* as published, where the control keeps the first rate;
* *steps only*: rates and resets of the pruned arm, nothing removed;
* *pruned* and *control* on equal footing: one rate at each epoch for both, velocities kept.

What pruning does is pruned minus steps only. A network with one hidden layer, pruned by edge every fourth and
by size every fifth epoch as in the second published run, is compared with its control on equal footing; no
results of that run were stored.

Run ``python simulations/published_runs.py [--preset quick|paper] [--device cuda] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import Stream
from rmttheory.arrays import Placement
from rmttheory.networks import (
    Fading,
    Network,
    Protocol,
    PruningRun,
    PruningSchedule,
    PublishedEdge,
    initial_network,
    load_dataset,
    published_protocol,
    stored_parameters,
    train,
)
from rmttheory.studies import figures
from rmttheory.studies.comparisons import mean_interval, paired_difference
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT

EVERY = 13
PENALTY = 5e-6
DEEP = ("pruned", "steps only", "control", "pruned, equal", "control, equal")
SHALLOW = ("shallow pruned", "shallow control")
SMALL = 1e-3
"""Entries up to this are set to 0 by size; the size in the published run is not known."""
LOG = {("test", 12): 88.97, ("test", 13): 90.05, ("train", 12): 93.2, ("train", 13): 94.6}
"""Percent after so many epochs, from the stored log."""
LOG_ENDS = {"test": 90.8, "train": 100.0}
"""After epoch 55, its last."""


def deep_arguments(arm: str, epochs: int, rate: float) -> dict[str, Any]:
    """What `train` needs for an arm of the deep network."""
    published = published_protocol(every=EVERY, epochs=epochs, rate=rate)
    plan = dataclasses.replace(published, equal=arm.endswith("equal"))
    arguments = plan.arguments("control" if arm.startswith("control") else "pruned")
    if arm == "steps only":
        arguments["prune"] = PruningRun(plan.schedule.control(), always=True)
    return arguments


def shallow_arguments(arm: str, epochs: int, rate: float) -> dict[str, Any]:
    """What `train` needs for an arm of the network with one hidden layer."""
    by_edge = PruningSchedule(every=4, keep=Fading(span=300), edge=PublishedEdge())
    by_size = PruningSchedule(every=5, keep=1.0, edge=PublishedEdge(), small=SMALL)
    arguments = Protocol(schedule=by_edge, epochs=epochs, rate=rate).arguments("pruned")
    both = PruningRun(by_edge), PruningRun(by_size)
    return arguments | {"prune": one_after_the_other(*both) if arm == "shallow pruned" else None}


def one_after_the_other(first: PruningRun, second: PruningRun) -> Callable[[Network, int], Network | None]:
    """Prune by both; neither changes how many layers there are."""

    def prune(network: Network, epoch: int) -> Network | None:
        once: Any = first(network, epoch)
        twice: Any = second(once or network, epoch)
        return twice or once

    return prune


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Train one arm."""
    place = dataclasses.replace(place, dtype="float32")
    data, n, deep = load_dataset(cell["data"]), cell["n"], cell["arm"] in DEEP
    hidden = (n, n, n, n, n, n // 6) if deep else (n,)
    stream = Stream(cell["seed"], placement=place).child("deep" if deep else "shallow")
    sizes = (data.train_x.shape[1], *hidden, data.classes)
    arguments = (deep_arguments if deep else shallow_arguments)(cell["arm"], cell["epochs"], cell["rate"])
    trained = train(
        initial_network(sizes, stream=stream.child("initial"), scale="lecun"),
        data,
        batch=cell["batch"],
        l1=PENALTY,
        l2=PENALTY,
        rng=stream.child("order"),
        **arguments,
    )
    result = {
        half: [getattr(epoch, f"{half}_accuracy") for epoch in trained.history] for half in ("train", "test")
    } | {"rates": [epoch.rate for epoch in trained.history], "parameters": stored_parameters(trained.network)}
    prune = arguments["prune"]
    if isinstance(prune, PruningRun) and prune.schedule.removes:
        first = [event for event in prune.events if event.epoch == prune.events[0].epoch]
        result["factored"] = sum(event.action == "factored" for event in first)
        result["layers"] = len(first)
        below = sum(min(event.shape) - (event.above or 0) for event in first)
        removed = sum(event.rank_before - event.rank_after for event in first if event.action != "none")
        result["removed"] = removed / below
    return result


# %%
# Epochs are counted as in the log, which gives the twelfth before the first pruning, where a history here
# gives it after. Until then an arm is one with its twin that removes nothing, whose twelfth stands for both.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Set the log beside ours, and tell the effect of pruning from that of the steps."""
    found = {(c["arm"], c["seed"]): r for c, r in zip(cells, results)}
    seeds = {kind: sorted({c["seed"] for c in cells if (c["arm"] in kind)}) for kind in (DEEP, SHALLOW)}

    def at(arm: str, half: str, epoch: int) -> list[float]:
        """Accuracy of every seed after so many epochs; -1 is the end."""
        kind = DEEP if arm in DEEP else SHALLOW
        return [found[arm, seed][half][epoch - 1 if epoch > 0 else epoch] for seed in seeds[kind]]

    def before(arm: str, half: str) -> list[float]:
        """Accuracy of every seed after twelve epochs, before anything is removed."""
        return at({"pruned": "steps only", "pruned, equal": "control, equal"}.get(arm, arm), half, EVERY - 1)

    rows = []
    for (half, epoch), logged in LOG.items():
        values = before("pruned", half) if epoch < EVERY else at("pruned", half, epoch)
        ours = f"{mean_interval(values).text(scale=100)} %"
        rows.append(Row(quantity=f"{half} accuracy at epoch {epoch}", paper=f"{logged:.2f} %", ours=ours))
    for half, logged in LOG_ENDS.items():
        ours = f"{mean_interval(at('pruned', half, -1)).text(scale=100)} %"
        rows.append(Row(quantity=f"{half} accuracy at the end", paper=f"{logged:.2f} %", ours=ours))
    rises = {}
    for arm in DEEP:
        rise = rises[arm] = paired_difference(at(arm, "train", EVERY), before(arm, "train"))
        read, seen = "-", None
        if arm == "pruned":
            read = f"{LOG['train', 13] - LOG['train', 12]:+.1f} points"
            seen = None if rise.low <= 0 <= rise.high else rise.value > 0
        rows.append(
            Row(
                quantity=f"rise of the training accuracy from epoch 12 to 13, {arm}",
                paper=read,
                ours=f"{rise.text(scale=100)} points",
                agrees=seen,
            )
        )
    effects = {}
    for name, first, second in (
        ("as published", "pruned", "control"),
        ("at the same steps", "pruned", "steps only"),
        ("on equal footing", "pruned, equal", "control, equal"),
        ("one hidden layer, on equal footing", *SHALLOW),
    ):
        effect = effects[name] = paired_difference(at(first, "test", -1), at(second, "test", -1))
        rows.append(
            Row(
                quantity=f"test accuracy at the end, {first} minus {second}",
                paper="no results stored" if first in SHALLOW else "raised",
                ours=f"{effect.text(scale=100)} points",
                agrees=None if first in SHALLOW or effect.low <= 0 <= effect.high else effect.value > 0,
            )
        )
    first = [found["pruned", seed] for seed in seeds[DEEP]]
    rows.append(
        Row(
            quantity="layers stored as factors at the first pruning",
            paper="1 of 7",
            ours=f"{np.mean([r['factored'] for r in first]):.1f} of {first[0]['layers']}",
        )
    )
    removed = 100 * float(np.mean([r["removed"] for r in first]))
    rows.append(
        Row(
            quantity="values below the edge that were removed then",
            paper="1.3 to 3.9 %",
            ours=f"{removed:.1f} %",
            agrees=1.3 <= removed <= 3.9,
        )
    )
    for pruned, control in (("pruned", "control"), SHALLOW):
        left = [
            found[pruned, seed]["parameters"] / found[control, seed]["parameters"]
            for seed in seeds[DEEP if pruned in DEEP else SHALLOW]
        ]
        ours = f"{100 * np.mean(left):.0f} %"
        rows.append(Row(quantity=f"numbers left to store, {pruned}", paper="-", ours=ours))
    alone = paired_difference(at("pruned", "train", EVERY), at("steps only", "train", EVERY))
    rows.append(
        Row(
            quantity="the rise that pruning itself makes: pruned minus steps only",
            paper="-",
            ours=f"{alone.text(scale=100)} points",
        )
    )
    verdict = (
        f"Training accuracy rises by {100 * rises['pruned'].value:.1f} points at the first pruning, and by "
        f"{100 * rises['steps only'].value:.1f} where nothing is removed at the same steps; removal itself "
        f"makes {alone.text(scale=100)}. At the end pruning changes the test accuracy by "
        f"{'; '.join(f'{effect.text(scale=100)} {name}' for name, effect in effects.items())} points."
    )
    curves = {
        arm: {
            half: np.mean([found[arm, seed][half] for seed in seeds[DEEP]], axis=0).tolist()
            for half in ("train", "test")
        }
        | {"rates": found[arm, seeds[DEEP][0]]["rates"]}
        for arm in DEEP
    }
    return Summary(verdict=verdict, rows=tuple(rows), series={"curves": curves})


def draw(summary: Summary) -> figures.Figure:
    """Draw accuracies and rates of the deep arms."""
    figure = figures.Figure(figsize=(1.9 * figures.WIDTH, 3.9))
    panels = figure.subplots(1, 3)
    looks = {
        "pruned": (LIGHT.spike, "-"),
        "steps only": (LIGHT.law, "--"),
        "control": (LIGHT.muted, "-"),
        "pruned, equal": (LIGHT.spike, ":"),
        "control, equal": (LIGHT.muted, ":"),
    }
    for arm, curves in summary.series["curves"].items():
        color, style = looks[arm]
        epochs = np.arange(1, len(curves["train"]) + 1)
        for axes, half in zip(panels, ("train", "test")):
            axes.plot(epochs, 100 * np.array(curves[half]), style, color=color, linewidth=1.4)
        panels[2].plot(
            epochs, curves["rates"], style, color=color, linewidth=1.4, label=arm, drawstyle="steps-mid"
        )
    for axes, half in zip(panels, ("train", "test")):
        read = [(epoch, value) for (which, epoch), value in LOG.items() if which == half]
        axes.plot(*zip(*read), "*", color=LIGHT.ink, markersize=8)
        axes.set(title=f"{half.capitalize()} accuracy", ylabel="percent", ylim=(60, 101))
    panels[2].plot([], [], "*", color=LIGHT.ink, markersize=8, label="stored log")
    panels[2].set(title="Learning rate", ylim=(0, None))
    length = len(next(iter(summary.series["curves"].values()))["train"])
    for axes in panels:
        for epoch in range(EVERY, length + 1, EVERY):
            axes.axvline(epoch - 0.5, color=LIGHT.faint, linewidth=1)
        axes.set(xlabel="epoch")
    figure.legend(loc="outside lower center", ncols=6)
    return figure


def cells(n: int, wide: int, *, epochs: int, short: int, **values: Any) -> tuple[dict[str, Any], ...]:
    """Return all arms: of deep networks of width ``n``, and of those with one hidden layer, ``wide``.

    The latter must end where both kinds of pruning are due: training moves what was set to 0.
    """
    return grid(arm=DEEP, n=[n], epochs=[epochs], rate=[0.02], **values) + grid(
        arm=SHALLOW, n=[wide], epochs=[short], rate=[0.01], **values
    )


EXPERIMENT = Experiment(
    name="published_runs",
    title="The published runs, with and without pruning, at the same steps",
    presets={
        "quick": cells(60, 120, epochs=28, short=20, data=["fashion-mnist-3000"], batch=[32], seed=range(3)),
        "paper": cells(
            240, 1000, epochs=55, short=40, data=["fashion-mnist:6000+4000"], batch=[128], seed=range(4)
        ),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
