"""Where the bulk of a spectrum ends, how strong the noise is, and how many values stand out.

Every method fits the noise level ``g`` to the middle of the spectrum, where spikes cannot reach, by comparing
order statistics with quantiles of the Marchenko-Pastur law. A value above the Tracy-Widom quantile of the
largest value of such noise is a spike.

The ``k``-th of ``p`` values belongs to the rank ``k - 1/2`` of the law only at first order. With
``s^2 = g (1 + c + 2 sqrt(c) cos(phi))`` two corrections of the order of one rank are known exactly, and the
level of the test needs both:

* real noise of finite size adds ``1/4 - phi / (2 pi)``;
* a spike of strength ``theta`` pulls the share ``xi = arg(1 - tau exp(-i phi)) / pi`` of a value past the
  point, ``tau = (theta / threshold)^2``, and adds it (derived here from the secular equation
  ``D = 1 / theta^2``: on the cut, the D-transform is ``exp(-i phi) / (g sqrt(c))``). So the fit is repeated
  with the spikes it found, until it settles. Without this, ``r`` spikes make ``g`` about ``r / p`` too large.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from enum import Enum
from importlib import resources
from typing import Any, Literal, NamedTuple

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    check_choice,
    check_interval,
    check_shape,
    check_vector,
    to_host,
)
from rmttheory.matrices._bulks import (
    EqualVariances,
    GammaVariances,
    equal_variances,
    fit_gamma_shape,
    gamma_variances,
)
from rmttheory.matrices.spikes import bulk_edge, d_transform
from rmttheory.matrices.tracy_widom import tracy_widom_scaling

NULL_SIZE = 256  # larger spectra are compared with nulls of this size
TABULATED = (0.25, "bema", 0.1)  # window, method and level of the table of nulls: the defaults
_METHODS = ("bema", "bema-gamma", "fit", "median")


class EdgeStatus(Enum):
    """What can be said of a fit."""

    SETTLED = "Fitting again without the spikes found finds the same ones; see the p-value for the bulk."
    CROWDED = (
        "More values lie above the edge than the window leaves out at the top, so the bulk is not one "
        "Marchenko-Pastur law with few spikes; try a larger alpha or method 'bema-gamma', and look at it."
    )


@dataclass(frozen=True, kw_only=True)
class EdgeEstimate:
    """A fitted bulk.

    Attributes
    ----------
    edge : float
        Threshold above which a value counts as a spike, on the scale of singular values.
    g : float
        Noise level: entries of the noise have variance ``g / n``.
    g_error : float
        Standard deviation of ``g`` for Gaussian noise.
    bulk_edge : float
        Where the bulk of large matrices ends: ``sqrt(g) (1 + sqrt(m / n))``.
    spikes : int
        Number of values above ``edge``.
    level : float
        Probability that noise alone shows a spike.
    status : EdgeStatus
    misfit : float
        Largest difference between the fitted law and the empirical one over the window, spikes allowed for.
    method : str
    alpha : float
        The window leaves out this share of the values at either end.
    shape : tuple of int
        ``(n, m)``.
    gamma_shape : float or None
        Method ``bema-gamma``: the shape parameter of the variances; infinite would mean equal ones.
    """

    edge: float
    g: float
    g_error: float
    bulk_edge: float
    spikes: int
    level: float
    status: EdgeStatus
    misfit: float
    method: str
    alpha: float
    shape: tuple[int, int]
    gamma_shape: float | None = None

    @functools.cached_property
    def p_value(self) -> float:
        """Probability that noise alone would fit as badly, in steps of 0.002.

        Compared with 499 simulated spectra that were fitted in the same way: up to a second on first use,
        then kept for the shape. From 256 values on the null is that of 256, read from a table for the default
        method, window and level, and moved as the largest fluctuation of a counting function moves: by
        ``(sqrt(2) / pi) (log p - 3/4 log log p)`` in units of ``1 / p`` (the leading order of log-correlated
        fields; it holds within 0.05 up to 2048 values, measured). For
        ``median``, whose ``g`` fluctuates more, values there come out too small: 0.05 is really 0.1 at 1200.
        For ``bema-gamma``: 199 spectra with the fitted ``gamma_shape``, not refitted, which errs on the high
        side.
        """
        null, p, move = self._null, min(self.shape), 0.0
        if null.size < p:
            move = _fluctuation(p) - _fluctuation(null.size)
        worse = np.count_nonzero(null.misfits * null.size + move >= self.misfit * p)
        return float((1 + worse) / (1 + len(null.misfits)))

    @property
    def edge_error(self) -> float:
        """Standard deviation of ``edge``, which goes with the root of ``g``."""
        return self.edge * self.g_error / (2.0 * self.g)

    def top_p_value(self, s: float) -> float:
        """Two-sided p-value of the first value below the edge as the end of a bulk of noise.

        Beside ``spikes`` spikes of any strength it lies, by interlacing, between the largest values of
        noise of ``n - spikes`` by ``m - spikes`` and of noise of full shape. Each side is judged by the
        more lenient of the two, among the spectra of `p_value`, each with the first value below its edge.

        Parameters
        ----------
        s : float
            On the scale of ``edge``.
        """
        scores = self._null.scores
        (n, m), k = self.shape, self.spikes
        high, low = (_score(s, (n, m), (n - left, m - left), self.g) for left in (0, k))
        beyond = 1 + min(np.count_nonzero(scores >= high), np.count_nonzero(scores <= low))
        return float(min(1.0, 2 * beyond / (1 + len(scores))))

    @functools.cached_property
    def _null(self) -> _Null:
        n, m = self.shape
        if self.gamma_shape is None:
            n, m = max(n, m), min(n, m)  # up to the scale, transposing changes nothing
            if m > NULL_SIZE:
                n, m = round(n * NULL_SIZE / m), NULL_SIZE
        return _null(n, m, self.gamma_shape, self.alpha, self.method, self.level)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        names = (
            "edge",
            "g",
            "g_error",
            "bulk_edge",
            "spikes",
            "level",
            "misfit",
            "p_value",
            "method",
            "alpha",
        )
        plain = {name: getattr(self, name) for name in names}
        return plain | {
            "status": self.status.name.lower(),
            "shape": list(self.shape),
            "gamma_shape": self.gamma_shape,
        }


def fit_edge(
    s: Array,
    shape: tuple[int, int],
    *,
    method: Literal["bema", "bema-gamma", "fit", "median"] = "bema",
    alpha: float = 0.25,
    level: float = 0.1,
) -> EdgeEstimate:
    """Fit the bulk of a spectrum and count the values that stand out of it.

    Parameters
    ----------
    s : array, shape (min(n, m),)
        All singular values of ``W``, in any order and on any device.
    shape : tuple of int
        ``(n, m)``: outputs by inputs.
    method : {"bema", "bema-gamma", "fit", "median"}
        How the noise level is read off the middle of the spectrum: least squares of squared values on
        squared quantiles (BEMA); the same for a bulk with gamma-distributed variances along the smaller side,
        whose law, threshold and null are simulated (seconds: about 1 at 256 values, growing with the cube);
        least squares of values on quantiles; the median alone.
    alpha : float
        The window leaves out this share of the values at either end, in (0, 1/2). It should exceed the share
        of spikes.
    level : float
        Probability, in (0, 1), that noise alone shows a spike.

    Returns
    -------
    EdgeEstimate
        On the scale of ``s``. ``p_value`` is simulated when asked for.

    Raises
    ------
    InvalidInput
        If ``s`` does not hold ``min(n, m)`` finite positive values, or a parameter is out of range.

    Notes
    -----
    The level holds for Gaussian noise: 0.1, 0.5, 0.9 came out as 0.101, 0.497, 0.892 at 100 x 100 (4,000
    draws, method ``bema``). Lighter tails make the test stricter, heavier ones looser: of 100 x 100 matrices
    of signs 3 % show a spike at level 0.1, of Student-t(5) noise 63 %.

    Source: Z. T. Ke, Y. Ma and X. Lin, J. Amer. Statist. Assoc. 118 (2023), for BEMA; the ranks are
    ours (see the head of this module).
    """
    n, m = check_shape(shape)
    check_choice(method, "method", _METHODS)
    alpha = check_interval(alpha, "alpha", low=0.0, high=0.5)
    level = check_interval(level, "level", low=0.0, high=1.0)
    values = _check_spectrum(s, n, m)
    gamma_shape = None
    if method == "bema-gamma":
        gamma_shape = fit_gamma_shape(values**2, _window(len(values), alpha), n, m)
    fit = _settle(values, _bulk(n, m, gamma_shape), alpha, method, level)
    return EdgeEstimate(
        edge=fit.edge,
        g=fit.g,
        g_error=fit.g * _relative_error(n, m, gamma_shape, alpha, method, level),
        bulk_edge=bulk_edge(m / n, fit.g),
        spikes=fit.spikes,
        level=level,
        status=EdgeStatus.CROWDED if fit.crowded else EdgeStatus.SETTLED,
        misfit=fit.misfit,
        method=method,
        alpha=alpha,
        shape=(n, m),
        gamma_shape=gamma_shape,
    )


class _Null(NamedTuple):
    """What simulated noise looks like that was fitted in the same way."""

    size: int
    misfits: HostArray
    levels: HostArray
    scores: HostArray


class _Fit(NamedTuple):
    g: float
    edge: float
    spikes: int
    crowded: bool
    misfit: float


def _settle(
    s: HostArray, bulk: EqualVariances | GammaVariances, alpha: float, method: str, level: float
) -> _Fit:
    """Fit ascending values, allow for the spikes found, and fit again until nothing changes.

    Shares lower the noise level, which lowers the edge and raises the shares: all move one way, so it ends.
    """
    window, middle = _window(len(s), alpha), _window(len(s), 0.5 if method == "median" else alpha)
    ranks = np.arange(len(s), dtype=np.float64)
    shares = bulk.offsets.copy()
    unit_threshold = bulk.threshold(level)
    g, crowded, settled = math.inf, False, False
    while not (crowded or settled):
        quantiles = np.interp((ranks + shares)[middle], ranks, bulk.squares)
        before, g = g, _noise_level(s[middle], quantiles, method)
        edge = math.sqrt(g) * unit_threshold
        outliers = s[np.searchsorted(s, edge, side="right") :]
        crowded = len(outliers) > window.start
        settled = len(outliers) == 0 or before - g <= 1e-6 * g
        if not (crowded or settled):
            shares[window] = bulk.offsets[window] + _shares(outliers, g, bulk, window)
    law = bulk.cdf(s[window] / math.sqrt(g))
    misfit = np.max(np.abs(law - (ranks + 0.5 + shares)[window] / len(s)))
    return _Fit(g, edge, len(outliers), crowded, float(misfit))


def _shares(outliers: HostArray, g: float, bulk: EqualVariances | GammaVariances, window: slice) -> HostArray:
    """How much of a value the spikes have pulled past each point of the window; see the top of this file."""
    c = bulk.m / bulk.n
    above = outliers[outliers > bulk_edge(c, g)]
    tau = 1.0 / (g * math.sqrt(c) * d_transform(above, c, g))
    phi = bulk.angles[window, None]
    shares: HostArray = np.sum(np.arctan2(tau * np.sin(phi), 1.0 - tau * np.cos(phi)), axis=1) / math.pi
    return shares


def _noise_level(s: HostArray, quantiles: HostArray, method: str) -> float:
    """Least squares through the origin, of squares on squares for BEMA and of values on values otherwise."""
    if method.startswith("bema"):
        return float(np.dot(quantiles, s * s) / np.dot(quantiles, quantiles))
    return float(np.dot(np.sqrt(quantiles), s) / np.sum(quantiles)) ** 2


def _window(p: int, alpha: float) -> slice:
    """Indices whose midpoint lies in [alpha, 1 - alpha]; at least the middle one or two."""
    start = min(math.ceil(alpha * p - 0.5), (p - 1) // 2)
    return slice(start, p - start)


@functools.lru_cache(maxsize=256)
def _relative_error(
    n: int, m: int, gamma_shape: float | None, alpha: float, method: str, level: float
) -> float:
    """Standard deviation of ``g`` at ``g = 1``.

    The fit is a linear statistic of the counting function, which for real Gaussian noise fluctuates like
    ``(sqrt(2) / pi) sum_k sin(k phi) x_k / sqrt(k)`` with independent unit normals ``x_k``, ``k <= p``.
    """
    if gamma_shape is not None:
        return float(np.std(_null(n, m, gamma_shape, alpha, method, level).levels))
    bulk = equal_variances(n, m)
    p = min(n, m)
    middle = _window(p, 0.5 if method == "median" else alpha)
    q = bulk.squares[middle]
    weights = q if method == "bema" else np.ones_like(q)
    modes = np.arange(1, 1 + min(p, max(32, 200_000 // len(q))))
    waves = np.sin(np.outer(modes, bulk.angles[middle])) @ (weights * bulk.spacings[middle])
    return math.sqrt(2.0 * float(np.sum(waves**2 / modes))) / math.pi / float(np.dot(weights, q))


@functools.lru_cache(maxsize=64)
def _null(n: int, m: int, gamma_shape: float | None, alpha: float, method: str, level: float) -> _Null:
    """Return what simulated noise shows, from the table where that has it."""
    if gamma_shape is None and m == NULL_SIZE <= n and (alpha, method, level) == TABULATED:
        return _tabulated(math.sqrt(m / n))
    bulk = _bulk(n, m, gamma_shape)
    return fit_noise(bulk.draws(), bulk, alpha, method, level)


def fit_noise(
    draws: HostArray, bulk: EqualVariances | GammaVariances, alpha: float, method: str, level: float
) -> _Null:
    """Fit simulated noise: misfits, noise levels, and scores of the first value below the edge."""
    n, m = bulk.n, bulk.m
    fits = [_settle(draw, bulk, alpha, method, level) for draw in draws]
    first = [_first_below(draw, fit.spikes) for draw, fit in zip(draws, fits)]
    return _Null(
        size=min(n, m),
        misfits=np.array([fit.misfit for fit in fits]),
        levels=np.array([fit.g for fit in fits]),
        scores=np.array([_score(s, (n, m), (n, m), fit.g) for s, fit in zip(first, fits)]),
    )


def _tabulated(root: float) -> _Null:
    """Interpolate the table, whose quantiles hardly depend on the aspect ratio, in the root of that."""
    roots, misfits, scores = _table()
    i = min(int(root * (len(roots) - 1)), len(roots) - 2)
    share = (root - roots[i]) / (roots[i + 1] - roots[i])
    found = [table[i] + share * (table[i + 1] - table[i]) for table in (misfits, scores)]
    return _Null(size=NULL_SIZE, misfits=found[0], levels=np.empty(0), scores=found[1])


@functools.cache
def _table() -> tuple[HostArray, HostArray, HostArray]:
    path = resources.files("rmttheory.matrices.tables") / "edge_null.npz"
    with path.open("rb") as file, np.load(file) as table:
        return table["roots"], table["misfits"].astype(np.float64), table["scores"].astype(np.float64)


def _first_below(s: HostArray, spikes: int) -> float:
    """Of ascending values, the largest that is no spike."""
    return float(s[max(len(s) - 1 - spikes, 0)])


def _score(s: float, shape: tuple[int, int], rest: tuple[int, int], g: float) -> float:
    """Tracy-Widom score of a value as the largest of noise of shape ``rest`` and entries ``N(0, g / n)``."""
    centre, scale = tracy_widom_scaling(*rest)
    return (s * s * shape[0] / g - centre) / scale


def _fluctuation(p: int) -> float:
    return math.sqrt(2.0) / math.pi * (math.log(p) - 0.75 * math.log(math.log(p)))


def _bulk(n: int, m: int, gamma_shape: float | None) -> EqualVariances | GammaVariances:
    return equal_variances(n, m) if gamma_shape is None else gamma_variances(n, m, gamma_shape)


def _check_spectrum(s: Array, n: int, m: int) -> HostArray:
    """Return the values in ascending order if they are the full spectrum of a matrix of full rank."""
    check_vector(s, "s")
    given = to_host(s)
    values = np.sort(given.astype(np.float64))
    if len(values) != min(n, m):
        msg = f"`s` must hold all {min(n, m)} singular values of a {n} x {m} matrix, not {len(values)}."
        raise InvalidInput(msg)
    if values[0] < 0.0:
        msg = f"`s` must hold singular values, which are >= 0, not {values[0]:g}."
        raise InvalidInput(msg)
    # A zero comes out as eps s_1 from a decomposition and as sqrt(eps) s_1 from a Gram matrix in double.
    zero = max(4.0 * math.sqrt(np.finfo(np.float64).eps), 8.0 * float(np.finfo(given.dtype).eps)) * values[-1]
    rank = int(np.count_nonzero(values > zero))
    # Square noise has a least value below t s_1 with probability about 2 n t: one in 1e5 draws of width 100
    # in double, one in 500 of width 1000 in single precision. A second one is out of the question.
    if rank < len(values) - (n == m) or rank == 0:
        msg = (
            f"`s` holds {len(values) - rank} values that are zero to rounding: a bulk needs full rank. "
            "Drop zero rows and columns of the matrix, or fit it before it was truncated."
        )
        raise InvalidInput(msg)
    return values
