"""scikit-rmt in an interpreter of its own, which times itself.

It pins numpy <= 1.26.4 and needs a SciPy older than those this package is made for, so that both cannot live
in one environment. This file is both ends of a pipe: imported, it asks; run by the other interpreter, it
answers questions, a line of JSON each, with seconds that it measured itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memory import peak_mib


class Interpreter:
    """A running Python that has scikit-rmt."""

    def __init__(self, python: str) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._process = subprocess.Popen([python, "-W", "ignore", __file__], **pipes)
        self.versions = self.ask(do="versions")

    def ask(self, **question: Any) -> Any:
        """Ask one question and wait for the answer."""
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            msg = "The interpreter given as --scikit-rmt stopped: is scikit-rmt installed there?"
            raise RuntimeError(msg)
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@dataclass(frozen=True, kw_only=True)
class Remote:
    """A `timing.Way` whose calls are made, and timed, by the other interpreter."""

    interpreter: Interpreter
    task: str
    size: int
    count: int
    share: float = 1.0
    name: str = "scikit-rmt"
    kind: str = "peer"
    in_process: bool = False

    def timed(self, repeats: int) -> tuple[float, Any]:
        """Seconds of a call, and the numbers that all ways must agree on."""
        what = {"task": self.task, "size": self.size, "count": self.count}
        found = self.interpreter.ask(do="time", repeats=repeats, **what)
        return found["seconds"], found["answer"]

    def summary(self, found: Any) -> list[float]:
        """The numbers that all ways must agree on."""
        return found


def _null_spectra(size: int, count: int) -> Callable[[], Any]:
    import numpy as np
    from skrmt.ensemble import WishartEnsemble

    ensemble = WishartEnsemble(beta=1, p=size, n=2 * size, tridiagonal_form=True)

    def call() -> Any:
        spectra = []
        for _ in range(count):
            ensemble.resample()
            spectra.append(ensemble.eigvals() / (2 * size))
        return [np.mean(spectra), np.sqrt(np.max(spectra, axis=1)).mean()]

    return call


def _top_value(size: int, count: int) -> Callable[[], Any]:
    import numpy as np
    from skrmt.ensemble import WishartEnsemble

    ensemble = WishartEnsemble(beta=1, p=size, n=size, tridiagonal_form=True)

    def call() -> Any:
        tops = []
        for _ in range(count):
            ensemble.resample()
            tops.append(np.sqrt(np.max(ensemble.eigvals()) / size))
        return [np.mean(tops)]

    return call


def _marchenko_pastur(size: int, count: int, *, quantiles: bool) -> Callable[[], Any]:
    import numpy as np
    from skrmt.ensemble.spectral_law import MarchenkoPasturDistribution

    law = MarchenkoPasturDistribution(ratio=0.5)
    return _law_call(law, np.linspace(0.05, 3.0, size), np.linspace(0.01, 0.99, size), count, quantiles)


def _tracy_widom(size: int, count: int, *, quantiles: bool) -> Callable[[], Any]:
    import numpy as np
    from skrmt.ensemble.spectral_law import TracyWidomDistribution

    law = TracyWidomDistribution(beta=1)
    return _law_call(law, np.linspace(-5.0, 4.0, size), np.linspace(0.01, 0.99, size), count, quantiles)


def _law_call(law: Any, points: Any, levels: Any, count: int, quantiles: bool) -> Callable[[], Any]:
    if not quantiles:
        return lambda: law.cdf(points)[:: max(1, len(points) // 64)]
    chosen = levels[:: len(levels) // count][:count]
    return lambda: law.ppf(chosen)


TASKS: dict[str, Callable[[int, int], Callable[[], Any]]] = {
    "null spectra": _null_spectra,
    "top value": _top_value,
    "mp cdf": lambda size, count: _marchenko_pastur(size, count, quantiles=False),
    "mp ppf": lambda size, count: _marchenko_pastur(size, count, quantiles=True),
    "tw cdf": lambda size, count: _tracy_widom(size, count, quantiles=False),
    "tw ppf": lambda size, count: _tracy_widom(size, count, quantiles=True),
}


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    packages = {name: version(name) for name in ("scikit-rmt", "numpy", "scipy")}
    return {"python": sys.version.split()[0]} | packages


def _answer(question: dict[str, Any], calls: dict[Any, Callable[[], Any]]) -> Any:
    if question["do"] == "versions":
        return _versions()
    key = (question["task"], question["size"], question["count"])
    if key not in calls:
        calls[key] = TASKS[key[0]](*key[1:])
    if question["do"] == "peak":
        return peak_mib(calls[key])
    start = time.perf_counter()
    for _ in range(question["repeats"]):
        found = calls[key]()
    seconds = (time.perf_counter() - start) / question["repeats"]
    return {"seconds": seconds, "answer": [float(x) for x in found]}


def main() -> None:
    """Answer questions until there are no more."""
    calls: dict[Any, Callable[[], Any]] = {}
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), calls)), flush=True)


if __name__ == "__main__":
    main()
