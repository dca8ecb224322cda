"""A preset judged by one process and by two: ``python tests/benchmarks/two_workers.py [PRESET]``.

Prints the seconds of both, the parallel efficiency, and whether the verdicts are the same. Nothing else
should run meanwhile; the standard preset takes twenty minutes.
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

from rmttheory.studies.grid import EFFORT


def judged(preset: str, jobs: int, home: Path) -> tuple[list[dict[str, Any]], float]:
    """Let the program judge the preset; return verdicts without their seconds, and the seconds of all."""
    out = home / str(jobs)
    options = ["--preset", preset, "--jobs", str(jobs), "--out", str(out), "--quiet"]
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "rmttheory", "verify", "all", *options], check=True)
    wall = time.perf_counter() - start
    verdicts = json.loads((out / "verdicts.json").read_text())["verdicts"]
    for verdict in verdicts:
        del verdict["seconds"]
    return verdicts, wall


def main() -> None:
    """Print both times and what they say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("preset", choices=EFFORT, nargs="?", default="standard")
    preset = parser.parse_args().preset
    with tempfile.TemporaryDirectory() as name:
        (one, alone), (two, together) = (judged(preset, jobs, Path(name)) for jobs in (1, 2))
    print(f"{preset}: one process {alone:.0f} s, two {together:.0f} s")
    print(f"parallel efficiency at two: {alone / (2 * together):.2f}")
    print(f"{len(one)} verdicts, {'the same' if one == two else 'DIFFERENT'}")
    sys.exit(one != two)


if __name__ == "__main__":
    main()
