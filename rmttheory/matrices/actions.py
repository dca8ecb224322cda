"""What a matrix that need not fit in memory does to given inputs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import (
    HostArray,
    InvalidInput,
    Stream,
    as_stream,
    check_count,
    check_interval,
    check_matrix,
)
from rmttheory.matrices.band import chi, triangular_factor
from rmttheory.matrices.edge_sampling import Top, TwoSidedBand, apply_band, settle
from rmttheory.matrices.tracy_widom import largest_singular_value_quantile

_CHUNK = 2**14  # numbers handled at a time: larger temporaries are mapped afresh, at three times the cost
_TOLERANCE = 1e-13  # move of a value, relative to the first, that counts as none
_ORTHONORMAL = 1e-8  # entries of U^T U - 1
_CONDITION = 1e-3  # relative to squared lengths: what a Gram matrix keeps to nearly full precision


@dataclass(frozen=True, kw_only=True, eq=False)
class Action:
    """What one draw of ``W = S + R`` does to inputs, and its leading singular triplets.

    Attributes
    ----------
    whole, signal : ndarray, shape (samples, n)
        ``W x`` and ``S x``, one sample a row.
    values : ndarray, shape (k,)
        Leading singular values of ``W``, descending.
    value_error : float
        How far they last moved when the corner was doubled, plus rounding.
    left : ndarray, shape (k, n)
        Their left singular vectors ``u_hat_j``.
    seen : ndarray, shape (samples, k)
        What the right ones see of the inputs, ``<v_hat_j, x>``.
    noise_energy, signal_energy, cross : float
        ``|R|_F^2``, ``|S|_F^2`` and ``<S, R>_F``.
    shape, g
        What was asked for.
    """

    whole: HostArray
    signal: HostArray
    values: HostArray
    value_error: float
    left: HostArray
    seen: HostArray
    noise_energy: float
    signal_energy: float
    cross: float
    shape: tuple[int, int]
    g: float

    def kept(self, coefficients: HostArray) -> HostArray:
        """Return ``sum_j coefficients[j] u_hat_j <v_hat_j, x>``, shape ``(samples, n)``.

        Raises
        ------
        InvalidInput
            If there are not ``k`` finite coefficients.
        """
        weights = np.asarray(coefficients, dtype=np.float64)
        if weights.shape != self.values.shape or not np.all(np.isfinite(weights)):
            msg = f"`coefficients` must be {len(self.values)} finite numbers, not {coefficients!r}."
            raise InvalidInput(msg)
        images: HostArray = (self.seen * weights) @ self.left
        return images

    def estimated_edge(self, level: float = 0.1) -> float:
        """Estimate the edge of the bulk from ``W`` alone, knowing neither ``g`` nor the number of spikes.

        What the values above the edge leave of ``|W|_F^2`` is the energy of noise with as many rows and
        columns fewer, which gives ``g`` up to a relative error of order ``(n m)^(-1/2)``; noise of that
        strength exceeds the edge with probability ``level``, by Tracy-Widom. From no value on, until the
        values above the edge that they give are those that were left out.

        Raises
        ------
        InvalidInput
            If ``level`` is not in (0, 1), or all ``k`` values lie above the edge and there may be more.

        Source: derived here.
        """
        level = check_interval(level, "level", low=0.0, high=1.0)
        (n, m), k = self.shape, len(self.values)
        energy, out = self.noise_energy + self.signal_energy + 2.0 * self.cross, 0
        while out < k or k == min(n, m):
            g = n * (energy - float(np.sum(self.values[:out] ** 2))) / ((n - out) * (m - out))
            edge = largest_singular_value_quantile(1.0 - level, (n, m), g)
            found = int(np.sum(self.values > edge))
            if found <= out:
                return edge
            out = found
        msg = f"`k` must exceed the number of spikes: all {k} known values lie above the edge."
        raise InvalidInput(msg)

    def truncated(self, edge: float) -> HostArray:
        """Return ``W' x``, shape ``(samples, n)``: ``W`` without singular values up to ``edge``.

        Raises
        ------
        InvalidInput
            If all ``k`` values exceed ``edge`` and there may be more that do.
        """
        edge = check_interval(edge, "edge", low=0.0, closed="low")
        k = len(self.values)
        if k < min(self.shape) and not np.any(self.values <= edge):
            msg = (
                f"`k` must exceed the number of singular values above {edge:g}: all {k} known ones are there."
            )
            raise InvalidInput(msg)
        return self.kept(np.where(self.values > edge, self.values, 0.0))


def sample_action(
    U: HostArray,
    theta: HostArray,
    V: HostArray,
    inputs: HostArray,
    *,
    g: float = 1.0,
    k: int = 0,
    stream: Any = None,
) -> Action:
    """Draw what ``W = U diag(theta) V^T + R`` does to inputs, for Gaussian ``R``, without ``W`` or ``R``.

    One draw of ``W x`` for all inputs together, of the leading singular values and vectors of the same ``W``,
    of ``|R|_F^2`` and of ``<S, R>_F``, in ``O((n + m) (samples + k + r)^2)`` time and ``O((n + m) (samples +
    k + r))`` memory. With ``k = 0`` everything is exact in joint law, at all sizes. With ``k > 0`` the same
    holds of all but the triplets: they are those of a corner of the band of `sample_edge`, doubled until the
    values move by less than 1e-13 of the first. What the corner leaves out of the vectors is then smaller
    than their rounding error, ``eps s_1^2`` over the gap between squared values; ``value_error`` covers the
    values.

    Parameters
    ----------
    U : ndarray, shape (n, r)
        Left singular vectors of ``S``, orthonormal; ``r = 0`` is no signal.
    theta : ndarray, shape (r,)
        Its singular values, >= 0, in any order, repeated or not.
    V : ndarray, shape (m, r)
        Its right singular vectors, orthonormal.
    inputs : ndarray, shape (samples, m)
        One a row, of any number and rank, independent of ``R``.
    g : float
        Noise level, > 0; entries of ``R`` have variance ``g / n``.
    k : int
        How many singular triplets, at most ``min(n, m)``; 0 for none.
    stream : Stream, or anything that `as_stream` takes

    Raises
    ------
    InvalidInput
        If a parameter is out of range, shapes do not fit or a frame is not orthonormal to 1e-8.

    Source: derived here; the band after I. Dumitriu and A. Edelman, "Matrix models for beta ensembles",
    J. Math. Phys. 43 (2002), with the signal's vectors protected on both sides.
    """
    U, theta, V = _check_signal(U, theta, V)
    n, m = shape = len(U), len(V)
    inputs = _check_inputs(inputs, m)
    g = check_interval(g, "g", low=0.0)
    k = _check_triplets(k, min(shape))
    streams = as_stream(stream)
    if not len(theta):  # a direction without strength changes nothing
        U, theta, V = np.eye(n, 1), np.zeros(1), np.eye(m, 1)
    scale = math.sqrt(g / n)
    along = inputs @ V
    top = _leading(TwoSidedBand(shape, theta / scale, k, streams.child("band")))
    seen, images, energy = _act(top, shape, along.T, _outside(inputs, V), streams)
    noise = top.columns.copy()
    noise[np.arange(len(theta)), len(theta)] -= theta / scale
    collected = np.zeros((len(images), len(inputs) + k))
    collected[:, : len(inputs)] = scale * images
    collected[: min(len(top.left), n), len(inputs) :] = top.left[:n]
    vectors = _realise(collected, U, streams.child("space"))
    return Action(
        whole=vectors[: len(inputs)],
        signal=(along * theta) @ U.T,
        values=scale * top.values,
        value_error=scale * top.value_error,
        left=vectors[len(inputs) :],
        seen=seen.T @ top.right,
        noise_energy=scale**2 * (energy + float(np.sum(noise**2))),
        signal_energy=float(np.sum(theta**2)),
        cross=float(theta @ (scale * top.path - theta)),
        shape=shape,
        g=g,
    )


def _check_signal(U: Any, theta: Any, V: Any) -> tuple[HostArray, HostArray, HostArray]:
    left, right, strengths = (np.asarray(x, dtype=np.float64) for x in (U, V, theta))
    for frame, name in ((left, "U"), (right, "V")):
        if strengths.ndim != 1 or frame.ndim != 2 or not len(frame) or frame.shape[1] != len(strengths):
            shapes = f"{frame.shape} and {strengths.shape}"
            msg = f"`{name}` must have rows and one column for each of `theta`; their shapes are {shapes}."
            raise InvalidInput(msg)
        error = float(np.max(np.abs(frame.T @ frame - np.eye(len(strengths))), initial=0.0))
        if not error <= _ORTHONORMAL:
            msg = f"`{name}` must have orthonormal columns; they are so only to {error:.1g}."
            raise InvalidInput(msg)
    for strength in strengths:
        check_interval(strength, "theta", low=0.0, closed="low")
    return left, strengths, right


def _check_inputs(inputs: Any, m: int) -> HostArray:
    rows = np.asarray(inputs, dtype=np.float64)
    check_matrix(rows, "inputs")
    if rows.shape[1] != m:
        msg = f"`inputs` must have {m} columns, as many as `V` has rows, not {rows.shape[1]}."
        raise InvalidInput(msg)
    return rows


def _check_triplets(k: Any, most: int) -> int:
    count = check_count(k, "k", low=0)
    if count > most:
        msg = f"`k` must be at most {most}, the number of singular values, not {count}."
        raise InvalidInput(msg)
    return count


def _leading(band: TwoSidedBand) -> Top:
    """The corner of the band that is drawn: what the triplets need, or the signal's columns alone."""
    columns = next(band.draw(1))
    if band.k:
        return settle(band, columns, 0, _TOLERANCE)
    r = len(band.spikes)
    none = np.empty((r, 0))
    return Top(columns=columns[:r], spikes=r, values=none[0], left=none, right=none)


def _act(
    top: Top, shape: tuple[int, int], along: HostArray, outside: HostArray, streams: Stream
) -> tuple[HostArray, HostArray, float]:
    """Coordinates of inputs at the corner, of their images, and the energy of the noise beyond the corner.

    The band's basis of inputs is ``V`` and a Haar frame beyond, so that of the inputs, ``along`` in ``V`` and
    ``outside`` in some basis of what they have beyond, the corner holds the first rows of a Haar frame times
    ``outside``. What is left of them spans ``d`` dimensions beyond the corner, whose columns are normal in
    all rows that the band has not ended in. Rows below the band are turned to a triangle of ``d`` rows.
    """
    (n, m), r, size = shape, top.spikes, len(top.columns)
    rng = streams.child("frame").generator()
    beyond = _triangle(m - size, len(outside), rng)
    frame = _frame(np.concatenate([rng.standard_normal((size - r, len(outside))), beyond]))
    coordinates = np.concatenate([along, frame @ outside])
    rng = streams.child("tail").generator()
    rows = min(size + r, n)
    tail = rng.standard_normal((rows - size + r, len(beyond)))
    tail = np.concatenate([tail, _triangle(n - rows, len(beyond), rng)])
    images = np.zeros((size - r + len(tail), along.shape[1]))
    images[:rows] = apply_band(top.columns, coordinates[:size])[:rows]
    images[size - r :] += tail @ coordinates[size:]
    unseen = np.array([float((n - size + r) * (m - size - len(beyond)))])
    energy = np.sum(tail**2) + np.sum(chi(rng, unseen, (1,)) ** 2)
    return coordinates[:size], images, float(energy)


def _triangle(rows: int, columns: int, rng: np.random.Generator) -> HostArray:
    """Triangular factor of a ``rows x columns`` matrix of independent normals."""
    size = min(rows, columns)
    factor = np.triu(rng.standard_normal((size, columns)), 1)
    index = np.arange(size)
    factor[index, index] = chi(rng, rows - index, (size,))
    return factor


def _frame(normal: HostArray) -> HostArray:
    """Orthonormal columns, with the positive factor that makes those of normals Haar."""
    frame, factor = np.linalg.qr(normal)
    turned: HostArray = frame * np.where(np.diagonal(factor) < 0.0, -1.0, 1.0)
    return turned


def _outside(inputs: HostArray, V: HostArray) -> HostArray:
    """Coordinates, by columns, of what inputs have beyond the frame ``V``; no more than it leaves."""
    squares, mixture, _ = _principal(inputs, V)
    root = np.sqrt(squares)[:, None] * mixture.T
    lengths = np.sqrt(np.sum(root**2, axis=0))  # taken out: long samples would blur short ones
    _, weights, basis = np.linalg.svd(root / np.where(lengths > 0.0, lengths, 1.0))
    coordinates: HostArray = weights[:, None] * basis * lengths
    return coordinates[: len(V) - V.shape[1]]


def _realise(collected: HostArray, U: HostArray, stream: Stream) -> HostArray:
    """Rows in ``R^n`` of vectors given as columns: along ``U`` first, then in a Haar frame beyond."""
    (n, r), count = U.shape, collected.shape[1]
    factor = triangular_factor(collected[r:])
    vectors = stream.generator().standard_normal((n, count))  # each chunk gives way to what it becomes
    normal = vectors[:, : len(factor)]
    squares, _, basis = _principal(normal.T, U)
    mixture = (basis.T / np.sqrt(squares)) @ factor
    along = collected[:r] - (U.T @ normal) @ mixture
    for chunk in _chunks(n, count):
        vectors[chunk] = normal[chunk] @ mixture + U[chunk] @ along
    return vectors.T


def _principal(rows: HostArray, frame: HostArray) -> tuple[HostArray, HostArray, HostArray]:
    """Mix what rows have beyond a frame, ``X``, to orthogonal rows ``B X``, where ``X = A B X``.

    Returns their squared lengths, ``A`` and ``B``. A Gram matrix loses what is below ``sqrt(eps)`` of its
    largest entries; where that matters a second one is taken, of the rows that the first made nearly
    orthogonal.
    """
    along = rows @ frame
    gram = rows @ rows.T
    squares, A, B = _diagonalise(gram - along @ along.T, np.diagonal(gram))
    if np.all(squares > _CONDITION):
        return squares, A, B
    gram = np.zeros_like(gram)
    for chunk in _chunks(len(frame), len(rows)):
        part = B @ rows[:, chunk] - (B @ along) @ frame[chunk].T
        gram += part @ part.T
    squares, outer, inner = _diagonalise(gram, np.diagonal(gram))
    return squares, A @ outer, inner @ B


def _diagonalise(gram: HostArray, squares: HostArray) -> tuple[HostArray, HostArray, HostArray]:
    """Eigenvalues of a Gram matrix of scaled rows, and the mixings from and to its eigenvectors."""
    size = np.sqrt(squares)
    divisor = np.where(size > 0.0, size, 1.0)
    levels, turn = np.linalg.eigh(gram / divisor / divisor[:, None])
    return np.maximum(levels, 0.0), size[:, None] * turn, (turn / divisor[:, None]).T


def _chunks(size: int, width: int) -> Iterator[slice]:
    step = max(1, _CHUNK // width)
    for start in range(0, size, step):
        yield slice(start, start + step)
