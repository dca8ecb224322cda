"""Extreme eigenvalues and spectral density of a symmetric matrix that is only multiplied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg, special

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    Placement,
    RmtError,
    Stream,
    check_choice,
    check_count,
    check_interval,
    check_matrix,
    check_shape,
    device,
    like,
    namespace,
    to_host,
)
from rmttheory.matrices.krylov import check_top, is_array

_STEPS_A_CHECK = 10
"""Only a check moves anything to the host."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ExtremeValues:
    """Eigenvalues at one end of a spectrum.

    Attributes
    ----------
    values : ndarray, shape (k,)
        From the end inwards, on the host.
    residuals : ndarray, shape (k,)
        ``|A v - value v|`` as measured: within it of the value there is an eigenvalue for certain, up to
        rounding.
    vectors : array, shape (p, k)
        Unit eigenvectors in columns.
    products : int
        How often the matrix was multiplied.
    """

    values: HostArray
    residuals: HostArray
    vectors: Array
    products: int


class Estimate(NamedTuple):
    """A mean over probes and its standard error, numbers or arrays."""

    value: Any
    error: Any


@dataclass(frozen=True, kw_only=True, eq=False)
class SpectralDensity:
    """Gauss quadratures of the spectral measure, one from each probe.

    The measure of a probe puts the weight ``(q . v_i)^2`` on eigenvalue ``i``; its mean over probes is the
    spectral measure, a weight ``1 / p`` each. Probes are independent, so that their spread gives errors.

    Attributes
    ----------
    nodes, weights : ndarray, shape (probes, steps)
        The weights of a probe add up to 1. Polynomials of degree ``2 steps - 1`` are integrated exactly.
    size : int
        ``p``, the number of eigenvalues.
    """

    nodes: HostArray
    weights: HostArray
    size: int

    def density(self, x: HostArray, width: float) -> Estimate:
        """Density at points, smoothed by a normal kernel.

        Parameters
        ----------
        x : array, shape (k,)
        width : float
            Standard deviation of the kernel: what is estimated is the density of an eigenvalue plus so much
            independent noise. Below the distance of neighbouring nodes, single nodes show.
        """
        check_interval(width, "width", low=0)
        z = (np.asarray(x, dtype=np.float64)[:, None, None] - self.nodes) / width
        kernel = np.exp(-0.5 * z**2) / (np.sqrt(2.0 * np.pi) * width)
        return _over_probes(np.sum(kernel * self.weights, axis=2).T)

    def cdf(self, x: HostArray, width: float) -> Estimate:
        """Share of eigenvalues up to each point, smoothed as in `density`."""
        check_interval(width, "width", low=0)
        z = (np.asarray(x, dtype=np.float64)[:, None, None] - self.nodes) / width
        return _over_probes(np.sum(special.ndtr(z) * self.weights, axis=2).T)

    def moment(self, order: int) -> Estimate:
        """Mean of the eigenvalues to the power ``order``, which is ``tr A^order / p``.

        Raises
        ------
        InvalidInput
            If ``order`` is not a whole number from 0 to ``2 steps - 1``, up to which quadratures are exact.
        """
        most = 2 * self.nodes.shape[1] - 1
        if check_count(order, "order", low=0) > most:
            msg = f"`order` must be at most {most} for {self.nodes.shape[1]} steps, not {order}."
            raise InvalidInput(msg)
        value, error = _over_probes(np.sum(self.weights * self.nodes**order, axis=1)[:, None])
        return Estimate(float(value[0]), float(error[0]))


def extreme_eigenvalues(
    A: Any,
    k: int = 1,
    *,
    end: str = "top",
    tolerance: float | None = None,
    limit: int = 400,
    stream: Stream | None = None,
) -> ExtremeValues:
    """Find the ``k`` largest or smallest eigenvalues of a symmetric matrix from products with it.

    The Lanczos process from one random vector with full reorthogonalisation and no restarts: the memory is
    ``limit * p`` numbers.

    Parameters
    ----------
    A : symmetric array, or anything with ``shape`` and ``@`` for vectors; shape (p, p)
        Real. What is no array is multiplied with vectors where ``stream`` places them.
    k : int
    end : {"top", "bottom"}
        Largest or smallest, with their signs.
    tolerance : float, optional
        Residual allowed, relative to the largest absolute value; 1e-9 in double and 1e-4 in single precision.
        Errors of values are about the square of it over their relative distance to the others.
    limit : int
        Products after which to give up.
    stream : Stream, optional
        Where the first vector comes from; a fixed stream if omitted.

    Raises
    ------
    InvalidInput
        If ``A`` is not such a matrix, its products are not finite, or an argument is out of range.
    RmtError
        If the values do not converge within ``limit`` products, or measured residuals are not those of a
        symmetric matrix.

    Notes
    -----
    That none further out was missed cannot be proved from products with some vectors: it would have to be
    almost orthogonal to the random vector. Of a multiple eigenvalue one vector is seen, then by rounding,
    late, the others: multiplicities are for `top_singular_values`, which works with blocks.

    Source: C. C. Paige, Linear Algebra Appl. 34 (1980); B. N. Parlett, The Symmetric Eigenvalue Problem, 13.
    """
    check_choice(end, "end", ("top", "bottom"))
    start, fill = _probes(A, 2, stream or Stream(), "gaussian")
    p = start.shape[0]
    k = check_top(check_count(k, "k"), p)
    limit = min(check_count(limit, "limit", low=k), p)
    single = float(namespace(start).finfo(start.dtype).eps) > 1e-12
    tolerance = (1e-4 if single else 1e-9) if tolerance is None else tolerance
    check_interval(tolerance, "tolerance", low=0, high=1)
    process = _Lanczos(A, start, fill, limit)
    while True:
        process.grow(min(_STEPS_A_CHECK, limit - process.count))
        values, vectors, last, unit = process.project()
        order = np.argsort(values)[::-1] if end == "top" else np.argsort(values)
        order = order[:k]
        bounds = np.abs(last * vectors[-1, order])
        if len(order) == k and np.all(bounds <= tolerance * unit):
            break
        if process.count == limit < p:
            msg = (
                f"{k} values at the {end} did not converge in {limit} products; the residual reached is "
                f"{np.max(bounds):.3g}. Allow more with `limit`, or that with `tolerance`."
            )
            raise RmtError(msg)
        if process.count == p:
            break
    found = process.vectors(vectors[:, order])
    residuals = _residuals(A, found, values[order])
    eps = float(namespace(start).finfo(start.dtype).eps)
    if not np.all(residuals <= bounds + 8.0 * p * eps * unit):
        msg = (
            f"Eigenvectors miss their equations by {np.max(residuals):.3g}: products with `A` do not belong "
            "to one symmetric matrix."
        )
        raise RmtError(msg)
    return ExtremeValues(values=values[order], residuals=residuals, vectors=found, products=process.count + k)


def spectral_density(
    A: Any, *, steps: int = 64, probes: int = 8, probe: str = "gaussian", stream: Stream | None = None
) -> SpectralDensity:
    """Estimate the distribution of the eigenvalues by stochastic Lanczos quadrature.

    ``probes`` times ``steps`` products. Each probe gives the Gauss quadrature of its spectral measure: nodes
    are the eigenvalues of the tridiagonal matrix, weights the squared first entries of their vectors.

    Parameters
    ----------
    A : symmetric array, or anything with ``shape`` and ``@`` for vectors; shape (p, p)
        As for `extreme_eigenvalues`.
    steps : int
        At most ``p``.
    probes : int
        At least 2, since errors come from their spread.
    probe : {"gaussian", "rademacher"}
        Directions uniform on the sphere, or of random signs; both are unbiased. Signs see the trace of a
        diagonal matrix without error.
    stream : Stream, optional
        Where probes come from; a fixed stream if omitted.

    Raises
    ------
    InvalidInput
        If ``A`` is not such a matrix, its products are not finite, or an argument is out of range.

    Source: S. Ubaru, J. Chen, Y. Saad, SIAM J. Matrix Anal. Appl. 38 (2017).
    """
    check_choice(probe, "probe", ("gaussian", "rademacher"))
    check_count(probes, "probes", low=2)
    *starts, fill = _probes(A, probes + 1, stream or Stream(), probe)
    size = fill.shape[0]
    if check_count(steps, "steps") > size:
        msg = f"`steps` must be at most {size}, the rows of `A`, not {steps}."
        raise InvalidInput(msg)
    nodes, weights = [], []
    for start in starts:
        process = _Lanczos(A, start, fill, steps)
        process.grow(steps)
        values, vectors, _, _ = process.project()
        nodes.append(values)
        weights.append(vectors[0] ** 2)
    return SpectralDensity(nodes=np.stack(nodes), weights=np.stack(weights), size=size)


class _Lanczos:
    """Rows ``Q`` with ``A Q^T = Q^T T + beta q e^T``; all on the device until `project`.

    Where the process ends early, since the start has no part in other eigenvectors, rounding errors would
    decide on the next vector: a perturbation of their size along ``fill`` decides instead.
    """

    def __init__(self, A: Any, start: Array, fill: Array, room: int) -> None:
        xp = namespace(start)
        self.A = A
        self.Q = xp.zeros((room, start.shape[0]), dtype=start.dtype, device=device(start))
        self.next = start / xp.linalg.vector_norm(start)
        self.fill = fill / xp.linalg.vector_norm(fill)
        self.size = xp.zeros((), dtype=start.dtype, device=device(start))
        self.diagonal: list[Array] = []
        self.beside: list[Array] = []

    @property
    def count(self) -> int:
        """Steps done."""
        return len(self.diagonal)

    @property
    def unit(self) -> Array:
        """Length of the longest product so far; 1 if all were 0."""
        return namespace(self.size).where(self.size > 0, self.size, namespace(self.size).ones_like(self.size))

    def grow(self, steps: int) -> None:
        """Multiply so often; nothing waits for the device."""
        with np.errstate(over="ignore", invalid="ignore"):  # `project` sees what is not finite
            for _ in range(steps):
                self._step()

    def _step(self) -> None:
        xp = namespace(self.Q)
        self.Q[self.count, :] = self.next
        w = _product(self.A, self.next)
        self.diagonal.append(xp.sum(w * self.next))
        known = self.Q[: self.count, :]
        self.size = xp.maximum(self.size, xp.linalg.vector_norm(w))
        w = w + xp.finfo(w.dtype).eps * self.unit * xp.roll(self.fill, self.count)
        w = w - known.T @ (known @ w)
        w = w - known.T @ (known @ w)
        norm = xp.linalg.vector_norm(w)
        self.beside.append(norm)
        w = w / xp.where(norm > 0, norm, xp.ones_like(norm))
        w = w - known.T @ (known @ w)  # of a tiny rest, the two passes before left rounding errors alone
        norm = xp.linalg.vector_norm(w)
        self.next = w / xp.where(norm > 0, norm, xp.ones_like(norm))

    def project(self) -> tuple[HostArray, HostArray, float, float]:
        """Eigenvalues and vectors of ``T``, ascending, ``beta`` and the unit: here alone the host waits."""
        facts = to_host(namespace(self.Q).stack([*self.diagonal, *self.beside, self.unit])).astype(np.float64)
        if not np.all(np.isfinite(facts)):
            msg = "Products with `A` are not finite; its entries must be, and small enough to be added up."
            raise InvalidInput(msg)
        a, b = facts[: self.count], facts[self.count : -1]
        values, vectors = linalg.eigh_tridiagonal(a, b[:-1]) if len(a) > 1 else (a, np.ones((1, 1)))
        return values, vectors, float(b[-1]), float(facts[-1])

    def vectors(self, coordinates: HostArray) -> Array:
        """Columns from coordinates in columns."""
        return self.Q[: self.count, :].T @ like(np.ascontiguousarray(coordinates), self.Q)


def _product(A: Any, v: Array) -> Array:
    w = A @ v
    if tuple(getattr(w, "shape", ())) != tuple(v.shape) or w.dtype != v.dtype:
        given = f"{tuple(getattr(w, 'shape', ()))} and {getattr(w, 'dtype', type(w).__name__)}"
        msg = f"`A` times a vector must be of shape {tuple(v.shape)} and type {v.dtype}, not {given}."
        raise InvalidInput(msg)
    return w


def _residuals(A: Any, vectors: Array, values: HostArray) -> HostArray:
    xp = namespace(vectors)
    norms = [
        xp.linalg.vector_norm(_product(A, vectors[:, i]) - float(value) * vectors[:, i])
        for i, value in enumerate(values)
    ]
    return to_host(xp.stack(norms)).astype(np.float64)


def _probes(A: Any, count: int, stream: Stream, probe: str) -> list[Array]:
    """Check ``A`` and draw vectors that it can be multiplied with."""
    if not is_array(A) and not (hasattr(A, "shape") and hasattr(A, "__matmul__")):
        msg = f"`A` must be an array or have `shape` and `@`, not {type(A).__name__}."
        raise InvalidInput(msg)
    p, q = check_shape(A.shape, "A.shape")
    if p != q:
        msg = f"`A` must be square, not {p} x {q}."
        raise InvalidInput(msg)
    if is_array(A):
        _check_symmetric(A)
        stream = stream.at(Placement())
    shape = {"gaussian": Stream.normal, "rademacher": Stream.signs}[probe]
    drawn = [shape(stream.child("probe", i), p) for i in range(count)]
    return [like(v, A) for v in drawn] if is_array(A) else drawn


def _check_symmetric(A: Array) -> None:
    """Check that ``A`` is finite and its asymmetry within what rounding of long sums may leave."""
    check_matrix(A, "A")
    xp = namespace(A)
    facts = xp.stack([xp.max(xp.abs(A - A.T)), xp.max(xp.abs(A))])
    asymmetry, size = (float(x) for x in to_host(facts))
    if asymmetry > A.shape[0] * float(xp.finfo(A.dtype).eps) * size:
        msg = f"`A` must be symmetric; it differs from its transpose by {asymmetry:.3g}."
        raise InvalidInput(msg)


def _over_probes(samples: HostArray) -> Estimate:
    """Mean and standard error over the first axis."""
    return Estimate(np.mean(samples, axis=0), np.std(samples, axis=0, ddof=1) / np.sqrt(samples.shape[0]))
