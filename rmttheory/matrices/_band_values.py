"""Singular values of upper bands, by the path that is fastest for what is asked.

A band is given by its columns: ``columns[j, q]`` is the entry of row ``j - r + q`` in column ``j``.
"""

from __future__ import annotations

import math

import numpy as np

from rmttheory.arrays import HostArray, Placement, RmtError, Stream, kernels, to_host
from rmttheory.matrices import _sturm
from rmttheory.matrices._lapack import bidiagonal_of_band, bidiagonal_singular_values
from rmttheory.matrices._leading import band_gram, leading_pairs

# The Gram matrix gives a value s with an error of about eps s_1^2 / (2 s): 1e-13 s_1 there.
_SMALL = 0.01
_WORTH_COMPILING = 200  # values; below, LAPACK takes less than a millisecond


def all_values(columns: HostArray, spread: float) -> HostArray:
    """All singular values, descending.

    With Numba, from Sturm sequences on a bidiagonal to which the band has been reduced. Without, or where
    they do not reach, LAPACK: the eigenvalues of the Gram matrix cost least. Where the smallest value is lost
    by squaring, as of square matrices (``spread`` guesses ``s_p / s_1``), the band itself is reduced to a
    bidiagonal, at 1.3 to 1.8 times the time: its values come with small relative errors, and for a
    bidiagonal to begin with that is exact.
    """
    if len(columns) >= _WORTH_COMPILING and _sturm.available():
        values = _compiled_values(columns)
        if values is not None:
            return values
    if spread > 2.0 * _SMALL:
        squares = _gram_eigenvalues(band_gram(columns))
        if squares[-1] > _SMALL**2 * squares[0]:
            return np.sqrt(squares)
    bidiagonal = (columns[:, 1], columns[1:, 0]) if columns.shape[1] == 2 else bidiagonal_of_band(columns)
    return bidiagonal_singular_values(*bidiagonal)


def all_values_on(placement: Placement, columns: HostArray) -> HostArray:
    """All singular values of a stack of bands, descending, all at once on a GPU; see `all_values`."""
    if columns.shape[2] == 2:
        diagonal, above = (placement.asarray(part) for part in (columns[:, :, 1], columns[:, 1:, 0]))
    else:
        diagonal, above = kernels.bidiagonals_of_bands(placement.asarray(columns))
    return to_host(kernels.bidiagonal_singular_values(diagonal, above))


def _compiled_values(columns: HostArray) -> HostArray | None:
    if columns.shape[1] == 2:
        return _sturm.bidiagonal_singular_values(columns[:, 1], columns[1:, 0])
    bidiagonal = _sturm.bidiagonal_of_band(columns) or bidiagonal_of_band(columns)
    return _sturm.bidiagonal_singular_values(*bidiagonal)


def _gram_eigenvalues(gram: HostArray) -> HostArray:
    from scipy.linalg import eigvals_banded, eigvalsh_tridiagonal

    values: HostArray
    if len(gram) == 2:  # the root-free QR method
        values = eigvalsh_tridiagonal(gram[0], gram[1, :-1], check_finite=False, lapack_driver="sterf")
    else:
        values = eigvals_banded(gram, lower=True, check_finite=False)
    return values[::-1]


def top_values(columns: HostArray, k: int, shape: tuple[int, int], spikes: int) -> HostArray:
    """The ``k`` largest, descending, from leading corners that are doubled until nothing moves."""
    size = corner_size(shape, max(spikes, 1), k)
    before = np.full(k, np.inf)
    while True:
        squares = _top_squares(columns[:size], k, shape, spikes)
        if size >= len(columns) or np.max(np.abs(squares - before)) <= 4e-15 * squares[0]:
            return np.sqrt(squares)
        size, before = 2 * size, squares


def corner_size(shape: tuple[int, int], spikes: int, k: int) -> int:
    """How many coordinates hold the top ``k`` singular vectors, to about 1e-11 in the values.

    Near the top the band is a discrete Airy operator of length ``(r sqrt(n m) / (sqrt(n) + sqrt(m)))^(2/3)``:
    its eigenfunctions decay as ``exp(-2 x^(3/2) / 3)`` beyond its zeros, which grow as ``(3 pi k /
    2)^(2/3)``. (After A. Edelman and P.-O. Persson, "Numerical methods for eigenvalue distributions of random
    matrices", 2005.)
    """
    a, b = math.sqrt(shape[0]), math.sqrt(shape[1])
    length = math.pow(spikes * a * b / (a + b), 2 / 3)
    return min(min(shape), 4 * spikes + math.ceil(length * (7.0 + math.pow(1.5 * math.pi * k, 2 / 3))))


def top_of_noise(shape: tuple[int, int]) -> dict[str, float]:
    """Where the squared singular values of unit noise end, and how far apart the last ones are."""
    a, b = math.sqrt(shape[0]), math.sqrt(shape[1])
    return {"edge": (a + b) ** 2, "spacing": (a + b) * (1.0 / a + 1.0 / b) ** (1 / 3)}


def top_squares_of_noise(columns: HostArray, k: int, near: HostArray | None = None) -> HostArray:
    """The ``k`` largest squared singular values of an upper bidiagonal, descending, by bisection.

    ``near`` are those of a smaller corner: bisection then starts from a part in 1e9 around them, if all lie
    there.
    """
    p = len(columns)
    if p >= 10 * _WORTH_COMPILING and _sturm.available():
        squares = _sturm.largest_squares(columns[:, 1], columns[1:, 0], k)
        if squares is not None:
            return squares
    main, off = columns[:, 1] ** 2, columns[:-1, 1] * columns[1:, 0]
    main[1:] += columns[1:, 0] ** 2
    if p == 1:
        return main
    if near is not None:
        low, high = (1.0 - 1e-9) * near[-1], (1.0 + 1e-9) * near[0]
        found = _bisected(main, off, within=(low, high))
        if len(found) == k and not len(_bisected(main, off, within=(high, np.inf))):
            return found
    return _bisected(main, off, numbers=(p - k + 1, p))


def _bisected(
    main: HostArray,
    off: HostArray,
    *,
    within: tuple[float, float] = (0.0, 0.0),
    numbers: tuple[int, int] = (0, 0),
) -> HostArray:
    """Eigenvalues of a tridiagonal, descending: those in an interval, or of given numbers from below."""
    from scipy.linalg.lapack import dstebz  # the function that wraps it takes as long as it does

    count, values, _, _, status = dstebz(main, off, 2 if any(numbers) else 1, *within, *numbers, 0.0, "E")
    if status:
        msg = f"LAPACK's dstebz failed with status {status}: the spectrum is not to be trusted."
        raise RmtError(msg)
    descending: HostArray = values[:count][::-1]
    return descending


def _top_squares(columns: HostArray, k: int, shape: tuple[int, int], spikes: int) -> HostArray:
    p, width = columns.shape
    if width == 2:
        return top_squares_of_noise(columns, k)
    gram = band_gram(columns)
    if 8 * k >= p or p <= 400:
        return _gram_eigenvalues(gram)[:k]
    rng = Stream().child("start").generator()
    top = top_of_noise(shape)
    return leading_pairs(gram, k, spikes=spikes, rng=rng, edge=top["edge"], spacing=top["spacing"])[0]
