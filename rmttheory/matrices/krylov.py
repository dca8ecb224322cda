"""The largest singular values of a matrix that is only multiplied: dense, sparse, factored, on any device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    Placement,
    RmtError,
    Stream,
    check_count,
    check_interval,
    check_matrix,
    check_shape,
    like,
    namespace,
    scalar,
    to_host,
)
from rmttheory.matrices._krylov import Product, Triplets, leading_triplets, value_errors

MOST_BLOCKS = 5000
"""A flat edge takes some ``5 p^(1/3)`` blocks: enough for any matrix that can be multiplied so often."""

_BY_COLUMNS = 4
"""Up to so many columns, NumPy multiplies faster one by one: its matrix product first copies the matrix."""


@dataclass(frozen=True, eq=False)
class Factored:
    """The product ``left @ right`` of two arrays, never formed.

    Parameters
    ----------
    left : array, shape (n, r)
    right : array, shape (r, m)

    Raises
    ------
    InvalidInput
        If the shapes do not fit, or the arrays come from different libraries.
    """

    left: Array
    right: Array

    def __post_init__(self) -> None:
        namespace(self.left, self.right)
        if self.left.ndim != 2 or self.right.ndim != 2 or self.left.shape[1] != self.right.shape[0]:
            shapes = f"{tuple(self.left.shape)} and {tuple(self.right.shape)}"
            msg = f"`left` and `right` must be matrices that can be multiplied, not of shapes {shapes}."
            raise InvalidInput(msg)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the product."""
        return self.left.shape[0], self.right.shape[1]

    @property
    def T(self) -> Factored:  # noqa: N802
        """The transpose."""
        return Factored(self.right.T, self.left.T)

    def __matmul__(self, other: Array) -> Array:
        return self.left @ (self.right @ other)


@dataclass(frozen=True, kw_only=True, eq=False)
class TopValues:
    """The largest singular values and what is known of their errors.

    Attributes
    ----------
    values : array, shape (k,)
        Descending; library, device and dtype of the matrix.
    errors : ndarray, shape (k,)
        Bounds on the absolute error of each value, on the host: they hold if no value was missed.
    residuals : ndarray, shape (k,)
        Within ``residuals[i]`` of ``values[i]`` there is a singular value for certain, up to rounding.
    left, right : array, shapes (n, k) and (m, k)
        Singular vectors in columns.
    blocks : int
        Products with the matrix, and as many with its transpose; each of ``max(k, 2)`` columns.
    """

    values: Array
    errors: HostArray
    residuals: HostArray
    left: Array
    right: Array
    blocks: int


def top_singular_values(
    W: Any, k: int, *, tolerance: float | None = None, stream: Stream | None = None
) -> TopValues:
    """Find the ``k`` largest singular values of ``W`` and their vectors, from products with ``W`` alone.

    Block Golub-Kahan-Lanczos bidiagonalisation from a random block of ``b = max(k, 2)`` columns, with full
    reorthogonalisation and thick restarts. Unlike a randomised decomposition with a fixed number of products
    it goes on until the values have converged, also at the edge of a Marchenko-Pastur bulk, where they are
    crowded: that takes some ``5 p^(1/3)`` blocks, ``p = min(n, m)``.

    With ``J = max(64, 6 b)``, the work of a block is its products with ``W`` and ``W.T`` and
    ``O((n + m) b J)`` for orthogonality; the memory is ``1.4 (n + m) J`` numbers, ``W`` aside. Every fourth
    block waits once for the device.

    Parameters
    ----------
    W : array, `Factored`, sparse matrix, or anything with ``shape``, ``@`` and ``.T``; shape (n, m)
        Real; all entries finite. What is neither an array nor `Factored` is multiplied with arrays where
        ``stream`` places them: NumPy and double precision unless told otherwise.
    k : int
        How many values, at most ``min(n, m)``.
    tolerance : float, optional
        Error allowed, relative to the largest value; 1e-12 in double and 1e-6 in single precision. Rounding
        adds about ``sqrt(p) eps``.
    stream : Stream, optional
        Where the first block comes from; a fixed stream, so that results can be repeated.

    Returns
    -------
    TopValues

    Raises
    ------
    InvalidInput
        If ``W`` is not such a matrix, its products are not finite, or ``k`` or ``tolerance`` is out of range.
    RmtError
        If the values do not converge, or vectors do not satisfy what they were constructed to satisfy.

    Notes
    -----
    Proved, up to rounding: the ``i``-th value found is not above the true one, and within its residual
    there is a singular value. That no larger one was missed cannot be proved from products with some
    vectors: a matrix may act on the others as it likes. In exact arithmetic the random block has, with
    probability 1, a component along every singular vector, and components along ``min(l, b)`` directions of
    an ``l``-fold value: as ``b >= k``, multiple values are found as often as they are asked for. To miss
    one, all its ``b`` components would have to be so small that they do not emerge before the others have
    converged, each an event whose probability is proportional to that size.

    One case is real: of more than ``b`` different values closer to each other than ``residuals``, only
    ``b`` are seen, which need not be the largest. Their error is then within ``residuals`` but not within
    ``errors``; a smaller ``tolerance`` tells them apart.

    Source: G. Golub, F. Luk, M. Overton, ACM Trans. Math. Softw. 7 (1981) for blocks; J. Baglama, L. Reichel,
    SIAM J. Sci. Comput. 27 (2005) for restarts; C.-K. Li, R.-C. Li, Linear Algebra Appl. 395 (2005) for
    errors.
    """
    found, converged = attempt(W, k, limit=MOST_BLOCKS, tolerance=tolerance, stream=stream)
    if not converged:
        msg = (
            f"The top {k} values did not converge within {MOST_BLOCKS} blocks; the error bound reached is "
            f"{np.max(found.errors):.3g}. Allow that with `tolerance`, or decompose the whole matrix."
        )
        raise RmtError(msg)
    return found


def attempt(
    W: Any, k: int, *, limit: int, tolerance: float | None = None, stream: Stream | None = None
) -> tuple[TopValues, bool]:
    """Return what was found within ``limit`` blocks, and whether it has converged."""
    model = _check_operator(W)
    n, m = W.shape
    k = check_top(check_count(k, "k"), min(n, m))
    W, scale = within_range(W) if model is W else (W, 1.0)
    first, other = _start((n, m), k, model, stream or Stream())
    eps = float(namespace(first).finfo(first.dtype).eps)
    tolerance = (1e-12 if eps < 1e-12 else 1e-6) if tolerance is None else tolerance
    check_interval(tolerance, "tolerance", low=0, high=1)
    forward, backward = _product(W), _product(W.T)
    if m > n:
        first, other, forward, backward = other, first, backward, forward
    found = leading_triplets(forward, backward, (first, other), k=k, tolerance=tolerance, limit=limit)
    residuals = _measured_residuals(found, forward, backward)
    coupling = np.concatenate([math.sqrt(2.0) * residuals, found.residuals[k:]])
    rounding = math.sqrt(min(n, m)) * eps * found.values[0]
    left, right = (found.right, found.left) if m > n else (found.left, found.right)
    return TopValues(
        values=like(found.values[:k] / scale, first),
        errors=(value_errors(found.values, coupling)[:k] + rounding) / scale,
        residuals=residuals / scale,
        left=left.T,
        right=right.T,
        blocks=found.blocks,
    ), found.converged


def check_top(k: int | None, count: int) -> int:
    """Return how many of ``count`` values are wanted: all for ``None``.

    Raises
    ------
    InvalidInput
        If ``k`` is not a whole number in 1 ... ``count``.
    """
    if k is None:
        return count
    if check_count(k, "k") > count:
        msg = f"`k` must be at most {count}, the number of singular values, not {k}."
        raise InvalidInput(msg)
    return int(k)


def within_range(W: Array) -> tuple[Array, float]:
    """Scale by a power of two if squares could overflow or vanish; return the factor as well."""
    xp = namespace(W)
    _, exponent = math.frexp(scalar(xp.max(xp.abs(W))))
    largest = math.floor(math.log2(float(xp.finfo(W.dtype).max)))
    if abs(exponent) <= largest / 4:
        return W, 1.0
    scale = 2.0 ** min(-exponent, largest - 1)  # subnormal numbers cannot be scaled to 1 in one step
    return W * scale, scale


def is_array(W: Any) -> bool:
    """Whether ``W`` holds its entries in an array, so that it can be decomposed as well as multiplied."""
    try:
        namespace(W)
    except InvalidInput:
        return False
    return True


def _check_operator(W: Any) -> Array | None:
    """Check ``W`` and return an array that lives where its products do: itself, a factor, or none known."""
    if is_array(W):
        check_matrix(W, "W")
        return W
    if isinstance(W, Factored):
        check_matrix(W.left, "left")
        check_matrix(W.right, "right")
        return W.left
    if not all(hasattr(W, name) for name in ("shape", "__matmul__", "T")):
        msg = f"`W` must be an array, Factored, or have `shape`, `@` and `.T`, not {type(W).__name__}."
        raise InvalidInput(msg)
    check_shape(W.shape, "W.shape")
    return None


def _start(shape: tuple[int, int], k: int, model: Array | None, stream: Stream) -> tuple[Array, Array]:
    """Blocks of random rows for the right and the left side, drawn on the host for any device."""
    block = min(max(k, 2), *shape)
    streams = (stream.child("krylov", side) for side in ("right", "left"))
    sizes = (block, shape[1]), (block, shape[0])
    if model is None:
        right, left = (own.normal(size) for own, size in zip(streams, sizes))
    else:
        right, left = (like(own.at(Placement()).normal(size), model) for own, size in zip(streams, sizes))
    return right, left


def _product(W: Any) -> Product:
    """Products of rows with ``W^T``."""

    def multiply(X: Array) -> Array:
        if isinstance(W, np.ndarray) and X.shape[0] <= _BY_COLUMNS:
            return np.stack([W @ x for x in X])
        if is_array(W):
            return X @ W.T
        product = (W @ X.T).T
        expected = X.shape[0], W.shape[0]
        if tuple(product.shape) != expected or product.dtype != X.dtype:
            msg = (
                f"`W` times an array of shape {tuple(X.T.shape)} and type {X.dtype} must have shape "
                f"{expected[::-1]} and the same type, not {tuple(product.T.shape)} and {product.dtype}."
            )
            raise InvalidInput(msg)
        return product

    return multiply


def _measured_residuals(found: Triplets, forward: Product, backward: Product) -> HostArray:
    """Residuals of the vectors in hand, which bound the distance of each value to the nearest of ``W``.

    Those of the symmetric matrix ``[[0, W], [W^T, 0]]`` and its unit vectors ``(u, v) / sqrt 2``.

    Raises
    ------
    RmtError
        If rounding does not explain them: products that do not belong to one matrix and its transpose.
    """
    xp, k = namespace(found.left), found.left.shape[0]
    unit = float(found.values[0]) or 1.0
    s = like(found.values[:k, None] / unit, found.left)
    parts = (
        forward(found.right) * (1.0 / unit) - s * found.left,
        backward(found.left) * (1.0 / unit) - s * found.right,
    )
    norms = to_host(xp.stack([xp.linalg.vector_norm(part, axis=1) for part in parts])).astype(np.float64)
    both = np.hypot(norms[0], norms[1])
    sizes = found.left.shape[1] + found.right.shape[1]
    slack = 4.0 * sizes * float(xp.finfo(found.left.dtype).eps)
    if not np.all(both <= found.residuals[:k] / unit + slack):
        msg = (
            f"Singular vectors miss their equations by {np.max(both):.3g} of the largest value: products "
            "with `W` and `W.T` do not belong to one matrix, or the linear algebra library is at fault."
        )
        raise RmtError(msg)
    return np.asarray(both / math.sqrt(2.0) * unit)
