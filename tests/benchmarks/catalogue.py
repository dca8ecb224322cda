"""Every task that is measured, the packages it is measured against, and what a task takes in a process."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import edges
import laws
import spectra
import steps
import trials
from memory import peak_mib
from scikit_rmt import Interpreter, Remote
from timing import Bench

PARTS = (spectra, edges, laws, trials, steps)
BENCHES = {bench.name: bench for part in PARTS for bench in part.BENCHES}
GROWTHS = {f"growth-{task.name}": task for part in PARTS for task in getattr(part, "GROWTHS", ())}

_LOADED = ("scipy.linalg.cython_lapack", "scipy.sparse.linalg", "scipy.special", "scipy.stats")


class Peers:
    """What is not imported in this process: the interpreter that has scikit-rmt, if one was named."""

    def __init__(self, python: str | None = None) -> None:
        self.python = python
        self._started: Interpreter | None = None

    def scikit_rmt(self) -> Interpreter:
        """The other interpreter; ImportError, as of a package that is missing, if there is none."""
        if self.python is None:
            msg = "No interpreter was named that has scikit-rmt."
            raise ImportError(msg)
        if self._started is None:
            self._started = Interpreter(self.python)
        return self._started

    def close(self) -> None:
        """End the other interpreter."""
        if self._started is not None:
            self._started.close()


def peak(bench: Bench, way: Any, size: int, peers: Peers) -> float | None:
    """MiB that one call takes at its peak, in a process of its own; None if that cannot be known."""
    if isinstance(way, Remote):
        other = Interpreter(str(peers.python))
        other.ask(do="time", task=way.task, size=bench.tiny, count=way.count, repeats=1)
        found = other.ask(do="peak", task=way.task, size=size, count=way.count)
        other.close()
        return found
    if not way.in_process:
        return None
    asked = [sys.executable, "-W", "ignore", __file__, bench.name, way.name, str(size)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    if done.returncode:
        print(f"memory of {way.name} in {bench.name} is not known:\n{done.stderr[-2000:]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def _peak_here(name: str, way: str, size: int) -> float | None:
    for module in _LOADED:
        importlib.import_module(module)
    bench, peers = BENCHES[name], Peers()
    tiny, real = (
        next(found for found in bench.ways(each, peers) if found.name == way) for each in (bench.tiny, size)
    )
    tiny.call()
    if real.kind == "ours":  # some of its code is compiled where sizes are worth it
        real.call()
    return peak_mib(real.call)


if __name__ == "__main__":
    print(json.dumps(_peak_here(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
