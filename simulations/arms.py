r"""
Pruning while training: what the bulk is worth, and to whom
===========================================================

The numerical half of the Pruning Theorem trains networks, removes the singular values of their layers below
the Marchenko-Pastur edge as they train, and reports a drastic reduction of parameters at no loss of accuracy,
and for fully connected networks higher accuracy and less variance over initialisations. Here the same network
is trained in several arms from the same start, on the same samples in the same order:

* *none*: never pruned;
* *bulk*: dense layers cut once, after half of the epochs; what lies above the fitted edge stays and one in
  twenty of the values below it, stored as two factors where that saves parameters;
* *magnitude*: the largest entries, as many as *bulk* stores numbers;
* *random*: as many singular triplets as *bulk* keeps, drawn at random;
* *thin*: a network of such ranks from the start, so that no pruning was needed to find it.

So it is on equal footing: learning rates, momentum, penalties and epochs are alike. The *published*
protocol is that of the public code: half of the bulk fades away over six prunings, the rate falls and
velocities are forgotten only where the network is pruned, and the control keeps its first rate and is not
trained at all until the first pruning. What is due to pruning and what to these differences is told by a
third way, *the published pruning on equal footing*.

Settings of equal footing were chosen on a quarter of the MNIST and a third of the Fashion-MNIST training
images, held out, with seeds from 100 on, one to four a setting; test images and the seeds here played no
part. About thirty settings were tried: no penalty, :math:`\ell_1 = 10^{-5}`, :math:`\ell_2` from 0.001 to
0.01; pruning once after a third to three quarters of the epochs, or up to four times; He's, Glorot's and
smaller starts; none or up to a tenth of the bulk kept. Without a penalty accuracy fell by five points when
all of the bulk went at every fifth of 20 epochs; with :math:`\ell_2 = 0.003` the bulk has decayed before it
is cut. Intervals are over seeds, which draw initial weights and the order of samples, for the test images at
hand.

Run ``python simulations/arms.py [--preset quick|paper] [--jobs N] [--out DIR]``. ``quick`` takes over a
minute of one core, ``paper`` two to three hours of them; cells are kept, so that it can be stopped at any
time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from rmttheory.arrays import Placement, Stream
from rmttheory.networks import Dataset, Network, Protocol, load_dataset, published_protocol
from rmttheory.studies import figures
from rmttheory.studies.comparisons import Interval, holm, mean_interval, paired_difference, variance_ratio
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT
from rmttheory.studies.training_arms import (
    ARMS,
    L2,
    dense_layers,
    equal_footing,
    named_network,
    train_arms,
)
from rmttheory.theorem.verdicts import plain

LEVEL = 0.05
DRASTIC = 0.8
"""Share of the parameters that has to go to be called a drastic reduction."""

MARGIN = 0.01
"""Loss of accuracy that has to be excluded before none is said to be."""

PROTOCOLS = {
    "equal": "on equal footing",
    "alike": "with the published pruning on equal footing",
    "published": "under the published protocol",
}
DENSE, CONVOLUTIONAL = ("300-100", "512-512"), ("conv 6-12, 100",)

PRESETS = {
    "quick": grid(
        data=["fashion-mnist-3000", "mnist5k:2000+1000"],
        net=["300-100"],
        epochs=[24],
        protocol=PROTOCOLS,
        seed=range(3),
    ),
    "paper": (
        *grid(
            data=["mnist5k", "fashion-mnist:6000+10000"],
            net=DENSE,
            epochs=[24],
            protocol=PROTOCOLS,
            seed=range(20),
        ),
        *grid(
            data=["mnist5k", "fashion-mnist:4000+5000"],
            net=CONVOLUTIONAL,
            epochs=[12],
            protocol=["equal", "published"],
            seed=range(20),
        ),
    ),
}


# %%
# One cell is one protocol, from one seed, in all arms.


def protocol_of(name: str, network: Network, epochs: int) -> tuple[Protocol, dict[str, Any]]:
    """Return a protocol, and penalty and batch with it."""
    if name == "equal":
        return equal_footing(network, epochs), {"l2": L2, "batch": 64}
    published = published_protocol(every=max(2, epochs // 6), epochs=epochs, span=2.0 * epochs)
    schedule = replace(published.schedule, layers=dense_layers(network))
    published = replace(published, schedule=schedule, equal=name == "alike")
    return published, {"l1": 5e-6, "l2": 5e-6, "batch": 128}


@lru_cache(maxsize=1)
def images(name: str) -> Dataset:
    """Read a data set once a process."""
    return load_dataset(name)


def trial(cell: Mapping[str, Any], placement: Placement) -> dict[str, Any]:
    """Train one network in all arms of its protocol."""
    stream = Stream(cell["seed"], placement=replace(placement, dtype="float32")).child("arms")
    data = images(cell["data"])
    network = named_network(cell["net"], data, stream=stream.child("initial"))
    protocol, settings = protocol_of(cell["protocol"], network, cell["epochs"])
    arms = ARMS if cell["protocol"] == "equal" else ARMS[:2]
    outcomes = train_arms(network, data, protocol, arms=arms, stream=stream, **settings)
    return {"parameters": network.parameter_count, "arms": outcomes}


# %%
# Arms are compared in pairs of one seed. There is no loss of accuracy where the interval of the difference
# reaches 0 and excludes a loss of one point; it is not adjusted for being several, which would widen it.
# What the papers claim to be better is adjusted, over all networks and protocols, by Holm's method.


def compared(results: Sequence[Mapping[str, Any]], arm: str, other: str = "none") -> dict[str, Any]:
    """Return the numbers of one arm over seeds, and its comparison with another."""
    ours, theirs = ([result["arms"][name] for result in results] for name in (arm, other))
    accuracy, reference = ([one["accuracy"] for one in arms] for arms in (ours, theirs))
    whole = results[0]["parameters"]
    varies = len(results) > 2 and np.ptp(accuracy) and np.ptp(reference)
    return {
        "accuracy": mean_interval(accuracy),
        "train_accuracy": float(np.mean([one["train_accuracy"] for one in ours])),
        "loss": mean_interval([one["loss"] for one in ours]),
        "sd": float(np.std(accuracy, ddof=1)),
        "parameters": float(np.mean([one["parameters"] for one in ours])),
        "removed": 1 - float(np.mean([one["parameters"] for one in ours])) / whole,
        "dense_parameters": float(np.mean([one["dense_parameters"] for one in ours])),
        "ranks": np.median([one["ranks"] for one in ours], axis=0).tolist(),
        "difference": paired_difference(accuracy, reference),
        "loss_difference": paired_difference([a["loss"] for a in ours], [b["loss"] for b in theirs]),
        "variance_ratio": variance_ratio(accuracy, reference) if varies else None,
    }


def groups(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> list[dict[str, Any]]:
    """Return a dictionary for each data set, network and protocol, with what is said of each of its arms."""
    found: dict[tuple[str, str, str], list[Any]] = {}
    for cell, result in zip(cells, results):
        found.setdefault((cell["data"], cell["net"], cell["protocol"]), []).append(result)
    return [
        {
            "data": data,
            "net": net,
            "protocol": protocol,
            "seeds": len(those),
            "whole": those[0]["parameters"],
            "arms": {arm: compared(those, arm) for arm in those[0]["arms"]},
            "bulk against": {
                arm: paired_difference(*([r["arms"][a]["accuracy"] for r in those] for a in ("bulk", arm)))
                for arm in those[0]["arms"]
                if arm not in ("none", "bulk")
            },
        }
        for (data, net, protocol), those in found.items()
    ]


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    table = groups(cells, results)
    claims = [row for claim in (no_loss, higher, steadier) for row in claim(table)]
    there = Row(quantity="a simpler loss landscape", paper="yes", ours="see loss_landscape")
    rows = (*claims, there, *controls(table), *(row for group in table for row in arm_rows(group)))
    return Summary(verdict=verdict(table), rows=rows, series={"table": plain(table)})


def of_protocol(table: list[dict[str, Any]], protocol: str) -> list[dict[str, Any]]:
    return [group for group in table if group["protocol"] == protocol]


def place(group: Mapping[str, Any]) -> str:
    return f"{group['data']}, {group['net']}"


def lossless(group: Mapping[str, Any], arm: str = "bulk") -> bool | None:
    """Whether enough parameters went at no loss of accuracy; None where seeds are too few to tell."""
    found = group["arms"][arm]
    if found["removed"] < DRASTIC or found["difference"].high < 0:
        return False
    return True if found["difference"].low >= -MARGIN else None


def all_of(answers: Sequence[bool | None]) -> bool | None:
    """Whether all hold; None if none fails and some are open."""
    return False if False in answers else None if None in answers else True


def no_loss(table: list[dict[str, Any]]) -> Iterator[Row]:
    """Yield the first claim under each protocol, and what masks of the same size do."""
    for protocol, words in PROTOCOLS.items():
        chosen = of_protocol(table, protocol)
        for arm in [arm for arm in ("bulk", "magnitude") if chosen and arm in chosen[0]["arms"]]:
            parts = [
                f"{place(group)}: {100 * group['arms'][arm]['removed']:.1f} % removed, accuracy "
                f"{group['arms'][arm]['difference'].text(scale=100)} points"
                for group in chosen
            ]
            yield Row(
                quantity=f"at least {100 * DRASTIC:.0f} % of the parameters removed at no loss of accuracy, "
                f"{'the bulk' if arm == 'bulk' else 'the smallest entries instead'}, {words}",
                paper="yes" if arm == "bulk" else "-",
                ours="; ".join(parts),
                agrees=all_of([lossless(group, arm) for group in chosen]),
            )


def tested(table: list[dict[str, Any]], what: str) -> list[tuple[dict[str, Any], Interval, float]]:
    """Return dense networks with one comparison of the bulk arm, and its p-value after Holm."""
    pairs = [(group, group["arms"]["bulk"][what]) for group in table if "conv" not in group["net"]]
    pairs = [(group, found) for group, found in pairs if found is not None]
    adjusted = holm([found.p_value for _, found in pairs])
    return [(group, found, p) for (group, found), p in zip(pairs, adjusted)]


def claimed(
    table: list[dict[str, Any]], what: str, null: float, sign: int, quantity: str, scale: float
) -> Iterator[Row]:
    """Yield one claim on dense networks under each protocol."""
    for protocol, words in PROTOCOLS.items():
        chosen = [one for one in tested(table, what) if one[0]["protocol"] == protocol]
        if chosen:
            parts = [f"{place(group)}: {found.text(scale=scale)}, p = {p:.2g}" for group, found, p in chosen]
            seen = [sign * (found.value - null) > 0 and p < LEVEL for _, found, p in chosen]
            yield Row(quantity=f"{quantity}, {words}", paper="yes", ours="; ".join(parts), agrees=all(seen))


def higher(table: list[dict[str, Any]]) -> Iterator[Row]:
    """Yield the second claim under each protocol."""
    quantity = "higher accuracy of dense networks when pruned (points, p after Holm)"
    return claimed(table, "difference", 0.0, 1, quantity, 100.0)


def steadier(table: list[dict[str, Any]]) -> Iterator[Row]:
    """Yield the third claim under each protocol."""
    quantity = "less variance over initialisations (pruned over unpruned variance of accuracy, p after Holm)"
    return claimed(table, "variance_ratio", 1.0, -1, quantity, 1.0)


def controls(table: list[dict[str, Any]]) -> Iterator[Row]:
    """Yield how the bulk compares with other ways to the same number of parameters."""
    pairs = [(group, arm, found) for group in table for arm, found in group["bulk against"].items()]
    adjusted = holm([found.p_value for *_, found in pairs])
    for (group, arm, found), p in zip(pairs, adjusted):
        yield Row(
            quantity=f"{place(group)}: accuracy of bulk over {arm}, of equal size (points)",
            paper="-",
            ours=f"{found.text(scale=100)}, p = {p:.2g} after Holm",
        )


def arm_rows(group: Mapping[str, Any]) -> Iterator[Row]:
    """Yield a row for each arm."""
    for arm, found in group["arms"].items():
        ours = f"accuracy {found['accuracy'].text(scale=100)} %, sd {100 * found['sd']:.2f}"
        ours += f", in training {100 * found['train_accuracy']:.1f} %"
        ours += f", cross-entropy {found['loss'].text(digits=3)}"
        if arm != "none":
            difference = found["difference"]
            ours += f"; to none {difference.text(scale=100)} points, p = {difference.p_value:.2g}"
            ours += f"; {100 * found['removed']:.1f} % of {group['whole']:,} parameters removed"
            if found["variance_ratio"]:
                ratio = found["variance_ratio"]
                ours += f"; variance ratio {ratio.text()}, p = {ratio.p_value:.2g}"
        ranks = "-".join(f"{rank:.0f}" for rank in found["ranks"])
        words = PROTOCOLS[group["protocol"]]
        yield Row(
            quantity=f"{place(group)}, {words}: {arm}, {group['seeds']} seeds",
            paper="-",
            ours=f"{ours}; ranks {ranks}",
        )


def verdict(table: list[dict[str, Any]]) -> str:
    """Say in a sentence what was found."""
    parts = []
    for protocol, words in PROTOCOLS.items():
        chosen = of_protocol(table, protocol)
        answers = [lossless(group) for group in chosen]
        unsure = f" ({answers.count(None)} open)" if None in answers else ""
        if chosen:
            parts.append(f"{answers.count(True)} of {len(chosen)} networks {words}{unsure}")
    masks = [lossless(group, "magnitude") for group in of_protocol(table, "equal")]
    counts = []
    for what, null, sign in (("difference", 0.0, 1), ("variance_ratio", 1.0, -1)):
        found = tested(table, what)
        seen = [sign * (one.value - null) > 0 for _, one, p in found if p < LEVEL]
        counts.append(
            f"{seen.count(True)} of {len(found)} comparisons and the contrary in {seen.count(False)}"
        )
    return (
        f"Removing the bulk took at least {100 * DRASTIC:.0f} % of the parameters at no loss of accuracy in "
        f"{', '.join(parts)} (the smallest entries instead: {masks.count(True)} of {len(masks)}); dense "
        f"networks were more accurate when pruned in {counts[0]}, and varied less in {counts[1]} (Holm's "
        f"method at {100 * LEVEL:.0f} % for each claim)."
    )


# %%
# Accuracy of each arm over that of the network that was never pruned, and what is left of its variance.

COLOURS = {"bulk": LIGHT.law, "magnitude": LIGHT.spike, "random": LIGHT.muted, "thin": LIGHT.bulk}


def draw(summary: Summary) -> figures.Figure:
    lines = [
        (group, arm, found)
        for group in summary.series["table"]
        for arm, found in group["arms"].items()
        if arm != "none"
    ]
    figure = figures.Figure(figsize=(7.2, 1.1 + 0.2 * len(lines)))
    gains, ratios, kept = figure.subplots(1, 3, sharey=True, width_ratios=(4, 3, 2))
    for row, (_, arm, found) in enumerate(reversed(lines)):
        style = {"color": COLOURS[arm], "capsize": 2, "markersize": 4, "linewidth": 1.2}
        interval(gains, found["difference"], row, 100.0, style)
        if found["variance_ratio"]:
            interval(ratios, found["variance_ratio"], row, 1.0, style)
        kept.barh(row, 100 * (1 - found["removed"]), color=COLOURS[arm], height=0.6)
    for axes, null in ((gains, 0.0), (ratios, 1.0)):
        axes.axvline(null, color=LIGHT.ink, linestyle="--", linewidth=1, zorder=1)
    names = [f"{place(group)}: {arm}, {group['protocol']}" for group, arm, _ in reversed(lines)]
    gains.set_yticks(range(len(lines)), names, fontsize=7)
    gains.set_xscale("symlog", linthresh=1)
    gains.set_xticks([-100, -10, -1, 0, 1], ["−100", "−10", "−1", "0", "1"])
    gains.set(ylim=(-0.7, len(lines) - 0.3), xlim=(-100, 4))
    gains.xaxis.set_minor_locator(figures.NullLocator())
    ratios.set(xscale="log")
    kept.set(xlim=(0, 100))
    words = ("accuracy over none\n(points)", "variance over\nthat of none", "parameters\nkept (%)")
    for axes, label in zip((gains, ratios, kept), words):
        axes.set_xlabel(label, fontsize=8)
        axes.tick_params(axis="x", labelsize=8)
    return figure


def interval(axes: Any, found: Mapping[str, float], row: int, scale: float, style: dict[str, Any]) -> None:
    value, low, high = (scale * found[name] for name in ("value", "low", "high"))
    axes.errorbar(value, row, xerr=[[value - low], [high - value]], fmt="o", **style)


EXPERIMENT = Experiment(
    name="arms",
    title="Pruning while training, against its controls",
    presets=PRESETS,
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
