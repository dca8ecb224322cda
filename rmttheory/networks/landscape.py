"""The loss around a network: along random directions, and on the way to another network."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    Stream,
    check_count,
    check_interval,
    like,
    namespace,
    scalar,
)
from rmttheory.networks.gradients import penalty
from rmttheory.networks.layers import check_beside
from rmttheory.networks.losses import right_class, sample_losses
from rmttheory.networks.network import Network
from rmttheory.networks.parameters import (
    Pieces,
    flatten,
    pieces,
    unchecked_network,
    unflatten,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class LossSlice:
    """The regularised loss on a line or in a plane through a network.

    Attributes
    ----------
    steps : ndarray, shape (points,)
        Ascending, 0 in the middle: how often a direction is added. With rescaled directions, 1 is as
        long as the weights themselves.
    losses : ndarray, shape (points,) or (points, points)
        The first axis is the first direction.
    directions : tuple of array, shape (P,)
        One or two, in the order of `parameter_vector`.
    """

    steps: HostArray
    losses: HostArray
    directions: tuple[Array, ...]

    @property
    def centre(self) -> float:
        """Loss of the network itself."""
        return float(self.losses[self._middle])

    @property
    def curvature(self) -> tuple[float, ...]:
        """Second difference of the loss at the network along each direction, over the squared step.

        Unlike ``d^T H d`` it sees kinks of activations between the steps.
        """
        h = self.steps[1] - self.steps[0]
        found = []
        for axis in range(self.losses.ndim):
            ahead, behind = list(self._middle), list(self._middle)
            ahead[axis] += 1
            behind[axis] -= 1
            bend = self.losses[tuple(ahead)] - 2.0 * self.centre + self.losses[tuple(behind)]
            found.append(float(bend / h**2))
        return tuple(found)

    @property
    def convex_share(self) -> float:
        """Share of inner points at which the loss curves upwards: in a plane, in every direction of it.

        By second differences; rounding of the losses is not taken for a bend.
        """
        f = self.losses
        slack = 8.0 * float(np.finfo(f.dtype).eps) * float(np.max(np.abs(f)))
        if f.ndim == 1:
            return float(np.mean(np.diff(f, 2) >= -slack))
        first = f[2:, 1:-1] - 2.0 * f[1:-1, 1:-1] + f[:-2, 1:-1]
        second = f[1:-1, 2:] - 2.0 * f[1:-1, 1:-1] + f[1:-1, :-2]
        mixed = 0.25 * (f[2:, 2:] - f[2:, :-2] - f[:-2, 2:] + f[:-2, :-2])
        smallest = 0.5 * (first + second) - np.hypot(0.5 * (first - second), mixed)
        return float(np.mean(smallest >= -slack))

    def width(self, level: float) -> float:
        """Size of the basin around the network in which the loss stays within ``level`` of its own.

        On a line, the length between the two points where it is first exceeded, by linear interpolation; in a
        plane, the square root of the area of the connected points. A basin that leaves the slice counts as
        far as that goes.

        Raises
        ------
        InvalidInput
            If ``level`` is not above 0.
        """
        limit = self.centre + check_interval(level, "level", low=0)
        if self.losses.ndim == 2:
            groups, _ = ndimage.label(self.losses <= limit)
            cells = int(np.sum(groups == groups[self._middle]))
            return float(self.steps[1] - self.steps[0]) * math.sqrt(cells)
        (middle,) = self._middle
        return _reach(self.losses[middle:], self.steps[middle:], limit) + _reach(
            self.losses[middle::-1], -self.steps[middle::-1], limit
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the grid and what was read off it, ready for JSON."""
        return {
            "steps": self.steps.tolist(),
            "losses": self.losses.tolist(),
            "curvature": list(self.curvature),
            "convex_share": self.convex_share,
        }

    @property
    def _middle(self) -> tuple[int, ...]:
        return tuple(size // 2 for size in self.losses.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class LossPath:
    """The regularised loss on the straight line from one network to another.

    Attributes
    ----------
    steps : ndarray, shape (points,)
        From 0, the first network, to 1, the second.
    losses : ndarray, shape (points,)
    """

    steps: HostArray
    losses: HostArray

    @property
    def barrier(self) -> float:
        """How far the loss rises above the straight line between its ends, at most; never below 0."""
        line = (1.0 - self.steps) * self.losses[0] + self.steps * self.losses[-1]
        return max(0.0, float(np.max(self.losses - line)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"steps": self.steps.tolist(), "losses": self.losses.tolist(), "barrier": self.barrier}


def random_direction(network: Network, *, stream: Stream) -> Array:
    """Draw a direction whose rows are as long as those of the weights.

    Normal entries; each row of a weight, a neuron or a filter, is rescaled to the length of that row of the
    network, so that the scale that layers may exchange drops out. All other parameters stay: they get 0.

    Returns
    -------
    array, shape (P,)
        In the order of `parameter_vector`, where the network lives.

    Source: H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, "Visualizing the loss landscape of neural nets",
    NeurIPS 2018.
    """
    parts: list[dict[str, Array]] = []
    for i, part in enumerate(pieces(network)):
        parts.append({name: namespace(p).zeros_like(p) for name, p in part.items()})
        if "weight" in part:
            W = part["weight"]
            xp = namespace(W)
            D = like(stream.child("direction", i).generator().standard_normal(W.shape), W)
            lengths = xp.linalg.vector_norm(W, axis=1, keepdims=True)
            parts[-1]["weight"] = D * (lengths / xp.linalg.vector_norm(D, axis=1, keepdims=True))
    return flatten(tuple(parts))


def loss_slice(
    network: Network,
    x: Array,
    labels: Array,
    *,
    dimensions: int = 1,
    radius: float = 1.0,
    points: int = 41,
    l1: float = 0.0,
    l2: float = 0.0,
    stream: Stream | None = None,
) -> LossSlice:
    """Return the loss along one random direction, or in the plane of two.

    Parameters
    ----------
    network : Network
        As it is after training: nothing is dropped, recorded statistics normalise.
    x : array, shape (batch, inputs)
    labels : integer array, shape (batch,)
    dimensions : {1, 2}
    radius : float
        Largest step on either side; see `random_direction`.
    points : int
        Along a direction; odd, so that the network itself is one.
    l1, l2 : float
        Penalty of `loss_and_gradients`.
    stream : Stream, optional
        What the directions are drawn from; a fixed stream if omitted.

    Raises
    ------
    InvalidInput
        If an argument cannot be used.
    """
    check_interval(radius, "radius", low=0)
    if check_count(points, "points", low=3) % 2 == 0:
        msg = f"`points` must be odd, so that the network itself is one of them, not {points}."
        raise InvalidInput(msg)
    if dimensions not in (1, 2):
        msg = f"`dimensions` must be 1 or 2, not {dimensions!r}."
        raise InvalidInput(msg)
    at = _Losses(network, x, labels, l1=l1, l2=l2)
    stream = stream or Stream()
    directions = tuple(random_direction(network, stream=stream.child(i)) for i in range(dimensions))
    steps = np.linspace(-1.0, 1.0, points) * radius
    grid = np.stack(np.meshgrid(*[steps] * dimensions, indexing="ij"), axis=-1).reshape(-1, dimensions)
    moves = [at.cut(d) for d in directions]
    losses = [at(_moved(at.start, moves, coordinates)) for coordinates in grid]
    return LossSlice(
        steps=steps, losses=np.array(losses).reshape((points,) * dimensions), directions=directions
    )


def interpolate(
    first: Network,
    second: Network,
    x: Array,
    labels: Array,
    *,
    points: int = 21,
    l1: float = 0.0,
    l2: float = 0.0,
) -> LossPath:
    """Return the loss of ``(1 - t) first + t second``, recorded statistics included.

    Parameters
    ----------
    first, second : Network
        With the same layers.
    x : array, shape (batch, inputs)
    labels : integer array, shape (batch,)
    points : int
        Both ends included.
    l1, l2 : float
        Penalty of `loss_and_gradients`.

    Raises
    ------
    InvalidInput
        If the networks differ in more than their parameters, or another argument cannot be used.
    """
    check_count(points, "points", low=2)
    at = _Losses(first, x, labels, l1=l1, l2=l2)
    if _plan(first) != _plan(second):
        msg = f"`second` must have the layers of `first`, sizes {first.sizes}, not sizes {second.sizes}."
        raise InvalidInput(msg)
    check_beside(second.first_array, "second", first.first_array, "first")
    here, there = ([layer.arrays for layer in network.layers] for network in (first, second))
    steps = np.linspace(0.0, 1.0, points)
    between = [
        tuple({key: (1.0 - t) * x + t * q[key] for key, x in p.items()} for p, q in zip(here, there))
        for t in map(float, steps)
    ]
    return LossPath(steps=steps, losses=np.array([at(parts) for parts in between]))


class _Losses:
    """The loss of networks that differ in their arrays only, with everything checked once."""

    def __init__(self, network: Network, x: Array, labels: Array, *, l1: float, l2: float) -> None:
        self.penalties = {
            "l1": check_interval(l1, "l1", low=0, closed="low"),
            "l2": check_interval(l2, "l2", low=0, closed="low"),
        }
        self.network, self.start = network, pieces(network)
        self.x = network.inputs(x)
        self.right = right_class(network.logits(self.x), labels)

    def __call__(self, parts: Pieces) -> float:
        moved = unchecked_network(self.network, parts)
        losses = sample_losses(moved.unchecked_logits(self.x), self.right)
        return scalar(namespace(losses).mean(losses)) + penalty(moved, **self.penalties)

    def cut(self, direction: Array) -> Pieces:
        """Return a direction in pieces."""
        return unflatten(direction, self.network)


def _moved(start: Pieces, moves: list[Pieces], coordinates: HostArray) -> Pieces:
    parts = [dict(part) for part in start]
    for move, t in zip(moves, map(float, coordinates)):
        for part, change in zip(parts, move):
            for name in part:
                part[name] = part[name] + t * change[name]
    return tuple(parts)


def _plan(network: Network) -> list[Any]:
    """What two networks must share to have a straight line between them."""
    return [
        (type(layer), layer.settings, {name: tuple(x.shape) for name, x in layer.arrays.items()})
        for layer in network.layers
    ]


def _reach(losses: HostArray, steps: HostArray, limit: float) -> float:
    """How far out, from the first point, the loss stays within ``limit``."""
    beyond = np.flatnonzero(losses > limit)
    if not len(beyond):
        return float(steps[-1])
    i = int(beyond[0])
    share = (limit - losses[i - 1]) / (losses[i] - losses[i - 1])
    return float(steps[i - 1] + share * (steps[i] - steps[i - 1]))
