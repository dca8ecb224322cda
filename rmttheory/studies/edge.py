"""The top of the spectrum of matrices of any size beside what theory predicts of it."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Stream, check_count, check_interval, check_shape
from rmttheory.matrices import bulk_edge, overlaps, sample_edge, spike_threshold
from rmttheory.matrices._band_values import corner_size
from rmttheory.matrices.band import check_spikes
from rmttheory.studies.machine import DAY, memory
from rmttheory.studies.pool import Task, usable_cores
from rmttheory.studies.predictions import Prediction, Regime, groups, predict_top, regimes
from rmttheory.studies.runner import Watcher, run
from rmttheory.studies.style import number, span

MOST = 10**15
"""Largest side: there the rounding of doubles is still 10^4 times finer than the fluctuations of the edge."""

HEADINGS = ("value", "mean", "s.e.", "sd", "limit", "theory: mean", "theory: sd", "law")
OVERLAP_HEADINGS = ("spike", "status", "left overlap", "sd", "limit", "right overlap", "sd", "limit")

_PIECES = 100
_RATE = 5e9  # arithmetic operations a second of one core, measured over the solves that `_cost` counts
_PATIENCE = 10.0  # seconds of work from which more processes are worth their start


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Mean of independent draws, their standard deviation (unbiased variance), and that of the mean."""

    mean: float
    sd: float | None
    standard_error: float | None

    @staticmethod
    def of(draws: HostArray) -> Moments:
        """Take them of a vector; one draw says nothing of the spread."""
        mean = float(np.mean(draws))
        if len(draws) == 1:
            return Moments(mean=mean, sd=None, standard_error=None)
        sd = float(np.std(draws, ddof=1))
        return Moments(mean=mean, sd=sd, standard_error=sd / math.sqrt(len(draws)))


@dataclass(frozen=True, kw_only=True)
class EdgeWork:
    """Leading values and overlaps of independent matrices, still to be drawn; fields are checked."""

    shape: tuple[int, int]
    spikes: tuple[float, ...]
    """Descending."""
    g: float
    k: int
    trials: int
    seed: int

    @property
    def cost(self) -> tuple[float, float]:
        """Bytes at once and arithmetic operations of one trial, roughly."""
        r, k = len(self.spikes), self.k
        columns = float(min(2 * corner_size(self.shape, max(r, 1), k), *self.shape))
        if not r:
            return 100.0 * columns, (1000.0 + 1500.0 * k) * columns
        if columns <= 200 or 8 * k >= columns:
            return 32.0 * columns**2, 25.0 * columns**3
        width, steps = 2 * r + 1, 60 + 12 * k
        solves = 15 * min(r, k) * width * (2 * width - 1) + steps * (8 * width + 2 * steps)
        return 8.0 * columns * (steps + 4 * width + 4 * r), columns * solves

    @property
    def seconds(self) -> float:
        """How long all trials take on one core, roughly."""
        return self.trials * self.cost[1] / _RATE

    def pieces(self) -> tuple[Task, ...]:
        """Return the tasks; a draw depends on its number alone."""
        count = min(_PIECES, self.trials)
        bounds = [self.trials * i // count for i in range(count + 1)]
        return tuple((_draw, (self, start, stop)) for start, stop in itertools.pairwise(bounds))

    def join(self, results: list[Any]) -> EdgeStudy:
        """Return all draws together."""
        values, left, right, *worst = (np.concatenate(parts) for parts in zip(*results))
        value_error, overlap_error, corner = (part.max() for part in worst)
        return EdgeStudy(
            work=self,
            values=values,
            left=left,
            right=right,
            value_error=float(value_error),
            overlap_error=float(overlap_error),
            corner=int(corner),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeStudy:
    """Leading singular values of independent layers ``W = S + R`` with Gaussian noise, none of them formed.

    Attributes
    ----------
    work : EdgeWork
        What was asked for.
    values : ndarray, shape (trials, k)
        Descending.
    left, right : ndarray, shape (trials, min(r, k))
        Squared length of the projection of singular vector ``i`` on the directions of spike ``i`` and of
        those too near to be told apart from it.
    value_error, overlap_error : float
        Largest of all trials, as `sample_edge` has them.
    corner : int
        Most columns of the band that a trial needed.
    seconds : float
        Wall time.
    """

    work: EdgeWork
    values: HostArray
    left: HostArray
    right: HostArray
    value_error: float
    overlap_error: float
    corner: int
    seconds: float = 0.0

    @property
    def aspect(self) -> float:
        """``c = m / n``."""
        return self.work.shape[1] / self.work.shape[0]

    @property
    def regimes(self) -> tuple[Regime, ...]:
        """What each spike does at this size."""
        return regimes(self.work.shape, self.work.spikes, self.work.g)

    @property
    def predictions(self) -> tuple[Prediction, ...]:
        """What theory says of each value."""
        return predict_top(self.work.shape, self.work.spikes, self.work.g, self.work.k)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        work, (n, m) = self.work, self.work.shape
        values = [
            {**vars(Moments.of(draws)), "predicted": vars(predicted), "draws": draws.tolist()}
            for draws, predicted in zip(self.values.T, self.predictions)
        ]
        return {
            "rows": n,
            "columns": m,
            "aspect": self.aspect,
            "spikes": list(work.spikes),
            "g": work.g,
            "seed": work.seed,
            "trials": work.trials,
            "top": work.k,
            "threshold": spike_threshold(self.aspect, work.g),
            "bulk_edge": bulk_edge(self.aspect, work.g),
            "values": values,
            "overlaps": [self._overlap(i) for i in range(self.left.shape[1])],
            "value_error": self.value_error,
            "overlap_error": self.overlap_error,
            "corner": self.corner,
            "seconds": self.seconds,
        }

    def _overlap(self, i: int) -> dict[str, Any]:
        theta, regime = self.work.spikes[i], self.regimes[i]
        sides: dict[str, Any] = {"spike": theta, "status": regime.name.lower()}
        limits = overlaps(theta, self.aspect, self.work.g)
        for side, draws, limit in zip(("left", "right"), (self.left, self.right), limits):
            sides[side] = {**vars(Moments.of(draws[:, i])), "limit": limit, "draws": draws[:, i].tolist()}
        return sides


def study_edge(
    shape: tuple[int, int],
    *,
    spikes: Sequence[float] = (),
    top: int | None = None,
    g: float = 1.0,
    trials: int = 20,
    seed: int = 0,
    workers: int | None = None,
    watcher: Watcher | None = None,
) -> EdgeStudy:
    """Draw the leading singular values, and both overlaps of each spike, of independent Gaussian layers.

    Parameters
    ----------
    shape : tuple of int
        ``(n, m)``: outputs by inputs, up to 10^15.
    spikes : sequence of float
        Singular values of the signal, in any order.
    top : int, optional
        How many values; one more than there are spikes if omitted.
    g : float
        Entries of the noise have variance ``g / n``.
    trials : int
    seed : int
    workers : int, optional
        Processes; one for short work and all usable cores for long if omitted. Draws do not depend on it.
    watcher : Watcher, optional

    Raises
    ------
    InvalidInput
        If an argument is out of range, or it would take more memory than there is or more than a day.
    """
    clock = time.perf_counter()
    n, m = check_shape(shape)
    if max(n, m) > MOST:
        msg = f"`shape` may have at most 1e{math.log10(MOST):.0f} rows and columns, not {max(n, m):.4g}."
        raise InvalidInput(msg)
    strengths = check_spikes(spikes, (n, m))
    k = min(len(strengths) + 1, n, m) if top is None else check_count(top, "top")
    if k > min(n, m):
        msg = f"`top` must be at most {min(n, m)}, the number of singular values, not {k}."
        raise InvalidInput(msg)
    work = EdgeWork(
        shape=(n, m),
        spikes=tuple(map(float, strengths)),
        g=check_interval(g, "g", low=0.0),
        k=k,
        trials=check_count(trials, "trials"),
        seed=check_count(seed, "seed", low=0),
    )
    if workers is None:
        workers = usable_cores() if work.seconds > _PATIENCE else 1
    _check_size(work, check_count(workers, "jobs"))
    study: EdgeStudy
    ((_, study),) = run([work], workers=workers, watcher=watcher)
    return replace(study, seconds=time.perf_counter() - clock)


def edge_lines(study: EdgeStudy) -> tuple[list[str], list[str]]:
    """Say what was drawn, and how well, in the lines before and after the tables."""
    work, (n, m) = study.work, study.work.shape
    spikes, trials = _some(len(work.spikes), "spike"), _some(work.trials, "trial")
    threshold, edge = spike_threshold(study.aspect, work.g), bulk_edge(study.aspect, work.g)
    before = [
        f"Gaussian noise, {n:,} x {m:,}, {spikes}, g = {number(work.g)}, seed {work.seed}",
        f"{trials}, drawn without the matrix from a band of {_some(study.corner, 'column')}",
        f"threshold of spikes {number(threshold, 5)}, bulk edge {number(edge, 5)}",
    ]
    hidden = [
        f"spike {number(theta, 5)} is {regime.name}, {regime.value}"
        for theta, regime in zip(work.spikes, study.regimes)
        if regime is not Regime.SUPERCRITICAL
    ]
    errors = f"values are right within {number(study.value_error, 2)}"
    if work.spikes:
        errors += f"; overlaps moved by {number(study.overlap_error, 2)} when the band was last doubled"
    return before, [*hidden, f"{errors}; {number(study.seconds, 2)} s"]


def edge_rows(study: EdgeStudy) -> list[tuple[str, ...]]:
    """Return the table of values under `HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for j, (draws, theory) in enumerate(zip(study.values.T, study.predictions), start=1):
        seen = Moments.of(draws)
        step = seen.standard_error or theory.sd or 1e-6 * seen.mean
        places = (_to(step, seen.mean), _to(step, theory.limit), _to(step, theory.mean))
        spread = (number(seen.standard_error, 2), number(seen.sd))
        rows.append((str(j), places[0], *spread, places[1], places[2], number(theory.sd), theory.law))
    return rows


def overlap_rows(study: EdgeStudy) -> list[tuple[str, ...]]:
    """Return the table of squared overlaps under `OVERLAP_HEADINGS`."""
    rows: list[tuple[str, ...]] = []
    for i in range(study.left.shape[1]):
        texts = [number(study.work.spikes[i], 5), study.regimes[i].name]
        limits = overlaps(study.work.spikes[i], study.aspect, study.work.g)
        for draws, limit in zip((study.left, study.right), limits):
            seen = Moments.of(draws[:, i])
            step = seen.standard_error or 1e-6
            texts += [_to(step, seen.mean), number(seen.sd), _to(step, limit)]
        rows.append(tuple(texts))
    return rows


def _draw(work: EdgeWork, start: int, stop: int) -> tuple[HostArray, ...]:
    """Values, overlaps and their errors of some trials, one a row."""
    bundles = [group for group in groups(work.shape, work.spikes, work.g) for _ in group][: work.k]
    rows = []
    for trial in range(start, stop):
        stream = Stream(work.seed).child("edge", trial)
        top = sample_edge(work.shape, work.spikes, k=work.k, g=work.g, stream=stream)
        left, right = (
            [float(np.sum(side[0][list(group), i])) for i, group in enumerate(bundles)]
            for side in (top.left, top.right)
        )
        rows.append((top.values[0], left, right, top.value_error[0], top.overlap_error[0], top.corner[0]))
    return tuple(np.array(column) for column in zip(*rows))


def _check_size(work: EdgeWork, workers: int) -> None:
    size, seconds, present = work.cost[0] * workers, work.seconds / workers, memory()
    if size > present:
        much = f"about {size / 2**30:,.0f} GiB of memory, and this machine has {present / 2**30:,.0f}"
    elif seconds > DAY:
        much = f"about {span(seconds)}"
    else:
        return
    msg = f"This would take {much}. Ask for fewer values (`top`), spikes or trials."
    raise InvalidInput(msg)


def _some(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}" if count else f"no {noun}s"


def _to(step: float, value: float | None) -> str:
    """Return a value with one digit more than the first of ``step``, so that such steps can be seen."""
    if value is None:
        return "-"
    if value == 0.0:
        return "0"
    digits = 2 + math.floor(math.log10(abs(value))) - math.floor(math.log10(step))
    return f"{value:#.{min(max(digits, 3), 16)}g}"
