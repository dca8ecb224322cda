r"""
Damping: what a noisy Hessian should be shrunk by
=================================================

A second-order step divides by the Hessian of a batch, which is that of all data plus noise. Adding a damping
constant to it is linear shrinkage with a smaller learning rate (D. Granziol and N. Baskerville, "A random
matrix theory approach to damping in deep learning", J. Phys. Complexity 3, 2022). So the constant has a best
value, :math:`\delta = \mu\,s^2 / d^2`: the mean eigenvalue times the noise over the dispersion of the true
eigenvalues. Where the noise is a Gaussian orthogonal ensemble, theory also says where outliers go and how
large the curvature along their vectors really is. Here all of it is held against simulated matrices, for
which it was derived, and against batch Hessians of a small trained network. There the best shrinkage needs no
more than noise of mean 0; outliers need noise that is the same in all directions, which is not given.

Run ``python simulations/damping.py [--preset quick|paper] [--jobs N] [--out DIR]``.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from rmttheory import Stream
from rmttheory.arrays import Placement, to_host
from rmttheory.matrices import (
    Shrinkage,
    estimate_shrinkage,
    optimal_shrinkage,
    sample_goe,
    wigner_curvature,
    wigner_outlier,
)
from rmttheory.networks import Dataset, Hessian, initial_network, load_dataset, train
from rmttheory.studies import figures
from rmttheory.studies.experiments import Experiment, Row, Summary, run_script
from rmttheory.studies.style import LIGHT

INTENSITIES = np.linspace(0.0, 1.0, 41)
OUTLIERS = 3
SCORE = 3.5
"""Standard errors within which the best shrinkage has to be: six cases at a level of 0.003 together."""
NEAR = 0.05
"""Relative distance within which a limit counts as seen at these sizes."""

# %%
# What is measured is the same for both: the squared error of matrices shrunk by every intensity, the largest
# noisy eigenvalues, and the true curvature along their vectors. With ``H`` known, the best intensity is read
# off the errors; from the noisy matrices alone, it is estimated. The product of noise and matrix has mean 0,
# but a few draws leave some of it, which moves the lowest error: by the jackknife, its standard error.


def measure(true: np.ndarray, noisy: np.ndarray) -> dict[str, Any]:
    p, eye = len(true), np.eye(len(true))
    target = float(np.trace(true)) / p
    noises = np.array([squares(B - true) for B in noisy])
    products = np.array([float(np.sum((B - true) * (true - target * eye))) / p for B in noisy])
    best = optimal_shrinkage(
        noise=float(np.mean(noises)), dispersion=squares(true - target * eye), target=target
    )
    lowest, error = lowest_error(noises, products, best.dispersion)
    values, vectors = np.linalg.eigh(noisy)
    top = vectors[:, :, : -OUTLIERS - 1 : -1]
    return {
        "best": best.to_dict(),
        "estimated": of_one(estimate_shrinkage(noisy), len(noisy)).to_dict(),
        "lowest": lowest,
        "error": error,
        "curve": [
            np.mean([squares((1 - rho) * B + rho * target * eye - true) for B in noisy])
            for rho in INTENSITIES
        ],
        "spikes": np.linalg.eigvalsh(true)[: -OUTLIERS - 1 : -1],
        "outliers": np.mean(values[:, : -OUTLIERS - 1 : -1], axis=0),
        "curvatures": np.mean(np.sum(top * (true @ top), axis=1), axis=0),
    }


def lowest_error(noises: np.ndarray, products: np.ndarray, dispersion: float) -> tuple[float, float]:
    """Where the mean of ``|(1 - rho) X - rho D|^2`` is least, and its standard error."""

    def least(kept: np.ndarray) -> float:
        noise, product = np.mean(noises[kept]), np.mean(products[kept])
        return float((noise + product) / (noise + dispersion + 2 * product))

    everything = np.ones(len(noises), dtype=bool)
    others = [least(np.arange(len(noises)) != i) for i in range(len(noises))]
    return least(everything), math.sqrt((len(noises) - 1) * np.var(others))


def squares(A: np.ndarray) -> float:
    return float(np.sum(A**2)) / len(A)


def of_one(mean: Shrinkage, count: int) -> Shrinkage:
    """The best shrinkage of one matrix, from that of the mean of ``count``: it has so much more noise."""
    return optimal_shrinkage(noise=count * mean.noise, dispersion=mean.dispersion, target=mean.target)


def trial(cell: dict[str, Any], place: Placement) -> dict[str, Any]:
    stream = Stream(cell["seed"]).child("damping")
    if cell["of"] == "simulated":
        return simulated(cell, stream)
    return of_network(cell, stream, place)


def simulated(cell: dict[str, Any], stream: Stream) -> dict[str, Any]:
    p, variance = cell["p"], cell["variance"]
    true = np.diag(np.concatenate([cell["spikes"], np.zeros(p - len(cell["spikes"]))]))
    noise = [sample_goe(p, variance, stream=stream.child(i)) for i in range(cell["draws"])]
    return measure(true, true + np.stack(noise))


# %%
# A batch is drawn with replacement, so that the mean over batches is the Hessian of all samples.


def of_network(cell: dict[str, Any], stream: Stream, place: Placement) -> dict[str, Any]:
    data = small_images(load_dataset())
    network = initial_network((49, cell["hidden"], 10), stream=stream.at(place))
    network = train(network, data, epochs=cell["epochs"], rate=0.05, rng=stream).network
    x, labels = data.train_x[: cell["samples"]], data.train_y[: cell["samples"]]
    true = to_host(Hessian(network, x, labels).dense())
    found = {}
    for size in cell["batches"]:
        noisy = []
        for i in range(cell["draws"]):
            chosen = stream.child("batch", size, i).generator().integers(0, len(x), size)
            noisy.append(to_host(Hessian(network, x[chosen], labels[chosen]).dense()))
        found[str(size)] = measure(true, np.stack(noisy))
    return found


def small_images(data: Dataset) -> Dataset:
    """Images of 7 x 7 pixels, means of blocks of 4 x 4: the whole Hessian is to fit in memory."""

    def shrunk(x: np.ndarray) -> np.ndarray:
        return x.reshape(-1, 7, 4, 7, 4).mean(axis=(2, 4)).reshape(-1, 49)

    halves = {"train_x": shrunk(data.train_x), "test_x": shrunk(data.test_x)}
    return replace(data, **halves, name=f"{data.name} in 7 x 7", image=(1, 7, 7))


def summarise(cells: list[dict[str, Any]], results: list[dict[str, Any]]) -> Summary:
    groups: dict[str, list[dict[str, Any]]] = {}
    for cell, result in zip(cells, results):
        if cell["of"] == "simulated":
            groups.setdefault(f"simulated, variance {cell['variance']:g}", []).append(result)
        else:
            for size, one in result.items():
                groups.setdefault(f"batches of {size}", []).append(one)
    series = [{"name": name, **averaged(group)} for name, group in groups.items()]
    rows = [row for one in series for row in rows_of(one)]
    return Summary(verdict=sentence(series), rows=tuple(rows), series={"groups": series})


def averaged(group: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, and what theory makes of the mean noise."""
    one: dict[str, Any] = {
        key: np.mean([member[key] for member in group], axis=0).tolist()
        for key in ("curve", "lowest", "spikes", "outliers", "curvatures")
    }
    one["error"] = math.sqrt(sum(member["error"] ** 2 for member in group)) / len(group)
    for kind in ("best", "estimated"):
        one[kind] = {key: float(np.mean([member[kind][key] for member in group])) for key in group[0][kind]}
    variance = one["best"]["noise"]
    one["predicted outliers"] = [wigner_outlier(theta, variance) for theta in one["spikes"]]
    one["predicted curvatures"] = [wigner_curvature(value, variance) for value in one["predicted outliers"]]
    return one


def rows_of(one: dict[str, Any]) -> list[Row]:
    best, estimated = one["best"], one["estimated"]
    shrinkage = f"{one['lowest']:.3f} ± {1.96 * one['error']:.3f}; estimated {estimated['intensity']:.3f}"
    rows = [
        Row(
            quantity=f"best shrinkage, {one['name']}",
            paper=f"{best['intensity']:.3f}",
            ours=shrinkage,
            agrees=abs(one["lowest"] - best["intensity"]) <= SCORE * one["error"],
        ),
        Row(
            quantity=f"best damping, {one['name']}",
            paper=f"{best['damping']:.4f}",
            ours=f"estimated {estimated['damping']:.4f}",
        ),
    ]
    for what, quantity in (("outliers", "largest eigenvalue"), ("curvatures", "curvature along it")):
        theory, found = one[f"predicted {what}"][0], one[what][0]
        rows.append(
            Row(
                quantity=f"{quantity}, {one['name']}",
                paper=f"{theory:.3f}",
                ours=f"{found:.3f}",
                agrees=abs(found / theory - 1) <= NEAR,
            )
        )
    return rows


def sentence(series: list[dict[str, Any]]) -> str:
    """Where the best shrinkage was found, and how far outliers and curvatures are off, at most."""

    def worst(kind: str, measured: str) -> float:
        return max(
            abs(mine / theory - 1)
            for one in series
            if one["name"].startswith(kind)
            for mine, theory in zip(one[measured], one[f"predicted {measured}"])
            if theory > 0.0
        )

    there = sum(abs(one["lowest"] - one["best"]["intensity"]) <= SCORE * one["error"] for one in series)
    kinds = (("simulated", "simulated noise"), ("batches", "batches"))
    parts = [
        f"of {words}, outliers are within {worst(kind, 'outliers'):.1%} and curvatures along them within "
        f"{worst(kind, 'curvatures'):.1%}"
        for kind, words in kinds
    ]
    return f"The best shrinkage is where theory has it in {there} of {len(series)} cases; {'; '.join(parts)}."


def draw(summary: Summary) -> figures.Figure:
    groups = summary.series["groups"]
    figure = figures.Figure(figsize=(1.6 * figures.WIDTH, 6.4))
    panels = figure.subplots(2, 2)
    for row, kind in enumerate(("simulated", "batches")):
        errors, tops = panels[row]
        chosen = [one for one in groups if one["name"].startswith(kind)]
        for one, color, mark in zip(chosen, (LIGHT.law, LIGHT.spike, LIGHT.muted), "os^"):
            scale = one["best"]["dispersion"]
            errors.plot(INTENSITIES, np.array(one["curve"]) / scale, color=color, label=one["name"])
            lowest = one["best"]["intensity"]  # where the error is that share of the dispersion
            errors.plot(lowest, lowest, mark, color=color, clip_on=False)
            tops.plot(one["predicted outliers"], one["outliers"], mark, color=color, label="eigenvalue")
            tops.plot(
                one["predicted curvatures"],
                one["curvatures"],
                mark,
                color=color,
                markerfacecolor="none",
                label="curvature along it",
            )
        errors.set(xlabel="shrinkage", ylabel="squared error / dispersion", ylim=(0.0, 2.0))
        errors.legend(fontsize=8.5)
        ends = tops.get_xlim()
        tops.plot(ends, ends, ":", color=LIGHT.ink)
        tops.set(xlabel="prediction", ylabel="measured")
        handles, labels = tops.get_legend_handles_labels()
        tops.legend(handles[:2], labels[:2], fontsize=8.5)
        errors.set_title("simulated noise" if kind == "simulated" else "batches of a trained network")
    return figure


def cells(seeds: int, *, p: int, draws: int, network: dict[str, Any]) -> list[dict[str, Any]]:
    known = [
        {"seed": seed, "of": "simulated", "p": p, "variance": v, "spikes": [4.0, 3.0, 2.0], "draws": draws}
        for v in (0.1, 0.5, 1.0)
        for seed in range(seeds)
    ]
    return known + [{"seed": seed, "of": "network", "draws": draws, **network} for seed in range(seeds)]


EXPERIMENT = Experiment(
    name="damping",
    title="Damping: what a noisy Hessian should be shrunk by",
    presets={
        "quick": cells(
            1,
            p=300,
            draws=16,
            network={"hidden": 8, "epochs": 20, "samples": 1000, "batches": [32, 128, 512]},
        ),
        "paper": cells(
            3,
            p=1000,
            draws=40,
            network={"hidden": 16, "epochs": 60, "samples": 2500, "batches": [32, 128, 512]},
        ),
    },
    trial=trial,
    summarise=summarise,
    draw=draw,
)

if __name__ == "__main__":
    figure = run_script(EXPERIMENT)
