r"""
A convolutional network behind a gate: which layers may be pruned
=================================================================

The third published run prunes the kernels of a convolutional network (1-32-64-128-256-512 channels, then
4608-1000-10) as matrices, every eleventh of 30 epochs, with :math:`\alpha = 0.2` and :math:`\beta = 0.9`. A
layer is cut only if its spectrum is close enough to a Marchenko-Pastur law: the largest distance of the
distribution functions has to be below 0.6 or 0.05. No results of that run were stored, and which layers the
two cutoffs are for is read here as: 0.6 for convolutions, 0.05 for dense layers.

A cutoff that does not depend on the shape is no test of a known level. What each gate does is measured twice:
on matrices of the shapes of this network whose truth is known, Gaussian noise and noise whose columns have
different sizes, so that there is no Marchenko-Pastur bulk; and while the network is trained, from one start
and on the same samples in the same order: never cut, cut behind the published gate, behind a gate that noise
fails with probability 0.01, and without a gate. All arms take the same steps, and what lies below the
published edge fades as published, by one part in 300 an epoch; so little is removed, with or without a gate.

Run ``python simulations/gated_convolutions.py [--preset quick|paper] [--jobs N] [--out DIR]``. Channels are
16-32-64 and the hidden layer has width 100, on part of the Fashion-MNIST images; ``paper`` takes a
quarter of an hour of one core.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rmttheory.arrays import InvalidInput, Placement, Stream
from rmttheory.networks import (
    Fading,
    FittedEdge,
    Network,
    Protocol,
    PruningRun,
    PruningSchedule,
    PublishedEdge,
    load_dataset,
    train,
)
from rmttheory.networks.layers import Dense
from rmttheory.studies import figures
from rmttheory.studies.comparisons import mean_interval, paired_difference
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT
from rmttheory.studies.training_arms import named_network
from rmttheory.theorem.verdicts import clopper_pearson, plain

ALPHA, BETA, EVERY = 0.2, 0.9, 11
CUTOFFS = {"convolution": 0.6, "dense": 0.05}
LEVEL = 0.01
GATES = ("published", "calibrated", "none")
PENALTY = 5e-6
SPREAD = 0.8
"""Standard deviation of the logarithm of the size of a column, where there is no Marchenko-Pastur bulk."""


def rule(gate: str, kind: str) -> FittedEdge | PublishedEdge:
    """Return the published edge behind a gate; the calibrated one judges the same window by its own fit."""
    if gate == "calibrated":
        return FittedEdge(alpha=ALPHA, gate=LEVEL)
    return PublishedEdge(alpha=ALPHA, beta=BETA, cutoff=CUTOFFS[kind] if gate == "published" else 1.0)


def schedule(network: Network, gate: str, kind: str) -> PruningSchedule:
    """Prune the layers of one kind, but the last, and leave them single matrices."""
    dense = {i for i in network.weighted if isinstance(network.layers[i], Dense)}
    chosen = [i for i in network.weighted[:-1] if (i in dense) == (kind == "dense")]
    keep = Fading(span=300)
    return PruningSchedule(every=EVERY, keep=keep, edge=rule(gate, kind), layers=tuple(chosen))


def both(runs: Sequence[PruningRun]) -> Callable[[Network, int], Network | None]:
    """Prune by one run after the other."""

    def prune(network: Network, epoch: int) -> Network | None:
        found = network
        for run in runs:
            found = run(found, epoch) or found  # type: ignore[assignment]
        return None if found is network else found

    return prune


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Train one arm, or see which of many drawn matrices a gate lets pass."""
    stream = Stream(cell["seed"], placement=replace(place, dtype="float32"))
    if cell["of"] == "gate":
        return passed(cell, stream.child("gate"))
    data = load_dataset(cell["data"])
    start = named_network(cell["net"], data, stream=stream.child("initial"))
    protocol = Protocol(
        schedule=schedule(start, "none", "dense"), epochs=cell["epochs"], rate=cell["rate"], factor=0.96
    )
    arguments = protocol.arguments("control")
    runs = [PruningRun(schedule(start, cell["gate"], kind)) for kind in CUTOFFS] if cell["gate"] else []
    arguments["prune"] = both(runs) if runs else None
    how: dict[str, Any] = {"l1": PENALTY, "l2": PENALTY, "batch": 64, "rng": stream.child("order")}
    last = train(start, data, **arguments, **how).history[-1]
    events = [
        {
            "epoch": event.epoch,
            "kind": kind,
            "shape": list(event.shape),
            "misfit": event.misfit,
            "cut": event.action != "none",
            "ranks": [event.rank_before, event.rank_after],
        }
        for kind, run in zip(CUTOFFS, runs)
        for event in run.events
    ]
    return {"test": last.test_accuracy, "train": last.train_accuracy, "events": events}


def passed(cell: Mapping[str, Any], stream: Stream) -> dict[str, Any]:
    """Count the draws of one shape that each gate lets pass."""
    n, m = cell["shape"]
    counts = dict.fromkeys(GATES[:2], 0)
    for i in range(cell["draws"]):
        one = stream.child(n, m, i)
        R = np.asarray(one.child("entries").normal((n, m)), dtype=np.float64)
        if cell["columns"] == "unequal":
            R = R * np.exp(SPREAD * np.asarray(one.child("sizes").normal((m,)), dtype=np.float64))
        s = np.linalg.svdvals(R)
        for gate in counts:
            try:
                counts[gate] += rule(gate, cell["kind"]).read(s, (n, m)).accepted
            except InvalidInput:  # too few values for a fit: such a layer is left alone
                continue
    return counts


# %%
# Shares are given with exact intervals of 95 %, accuracies as paired differences over seeds.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Say what passes each gate, and what that does to the network."""
    rows, gates = [], []
    for cell, result in zip(cells, results):
        if cell["of"] != "gate":
            continue
        n, m = cell["shape"]
        shares = {gate: result[gate] / cell["draws"] for gate in result}
        gates.append({"shape": f"{n} x {m}", "kind": cell["kind"], "columns": cell["columns"], **shares})
        texts = []
        for gate, count in result.items():
            low, high = clopper_pearson(count, cell["draws"], 0.05)
            texts.append(f"{gate} {100 * shares[gate]:.1f} [{100 * low:.1f}, {100 * high:.1f}] %")
        rows.append(
            Row(
                quantity=f"let pass, {n} x {m}, {cell['kind']}, "
                f"{'Gaussian noise' if cell['columns'] == 'alike' else 'columns of unequal size'}",
                paper="-",
                ours="; ".join(texts),
            )
        )
    found = {(c["gate"], c["seed"]): r for c, r in zip(cells, results) if c["of"] == "network"}
    seeds = sorted({seed for _, seed in found})
    arms = {}
    for gate in ("", *GATES):
        those = [found[gate, seed] for seed in seeds]
        tests = [one["test"] for one in those]
        accuracy = mean_interval(tests)
        ours = f"{accuracy.text(scale=100)} %"
        if gate:
            difference = paired_difference(tests, [found["", seed]["test"] for seed in seeds])
            events = [event for one in those for event in one["events"]]
            cut = {k: [e["cut"] for e in events if e["kind"] == k] for k in CUTOFFS}
            ranks = np.array([e["ranks"] for e in events], dtype=float)
            arms[gate] = {
                "difference": difference,
                "cut": {kind: float(np.mean(values)) for kind, values in cut.items()},
                "removed": float(1 - ranks[:, 1].sum() / ranks[:, 0].sum()),
            }
            ours += f"; to never cut {difference.text(scale=100)} points; cut in " + ", ".join(
                f"{sum(values)} of {len(values)} cases ({kind})" for kind, values in cut.items()
            )
            ours += f"; {100 * arms[gate]['removed']:.1f} % of the singular values removed at an event"
        name = {"": "never cut", "none": "no gate"}.get(gate, f"{gate} gate")
        rows.append(Row(quantity=f"test accuracy, {name}", paper="no results stored", ours=ours))

    def span(gate: str, **of: str) -> str:
        values = [100 * g[gate] for g in gates if all(g[name] == value for name, value in of.items())]
        ends = dict.fromkeys(f"{value:.0f}" for value in (min(values), max(values)))
        return f"{' to '.join(ends)} %"

    texts = [
        f"the cutoff {cutoff} for {words} lets {span('published', kind=kind, columns='alike')} of noise pass "
        f"and {span('published', kind=kind, columns='unequal')} of what has no such bulk"
        for (kind, cutoff), words in zip(CUTOFFS.items(), ("convolutions", "dense layers"))
    ]
    effects = ", ".join(f"{arm['difference'].text(scale=100)} ({gate} gate)" for gate, arm in arms.items())
    verdict = (
        f"{'; '.join(texts).capitalize()}; a gate of level {LEVEL} {span('calibrated', columns='alike')} and "
        f"{span('calibrated', columns='unequal')}. Cut behind a gate, the network gains "
        f"{effects.replace('none gate', 'no gate')} points over one that is never cut."
    )
    return Summary(verdict=verdict, rows=tuple(rows), series=plain({"gates": gates, "arms": arms}))


# %%
# Left: what passes each gate. Right: what pruning behind it does to the accuracy.

COLOURS = {"published": LIGHT.spike, "calibrated": LIGHT.law, "none": LIGHT.muted}


def draw(summary: Summary) -> figures.Figure:
    gates, arms = summary.series["gates"], summary.series["arms"]
    figure = figures.Figure(figsize=(1.7 * figures.WIDTH, 3.2))
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    for row, one in enumerate(reversed(gates)):
        for gate, shift in (("published", 0.18), ("calibrated", -0.18)):
            label = f"{gate} gate" if row == 0 else None
            left.barh(row + shift, 100 * one[gate], height=0.32, color=COLOURS[gate], label=label)
    words = {"alike": "noise", "unequal": "no bulk"}
    names = [f"{one['kind']} {one['shape']}, {words[one['columns']]}" for one in reversed(gates)]
    left.set_yticks(range(len(gates)), names, fontsize=8)
    left.set(xlim=(0, 100), xlabel="let pass (%)")
    for row, (gate, arm) in enumerate(reversed(arms.items())):
        value, low, high = (100 * arm["difference"][name] for name in ("value", "low", "high"))
        right.errorbar(
            value, row, xerr=[[value - low], [high - value]], fmt="o", color=COLOURS[gate], capsize=3
        )
    right.axvline(0, color=LIGHT.ink, linestyle="--", linewidth=1)
    right.set_yticks(
        range(len(arms)), [f"{gate} gate" if gate != "none" else "no gate" for gate in reversed(arms)]
    )
    right.set(ylim=(-0.6, len(arms) - 0.4), xlabel="accuracy over never cut (points)")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def cells(
    shapes: Mapping[str, Sequence[Sequence[int]]], draws: int, **values: Any
) -> tuple[dict[str, Any], ...]:
    """Return a cell for each shape and kind of noise, then one for each arm and seed."""
    known = tuple(
        {"of": "gate", "kind": kind, "shape": list(shape), "columns": columns, "draws": draws, "seed": 0}
        for kind, those in shapes.items()
        for shape in those
        for columns in ("alike", "unequal")
    )
    return known + grid(of=["network"], gate=["", *GATES], **values)


EXPERIMENT = Experiment(
    name="gated_convolutions",
    title="A convolutional network behind a gate",
    presets={
        "quick": cells(
            {"convolution": [(32, 144)], "dense": [(60, 288)]},
            100,
            data=["fashion-mnist-3000:1000+1000"],
            net=["conv 8-16-32, 60"],
            epochs=[12],
            rate=[0.02],
            seed=range(2),
        ),
        "paper": cells(
            {"convolution": [(32, 144), (64, 288)], "dense": [(100, 576)]},
            500,
            data=["fashion-mnist:2500+5000"],
            net=["conv 16-32-64, 100"],
            epochs=[24],
            rate=[0.02],
            seed=range(3),
        ),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
