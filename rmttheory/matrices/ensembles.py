"""Spiked ensembles: layers ``W = S + R`` with a known signal and known noise."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    Stream,
    as_stream,
    check_choice,
    check_count,
    check_interval,
    check_shape,
    namespace,
    to_host,
)
from rmttheory.matrices.band import spiked_singular_values
from rmttheory.matrices.noise import Gaussian, Noise, parse_noise
from rmttheory.matrices.spectra import singular_values, stack_size
from rmttheory.matrices.spikes import bulk_edge, outlier, spike_threshold

_FILLS_A_GPU = 1024  # rows or columns
_MOST_AT_ONCE = 1024  # layers
_VECTORS = ("haar", "localised", "sparse")


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """One layer and the parts it is made of, all where the stream placed them.

    Attributes
    ----------
    W, S, R : array, shape (n, m)
        The layer ``W = S + R``, its signal and its noise (entries of variance ``g / n``).
    U, V : array, shapes (n, r) and (m, r)
        Singular vectors of the signal, as columns.
    theta : ndarray, shape (r,)
        Singular values of the signal in descending order, on the host.
    """

    W: Array
    S: Array
    R: Array
    U: Array
    theta: HostArray
    V: Array


@dataclass(frozen=True, eq=False)
class Spiked:
    """Law of a layer ``W = S + R`` with few strong singular values in ``S`` and random ``R``.

    Parameters
    ----------
    shape : tuple of int
        ``(n, m)``: outputs by inputs.
    spikes : sequence of float
        Singular values of ``S``, positive, in any order; kept in descending order.
    noise : str or Noise
        Law of ``R``, entries of variance ``g / n``; see `parse_noise`.
    g : float
        Noise level, > 0.
    left, right : {"haar", "localised", "sparse"} or array
        Singular vectors of ``S`` on the output side (length ``n``) and the input side (length ``m``): uniform
        over all frames; the first coordinate vectors; disjoint random supports of about ``sqrt(n)``
        equal entries with random signs; or given orthonormal columns in the order of ``spikes``.

    Raises
    ------
    InvalidInput
        If a parameter is out of range, there are more spikes than ``min(n, m)``, or given vectors have
        the wrong shape or are not orthonormal.
    """

    shape: tuple[int, int]
    spikes: tuple[float, ...] = ()
    noise: str | Noise = "gaussian"
    g: float = 1.0
    left: str | Array = "haar"
    right: str | Array = "haar"

    def __post_init__(self) -> None:
        shape = check_shape(self.shape)
        if np.ndim(self.spikes) != 1:
            msg = f"`spikes` must be a sequence of numbers, not {self.spikes!r}."
            raise InvalidInput(msg)
        spikes = [check_interval(theta, "spikes", low=0.0) for theta in self.spikes]
        if len(spikes) > min(shape):
            msg = f"`spikes` must hold at most {min(shape)} values for shape {shape}, not {len(spikes)}."
            raise InvalidInput(msg)
        order = sorted(range(len(spikes)), key=lambda i: -spikes[i])
        settled = {
            "shape": shape,
            "spikes": tuple(spikes[i] for i in order),
            "noise": parse_noise(self.noise),
            "g": check_interval(self.g, "g", low=0.0),
            "left": _check_vectors(self.left, "left", shape[0], order),
            "right": _check_vectors(self.right, "right", shape[1], order),
        }
        for name, value in settled.items():
            object.__setattr__(self, name, value)

    @property
    def aspect(self) -> float:
        """``c = m / n``."""
        return self.shape[1] / self.shape[0]

    @property
    def edge(self) -> float:
        """Upper edge of the bulk, on the scale of singular values."""
        return bulk_edge(self.aspect, self.g)

    @property
    def threshold(self) -> float:
        """Strength above which a spike leaves the bulk."""
        return spike_threshold(self.aspect, self.g)

    @property
    def outliers(self) -> tuple[float, ...]:
        """Predicted singular value of ``W`` for each spike; the edge for those under the threshold."""
        return tuple(outlier(theta, self.aspect, self.g) for theta in self.spikes)

    def sample(self, rng: Any = None) -> Draw:
        """Draw one layer.

        Parameters
        ----------
        rng : None, int, NumPy random object or Stream
            A `Stream` also says where the arrays live.
        """
        stream = as_stream(rng)
        n, m = self.shape
        R = parse_noise(self.noise).sample(self.shape, self.g, stream.child("noise"))
        U = _vectors(self.left, n, len(self.spikes), stream.child("left"))
        V = _vectors(self.right, m, len(self.spikes), stream.child("right"))
        theta = np.asarray(self.spikes, dtype=np.float64)
        S = (U * stream.placement.asarray(theta)[None, :]) @ V.T
        return Draw(W=S + R, S=S, R=R, U=U, theta=theta, V=V)

    def singular_values(
        self,
        rng: Any = None,
        trials: int = 1,
        k: int | None = None,
        method: Literal["auto", "band", "dense"] = "auto",
    ) -> HostArray:
        """Draw the singular values of independent layers.

        Parameters
        ----------
        rng : None, int, NumPy random object or Stream
        trials : int
            How many layers; a draw depends on its number and not on how many are asked for.
        k : int, optional
            Only the largest ``k``.
        method : {"auto", "band", "dense"}
            ``dense`` draws each layer. ``band`` draws from the same law without the matrix
            (`spiked_singular_values`): Gaussian noise only, any spikes with any singular vectors. ``auto``
            takes it where it can.

        Returns
        -------
        ndarray, shape (trials, min(n, m)) or (trials, k)
            Descending, on the host.

        Raises
        ------
        InvalidInput
            If a parameter is out of range or the method does not apply.
        """
        stream = as_stream(rng)
        check_choice(method, "method", ("auto", "band", "dense"))
        trials = check_count(trials, "trials")
        gaussian = isinstance(self.noise, Gaussian)
        if method == "band" and not gaussian:
            msg = "Method 'band' needs Gaussian noise; use 'dense' for this ensemble."
            raise InvalidInput(msg)
        if gaussian and method != "dense":
            return spiked_singular_values(
                self.shape, self.spikes, g=self.g, trials=trials, k=k, stream=stream
            )
        layers = (self.sample(stream.child("trial", i)).W for i in range(trials))
        return np.vstack([to_host(singular_values(stack, k)) for stack in _stacks(layers)])


def _stacks(layers: Iterator[Array]) -> Iterator[Array]:
    """Layers one by one on the host, and in stacks on a GPU, which one small layer would leave idle."""
    for first in layers:
        on_host = isinstance(first, np.ndarray) or min(first.shape) > _FILLS_A_GPU
        rest = itertools.islice(layers, 0 if on_host else min(stack_size(first), _MOST_AT_ONCE) - 1)
        stack = [first, *rest]
        yield namespace(first).stack(stack) if len(stack) > 1 else first


def _check_vectors(vectors: str | Array, name: str, size: int, order: list[int]) -> str | HostArray:
    """Return a known word, or given columns on the host, reordered as the spikes were."""
    if isinstance(vectors, str):
        return check_choice(vectors, f"kind of {name} vectors", _VECTORS)
    given = to_host(vectors)
    if given.shape != (size, len(order)) or given.dtype.kind != "f":
        msg = f"`{name}` must be a real array of shape {(size, len(order))}, not {given.dtype} {given.shape}."
        raise InvalidInput(msg)
    frame = given.astype(np.float64)
    # Rounding a unit column changes its products by eps at most; making it orthogonal costs a few more.
    tolerance = 4.0 * float(np.finfo(given.dtype).eps) * math.sqrt(size)
    worst = float(np.max(np.abs(frame.T @ frame - np.eye(len(order))), initial=0.0))
    if not worst <= tolerance:
        msg = f"`{name}` must have orthonormal columns; their products are off by {worst:.1e}."
        raise InvalidInput(msg)
    return frame[:, order]


def _vectors(vectors: str | Array, size: int, count: int, stream: Stream) -> Array:
    if not isinstance(vectors, str):
        return stream.placement.asarray(vectors)
    if vectors == "haar":
        return stream.orthonormal(size, count)
    frame = np.zeros((size, count))
    if vectors == "localised":
        frame[np.arange(count), np.arange(count)] = 1.0
    elif count:
        support = min(math.isqrt(size), size // count)
        rng = stream.generator()
        rows = rng.permutation(size)[: support * count].reshape(count, support)
        frame[rows, np.arange(count)[:, None]] = rng.choice((-1.0, 1.0), rows.shape) / math.sqrt(support)
    return stream.placement.asarray(frame)
