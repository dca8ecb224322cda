"""How neighbouring levels are spaced, against random matrices with real entries and independent points.

The laws are Wigner's surmises: exact for the smallest matrices (2 x 2 for spacings, 3 x 3 for ratios) and
within a few percent of the limit of large ones; `compare_ratios` uses draws of the same size instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    as_stream,
    check_count,
    check_interval,
    check_vector,
    to_host,
)
from rmttheory.matrices._law import Law, check_probabilities, elementwise
from rmttheory.matrices.spectra import Law as AnyLaw
from rmttheory.matrices.spectra import spacing_ratios


@dataclass(frozen=True)
class WignerSurmise(Law):
    """Spacing of neighbouring levels of random matrices with real entries, in units of the mean spacing."""

    @elementwise
    def pdf(self, x: HostArray) -> HostArray:
        """Density ``(pi / 2) s exp(-pi s^2 / 4)``."""
        s = np.maximum(x, 0.0)
        return 0.5 * np.pi * s * np.exp(-0.25 * np.pi * s**2)

    @elementwise
    def cdf(self, x: HostArray) -> HostArray:
        """Distribution function."""
        return -np.expm1(-0.25 * np.pi * np.maximum(x, 0.0) ** 2)

    @elementwise
    def ppf(self, q: HostArray) -> HostArray:
        """Quantile."""
        return np.asarray(np.sqrt(-np.log1p(-check_probabilities(q)) * 4.0 / np.pi))


@dataclass(frozen=True)
class PoissonSpacing(Law):
    """Spacing of neighbouring independent points, in units of the mean spacing: exponential."""

    @elementwise
    def pdf(self, x: HostArray) -> HostArray:
        """Density ``exp(-s)``."""
        return np.where(x < 0.0, 0.0, np.exp(-np.maximum(x, 0.0)))

    @elementwise
    def cdf(self, x: HostArray) -> HostArray:
        """Distribution function."""
        return -np.expm1(-np.maximum(x, 0.0))

    @elementwise
    def ppf(self, q: HostArray) -> HostArray:
        """Quantile."""
        return -np.log1p(-check_probabilities(q))


@dataclass(frozen=True)
class GoeRatio(Law):
    """Ratio in [0, 1] of neighbouring gaps of three levels of a random matrix with real entries.

    Its mean is ``4 - 2 sqrt(3) = 0.5359``; that of large matrices is 0.5307.

    Source: Y. Y. Atas, E. Bogomolny, O. Giraud, G. Roux, Phys. Rev. Lett. 110 (2013).
    """

    @property
    def mean(self) -> float:
        """``4 - 2 sqrt(3)``."""
        return 4.0 - 2.0 * math.sqrt(3.0)

    @elementwise
    def pdf(self, x: HostArray) -> HostArray:
        """Density ``(27 / 4) (r + r^2) / (1 + r + r^2)^(5/2)`` on [0, 1]."""
        r = np.clip(x, 0.0, 1.0)
        inside = (x >= 0.0) & (x <= 1.0)
        return np.where(inside, 6.75 * (r + r**2) / (1.0 + r + r**2) ** 2.5, 0.0)

    @elementwise
    def cdf(self, x: HostArray) -> HostArray:
        """Distribution function."""
        r = np.clip(x, 0.0, 1.0)
        u, d = r + 0.5, np.sqrt(1.0 + r + r**2)
        return np.asarray(np.clip(1.0 + (3.0 * u**3 - 0.75 * u) / d**3 - 2.0 * u / d, 0.0, 1.0))

    @elementwise
    def ppf(self, q: HostArray) -> HostArray:
        """Quantile, by bisection."""
        low, high = np.zeros_like(check_probabilities(q)), np.ones_like(q)
        for _ in range(52):
            middle = 0.5 * (low + high)
            below = self.cdf(middle) < q
            low, high = np.where(below, middle, low), np.where(below, high, middle)
        return 0.5 * (low + high)


@dataclass(frozen=True)
class PoissonRatio(Law):
    """Ratio in [0, 1] of neighbouring gaps of independent points; its mean is ``2 log 2 - 1 = 0.3863``."""

    @property
    def mean(self) -> float:
        """``2 log 2 - 1``."""
        return 2.0 * math.log(2.0) - 1.0

    @elementwise
    def pdf(self, x: HostArray) -> HostArray:
        """Density ``2 / (1 + r)^2`` on [0, 1]."""
        inside = (x >= 0.0) & (x <= 1.0)
        return np.where(inside, 2.0 / (1.0 + np.clip(x, 0.0, 1.0)) ** 2, 0.0)

    @elementwise
    def cdf(self, x: HostArray) -> HostArray:
        """Distribution function."""
        r = np.clip(x, 0.0, 1.0)
        return 2.0 * r / (1.0 + r)

    @elementwise
    def ppf(self, q: HostArray) -> HostArray:
        """Quantile."""
        return check_probabilities(q) / (2.0 - q)


@dataclass(frozen=True, kw_only=True)
class RatioComparison:
    """The mean ratio of gaps of a spectrum, against that of draws.

    Attributes
    ----------
    mean : float
        Of the spectrum.
    expected, spread : float
        Mean and standard deviation over the draws.
    p_value : float
        Two-sided; exact, since it is a rank among exchangeable spectra.
    level : float
    draws : int
    """

    mean: float
    expected: float
    spread: float
    p_value: float
    level: float
    draws: int

    @property
    def rejected(self) -> bool:
        """Whether the spectrum is told from the draws at the level."""
        return self.p_value <= self.level


def compare_ratios(values: Array, draws: HostArray, *, level: float = 0.01) -> RatioComparison:
    """Test whether gaps of a spectrum have the mean ratio of draws of the same number of levels.

    Null: ``values`` has the law of each row of ``draws``, or is independent of them with the same law of its
    mean ratio. Then its rank among all is uniform, and a rejection has at most probability ``level`` at any
    size. Ratios need no unfolding, but the ends of a spectrum count as well, so that draws should be
    of the same kind: `goe_eigenvalues`, `null_singular_values` of the shape, or `independent_points`.

    Parameters
    ----------
    values : array, shape (k,)
        In any order.
    draws : ndarray, shape (trials, k)
        At least ``2 / level - 1`` rows, or nothing could be rejected.
    level : float

    Raises
    ------
    InvalidInput
        If the numbers of levels differ or there are too few draws.
    """
    check_interval(level, "level", low=0, high=1)
    mean = float(np.mean(to_host(spacing_ratios(values))))
    draws = np.asarray(draws)
    if draws.ndim != 2 or draws.shape[1] != values.shape[0]:
        msg = f"`draws` must hold spectra of {values.shape[0]} levels, one a row, not {draws.shape}."
        raise InvalidInput(msg)
    if 2.0 / (draws.shape[0] + 1) > level:
        msg = f"`draws` must be at least {math.ceil(2.0 / level) - 1} for a level of {level:g}."
        raise InvalidInput(msg)
    gaps = np.diff(np.sort(draws, axis=1), axis=1)
    small, large = np.minimum(gaps[:, 1:], gaps[:, :-1]), np.maximum(gaps[:, 1:], gaps[:, :-1])
    null = np.mean(np.divide(small, large, out=np.zeros_like(small), where=large > 0), axis=1)
    tails = 1 + int(np.sum(null <= mean)), 1 + int(np.sum(null >= mean))
    return RatioComparison(
        mean=mean,
        expected=float(np.mean(null)),
        spread=float(np.std(null, ddof=1)),
        p_value=min(1.0, 2.0 * min(tails) / (len(null) + 1)),
        level=level,
        draws=len(null),
    )


def independent_points(k: int, *, trials: int = 1, rng: Any = None) -> HostArray:
    """Draw independent points, uniform on [0, 1]: ratios of gaps of levels that know nothing of each other.

    Returns
    -------
    ndarray, shape (trials, k)
        Ascending.
    """
    shape = (check_count(trials, "trials"), check_count(k, "k"))
    return np.sort(as_stream(rng).child("points").generator().random(shape), axis=1)


def unfolded_spacings(values: Array, law: AnyLaw | None = None, *, window: int = 10) -> HostArray:
    """Spacings of neighbouring levels in units of the mean spacing where they are.

    Parameters
    ----------
    values : array, shape (k,)
        In any order.
    law : object with a method ``cdf``, optional
        The density of levels. Without one, a spacing is divided by the mean of itself and of ``window``
        neighbours on each side, which shrinks its variance by about ``1 / (2 window + 1)``; spacings with
        fewer neighbours are left out.
    window : int

    Returns
    -------
    ndarray, shape (k - 1,) or (k - 1 - 2 window,)

    Raises
    ------
    InvalidInput
        If there are too few levels, or so many equal ones that a mean spacing is 0.
    """
    check_vector(values, "values")
    ordered = np.sort(to_host(values).astype(np.float64))
    least = 2 if law is not None else 2 * check_count(window, "window") + 2
    if len(ordered) < least:
        msg = f"`values` must hold at least {least} levels, not {len(ordered)}."
        raise InvalidInput(msg)
    if law is not None:
        return np.asarray(np.diff(law.cdf(ordered)) * len(ordered))
    gaps = np.diff(ordered)
    around = np.convolve(gaps, np.full(2 * window + 1, 1.0 / (2 * window + 1)), mode="valid")
    if not np.all(around > 0):
        msg = f"`values` holds more than {2 * window + 1} equal levels in a row: leave repeated ones out."
        raise InvalidInput(msg)
    return np.asarray(gaps[window : len(gaps) - window] / around)
