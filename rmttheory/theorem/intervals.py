"""Where logits can go when parts of layers are removed: intervals and balls, carried through the network.

For a sample ``x`` let ``Delta`` be the change of what a layer is given when any share, from none to all, of
some matrices ``R`` is removed. It is enclosed by an interval in every coordinate and by a Euclidean norm,
and both go through the layers that follow:

* a linear layer ``W``, of which ``theta R`` is removed, changes by ``(W - theta R) Delta - theta R x``;
* a monotone activation by ``a(z + Delta) - a(z)``, with the ``z`` that the sample has, so that a unit that
  stays off changes nothing; a maximum by at most the extremes of its window;
* after each layer the norm is at most that of the interval, and the interval within the norm.

Labels are decided by differences of two logits, so the last layer is taken in these. Everything is
deterministic and holds for the samples at hand. It sharpens ``|R v|_inf`` times a Lipschitz constant of what
follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Placement
from rmttheory.networks import BatchNorm, Conv2d, Dropout, MaxPool2d, Network
from rmttheory.networks.layers import Dense, Linear

_ROOM = 1 + 1e-9
"""For the rounding of the bounds themselves, in double precision."""
_BLOCK = 2**24
"""Numbers in a block of differences of logits."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MarginBounds:
    """How far every label is ahead, and what is left of that at least.

    Attributes
    ----------
    labels : ndarray of int, shape (samples,)
        Of the whole network, in exact arithmetic.
    before, after : ndarray, shape (samples, classes)
        The logit of the label minus every other; and what of it remains whatever share is removed. Infinite
        for the label itself.
    """

    labels: HostArray
    before: HostArray
    after: HostArray

    @property
    def change(self) -> HostArray:
        """Most that the logit of the label can lose on another, shape (samples,)."""
        others = np.isfinite(self.before)
        lost = np.where(others, self.before, 0.0) - np.where(others, self.after, 0.0)
        most: HostArray = np.max(lost, axis=1)
        return most


@dataclass(frozen=True, eq=False)
class _Change:
    """An interval for every coordinate and a norm for every sample."""

    low: HostArray
    high: HostArray
    norm: HostArray

    @property
    def middle(self) -> HostArray:
        return (self.low + self.high) / 2

    @property
    def radius(self) -> HostArray:
        return (self.high - self.low) / 2


def margin_bounds(network: Network, x: HostArray, removed: Mapping[int, HostArray]) -> MarginBounds:
    """Bound what is left of the margins of samples when parts of layers are removed.

    Parameters
    ----------
    network : Network
        Whose last layer is dense, without activation.
    x : array, shape (samples, inputs)
    removed : mapping of int to array
        ``R`` for some layers, of the shape of their matrices.

    Returns
    -------
    MarginBounds

    Raises
    ------
    InvalidInput
        If the last layer is another, or a matrix does not fit.

    Notes
    -----
    Derived here; sharper than the deterministic bound on the path of the data in arXiv:2606.02608, whose
    product of norms it replaces.
    """
    network, x = _precise(network), np.asarray(network.inputs(x), np.float64)
    for index, R in removed.items():
        W = network.layers[index].matrix
        if W is None or W.shape != R.shape:
            msg = f"What is removed from layer {index} must have the shape of its matrix."
            raise InvalidInput(msg)
    zero = np.zeros_like(x)
    change = _Change(zero, zero, np.zeros(len(x)))
    for index, layer in enumerate(network.layers[:-1]):
        change, x = _through(layer, x, change, removed.get(index)), layer(x)
    return _margins(network, x, change, removed.get(len(network.layers) - 1))


def labels_that_stay(
    network: Network, x: HostArray, removed: Mapping[int, HostArray], *, unit: float
) -> tuple[MarginBounds, HostArray]:
    """Bound what is left of the margins, and say whose label provably stays, also as it is computed.

    Parameters
    ----------
    network, x, removed
        As for `margin_bounds`.
    unit : float
        As for `rounding_bounds`.

    Returns
    -------
    MarginBounds
    ndarray of bool, shape (samples,)

    Raises
    ------
    InvalidInput
        As for `margin_bounds`.
    """
    bounds = margin_bounds(network, x, removed)
    pruned = network
    for index, R in removed.items():
        W = network.layers[index].matrix
        pruned = pruned.replace(index, np.asarray(np.asarray(W, np.float64) - R, W.dtype))  # type: ignore[union-attr]
    own = np.arange(len(x)), bounds.labels
    stay = np.ones(len(x), bool)
    for one in (network, pruned):
        error = rounding_bounds(one, x, unit)
        stay &= np.all(bounds.after > error + error[own][:, None], axis=1)
    return bounds, stay


def rounding_bounds(network: Network, x: HostArray, unit: float) -> HostArray:
    """Bound the rounding of computed logits, in whatever order sums are taken.

    Parameters
    ----------
    network : Network
    x : array, shape (samples, inputs)
        As the program is given them.
    unit : float
        Largest relative error of one operation: 2^-24 in single precision.

    Returns
    -------
    ndarray, shape (samples, classes)
        Infinite where a layer has so many inputs that ``unit`` bounds nothing.

    Notes
    -----
    Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1.
    """
    network, x = _precise(network), np.asarray(network.inputs(x), np.float64)
    error = np.zeros_like(x)
    for layer in network.layers:
        if isinstance(layer, Linear):
            terms = (layer.weight.shape[1] + 2) * unit
            if terms >= 1:
                return np.full((len(x), network.layers[-1].shape[0]), np.inf)
            gamma = terms / (1 - terms)
            size = _linear(layer, np.abs(layer.weight), np.abs(x) * gamma + error)
            if layer.bias is not None:
                size += gamma * _biases(layer)
            error = size
        elif isinstance(layer, BatchNorm):
            gamma = 8 * unit / (1 - 8 * unit)
            scale, shift, mean = (
                _spread(layer, values) for values in (_scale(layer), layer.shift, layer.mean)
            )
            error = np.abs(scale) * (error + gamma * (np.abs(x) + np.abs(mean))) + gamma * np.abs(shift)
        elif isinstance(layer, MaxPool2d):
            error = layer(error)
        x = layer(x)
    return error


def _precise(network: Network) -> Network:
    last = network.layers[-1]
    if not isinstance(last, Dense) or last.activation != "identity":
        msg = "Margins are bounded for networks whose last layer is dense and without activation."
        raise InvalidInput(msg)
    return network.at(Placement())


def _through(layer: object, x: HostArray, change: _Change, R: HostArray | None) -> _Change:
    """Carry a change through one layer, whose inputs are ``x`` before it."""
    if isinstance(layer, Linear):
        return _activated(layer, layer.linear(x), _linear_change(layer, x, change, R))
    if isinstance(layer, BatchNorm):
        scale = _spread(layer, _scale(layer))
        ends = change.low * scale, change.high * scale
        norm = change.norm * np.max(np.abs(scale))
        moved = _tight(np.minimum(*ends), np.maximum(*ends), norm)
        return _activated(layer, layer.affine(x, None)[0], moved)
    if isinstance(layer, MaxPool2d):
        shared = math.prod(-(-size // step) for size, step in zip(layer.kernel, layer.stride))
        return _tight(-layer(-change.low), layer(change.high), change.norm * math.sqrt(shared))
    assert isinstance(layer, Dropout)
    return change


def _linear_change(layer: Linear, x: HostArray, change: _Change, R: HostArray | None) -> _Change:
    W = layer.weight
    shared = 1
    if isinstance(layer, Conv2d):  # into so many windows goes one entry of an image
        shared = math.prod(-(-size // step) for size, step in zip(layer.kernel, layer.stride))
    middle, radius = _linear(layer, W, change.middle), _linear(layer, np.abs(W), change.radius)
    rows, operator, moved = _rows(W), float(np.linalg.norm(W, 2)), np.zeros(1)
    if R is not None:
        moved = _linear(layer, R, x)
        half = W - R / 2
        middle = _linear(layer, half, change.middle) - moved / 2
        radius = _linear(layer, np.abs(half), change.radius) + np.abs(moved) / 2
        radius += _linear(layer, np.abs(R), np.maximum(np.abs(change.low), np.abs(change.high))) / 2
        rows = np.maximum(rows, _rows(W - R))
        operator = max(operator, float(np.linalg.norm(W - R, 2)))
    radius = radius * _ROOM
    reach = change.norm[:, None] * _in_rows(layer, rows) * _ROOM + np.abs(moved)
    norm = change.norm * operator * math.sqrt(shared) * _ROOM
    norm = norm + np.linalg.norm(np.broadcast_to(moved, middle.shape), axis=1)
    return _tight(np.maximum(middle - radius, -reach), np.minimum(middle + radius, reach), norm)


def _activated(layer: Linear | BatchNorm, z: HostArray, change: _Change) -> _Change:
    low, high = change.low, change.high
    if layer.activation == "abs":
        high = np.maximum(np.abs(low), np.abs(high))
        low = -high
    else:
        start = layer.activate(z)
        low, high = layer.activate(z + low) - start, layer.activate(z + high) - start
    return _tight(low, high, change.norm)


def _tight(low: HostArray, high: HostArray, norm: HostArray) -> _Change:
    return _Change(
        low, high, np.minimum(norm, np.linalg.norm(np.maximum(np.abs(low), np.abs(high)), axis=1) * _ROOM)
    )


def _margins(network: Network, x: HostArray, change: _Change, R: HostArray | None) -> MarginBounds:
    last = network.layers[-1]
    assert isinstance(last, Dense)
    W, logits = last.weight, last(x)
    labels = np.argmax(logits, axis=1)
    before = np.take_along_axis(logits, labels[:, None], 1) - logits
    after = np.empty_like(before)
    step = max(1, _BLOCK // W.size)
    for start in range(0, len(x), step):
        some = slice(start, start + step)
        middle, radius, norm = change.middle[some], change.radius[some], change.norm[some]
        D = W[labels[some]][:, None, :] - W
        far, lost = np.linalg.norm(D, axis=2), np.zeros(1)
        if R is None:
            box = _dot(D, middle) - _dot(np.abs(D), radius) * _ROOM
        else:
            parts = R[labels[some]][:, None, :] - R
            moved = _dot(parts, x[some])
            lost = np.maximum(moved, 0.0)
            half = D - parts / 2
            size = np.maximum(np.abs(change.low[some]), np.abs(change.high[some]))
            spread = _dot(np.abs(half), radius) + _dot(np.abs(parts), size) / 2 + np.abs(moved) / 2
            box = _dot(half, middle) - moved / 2 - spread * _ROOM
            far = np.maximum(far, np.linalg.norm(D - parts, axis=2))
        after[some] = before[some] + np.maximum(box, -far * norm[:, None] * _ROOM - lost)
    own = np.arange(len(x)), labels
    before[own] = after[own] = np.inf
    return MarginBounds(labels=labels, before=before, after=after)


def _dot(D: HostArray, v: HostArray) -> HostArray:
    """Multiply a matrix for each sample by its vector."""
    product: HostArray = (D @ v[:, :, None])[:, :, 0]
    return product


def _linear(layer: Linear, W: HostArray, v: HostArray) -> HostArray:
    product: HostArray = replace(layer, weight=np.ascontiguousarray(W), bias=None).linear(v)
    return product


def _rows(W: HostArray) -> HostArray:
    norms: HostArray = np.linalg.norm(W, axis=1)
    return norms


def _in_rows(layer: Linear, values: HostArray) -> HostArray:
    """Give each output the value of its row of the matrix."""
    return np.repeat(values, layer.shape[0] // len(values))


def _biases(layer: Linear) -> HostArray:
    return _in_rows(layer, np.abs(np.asarray(layer.bias)))


def _scale(layer: BatchNorm) -> HostArray:
    scale: HostArray = layer.scale / np.sqrt(layer.variance + layer.epsilon)
    return scale


def _spread(layer: BatchNorm, values: HostArray) -> HostArray:
    return np.repeat(values, layer.positions)
