"""What is left of one matrix without its leading directions, against what noise would leave: no draws needed.

If ``R`` is Gaussian and the ``k`` directions on either side are given, ``(I - U U^T) R (I - V V^T)`` has
entries ``N(0, (1 - h_i)(1 - l_j) g / n)``, with ``h`` and ``l`` the squared norms of the rows of ``U`` and
``V``, and their correlations are known from ``U`` and ``V``. So each statistic here has its null without
simulation, and thousands of layers can be looked at.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rmttheory.arrays import HostArray
from rmttheory.matrices.triplets import Triplets

_MOST_LEVERAGE = 0.5
"""Rows and columns of which the removed directions take more are left out: little noise is left there."""
_BLOCK = 2**20
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, kw_only=True, eq=False)
class Remainder:
    """``W`` without its leading triplets, entries scaled to equal variances: its sums of squares.

    Attributes
    ----------
    rows, columns : array, shape (2, n) and (2, m)
        Sums of squares of each row over the even and the odd columns, and of each column over the rows.
    expected_rows, expected_columns : float
        Correlation of the two sums of a row, or column, that taking out the directions brings about.
    kurtosis : float
        Of the entries, around 0.
    size : int
        Number of entries in these sums.
    """

    rows: HostArray
    columns: HostArray
    expected_rows: float
    expected_columns: float
    kurtosis: float
    size: int

    @classmethod
    def of(cls, matrix: HostArray, values: HostArray, leading: Triplets, *, scale: float) -> Remainder:
        """Take the leading triplets out of a matrix, a block of rows at a time, in single precision.

        ``scale`` brings entries to the order of 1.
        """
        rows, columns = (_weights(side) for side in leading)
        left = (leading.left * (values * scale)).astype(np.float32)
        right = leading.right.astype(np.float32).T
        n, m = matrix.shape
        sums, halves = np.zeros((2, n)), np.zeros((2, m))
        of_columns = np.eye(2, dtype=np.float32)[np.arange(m) % 2] * columns[:, None]
        fourth = 0.0
        step = max(2, _BLOCK // m // 2 * 2)  # even, so that the halves of blocks are those of the matrix
        for start in range(0, n, step):
            part = slice(start, start + step)
            squares = left[part] @ right
            squares -= np.multiply(matrix[part], scale, dtype=np.float32, casting="same_kind")
            squares *= squares
            sums[:, part] = (squares @ of_columns).T * rows[part]
            of_rows = np.eye(2, dtype=np.float32)[np.arange(len(squares)) % 2] * rows[part, None]
            halves += (of_rows.T @ squares) * columns
            squares *= squares
            fourth += float((rows[part] ** 2) @ (squares @ columns**2))
        size = int(np.count_nonzero(rows)) * int(np.count_nonzero(columns))
        return cls(
            rows=sums[:, rows > 0],
            columns=halves[:, columns > 0],
            expected_rows=_expected(leading.right, columns),
            expected_columns=_expected(leading.left, rows),
            kurtosis=fourth * size / max(float(sums.sum()), _TINY) ** 2,
            size=size,
        )

    @cached_property
    def row_p_value(self) -> float:
        """One-sided p-value of "rows are alike": then the two halves of a row know nothing of each other.

        Entries may have any law, as long as they are independent and alike.
        """
        return _rank_correlation(self.rows, self.expected_rows)

    @cached_property
    def column_p_value(self) -> float:
        """The same of columns."""
        return _rank_correlation(self.columns, self.expected_columns)

    @cached_property
    def kurtosis_p_value(self) -> float:
        """Two-sided p-value of normal entries, from their kurtosis."""
        n = float(self.size)
        deviation = math.sqrt(24 * n * (n - 2) * (n - 3) / ((n + 1) ** 2 * (n + 3) * (n + 5)))
        x = (self.kurtosis - 3 * (n - 1) / (n + 1)) / deviation
        return _two_sided(x, _kurtosis_skewness(n))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How evenly singular vectors of the bulk are spread over coordinates.

    Attributes
    ----------
    left, right : float
        Average of ``N |u|_4^4`` over what a uniform vector beside the leading ones has: 1 if spread like
        noise, up to about ``N / 3`` if each sits on one coordinate.
    p_value : float
        Two-sided, of uniform vectors, on the worse of the two sides.
    count : int
        Number of vectors on either side.
    """

    left: float
    right: float
    p_value: float
    count: int


def spread(leading: Triplets, bulk: Triplets) -> Spread:
    """Compare singular vectors of the bulk with uniform unit vectors orthogonal to the leading ones."""
    sides = [_participation(vectors, kept) for kept, vectors in zip(leading, bulk)]
    return Spread(
        left=sides[0][0],
        right=sides[1][0],
        p_value=min(1.0, 2 * min(p for _, p in sides)),
        count=bulk.left.shape[1],
    )


def _participation(vectors: HostArray, kept: HostArray) -> tuple[float, float]:
    """Average participation over its expectation, and the two-sided p-value of it.

    That of one uniform vector is the kurtosis of a normal sample, up to terms of the order of one over its
    size.
    """
    size, count = vectors.shape
    inside = size - kept.shape[1]
    free = 1.0 - np.sum(kept * kept, axis=1)
    expected = 3.0 * float(np.sum(free * free)) / (inside * (inside + 2))
    squares = vectors * vectors
    found = float(np.vdot(squares, squares)) / count
    second = (105 + 9 * (inside - 1)) * inside / (inside * (inside + 2) * (inside + 4) * (inside + 6))
    variance = second - (3 / (inside + 2)) ** 2
    x = (found / expected - 1) * 3 / (inside + 2) / math.sqrt(variance / count)
    return found / expected, _two_sided(x, _kurtosis_skewness(inside) / math.sqrt(count))


def _kurtosis_skewness(n: float) -> float:
    """Of the kurtosis of ``n`` normal numbers."""
    root = math.sqrt(6 * (n + 3) * (n + 5) / (n * (n - 2) * (n - 3)))
    return 6 * (n * n - 5 * n + 2) / ((n + 7) * (n + 9)) * root


def _two_sided(x: float, skewness: float) -> float:
    """Two-sided p-value of a standardised statistic with a little skewness.

    Source: F. J. Anscombe and W. J. Glynn, Biometrika 70 (1983).
    """
    a = 6 + 8 / skewness * (2 / skewness + math.sqrt(1 + 4 / skewness**2))
    ratio = (1 - 2 / a) / max(1 + x * math.sqrt(2 / (a - 4)), _TINY)
    z = (1 - 2 / (9 * a) - ratio ** (1 / 3)) / math.sqrt(2 / (9 * a))
    return math.erfc(abs(z) / math.sqrt(2))


def _weights(vectors: HostArray) -> HostArray:
    """One over the variance that removed directions leave a coordinate, 0 where that is little."""
    left = 1.0 - np.sum(vectors * vectors, axis=1)
    return np.where(left > 1 - _MOST_LEVERAGE, 1.0 / np.maximum(left, 1 - _MOST_LEVERAGE), 0.0).astype(
        np.float32
    )


def _expected(vectors: HostArray, weights: HostArray) -> float:
    """Correlation of sums of squares over even and odd coordinates of a normal vector without ``vectors``."""
    scaled = vectors * np.sqrt(weights)[:, None]
    even, odd = (half.T @ half for half in (scaled[::2], scaled[1::2]))
    variances = []
    for half, own, kept in ((scaled[::2], even, weights[::2]), (scaled[1::2], odd, weights[1::2])):
        diagonal = np.sum(half * half, axis=1)
        variances.append(np.count_nonzero(kept) + float(np.sum(own * own)) - float(np.sum(diagonal**2)))
    return float(np.sum(even * odd)) / math.sqrt(variances[0] * variances[1]) if min(variances) > 0 else 0.0


def _rank_correlation(halves: HostArray, expected: float) -> float:
    """One-sided p-value of Spearman's correlation, by Student's law, beyond a small expected one."""
    from scipy.special import stdtr

    count = halves.shape[1]
    if count < 4:
        return 1.0
    ranks = np.argsort(np.argsort(halves, axis=1), axis=1) - (count - 1) / 2
    found = 12 * float(np.dot(ranks[0], ranks[1])) / (count * (count**2 - 1))
    beyond = min(max(found - 6 / math.pi * math.asin(expected / 2), -1 + 1e-12), 1 - 1e-12)
    return float(stdtr(count - 2, -beyond * math.sqrt((count - 2) / (1 - beyond**2))))
