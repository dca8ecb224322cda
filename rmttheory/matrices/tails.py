"""The power law that the top of a spectrum follows best, and whether it follows one."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import Array, HostArray, InvalidInput, Stream, check_shape, check_vector, to_host
from rmttheory.matrices._bulks import equal_variances

LEAST = 10
"""Fewer values are no tail."""
DRAWS = 99
_CUTS = 24
"""At most so many places, evenly spaced in the logarithm of the tail's size, where it may begin."""
_STREAM = Stream(1).child("bootstrap of tails")  # fixed: a p-value is a function of the spectrum


@dataclass(frozen=True, kw_only=True)
class TailFit:
    """A power law fitted to the top of a spectrum.

    Attributes
    ----------
    exponent : float
        ``a`` of the density ``x^-a`` of squared singular values ``x`` from ``start`` on.
    exponent_error : float
        Standard deviation of ``exponent`` if the values were independent: ``(a - 1) / sqrt(size)``.
    start : float
        Smallest squared singular value of the tail.
    size : int
        Number of values in the tail.
    distance : float
        Kolmogorov distance of the tail to the fitted law.
    p_value : float
        Probability that independent draws from the fitted law, fitted in the same way, are as far off; in
        steps of 0.01.
    """

    exponent: float
    exponent_error: float
    start: float
    size: int
    distance: float
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return dict(vars(self))


def fit_tail(s: Array) -> TailFit:
    """Fit a power law to the largest squared singular values, and ask whether it fits.

    The tail begins where its maximum-likelihood fit has the least Kolmogorov distance. The p-value is that of
    the semiparametric bootstrap: values below the start are drawn from those at hand, values above it from
    the law, and each draw is fitted anew, its start included.

    What it can mean: a small p-value refutes the power law. What it cannot: a large one does not show that
    there is a power law. The distance is the least of many, a tail may hold as few as 10 values, and
    eigenvalues repel each other, so that they lie closer to any law than the independent draws they are
    compared with. Nor is an exponent a property of the layer alone: the bulk of pure noise has one, which
    depends on its shape (`noise_exponent`), and a spectrum of any kind has a best one. To read quality or
    generalisation out of it is a conjecture of others, which nothing here tests.

    Parameters
    ----------
    s : array, shape (p,)
        Singular values, in any order and on any device; at least 10, all but the smallest ones positive.

    Returns
    -------
    TailFit

    Raises
    ------
    InvalidInput
        If fewer than 10 values are positive, or the largest 10 are all equal.

    Notes
    -----
    Source: A. Clauset, C. R. Shalizi and M. E. J. Newman, "Power-law distributions in empirical data", SIAM
    Rev. 51 (2009), sections 3.1, 3.3 and 4.1. Two differences: the tail may begin at 24 places rather than
    at every value, at every value if there are no more, and it has at least 10 values.
    """
    check_vector(s, "s")
    values = np.sort(to_host(s).astype(np.float64))[::-1]
    values = values[values > 0.0]
    if len(values) < LEAST or values[0] == values[LEAST - 1]:
        msg = f"`s` must hold at least {LEAST} positive values that are not all equal, not {len(values)}."
        raise InvalidInput(msg)
    logs = 2.0 * np.log(values)
    fit = _fit(logs[None, :])
    size, rate, distance = int(fit.sizes[0]), float(fit.rates[0]), float(fit.distances[0])
    drawn = _fit(_bootstrap(logs - logs[size - 1], size, rate)).distances
    return TailFit(
        exponent=1.0 + rate,
        exponent_error=rate / math.sqrt(size),
        start=math.exp(logs[size - 1]),
        size=size,
        distance=distance,
        p_value=float((1 + np.count_nonzero(drawn >= distance)) / (1 + DRAWS)),
    )


@functools.lru_cache(maxsize=256)
def noise_exponent(shape: tuple[int, int]) -> float:
    """Return the exponent of `fit_tail` for the quantiles of the Marchenko-Pastur law: that of pure noise.

    Parameters
    ----------
    shape : tuple of int
        ``(n, m)``, both at least 10.

    Raises
    ------
    InvalidInput
        If the shape is not one of two integers of at least 10.
    """
    n, m = check_shape(shape)
    if min(n, m) < LEAST:
        msg = f"`shape` must have at least {LEAST} rows and columns for a tail, not {n} x {m}."
        raise InvalidInput(msg)
    return 1.0 + float(_fit(np.log(equal_variances(n, m).squares[None, ::-1])).rates[0])


@dataclass(frozen=True)
class _Fits:
    """Of each row: where its tail ends, ``exponent - 1``, and the distance."""

    sizes: HostArray
    rates: HostArray
    distances: HostArray


def _fit(logs: HostArray) -> _Fits:
    """Fit rows of descending logarithms: above the start they are exponential under a power law."""
    sizes = _sizes(logs.shape[1])
    sums = np.cumsum(logs, axis=1, dtype=np.float64)
    rates = np.empty((len(sizes), len(logs)))
    distances = np.empty_like(rates)
    for i, k in enumerate(sizes):
        least = logs[:, k - 1 : k]
        total = sums[:, k - 1] - k * least[:, 0]
        rates[i] = k / np.maximum(total, k * np.finfo(np.float64).eps)
        beyond = least - logs[:, :k]
        beyond *= rates[i][:, None].astype(logs.dtype)
        np.exp(beyond, out=beyond)
        beyond -= (np.arange(k, dtype=logs.dtype) + 0.5) / k
        # both sides of each jump are half a step from its middle
        distances[i] = np.maximum(beyond.max(axis=1), -beyond.min(axis=1)) + 0.5 / k
    best = np.argmin(distances, axis=0)
    rows = np.arange(len(logs))
    return _Fits(sizes[best], rates[best, rows], distances[best, rows])


@functools.lru_cache(maxsize=256)
def _sizes(count: int) -> HostArray:
    return np.unique(np.geomspace(LEAST, count, _CUTS).round().astype(int))


def _bootstrap(logs: HostArray, size: int, rate: float) -> HostArray:
    """Draw rows of as many values: the share of the tail from the law, the others from those below it.

    ``logs`` are 0 at the start. Single precision is 1e-6 of a distance, whose steps are at least ``1 / p``.
    """
    rng, shape = _STREAM.generator(), (DRAWS, len(logs))
    drawn = rng.standard_exponential(shape, dtype=np.float32)
    drawn *= np.float32(-1.0 / rate)
    if size < len(logs):
        body = -logs[size:].astype(np.float32)
        below = body[rng.integers(len(body), size=shape, dtype=np.int32)]
        drawn = np.where(rng.random(shape, dtype=np.float32) < size / len(logs), drawn, below)
    drawn.sort(axis=1)
    return np.negative(drawn, out=drawn)
