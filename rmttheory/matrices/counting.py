"""How many singular values lie below given points, where no list of them is affordable."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import (
    HostArray,
    InvalidInput,
    as_stream,
    check_count,
    check_interval,
    check_shape,
    check_vector,
)
from rmttheory.matrices import _sturm
from rmttheory.matrices._lapack import tridiagonal_counts
from rmttheory.matrices.band import check_spikes, chi, leading_factor, triangular_factor


def count_singular_values(
    shape: tuple[int, int],
    points: Sequence[float] | HostArray,
    spikes: Sequence[float] = (),
    *,
    g: float = 1.0,
    trials: int = 1,
    stream: Any = None,
) -> HostArray:
    """Draw how many singular values of ``S + R``, with Gaussian ``R``, lie at or below each point.

    Divided by ``p = min(n, m)`` this is the empirical distribution function, exactly and without the values.
    Taking the ``p - r`` columns beside the spikes to a bidiagonal ``B`` leaves ``W^T W`` a tridiagonal ``B^T
    B`` bordered by ``r`` rows, and Sylvester's law of inertia counts: a Sturm sequence of the tridiagonal,
    plus the negative eigenvalues of an ``r x r`` Schur complement. ``O(p r^2)`` work a point, ``O(p r)``
    numbers a matrix. With Numba (the extra ``fast``) many points are counted at once, with the same result.

    Parameters
    ----------
    shape : tuple of int
        ``(n, m)``, either larger.
    points : array of float, shape (q,)
        On the scale of singular values, in any order.
    spikes : sequence of float
        Singular values of ``S``, > 0, at most ``p``, in any order.
    g : float
        Noise level, > 0; entries of ``R`` have variance ``g / n``.
    trials : int
        How many matrices; a draw depends on its number and not on how many are asked for.
    stream : Stream, or anything that `as_stream` takes

    Returns
    -------
    ndarray of int, shape (trials, q)
        Right for a matrix within a few ``eps s_1^2`` of the squared one drawn: a point nearer to a value than
        about ``eps s_1^2 / s`` may be counted on its other side.

    Raises
    ------
    InvalidInput
        If a parameter is out of range or there are more than ``p`` spikes.

    Source: W. Kahan, "Accurate eigenvalues of a symmetric tri-diagonal matrix", Stanford CS 41 (1966), for
    the counts; the bordered model is derived here.
    """
    n, m = check_shape(shape)
    scale = math.sqrt(check_interval(g, "g", low=0.0) / n)
    trials = check_count(trials, "trials")
    strengths = check_spikes(spikes, (n, m))
    try:
        at = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError):
        msg = f"`points` must be a sequence of numbers, not {points!r}."
        raise InvalidInput(msg) from None
    check_vector(at, "points")
    stream = as_stream(stream)
    counts = np.zeros((trials, len(at)), dtype=np.int64)
    squares = (at[at >= 0.0] / scale) ** 2
    for trial in range(trials):
        matrix = _draw((max(n, m), min(n, m)), strengths / scale, stream.child("trial", trial).generator())
        counts[trial, at >= 0.0] = matrix.count(squares)
    return counts


_WORTH_COMPILING = 10**6  # rows times points; below, LAPACK takes some milliseconds
_CERTAIN = 2.0**-40


@dataclass(frozen=True, eq=False)
class _Bordered:
    """``W^T W`` as ``[[R^T R, K^T], [K, B^T B]]``, ``B`` an upper bidiagonal."""

    factor: HostArray
    """``R``, shape (r, r)."""
    border: HostArray
    """``K``, shape (p - r, r)."""
    diagonal: HostArray
    above: HostArray

    @functools.cached_property
    def main(self) -> HostArray:
        """Diagonal of ``B^T B``."""
        main: HostArray = self.diagonal**2
        main[1:] += self.above**2
        return main

    @functools.cached_property
    def off(self) -> HostArray:
        """What stands beside it."""
        off: HostArray = self.diagonal[:-1] * self.above
        return off

    def count(self, squares: HostArray) -> HostArray:
        """How many eigenvalues lie at or below each point."""
        if len(squares) * len(self.diagonal) >= _WORTH_COMPILING and _sturm.available():
            counts = self._compiled_count(squares)
            if counts is not None:
                return counts
        counts = tridiagonal_counts(self.main, self.off, squares)
        if self.factor.size:
            counts += np.array([self._correction(float(x)) for x in squares], dtype=np.int64)
        return counts

    def _compiled_count(self, squares: HostArray) -> HostArray | None:
        """At all points at once, without pivoting; where that may have decided a sign, again with it.

        A small pivot magnifies rounding errors of the Schur complement as it does the terms of its sum, so
        signs are trusted where its eigenvalues stand out of ``2^-40`` of the sum of their sizes.
        """
        result = _sturm.eliminated(self.diagonal, self.above, self.border, squares)
        if result is None:
            return None
        counts, sums, weights = result
        if not self.factor.size:
            return counts
        identity = np.eye(len(self.factor))
        schur = self.factor.T @ self.factor - squares[:, None, None] * identity - sums
        finite = np.isfinite(weights) & np.all(np.isfinite(schur), axis=(1, 2))
        values = np.linalg.eigvalsh(np.where(finite[:, None, None], schur, identity))
        size = weights + np.sum(self.factor**2) + squares
        certain = finite & (np.min(np.abs(values), axis=1) > _CERTAIN * size)
        negative = np.sum(values < 0.0, axis=1)
        for i in np.flatnonzero(~certain):
            negative[i] = self._correction(float(squares[i]))
        counts += negative
        return counts

    def _correction(self, x: float) -> int:
        """Negative eigenvalues of the Schur complement of ``T - x``."""
        from scipy.linalg.lapack import dgttrf, dgttrs

        schur = self.factor.T @ self.factor - x * np.eye(len(self.factor))
        if len(self.main) > 2:
            factors = dgttrf(self.off, self.main - x, self.off)[:-1]
            # A column at a time: half the time of all at once.
            solved = np.stack([dgttrs(*factors, column)[0] for column in self.border.T])
        else:  # SciPy's wrapper refuses these sizes
            small = np.diag(self.main - x) + np.diag(self.off, 1) + np.diag(self.off, -1)
            solved = np.linalg.solve(small, self.border).T
        schur -= solved @ self.border
        return int(np.sum(np.linalg.eigvalsh(schur) < 0.0))


def _draw(shape: tuple[int, int], spikes: HostArray, rng: np.random.Generator) -> _Bordered:
    """One matrix of unit noise, ``shape[0] >= shape[1]``."""
    n, p = shape
    r = len(spikes)
    q = p - r
    index = np.arange(q)
    diagonal, above = chi(rng, n - index, (q,)), chi(rng, q - index[1:], (max(q - 1, 0),))
    if not r:
        return _Bordered(np.empty((0, 0)), np.empty((q, 0)), diagonal, above)
    lengths = chi(rng, n - r - np.arange(r), (1, r))
    factor = leading_factor(rng.standard_normal((1, 2, r, r)), lengths, spikes, n)[0]
    # The bidiagonal sees the other columns through a Haar frame: its first q rows, from normals and the
    # factor of the n - q >= r rows that are not needed.
    rows = rng.standard_normal((q, r))
    rest = np.triu(rng.standard_normal((r, r)), 1) + np.diag(chi(rng, n - q - np.arange(r), (r,)))
    whole = triangular_factor(np.concatenate([triangular_factor(rows), rest]))
    frame = np.linalg.solve(whole.T, rows.T).T @ factor
    border = np.asfortranarray(diagonal[:, None] * frame)  # B^T F R
    border[1:] += above[:, None] * frame[:-1]
    return _Bordered(factor, border, diagonal, above)
