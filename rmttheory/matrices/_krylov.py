"""Block Golub-Kahan-Lanczos bidiagonalisation with full reorthogonalisation and thick restarts.

Vectors are stored as rows. Of ``W``, ``n x p`` with ``p <= n``, the process holds orthonormal rows ``U`` and
``V`` with ``W V^T = U^T B`` and ``W^T U^T = V^T B^T + N^T L E``, where ``N`` is the block that comes next
and ``E`` picks the coordinates of the last one. So for a singular triplet ``x, s, y`` of ``B``, the vectors
``u = U^T x`` and ``v = V^T y`` satisfy ``W v = s u`` and ``|W^T u - s v| = |L E x|``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import Array, HostArray, InvalidInput, device, like, namespace, to_host

Product = Callable[[Array], Array]
"""From rows to rows: ``X -> X W^T`` or ``Y -> Y W``."""

_BLOCKS_A_CHECK = 4
"""Only a check moves anything to the host; four blocks waste two on average at the end."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Triplets:
    """All values and residuals of a projection, on the host, and vectors of the first ``k`` as rows."""

    values: HostArray
    residuals: HostArray
    left: Array
    right: Array
    blocks: int
    converged: bool


def leading_triplets(
    forward: Product, backward: Product, start: tuple[Array, Array], *, k: int, tolerance: float, limit: int
) -> Triplets:
    """Find the ``k`` largest singular triplets from a block of ``k`` rows or more.

    Parameters
    ----------
    forward, backward : callable
        Products of rows with ``W^T`` and with ``W``.
    start : pair of arrays, shapes (b, p) and (b, n)
        Normal numbers, ``k <= b <= p <= n``: the first block, and what fills blocks that come out deficient.
    tolerance : float
        Wanted of the error of every value, relative to the largest.
    limit : int
        Number of blocks after which to give up.
    """
    basis = _Basis(start, k)
    blocks = 0
    while True:
        basis.grow(forward, backward)
        blocks += 1
        full = basis.full
        if not (full or blocks % _BLOCKS_A_CHECK == 0 or blocks == limit):
            continue
        x, s, y, residuals = basis.project()
        converged = bool(np.all(value_errors(s, residuals)[:k] <= tolerance * s[0]))
        if converged or blocks == limit:
            left, right = basis.vectors(x[:, :k], y[:, :k])
            return Triplets(
                values=s, residuals=residuals, left=left, right=right, blocks=blocks, converged=converged
            )
        if full:
            basis.restart(x, s, y)


def value_errors(s: HostArray, residuals: HostArray) -> HostArray:
    """Bound ``|s_i - s|`` by residuals and gaps, for values ``s`` of ``B`` in descending order.

    The first ``j`` triplets together have a residual of norm ``E <= |residuals[:j]|``, which is all that
    couples them to the rest of the matrix. If no value was missed, the rest has none above
    ``s[j] + residuals[j]``, a gap ``d`` below ``s_i``; then ``|s_i - s| <= 2 E^2 / (d + sqrt(d^2 + 4 E^2))``,
    which is at most ``E`` for any gap (C.-K. Li and R.-C. Li, Linear Algebra Appl. 395 (2005), Theorem 2).
    The best ``j`` counts.
    """
    unit = float(s[0]) or 1.0
    values, r = s / unit, residuals / unit
    together = np.sqrt(np.cumsum(r**2))
    rest = np.append(values[1:] + r[1:], np.inf)  # nothing is known beyond the last
    gap = np.maximum(values[:, None] - rest[None, :], 0.0)
    reach = gap + np.sqrt(gap**2 + 4.0 * together**2)
    bound = np.divide(2.0 * together**2, reach, out=np.zeros_like(reach), where=reach > 0)
    bound[np.tril_indices(len(s), -1)] = np.inf  # a group that holds the value itself
    return np.asarray(np.min(bound, axis=1) * unit)


class _Basis:
    """The rows ``U`` and ``V``, the projection ``B``, and the block that comes next; all on the device."""

    def __init__(self, start: tuple[Array, Array], k: int) -> None:
        first, other = start
        xp = namespace(first)
        block, self.rank = first.shape
        room = min(self.rank, max(64, 6 * block))
        self.keep = max(k, min(2 * room // 5, room - 2 * block))
        where = {"dtype": first.dtype, "device": device(first)}
        self.U = xp.zeros((room, other.shape[1]), **where)
        self.V = xp.zeros((room, self.rank), **where)
        self.B = xp.zeros((room, room), **where)
        self.fill = other / _row_norms(other), first / _row_norms(first)
        self.size = xp.zeros((), **where)
        self.count, self.blocks = 0, 0
        self.next = xp.linalg.qr(first.T)[0].T
        self.L = xp.zeros((block, block), **where)

    @property
    def full(self) -> bool:
        """Whether there is no room for the next block."""
        return bool(self.count == self.rank or self.count + self.next.shape[0] > self.U.shape[0])

    def grow(self, forward: Product, backward: Product) -> None:
        """Add a block to ``U`` and ``V`` and find the next, by products with ``W`` and its transpose."""
        old, new = self.count, self.count + self.next.shape[0]
        self.V[old:new, :] = self.next
        H, left, R = self._orthonormal(forward(self.next), self.U[:old, :], self.fill[0])
        self.U[old:new, :] = left
        self.B[:old, old:new] = H
        self.B[old:new, old:new] = R
        self.count, self.blocks = new, self.blocks + 1
        _, following, L = self._orthonormal(backward(left), self.V[:new, :], self.fill[1])
        width = min(following.shape[0], self.rank - new)
        self.next, self.L = following[:width, :], L[:width, :]

    def _orthonormal(self, Z: Array, rows: Array, fill: Array) -> tuple[Array, Array, Array]:
        """Split ``Z = H^T rows + R^T Q`` up to rounding, with orthonormal rows ``Q`` orthogonal to ``rows``.

        Where ``Z`` has lost rank, rounding errors would decide on ``Q`` and could lie among ``rows``. A
        random perturbation of their size decides instead; cyclic shifts make it another one each time.
        """
        xp = namespace(Z)
        self.size = xp.max(xp.stack([self.size, xp.max(xp.abs(Z))]))
        noise = xp.finfo(Z.dtype).eps * xp.where(self.size > 0, self.size, xp.ones_like(self.size))
        H = rows @ Z.T
        Q, _ = xp.linalg.qr(Z.T - rows.T @ H + noise * xp.roll(fill[: Z.shape[0], :], self.blocks, axis=1).T)
        for _ in range(
            2
        ):  # "twice is enough" begins here: the first pass may leave nothing but rounding errors
            Q, _ = xp.linalg.qr(Q - rows.T @ (rows @ Q))
        return H, Q.T, Q.T @ Z.T

    def project(self) -> tuple[HostArray, HostArray, HostArray, HostArray]:
        """Singular triplets of ``B`` and norms of their residuals: here alone the host waits."""
        xp, count = namespace(self.B), self.count
        rows = xp.concat([self.B[:count, :count], xp.zeros_like(self.B[: self.L.shape[0], :count])], axis=0)
        width = self.L.shape[1]
        rows[count:, count - width : count] = self.L
        facts = to_host(rows).astype(np.float64)
        if not np.all(np.isfinite(facts)):
            msg = "Products with `W` are not finite; its entries must be, and small enough to be added up."
            raise InvalidInput(msg)
        x, s, yt = np.linalg.svd(facts[:count])
        unit = float(s[0]) or 1.0
        residuals = np.linalg.norm(facts[count:] / unit @ x, axis=0) * unit
        return x, s, yt.T, residuals

    def vectors(self, x: HostArray, y: HostArray) -> tuple[Array, Array]:
        """Rows ``u`` and ``v`` from coordinates in columns."""
        U, V = self.U[: self.count, :], self.V[: self.count, :]
        return like(np.ascontiguousarray(x.T), U) @ U, like(np.ascontiguousarray(y.T), V) @ V

    def restart(self, x: HostArray, s: HostArray, y: HostArray) -> None:
        """Keep the leading triplets only; how they couple to the next block comes out of its product."""
        keep = self.keep
        left, right = self.vectors(x[:, :keep], y[:, :keep])
        self.U[:keep, :], self.V[:keep, :] = left, right
        self.B[:keep, :keep] = like(np.diag(s[:keep]), self.B)
        self.count = keep


def _row_norms(X: Array) -> Array:
    return namespace(X).linalg.vector_norm(X, axis=1, keepdims=True)
