"""Two arms of an experiment over the same seeds: differences with intervals, and whether one varies less."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, check_interval


@dataclass(frozen=True, kw_only=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes
    ----------
    value, low, high : float
    p_value : float or None
        Two-sided, of the null hypothesis that is named where the interval is made; None where there is none.
    """

    value: float
    low: float
    high: float
    p_value: float | None = None

    def text(self, *, scale: float = 1.0, digits: int = 2) -> str:
        """Return it as text, such as "0.31 [0.12, 0.50]", each number times ``scale``."""
        value, low, high = (f"{scale * x:.{digits}f}" for x in (self.value, self.low, self.high))
        return f"{value} [{low}, {high}]"


def mean_interval(x: Sequence[float], *, level: float = 0.05) -> Interval:
    """Return the mean with its Student interval, which has probability ``1 - level`` for normal samples.

    Raises
    ------
    InvalidInput
        If there are fewer than two samples, or they are not finite.
    """
    values = _samples(x, "x")
    reach = _student(1 - level / 2, len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))
    mean = float(np.mean(values))
    return Interval(value=mean, low=mean - reach, high=mean + reach)


def paired_difference(x: Sequence[float], y: Sequence[float], *, level: float = 0.05) -> Interval:
    """Return the mean of ``x - y`` over pairs, its Student interval, and a p-value of no difference.

    The p-value is that of Student's test; differences are taken to be normal.

    Raises
    ------
    InvalidInput
        If the samples are not pairs of at least two finite numbers.
    """
    from scipy.special import stdtr

    first, second = _pairs(x, y)
    found = mean_interval((first - second).tolist(), level=level)
    spread = float(np.std(first - second, ddof=1)) / math.sqrt(len(first))
    statistic = (
        found.value / spread if spread else math.copysign(math.inf, found.value) if found.value else 0.0
    )
    p_value = 2 * float(stdtr(len(first) - 1, -abs(statistic)))
    return Interval(value=found.value, low=found.low, high=found.high, p_value=p_value)


def variance_ratio(x: Sequence[float], y: Sequence[float], *, level: float = 0.05) -> Interval:
    """Return ``var x / var y`` over pairs, with an interval and a p-value of equal variances.

    The pairs may be correlated, as two arms with the same seed are. For a true ratio ``q^2`` the sum and the
    difference of ``x`` and ``q y`` are uncorrelated (Pitman 1939; Morgan 1939), so the test is Student's of a
    correlation, and the interval holds every ratio that it does not reject: both exact for normal pairs.

    Raises
    ------
    InvalidInput
        If the samples are not pairs of at least three finite numbers, or one of them does not vary.
    """
    from scipy.special import stdtr

    first, second = _pairs(x, y)
    if len(first) < 3 or not (np.ptp(first) and np.ptp(second)):
        msg = "Variances need three pairs or more, and samples that vary."
        raise InvalidInput(msg)
    a, b = float(np.var(first, ddof=1)), float(np.var(second, ddof=1))
    r = float(np.corrcoef(first, second)[0, 1])
    freedom = len(first) - 2
    # Student's statistic of the ratio Q is (a - Q b) / (2 sqrt(Q a b left)), left = (1 - r^2) / freedom
    left = max(1 - r * r, 1e-300) / freedom
    p_value = 2 * float(stdtr(freedom, -abs(a - b) / (2 * math.sqrt(a * b * left))))
    k = 1 + 2 * left * _student(1 - level / 2, freedom) ** 2
    reach = k + math.sqrt(k * k - 1)
    return Interval(value=a / b, low=a / b / reach, high=a / b * reach, p_value=p_value)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return the p-values of several tests, adjusted for their number, in the order given.

    Rejecting those up to a level rejects any true hypothesis with at most that probability, however the tests
    depend on each other.

    Raises
    ------
    InvalidInput
        If a p-value is not in [0, 1].

    Source: S. Holm, Scand. J. Statist. 6 (1979).
    """
    given = [check_interval(p, "p_values", low=0, high=1, closed="both") for p in p_values]
    adjusted, largest = [0.0] * len(given), 0.0
    for done, i in enumerate(sorted(range(len(given)), key=given.__getitem__)):
        largest = max(largest, min(1.0, (len(given) - done) * given[i]))
        adjusted[i] = largest
    return tuple(adjusted)


def _student(q: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, check_interval(q, "1 - level / 2", low=0.5, high=1)))


def _samples(x: Sequence[float], name: str) -> HostArray:
    values = np.asarray(x, dtype=float)
    if values.ndim != 1 or len(values) < 2 or not np.isfinite(values).all():
        msg = f"`{name}` must be two finite numbers or more, not of shape {values.shape}."
        raise InvalidInput(msg)
    return values


def _pairs(x: Sequence[float], y: Sequence[float]) -> tuple[HostArray, HostArray]:
    first, second = _samples(x, "x"), _samples(y, "y")
    if len(first) != len(second):
        msg = f"`x` and `y` must be pairs, not {len(first)} and {len(second)} numbers."
        raise InvalidInput(msg)
    return first, second
