"""Marchenko-Pastur laws of eigenvalues and of singular values, in closed form.

Everything is written in the angle ``phi`` of ``x = variance * |1 + sqrt(c) exp(i phi)|**2``, which runs from
0 at the upper edge to pi at the lower edge. Distances from the edges give the angle, never differences of
cosines, and the edges are held as unevaluated sums of two floats; so both tails keep their relative accuracy
however near the edge the point is.
"""

from __future__ import annotations

import decimal
import functools
import math
from dataclasses import dataclass, field

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, check_count, check_interval
from rmttheory.matrices._law import Law, check_probabilities, elementwise

_Pair = tuple[float, float]

_DIGITS = functools.partial(decimal.localcontext, decimal.Context(prec=60))
_SMALL_ROOT = 0.1  # below it the closed form in the angle would divide rounding errors by sqrt(c)
_ARCTAN = [(-1) ** k / (2 * k + 3) for k in range(8)]  # arctan y = y - y**3 * sum_k _ARCTAN[k] y**(2k)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(10)


@dataclass(frozen=True)
class _Bulk(Law):
    """Shared by both Marchenko-Pastur laws; subclasses say how a point and its angle correspond."""

    aspect: float
    variance: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "aspect", check_interval(self.aspect, "aspect", low=0))
        object.__setattr__(self, "variance", check_interval(self.variance, "variance", low=0))
        if self._width == 0 or math.isinf(self.support[1]):
            msg = f"`variance` {self.variance:g} at aspect {self.aspect:g} leaves floating-point range."
            raise InvalidInput(msg)

    @property
    def support(self) -> _Pair:
        """Lower and upper edge of the continuous part."""
        return self._edges[0][0], self._edges[1][0]

    @property
    def atom(self) -> float:
        """Probability of the value 0."""
        return 0.0

    @elementwise
    def pdf(self, x: HostArray) -> HostArray:
        """Density of the continuous part; 0 outside the support, its limit (which may be inf) on an edge."""
        return self._density(x)

    @elementwise
    def logpdf(self, x: HostArray) -> HostArray:
        """Logarithm of `pdf`; -inf outside the support."""
        return np.log(self._density(x))

    @elementwise
    def cdf(self, x: HostArray) -> HostArray:
        """Probability of a value at most ``x``; includes the atom, exactly 1 from the upper edge on."""
        sin, cos = self._halves(x)
        inside = self.atom + self._weight * _mass(-self._root, self._gap, cos, sin)
        return np.where(x < 0, 0.0, np.minimum(inside, 1.0))

    @elementwise
    def sf(self, x: HostArray) -> HostArray:
        """Probability of a value above ``x``, with full relative accuracy up to the upper edge."""
        sin, cos = self._halves(x)
        above = self._weight * _mass(self._root, self._gap, sin, cos)
        return np.where(x < 0, 1.0, np.minimum(above, 1.0))

    @elementwise
    def ppf(self, q: HostArray) -> HostArray:
        """Quantile: the least ``x`` of the support, or 0 on the atom, with ``cdf(x) >= q``.

        Raises
        ------
        InvalidInput
            If a probability is outside ``[0, 1]`` or NaN.
        """
        check_probabilities(q)
        return self._quantile((q - self.atom) / self._weight, (1.0 - q) / self._weight)

    @elementwise
    def isf(self, q: HostArray) -> HostArray:
        """Upper quantile: ``ppf(1 - q)`` without the rounding of ``1 - q``.

        Raises
        ------
        InvalidInput
            If a probability is outside ``[0, 1]`` or NaN.
        """
        check_probabilities(q)
        return self._quantile((self._weight - q) / self._weight, q / self._weight)

    def moment(self, k: int) -> float:
        """Expectation of the ``k``-th power, ``k >= 0``.

        Raises
        ------
        InvalidInput
            If ``k`` is not a whole number >= 0.
        """
        raise NotImplementedError

    @property
    def mean(self) -> float:
        """Expectation."""
        return self.moment(1)

    @property
    def var(self) -> float:
        """Variance."""
        return self.moment(2) - self.moment(1) ** 2

    @functools.cached_property
    def _weight(self) -> float:
        """Probability of the continuous part."""
        return 1.0

    @functools.cached_property
    def _edges(self) -> tuple[_Pair, _Pair]:
        """Lower and upper edge, each as a float and what that float lacks."""
        raise NotImplementedError

    @functools.cached_property
    def _width(self) -> float:
        """Scale of sine and cosine in `_halves`."""
        raise NotImplementedError

    def _halves(self, x: HostArray) -> tuple[HostArray, HostArray]:
        """Sine and cosine of half the angle of ``x``, clipped to the support."""
        raise NotImplementedError

    def _density(self, x: HostArray) -> HostArray:
        raise NotImplementedError

    def _from_lower(self, cos: HostArray) -> HostArray:
        """Point from the cosine of half its angle; exact near the lower edge."""
        raise NotImplementedError

    def _from_upper(self, sin: HostArray) -> HostArray:
        """Point from the sine of half its angle; exact near the upper edge."""
        raise NotImplementedError

    def _quantile(self, lower: HostArray, upper: HostArray) -> HostArray:
        """Point with ``lower`` of the continuous part below it and ``upper`` above."""
        x = np.full_like(lower, self.support[0] if self.atom == 0 else 0.0)
        is_lower, is_upper = (lower > 0) & (lower <= upper), lower > upper
        x[is_lower] = self._from_lower(np.sin(_angle(-self._root, self._gap, lower[is_lower]) / 2))
        x[is_upper] = self._from_upper(np.sin(_angle(self._root, self._gap, upper[is_upper]) / 2))
        return x

    @functools.cached_property
    def _exact(self) -> tuple[decimal.Decimal, decimal.Decimal, decimal.Decimal]:
        """sqrt(variance), sqrt(aspect), and the lesser of the latter and its inverse."""
        with _DIGITS():
            root = decimal.Decimal(self.aspect).sqrt()
            return decimal.Decimal(self.variance).sqrt(), root, min(root, 1 / root)

    @functools.cached_property
    def _root(self) -> float:
        """Argument of `_mass`; at most 1, as a matrix and its transpose share the law of the angle."""
        return float(self._exact[2])

    @functools.cached_property
    def _gap(self) -> float:
        """``1 - _root``, free of cancellation."""
        with _DIGITS():
            return float(1 - self._exact[2])


@dataclass(frozen=True)
class MarchenkoPastur(_Bulk):
    """Limit law of the ``m`` eigenvalues of ``X.T @ X / n``, ``X`` an ``n x m`` matrix of noise.

    Parameters
    ----------
    aspect : float
        ``c = m / n > 0``. For ``c > 1`` the law has an atom of ``1 - 1/c`` at 0.
    variance : float
        Variance of the entries of ``X``, > 0; the bulk is ``variance * (1 -+ sqrt(c))**2``.

    Raises
    ------
    InvalidInput
        If a parameter is not a positive number.

    Notes
    -----
    Marchenko and Pastur, Math. USSR Sbornik 1 (1967) 457. With ``q = sqrt(c) <= 1`` and
    ``B = arg(1 + q exp(i phi))`` the probability of more than ``x(phi)`` is
    ``(phi + (1 - c) B / c - sin(phi) / q) / pi`` (derived here); ``c > 1`` follows by transposition.
    """

    def singular(self) -> SingularMarchenkoPastur:
        """Return the law of the singular values of ``X / sqrt(n)``, without the zeros that shape forces."""
        return SingularMarchenkoPastur(self.aspect, self.variance)

    def moment(self, k: int) -> float:
        """Expectation of the ``k``-th power, ``k >= 0``: Narayana's polynomial in the aspect ratio.

        Raises
        ------
        InvalidInput
            If ``k`` is not a whole number >= 0.
        """
        k = check_count(k, "k", low=0)
        terms = (math.comb(k, r) * math.comb(k - 1, r) // (r + 1) * self.aspect**r for r in range(k))
        return self.variance**k * math.fsum(terms) if k else 1.0

    @property
    def atom(self) -> float:
        """Probability of the value 0: ``1 - 1/c`` for ``c > 1``."""
        return max(0.0, (self.aspect - 1.0) / self.aspect)

    @property
    def var(self) -> float:
        """Variance."""
        return self.variance**2 * self.aspect

    @functools.cached_property
    def _weight(self) -> float:
        return min(1.0, 1.0 / self.aspect)

    @functools.cached_property
    def _edges(self) -> tuple[_Pair, _Pair]:
        scale, root, _ = self._exact
        with _DIGITS():
            return _pair((scale * (1 - root)) ** 2), _pair((scale * (1 + root)) ** 2)

    @functools.cached_property
    def _width(self) -> float:
        """Distance of the edges."""
        return 4.0 * math.sqrt(self.aspect) * self.variance

    def _halves(self, x: HostArray) -> tuple[HostArray, HostArray]:
        lower, upper = self._edges
        sin = np.sqrt(np.clip(((upper[0] - x) + upper[1]) / self._width, 0.0, 1.0))
        return sin, np.sqrt(np.clip(((x - lower[0]) - lower[1]) / self._width, 0.0, 1.0))

    def _density(self, x: HostArray) -> HostArray:
        lower = self.support[0]
        sin, cos = self._halves(x)
        scale = math.sqrt(self._width)
        over = 1.0 / (scale * np.abs(cos)) if self.aspect == 1 else scale * cos / np.maximum(x, lower)
        return np.where(x < lower, 0.0, scale * sin * over / (2 * math.pi * self.aspect) / self.variance)

    def _from_lower(self, cos: HostArray) -> HostArray:
        return self._edges[0][0] + self._width * cos**2

    def _from_upper(self, sin: HostArray) -> HostArray:
        return self._edges[1][0] - self._width * sin**2


@dataclass(frozen=True)
class SingularMarchenkoPastur(_Bulk):
    """Limit law of the ``min(n, m)`` singular values of an ``n x m`` matrix of noise.

    Parameters
    ----------
    aspect : float
        ``c = m / n > 0``. The zero singular values that a wide or tall shape forces are not counted.
    variance : float
        ``g``: ``n`` times the variance of an entry, > 0; the bulk is ``sqrt(g) * |1 -+ sqrt(c)|``.

    Raises
    ------
    InvalidInput
        If a parameter is not a positive number.

    Notes
    -----
    Push-forward of `MarchenkoPastur` by the square root, conditioned on being positive.
    """

    def moment(self, k: int) -> float:
        """Expectation of the ``k``-th power, ``k >= 0``.

        Even ``k`` are Narayana's polynomials; odd ``k`` their continuation, Gauss's hypergeometric function
        ``2F1(-k/2, 1 - k/2; 2; c)`` (derived here).

        Raises
        ------
        InvalidInput
            If ``k`` is not a whole number >= 0.
        """
        k = check_count(k, "k", low=0)
        longer, shorter = max(1.0, self.aspect), min(self.aspect, 1.0 / self.aspect)
        if k % 2 == 0:
            shape = MarchenkoPastur(shorter).moment(k // 2)
        else:
            from scipy.special import hyp2f1

            shape = float(hyp2f1(-k / 2, 1 - k / 2, 2.0, shorter))
        return float((self.variance * longer) ** (k / 2) * shape)

    @functools.cached_property
    def _edges(self) -> tuple[_Pair, _Pair]:
        scale, root, _ = self._exact
        with _DIGITS():
            return _pair(scale * abs(1 - root)), _pair(scale * (1 + root))

    @functools.cached_property
    def _width(self) -> float:
        """Square root of the distance of the squared edges."""
        return 2.0 * math.sqrt(math.sqrt(self.aspect)) * math.sqrt(self.variance)

    def _halves(self, x: HostArray) -> tuple[HostArray, HostArray]:
        lower, upper = self._edges
        x = np.clip(x, 0.0, 2 * upper[0])  # infinite factors would meet zeros
        above = np.maximum(((upper[0] - x) + upper[1]) / self._width, 0.0)
        below = np.maximum(((x - lower[0]) - lower[1]) / self._width, 0.0)
        sin = np.sqrt(above) * np.sqrt((upper[0] + x) / self._width)
        cos = np.sqrt(below) * np.sqrt((lower[0] + x) / self._width)
        return np.minimum(sin, 1.0), np.minimum(cos, 1.0)

    def _density(self, x: HostArray) -> HostArray:
        lower = self.support[0]
        sin, cos = self._halves(x)
        over = 1.0 if self.aspect == 1 else self._width * cos / np.maximum(x, lower)
        density = self._width * sin * over / (math.pi * min(1.0, self.aspect)) / self.variance
        return np.where(x < lower, 0.0, density)

    def _from_lower(self, cos: HostArray) -> HostArray:
        return np.hypot(self._edges[0][0], self._width * cos)

    def _from_upper(self, sin: HostArray) -> HostArray:
        edge = self._edges[1][0]
        step = self._width * sin
        return np.sqrt((edge - step) * (edge + step))


@dataclass(frozen=True)
class QuarterCircle(SingularMarchenkoPastur):
    """`SingularMarchenkoPastur` of square matrices: ``sqrt(4 g - s**2) / (pi g)`` on ``[0, 2 sqrt(g)]``.

    Parameters
    ----------
    variance : float
        ``g``, as there.

    Raises
    ------
    InvalidInput
        If ``variance`` is not a positive number.
    """

    aspect: float = field(default=1.0, init=False)


def _pair(exact: decimal.Decimal) -> _Pair:
    """Split a number into the nearest float and the rest."""
    head = float(exact)
    return head, float(exact - decimal.Decimal(head))


def _mass(root: float, gap: float, sin: HostArray, cos: HostArray) -> HostArray:
    """Return ``(2/pi) * integral_0^phi sin(t)**2 / (1 + root**2 + 2 root cos(t)) dt``.

    ``root`` is in [-1, 1] and ``gap`` is ``1 - |root|``; ``sin`` and ``cos`` are those of ``phi / 2``. A
    negative root measures the angle from the lower edge instead of the upper.
    """
    size = abs(root)
    reach = 1.0 + size if root > 0 else gap  # sqrt of the denominator at phi = 0
    angle = 2.0 * np.arctan2(sin, cos)
    sine = 2.0 * sin * cos
    lift = gap + 2.0 * size * (cos if root > 0 else sin) ** 2  # 1 + root * cos(phi)
    if size > _SMALL_ROOT:
        tilt = np.arctan2(root * sine, lift)  # arg(1 + root * exp(i phi))
        mass = angle + tilt * (gap * (1.0 + size) / root**2) - sine / root
    else:
        slope = sine / lift
        curve = np.polynomial.polynomial.polyval((root * slope) ** 2, _ARCTAN) * root * slope**3
        mass = angle - slope * (root + (cos - sin) * (cos + sin)) - curve * (1.0 - root**2)
    near = angle < 0.5 * reach  # there the terms cancel, and Gauss's rule is exact to rounding
    if near.any():
        half = 0.25 * angle[near, None] * (1.0 + _NODES)
        h = np.sin(half) ** 2
        integrand = 4.0 * h * (1.0 - h) / (reach**2 - 4.0 * root * h)
        mass[near] = angle[near] * (integrand @ _WEIGHTS)
    return mass / math.pi


def _angle(root: float, gap: float, mass: HostArray) -> HostArray:
    """Invert `_mass` for ``mass <= 1/2``: logarithmic interpolation in a small table, then Newton's steps."""
    first = 0.01 if root > 0 else 0.01 * max(gap, 1e-16)
    table = np.concatenate([[1e-80 * first], np.geomspace(first, 2.4, 400)])
    values = _mass(root, gap, np.sin(table / 2), np.cos(table / 2))
    angle: HostArray = np.exp(np.interp(np.log(np.maximum(mass, 1e-300)), np.log(values), np.log(table)))
    for _ in range(2):  # each step squares a relative error that begins below 1e-3
        sin, cos = np.sin(angle / 2), np.cos(angle / 2)
        span = gap**2 + 4.0 * abs(root) * (cos if root > 0 else sin) ** 2
        density = 8.0 * (sin * cos) ** 2 / (math.pi * span)
        angle = np.maximum(angle - (_mass(root, gap, sin, cos) - mass) / density, angle / 4)
    return angle
