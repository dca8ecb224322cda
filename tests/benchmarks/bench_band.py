"""Time the band models against dense decompositions, side by side.

Run ``python tests/benchmarks/bench_band.py [--quick] [--json FILE]``. Ratios are medians over pairs of runs,
the slow way and the band one after the other, so that other load on the machine falls on both. One BLAS
thread.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl

from rmttheory.arrays import Stream
from rmttheory.matrices import (
    count_singular_values,
    null_singular_values,
    sample_edge,
    spiked_singular_values,
)

SPIKES = (1.5, 1.2, 1.1)


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - start) / repeats


def against(name: str, slow: Callable[[], Any], fast: Callable[[], Any], pairs: int) -> dict[str, Any]:
    fast()  # imports and first touches are not timed
    repeats = max(1, round(0.2 / seconds(fast)))
    timed = [(seconds(slow), seconds(fast, repeats)) for _ in range(pairs)]
    facts = {
        "slow": statistics.median(a for a, _ in timed),
        "fast": statistics.median(b for _, b in timed),
        "ratio": statistics.median(a / b for a, b in timed),
    }
    print(f"{name:58s} {facts['slow']:10.4f} s {facts['fast']:10.5f} s {facts['ratio']:9.2f}x", flush=True)
    return {"name": name} | facts


def alone(name: str, call: Callable[[], Any], repeats: int = 3) -> dict[str, Any]:
    """Median time, and the peak of what is allocated, from a run of its own."""
    call()
    taken = statistics.median(seconds(call) for _ in range(repeats))
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    print(f"{name:58s} {taken:23.5f} s {peak:9.1f} MiB", flush=True)
    return {"name": name, "seconds": taken, "peak_mib": peak}


def dense(m: int, *, gram: bool = False) -> Callable[[], Any]:
    n, rng = 2 * m, np.random.default_rng(1)

    def call() -> Any:
        W = rng.standard_normal((n, m)) / np.sqrt(n)
        W[range(3), range(3)] += SPIKES
        return np.linalg.eigvalsh(W.T @ W) if gram else np.linalg.svd(W, compute_uv=False)

    return call


def sterf(m: int) -> Callable[[], Any]:
    from scipy.linalg import eigvalsh_tridiagonal

    rng, index = np.random.default_rng(1), np.arange(m)
    diagonal, above = rng.chisquare(2 * m - index), rng.chisquare(m - index[1:])
    main, off = diagonal + np.append(0.0, above), np.sqrt(diagonal[:-1] * above)
    return lambda: eigvalsh_tridiagonal(main, off, check_finite=False, lapack_driver="sterf")


def rows(quick: bool) -> list[dict[str, Any]]:
    found = []
    for m in (1000, 2000) if quick else (1000, 2000, 4000):
        band = lambda m=m: spiked_singular_values((2 * m, m), SPIKES, stream=Stream(1))  # noqa: E731
        pairs = 3 if m > 1000 else 7
        title = f"full spectrum, m = {m}, n = {2 * m}, 3 spikes, band vs"
        found.append(against(f"{title} numpy svd", dense(m), band, pairs))
        found.append(against(f"{title} Gram + eigvalsh", dense(m, gram=True), band, pairs))
        found.append(against(f"{title} sterf (floor)", sterf(m), band, 7))
    null = lambda: null_singular_values((2000, 1000), trials=20, stream=Stream(1))  # noqa: E731
    found.append(alone("20 null spectra, m = 1000, n = 2000", null))
    for n in (10**3, 10**6, 10**9, 10**12):
        edge = lambda n=n: sample_edge((n, n // 2), SPIKES, k=3, stream=Stream(1))  # noqa: E731
        found.append(alone(f"top 3 and overlaps, n = {n:.0e}, 3 spikes", edge))
    top = lambda: sample_edge((2000, 2000), trials=1000, stream=Stream(1))  # noqa: E731
    found.append(alone("1,000 top values of null matrices, n = 2000", top))
    points = np.linspace(0.29, 1.71, 64 if quick else 512)
    for spikes in ((), SPIKES):
        count = lambda spikes=spikes: count_singular_values((10**6, 5 * 10**5), points, spikes, stream=1)  # noqa: E731
        title = f"distribution at {len(points)} points, n = 1e6, {len(spikes)} spikes"
        found.append(alone(title, count, repeats=1))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="smaller sizes")
    parser.add_argument("--json", type=Path, help="write the rows to this file")
    options = parser.parse_args()
    with threadpoolctl.threadpool_limits(1):
        found = rows(options.quick)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
