"""Time this package against the dense way, against what LAPACK needs, and against other packages.

Run ``python tests/benchmarks/run.py``; docs/benchmarks.md says how the measurements are made.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before NumPy is imported, here and in processes that are started
    for library in ("OPENBLAS", "OMP", "MKL", "NUMBA"):
        os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np
import tables
from catalogue import BENCHES, GROWTHS, Peers, peak
from environment import describe, load
from timing import QUICK, Bench, Effort, alone, growth, paired, spread

from rmttheory.arrays import InvalidInput


def measure(bench: Bench, *, quick: bool, memory: bool, peers: Peers) -> dict[str, Any]:
    """Time one task in every way, and see what each takes."""
    size, effort = (bench.quick, QUICK) if quick else (bench.size, Effort(pairs=bench.pairs))
    for way in bench.ways(bench.tiny, peers):  # what is loaded or compiled once is not timed
        way.timed(1)
    ours, *others = bench.ways(size, peers)
    row = {"name": bench.name, "title": bench.title.format(size=f"{size:,}"), "size": size, "load": load()}
    against, times = [], []
    for other in others:
        found = paired(ours, other, effort)
        ratios = [slow / fast for slow, fast in zip(found["seconds"], found["ours"])]
        times += found["ours"]
        against.append(
            {
                "name": other.name,
                "kind": other.kind,
                "share": other.share,
                "seconds": spread(found["seconds"]),
                "ratio": spread(ratios),
                "pairs": len(ratios),
                "difference": _difference(found["answers"], bench, size),
                "peak_mib": peak(bench, other, size, peers) if memory else None,
            }
        )
    times = times or alone(ours, effort)
    peak_of_ours = peak(bench, ours, size, peers) if memory else None
    return row | {"ours": spread(times) | {"peak_mib": peak_of_ours}, "against": against}


def _difference(answers: list[Any], bench: Bench, size: int) -> float | None:
    """How far two ways are apart; an error if they cannot have done the same task."""
    if None in answers:
        return None
    found = float(np.max(np.abs(np.subtract(*answers))))
    if not found <= bench.tolerance(size):
        msg = f"The ways of {bench.name} do not agree: {answers[0]} and {answers[1]}."
        raise RuntimeError(msg)
    return None if bench.random else found


def extrapolate(rows: list[dict[str, Any]], growths: list[dict[str, Any]]) -> None:
    """Set a task that is too large for the dense ways beside what the growth of their cost says of it."""
    for task in growths:
        for row in rows:
            there = task.get("beyond")
            if not there or not row["name"].startswith("full-") or row["size"] != there["size"]:
                continue
            ends = {"median": there["seconds"], "low": there["low"], "high": there["high"]}
            row["against"].append(
                {
                    "name": task["title"].replace("in m", "extrapolated"),
                    "kind": "extrapolated",
                    "share": 1.0,
                    "seconds": ends,
                    "ratio": {key: value / row["ours"]["median"] for key, value in ends.items()},
                    "pairs": 0,
                    "difference": None,
                    "peak_mib": None,
                }
            )


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what was asked for."""
    peers = Peers(options.scikit_rmt)
    found: dict[str, Any] = {"schema": 1, "quick": options.quick, "environment": describe(peers)}
    found |= {"rows": [], "growths": [], "left_out": {}}
    for name, task in (BENCHES | GROWTHS).items():
        if options.only and not any(part in name for part in options.only):
            continue
        try:
            if name in BENCHES:
                row = measure(task, quick=options.quick, memory=not options.no_memory, peers=peers)
                found["rows"].append(row)
                print(*tables.lines(row), sep="\n", flush=True)
            else:
                grown = growth(task, quick=options.quick)
                found["growths"].append(grown)
                print(tables.grown(grown), flush=True)
        except (ModuleNotFoundError, InvalidInput) as error:
            found["left_out"][name] = str(error)
            print(f"{name} is left out: {error}", flush=True)
    peers.close()
    extrapolate(found["rows"], found["growths"])
    return found


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="small sizes and few pairs: to see that it works"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="tasks whose name has this"
    )
    parser.add_argument("--list", action="store_true", help="print the names of the tasks")
    parser.add_argument("--scikit-rmt", metavar="PYTHON", help="interpreter that has scikit-rmt")
    parser.add_argument("--no-memory", action="store_true", help="leave out peaks of memory")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables")
    options = parser.parse_args()
    if options.list:
        print(*BENCHES, *GROWTHS, sep="\n")
        sys.exit()
    found = run(options)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    if options.markdown:
        options.markdown.write_text(tables.page(found))


if __name__ == "__main__":
    main()
