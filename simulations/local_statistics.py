r"""
Neighbouring levels of weights and Hessians, before and after training
======================================================================

Eigenvalues of large random matrices repel each other, and the law of their spacings does not depend on what
the entries are. N. P. Baskerville, D. Granziol and J. P. Keating ("Appearance of random matrix theory in deep
learning", Physica A 590, 2022) find the spacings of the Gaussian orthogonal ensemble in Hessians of trained
networks, though their densities look like no ensemble's. Here weights and Hessians are compared with draws of
as many levels: the mean ratio of neighbouring gaps is 0.53 where levels repel as in random matrices with real
entries, and 0.39 where they are independent.

Run ``python simulations/local_statistics.py [--preset quick|paper] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rmttheory import Stream
from rmttheory.arrays import Placement, to_host
from rmttheory.matrices import (
    GoeRatio,
    PoissonRatio,
    goe_eigenvalues,
    independent_points,
    null_singular_values,
    singular_values,
    spacing_ratios,
)
from rmttheory.networks import Dataset, Hessian, Network, accuracy, initial_network, load_dataset, train
from rmttheory.studies import figures
from rmttheory.studies.experiments import Experiment, Row, Summary, run_script
from rmttheory.studies.style import LIGHT

LEVEL = 0.05
"""Of all comparisons of a preset together; every one gets an equal share."""
BINS = np.linspace(0.0, 1.0, 21)

# %%
# The weights are those of a network that sees whole images. Its Hessian would have 10^11 entries, so that of
# a small one is taken, which sees images of 7 x 7 pixels: means of blocks of 4 x 4.
# Its eigenvalues span ten decades, over which no density is smooth: ratios of gaps need none.


def small_images(data: Dataset) -> Dataset:
    def shrunk(x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)

    halves = {"train_x": shrunk(data.train_x), "test_x": shrunk(data.test_x)}
    return replace(data, **halves, name=f"{data.name} in 7 x 7", image=(1, 7, 7))


def trial(cell: dict[str, Any], place: Placement) -> dict[str, Any]:
    stream, data = Stream(cell["seed"]).child("local_statistics"), load_dataset()
    if cell["of"] == "hessian":
        data = small_images(data)
    sizes = (data.train_x.shape[1], *cell["hidden"], 10)
    network = initial_network(sizes, stream=stream.at(place))
    trained = train(network, data, epochs=cell["epochs"], rate=cell["rate"], rng=stream).network
    measure = of_weights if cell["of"] == "weights" else of_hessian
    found = {
        state: measure(net, data, cell, stream) for state, net in (("before", network), ("after", trained))
    }
    return {**found, "accuracy": accuracy(trained.logits(data.test_x), data.test_y)}


def of_weights(network: Network, _: Dataset, cell: dict[str, Any], stream: Stream) -> list[dict[str, Any]]:
    """The singular values of every layer but the last, against noise of the same shape."""
    found = []
    for index, layer in enumerate(network.layers[:-1]):
        values = to_host(singular_values(layer.weight))
        draws = null_singular_values(
            layer.shape, trials=cell["draws"], stream=stream.child("null", index).at(Placement())
        )
        found.append(compared(f"weights of layer {index + 1}", values, draws, stream.child(index)))
    return found


def of_hessian(network: Network, data: Dataset, cell: dict[str, Any], stream: Stream) -> list[dict[str, Any]]:
    """The eigenvalues that are not 0 up to rounding: a dead neuron or an empty pixel gives exact zeros."""
    count = cell["samples"]
    H = Hessian(network, data.train_x[:count], data.train_y[:count])
    values = np.linalg.eigvalsh(to_host(H.dense()))
    alive = np.abs(values) > len(values) * np.finfo(float).eps * np.max(np.abs(values))
    values = values[alive]
    draws = goe_eigenvalues(len(values), trials=cell["draws"], rng=stream.child("null"))
    return [compared("Hessian", values, draws, stream)]


def compared(name: str, values: np.ndarray, draws: np.ndarray, stream: Stream) -> dict[str, Any]:
    lone = independent_points(len(values), trials=len(draws), rng=stream)
    counts, _ = np.histogram(spacing_ratios(values), BINS)
    return {
        "name": name,
        "levels": len(values),
        "mean": mean_ratio(values),
        "repelling": [mean_ratio(row) for row in draws],
        "independent": [mean_ratio(row) for row in lone],
        "ratios": counts.tolist(),
    }


def mean_ratio(values: np.ndarray) -> float:
    return float(np.mean(spacing_ratios(values)))


# %%
# Networks of one kind are judged together: the mean over them is ranked among means over as many draws, so
# that the p-value is exact. Every comparison gets an equal share of one level.


def summarise(_: Any, results: list[dict[str, Any]]) -> Summary:
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for result in results:
        for state in ("before", "after"):
            for one in result[state]:
                groups.setdefault((one["name"], state), []).append(one)
    share = LEVEL / (2 * len(groups))
    rows, series = [], []
    for (name, state), group in groups.items():
        mean = float(np.mean([one["mean"] for one in group]))
        null = {kind: np.mean([one[kind] for one in group], axis=0) for kind in ("repelling", "independent")}
        p = {kind: rank(mean, means) for kind, means in null.items()}
        expected, reach = float(np.mean(null["repelling"])), 1.96 * float(np.std(null["repelling"], ddof=1))
        refused = " and ".join(kind for kind, value in p.items() if value <= share) or "neither"
        levels = " to ".join(map(str, sorted({f(one["levels"] for one in group) for f in (min, max)})))
        rows.append(
            Row(
                quantity=f"mean ratio, {name}, {state} training ({levels} levels, {len(group)} times)",
                paper="that of random matrices" if name == "Hessian" else "-",
                ours=f"{mean:.4f}; random matrices {expected:.4f} ± {reach:.4f}; refused: {refused}",
                agrees=refused == "independent" if name == "Hessian" else None,
            )
        )
        ratios = np.sum([one["ratios"] for one in group], axis=0).tolist()
        facts = {"name": name, "state": state, "mean": mean, "expected": expected, "reach": reach}
        series.append({**facts, "p": p, "ratios": ratios})
    lone, told = (sum(one["p"][kind] <= share for one in series) for kind in ("independent", "repelling"))
    sentence = (
        f"Of {len(series)} kinds of spectra, {lone} are told from independent levels and {told} from the "
        f"random matrices they are compared with, at a level of {LEVEL} for all comparisons together."
    )
    return Summary(verdict=sentence, rows=tuple(rows), series={"groups": series})


def rank(mean: float, means: np.ndarray) -> float:
    """Two-sided p-value of a mean among draws of it."""
    tails = 1 + int(np.sum(means <= mean)), 1 + int(np.sum(means >= mean))
    return min(1.0, 2.0 * min(tails) / (len(means) + 1))


def draw(summary: Summary) -> figures.Figure:
    groups = summary.series["groups"]
    names = list(dict.fromkeys(group["name"] for group in groups))
    figure = figures.Figure(figsize=(1.6 * figures.WIDTH, 2.6 * len(names) + 0.6))
    panels = figure.subplots(len(names), 2, sharex=True, sharey=True, squeeze=False)
    middle, fine = 0.5 * (BINS[1:] + BINS[:-1]), np.linspace(0.0, 1.0, 201)
    for group in groups:
        axes = panels[names.index(group["name"]), int(group["state"] == "after")]
        counts = np.array(group["ratios"], dtype=float)
        axes.bar(middle, counts / counts.sum() / np.diff(BINS), np.diff(BINS), color=LIGHT.bulk)
        axes.plot(fine, GoeRatio().pdf(fine), color=LIGHT.law, label="random matrices")
        axes.plot(fine, PoissonRatio().pdf(fine), "--", color=LIGHT.spike, label="independent levels")
        text = f"mean ratio {group['mean']:.3f}\ndraws {group['expected']:.3f} ± {group['reach']:.3f}"
        axes.text(0.97, 0.82, text, transform=axes.transAxes, ha="right", fontsize=9)
        axes.set(ylim=(0.0, 2.6), title=f"{group['name']}, {group['state']} training")
    for axes in panels[-1]:
        axes.set_xlabel("ratio of neighbouring gaps")
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def cells(seeds: int, **values: Any) -> list[dict[str, Any]]:
    return [{"seed": seed, **values} for seed in range(seeds)]


WEIGHTS = {"of": "weights", "rate": 0.02, "draws": 999}
HESSIANS = {"of": "hessian", "rate": 0.05, "draws": 999}
EXPERIMENT = Experiment(
    name="local_statistics",
    title="Neighbouring levels of weights and Hessians, before and after training",
    presets={
        "quick": [
            *cells(1, **WEIGHTS, hidden=[256, 256], epochs=5),
            *cells(2, **HESSIANS, hidden=[10], epochs=20, samples=500),
        ],
        "paper": [
            *cells(3, **WEIGHTS, hidden=[512, 512], epochs=20),
            *cells(4, **HESSIANS, hidden=[24], epochs=60, samples=2000),
        ],
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
