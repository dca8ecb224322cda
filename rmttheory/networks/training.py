"""Training by stochastic gradient descent with momentum."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    as_stream,
    check_count,
    check_interval,
    device,
    namespace,
    scalar,
)
from rmttheory.networks.datasets import Dataset
from rmttheory.networks.gradients import add_penalty_gradient, backward, penalty
from rmttheory.networks.layers import Dense
from rmttheory.networks.losses import labels_beside, one_hot, sample_losses, sample_margins
from rmttheory.networks.network import Network

_CHUNK = 4096
"""Samples evaluated at once: bounds the memory of a measurement."""


Half = tuple[Array, Array]
"""Inputs and labels, beside the network."""


@dataclass(frozen=True)
class Epoch:
    """Measurements at the end of one epoch, after any pruning in it.

    Both losses are the mean cross-entropy over the whole set, without the penalty, and both accuracies the
    share of strictly positive confidences, so training and test values compare.
    """

    epoch: int
    rate: float
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    penalty: float
    pruned: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """A trained network, what was measured on the way, and what it came from."""

    network: Network
    history: tuple[Epoch, ...]
    data: str
    settings: dict[str, float | int]
    seed: int
    key: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the weights, ready for JSON."""
        return {
            "sizes": list(self.network.sizes),
            "history": [asdict(epoch) for epoch in self.history],
            "data": self.data,
            "settings": dict(self.settings),
            "seed": self.seed,
            "key": list(self.key),
        }


def decay(factor: float, *, every: int = 1) -> Callable[[int], float]:
    """Return the schedule ``factor ** (epoch // every)``: 0.96 every 4 epochs is ``decay(0.96, every=4)``."""
    check_interval(factor, "factor", low=0)
    check_count(every, "every")
    return lambda epoch: float(factor ** (epoch // every))


def train(
    network: Network,
    data: Dataset,
    *,
    epochs: int = 20,
    rate: float = 0.02,
    momentum: float = 0.9,
    l1: float = 0.0,
    l2: float = 0.0,
    batch: int = 64,
    schedule: Callable[[int], float] | None = None,
    rng: Any = None,
    prune: Callable[[Network, int], Network | None] | None = None,
    progress: Callable[[Epoch], object] | None = None,
) -> Trained:
    """Train a copy of ``network`` on the training half of ``data``.

    Each step is ``velocity = momentum * velocity - rate * gradient; W += velocity``, with the gradient of
    `loss_and_gradients`. It runs where the network lives, in its dtype.

    Parameters
    ----------
    network : Network
        With an input for each column of the data and an output for each class; it is left as it is.
    data : Dataset
    epochs, batch : int
        Passes over the data, and samples a step.
    rate : float
        Learning rate, above 0.
    momentum : float
        In [0, 1).
    l1, l2 : float
        Penalty ``l2 sum ||W||_F^2 + l1 sum |W_ij|``.
    schedule : callable, optional
        Maps the epoch, from 0, to a factor on ``rate``; such as `decay`. It depends on the epoch alone, so a
        pruned run and its control see the same rates.
    rng : None, int, generator or Stream
        Decides the order of the samples, and nothing else.
    prune : callable, optional
        Called after each epoch with the network and the number of epochs done; returns the network to go on
        with, or None for the same one. Velocities are kept.
    progress : callable, optional
        Called with each `Epoch` as it ends.

    Returns
    -------
    Trained

    Raises
    ------
    InvalidInput
        If an argument cannot be used, or the loss stops being finite.
    """
    settings = {
        "epochs": check_count(epochs, "epochs"),
        "rate": check_interval(rate, "rate", low=0),
        "momentum": check_interval(momentum, "momentum", low=0, high=1, closed="low"),
        "l1": check_interval(l1, "l1", low=0, closed="low"),
        "l2": check_interval(l2, "l2", low=0, closed="low"),
        "batch": check_count(batch, "batch"),
    }
    stream = as_stream(rng)
    live, train_half, test_half = _start(network, data)
    velocity = [namespace(p).zeros_like(p) for p in _parameters(live)]
    history = []
    for epoch in range(epochs):
        now = check_interval(rate * (schedule(epoch) if schedule else 1.0), "rate * schedule(epoch)", low=0)
        order = stream.child("order", epoch).generator().permutation(data.train_x.shape[0])
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, len(order), batch):
                chosen = _take(train_half, order[first : first + batch])
                _step(live, velocity, chosen, rate=now, momentum=momentum, l1=l1, l2=l2)
            finite = _finite(live)
        pruned = prune(_copy(live), epoch + 1) if prune and finite else None
        if pruned is not None:
            _overwrite(live, pruned)
        with np.errstate(over="ignore", invalid="ignore"):
            measured = (*_measure(live, train_half), *_measure(live, test_half), penalty(live, l1=l1, l2=l2))
        if not (finite and all(map(math.isfinite, measured))):
            msg = f"The loss stopped being finite in epoch {epoch + 1}, at rate {now:g}: `rate` is too large."
            raise InvalidInput(msg)
        history.append(Epoch(epoch + 1, now, *measured, pruned=pruned is not None))
        if progress:
            progress(history[-1])
    return Trained(
        network=live,
        history=tuple(history),
        data=data.describe(),
        settings=settings,
        seed=stream.seed,
        key=stream.key,
    )


def _start(network: Network, data: Dataset) -> tuple[Network, Half, Half]:
    """Return a copy of the network to train, and both halves of the data beside it."""
    if data.classes > network.sizes[-1]:
        msg = f"`network` has {network.sizes[-1]} outputs, but {data.name} has {data.classes} classes."
        raise InvalidInput(msg)
    like = network.layers[0].weight
    train_half = network.inputs(data.train_x), labels_beside(like, data.train_y)
    test_half = network.inputs(data.test_x), labels_beside(like, data.test_y)
    return _copy(network), train_half, test_half


def _take(half: Half, chosen: HostArray) -> Half:
    x, labels = half
    if isinstance(x, np.ndarray):
        return x[chosen], labels[chosen]
    xp = namespace(x)
    index = xp.asarray(chosen, device=device(x))
    return xp.take(x, index, axis=0), xp.take(labels, index, axis=0)


def _step(
    live: Network, velocity: list[Array], half: Half, *, rate: float, momentum: float, l1: float, l2: float
) -> None:
    """Take one step, in place: neither weights nor velocities are allocated anew."""
    x, labels = half
    _, gradients = backward(live, x, one_hot(labels, live.sizes[-1]))
    for layer, gradient in zip(live.layers, gradients):
        add_penalty_gradient(gradient.weight, layer.weight, l1=l1, l2=l2)
    slopes = [g for gradient in gradients for g in gradient if g is not None]
    for p, v, slope in zip(_parameters(live), velocity, slopes):
        slope *= rate
        v *= momentum
        v -= slope
        p += v


def _measure(network: Network, half: Half) -> tuple[float, float]:
    """Return mean loss and accuracy, a chunk of samples at a time."""
    x, labels = half
    xp, samples = namespace(x), x.shape[0]
    loss = right = 0.0
    for first in range(0, samples, _CHUNK):
        chunk = slice(first, min(first + _CHUNK, samples))
        logits = network.unchecked_logits(x[chunk, :])
        mask = one_hot(labels[chunk], logits.shape[1])
        loss += scalar(xp.sum(sample_losses(logits, mask)))
        right += scalar(xp.sum(xp.astype(sample_margins(logits, mask) > 0, logits.dtype)))
    return loss / samples, right / samples


def _parameters(network: Network) -> list[Array]:
    return [p for layer in network.layers for p in (layer.weight, layer.bias) if p is not None]


def _finite(network: Network) -> bool:
    return all(scalar(namespace(p).all(namespace(p).isfinite(p))) for p in _parameters(network))


def _copy(network: Network) -> Network:
    """Return the network with arrays of its own, which may be written to."""

    def copied(x: Array) -> Array:
        return namespace(x).asarray(x, copy=True)

    return Network(
        tuple(
            Dense(copied(a.weight), None if a.bias is None else copied(a.bias), a.activation)
            for a in network.layers
        )
    )


def _overwrite(live: Network, pruned: Network) -> None:
    """Write the parameters of ``pruned`` into the network that is being trained."""
    mine, theirs = _parameters(live), _parameters(pruned)
    if [p.shape for p in mine] != [p.shape for p in theirs]:
        msg = f"`prune` must return a network of sizes {live.sizes}, not {pruned.sizes}."
        raise InvalidInput(msg)
    for p, q in zip(mine, theirs):
        p[...] = q
