"""Singular values and counts of bidiagonals by Sturm sequences at many points at once, if Numba is there.

LAPACK's QR steps on a bidiagonal or tridiagonal are one long chain of divisions. A Sturm sequence needs none
and runs at 32 points side by side, so that bisection, with interpolation once an eigenvalue is alone, takes
a quarter of the time of LAPACK's ``sterf``. The kernels are compiled once, kept on disk where that is
allowed, and imported only when there is something to gain.
"""

from __future__ import annotations

import functools
import math

import numpy as np

from rmttheory.arrays import HostArray

_WIDEST = 6  # bands whose reduction the compiler still keeps in vector registers
_SMALLEST = 2.0**-112  # of q and q e, for entries near 1: eight rows then stay far from underflow
_LOWEST = 2.0**-900  # of squared singular values, likewise


@functools.cache
def available() -> bool:
    """Whether the kernels can be compiled."""
    try:
        from rmttheory.matrices import _sturm_kernels  # noqa: F401
    except ImportError:
        return False
    return True


def bidiagonal_singular_values(diagonal: HostArray, above: HostArray) -> HostArray | None:
    """Singular values of an upper bidiagonal, descending; None if they span too many orders of magnitude.

    Each is off by ``(2 p + 4) eps`` of itself at most: it is the middle of a bracket ``2 eps`` wide at whose
    ends Sturm sequences have been counted, each exact for a bidiagonal with entries ``eps`` from the given
    ones. (J. Demmel and W. Kahan, "Accurate singular values of bidiagonal matrices", SIAM J. Sci. Stat.
    Comput. 11 (1990), for what such changes do.)
    """
    from rmttheory.matrices._sturm_kernels import eigenvalues, padded

    factor = _below_half(np.concatenate([diagonal, above]))
    q, e = (factor * diagonal) ** 2, (factor * above) ** 2
    if not _within_range(q, e):
        return None
    squares: HostArray = eigenvalues(*padded(q, e), len(q))
    if squares[0] < _LOWEST:
        return None
    values: HostArray = np.sqrt(squares[::-1]) / factor
    return values


def largest_squares(diagonal: HostArray, above: HostArray, k: int) -> HostArray | None:
    """The ``k`` largest squared singular values of an upper bidiagonal, descending; None as above."""
    from rmttheory.matrices._sturm_kernels import largest, padded

    factor = _below_half(np.concatenate([diagonal, above]))
    q, e = (factor * diagonal) ** 2, (factor * above) ** 2
    if not _within_range(q, e):
        return None
    squares: HostArray = largest(*padded(q, e), len(q), k)
    return squares / factor**2


def bidiagonal_of_band(columns: HostArray) -> tuple[HostArray, HostArray] | None:
    """Reduce an upper band to a bidiagonal with the same singular values; None if it is too wide.

    ``columns[j]`` holds rows ``j - r ... j`` of column ``j``; the error is a few ``eps s_1``.
    """
    from rmttheory.matrices._chase_kernels import bidiagonalise

    p, width = columns.shape
    r = width - 1
    if r > _WIDEST:
        return None
    factor = _below_half(columns)
    stream = np.zeros((p // r + 5, 2, r, r))
    column = np.arange(p)
    block, within = column // r, column % r
    for q in range(width):
        row = within + q  # from the first row of U
        stream[block + 1, row // r, row % r, within] = factor * columns[:, q]
    stream[1, 0] = 0.0
    unit = (0.0,) * r
    diagonal, above = np.empty(p), np.empty(p - 1)
    bidiagonalise(stream.reshape(len(stream), -1), p, unit, diagonal, above)
    return diagonal / factor, above / factor


def eliminated(
    diagonal: HostArray, above: HostArray, border: HostArray, points: HostArray
) -> tuple[HostArray, HostArray, HostArray] | None:
    """Count at many points, and eliminate ``B^T B - x`` from under its border; None if out of range.

    Parameters
    ----------
    diagonal, above : arrays, shapes (q,), (q - 1,)
        The upper bidiagonal ``B``.
    border : array, shape (q, r)
        ``K``; ``r`` may be 0.
    points : array
        The points ``x``.

    Returns
    -------
    counts : array of int, shape (points,)
        How many eigenvalues of ``B^T B`` lie below.
    sums : array, shape (points, r, r)
        ``K^T (B^T B - x)^-1 K``.
    weights : array, shape (points,)
        The rounding errors of ``sums`` are some ``eps`` of these.
    """
    from rmttheory.matrices._sturm_kernels import TOP, eliminate, evaluate, padded

    rows, r = border.shape
    entries = np.concatenate([diagonal, above])
    factor = _below_half(entries)
    if r:
        factor = min(factor, _below_half(np.sqrt(points)))
    q, e = (factor * diagonal) ** 2, (factor * above) ** 2
    if not _within_range(q, e):
        return None
    q, e = padded(q, e)
    points = np.minimum(factor**2 * points, TOP)
    counts = np.empty(len(points), dtype=np.int64)
    if not r:
        evaluate(q, e, points, counts, np.empty(len(points)), np.empty(len(points), dtype=np.int64))
        return counts, np.empty((len(points), 0, 0)), np.zeros(len(points))
    scaled = np.zeros((len(q), r))
    scaled[len(q) - rows :] = factor**2 * border
    lower, weights = np.empty((len(points), r * (r + 1) // 2)), np.empty(len(points))
    eliminate(q, e, scaled.ravel(), points, (0.0,) * r, counts, lower, weights)
    sums = np.empty((len(points), r, r))
    i, j = np.tril_indices(r)
    sums[:, i, j] = sums[:, j, i] = lower / factor**2
    return counts, sums, weights / factor**2


def _below_half(entries: HostArray) -> float:
    """A power of two that takes all entries below 1/2."""
    return math.ldexp(0.5, -math.frexp(float(np.max(np.abs(entries), initial=0.0)))[1])


def _within_range(q: HostArray, e: HostArray) -> bool:
    return bool(q[-1] >= _SMALLEST and np.min(q[:-1] * e, initial=1.0) >= _SMALLEST)
