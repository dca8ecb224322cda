r"""
Parameters kept against accuracy, with certificates beside
==========================================================

A network is trained and then cut without training on: at its fitted Marchenko-Pastur edge, and at multiples
of it. The ranks that this leaves set the size for every other way to cut: shrunk values, the largest entries,
singular triplets drawn at random, and a random projection. Storing a truncated layer as two factors changes
nothing that the network computes, and is what the count of parameters means for all but the mask.

Beside the accuracy stands what is certain of truncation: the share of the first 2,000 test images whose label
provably stays, whatever share of each removed bulk is removed. Intervals for every coordinate and a ball are
carried through all cut layers to the differences of logits (`rmttheory.theorem.intervals`); rounding in
single precision is allowed for.

Run ``python simulations/parameters_kept.py [--preset quick|paper] [--jobs N] [--out DIR]``. ``quick`` takes
less than a minute of one core, ``paper`` about a quarter of an hour of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np

from rmttheory.arrays import Placement, Stream, namespace, to_host
from rmttheory.matrices import fit_edge
from rmttheory.networks import Network, cut_network, decay, load_dataset, stored_parameters, train
from rmttheory.networks.arms import Arm
from rmttheory.studies import figures
from rmttheory.studies.comparisons import mean_interval
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT
from rmttheory.studies.training_arms import FALL, L2, RATE, named_network
from rmttheory.theorem.intervals import labels_that_stay
from rmttheory.theorem.verdicts import plain

SCALES = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5, 2.0)
"""Multiples of the fitted edge."""
ARMS: tuple[Arm, ...] = get_args(Arm)
PROVED = 2000
"""Test images of which it is proved."""
MARGIN = 0.01
"""Loss of accuracy that has to be excluded before none is said to be."""
DRASTIC = 0.8
"""Share of the parameters that has to go to be called a drastic reduction."""
PENALTIES = (0.0, L2)
"""Of ``l2``: without, the bulk stays as it was drawn; with, it has decayed when it is cut."""

PRESETS = {
    "quick": grid(data=["fashion-mnist-3000"], net=["300-100"], l2=PENALTIES, epochs=[24], seed=range(3)),
    "paper": grid(
        data=["mnist5k", "fashion-mnist:6000+10000"],
        net=["300-100", "512-512"],
        l2=PENALTIES,
        epochs=[24],
        seed=range(5),
    ),
}


# %%
# One cell is one network, trained once and cut in every way.


def trial(cell: Mapping[str, Any], placement: Placement) -> dict[str, Any]:
    """Train, then cut every dense layer but the last."""
    stream = Stream(cell["seed"], placement=replace(placement, dtype="float32")).child("kept")
    data = load_dataset(cell["data"])
    start = named_network(cell["net"], data, stream=stream.child("initial"), bias=False)
    network = train(
        start,
        data,
        epochs=cell["epochs"],
        rate=RATE,
        schedule=decay(FALL ** (1 / cell["epochs"])),
        l2=cell["l2"],
        rng=stream.child("samples"),
    ).network
    before, labels = to_host(network.logits(data.test_x)), data.test_y
    edges = {}
    for index in network.weighted[:-1]:
        W = network.layers[index].weight
        s = namespace(W).linalg.svdvals(W)
        edges[index] = (fit_edge(s, W.shape).edge, to_host(s))
    cuts = []
    for scale in SCALES:
        sizes = {}
        for index, (edge, s) in edges.items():
            n, m = network.layers[index].weight.shape
            size = max(1, int(np.sum(s > scale * edge))) * (n + m)
            if size < n * m:  # otherwise two factors save nothing, and the layer stays
                sizes[index] = size
        for arm in ARMS:
            draws = stream.child(arm, str(scale))
            cut = cut_network(network, arm, parameters=sizes, rng=draws)
            stored = (
                cut
                if arm == "mask"
                else cut_network(network, arm, parameters=sizes, factored=True, rng=draws)
            )
            found = judged(network, cut, data.test_x, labels, before, prove=arm == "truncated")
            cuts.append({"scale": scale, "arm": arm, **found})
            cuts[-1]["parameters"] = stored_parameters(stored)
            if arm == "truncated":
                factors = to_host(stored.logits(data.test_x))
                cuts[-1]["factored"] = float(np.abs(factors - to_host(cut.logits(data.test_x))).max())
    return {
        "parameters": network.parameter_count,
        "accuracy": accuracy(before, labels),
        "cuts": cuts,
        "above": [int(np.sum(s > edge)) for edge, s in edges.values()],
    }


def judged(
    network: Network, cut: Network, x: Any, labels: np.ndarray, before: np.ndarray, *, prove: bool
) -> dict[str, float]:
    """Return what a cut does to accuracy and labels, and for how many labels that is certain."""
    after = to_host(cut.logits(x))
    top = np.sort(before, axis=1)
    kept = before.argmax(axis=1) == after.argmax(axis=1)
    real = np.abs(after - before).max(axis=1)
    found = {
        "accuracy": accuracy(after, labels),
        "realised": float(np.mean(top[:, -1] - top[:, -2] > 2 * real)),
        "stays": float(np.mean(kept)),
    }
    if prove:
        pairs = enumerate(zip(network.layers[:-1], cut.layers[:-1]))
        removed = {i: to_host(a.weight).astype(float) - to_host(b.weight) for i, (a, b) in pairs}
        _, certain = labels_that_stay(network, x[:PROVED], removed, unit=2.0**-24)
        found["certified"] = float(np.mean(certain))
        found["wrongly certified"] = float(np.mean(certain & ~kept[:PROVED]))
    return found


def accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(logits.argmax(axis=1) == labels))


# %%
# A certificate is worth the labels that it covers beside those that really stay.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    found: dict[tuple[str, str, float], list[Any]] = {}
    for cell, result in zip(cells, results):
        found.setdefault((cell["data"], cell["net"], cell["l2"]), []).append(result)
    table = [group(*key, those) for key, those in found.items()]
    proofs = [cut["wrongly certified"] for r in results for cut in r["cuts"] if "certified" in cut]
    wrong = sum(proof > 0 for proof in proofs)
    rows = [row for one in table for row in rows_of(one)]
    drift = max(cut["factored"] for result in results for cut in result["cuts"] if "factored" in cut)
    rows.append(Row(quantity="largest change of a logit by storing factors", paper="0", ours=f"{drift:.1e}"))
    rows.append(
        Row(
            quantity="cuts with a label certified and changed",
            paper="0",
            ours=f"{wrong} of {len(proofs)}",
            agrees=not wrong,
        )
    )
    return Summary(verdict=verdict(table, wrong), rows=tuple(rows), series={"table": plain(table)})


def group(data: str, net: str, l2: float, results: Sequence[Any]) -> dict[str, Any]:
    """Return means over seeds for each scale and way to cut."""
    lines = []
    for i, cut in enumerate(results[0]["cuts"]):
        those = [result["cuts"][i] for result in results]
        change = [one["accuracy"] - result["accuracy"] for one, result in zip(those, results)]
        shares = [name for name in ("certified", "realised", "stays", "accuracy") if name in cut]
        lines.append(
            {
                "scale": cut["scale"],
                "arm": cut["arm"],
                "kept": float(np.mean([one["parameters"] for one in those])) / results[0]["parameters"],
                "change": mean_interval(change),
                **{share: float(np.mean([one[share] for one in those])) for share in shares},
            }
        )
    before = mean_interval([result["accuracy"] for result in results])
    name = f"{data}, {net}, l2 = {l2:g}"
    return {"name": name, "seeds": len(results), "accuracy": before, "lines": lines}


def at_edge(one: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {line["arm"]: line for line in one["lines"] if line["scale"] == 1.0}


def keeps(line: Mapping[str, Any]) -> bool | None:
    """Whether accuracy stays; None where seeds are too few to tell."""
    if line["change"].high < 0:
        return False
    return True if line["change"].low >= -MARGIN else None


def rows_of(one: Mapping[str, Any]) -> Iterator[Row]:
    """Yield every way to cut at the edge, and truncation beside it."""
    for line in one["lines"]:
        if line["scale"] == 1.0 or line["arm"] == "truncated":
            claimed = line["scale"] == 1.0 and line["arm"] == "truncated"
            yield Row(
                quantity=f"{one['name']}: {line['arm']}, size of {line['scale']:g} times the edge",
                paper="accuracy stays" if claimed else "-",
                ours=f"{100 * line['kept']:.1f} % of parameters kept, accuracy "
                f"{line['change'].text(scale=100)} points; {100 * line['stays']:.1f} % of labels stay"
                + (f", {100 * line['certified']:.1f} % certified" if "certified" in line else ""),
                agrees=keeps(line) if claimed else None,
            )


def verdict(table: list[dict[str, Any]], wrong: int) -> str:
    """Say in a sentence what the cut at the edge does."""
    truncated = [at_edge(one)["truncated"] for one in table]
    held = [keeps(line) for line in truncated]
    best = [max(at_edge(one).values(), key=lambda line: line["accuracy"])["arm"] for one in table]
    certified = [100 * line["certified"] for line in truncated]
    drastic = sum(bool(keeps(line)) and line["kept"] <= 1 - DRASTIC for line in truncated)
    kept, changes = (
        [f(line) for line in truncated] for f in (lambda x: x["kept"], lambda x: x["change"].value)
    )
    return (
        f"Cut at the edge after training, without training on, {100 * min(kept):.0f} to "
        f"{100 * max(kept):.0f} % of the parameters stay and accuracy changes by {100 * min(changes):.1f} to "
        f"{100 * max(changes):.1f} points; it stays in {held.count(True)} of {len(held)} settings "
        f"({held.count(None)} open), in {drastic} of these with at least {100 * DRASTIC:.0f} % of the "
        f"parameters removed, and of ways of one size truncation is the best in {best.count('truncated')}; "
        f"{min(certified):.0f} to {max(certified):.0f} % of the labels are certified at the edge, and "
        f"{wrong or 'none'} of all cuts changed a certified one."
    )


COLOURS = dict(zip(ARMS, (LIGHT.law, LIGHT.ink, LIGHT.spike, LIGHT.muted, LIGHT.bulk)))


def draw(summary: Summary) -> figures.Figure:
    table = summary.series["table"]
    figure = figures.Figure(figsize=(7.2, 0.6 + 2.3 * len(table)))
    panels = figure.subplots(len(table), 2, squeeze=False)
    for (left, right), one in zip(panels, table):
        for arm, colour in COLOURS.items():
            lines = [line for line in one["lines"] if line["arm"] == arm]
            kept = [100 * line["kept"] for line in lines]
            style = {"color": colour, "markersize": 4, "label": arm}
            left.plot(kept, [100 * line["accuracy"] for line in lines], "o-", **style)
        left.axhline(
            100 * one["accuracy"]["value"], color=LIGHT.ink, linestyle="--", linewidth=1, label="uncut"
        )
        left.set_title(one["name"], fontsize=9)
        left.set(xlabel="parameters kept (%)", ylabel="accuracy (%)")
        lines = [line for line in one["lines"] if line["arm"] == "truncated"]
        for share, colour in (("stays", LIGHT.ink), ("realised", LIGHT.law), ("certified", LIGHT.spike)):
            values = [100 * line[share] for line in lines]
            right.plot(
                [line["scale"] for line in lines],
                values,
                "o-",
                color=colour,
                markersize=4,
                label=WORDS[share],
            )
        right.set(xlabel="threshold / edge", ylabel="labels (%)", ylim=(-4, 104))
        right.set_title("truncated", fontsize=9)
    handles = [*panels[0][0].get_legend_handles_labels()]
    more = panels[0][1].get_legend_handles_labels()
    figure.legend(handles[0] + more[0], handles[1] + more[1], loc="outside lower center", ncols=3, fontsize=8)
    return figure


WORDS = {"stays": "label stays", "realised": "certain from logits", "certified": "certified"}

EXPERIMENT = Experiment(
    name="parameters_kept",
    title="Parameters kept against accuracy",
    presets=PRESETS,
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
