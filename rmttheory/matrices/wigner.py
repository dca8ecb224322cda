"""Symmetric noise: the Gaussian orthogonal ensemble, its semicircle, and what it does to a spike.

``X`` is ``p x p``, symmetric and Gaussian; entries off the diagonal have variance ``variance / p``, those on
it twice that, so that eigenvalues fill ``[-2 sigma, 2 sigma]`` with ``sigma^2 = variance``. A spike ``theta``
is an eigenvalue of the true matrix ``H`` of fixed rank, seen in ``H + X``. Formulas are limits for
large ``p``.

Source: S. Péché, Probab. Theory Related Fields 134 (2006); M. Capitaine, C. Donati-Martin, D. Féral, Ann.
Probab. 37 (2009); F. Benaych-Georges, R. R. Nadakuditi, Adv. Math. 227 (2011).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import linalg

from rmttheory.arrays import Array, HostArray, Stream, as_stream, check_count, check_interval
from rmttheory.matrices._law import Law, check_probabilities, elementwise
from rmttheory.matrices.laws import QuarterCircle


@dataclass(frozen=True)
class Semicircle(Law):
    """Limit of the eigenvalues of `sample_goe`.

    Parameters
    ----------
    variance : float
        ``sigma^2``, the variance of the law; above 0.
    """

    variance: float = 1.0

    def __post_init__(self) -> None:
        check_interval(self.variance, "variance", low=0)

    @property
    def support(self) -> tuple[float, float]:
        """``(-2 sigma, 2 sigma)``."""
        edge = 2.0 * math.sqrt(self.variance)
        return -edge, edge

    @elementwise
    def pdf(self, x: HostArray) -> HostArray:
        """Density."""
        return 0.5 * self._half.pdf(np.abs(x))

    @elementwise
    def cdf(self, x: HostArray) -> HostArray:
        """Distribution function."""
        return 0.5 + 0.5 * np.sign(x) * self._half.cdf(np.abs(x))

    @elementwise
    def ppf(self, q: HostArray) -> HostArray:
        """Quantile."""
        away = 2.0 * check_probabilities(q) - 1.0
        return np.sign(away) * self._half.ppf(np.abs(away))

    @property
    def _half(self) -> QuarterCircle:
        return QuarterCircle(self.variance)


def sample_goe(p: int, variance: float = 1.0, *, stream: Stream) -> Array:
    """Draw a matrix of the Gaussian orthogonal ensemble.

    Parameters
    ----------
    p : int
    variance : float
        Entries have variance ``variance / p`` off the diagonal and twice that on it.
    stream : Stream
        Where it is drawn from and lives.

    Returns
    -------
    array, shape (p, p)
    """
    check_count(p, "p")
    check_interval(variance, "variance", low=0, closed="low")
    Z = stream.normal((p, p), scale=math.sqrt(variance / (2.0 * p)))
    return Z + Z.T


def goe_eigenvalues(p: int, variance: float = 1.0, *, trials: int = 1, rng: Any = None) -> HostArray:
    """Draw eigenvalues with exactly the law of those of `sample_goe`, without the matrix.

    Those of a tridiagonal matrix of independent normal and chi variables: ``O(p^2)`` a draw.

    Returns
    -------
    ndarray, shape (trials, p)
        Ascending.

    Source: I. Dumitriu, A. Edelman, J. Math. Phys. 43 (2002).
    """
    check_count(p, "p")
    check_interval(variance, "variance", low=0, closed="low")
    stream, scale = as_stream(rng).child("goe"), math.sqrt(variance / p)
    drawn = []
    for trial in range(check_count(trials, "trials")):
        generator = stream.child(trial).generator()
        diagonal = math.sqrt(2.0) * generator.standard_normal(p)
        beside = np.sqrt(generator.chisquare(np.arange(p - 1, 0, -1)))
        drawn.append(scale * (linalg.eigvalsh_tridiagonal(diagonal, beside) if p > 1 else diagonal))
    return np.stack(drawn)


def wigner_outlier(theta: float, variance: float) -> float:
    """Where the eigenvalue of a spike settles: ``theta + sigma^2 / theta`` beyond ``sigma``, else the edge.

    Parameters
    ----------
    theta : float
        Eigenvalue of the true matrix, of either sign.
    variance : float
        ``sigma^2`` of the noise, >= 0.

    Raises
    ------
    InvalidInput
        If an argument is not such a number.
    """
    theta, sigma = _spike(theta, variance)
    if abs(theta) <= sigma:
        return math.copysign(2.0 * sigma, theta)
    return theta + sigma**2 / theta


def wigner_overlap(theta: float, variance: float) -> float:
    """Squared overlap of the noisy eigenvector with the true one: ``1 - sigma^2 / theta^2``, or 0.

    Arguments and errors as for `wigner_outlier`.
    """
    theta, sigma = _spike(theta, variance)
    return 0.0 if abs(theta) <= sigma else 1.0 - (sigma / theta) ** 2


def wigner_curvature(value: float, variance: float) -> float:
    """True curvature along the noisy eigenvector of an eigenvalue: ``v^T H v`` if ``(H + X) v = value v``.

    Of a matrix ``H`` that is 0 but for spikes. Beyond the bulk ``value = theta + sigma^2 / theta``, and the
    curvature is ``theta`` times the squared overlap, ``theta - sigma^2 / theta = sign sqrt(value^2 - 4
    sigma^2)``: the noisy eigenvalue is too far out by ``2 sigma^2 / theta``, half of it by its shift and half
    by the turn of its vector. Within the bulk it is 0, whatever the value.

    Notes
    -----
    This is ``value - 2 sigma^2 Re g(value)`` of J. Bun, R. Allez, J.-P. Bouchaud, M. Potters, IEEE Trans.
    Inf. Theory 62 (2016) with the resolvent ``g`` of the semicircle: the rotationally invariant estimator of
    ``H`` with the least squared error.
    """
    value = check_interval(value, "value")
    check_interval(variance, "variance", low=0, closed="low")
    return math.copysign(math.sqrt(max(value**2 - 4.0 * variance, 0.0)), value)


def _spike(theta: float, variance: float) -> tuple[float, float]:
    return check_interval(theta, "theta"), math.sqrt(
        check_interval(variance, "variance", low=0, closed="low")
    )
