"""All singular values of a matrix on the host, and the singular vectors of a few chosen ones.

Vectors of every value cost several times what the values cost, and a layer is judged by its leading triplets
and a sample of its bulk. So the Gram matrix of the smaller side is made tridiagonal once; values come from
the tridiagonal, and vectors by inverse iteration where they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from rmttheory.arrays import HOST, Array, HostArray, InvalidInput, Placement, RmtError, namespace, to_host
from rmttheory.arrays.devices import linear_algebra

_BLOCK = 2**22
"""Entries that are converted to double precision at a time."""


class Triplets(NamedTuple):
    """Singular vectors of some values: orthonormal columns, ``(n, q)`` and ``(m, q)``."""

    left: HostArray
    right: HostArray


@dataclass(frozen=True, eq=False)
class Decomposition:
    """A matrix on the host, in single or double precision, and what is known of its triplets.

    Parameters
    ----------
    matrix : ndarray, shape (n, m)
        Finite. It is not copied: of a mapped file, no more is in memory at a time than a block of rows.

    Raises
    ------
    InvalidInput
        By `values` and `triplets`: if two or more singular values are zero to rounding.
    """

    matrix: HostArray

    @cached_property
    def values(self) -> HostArray:
        """Singular values in double precision, descending."""
        if self._exact is not None:
            return self._exact[1]
        return np.sqrt(self._squares[::-1])

    def triplets(self, chosen: HostArray) -> Triplets:
        """Return the singular vectors of the values with these indices, ascending and each once.

        Those of the longer side in the precision of the matrix times ``s_1 / s``.

        Raises
        ------
        RmtError
            If inverse iteration fails, which is not known to happen.
        """
        if self._exact is not None:
            left, _, right = self._exact
            return Triplets(left[:, chosen], right[chosen].T)
        if len(chosen) == 0:
            n, m = self.matrix.shape
            return Triplets(np.empty((n, 0)), np.empty((m, 0)))
        short = self._short_vectors(chosen)
        kind = self.matrix.dtype
        products = [block @ short.astype(kind) for block in self._blocks(kind)]
        long = np.concatenate(products).astype(np.float64) / self.values[chosen]
        n, m = self.matrix.shape
        return Triplets(long, short) if n >= m else Triplets(short, long)

    def _short_vectors(self, chosen: HostArray) -> HostArray:
        from scipy.linalg import lapack

        reflectors, main, off, tau = self._tridiagonal
        p = len(main)
        places = (p - 1 - chosen)[::-1]
        whole = np.zeros(p, dtype=np.int32)
        whole[0] = p
        found, info = lapack.dstein(main, off, self._squares[places], np.ones(p, dtype=np.int32), whole)
        if info:
            msg = f"Inverse iteration (dstein) failed for {info} singular vectors."
            raise RmtError(msg)
        vectors = np.asfortranarray(found[:, ::-1])
        inner = np.asfortranarray(reflectors[1:, :-1])
        vectors[1:], _, _ = lapack.dormqr("L", "N", inner, tau, vectors[1:], 64 * len(chosen))
        return vectors

    @cached_property
    def _tridiagonal(self) -> tuple[HostArray, HostArray, HostArray, HostArray]:
        """Reflectors, diagonal, off-diagonal and their factors: the Gram matrix in Householder's form."""
        from scipy.linalg import blas, lapack

        p = min(self.matrix.shape)
        gram = np.zeros((p, p), order="F")
        for block in self._blocks(np.float64):
            gram = blas.dsyrk(1.0, block.T, beta=1.0, c=gram, lower=1, overwrite_c=1)
        work, _ = lapack.dsytrd_lwork(p, lower=1)
        found: tuple[HostArray, ...] = lapack.dsytrd(gram, lower=1, lwork=int(work), overwrite_a=1)
        return found[0], found[1], found[2], found[3]

    @cached_property
    def _squares(self) -> HostArray:
        from scipy.linalg import lapack

        _, main, off, _ = self._tridiagonal
        squares, info = lapack.dsterf(main, off)
        if info:
            msg = f"{info} eigenvalues of a tridiagonal did not converge (dsterf)."
            raise RmtError(msg)
        return np.asarray(np.maximum(squares, 0.0))

    @cached_property
    def _exact(self) -> tuple[HostArray, HostArray, HostArray] | None:
        """The full decomposition, where squaring leaves fewer than three digits of the smallest value."""
        squares = self._squares
        p, eps = len(squares), float(np.finfo(np.float64).eps)
        rounding = math.sqrt(p) * eps * squares[-1]
        if squares[0] > 500 * rounding:
            return None
        zeros = int(np.count_nonzero(squares <= 4 * rounding))
        if zeros > 1:
            msg = f"{zeros:,} of the {p:,} singular values are zero to rounding."
            raise InvalidInput(msg)
        left, values, right = np.linalg.svd(self.matrix.astype(np.float64), full_matrices=False)
        return left, values, right

    def _blocks(self, kind: Any) -> Iterator[HostArray]:
        """Yield the matrix in some precision, its longer side first, some rows at a time."""
        n, m = self.matrix.shape
        tall = self.matrix if n >= m else self.matrix.T
        step = max(1, _BLOCK // min(n, m))
        for start in range(0, len(tall), step):
            yield np.ascontiguousarray(tall[start : start + step], dtype=kind)


@dataclass(frozen=True, eq=False)
class PlacedDecomposition(Decomposition):
    """The same, with the Gram matrix made and decomposed elsewhere, all vectors with it.

    Parameters
    ----------
    placement : Placement
        In double precision. It has to hold the matrix and two squares of its shorter side.
    """

    placement: Placement

    def _short_vectors(self, chosen: HostArray) -> HostArray:
        _, vectors = self._eigenpairs
        return to_host(namespace(vectors).stack([vectors[:, -1 - i] for i in chosen.tolist()], axis=1))

    @cached_property
    def _squares(self) -> HostArray:
        return np.maximum(to_host(self._eigenpairs[0]), 0.0)

    @cached_property
    def _eigenpairs(self) -> tuple[Array, Array]:
        n, m = self.matrix.shape
        W = self.placement.asarray(self.matrix if n >= m else self.matrix.T)
        with linear_algebra(W):
            squares, vectors = namespace(W).linalg.eigh(W.T @ W)
        return squares, vectors


def decomposed(matrix: HostArray, placement: Placement) -> Decomposition:
    """Return the decomposition of a matrix, made on the host or elsewhere."""
    if placement.library == HOST.library:
        return Decomposition(matrix)
    return PlacedDecomposition(matrix, placement)
