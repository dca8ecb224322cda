"""Truth, and bound where there is one, along ladders of widths."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.networks import margins
from rmttheory.studies.pool import Task
from rmttheory.theorem.claims import Cell, Claim, find_claim, registry
from rmttheory.theorem.judging import Trials
from rmttheory.theorem.verdicts import Kind, Slope, fit_slope

LADDER = "finite_confidence"
"""The claim whose two sides are shown in the units of logits, for each kind of readout."""
WIDTHS = (64, 128, 256, 512, 1024)
READOUTS = ("bounded", "standard")
TRIALS = 16
"""Trials a width: enough for a median and a slope; such a curve is shown, not judged."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What was measured at each width, over the trials that met the hypotheses.

    Attributes
    ----------
    claim : str
    label : str
        Tells curves of one claim apart.
    widths : tuple of int
    low, median, high : tuple of float
        Quantiles 0.1, 0.5 and 0.9 of the truth: the change of a logit, or the distance to a limit.
    bound : tuple of float or None
        Median bound; None for a limit statement, which has none.
    safe : tuple of float or None
        Half the median margin: a smaller change leaves the label of the median sample as it is.
    slope, bound_slope : Slope or None
        Fitted exponents of truth and bound.
    trials : int
        At the width with the fewest.
    """

    claim: str
    label: str
    widths: tuple[int, ...]
    low: tuple[float, ...]
    median: tuple[float, ...]
    high: tuple[float, ...]
    bound: tuple[float, ...] | None = None
    safe: tuple[float, ...] | None = None
    slope: Slope
    bound_slope: Slope | None = None
    trials: int


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Networks of several widths whose noise is removed, to be measured and compared with the radius."""

    label: str
    cells: tuple[Cell, ...]
    trials: int
    seed: int
    alpha: float

    def pieces(self) -> tuple[Task, ...]:
        """Return one task a width."""
        return tuple((_measure, (cell, self.seed, self.trials)) for cell in self.cells)

    def join(self, results: list[HostArray]) -> Curve:
        """Return the curve."""
        widths, truth, bound, margin = np.concatenate(results).T
        return Curve(
            claim=LADDER,
            label=self.label,
            bound=_medians(bound, widths),
            safe=_medians(margin / 2, widths),
            bound_slope=fit_slope(widths, bound, alpha=self.alpha, claimed=math.nan),
            **_truth(widths, truth, alpha=self.alpha, claimed=math.nan),
        )


def plan_ladders(ids: tuple[str, ...], *, seed: int, alpha: float, dense: bool = False) -> tuple[Ladder, ...]:
    """Return the ladders to be shown beside the claims ``ids``, or beside all of them."""
    if LADDER not in (ids or registry()):
        return ()
    claim, method = find_claim(LADDER), {"method": "dense"} if dense else {}
    return tuple(
        Ladder(
            label=f"{kind} readout",
            cells=tuple(claim.cell(n=width, readout=kind, **method) for width in WIDTHS),
            trials=TRIALS,
            seed=seed,
            alpha=alpha,
        )
        for kind in READOUTS
    )


def limit_curve(claim: Claim, label: str, trials: Trials, *, alpha: float) -> Curve | None:
    """Summarise the trials of a limit statement by width.

    Returns None for another kind of claim, or if fewer than two widths met the hypotheses.
    """
    met = np.all(trials.margins >= 0, axis=1) & np.isfinite(trials.left)
    if claim.kind is not Kind.LIMIT or len(np.unique(trials.widths[met])) < 2:
        return None
    facts = _truth(trials.widths[met], trials.left[met], alpha=alpha, claimed=-claim.rate)
    return Curve(claim=claim.id, label=label, **facts)


def _measure(cell: Cell, seed: int, trials: int) -> HostArray:
    """Return width, largest change of a logit, largest radius and median margin, one draw a row."""
    claim = find_claim(LADDER)
    rows = []
    for trial in range(trials):
        stream = Stream(seed).child("ladder", repr(sorted(cell.items())), trial)
        case = claim.draw(cell, stream)
        margin = np.median(margins(case.before, np.argmax(case.before, axis=1)))
        rows.append((cell["n"], np.max(case.change), np.max(case.radius(cell["delta"])), margin))
    return np.array(rows)


def _truth(widths: HostArray, truth: HostArray, *, alpha: float, claimed: float) -> dict[str, Any]:
    steps = np.unique(widths)
    quantiles = [np.quantile(truth[widths == n], (0.1, 0.5, 0.9)) for n in steps]
    low, median, high = (tuple(map(float, column)) for column in zip(*quantiles))
    return {
        "widths": tuple(int(n) for n in steps),
        "low": low,
        "median": median,
        "high": high,
        "slope": fit_slope(widths, truth, alpha=alpha, claimed=claimed),
        "trials": min(int(np.sum(widths == n)) for n in steps),
    }


def _medians(values: HostArray, widths: HostArray) -> tuple[float, ...]:
    return tuple(float(np.median(values[widths == n])) for n in np.unique(widths))
