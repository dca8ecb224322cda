"""What the spectrum of unit noise looks like: the references that `edges` fits to a given spectrum.

A bulk offers ``squares`` (quantiles of the squared values at ``(k - 1/2) / p``, ascending), ``angles`` (of
the same points, 0 at the upper edge), ``offsets`` (by how much the expected ranks of values at those points
fall short of the law's), ``cdf`` of the values, the ``threshold`` that the largest value exceeds with a given
probability, and simulated ``draws``, one ascending spectrum a row.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices.band import null_singular_values
from rmttheory.matrices.laws import MarchenkoPastur, SingularMarchenkoPastur
from rmttheory.matrices.tracy_widom import largest_singular_value_quantile

NULL_DRAWS = 499
GAMMA_DRAWS = 199
_GAMMA_RANGE = (0.1, 50.0)
_GAMMA_CURVES = 10  # draws behind the curve that the shape is fitted with
_STREAM = Stream(1).child("simulated nulls of edges")  # fixed: a p-value is a function of the spectrum


@dataclass(frozen=True)
class EqualVariances:
    """Bulk of an ``n x m`` matrix of independent entries of variance ``1 / n``."""

    n: int
    m: int

    @functools.cached_property
    def _law(self) -> SingularMarchenkoPastur:
        return MarchenkoPastur(self.m / self.n).singular()

    @functools.cached_property
    def squares(self) -> HostArray:
        p = min(self.n, self.m)
        return self._law.ppf((np.arange(p) + 0.5) / p) ** 2

    @functools.cached_property
    def angles(self) -> HostArray:
        c = self.m / self.n
        return np.arccos(np.clip((self.squares - 1.0 - c) / (2.0 * math.sqrt(c)), -1.0, 1.0))

    @property
    def offsets(self) -> HostArray:
        """Mean ranks of real Gaussian noise less the law's, with the sign changed.

        The mean density is the law's, plus a quarter of a value at either edge, minus half a value spread
        evenly over the angles: I. Dumitriu and A. Edelman, J. Math. Phys. 47 (2006).
        """
        return 0.25 - self.angles / (2.0 * math.pi)

    @functools.cached_property
    def spacings(self) -> HostArray:
        """Distances of neighbouring squared values, from the density at each of ``squares``."""
        s = np.sqrt(self.squares)
        gaps: HostArray = 2.0 * s / (len(s) * self._law.pdf(s))
        return gaps

    def cdf(self, s: HostArray) -> HostArray:
        return self._law.cdf(s)

    def threshold(self, level: float) -> float:
        return _largest(self.n, self.m, level)

    def draws(self) -> HostArray:
        stream = _STREAM.child(self.n, self.m)
        return null_singular_values((self.n, self.m), trials=NULL_DRAWS, stream=stream)[:, ::-1]


@dataclass(frozen=True)
class GammaVariances:
    """The same along the larger side; along the smaller, variances are Gamma(``shape``) of mean ``1 / n``."""

    n: int
    m: int
    shape: float

    @functools.cached_property
    def squares(self) -> HostArray:
        means: HostArray = np.mean(self.draws() ** 2, axis=0)
        return means

    @property
    def angles(self) -> HostArray:
        return equal_variances(self.n, self.m).angles

    @property
    def offsets(self) -> HostArray:
        """None: ``squares`` are simulated means."""
        return np.zeros(min(self.n, self.m))

    def cdf(self, s: HostArray) -> HostArray:
        p = len(self.squares)
        shares: HostArray = np.interp(s * s, self.squares, (np.arange(p) + 0.5) / p)
        return shares

    def threshold(self, level: float) -> float:
        tops = np.sort(self.draws()[:, -1])
        return float(tops[math.ceil((1.0 - level) * (len(tops) + 1)) - 1])

    def draws(self) -> HostArray:
        return self._draws

    @functools.cached_property
    def _draws(self) -> HostArray:
        p, larger = min(self.n, self.m), max(self.n, self.m)
        rows = []
        for i in range(GAMMA_DRAWS):
            stream = _STREAM.child("gamma", p, larger, i)
            variances = stream.child("variances").generator().gamma(self.shape, 1.0 / self.shape, p)
            rows.append(_scaled_spectrum(_gram(p, larger, stream), variances))
        values: HostArray = np.sqrt(np.stack(rows) / self.n)
        return values


@functools.lru_cache(maxsize=64)
def equal_variances(n: int, m: int) -> EqualVariances:
    """Return the bulk of a shape, with what was computed for it before."""
    return EqualVariances(n, m)


@functools.lru_cache(maxsize=4)
def gamma_variances(n: int, m: int, shape: float) -> GammaVariances:
    """Return the bulk of a shape, with what was computed for it before."""
    return GammaVariances(n, m, shape)


def fit_gamma_shape(squares: HostArray, window: slice, n: int, m: int) -> float:
    """Shape of the variances whose mean spectrum fits ``squares`` best over the window, up to a factor.

    The same matrices are used for every shape, so that the sum of squares is a smooth function of it; they
    have the given aspect ratio and at most 128 values.

    Source: Z. T. Ke, Y. Ma and X. Lin, "Estimation of the number of spiked eigenvalues in a covariance matrix
    by bulk eigenvalue matching analysis", J. Amer. Statist. Assoc. 118 (2023), section 3.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import gammaincinv

    p, larger = min(n, m), max(n, m)
    size = min(p, 128)
    grams = [_gram(size, round(larger * size / p), _STREAM.child("curve", i)) for i in range(_GAMMA_CURVES)]
    small, full = (np.arange(size) + 0.5) / size, (np.arange(p) + 0.5) / p

    def residual(log_shape: float) -> float:
        shape = math.exp(log_shape)
        variances = gammaincinv(shape, small) / shape
        curve = np.mean([_scaled_spectrum(gram, variances) for gram in grams], axis=0)
        q = np.interp(full[window], small, curve)
        g = np.dot(q, squares[window]) / np.dot(q, q)
        return float(np.sum((squares[window] - g * q) ** 2))

    bounds = tuple(math.log(end) for end in _GAMMA_RANGE)
    best = minimize_scalar(residual, bounds=bounds, method="bounded", options={"xatol": 0.02})
    return math.exp(float(best.x))


@functools.lru_cache(maxsize=256)
def _largest(n: int, m: int, level: float) -> float:
    return largest_singular_value_quantile(1.0 - level, (n, m), 1.0)


def _gram(p: int, larger: int, stream: Stream) -> HostArray:
    """``G G^T`` of a ``p x larger`` matrix of unit normals, from its triangular factor (Bartlett)."""
    factor = np.tril(stream.child("below").generator().standard_normal((p, p)), -1)
    chi_squares = stream.child("diagonal").generator().chisquare(larger - np.arange(p))
    factor[np.arange(p), np.arange(p)] = np.sqrt(chi_squares)
    return factor @ factor.T


def _scaled_spectrum(gram: HostArray, variances: HostArray) -> HostArray:
    scale = np.sqrt(variances)
    return np.maximum(np.linalg.eigvalsh(scale[:, None] * gram * scale[None, :]), 0.0)
