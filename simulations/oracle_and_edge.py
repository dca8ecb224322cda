r"""
Removing the noise, and removing what lies below the edge
=========================================================

The theorems replace a layer :math:`W = S + R` by its signal :math:`S`: *oracle* removal, which needs to know
:math:`R`. The algorithm truncates at the edge of the bulk; one may also *shrink* what is left, or put each
value where its spike was (*inverse BBP*). These are different operations. In planted networks, whose
:math:`S` and :math:`R` are known, this script applies all of them to the same layer and compares

* the share of a spike that stays along its own data path, :math:`u^T W' v / \theta`,
* how far logits move, what accuracy and cross-entropy become,
* the error :math:`\|W' - S\|_F`, which shrinkage makes small.

Of a square layer at noise level :math:`g` truncation keeps the share :math:`1 - g^2 / \theta^4` of a spike
above the threshold and nothing of one below it; inverse BBP and shrinkage keep less. Spikes are *spread* over
all neurons or *localised* on one.

Run ``python simulations/oracle_and_edge.py [--preset quick|paper] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import Stream, outlier, overlaps
from rmttheory.arrays import Array, HostArray, Placement, namespace, to_host
from rmttheory.matrices import bulk_edge, shrink, spike_from_outlier
from rmttheory.networks import accuracy, cross_entropy
from rmttheory.studies import figures
from rmttheory.studies.comparisons import mean_interval
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT
from rmttheory.theorem.planted import plant

G = 1.0
EDGE = bulk_edge(1.0, G)
CLASSES, SAMPLES = 10, 200
SPREAD = {"spread": "standard", "localised": "bounded"}
"""Readouts: independent entries see all neurons, ``bounded`` class ``k`` sees neuron ``k`` alone."""


def inverse_bbp(s: float) -> float:
    """Where the spike was that put a value at ``s``; 0 below the edge."""
    return spike_from_outlier(s, 1.0, G).theta if s > EDGE else 0.0


OPERATIONS: dict[str, Callable[[float], float]] = {
    "truncation": lambda s: s if s > EDGE else 0.0,
    "inverse BBP": inverse_bbp,
    "shrinkage": lambda s: float(shrink(np.array([s]), 1.0, G)[0]),
}
"""What becomes of a singular value ``s`` of ``W``; singular vectors stay."""


def kept_share(operation: str, theta: float) -> float:
    """Limit of ``u^T W' v / theta`` for one spike: the new value, turned by both of its vectors."""
    left, right = overlaps(theta, 1.0, G)
    if not left:
        return 0.0
    return OPERATIONS[operation](float(outlier(theta, 1.0, G))) * math.sqrt(left * right) / theta


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Draw a planted network, and do all operations to its middle layer."""
    stream = Stream(cell["seed"], placement=place).child(cell["n"], cell["kind"])
    planted = {"n": cell["n"], "classes": CLASSES, "samples": SAMPLES, "strength": cell["theta"]}
    network = plant(
        planted | {"readout": SPREAD[cell["kind"]]}, stream, localised=cell["kind"] == "localised"
    )
    S = place.asarray(network.S)
    W = S + stream.child("noise").normal(tuple(S.shape), scale=math.sqrt(G / cell["n"]))
    U, s, V = namespace(W).linalg.svd(W, full_matrices=False)
    values = to_host(s)
    above = max(1, int(np.sum(values > EDGE)))
    results = {"none": W, "oracle": S}
    for name, change in OPERATIONS.items():
        moved = place.asarray(np.array([change(float(value)) for value in values[:above]]))
        results[name] = (U[:, :above] * moved[None, :]) @ V[:above, :]
    before = network.logits(images(network.v, W, place))
    return {name: measured(network, A, S, before, place) for name, A in results.items()} | {"above": above}


def images(v: HostArray, A: Array, place: Placement) -> HostArray:
    """What a layer makes of its inputs, one a row, on the host."""
    return to_host(place.asarray(v) @ A.T)


def measured(network: Any, A: Array, S: Array, before: HostArray, place: Placement) -> dict[str, float]:
    """Compare the network with ``A`` in its middle layer with that before, and ``A`` with ``S``."""
    acted = images(network.V.T, A, place)
    after = network.logits(images(network.v, A, place))
    scale = float(np.mean(np.abs(before)))
    return {
        "share": float(np.mean(np.sum(acted * network.U.T, axis=1) / network.theta)),
        "path": float(np.mean(np.max(np.abs(acted - images(network.V.T, S, place)), axis=1))),
        "moved": float(np.mean(np.max(np.abs(after - before), axis=1))) / scale,
        "accuracy": accuracy(after, network.labels),
        "loss": cross_entropy(after, network.labels),
        "error": float(np.sqrt(np.sum(to_host(A - S) ** 2))) / float(np.linalg.norm(network.theta)),
    }


# %%
# A share agrees with its limit if it lies within the interval of 95 % or a distance of
# :math:`2 / \sqrt n` of it: the limit is reached at that rate, and equal spikes repel each other.


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Average over seeds, and set limits beside what was found at the largest width."""
    thetas = sorted({c["theta"] for c in cells})
    widths = sorted({c["n"] for c in cells})

    def mean(kind: str, n: int, theta: float, operation: str, what: str) -> Any:
        return mean_interval(
            [
                r[operation][what]
                for c, r in zip(cells, results)
                if (c["kind"], c["n"], c["theta"]) == (kind, n, theta)
            ]
        )

    operations = ("oracle", *OPERATIONS)
    rows = []
    for kind in SPREAD:
        for theta in thetas:
            for operation in OPERATIONS:
                found = mean(kind, widths[-1], theta, operation, "share")
                limit = kept_share(operation, theta)
                reach = 2 / math.sqrt(widths[-1])
                rows.append(
                    Row(
                        quantity=f"share of a spike theta = {theta:g} that stays, {operation}, {kind}",
                        paper=f"{limit:.3f} (limit)",
                        ours=found.text(digits=3),
                        agrees=found.low - reach <= limit <= found.high + reach,
                    )
                )
    for theta in thetas:
        for what, unit in (
            ("accuracy", ""),
            ("loss", " in nats"),
            ("moved", " in mean logits"),
            ("error", " in that of S"),
            ("path", ""),
        ):
            for kind in SPREAD:
                ours = ", ".join(
                    f"{name} {mean(kind, widths[-1], theta, name, what).value:.3g}"
                    for name in (("none", *operations) if what in ("accuracy", "loss") else operations)
                )
                rows.append(
                    Row(
                        quantity=f"{WORDS[what]}{unit}, theta = {theta:g}, {kind}, n = {widths[-1]}",
                        paper="-",
                        ours=ours,
                    )
                )
    series = {
        "thetas": thetas,
        "widths": widths,
        "share": {
            kind: {
                name: [mean(kind, widths[-1], theta, name, "share").value for theta in thetas]
                for name in operations
            }
            for kind in SPREAD
        },
        "path": {
            kind: {
                name: [mean(kind, n, thetas[-1], name, "path").value for n in widths] for name in operations
            }
            for kind in SPREAD
        },
        "accuracy": {
            kind: {
                name: [mean(kind, widths[-1], theta, name, "accuracy").value for theta in thetas]
                for name in ("none", *operations)
            }
            for kind in SPREAD
        },
        "limits": {
            name: [[theta, kept_share(name, theta)] for theta in np.linspace(0.5, max(thetas), 120)]
            for name in OPERATIONS
        },
    }
    low, high = thetas[0], thetas[-1]
    lost = {name: mean("spread", widths[-1], low, name, "accuracy").value for name in ("none", *operations)}
    at = {name: mean("localised", widths[-1], high, name, "path").value for name in OPERATIONS}
    least, most = min(at, key=at.__getitem__), max(at, key=at.__getitem__)
    errors = {name: mean("localised", widths[-1], high, name, "error").value for name in OPERATIONS}
    verdict = (
        f"At theta = {low:g}, below the threshold, accuracy is {lost['none']:.2f} with all of W, "
        f"{lost['oracle']:.2f} after oracle removal and {lost['truncation']:.2f} after truncation; at "
        f"theta = {high:g} the images of localised spikes are off least by {least} ({at[least]:.2f}) and "
        f"most by {most} ({at[most]:.2f}), while W' is nearest to S in Frobenius norm by "
        f"{min(errors, key=errors.__getitem__)}."
    )
    return Summary(verdict=verdict, rows=tuple(rows), series=series)


WORDS = {
    "accuracy": "accuracy",
    "loss": "cross-entropy",
    "moved": "change of the logits",
    "error": "Frobenius norm of W' - S",
    "path": "largest entry of (W' - S) v",
}


def draw(summary: Summary) -> figures.Figure:
    """Draw what stays of a spike, how far its images are off as widths grow, and the accuracy."""
    series = summary.series
    figure = figures.Figure(figsize=(1.9 * figures.WIDTH, 4.0))
    panels = figure.subplots(1, 3)
    colors = {
        "none": LIGHT.muted,
        "oracle": LIGHT.ink,
        "truncation": LIGHT.law,
        "inverse BBP": "#00795a",
        "shrinkage": LIGHT.spike,
    }
    for name, limits in series["limits"].items():
        panels[0].plot(*zip(*limits), color=colors[name], linewidth=1.2)
    styles = {"spread": ("o", "-"), "localised": ("s", "--")}
    for kind, (mark, style) in styles.items():
        for name, color in colors.items():
            look: dict[str, Any] = {"color": color, "markersize": 4}
            if name != "none":
                panels[0].plot(series["thetas"], series["share"][kind][name], mark, **look)
                panels[1].plot(series["widths"], series["path"][kind][name], f"{mark}{style}", **look)
            panels[2].plot(series["thetas"], series["accuracy"][kind][name], f"{mark}{style}", **look)
    for name, color in colors.items():
        panels[0].plot([], [], "-", color=color, label={"none": "nothing removed"}.get(name, name))
    for kind, (mark, style) in styles.items():
        panels[0].plot([], [], f"{mark}{style}", color=LIGHT.muted, markersize=4, label=f"{kind} spikes")
    for axes in (panels[0], panels[2]):
        axes.axvline(math.sqrt(G), color=LIGHT.muted, linestyle=":", linewidth=1)
        axes.set(xlabel=r"$\theta$, threshold at 1")
        axes.grid()
    panels[0].set(title="Share of a spike that stays", ylabel=r"$u^T W' v / \theta$")
    panels[1].set(
        title=rf"Images at $\theta$ = {series['thetas'][-1]:g}",
        xscale="log",
        yscale="log",
        xlabel="$n$",
        ylabel=r"$|(W' - S) v|_\infty$",
    )
    panels[1].set_xticks(series["widths"], [str(n) for n in series["widths"]])
    panels[1].xaxis.set_minor_formatter("")
    panels[1].grid()
    panels[2].set(title="Accuracy", ylabel="share of the samples")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


EXPERIMENT = Experiment(
    name="oracle_and_edge",
    title="Removing the noise, and removing what lies below the edge",
    presets={
        "quick": grid(n=[100, 200, 400], theta=[0.7, 1.5, 3.0], kind=SPREAD, seed=range(4)),
        "paper": grid(
            n=[100, 200, 400, 800, 1600], theta=[0.7, 1.0, 1.25, 1.5, 2.0, 3.0], kind=SPREAD, seed=range(10)
        ),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
