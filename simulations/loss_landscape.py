r"""
Is the loss landscape simpler without the bulk?
===============================================

L. Berlyand, E. Sandier, Y. Shmalo and L. Zhang ("Enhancing accuracy in deep learning using random matrix
theory", J. Mach. Learn. 3, 2024) prune singular values below the Marchenko-Pastur edge, and put the gain in
accuracy down to a simpler loss landscape. Here the landscape is measured: networks are left alone, or lose
the bulk of their hidden layers while they are trained or after it. Beside them stand networks that are cut
to the same size at the same epochs without regard to the bulk: to their largest entries, or to singular
triplets drawn at random. Only where the bulk does better than both, it is the bulk that counts. All arms of
a seed share their first weights, the order of samples, rates, and the samples, directions and probes that
they are measured with.

All are measured as dense networks, in the same parameters, by their cross-entropy on training samples
without any penalty. Scale matters: layers of a network with ReLUs may exchange a factor without changing
what it computes, which changes its Hessian :math:`H`, and what is pruned has smaller weights. So :math:`H`
is measured as it is, and *per relative move*, as :math:`D H D` with the Frobenius norm of each layer's
matrix at its entries in :math:`D` (0 at biases): exchanged factors drop out of this one exactly, as they do
out of filter-normalised slices. But a move of relative size 1 is a smaller one where the bulk is gone, and
that alone is no property of the landscape: a network is simpler without reserve only where both ways of
measuring say so, at no higher loss.

Run ``python simulations/loss_landscape.py [--preset quick|paper] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from rmttheory import Stream
from rmttheory.arrays import Array, Placement, namespace, scalar
from rmttheory.matrices import extreme_eigenvalues, spectral_density
from rmttheory.networks import (
    FittedEdge,
    Hessian,
    Network,
    Protocol,
    PruningEvent,
    PruningRun,
    PruningSchedule,
    accuracy,
    cut_network,
    initial_network,
    interpolate,
    load_dataset,
    loss_slice,
    train,
)
from rmttheory.networks.parameters import flatten, pieces
from rmttheory.studies import figures
from rmttheory.studies.comparisons import Interval, holm, mean_interval, paired_difference
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, run_script
from rmttheory.studies.style import LIGHT

TIMES = {"while": "while training", "after": "after training"}
WAYS = {"bulk": "truncated", "mask": "mask", "random": "random triplets"}
NAMES = {"bulk": "bulk removed", "mask": "mask", "random": "random rank"}
CONTROLS = ("mask", "random")
UNPRUNED = "unpruned"
LEVEL = 0.05
RISE = 0.5
"""Nats above its own loss up to which a slice counts as the basin of a network."""


@dataclasses.dataclass(frozen=True)
class Measure:
    """A quantity of a landscape, and the sign that its change has where landscapes get simpler."""

    name: str
    simpler: int
    relative: bool | None = (
        None  # None: neither depends on the scale of layers, nor is there a twin that does
    )


MEASURES = {
    "curvature": Measure("curvature of slices, filter-normalised", -1, relative=True),
    "width": Measure("width of slices, filter-normalised", +1, relative=True),
    "convex": Measure("share of slices that is convex", +1, relative=True),
    "relative top": Measure("largest eigenvalue, relative moves", -1, relative=True),
    "relative trace": Measure("trace, relative moves", -1, relative=True),
    "relative negative": Measure("negative mass, relative moves", -1, relative=True),
    "top": Measure("largest eigenvalue of H", -1, relative=False),
    "trace": Measure("trace of H", -1, relative=False),
    "negative": Measure("negative mass of H", -1, relative=False),
    "barrier": Measure("barrier to another seed", -1),
}
RADIUS, POINTS = 2.0, 81
SIZES = np.logspace(0.0, 4.0, 61)
"""Of eigenvalues, per relative move, beyond which they are counted."""
COLORS = (LIGHT.ink, LIGHT.spike, LIGHT.law, LIGHT.muted)

# %%
# Bulks are cut at the edge that `fit_edge` finds, whether they pass for noise or not: every seed then has all
# arms. The last layer is left alone, since its ten classes need a logit each.


def protocol(cell: Mapping[str, Any]) -> Protocol:
    """Equal rates and kept velocities in all arms; training goes on after the last event."""
    epochs = cell["epochs"]
    schedule = PruningSchedule(
        epochs=tuple(round(share * epochs) for share in (0.25, 0.5, 0.75)),
        edge=FittedEdge(gate=0.0),
        layers=tuple(range(len(cell["hidden"]))),
    )
    return Protocol(schedule=schedule, epochs=epochs, rate=cell["rate"])


def same_size(
    events: Sequence[PruningEvent], way: str, stream: Stream
) -> Callable[[Network, int], Network | None]:
    """Cut another way, at the epochs of these events and to the ranks that they left."""
    sizes: dict[int, dict[int, int]] = {}
    for event in events:
        n, m = event.shape
        sizes.setdefault(event.epoch, {})[event.layer] = min(event.rank_after * (n + m), n * m)

    def cut(network: Network, done: int) -> Network | None:
        if done not in sizes:
            return None
        return cut_network(network, WAYS[way], parameters=sizes[done], rng=stream.child(way, done))

    return cut


def arms(cell: Mapping[str, Any], stream: Stream) -> tuple[dict[str, Network], dict[str, list[int]]]:
    """Train every arm, and return the networks with the ranks that the bulk left, at each time."""
    data, plan = load_dataset(cell["data"]), protocol(cell)
    sizes = (data.train_x.shape[1], *cell["hidden"], data.classes)
    start = initial_network(sizes, stream=stream.child("initial"), scale=cell["scale"])
    fixed = {"l2": cell["l2"], "batch": cell["batch"], "rng": stream.child("order")}

    def trained(arguments: Mapping[str, Any]) -> Network:
        return train(start, data, **fixed, **arguments).network

    whole = trained(plan.arguments("control"))
    pruned = plan.arguments("pruned")
    found = {UNPRUNED: whole, "bulk while": trained(pruned)}
    during = pruned["prune"].events
    end = PruningRun(dataclasses.replace(plan.schedule, epochs=(plan.epochs,)))
    found["bulk after"] = end(whole, plan.epochs) or whole
    for way in CONTROLS:
        again = pruned | {"prune": same_size(during, way, stream.child("while"))}
        found[f"{way} while"] = trained(again)
        cut = same_size(end.events, way, stream.child("after"))
        found[f"{way} after"] = cut(whole, plan.epochs) or whole
    last = {"while": during[-len(cell["hidden"]) :], "after": end.events}
    return found, {time: [event.rank_after for event in events] for time, events in last.items()}


# %%
# A trial trains all arms from two seeds; the second networks are only the other ends of the barriers.


def trial(cell: Mapping[str, Any], place: Placement) -> dict[str, Any]:
    """Train and measure all arms of one seed."""
    quick, exact = (dataclasses.replace(place, dtype=dtype) for dtype in ("float32", "float64"))
    stream = Stream(cell["seed"], placement=quick).child("landscape")
    found, ranks = arms(cell, stream)
    others, _ = arms(cell, stream.child("another"))
    data = load_dataset(cell["data"])
    chosen = stream.child("samples").generator().permutation(len(data.train_x))[: cell["samples"]]
    x, labels = data.train_x[chosen], data.train_y[chosen]
    return {
        "ranks": ranks,
        "arms": {
            arm: measured(
                network.at(exact),
                x,
                labels,
                cell,
                stream.at(exact),
                other=others[arm].at(exact),
                test=(data.test_x, data.test_y),
            )
            for arm, network in found.items()
        },
    }


def measured(
    network: Network,
    x: Array,
    labels: Array,
    cell: Mapping[str, Any],
    stream: Stream,
    *,
    other: Network,
    test: tuple[Array, Array],
) -> dict[str, Any]:
    """Measure one network."""
    slices = [
        loss_slice(network, x, labels, radius=RADIUS, points=POINTS, stream=stream.child("slice", i))
        for i in range(cell["slices"])
    ]
    H = Hessian(network, x, labels)
    relative = Relative(H)
    _, negative, trace = spectrum(H, cell, stream)
    counts, relative_negative, relative_trace = spectrum(relative, cell, stream)
    norms = layer_norms(network)
    return {
        "curvature": np.mean([one.curvature for one in slices]),
        "width": np.mean([one.width(RISE) for one in slices]),
        "convex": np.mean([one.convex_share for one in slices]),
        "top": top(H, stream),
        "trace": trace,
        "negative": negative,
        "relative top": top(relative, stream),
        "relative trace": relative_trace,
        "relative negative": relative_negative,
        "barrier": interpolate(network, other, x, labels).barrier,
        "loss": slices[0].centre,
        "accuracy": accuracy(network.logits(network.inputs(test[0])), test[1]),
        "squares": sum(norm**2 for norm in norms[:-1]),  # of the layers that are cut
        "slice": np.mean([one.losses for one in slices], axis=0),
        **counts,
    }


class Relative:
    """``D H D``: second derivatives per move of a layer by its own length, biases at rest."""

    def __init__(self, H: Hessian) -> None:
        self.H, self.shape = H, H.shape
        parts = []
        for part, norm in zip(pieces(H.network), layer_norms(H.network)):
            sizes = {name: norm if name == "weight" else 0.0 for name in part}
            parts.append({name: namespace(p).full_like(p, sizes[name]) for name, p in part.items()})
        self.lengths = flatten(parts)

    def __matmul__(self, v: Array) -> Array:
        return self.lengths * (self.H @ (self.lengths * v))


def layer_norms(network: Network) -> list[float]:
    return [scalar(namespace(W).linalg.matrix_norm(W)) for W in (layer.matrix for layer in network.layers)]


def top(A: Hessian | Relative, stream: Stream) -> float:
    """The largest eigenvalue; its error is about the square of the residual, relatively 1e-6."""
    return float(extreme_eigenvalues(A, tolerance=1e-3, stream=stream.child("top")).values[0])


def spectrum(
    A: Hessian | Relative, cell: Mapping[str, Any], stream: Stream
) -> tuple[dict[str, Any], float, float]:
    """Return expected numbers of eigenvalues beyond `SIZES`, the negative share of all sizes, and the sum."""
    found = spectral_density(A, steps=cell["steps"], probes=cell["probes"], stream=stream.child("spectrum"))
    weights = found.weights * (found.size / len(found.weights))
    counts = {
        name: [np.sum(weights[sign * found.nodes > size]) for size in SIZES]
        for name, sign in (("above", 1), ("below", -1))
    }
    sizes = weights * found.nodes
    negative = float(-np.sum(sizes[sizes < 0]) / np.sum(np.abs(sizes)))
    return counts, negative, found.size * found.moment(1).value


# %%
# Measures are compared seed by seed, by the difference over the mean size of the two. It is defined whatever
# their signs, has bounds, and is a ratio in another scale. P-values are those of Student's test, adjusted by
# Holm's method over the measures of each comparison.


def compared(
    results: Sequence[Mapping[str, Any]], arm: str, control: str
) -> dict[str, tuple[Interval, float]]:
    """Return for each measure the relative difference of two arms, and its adjusted p-value."""
    found = {}
    for measure in MEASURES:
        x, y = (np.array([one["arms"][which][measure] for one in results]) for which in (arm, control))
        sizes = np.abs(x) + np.abs(y)
        changes = 2.0 * (x - y) / np.where(sizes > 0, sizes, 1.0)
        found[measure] = paired_difference(changes.tolist(), [0.0] * len(changes))
    adjusted = holm([one.p_value or 0.0 for one in found.values()])
    return {measure: (found[measure], p) for measure, p in zip(MEASURES, adjusted)}


def ratio(change: float) -> float:
    """The ratio of two positive numbers with this relative difference."""
    return (2.0 + change) / (2.0 - change) if -2.0 < change < 2.0 else 0.0 if change < 0 else np.inf


def says(measure: str, found: tuple[Interval, float]) -> int:
    """1 for simpler, -1 for less simple, 0 for neither."""
    difference, p = found
    return int(np.sign(difference.value)) * MEASURES[measure].simpler if p <= LEVEL else 0


def summarise(cells: Sequence[Mapping[str, Any]], results: Sequence[Any]) -> Summary:
    """Compare all arms with unpruned networks, and the bulk with what else has its size."""
    against = {
        f"{way} {time}": compared(results, f"{way} {time}", UNPRUNED)
        for time, way in itertools.product(TIMES, WAYS)
    }
    rows = [row_of_arm(results, arm) for arm in (UNPRUNED, *against)]
    beyond = {}
    for time, when in TIMES.items():
        ways = {way: against[f"{way} {time}"] for way in WAYS}
        for measure in MEASURES:
            seen = says(measure, ways["bulk"][measure])
            rows.append(
                Row(
                    quantity=f"{MEASURES[measure].name}, {when}, over that of unpruned",
                    paper="below 1" if MEASURES[measure].simpler < 0 else "above 1",
                    ours="; ".join(f"{NAMES[way]} {text(found[measure])}" for way, found in ways.items()),
                    agrees=None if seen == 0 else seen > 0,
                )
            )
        besides = {way: compared(results, f"bulk {time}", f"{way} {time}") for way in CONTROLS}
        for way, found in besides.items():
            more, less = (named(found, sign) for sign in (1, -1))
            ours = f"simpler by {more or 'none'}. Less simple by {less or 'none'}"
            rows.append(Row(quantity=f"bulk removed {when}, beside {NAMES[way]}", paper="-", ours=ours))
        beyond[time] = sum(all(says(m, found[m]) > 0 for found in besides.values()) for m in MEASURES)
    series = {
        "differences": {
            arm: {m: [one.value, one.low, one.high, p] for m, (one, p) in measures.items()}
            for arm, measures in against.items()
        },
        **{
            curve: {
                arm: np.mean([result["arms"][arm][curve] for result in results], axis=0).tolist()
                for arm in (UNPRUNED, *against)
            }
            for curve in ("slice", "above", "below")
        },
    }
    accuracies = {
        arm: float(np.mean([one["arms"][arm]["accuracy"] for one in results]))
        for arm in (UNPRUNED, "bulk while", "bulk after")
    }
    verdict = sentence(len(cells), against, beyond, accuracies)
    return Summary(verdict=verdict, rows=tuple(rows), series=series)


def named(found: Mapping[str, tuple[Interval, float]], sign: int) -> str:
    return "; ".join(one.name for measure, one in MEASURES.items() if says(measure, found[measure]) == sign)


def row_of_arm(results: Sequence[Mapping[str, Any]], arm: str) -> Row:
    """What must be known of an arm to judge its landscape: a network that computes nothing has a flat one."""
    values = {
        key: [result["arms"][arm][key] for result in results] for key in ("accuracy", "loss", "squares")
    }
    way, _, time = arm.partition(" ")
    name = f"{NAMES[way]} {TIMES[time]}" if time else arm
    kept = np.mean(np.array(values["squares"]) / [result["arms"][UNPRUNED]["squares"] for result in results])
    ours = (
        f"{mean_interval(values['accuracy']).text(scale=100)} % / {mean_interval(values['loss']).text()} / "
        f"{100 * kept:.0f} %"
    )
    if way == "bulk":
        ranks = np.mean([result["ranks"][time] for result in results], axis=0)
        ours += f", ranks {' and '.join(f'{rank:.1f}' for rank in ranks)}"
    return Row(quantity=f"test accuracy / training loss / squared weights, {name}", paper="-", ours=ours)


def text(found: tuple[Interval, float]) -> str:
    difference, p = found
    value, low, high = (f"{ratio(x):.2f}" for x in (difference.value, difference.low, difference.high))
    return f"{value} [{low}, {high}], p {f'= {p:.2g}' if p >= 1e-6 else '< 1e-6'}"


def sentence(
    seeds: int,
    against: Mapping[str, Mapping[str, tuple[Interval, float]]],
    beyond: Mapping[str, int],
    accuracies: Mapping[str, float],
) -> str:
    """Count measures that say simpler or less simple, of each arm and in both scales."""

    def counts(way: str, sign: int, *relatives: bool | None) -> str:
        """While training and after it."""
        chosen = [m for m, one in MEASURES.items() if not relatives or one.relative in relatives]
        return " and ".join(
            str(sum(says(m, against[f"{way} {time}"][m]) == sign for m in chosen)) for time in TIMES
        )

    relative, absolute = (sum(one.relative is kind for one in MEASURES.values()) for kind in (True, False))
    right = {arm: f"{100 * share:.0f}" for arm, share in accuracies.items()}
    others = ", ".join(f"with {NAMES[way]} {counts(way, 1)} ({counts(way, -1)})" for way in CONTROLS)
    return (
        f"Over {seeds} seeds, while training and after it: without the bulk {counts('bulk', 1)} of "
        f"{len(MEASURES)} measures say simpler ({counts('bulk', 1, True)} of {relative} relative to the "
        f"weights, {counts('bulk', 1, False)} of {absolute} of the Hessian as it is) and "
        f"{counts('bulk', -1)} less simple, at {right['bulk while']} and {right['bulk after']} % test "
        f"accuracy where unpruned networks have {right[UNPRUNED]}; of equal size, {others}; the "
        "bulk is ahead of both in "
        f"{' and '.join(map(str, beyond.values()))}."
    )


def draw(summary: Summary) -> figures.Figure:
    """Draw slices, eigenvalues and differences, one row for each time."""
    figure = figures.Figure(figsize=(2.7 * figures.WIDTH, 8.6))
    panels = figure.subplots(2, 3, width_ratios=(1.0, 1.0, 1.3))
    for (slices, values, changes), (time, when) in zip(panels, TIMES.items()):
        shown = {UNPRUNED: UNPRUNED, **{f"{way} {time}": NAMES[way] for way in WAYS}}
        steps = np.linspace(-RADIUS, RADIUS, POINTS)
        for (arm, name), color in zip(shown.items(), COLORS):
            slices.plot(steps, summary.series["slice"][arm], color=color, label=name)
            for side, style in (("above", "-"), ("below", ":")):
                values.loglog(SIZES, np.array(summary.series[side][arm]), style, color=color, linewidth=1.5)
        slices.set(xlabel="step, in lengths of the filters", ylabel="training loss", ylim=(0.0, 5.0))
        slices.set_title(f"Slices, {when}")
        slices.legend(loc="upper center")
        values.set(xlabel="size, per relative move", ylabel="eigenvalues beyond it", ylim=(0.3, None))
        values.set_title("Eigenvalues, positive (line), negative (dots)")
        draw_changes(changes, {arm: summary.series["differences"][arm] for arm in list(shown)[1:]})
    return figure


def draw_changes(axes: Any, differences: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Draw the ratio to unpruned of each measure, simpler to the right; filled where significant."""
    ends = (1 / 50, 50)
    for shift, color, found in zip((-0.22, 0.0, 0.22), COLORS[1:], differences.values()):
        for i, (name, measure) in enumerate(MEASURES.items()):
            *changes, p = found[name]
            middle, *reach = (np.clip(ratio(measure.simpler * change), *ends) for change in changes)
            axes.plot(reach, [i + shift] * 2, color=color, linewidth=1.4)
            filled = color if p <= LEVEL else LIGHT.paper
            axes.plot(middle, i + shift, "o", color=color, markerfacecolor=filled, markersize=5)
    axes.axvline(1.0, color=LIGHT.ink, linewidth=0.8)
    factors = (10, 3, 1, 3, 10)
    axes.set(xscale="log", xlim=ends, xlabel="less simple   ←   factor to unpruned   →   simpler")
    axes.set_xticks((0.1, 1 / 3, 1.0, 3.0, 10.0), [str(factor) for factor in factors])
    axes.set_xticks([], minor=True)
    axes.set_yticks(range(len(MEASURES)), [one.name.replace(", ", ",\n") for one in MEASURES.values()])
    axes.set_ylim(len(MEASURES) - 0.5, -0.5)
    axes.tick_params(axis="y", labelsize=8.5)
    axes.set_title("Beside unpruned: mean and 95 %")
    axes.grid(axis="x")


EXPERIMENT = Experiment(
    name="loss_landscape",
    title="Is the loss landscape simpler without the bulk?",
    presets={
        "quick": grid(
            data=["fashion-mnist-3000"],
            hidden=[[64, 48]],
            scale=[0.25],
            epochs=[24],
            rate=[0.02],
            l2=[1e-4],
            batch=[64],
            samples=[300],
            slices=[4],
            steps=[24],
            probes=[3],
            seed=range(6),
        ),
        "paper": grid(
            data=["fashion-mnist:6000+2000"],
            hidden=[[128, 64]],
            scale=[0.25],
            epochs=[24],
            rate=[0.02],
            l2=[1e-4],
            batch=[64],
            samples=[600],
            slices=[8],
            steps=[32],
            probes=[6],
            seed=range(20),
        ),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
