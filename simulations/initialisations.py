r"""
Accuracy and its variance over initialisations
==============================================

Pruning under the Marchenko-Pastur edge is reported to make dense networks more accurate and to let their
accuracy vary less from one initialisation to the next. Both are said of differences between runs, so both are
tested on pairs of runs that share everything but pruning: initial weights, samples and their order, learning
rates, momentum and penalty. Entries start with variance 2 / inputs (He), 1 / inputs (LeCun),
2 / (inputs + outputs) (Glorot), or :math:`1/N` and :math:`1/N^2` with :math:`N` the width, as in the papers.

Dense layers are cut once, after half of the epochs; see the page on arms for how settings were chosen.
p-values are adjusted over starts and networks by Holm's method, for either claim.

Run ``python simulations/initialisations.py [--preset quick|paper] [--jobs N] [--out DIR]``. ``quick`` takes
half a minute of one core, ``paper`` half an hour of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rmttheory.arrays import Placement, Stream
from rmttheory.networks import load_dataset
from rmttheory.studies import figures
from rmttheory.studies.comparisons import Interval, holm, mean_interval, paired_difference, variance_ratio
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT
from rmttheory.studies.training_arms import L2, equal_footing, named_network, train_arms
from rmttheory.theorem.verdicts import plain

LEVEL = 0.05
SCALES = ("he", "lecun", "glorot", "1/N", "1/N^2")

PRESETS = {
    "quick": grid(
        data=["fashion-mnist-3000:1000+1000"], net=["300-100"], scale=SCALES, epochs=[16], seed=range(4)
    ),
    "paper": grid(
        data=["mnist5k", "fashion-mnist:6000+10000"],
        net=["300-100"],
        scale=SCALES,
        epochs=[24],
        seed=range(20),
    ),
}


# %%
# One cell is one initialisation, pruned and unpruned.


def trial(cell: Mapping[str, Any], placement: Placement) -> dict[str, Any]:
    """Train one start pruned and unpruned."""
    stream = Stream(cell["seed"], placement=replace(placement, dtype="float32")).child("initialisations")
    data = load_dataset(cell["data"])
    network = named_network(cell["net"], data, stream=stream.child("initial"), scale=cell["scale"])
    protocol = equal_footing(network, cell["epochs"])
    outcomes = train_arms(network, data, protocol, arms=("none", "bulk"), stream=stream, l2=L2)
    return {"parameters": network.parameter_count, "arms": outcomes}


# %%
# The test of the variances is that of Pitman and Morgan: the two runs of a pair may be correlated.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    found: dict[tuple[str, str, str], list[Any]] = {}
    for cell, result in zip(cells, results):
        found.setdefault((cell["data"], cell["net"], cell["scale"]), []).append(result)
    table = [line(*key, those) for key, those in found.items()]
    for what in ("difference", "ratio"):
        adjusted = holm([one[what].p_value for one in table])
        for one, p in zip(table, adjusted):
            one[f"{what}, p"] = p
    rows = tuple(row for one in table for row in rows_of(one))
    return Summary(verdict=verdict(table), rows=rows, series={"table": plain(table)})


def line(data: str, net: str, scale: str, results: Sequence[Any]) -> dict[str, Any]:
    """Return the comparison for one start."""
    none, bulk = ([r["arms"][arm]["accuracy"] for r in results] for arm in ("none", "bulk"))
    stored = float(np.mean([result["arms"]["bulk"]["parameters"] for result in results]))
    varies = np.ptp(none) and np.ptp(bulk)
    return {
        "name": f"{data}, {net}, {scale}",
        "seeds": len(results),
        "none": mean_interval(none),
        "bulk": mean_interval(bulk),
        "sd": [float(np.std(arm, ddof=1)) for arm in (none, bulk)],
        "removed": 1 - stored / results[0]["parameters"],
        "difference": paired_difference(bulk, none),
        "ratio": variance_ratio(bulk, none) if varies else UNKNOWN,
    }


UNKNOWN = Interval(value=1.0, low=0.0, high=1e9, p_value=1.0)
"""Of a variance ratio where accuracy is the same over all seeds of an arm."""


def better(one: Mapping[str, Any], what: str) -> int:
    """Return 1 if pruning is better beyond chance, -1 if it is worse, and 0 if that is not seen."""
    if one[f"{what}, p"] >= LEVEL:
        return 0
    gain = one[what].value if what == "difference" else 1 - one[what].value
    return 1 if gain > 0 else -1


def rows_of(one: Mapping[str, Any]) -> Iterator[Row]:
    """Yield both claims for one start."""
    yield Row(
        quantity=f"{one['name']}: accuracy pruned over unpruned ({one['seeds']} pairs)",
        paper="higher",
        ours=f"{one['difference'].text(scale=100)} points, p = {one['difference, p']:.2g}; "
        f"unpruned {one['none'].text(scale=100)} %, {100 * one['removed']:.1f} % of parameters removed",
        agrees=better(one, "difference") > 0,
    )
    yield Row(
        quantity=f"{one['name']}: variance of accuracy, pruned over unpruned",
        paper="below 1",
        ours=f"{one['ratio'].text()}, p = {one['ratio, p']:.2g}; "
        f"sd {100 * one['sd'][1]:.2f} pruned, {100 * one['sd'][0]:.2f} unpruned",
        agrees=better(one, "ratio") > 0,
    )


def verdict(table: Sequence[Mapping[str, Any]]) -> str:
    """Say in a sentence how often either claim was seen."""
    counts = {what: [better(one, what) for one in table] for what in ("difference", "ratio")}
    said = [
        f"{words} in {seen.count(1)} of {len(table)} cases and {contrary} in {seen.count(-1)}"
        for (words, contrary), seen in zip((("higher", "lower"), ("less", "more")), counts.values())
    ]
    removed = [100 * one["removed"] for one in table]
    return (
        f"With {min(removed):.0f} to {max(removed):.0f} % of the parameters removed, accuracy is {said[0]}; "
        f"its variance over initialisations is {said[1]} (Holm's method at {100 * LEVEL:.0f} % for either)."
    )


def draw(summary: Summary) -> figures.Figure:
    table = list(reversed(summary.series["table"]))
    figure = figures.Figure(figsize=(7.2, 1.1 + 0.24 * len(table)))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, what, scale, null in zip(panels, ("difference", "ratio"), (100.0, 1.0), (0.0, 1.0)):
        for row, one in enumerate(table):
            value, low, high = (scale * one[what][name] for name in ("value", "low", "high"))
            reach = [[value - low], [high - value]]
            axes.errorbar(value, row, xerr=reach, fmt="o", color=LIGHT.law, capsize=2, markersize=4)
        axes.axvline(null, color=LIGHT.ink, linestyle="--", linewidth=1, zorder=1)
    panels[0].set_yticks(range(len(table)), [one["name"] for one in table], fontsize=7)
    panels[0].set_xlabel("accuracy, pruned over unpruned (points)", fontsize=8)
    panels[1].set(xscale="log")
    panels[1].set_xticks([0.5, 1, 2, 4], ["0.5", "1", "2", "4"])
    panels[1].xaxis.set_minor_locator(figures.NullLocator())
    panels[1].set_xlabel("variance, pruned over unpruned", fontsize=8)
    return figure


EXPERIMENT = Experiment(
    name="initialisations",
    title="Accuracy and its variance over initialisations",
    presets=PRESETS,
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
