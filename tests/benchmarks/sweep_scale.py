"""One sweep on two processes and on a Dask cluster of separate processes, side by side.

``python tests/benchmarks/sweep_scale.py`` computes 10,000 cheap cells both ways, compares the bytes of the
two tables, and times a sweep of heavy cells with one process and with two. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1]))

from separate import cluster

CHEAP = """
[[grid]]
claim = "row_event_exact"
n = [16, 32]
probability = [0.1, 0.2]
seeds = {seeds}
trials = 10
"""
HEAVY = """
[[grid]]
claim = "logit_perturbation_gaussian"
method = "dense"
n = [256, 512]
seeds = {seeds}
trials = 40
"""


def program(*arguments: Any) -> str:
    """Run the program; return what it prints."""
    command = [sys.executable, "-m", "rmttheory", *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def swept(spec: Path, run: Path, *where: Any) -> tuple[dict[str, Any], float]:
    """Carry a sweep out; return what it says of itself and the seconds it took."""
    start = time.perf_counter()
    found = json.loads(program("sweep", spec, "--out", run, "--json", "--quiet", *where))
    return found, time.perf_counter() - start


def row(name: str, found: dict[str, Any], wall: float, workers: int) -> str:
    """Return a line of the table: what all took beside what cells took."""
    cells, overhead = found["done"], workers * wall - found["seconds"]
    return (
        f"{name:<28}{cells:>7,}{wall:>9.1f}{cells / wall:>10.0f}{1e3 * found['seconds'] / cells:>12.2f}"
        f"{1e3 * overhead / cells:>12.2f}"
    )


def main() -> None:
    """Print both comparisons."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000, help="cheap ones; a multiple of four")
    parser.add_argument("--heavy", type=int, default=400, help="heavy ones; even")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        spec = home / "cheap.toml"
        spec.write_text(CHEAP.format(seeds=options.cells // 4))
        print(f"{'':<28}{'cells':>7}{'seconds':>9}{'cells/s':>10}{'ms a cell':>12}{'overhead':>12}")
        print(row("two local processes", *swept(spec, home / "local", "--jobs", 2), 2))
        with cluster() as (file, _, _):
            print(row("Dask, two worker processes", *swept(spec, home / "dask", "--scheduler-file", file), 2))
        tables = []
        for run in ("local", "dask"):
            program("export", home / run, "--to", home / f"{run}.csv", "--quiet")
            tables.append((home / f"{run}.csv").read_bytes())
        print(f"tables: {len(tables[0]):,} bytes, {'equal' if tables[0] == tables[1] else 'DIFFERENT'}\n")
        spec = home / "heavy.toml"
        spec.write_text(HEAVY.format(seeds=options.heavy // 2))
        walls = []
        for jobs in (1, 2):
            found, wall = swept(spec, home / f"heavy{jobs}", "--jobs", jobs)
            print(row(f"{jobs} process{'es' * (jobs - 1)}, heavy cells", found, wall, jobs))
            walls.append(wall)
        print(f"parallel efficiency at two: {walls[0] / (2 * walls[1]):.2f}")
        if tables[0] != tables[1]:
            sys.exit(1)


if __name__ == "__main__":
    main()
