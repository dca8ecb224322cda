"""The law of the singular values of Gaussian noise, without the matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, as_stream, check_count, check_interval, check_shape
from rmttheory.matrices.spectra import check_top


def null_singular_values(
    shape: tuple[int, int],
    *,
    g: float = 1.0,
    trials: int = 1,
    k: int | None = None,
    stream: Any = None,
) -> HostArray:
    """Draw singular values of ``n x m`` matrices with independent ``N(0, g / n)`` entries.

    Householder steps from both sides, taken on paper, leave a bidiagonal of independent chi variables
    with the same singular values: ``O(p)`` numbers and ``O(p^2)`` work a draw, ``p = min(n, m)``.

    Parameters
    ----------
    shape : tuple of int
        ``(n, m)``, either larger.
    g : float
        Noise level, > 0.
    trials : int
        How many matrices; a draw depends on its number and not on how many are asked for.
    k : int, optional
        Only the largest ``k``.
    stream : Stream, or anything that `as_stream` takes

    Returns
    -------
    ndarray, shape (trials, p) or (trials, k)
        Descending, float64, on the host. The error of a value ``s`` is about ``eps s_1^2 / (2 s)``.

    Raises
    ------
    InvalidInput
        If a parameter is out of range.

    Source: I. Dumitriu and A. Edelman, "Matrix models for beta ensembles", J. Math. Phys. 43 (2002).
    """
    n, m = check_shape(shape)
    scale = check_interval(g, "g", low=0.0) / n
    trials = check_count(trials, "trials")
    p, larger = min(n, m), max(n, m)
    k = check_top(k, p)
    degrees = np.concatenate([larger - np.arange(p), p - 1 - np.arange(p - 1)])
    chi_squares = as_stream(stream).generator().chisquare(degrees, (trials, 2 * p - 1))
    squares = np.stack([_largest_eigenvalues(row[:p], row[p:], k) for row in chi_squares])
    values: HostArray = np.sqrt(scale * np.maximum(squares, 0.0))
    return values


def _largest_eigenvalues(diagonal: HostArray, below: HostArray, k: int) -> HostArray:
    """The ``k`` largest eigenvalues of ``L L^T``, descending, for the squares of a lower bidiagonal ``L``."""
    from scipy.linalg import eigvalsh_tridiagonal

    p = len(diagonal)
    main = diagonal.copy()
    main[1:] += below
    off = np.sqrt(diagonal[:-1] * below)
    # Bisection takes p steps a value and wins for few; the root-free QR method is the fastest for all.
    how: dict[str, Any] = {"lapack_driver": "sterf"}
    if 25 * k <= p:
        how = {"lapack_driver": "stebz", "select": "i", "select_range": (p - k, p - 1)}
    values: HostArray = eigvalsh_tridiagonal(main, off, check_finite=False, **how)
    return values[::-1][:k]
