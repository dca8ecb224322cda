"""Bound against truth along a ladder of widths."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray
from rmttheory.studies.pool import Task
from rmttheory.theorem.claims import Cell, Claim, Trials, find_claim, fit_slope, registry, run_trials
from rmttheory.theorem.verdicts import Kind, Slope

LADDERS: Mapping[str, tuple[int, ...]] = {
    "finite_confidence": (64, 128, 256, 512, 1024),
    "loss_reduction_gaussian": (64, 128, 256, 512, 1024),
}
"""Claims at one width whose bound is shown along these."""

TRIALS = 24
"""Trials a width: enough for a median and a slope; a curve is shown, not judged."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Both sides of a claim at each width, over the trials that met its hypotheses.

    Attributes
    ----------
    claim : str
    widths : tuple of int
    low, median, high : tuple of float
        Quantiles 0.1, 0.5 and 0.9 of the left side: the truth.
    bound : tuple of float or None
        Median of the right side; None for a limit statement, which has none.
    trivial : tuple of float or None
        Median of what is known without the theorem, where that is finite.
    slope, bound_slope : Slope or None
        Fitted exponents of truth and bound; the limits of a bound that does not scatter coincide.
    trials : int
        Trials at each width.
    """

    claim: str
    widths: tuple[int, ...]
    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]
    bound: tuple[float, ...] | None
    trivial: tuple[float, ...] | None
    slope: Slope
    bound_slope: Slope | None
    trials: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """A claim at one width, to be measured at several."""

    claim: str
    cells: tuple[Cell, ...]
    trials: int
    seed: int
    alpha: float

    def pieces(self) -> tuple[Task, ...]:
        """Return one task a width."""
        return tuple((_measure, (self.claim, cell, self.seed, self.trials)) for cell in self.cells)

    def join(self, results: list[Any]) -> Curve | None:
        """Return the curve."""
        return curve_of(find_claim(self.claim), Trials.concatenate(results), alpha=self.alpha)


def plan_ladders(ids: tuple[str, ...], *, seed: int, alpha: float) -> tuple[Ladder, ...]:
    """Return the ladders of the claims ``ids``, or of every registered one."""
    return tuple(
        Ladder(
            claim=name,
            cells=tuple(find_claim(name).cell(n=width) for width in widths),
            trials=TRIALS,
            seed=seed,
            alpha=alpha,
        )
        for name, widths in LADDERS.items()
        if name in (ids or registry())
    )


def curve_of(claim: Claim, trials: Trials, *, alpha: float) -> Curve | None:
    """Summarise measured trials by width; None if fewer than two widths met the hypotheses."""
    admissible = np.all(trials.margins >= 0, axis=1) & np.isfinite(trials.left)
    widths, left, right = (x[admissible] for x in (trials.widths, trials.left, trials.right))
    steps = np.unique(widths)
    if len(steps) < 2:
        return None
    limit = claim.kind is Kind.LIMIT
    quantiles = [np.quantile(left[widths == n], (0.1, 0.5, 0.9)) for n in steps]
    low, median, high = (tuple(map(float, column)) for column in zip(*quantiles))
    return Curve(
        claim=claim.id,
        widths=tuple(int(n) for n in steps),
        low=low,
        median=median,
        high=high,
        bound=None if limit else _medians(right, widths, steps),
        trivial=_medians(trials.trivial[admissible], widths, steps),
        slope=fit_slope(widths, left, alpha=alpha, claimed=-claim.rate if limit else math.nan),
        bound_slope=None if limit else fit_slope(widths, right, alpha=alpha, claimed=math.nan),
        trials=int(np.min([np.sum(widths == n) for n in steps])),
    )


def _medians(values: HostArray, widths: HostArray, steps: HostArray) -> tuple[float, ...] | None:
    medians = tuple(float(np.median(values[widths == n])) for n in steps)
    return medians if all(map(math.isfinite, medians)) else None


def _measure(name: str, cell: Cell, seed: int, trials: int) -> Trials:
    return run_trials(find_claim(name), cell, seed=seed, start=0, stop=trials)
