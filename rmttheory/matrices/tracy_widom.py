"""Tracy-Widom laws, and the scaling that makes the largest singular value of a noise matrix follow one."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, check_count, check_interval, check_shape
from rmttheory.matrices._law import Law, check_probabilities, elementwise

_FARTHEST = 1e205  # beyond it the log-odds of the right tail leaves floating-point range


@dataclass(frozen=True)
class TracyWidom(Law):
    """Limit law of the largest eigenvalue of a random matrix at a soft edge.

    Parameters
    ----------
    beta : {1, 2, 4}
        Real, complex or quaternion entries. Noise matrices of real numbers have ``beta=1``.

    Raises
    ------
    InvalidInput
        If ``beta`` is none of these.

    Notes
    -----
    Tracy and Widom, Commun. Math. Phys. 159 (1994) 151 and 177 (1996) 727. The means are -1.2065335745820
    (beta 1), -1.7710868074116 (2) and -2.3068848932411 (4). For beta 4 that is the scale of the papers, where
    ``F4(s / sqrt(2)) = sqrt(F2(s)) * cosh(J(s) / 2)``; a variable of this law is ``1 / sqrt(2)`` of one whose
    cdf is the right-hand side (mean -3.26243), and ``2**(1/6)`` of one on the scale of the stochastic Airy
    operator (mean -2.05520).

    The log-odds of the law and their inverse are tabulated as piecewise polynomials by
    ``rmttheory/matrices/tables/make_tracy_widom.py``, so both tails keep their relative accuracy down to the
    smallest float, and `logcdf`, `logsf` and `logpdf` beyond.
    """

    beta: int = 1

    def __post_init__(self) -> None:
        if self.beta not in (1, 2, 4):
            msg = f"`beta` must be 1, 2 or 4, not {self.beta!r}."
            raise InvalidInput(msg)

    @property
    def support(self) -> tuple[float, float]:
        """The whole line."""
        return -math.inf, math.inf

    @property
    def mean(self) -> float:
        """Expectation."""
        return float(self._table.moments[0])

    @property
    def var(self) -> float:
        """Variance."""
        return float(self._table.moments[1])

    @elementwise
    def pdf(self, s: HostArray) -> HostArray:
        """Density."""
        z, slope = self._table.log_odds(s)
        return slope * np.exp(-np.abs(z)) / (1.0 + np.exp(-np.abs(z))) ** 2

    @elementwise
    def logpdf(self, s: HostArray) -> HostArray:
        """Logarithm of the density."""
        z, slope = self._table.log_odds(s)
        return np.log(slope) - np.abs(z) - 2.0 * np.log1p(np.exp(-np.abs(z)))

    @elementwise
    def cdf(self, s: HostArray) -> HostArray:
        """Probability of a value at most ``s``."""
        return _probability(self._table.log_odds(s)[0])

    @elementwise
    def logcdf(self, s: HostArray) -> HostArray:
        """Logarithm of `cdf`."""
        return _log_probability(self._table.log_odds(s)[0])

    @elementwise
    def sf(self, s: HostArray) -> HostArray:
        """Probability of a value above ``s``."""
        return _probability(-self._table.log_odds(s)[0])

    @elementwise
    def logsf(self, s: HostArray) -> HostArray:
        """Logarithm of `sf`."""
        return _log_probability(-self._table.log_odds(s)[0])

    @elementwise
    def ppf(self, q: HostArray) -> HostArray:
        """Quantile.

        Raises
        ------
        InvalidInput
            If a probability is outside ``[0, 1]`` or NaN.
        """
        check_probabilities(q)
        return self._table.quantile(np.log(q) - np.log1p(-q))

    @elementwise
    def isf(self, q: HostArray) -> HostArray:
        """Upper quantile: ``ppf(1 - q)`` without the rounding of ``1 - q``.

        Raises
        ------
        InvalidInput
            If a probability is outside ``[0, 1]`` or NaN.
        """
        check_probabilities(q)
        return self._table.quantile(np.log1p(-q) - np.log(q))

    @property
    def _table(self) -> _Table:
        return _load(self.beta)


def tracy_widom_scaling(n: int, m: int) -> tuple[float, float]:
    """Return centre and scale of the largest eigenvalue of ``G.T @ G``, ``G`` real normal, ``n x m``.

    Parameters
    ----------
    n, m : int
        Shape of ``G``, whose entries have variance 1.

    Returns
    -------
    centre, scale : float
        ``(eigenvalue - centre) / scale`` follows ``TracyWidom(1)`` up to ``O(min(n, m)**(-2/3))``.

    Raises
    ------
    InvalidInput
        If ``n`` or ``m`` is not a whole number >= 1.

    Notes
    -----
    Ma, Bernoulli 18 (2012) 322, theorem 1 and its symmetric form.
    """
    a = math.sqrt(check_count(n, "n") - 0.5)
    b = math.sqrt(check_count(m, "m") - 0.5)
    return (a + b) ** 2, (a + b) * (1.0 / a + 1.0 / b) ** (1.0 / 3.0)


def largest_singular_value_quantile(q: float, shape: tuple[int, int], g: float = 1.0) -> float:
    """Return the ``q``-quantile of the largest singular value of noise, by `tracy_widom_scaling`.

    Parameters
    ----------
    q : float
        Probability in (0, 1).
    shape : tuple of int
        ``(n, m)``.
    g : float
        ``n`` times the variance of an entry.

    Raises
    ------
    InvalidInput
        If an argument is out of range.
    """
    n, m = check_shape(shape)
    g = check_interval(g, "g", low=0)
    centre, scale = tracy_widom_scaling(n, m)
    value = centre + scale * TracyWidom(1).ppf(check_interval(q, "q", low=0, high=1))
    return math.sqrt(g / n * max(value, 0.0))  # the law's left tail ends below zero for tiny shapes


@dataclass(frozen=True, eq=False)
class _Piecewise:
    """Polynomials on adjacent intervals, each in its own variable from -1 to 1."""

    ends: HostArray
    rows: HostArray  # (intervals, degree + 1), lowest degree first

    def __call__(self, x: HostArray) -> tuple[HostArray, HostArray]:
        """Return value and slope; constant outside."""
        x = np.clip(x, self.ends[0], self.ends[-1])
        piece = np.searchsorted(self.ends[1:-1], x)
        half = (0.5 * np.diff(self.ends))[piece]
        t = (x - self.ends[piece]) / half - 1.0
        value, slope = self.rows[:, -1][piece], np.zeros_like(x)
        for column in self.rows.T[-2::-1]:
            slope = slope * t + value
            value = value * t + column[piece]
        return value, slope / half


@dataclass(frozen=True, eq=False)
class _Table:
    """One law: log-odds near the centre and in the tails, and their inverse."""

    centre: _Piecewise
    left: HostArray
    right: HostArray
    inverse: _Piecewise
    moments: HostArray

    def log_odds(self, s: HostArray) -> tuple[HostArray, HostArray]:
        """Return ``log(cdf / sf)`` and its slope."""
        z, slope = self.centre(s)
        for tail, outside in (
            (self.left, s < self.centre.ends[0]),
            (self.right, s > self.centre.ends[-1]),
        ):
            if outside.any():
                z[outside], slope[outside] = _tail(tail, s[outside])
        return z, slope

    def quantile(self, z: HostArray) -> HostArray:
        """Return the point where the log-odds are ``z``."""
        return np.where(np.isinf(z), z, self.inverse(z)[0])


def _tail(coefficients: HostArray, s: HostArray) -> tuple[HostArray, HostArray]:
    """Evaluate ``c log|s| + a r**2 + b r + polynomial in 1/r``, ``r = |s|**(3/2)``, and its slope."""
    c, a, b, *rest = coefficients
    size = np.minimum(np.abs(s), _FARTHEST)
    r = size**1.5
    polynomial = np.polynomial.Polynomial(rest)
    z = c * np.log(size) + (a * r + b) * r + polynomial(1.0 / r)
    slope = c / size + 1.5 * ((2.0 * a * r + b) - polynomial.deriv()(1.0 / r) / r / r) * np.sqrt(size)
    z = np.where(np.abs(s) > _FARTHEST, np.copysign(np.inf, s), z)
    return z, np.minimum(np.abs(slope), np.finfo(np.float64).max)  # finite, as pdf multiplies it by zero


def _probability(log_odds: HostArray) -> HostArray:
    return np.exp(np.minimum(log_odds, 0.0)) / (1.0 + np.exp(-np.abs(log_odds)))


def _log_probability(log_odds: HostArray) -> HostArray:
    return np.minimum(log_odds, 0.0) - np.log1p(np.exp(-np.abs(log_odds)))


@functools.cache
def _load(beta: int) -> _Table:
    with np.load(Path(__file__).parent / "tables" / "tracy_widom.npz") as table:
        part = {name.removesuffix(f"_{beta}"): table[name] for name in table if name.endswith(str(beta))}
    return _Table(
        centre=_Piecewise(part["ends"], part["rows"]),
        left=part["left"],
        right=part["right"],
        inverse=_Piecewise(part["quantile_ends"], part["quantile_rows"]),
        moments=part["moments"],
    )
