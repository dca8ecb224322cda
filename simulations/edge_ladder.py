r"""
From n = 100 to n = 10^12: how edge and outlier settle
======================================================

Limit theorems say where the top of the spectrum of :math:`W = S + R` tends to, and how it fluctuates on the
way: an outlier by :math:`n^{-1/2}`, the edge of the bulk by :math:`n^{-2/3}` and with the law of Tracy and
Widom. No computer holds a matrix of :math:`10^{12}` rows, but its top singular values only need the corner of
a band matrix with the same law, so the limits can be watched over ten orders of magnitude.

Run ``python simulations/edge_ladder.py [--preset quick|paper] [--jobs N] [--out DIR]``. ``quick`` goes to
:math:`n = 10^8` in a quarter of a minute, ``paper`` to :math:`10^{12}` in about eight minutes of one core.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rmttheory import Stream, TracyWidom
from rmttheory.matrices import (
    outlier,
    overlaps,
    sample_edge,
    spike_threshold,
    tracy_widom_scaling,
)
from rmttheory.studies import figures
from rmttheory.studies.pool import compute
from rmttheory.studies.style import LIGHT

ASPECT = 0.5
SPIKE = 1.5 * spike_threshold(ASPECT, 1.0)
PRESETS = {"quick": (range(2, 9), 200, 8000, 1000), "paper": (range(2, 13), 2000, 160_000, 4000)}
"""Exponents of the widths, spiked draws a width, draws of noise up to n = 10^5 and beyond."""
BLOCKS = 8


@dataclass(frozen=True, kw_only=True)
class Slope:
    """Fitted exponent with its 95 % confidence interval."""

    value: float
    low: float
    high: float
    claimed: float


@dataclass(frozen=True, kw_only=True)
class Series:
    """One quantity along the ladder with its standard errors, and how fast it falls."""

    widths: list[int]
    values: list[float]
    errors: list[float]
    slope: Slope | None = None


def spiked_draws(n: int, trials: int, block: int) -> np.ndarray:
    """Outlier and its two squared overlaps, one draw a row."""
    stream = Stream(1).child("spiked", n, block)
    top = sample_edge((n, round(ASPECT * n)), (SPIKE,), k=1, trials=trials, stream=stream)
    return np.stack([top.values[:, 0], top.left[:, 0, 0], top.right[:, 0, 0]], axis=1)


def null_draws(n: int, trials: int, block: int) -> np.ndarray:
    """Largest singular value of noise alone."""
    stream = Stream(1).child("null", n, block)
    return sample_edge((n, round(ASPECT * n)), trials=trials, stream=stream).values[:, 0]


# %%
# A slope is fitted by least squares on logarithms, each point weighted by its standard error; the interval
# follows from these errors.


def fit(widths: list[int], values: list[float], errors: list[float], claimed: float) -> Slope:
    weights = (np.array(values) / np.array(errors)) ** 2  # inverse variances of the logarithms
    x = np.log(widths)
    x = x - np.average(x, weights=weights)
    slope = float(np.sum(weights * x * np.log(values)) / np.sum(weights * x**2))
    reach = 1.96 / math.sqrt(float(np.sum(weights * x**2)))
    return Slope(value=slope, low=slope - reach, high=slope + reach, claimed=claimed)


def root_mean_square(x: np.ndarray) -> tuple[float, float]:
    """Root mean square of ``x`` and its standard error."""
    value = math.sqrt(float(np.mean(x**2)))
    return value, float(np.std(x**2)) / math.sqrt(len(x)) / (2 * value)


def scaling(n: int, *, first_order: bool) -> tuple[float, float]:
    """Centre and scale of the largest squared singular value: Ma's, or without his halves."""
    m = round(ASPECT * n)
    if not first_order:
        return tracy_widom_scaling(n, m)
    a, b = math.sqrt(n), math.sqrt(m)
    return (a + b) ** 2, (a + b) * (1 / a + 1 / b) ** (1 / 3)


def distance_to_tracy_widom(s: np.ndarray, n: int, *, first_order: bool) -> tuple[float, float]:
    """Kolmogorov distance of standardised edges to the limit, and its standard error where it is attained."""
    mu, sigma = scaling(n, first_order=first_order)
    u = np.sort(TracyWidom(1).cdf((n * s**2 - mu) / sigma))
    steps = np.arange(len(u) + 1) / len(u)
    gaps = np.maximum(steps[1:] - u, u - steps[:-1])
    at = u[int(np.argmax(gaps))]
    return float(np.max(gaps)), math.sqrt(at * (1 - at) / len(u))


def noise_floor(draws: int) -> float:
    """What the Kolmogorov distance of so many draws of the limit itself exceeds in one case of twenty."""
    return math.sqrt(math.log(2 / 0.05) / (2 * draws))


# %%
# Distances can be measured only where they exceed what sampling makes of no distance at all, so the slope of
# a distance is fitted to the widths before the first that does not.


def measure(preset: str, jobs: int = 1) -> dict[str, Series]:
    """Draw the whole ladder and fit every series."""
    exponents, spiked, many, few = PRESETS[preset]
    widths = [10**e for e in exponents]
    tasks = [
        (draw, (n, count // BLOCKS, block))
        for n, block in itertools.product(widths, range(BLOCKS))
        for draw, count in ((spiked_draws, spiked), (null_draws, many if n <= 10**5 else few))
    ]
    drawn: dict[tuple[str, int], list[np.ndarray]] = {}
    for i, result in sorted(compute(tasks, workers=jobs)):
        draw, (n, *_) = tasks[i]
        drawn.setdefault((draw.__name__, n), []).append(result)
    tops = [np.concatenate(drawn["spiked_draws", n]) for n in widths]
    edges = [np.concatenate(drawn["null_draws", n]) for n in widths]
    place, limits = float(outlier(SPIKE, ASPECT)), overlaps(SPIKE, ASPECT)
    errors = {
        "outlier": ([top[:, 0] - place for top in tops], -1 / 2),
        "edge": ([edge - np.mean(edge) for edge in edges], -2 / 3),
        "left overlap": ([top[:, 1] - limits[0] for top in tops], -1 / 2),
        "right overlap": ([top[:, 2] - limits[1] for top in tops], -1 / 2),
    }
    series = {}
    for name, (samples, claimed) in errors.items():
        values, spreads = (list(column) for column in zip(*map(root_mean_square, samples)))
        slope = fit(widths[1:], values[1:], spreads[1:], claimed)  # at n = 100 the next order still shows
        series[name] = Series(widths=widths, values=values, errors=spreads, slope=slope)
    for name, first_order in (("first-order centring", True), ("Ma's centring", False)):
        pairs = [distance_to_tracy_widom(edge, n, first_order=first_order) for edge, n in zip(edges, widths)]
        values, spreads = (list(column) for column in zip(*pairs))
        above = [value > noise_floor(len(edge)) for value, edge in zip(values, edges)]
        seen = len(above) if all(above) else above.index(False)
        slope = fit(widths[:seen], values[:seen], spreads[:seen], -1 / 3) if seen > 1 else None
        series[name] = Series(widths=widths, values=values, errors=spreads, slope=slope)
    return series


# %%
# Quantities that should not depend on the width are drawn multiplied by its claimed power.


def draw(series: dict[str, Series], preset: str) -> figures.Figure:
    with figures.appearance():
        figure = figures.Figure(figsize=(1.6 * figures.WIDTH, 6.4))
        panels = figure.subplots(2, 2, sharex=True)
        flat(panels[0, 0], series["outlier"], 1 / 2, r"outlier: rms error $\times\;n^{1/2}$")
        flat(panels[0, 1], series["edge"], 2 / 3, r"edge of the bulk: sd $\times\;n^{2/3}$")
        panels[0, 1].axhline(edge_limit(), color=LIGHT.ink, linestyle="--", linewidth=1, label="Tracy-Widom")
        falling(panels[1, 0], series, ("first-order centring", "Ma's centring"))
        _, _, many, few = PRESETS[preset]
        widths = series["edge"].widths
        floor = [noise_floor(many if n <= 10**5 else few) for n in widths]
        panels[1, 0].plot(widths, floor, ":", color=LIGHT.ink, label="seen without any distance (5 %)")
        panels[1, 0].set(title="Kolmogorov distance of the edge to its limit", ylim=(min(floor) / 5, None))
        falling(panels[1, 1], series, ("left overlap", "right overlap"))
        panels[1, 1].set_title("squared overlaps: rms error")
        for axes in panels.flat:
            axes.legend(fontsize=8.5)
            axes.grid()
        for axes in panels[1]:
            axes.set_xlabel("rows $n$")
    return figure


def flat(axes: figures.Axes, one: Series, power: float, title: str) -> None:
    scale = np.array(one.widths, dtype=float) ** power
    values, errors = np.array(one.values) * scale, 1.96 * np.array(one.errors) * scale
    label = f"slope {text(one.slope)}"
    axes.errorbar(one.widths, values, errors, fmt="o-", color=LIGHT.law, markersize=4, label=label)
    axes.set(xscale="log", title=title, ylim=(0, 1.45 * float(np.max(values))))


def falling(axes: figures.Axes, series: dict[str, Series], names: tuple[str, str]) -> None:
    for name, color, mark in zip(names, (LIGHT.law, LIGHT.spike), "os"):
        one = series[name]
        label = name if one.slope is None else f"{name}, slope {text(one.slope)}"
        errors = np.minimum(1.96 * np.array(one.errors), 0.95 * np.array(one.values))
        axes.errorbar(one.widths, one.values, errors, fmt=f"{mark}-", color=color, markersize=4, label=label)
    axes.set(xscale="log", yscale="log")


def edge_limit() -> float:
    """Standard deviation of the edge times ``n^(2/3)``, in the limit."""
    n = 10**12
    mu, sigma = scaling(n, first_order=False)
    return sigma * math.sqrt(TracyWidom(1).var) / (2 * math.sqrt(mu * n)) * n ** (2 / 3)


def text(slope: Slope | None) -> str:
    return "" if slope is None else f"{slope.value:.3f} ± {slope.high - slope.value:.3f}".replace("-", "−")


def main() -> figures.Figure:
    parser = argparse.ArgumentParser(description="How edge and outlier settle.")
    parser.add_argument("--preset", choices=PRESETS, default="quick")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, help="folder for edge_ladder.json, .png and .pdf")
    options = parser.parse_args()
    start = time.perf_counter()
    series = measure(options.preset, options.jobs)
    for name, one in series.items():
        if one.slope:
            span = f"[{one.slope.low:.4f}, {one.slope.high:.4f}]"
            print(f"{name:22s} slope {one.slope.value:8.4f}  95 % {span:18s} theory {one.slope.claimed:.4f}")
        print(f"{'':22s} " + "  ".join(f"{value:.2e}" for value in one.values))
    print(f"{time.perf_counter() - start:.0f} s")
    figure = draw(series, options.preset)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        document = {name: asdict(one) for name, one in series.items()}
        (options.out / "edge_ladder.json").write_text(json.dumps(document, indent=1) + "\n")
        for kind in ("png", "pdf"):
            (options.out / f"edge_ladder.{kind}").write_bytes(figures.encode(figure, kind))
    return figure


if __name__ == "__main__":
    figure = main()
