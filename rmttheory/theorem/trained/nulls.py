"""What pure noise looks like after the extraction that a trained layer went through.

What edge truncation removes from ``W`` is not independent noise even where ``R`` is: the ``k`` directions
kept on either side are gone from it. Every null here passes through the same extraction, and every p-value is
the rank of the layer among its null draws, so its level is exact whatever the law of the statistic.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices import (
    fit_edge,
    largest_singular_value_quantile,
    null_singular_values,
    tracy_widom_scaling,
)

EDGE_LEVEL = 0.1
"""False-positive level of the edge at which layers, and null draws, are truncated."""
NOTHING = 1e-9
"""Share of an input's norm that is rounding, not signal."""


class RankTest(NamedTuple):
    """A layer among its null draws: two-sided p-value, and standardised distances from their mean."""

    p_value: float
    z: HostArray


@dataclass(frozen=True, kw_only=True, eq=False)
class Extraction:
    """Removal of ``k`` kept directions on either side: orthonormal columns, ``(n, k)`` and ``(m, k)``."""

    left: HostArray
    right: HostArray

    def __call__(self, X: HostArray) -> HostArray:
        """Return ``(I - U U^T) X (I - V V^T)``."""
        X = X - self.left @ (self.left.T @ X)
        return np.asarray(X - (X @ self.right) @ self.right.T)

    def unseen(self, inputs: HostArray) -> tuple[HostArray, HostArray]:
        """Return what the kept directions leave of each input, as unit vectors, and its share of the norm.

        Inputs of which nothing is left are left out.
        """
        norms = np.sqrt(np.sum(inputs * inputs, axis=1))
        rest = inputs - (inputs @ self.right) @ self.right.T
        shares = np.sqrt(np.sum(rest * rest, axis=1)) / np.maximum(norms, np.finfo(float).tiny)
        some = shares > NOTHING
        return rest[some] / (shares * norms)[some][:, None], shares[some]

    def single(self) -> Extraction:
        """Return the same in single precision."""
        return Extraction(left=self.left.astype(np.float32), right=self.right.astype(np.float32))

    @property
    def degrees(self) -> int:
        """Dimension of the matrices that are left, ``(n - k)(m - k)``."""
        (n, k), m = self.left.shape, self.right.shape[0]
        return int((n - k) * (m - k))


def draws_for(level: float) -> int:
    """Number of null draws with which a two-sided rank test nearly exhausts ``level``, and at least 204.

    A little above ``2 / level``: with exactly that many, rank 2 would give the level itself and pass.
    """
    return max(204, math.ceil(2.05 / level) - 1)


def rank_test(observed: HostArray, null: HostArray) -> RankTest:
    """Rank the most deviating of several statistics of a layer among its null draws.

    Layer and draws are exchangeable under the null and standardised together, so ``P(p <= a) <= a`` exactly.

    Parameters
    ----------
    observed : array, shape (statistics,)
    null : array, shape (draws, statistics)
    """
    pooled = np.vstack([observed, null])
    spread = pooled.std(axis=0)
    z = (pooled - pooled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    worst = np.abs(z).max(axis=1)
    return RankTest(float(np.mean(worst >= worst[0])), z[0])


ENTRY_STATISTICS = ("row variances", "column variances", "row correlations", "kurtosis", "mean |x|")
ORDER_STATISTICS = 3
"""The first so many depend on the order of the entries."""


def entry_statistics(X: HostArray) -> HostArray:
    """Scale-free statistics of the entries of a matrix, as `ENTRY_STATISTICS` names them."""
    squares = X * X
    rows, columns = squares.sum(axis=1), squares.sum(axis=0)
    second = float(rows.sum()) / X.size
    directions = X / np.sqrt(np.maximum(rows, np.finfo(X.dtype).tiny))[:, None]
    correlations = directions @ directions.T
    np.fill_diagonal(correlations, 0.0)
    return np.array(
        [
            rows.std() / rows.mean(),
            columns.std() / columns.mean(),
            np.abs(correlations).max(),
            float(np.vdot(squares, squares)) / X.size / second**2,
            float(np.abs(X).sum()) / X.size / math.sqrt(second),
        ]
    )


def entry_test(
    removed: HostArray, extraction: Extraction, *, permute: bool, draws: int, stream: Stream
) -> RankTest:
    """Compare the entries of the removed part with extracted noise.

    Parameters
    ----------
    removed : array, shape (n, m)
    permute : bool
        Noise is the layer's own entries in random order rather than normal, and only statistics that depend
        on the order are compared: entries of any law are then within the null, up to what the extraction
        does to entries that it was done to before.
    """
    # single precision: 1e-7 of a statistic, against a sampling spread of at least 1 / sqrt(n m)
    entries = (removed / math.sqrt(float(np.mean(removed * removed)))).astype(np.float32)
    extract, rng = extraction.single(), stream.generator()

    def noise() -> HostArray:
        if permute:
            return rng.permutation(entries.ravel()).reshape(entries.shape)
        return np.asarray(rng.standard_normal(entries.shape, dtype=np.float32))

    compared = slice(ORDER_STATISTICS if permute else None)
    null = np.stack([entry_statistics(extract(noise()))[compared] for _ in range(draws)])
    return rank_test(entry_statistics(entries)[compared], null)


def frame_test(
    left: HostArray, right: HostArray, extraction: Extraction, *, draws: int, stream: Stream
) -> RankTest:
    """Compare ``N |u|_4^4``, averaged over singular vectors of the bulk, with that of uniform random frames.

    Parameters
    ----------
    left, right : array, shape (n, q) and (m, q)
        Orthonormal columns.
    """
    rng = stream.generator()

    def uniform(kept: HostArray, count: int) -> HostArray:
        frame = rng.standard_normal((kept.shape[0], count), dtype=np.float32)
        return np.asarray(np.linalg.qr(frame - kept @ (kept.T @ frame))[0])

    kept = extraction.single()
    sides = ((left, kept.left), (right, kept.right))
    null = [[participation(uniform(kept, frame.shape[1])) for frame, kept in sides] for _ in range(draws)]
    return rank_test(np.array([participation(left), participation(right)]), np.array(null))


def participation(vectors: HostArray) -> float:
    """Average of ``N |u|_4^4`` over unit columns ``u``: near 3 if uniform, up to ``N`` if localised."""
    squares = vectors * vectors
    return float(vectors.shape[0] * np.vdot(squares, squares) / vectors.shape[1])


def response_test(
    removed: HostArray, inputs: HostArray, extraction: Extraction, *, draws: int, stream: Stream
) -> tuple[RankTest, float, float]:
    """Compare ``R v`` on real inputs with random ``R`` of the same Frobenius norm and extraction.

    ``G v`` over all inputs at once is normal with the Gram matrix of the inputs as covariance, so no ``G`` is
    ever drawn.

    Parameters
    ----------
    removed : array, shape (n, m)
    inputs : array, shape (samples, m)

    Returns
    -------
    test : RankTest
        Of the mean of ``|R v|_inf / |v|`` and of the mean of ``|R v|^2 / |v|^2``.
    ratio : float
        Of the former to its null mean.
    plain : float
        About the same against random ``R`` that nothing was extracted from: below ``ratio`` where the inputs
        are aligned with the kept directions.
    """
    n = removed.shape[0]
    directions, shares = extraction.unseen(inputs)
    values, vectors = np.linalg.eigh(directions @ directions.T)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    scale = math.sqrt(float(np.sum(removed * removed)) / extraction.degrees)
    rng = stream.generator()

    def statistics(responses: HostArray) -> list[float]:
        return [float(np.mean(np.abs(responses).max(axis=0))), float(np.mean(np.sum(responses**2, axis=0)))]

    def draw() -> list[float]:
        responses = scale * rng.standard_normal((n, len(directions))) @ root.T
        return statistics(responses - extraction.left @ (extraction.left.T @ responses))

    null = np.array([draw() for _ in range(draws)])
    observed = np.array(statistics(removed @ directions.T))
    ratio = float(observed[0] / null[:, 0].mean())
    m, k = extraction.right.shape
    return rank_test(observed, null), ratio, ratio * float(shares.mean()) * math.sqrt(m / (m - k))


def edge_score(s: float, shape: tuple[int, int], g: float) -> float:
    """Tracy-Widom score of a singular value as the largest of noise of this shape and level."""
    centre, scale = tracy_widom_scaling(*shape)
    return (s * s * shape[0] / g - centre) / scale


def edge_limits(shape: tuple[int, int], kept: int, *, level: float, draws: int) -> tuple[float, float]:
    """Range of the score of the first value below the edge, beside ``kept`` spikes of any strength.

    By interlacing, that value lies between the largest ones of noise of ``n - kept`` by ``m - kept`` and of
    noise of full shape; each end of the range is a quantile of one of them, at ``level / 2``.
    """
    tail = math.floor(level / 2 * (draws + 1))
    return _edge_null(shape, kept, draws)[tail - 1], _edge_null(shape, 0, draws)[-tail]


@functools.lru_cache(maxsize=64)
def _edge_null(shape: tuple[int, int], kept: int, draws: int) -> tuple[float, ...]:
    """Sorted scores of the first value below its own edge, for noise of ``n - kept`` by ``m - kept``."""
    n, m = shape
    rest = (n - kept, m - kept)
    scores = []
    for s in null_singular_values(rest, trials=draws, stream=Stream().child("edge null", *rest)):
        s = s * math.sqrt(rest[0] / n)
        g = fit_edge(s, rest, level=EDGE_LEVEL).g * n / rest[0]
        above = int(np.sum(s > largest_singular_value_quantile(1 - EDGE_LEVEL, shape, g)))
        scores.append(edge_score(float(s[min(above, len(s) - 1)]), shape, g))
    return tuple(sorted(scores))
