"""How fast the edge of a spectrum is found: this package against one quantile at a time.

Published implementations of BEMA find each Marchenko-Pastur quantile by bisection on a distribution function
that is itself integrated numerically. That is written out here in plain code, run on the same spectrum of a
4096 x 1024 matrix of noise with five spikes, and its time compared with that of ``fit_edge``.

Run ``python simulations/edge_speed.py [--preset quick|paper]``: 256 singular values, or 1,024.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq

from rmttheory.matrices import Spiked, TracyWidom, fit_edge, singular_values, spike_threshold


def slow_bema(s: np.ndarray, shape: tuple[int, int], alpha: float = 0.25, level: float = 0.1) -> float:
    """Edge by BEMA for ``n >= m``, as published: quadrature and root finding for every quantile."""
    n, p = shape
    gamma = p / n
    low, high = (1 - np.sqrt(gamma)) ** 2, (1 + np.sqrt(gamma)) ** 2

    def density(x: float) -> float:
        return float(np.sqrt((high - x) * (x - low)) / (2 * np.pi * gamma * x))

    def quantile(u: float) -> float:
        return float(brentq(lambda x: quad(density, low, x)[0] - u, low, high))

    ranks = [k for k in range(p) if alpha * p <= k < (1 - alpha) * p]
    q = np.array([quantile((k + 0.5) / p) for k in ranks])
    eigenvalues = np.sort(s**2)
    variance = np.dot(q, eigenvalues[ranks]) / np.dot(q, q)
    t = TracyWidom(1).ppf(1 - level)
    spread = n ** (-2 / 3) * gamma ** (-1 / 6) * (1 + np.sqrt(gamma)) ** (4 / 3)
    return float(np.sqrt(variance * (high + t * spread)))


def median_seconds(function: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


PRESETS = {"quick": 256, "paper": 1024}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    p = PRESETS[parser.parse_args().preset]
    shape = (4 * p, p)
    strengths = np.array([1.15, 1.4, 1.6, 1.8, 2.0]) * spike_threshold(0.25)
    s = singular_values(Spiked(shape, tuple(strengths)).sample(1).W)

    start = time.perf_counter()
    found = fit_edge(s, shape)
    first = time.perf_counter() - start
    fast = median_seconds(lambda: fit_edge(s, shape), 200)
    slow = median_seconds(lambda: slow_bema(s, shape), 3)

    print(f"{shape[0]} x {shape[1]}, five spikes at 1.15 to 2 times the threshold, seed 1")
    print(f"  fit_edge, first call of this shape {first * 1e3:9.2f} ms")
    print(f"  fit_edge, median of 200            {fast * 1e3:9.2f} ms")
    print(f"  one quantile at a time, of 3       {slow * 1e3:9.0f} ms   ({slow / fast:,.0f} times as long)")
    print(f"  edge {found.edge:.5f} with {found.spikes} spikes; one at a time {slow_bema(s, shape):.5f}")


if __name__ == "__main__":
    main()
