"""What a preset costs, from a few trials of each cell: ``python tests/benchmarks/preset_cost.py PRESET``.

Processor time of one BLAS thread. The first trials of a claim also pay for what later ones find in caches,
so the estimate is high: compare it with a preset that was run. Proofs and the trained network are left out.
"""

from __future__ import annotations

import argparse
import time

from rmttheory.studies.grid import EFFORT, Job, plan
from rmttheory.studies.pool import one_blas_thread
from rmttheory.theorem.claims import find_claim
from rmttheory.theorem.judging import run_trials

ENOUGH = 0.5
"""Seconds after which a cell is not tried again, once every width of its ladder was."""


def seconds(job: Job) -> float:
    """Return the processor time of all trials of a job, from at most three of each width."""
    claim, widths = find_claim(job.claim), job.cell.get("n")
    ladder = len(widths) if isinstance(widths, tuple) else 1
    start, tried = time.process_time(), 0
    while tried < min(3 * ladder, job.trials):
        run_trials(claim, job.cell, seed=0, start=tried, stop=tried + 1)
        tried += 1
        if time.process_time() - start > ENOUGH and tried % ladder == 0:
            break
    return (time.process_time() - start) / tried * job.trials


def main() -> None:
    """Print the number of cells and the core-hours."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("preset", choices=EFFORT)
    jobs = [job for job in plan(preset=parser.parse_args().preset) if find_claim(job.claim).residuals is None]
    with one_blas_thread():
        total = sum(map(seconds, jobs))
    print(f"{len(jobs)} cells, {total / 3600:.2f} core-hours")


if __name__ == "__main__":
    main()
