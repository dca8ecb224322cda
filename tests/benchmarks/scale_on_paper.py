"""What a thousand cores or one H100 would do, by arithmetic: ``python tests/benchmarks/scale_on_paper.py``.

Measured here: what the driver and a Dask scheduler take for a batch and a cell, and what one core takes to
draw and decompose a matrix. Read from docs/gpu-selftest.txt: what an H100 took. All else is division.
"""

from __future__ import annotations

import re
import statistics
import sys
import tempfile
import time
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))

from separate import cluster

from rmttheory.arrays import Stream
from rmttheory.matrices import spectrum
from rmttheory.studies.pool import one_blas_thread
from rmttheory.studies.sweeps import SweepWatcher, Workers, dask_workers, parse_sweep
from rmttheory.studies.sweeps.cells import compute_cells
from rmttheory.studies.sweeps.costs import duration
from rmttheory.studies.sweeps.driving import Tally
from rmttheory.studies.sweeps.flow import BATCH, MOST, SPACING, Flow
from rmttheory.studies.sweeps.store import Store

GPU = Path(__file__).parents[2] / "docs" / "gpu-selftest.txt"
CORES = (32, 1000, 10_000)
CELLS = {"2.5 ms": 0.0025, "0.22 s": 0.22, "10 s": 10.0}
"""The first two as sweep_scale.py measures them: ten trials of a row; 40 layers of width 256 or 512."""
SPEC = '[[grid]]\nclaim = "row_event_exact"\nn = 32\ntrials = 10\nseeds = {}\n'


class Instant(Executor):
    """Answers at once with a result that was computed before."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.batches = answer, 0

    def submit(self, _function: Any, cells: Any, /) -> Future[Any]:  # type: ignore[override]
        self.batches += 1
        future: Future[Any] = Future()
        future.set_result([self.answer] * len(cells))
        return future


def driver_seconds() -> tuple[float, float]:
    """Return what the driver takes for a cell and for a batch: two sweeps on workers that answer at once."""
    walls, counts = [], []
    for seeds, size in ((20_000, 500), (1_000, 1)):
        sweep = parse_sweep(SPEC.format(seeds), name="driver")
        ((document, _),) = compute_cells([sweep.cells[0].to_dict()])
        executor = Instant((document, BATCH / size))
        with tempfile.TemporaryDirectory() as folder, Store(Path(folder), {}) as store:
            flow = Flow(Workers(executor, 1), sweep.cells, dict.fromkeys(range(seeds), BATCH / size))
            start = time.perf_counter()
            Tally(sweep, store, SweepWatcher()).run(flow, lambda: False)
            walls.append(time.perf_counter() - start)
        counts.append((seeds, executor.batches))
    cell, batch = np.linalg.solve(np.array(counts, dtype=float), np.array(walls))
    return float(cell), float(batch)


def scheduler_seconds(tasks: int = 3000) -> float:
    """Return what an empty batch takes on its way through a Dask scheduler and two workers."""
    with cluster() as (file, _, _), dask_workers(file=str(file)) as workers:
        start = time.perf_counter()
        for future in [workers.submit([]) for _ in range(tasks)]:
            future.result()
        return (time.perf_counter() - start) / tasks


def print_cores(cell: float, batch: float, task: float) -> None:
    """Print how busy driver and scheduler would be, and where that is all that they can do."""
    print(f"driver: {1e3 * cell:.3f} ms a cell and {1e3 * batch:.1f} ms a batch, its commit among it")
    print(f"scheduler and both ends of its channel: {1e3 * task:.2f} ms a batch")
    print(
        f"batches of {BATCH:g} s of work, {SPACING:g} s times cores if that is more, {MOST} cells at most\n"
    )
    headings = ("a cell takes", "cores", "cells/s", "driver", "scheduler", "then", "a million cells")
    print("{:>14}{:>9}{:>11}{:>9}{:>11}{:>11}{:>17}".format(*headings))
    for name, seconds in CELLS.items():
        for cores in CORES:
            size = max(1, min(MOST, round(max(BATCH, SPACING * cores) / seconds)))
            wanted = cores / seconds
            driver, scheduler = wanted * (cell + batch / size), wanted * task / size
            most = wanted / max(1.0, driver, scheduler)
            print(
                f"{name:>14}{cores:>9,}{wanted:>11,.0f}{driver:>9.1%}{scheduler:>11.1%}"
                f"{most:>11,.0f}{duration(1e6 / most):>17}"
            )


def print_gpu() -> None:
    """Print how many cores an H100 is worth for spectra, and what one core must draw for it meanwhile."""
    times = dict(re.findall(r"spectrum by gram, ([\d,]+) x [\d,]+: ([\d,.]+) ms", GPU.read_text()))
    measured = {}
    with one_blas_thread():
        for n in (1000, 2000):
            taken = []
            for _ in range(5):  # the first also waits for memory
                start = time.perf_counter()
                W = Stream(0).normal((n, n))
                drawn = time.perf_counter()
                spectrum(W, method="gram")
                taken.append((drawn - start, time.perf_counter() - drawn))
            measured[n] = tuple(map(statistics.median, zip(*taken)))
    draw, solve = measured[2000][0] / 2000**2, measured[2000][1] / 2000**3
    print(
        f"\none core: {1e9 * draw:.1f} ns a normal number; spectrum by gram, 1,000: {measured[1000][1]:.2f} s"
    )
    print(f"2,000: {measured[2000][1]:.2f} s; wider ones as the cube of the width\n")
    headings = ("width", "H100", "one core", "cores it is worth", "drawing on one core", "H100 then busy")
    print("{:>8}{:>10}{:>12}{:>20}{:>22}{:>17}".format(*headings))
    for text, milliseconds in times.items():
        n, gpu = int(text.replace(",", "")), float(milliseconds.replace(",", "")) / 1e3
        core, drawing = solve * n**3, draw * n**2
        print(
            f"{n:>8,}{gpu:>8.3f} s{core:>10.1f} s{core / gpu:>20.0f}{drawing:>20.2f} s"
            f"{gpu / max(gpu, drawing):>17.0%}"
        )


if __name__ == "__main__":
    print_cores(*driver_seconds(), scheduler_seconds())
    print_gpu()
