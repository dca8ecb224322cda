"""The top of the spectrum of matrices that need not fit in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, Stream, as_stream, check_count, check_interval, check_shape
from rmttheory.matrices._band_values import corner_size, top_of_noise, top_squares_of_noise
from rmttheory.matrices._leading import band_gram, leading_pairs
from rmttheory.matrices.band import check_spikes, chi
from rmttheory.matrices.spectra import check_top

_BLOCK = 2**20  # numbers drawn at a time
_DENSE = 200  # columns up to which LAPACK's dense decomposition is the quickest
_ROUNDING = 16.0 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True, eq=False)
class EdgeSample:
    """Largest singular values of independent spiked matrices, and how they see the spikes.

    Attributes
    ----------
    values : ndarray, shape (trials, k)
        Descending.
    left, right : ndarray, shape (trials, r, k)
        Squared overlaps ``<u_i, u_hat_j>^2`` and ``<v_i, v_hat_j>^2`` of the singular vectors of value ``j``
        with those of spike ``i``, spikes in descending order.
    coupling : ndarray, shape (trials, r, k)
        Their products with signs, ``<u_i, u_hat_j> <v_hat_j, v_i>``.
    path : ndarray, shape (trials, r)
        What goes along each spike, ``u_i^T W v_i``; exact.
    value_error, overlap_error : ndarray, shape (trials,)
        How far the values and the overlaps or couplings last moved when the corner was doubled, largest
        first, plus the rounding of the values. The values of a corner only grow with it, towards those of the
        whole.
    corner : ndarray, shape (trials,)
        How many columns of the band matrix were drawn and used.
    shape, spikes, g
        What was asked for.
    """

    values: HostArray
    value_error: HostArray
    left: HostArray
    right: HostArray
    coupling: HostArray
    path: HostArray
    overlap_error: HostArray
    corner: HostArray
    shape: tuple[int, int]
    spikes: tuple[float, ...]
    g: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        arrays = ("values", "value_error", "left", "right", "coupling", "path", "overlap_error", "corner")
        plain: dict[str, Any] = {name: getattr(self, name).tolist() for name in arrays}
        return plain | {"shape": list(self.shape), "spikes": list(self.spikes), "g": self.g}


def sample_edge(
    shape: tuple[int, int],
    spikes: Sequence[float] = (),
    *,
    k: int = 1,
    g: float = 1.0,
    trials: int = 1,
    tolerance: float = 1e-13,
    stream: Any = None,
) -> EdgeSample:
    """Draw the ``k`` largest singular values of ``S + R``, and both overlaps, for Gaussian ``R`` of any size.

    In bases that start with the singular vectors of ``S``, Householder steps from both sides, taken on paper,
    leave a band of half-width ``r``: normals within it, chi variables on its two outer diagonals, and the
    spikes on the first ``r`` places of the main one, whose coordinates are the directions of ``S``. The
    leading singular vectors live in its first ``O((r^2 p)^(1/3))`` coordinates, ``p = min(n, m)``, so only
    that corner is drawn, and doubled until the values stop moving. Each outlier is solved for with a shift of
    its own and none can be missed.

    Parameters
    ----------
    shape : tuple of int
        ``(n, m)``, either larger, to 10^12 and beyond.
    spikes : sequence of float
        Singular values of ``S``, > 0, at most ``p``, in any order; repeated ones are fine.
    k : int
        How many values.
    g : float
        Noise level, > 0; entries of ``R`` have variance ``g / n``.
    trials : int
        How many matrices; a draw depends on its number and not on how many are asked for.
    tolerance : float
        Largest move of a value, relative to the first, that counts as none; > 0. Below about 1e-14 rounding
        hides it.
    stream : Stream, or anything that `as_stream` takes

    Raises
    ------
    InvalidInput
        If a parameter is out of range or there are more than ``p`` spikes.

    Source: truncation of A. Edelman and P.-O. Persson, "Numerical methods for eigenvalue distributions of
    random matrices" (2005); the two-sided band model is derived here.
    """
    n, m = check_shape(shape)
    g = check_interval(g, "g", low=0.0)
    scale = math.sqrt(g / n)
    strengths = check_spikes(spikes, (n, m))
    k = check_top(check_count(k, "k"), min(n, m))
    trials = check_count(trials, "trials")
    tolerance = check_interval(tolerance, "tolerance", low=0.0)
    band = TwoSidedBand((max(n, m), min(n, m)), strengths / scale, k, as_stream(stream))
    tops = [settle(band, columns, trial, tolerance) for trial, columns in enumerate(band.draw(trials))]
    overlaps = [top.overlaps for top in tops]
    left, right, coupling = (np.stack(parts) for parts in zip(*overlaps))
    if m > n:
        left, right = right, left
    return EdgeSample(
        values=scale * np.stack([top.values for top in tops]),
        value_error=scale * np.array([top.value_error for top in tops]),
        left=left,
        right=right,
        coupling=coupling,
        path=scale * np.stack([top.path for top in tops]),
        overlap_error=np.array([top.overlap_error for top in tops]),
        corner=np.array([len(top.columns) for top in tops]),
        shape=(n, m),
        spikes=tuple(float(theta) for theta in strengths),
        g=g,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Top:
    """Leading singular triplets of the submatrix of a band's first columns, of unit noise.

    Vectors are columns, in the coordinates of the band; without spikes there are none.
    """

    columns: HostArray
    spikes: int
    values: HostArray
    left: HostArray
    right: HostArray
    value_error: float = 0.0
    overlap_error: float = 0.0

    @property
    def overlaps(self) -> tuple[HostArray, HostArray, HostArray]:
        """Squared, left and right, and the couplings."""
        u, v = self.left[: self.spikes], self.right[: self.spikes]
        return u**2, v**2, u * v

    @property
    def path(self) -> HostArray:
        """The first entries of the diagonal."""
        r = self.spikes
        diagonal: HostArray = self.columns[:r, r]
        return diagonal


@dataclass(frozen=True, eq=False)
class TwoSidedBand:
    """The two-sided band of unit noise, by columns: ``columns[j, q]`` is the entry of row ``j - r + q``.

    Without spikes it is an upper bidiagonal: ``columns[j]`` holds rows ``j - 1`` and ``j``.
    """

    shape: tuple[int, int]
    spikes: HostArray
    k: int
    stream: Stream

    @property
    def whole(self) -> int:
        """How many columns there are."""
        n, m = self.shape
        return min(m, n + max(len(self.spikes), 1))

    @property
    def corner(self) -> int:
        """How many hold the leading triplets."""
        size = corner_size(self.shape, max(len(self.spikes), 1), self.k)
        return size if size < min(self.shape) else self.whole

    def draw(self, trials: int) -> Iterator[HostArray]:
        """Columns of the first corner and its double, for one trial after the other."""
        size = min(2 * self.corner, self.whole)
        sources = self._sources(self.stream)
        block = max(1, _BLOCK // (size * (2 * len(self.spikes) + 1)))
        for start in range(0, trials, block):
            yield from self._columns(*sources, min(block, trials - start), 0, size)

    def extend(self, columns: HostArray, trial: int) -> HostArray:
        """Twice as many columns of the same matrix."""
        first, last = len(columns), min(2 * len(columns), self.whole)
        sources = self._sources(self.stream.child("more", trial, first))
        return np.concatenate([columns, self._columns(*sources, 1, first, last)[0]])

    def _sources(self, stream: Stream) -> tuple[np.random.Generator, np.random.Generator]:
        return stream.child("normal").generator(), stream.child("chi").generator()

    def _columns(
        self, normals: np.random.Generator, chis: np.random.Generator, count: int, first: int, last: int
    ) -> HostArray:
        (n, m), r = self.shape, len(self.spikes)
        j = np.arange(first, last)
        # A reflection of row or column i leaves the length of what lies beyond the band.
        degrees = np.stack([m - j, n - r - j], axis=1)
        outer = chi(chis, degrees, (count, *degrees.shape))
        columns = np.empty((count, last - first, max(2 * r + 1, 2)))
        columns[..., 0], columns[..., -1] = outer[..., 0], outer[..., 1]
        if r:
            columns[..., 1:-1] = normals.standard_normal((count, last - first, 2 * r - 1))
        rows = j[:, None] - max(r, 1) + np.arange(columns.shape[2])
        columns[:, (rows < 0) | (rows >= n)] = 0.0
        for i in range(first, min(r, last)):
            columns[:, i - first, r] += self.spikes[i]
        return columns

    def top(self, columns: HostArray, near: Top | None = None) -> Top:
        """Leading triplets of the submatrix of these columns; ``near`` holds those of fewer."""
        r, k, p = len(self.spikes), self.k, len(columns)
        if not r:
            squares = top_squares_of_noise(columns, k, None if near is None else near.values**2)
            values, left, right = np.sqrt(squares), *np.empty((2, 0, k))
        elif p <= _DENSE or 8 * k >= p:
            u, s, vt = np.linalg.svd(_dense(columns, r), full_matrices=False)
            values, left, right = s[:k], u[:, :k], vt[:k].T
        else:
            rng = Stream().child("start").generator()  # where Lanczos steps start does not matter
            about: Any = {"near": near.values**2} if near else {}
            about |= top_of_noise(self.shape)
            squares, right = leading_pairs(band_gram(columns), k, spikes=r, rng=rng, **about)
            values = np.sqrt(squares)
            left = apply_band(columns, right) / values
        return Top(columns=columns, spikes=r, values=values, left=left, right=right)


def settle(band: TwoSidedBand, columns: HostArray, trial: int, tolerance: float) -> Top:
    """Double the corner until the values stop moving."""
    before = band.top(columns[: band.corner])
    if len(before.columns) == band.whole:
        return replace(before, value_error=_rounding(before.values))
    while True:
        after = band.top(columns, before)
        move = _distance(after.values, before.values)
        if move <= max(tolerance, _ROUNDING) * after.values[0] or len(columns) == band.whole:
            turned = max(map(_distance, after.overlaps, before.overlaps)) if after.spikes else 0.0
            return replace(after, value_error=move + _rounding(after.values), overlap_error=turned)
        columns, before = band.extend(columns, trial), after


def _distance(a: HostArray, b: HostArray) -> float:
    return float(np.max(np.abs(a - b), initial=0.0))


def _rounding(values: HostArray) -> float:
    """Error of the last value from that of the squares, a few ``eps s_1^2``."""
    first, last = float(values[0]), float(values[-1])
    return _ROUNDING * first * (1.0 + 0.25 * first / last)


def apply_band(columns: HostArray, vectors: HostArray) -> HostArray:
    """Multiply by a band with spikes; as many more rows as there are spikes."""
    p, width = columns.shape
    r = width // 2
    product = np.zeros((p + 2 * r, vectors.shape[1]))
    for q in range(width):
        product[q : q + p] += columns[:, q, None] * vectors
    return product[r:]


def _dense(columns: HostArray, r: int) -> HostArray:
    p, width = columns.shape
    matrix = np.zeros((p + 2 * r, p))
    j = np.arange(p)
    for q in range(width):
        matrix[j + q, j] = columns[:, q]  # shifted down by r: rows above the first are 0
    return matrix[r:]
