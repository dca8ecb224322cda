"""Times of two ways to do the same, side by side, and how times grow."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to do a task.

    Attributes
    ----------
    call : callable
        Does ``share`` of the task (20 of 200 spectra: 0.1; 100 values where one is the task: 100). Times are
        those of the whole task: of a call, over the share.
    answer : callable
        Makes of what ``call`` returns the numbers that all ways must agree on.
    kind : {"ours", "peer", "dense", "yardstick"}
        A yardstick does a part of the task and no more.
    in_process : bool
        Whether the memory of this process is all that the call takes.
    """

    name: str
    call: Callable[[], Any]
    share: float = 1.0
    kind: str = "peer"
    answer: Callable[[Any], Any] | None = None
    in_process: bool = True

    def timed(self, repeats: int) -> tuple[float, Any]:
        """Seconds of a call, and what it returned."""
        start = time.perf_counter()
        for _ in range(repeats):
            found = self.call()
        return (time.perf_counter() - start) / repeats, found

    def summary(self, found: Any) -> list[float] | None:
        """The numbers that all ways must agree on."""
        return None if self.answer is None else np.ravel(self.answer(found)).tolist()


@dataclass(frozen=True, kw_only=True)
class Bench:
    """A task, and the ways to do it.

    Attributes
    ----------
    ways : callable (size, peers) -> list of Way
        Ours first.
    size, quick, tiny : int
        How large the task is; with ``--quick``; and so small that it only loads what is loaded once.
    tolerance : callable size -> float
        How far two ways may be apart. It catches another unit or another law; it is no test of either.
    random : bool
        Whether the answers are drawn, so that how far they are apart says nothing about exactness.
    """

    name: str
    title: str
    ways: Callable[[int, Any], list[Way]]
    size: int
    quick: int
    tiny: int
    tolerance: Callable[[int], float] = lambda size: math.inf  # noqa: ARG005
    random: bool = True
    pairs: int = 11


@dataclass(frozen=True, kw_only=True)
class Growth:
    """A task whose time is fitted by a power of its size; ``beyond`` is a size to extrapolate to."""

    name: str
    title: str
    way: Callable[[int], Way]
    sizes: tuple[int, ...]
    quick: tuple[int, ...]
    beyond: int | None = None


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure."""

    pairs: int = 5
    shortest: float = 0.2
    """Seconds; quicker calls are repeated until they take that long."""
    budget: float = 100.0
    """Seconds for all pairs of two ways, after which no further pair is begun."""
    fewest: int = 3
    """Pairs, whatever they take."""


QUICK = Effort(pairs=3, shortest=0.02, budget=1.0, fewest=2)


def installed(ways: Iterable[Callable[[], Way]]) -> list[Way]:
    """Make the ways whose packages are here."""
    found = []
    for make in ways:
        try:
            found.append(make())
        except ImportError:
            continue
    return found


def paired(ours: Way, other: Way, effort: Effort) -> dict[str, Any]:
    """Time two ways by turns, each first every other time: what slows the machine falls on both.

    Returns
    -------
    dict
        ``ours`` and ``seconds``, the seconds of the whole task in each pair; ``answers``, the last ones.
    """
    ways = (ours, other)
    repeats = [_repeats(way, effort) for way in ways]
    times: tuple[list[float], list[float]] = ([], [])
    found: list[Any] = [None, None]
    start = time.perf_counter()
    while _goes_on(len(times[0]), start, effort):
        for i in (0, 1) if len(times[0]) % 2 else (1, 0):
            seconds, found[i] = ways[i].timed(repeats[i])
            times[i].append(seconds / ways[i].share)
    return {"ours": times[0], "seconds": times[1], "answers": [w.summary(f) for w, f in zip(ways, found)]}


def alone(ours: Way, effort: Effort) -> list[float]:
    """Seconds of the whole task, where there is nothing to compare with."""
    repeats, times = _repeats(ours, effort), []
    start = time.perf_counter()
    while _goes_on(len(times), start, effort):
        times.append(ours.timed(repeats)[0] / ours.share)
    return times


def _goes_on(done: int, start: float, effort: Effort) -> bool:
    late = time.perf_counter() - start > effort.budget
    return done < (effort.fewest if late else effort.pairs)


def _repeats(way: Way, effort: Effort) -> int:
    """Calls that take the shortest time worth measuring; the call that finds out is thrown away."""
    return max(1, math.ceil(effort.shortest / max(way.timed(1)[0], 1e-9)))


def spread(values: list[float]) -> dict[str, float]:
    """Median and quartiles."""
    low, high = np.percentile(values, [25, 75])
    return {"median": statistics.median(values), "low": float(low), "high": float(high)}


def fit_power(sizes: Sequence[int], seconds: Sequence[float], beyond: int | None = None) -> dict[str, Any]:
    """Fit ``seconds = a size^b`` by least squares, log on log, with the standard error of ``b``.

    ``beyond`` adds what the fit says there, give or take one standard error of a prediction.
    """
    x, y = np.log(sizes), np.log(seconds)
    mean, sum_squares = float(np.mean(x)), float(np.sum((x - np.mean(x)) ** 2))
    exponent = float(np.sum((x - mean) * (y - np.mean(y)))) / sum_squares
    residuals = y - np.mean(y) - exponent * (x - mean)
    variance = float(np.sum(residuals**2)) / (len(x) - 2)
    fitted: dict[str, Any] = {"exponent": exponent, "standard_error": math.sqrt(variance / sum_squares)}
    if beyond is not None:
        step = math.log(beyond) - mean
        there = float(np.mean(y)) + exponent * step
        error = math.sqrt(variance * (1.0 + 1.0 / len(x) + step**2 / sum_squares))
        low, high = math.exp(there - error), math.exp(there + error)
        fitted["beyond"] = {"size": beyond, "seconds": math.exp(there), "low": low, "high": high}
    return fitted


def growth(task: Growth, *, quick: bool) -> dict[str, Any]:
    """Time a task at each size, all sizes in every round, and fit a power to the medians."""
    sizes, effort = (task.quick, QUICK) if quick else (task.sizes, Effort())
    ways = [task.way(size) for size in sizes]
    repeats = [_repeats(way, effort) for way in ways]
    times: list[list[float]] = [[] for _ in ways]
    start = time.perf_counter()
    while _goes_on(len(times[0]), start, effort):
        for way, count, taken in zip(ways, repeats, times):
            taken.append(way.timed(count)[0] / way.share)
    seconds = [statistics.median(taken) for taken in times]
    facts = {"name": task.name, "title": task.title, "sizes": list(sizes), "seconds": seconds}
    return facts | {"rounds": len(times[0])} | fit_power(sizes, seconds, task.beyond)
