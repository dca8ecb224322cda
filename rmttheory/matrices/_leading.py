"""The top of the spectrum of a band Gram matrix that a few leading coordinates have disturbed.

Without its first ``r`` rows and columns the matrix ``A`` is that of noise alone, ``A22``, whose eigenvalues
stay below a shift just above the edge. There the number of eigenvalues of ``A`` above any ``x`` is that of
negative ones of the ``r x r`` Schur complement ``M(x) = x - A11 - A12 (x - A22)^-1 A21``, so that no outlier
can be missed, and each is the root of an increasing function. The rest, at the edge, is found by Lanczos
steps on ``(x - A)^-1``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, RmtError

_EPS = float(np.finfo(np.float64).eps)


def band_gram(columns: HostArray) -> HostArray:
    """Gram matrix of a band, in LAPACK's lower band storage ``(..., width, p)``.

    ``columns[..., j, :]`` holds the entries of column ``j`` from row ``j + low`` on, for any ``low``.
    """
    p, width = columns.shape[-2:]
    gram = np.zeros((*columns.shape[:-2], width, p))
    for d in range(min(width, p)):
        products = columns[..., : p - d, d:] * columns[..., d:, : width - d]
        gram[..., d, : p - d] = np.sum(products, axis=-1)
    return gram


def leading_pairs(
    gram: HostArray,
    k: int,
    *,
    spikes: int,
    edge: float,
    spacing: float,
    rng: np.random.Generator,
    near: HostArray | None = None,
) -> tuple[HostArray, HostArray]:
    """The ``k`` largest eigenvalues, descending, and their unit eigenvectors as columns.

    ``spikes >= 1`` leading coordinates are special; ``edge`` and ``spacing`` say about where the spectrum of
    the rest ends and how far apart its last values are, and ``near`` where to look for the eigenvalues first.
    """
    bordered = _Bordered(gram, spikes)
    shift = bordered.shift_above(edge, spacing)
    count = int(np.sum(np.linalg.eigvalsh(shift.schur) < 0.0))
    starts = np.full(k, bordered.ceiling) if near is None else near
    found = [bordered.outlier(i, shift.x, start) for i, start in enumerate(starts[:count])]
    if count < k:
        found += _lanczos(shift, k - count, rng)
    values, vectors = zip(*sorted(found, key=lambda pair: -pair[0]))
    return np.array(values), np.stack(vectors, axis=1)


@dataclass(frozen=True, eq=False)
class _Shift:
    """``x - A`` ready to be solved with."""

    x: float
    factor: HostArray
    X: HostArray
    """``(x - A22)^-1 A21``."""
    schur: HostArray

    def solve(self, b: HostArray) -> HostArray:
        from scipy.linalg.lapack import dpbtrs

        r = len(self.schur)
        inner, _ = dpbtrs(self.factor, b[r:, None], lower=1)
        top = np.linalg.solve(self.schur, b[:r] + self.X.T @ b[r:])
        return np.concatenate([top, inner[:, 0] + self.X @ top])


class _Bordered:
    def __init__(self, gram: HostArray, r: int) -> None:
        _width, p = gram.shape
        self.r, self.gram, self.inner = r, gram, np.asfortranarray(-gram[:, r:])
        self.border = np.zeros((p - r, r))
        self.corner = np.zeros((r, r))
        for j in range(r):
            column = gram[: p - j, j]  # rows j ... of column j
            head = min(r - j, len(column))
            self.corner[j : j + head, j] = self.corner[j, j : j + head] = column[:head]
            rest = column[head:]
            self.border[: len(rest), j] = rest
        self.ceiling = float(np.max(np.sum(np.abs(gram), axis=0) + _reflected_sums(gram)))

    def at(self, x: float) -> _Shift | None:
        """``None`` where ``x - A22`` is not positive definite."""
        from scipy.linalg.lapack import dpbtrf, dpbtrs

        shifted = self.inner.copy(order="F")
        shifted[0] += x
        factor, status = dpbtrf(shifted, lower=1, overwrite_ab=1)
        if status:
            return None
        X, _ = dpbtrs(factor, self.border, lower=1)
        return _Shift(x, factor, X, x * np.eye(self.r) - self.corner - self.border.T @ X)

    def shift_above(self, edge: float, spacing: float) -> _Shift:
        """A shift above all of ``A22`` and not too near an eigenvalue of ``A``."""
        x, step = edge + 4.0 * spacing, spacing
        while x < 2.0 * self.ceiling:
            shift = self.at(x)
            if shift is not None and np.min(np.abs(np.linalg.eigvalsh(shift.schur))) > 1e-4 * spacing:
                return shift
            x, step = x + step, 1.4 * step
        msg = "No shift separates the noise of the band matrix from what is above it."
        raise RmtError(msg)

    def outlier(self, i: int, low: float, start: float) -> tuple[float, HostArray]:
        """Return the ``i``-th largest eigenvalue, which lies above ``low``.

        It is the root of the ``i``-th smallest eigenvalue of ``M``: Newton steps between bounds.
        """
        high = self.ceiling
        x = start if start > low else high
        for _ in range(100):
            shift = self.at(x)
            assert shift is not None  # x > low
            levels, vectors = np.linalg.eigh(shift.schur)
            top = vectors[:, i]
            below = shift.X @ top
            slope = 1.0 + float(below @ below)
            low, high = (x, high) if levels[i] < 0.0 else (low, x)
            step = float(levels[i]) / slope
            vector = np.concatenate([top, below]) / np.sqrt(slope)
            if abs(step) <= 2.0 * _EPS * x:
                return x - step, vector
            x = x - step if low < x - step < high else 0.5 * (low + high)
            if not low < x < high:
                return x, vector
        msg = f"The search for outlier {i} did not end."
        raise RmtError(msg)


def _reflected_sums(gram: HostArray) -> HostArray:
    """Absolute row sums of the part left of the diagonal."""
    sums = np.zeros(gram.shape[1])
    for d in range(1, min(gram.shape)):
        sums[d:] += np.abs(gram[d, : len(sums) - d])
    return sums


def _lanczos(shift: _Shift, k: int, rng: np.random.Generator) -> list[tuple[float, HostArray]]:
    """The ``k`` eigenpairs of ``A`` below the shift and nearest to it, by reorthogonalised Lanczos steps."""
    size = len(shift.X) + len(shift.schur)
    most = min(size, 60 + 12 * k)
    basis = np.empty((most, size))
    alpha, beta = np.zeros(most), np.zeros(most)
    vector = rng.standard_normal(size)
    basis[0] = vector / np.linalg.norm(vector)
    for step in range(most):
        vector = shift.solve(basis[step])
        alpha[step] = vector @ basis[step]
        for _ in range(2):  # twice is enough
            vector -= basis[: step + 1].T @ (basis[: step + 1] @ vector)
        beta[step] = np.linalg.norm(vector)
        last = step == most - 1 or beta[step] <= _EPS * np.max(np.abs(alpha))
        if last or (step > 4 * k + 8 and step % 4 == 0):
            pairs = _ritz(alpha[: step + 1], beta[: step + 1], k)
            if pairs is not None or last:
                break
        basis[step + 1] = vector / beta[step]
    if pairs is None:
        msg = f"Lanczos steps at the edge did not settle in {most}."
        raise RmtError(msg)
    levels, weights = pairs
    vectors = basis[: len(weights)].T @ weights
    vectors /= np.linalg.norm(vectors, axis=0)
    return [(shift.x - 1.0 / level, vectors[:, i]) for i, level in enumerate(levels)]


def _ritz(alpha: HostArray, beta: HostArray, k: int) -> Any:
    """The ``k`` largest Ritz values with their vectors, or ``None`` if one has not settled."""
    from scipy.linalg import eigh_tridiagonal

    levels, weights = eigh_tridiagonal(alpha, beta[:-1])
    levels, weights = levels[::-1][:k], weights[:, ::-1][:, :k]
    settled = len(levels) == k and levels[-1] > 0.0
    return (levels, weights) if settled and np.all(beta[-1] * np.abs(weights[-1]) <= 1e-13 * levels) else None
