"""The law of the singular values of Gaussian noise, with spikes or without, without the matrix."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rmttheory.arrays import (
    HostArray,
    InvalidInput,
    Placement,
    Stream,
    as_stream,
    check_count,
    check_interval,
    check_shape,
)
from rmttheory.matrices._band_values import all_values, all_values_on, top_values
from rmttheory.matrices.spectra import check_top
from rmttheory.matrices.spikes import bulk_edge, lower_edge, outlier

_BLOCK = 2**21  # numbers drawn at a time
_WORTH_LAUNCHING = 8
"""Bands of more than one spike: to narrow any number takes a GPU some thousand launches of a few microseconds
each, and in that time the host solves about five. An estimate: no GPU has timed it."""


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
        Descending, float64, on the host; errors below ``1e-13 s_1`` up to ``p`` of some thousands. With Numba
        (the extra ``fast``), all values and ``p >= 200``: each is the middle of a bracket at whose ends Sturm
        sequences have been counted, off by ``(2 p + 4) eps`` of itself at most.

    Raises
    ------
    InvalidInput
        If a parameter is out of range.

    Source: I. Dumitriu and A. Edelman, "Matrix models for beta ensembles", J. Math. Phys. 43 (2002).
    """
    return spiked_singular_values(shape, (), g=g, trials=trials, k=k, stream=stream)


def spiked_singular_values(
    shape: tuple[int, int],
    spikes: Sequence[float],
    *,
    g: float = 1.0,
    trials: int = 1,
    k: int | None = None,
    stream: Any = None,
) -> HostArray:
    """Draw singular values of ``n x m`` matrices ``S + R``: given spikes and ``N(0, g / n)`` noise.

    Their law does not depend on the singular vectors of ``S``. In a basis of inputs that starts with those of
    ``S``, Householder steps from both sides, taken on paper, leave an upper band of width ``r``, the number
    of spikes: chi variables on its two outer diagonals, normals between them, and the spikes in its first
    ``r`` columns. It costs ``O(p r)`` numbers and ``O(p^2 r)`` work a draw, ``p = min(n, m)``.

    Parameters
    ----------
    shape : tuple of int
        ``(n, m)``, either larger.
    spikes : sequence of float
        Singular values of ``S``, > 0, at most ``p``, in any order; repeated ones are fine.
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
        Descending, float64, on the host; errors below ``1e-13 s_1`` up to ``p`` of some thousands. With Numba
        (the extra ``fast``) all values come three times as fast, and differ by rounding from those without.
        A stream that is placed on a GPU has it find all values of all draws at once: with one spike or none,
        or of eight draws or more.

    Raises
    ------
    InvalidInput
        If a parameter is out of range or there are more than ``p`` spikes.

    Source: reduction as of Dumitriu and Edelman (2002), with the spikes protected; derived here.
    """
    n, m = check_shape(shape)
    scale = math.sqrt(check_interval(g, "g", low=0.0) / n)
    trials = check_count(trials, "trials")
    strengths = check_spikes(spikes, (n, m))
    p, larger = min(n, m), max(n, m)
    k = check_top(k, p)
    stream = as_stream(stream)
    draw = _drawer((larger, p), strengths / scale, stream)
    solve = _solver((larger, p), strengths / scale, k, stream.placement)
    values = np.empty((trials, k))
    block = max(1, _BLOCK // (p * (len(strengths) + 1)))
    for start in range(0, trials, block):
        chosen = slice(start, min(start + block, trials))
        values[chosen] = solve(draw(chosen.stop - start))
    return scale * values


def check_spikes(spikes: Any, shape: tuple[int, int]) -> HostArray:
    """Return the spikes as a descending array.

    Raises
    ------
    InvalidInput
        If they are not numbers > 0 or more than ``min(shape)``.
    """
    if np.ndim(spikes) != 1:
        msg = f"`spikes` must be a sequence of numbers, not {spikes!r}."
        raise InvalidInput(msg)
    values = [check_interval(theta, "spikes", low=0.0) for theta in spikes]
    if len(values) > min(shape):
        msg = f"`spikes` must hold at most {min(shape)} values for shape {shape}, not {len(values)}."
        raise InvalidInput(msg)
    return np.array(sorted(values, reverse=True), dtype=np.float64)


def chi(rng: np.random.Generator, degrees: HostArray, size: tuple[int, ...]) -> HostArray:
    """Independent chi variables; 0 for no degrees of freedom."""
    return np.sqrt(2.0 * rng.standard_gamma(np.maximum(degrees, 0.0) / 2.0, size))


def triangular_factor(matrices: HostArray) -> HostArray:
    """``R`` of a QR decomposition, of each matrix of a stack."""
    return np.asarray(np.linalg.qr(matrices, mode="r"))


def leading_factor(normal: HostArray, chis: HostArray, spikes: HostArray, rows: int) -> HostArray:
    """Triangular factors of the ``r`` columns that hold the spikes, shape ``(trials, r, r)``.

    Parameters
    ----------
    normal : array, shape (trials, 2, r, r)
        Independent standard normals.
    chis : array, shape (trials, r)
        Chi variables of ``rows - r - j`` degrees of freedom.
    spikes : array, shape (r,)
        For unit noise.
    rows : int
        Length of the columns.
    """
    r = len(spikes)
    signal = normal[:, 0] + np.diag(spikes)
    rest = np.triu(normal[:, 1], 1) + chis[:, :, None] * np.eye(r)
    rest[:, max(rows - r, 0) :] = 0.0  # columns shorter than 2 r have no such rows
    return triangular_factor(np.concatenate([signal, rest], axis=1))


def _drawer(shape: tuple[int, int], spikes: HostArray, stream: Stream) -> Callable[[int], HostArray]:
    """Return a function that draws the next upper bands, shape ``(count, p, r + 1)``, for unit noise.

    Entry ``[:, j, q]`` is that of row ``j - r + q`` in column ``j``; one spike or none give a bidiagonal.
    """
    n, p = shape
    r = len(spikes)
    if not r:
        return _null_drawer(shape, stream)
    index = np.arange(p)
    normals, chi_squares = stream.child("normal").generator(), stream.child("chi").generator()
    degrees = np.concatenate([n - r - index[:r], p - index[r:], n - index[r:]])

    def draw(count: int) -> HostArray:
        columns = np.zeros((count, p, r + 1))
        normal = normals.standard_normal((count, 2 * r * r + (p - r) * (r - 1)))
        chis = chi(chi_squares, degrees, (count, len(degrees)))
        columns[:, r:, 0], columns[:, r:, r] = chis[:, r:p], chis[:, p:]
        columns[:, r:, 1:r] = normal[:, 2 * r * r :].reshape(count, p - r, r - 1)
        factor = leading_factor(normal[:, : 2 * r * r].reshape(count, 2, r, r), chis[:, :r], spikes, n)
        for j in range(r):
            columns[:, j, r - j :] = factor[:, : j + 1, j]
        return columns

    return draw


def _null_drawer(shape: tuple[int, int], stream: Stream) -> Callable[[int], HostArray]:
    n, p = shape
    rng = stream.generator()
    index = np.arange(p)
    degrees = np.concatenate([n - index, p - index[1:]])

    def draw(count: int) -> HostArray:
        chis = chi(rng, degrees, (count, 2 * p - 1))
        columns = np.zeros((count, p, 2))
        columns[:, :, 1], columns[:, 1:, 0] = chis[:, :p], chis[:, p:]
        return columns

    return draw


def _solver(
    shape: tuple[int, int], spikes: HostArray, k: int, placement: Placement
) -> Callable[[HostArray], Any]:
    """Return a function of a stack of bands that finds the top ``k`` values of each."""
    n, p = shape
    c = p / n
    if 25 * k <= p:
        return lambda bands: [top_values(columns, k, shape, len(spikes)) for columns in bands]
    largest = math.sqrt(n) * max(bulk_edge(c), *(outlier(spikes / math.sqrt(n), c)), 0.0)
    spread = math.sqrt(n) * lower_edge(c) / largest
    double = replace(placement, dtype="float64")

    def solve(bands: HostArray) -> Any:
        if placement.library == "cupy" and (len(spikes) <= 1 or len(bands) >= _WORTH_LAUNCHING):
            return all_values_on(double, bands)[:, :k]
        return [all_values(columns, spread)[:k] for columns in bands]

    return solve
