"""Training by stochastic gradients, with pruning on the way and checkpoints."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import (
    Array,
    InvalidInput,
    Stream,
    as_stream,
    check_count,
    check_interval,
    device,
    like,
    namespace,
    scalar,
)
from rmttheory.networks.checkpoints import State, read_state, write_state, written
from rmttheory.networks.datasets import Dataset
from rmttheory.networks.gradients import add_penalty_gradient, backward, forward, penalty
from rmttheory.networks.layers import check_beside
from rmttheory.networks.losses import labels_beside, loss_gradient, one_hot, sample_losses, sample_margins
from rmttheory.networks.network import Network, check_index
from rmttheory.networks.optimisers import SGD, Optimiser, at_rest, carried, settings_of

_CHUNK = 4096
"""Samples evaluated at once: bounds the memory of a measurement."""


Half = tuple[Array, Array]
"""Inputs and labels, beside the network."""

Pruned = Network | tuple[Network, Mapping[int, Array]] | None
"""What may come back from pruning: a network, one with masks by layer, or None for no change."""


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
    settings: dict[str, float | int | str]
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
    rate: float | None = None,
    momentum: float | None = None,
    optimiser: Optimiser | None = None,
    l1: float = 0.0,
    l2: float = 0.0,
    batch: int = 64,
    schedule: Callable[[int], float] | None = None,
    rng: Any = None,
    prune: Callable[[Network, int], Pruned] | None = None,
    reset_at_pruning: bool = False,
    checkpoint: str | Path | None = None,
    every: int = 1,
    progress: Callable[[Epoch], object] | None = None,
) -> Trained:
    """Train a copy of ``network`` on the training half of ``data``.

    Each step follows the gradient of `loss_and_gradients`, in training, on the next samples of a random
    order. It runs where the network lives, in its dtype; the data are moved there once.

    Parameters
    ----------
    network : Network
        With an input for each column of the data and an output for each class; it is left as it is.
    data : Dataset
    epochs, batch : int
        Passes over the data, and samples a step.
    rate, momentum : float, optional
        Of `SGD`, 0.02 and 0.9 if omitted.
    optimiser : SGD or Adam, optional
        In place of ``rate`` and ``momentum``.
    l1, l2 : float
        Penalty ``l2 sum ||W||_F^2 + l1 sum |W_ij|`` over matrices; both for the elastic net.
    schedule : callable, optional
        Maps the epoch, from 0, to a factor on the rate; such as `decay`. It depends on the epoch alone, so a
        pruned run and its control see the same rates. At 0 matrices and biases stay as they are.
    rng : None, int, generator or Stream
        Decides the order of the samples and what is dropped, and nothing else.
    prune : callable, optional
        Called after each epoch with the network and the number of epochs done. It returns the network to go
        on with, None for the same one, or a pair of the network and masks: arrays of the shape of a matrix,
        by the index of its layer, whose zeros mark entries that are set to 0 and stay 0. Masks last until a
        network is returned again, and the layers of that network may be others, if inputs and outputs are
        as many. To be resumed from a checkpoint, what it remembers must be returned by its method ``state()``
        as plain values, and set by ``restore(state)``.
    reset_at_pruning : bool
        Forget what the optimiser remembers whenever the network is pruned, as published code did. Otherwise
        it is kept for layers of unchanged shape, and starts at 0 for others.
    checkpoint : path, optional
        A ``.npz`` or ``.safetensors`` file, written after every ``every`` epochs and after the last. If it is
        there, the run goes on from it and ends as it would have without a break, bit for bit; ``epochs`` may
        have grown.
    every : int
    progress : callable, optional
        Called with each `Epoch` as it ends.

    Returns
    -------
    Trained

    Raises
    ------
    InvalidInput
        If an argument cannot be used, the checkpoint is not one of this run, or the loss stops being finite.
    """
    optimiser = _optimiser(optimiser, rate, momentum)
    settings: dict[str, float | int | str] = {
        "epochs": check_count(epochs, "epochs"),
        **settings_of(optimiser),
        "l1": check_interval(l1, "l1", low=0, closed="low"),
        "l2": check_interval(l2, "l2", low=0, closed="low"),
        "batch": check_count(batch, "batch"),
    }
    check_count(every, "every")
    state, train_half, test_half = _start(network, data, optimiser)
    stream = as_stream(rng)
    if checkpoint is not None:
        run: dict[str, Any] = {name: value for name, value in settings.items() if name != "epochs"}
        run |= {"reset_at_pruning": reset_at_pruning, "data": data.describe(), "sizes": list(network.sizes)}
        if rng is not None:
            run |= {"seed": stream.seed, "key": list(stream.key)}
        if Path(checkpoint).exists():
            state, stream = _resumed(checkpoint, run, prune, network, optimiser, epochs)
        run |= {"seed": stream.seed, "key": list(stream.key)}
    for epoch in range(len(state.history), epochs):
        now = check_interval(
            optimiser.rate * (schedule(epoch) if schedule else 1.0),
            "rate * schedule(epoch)",
            low=0,
            closed="low",
        )
        order = _order(stream.child("order", epoch), train_half)
        samples = order.shape[0]
        with np.errstate(over="ignore", invalid="ignore"):
            for first in range(0, samples, batch):
                _step(
                    state,
                    _take(train_half, order[first : min(first + batch, samples)]),
                    optimiser,
                    rate=now,
                    l1=l1,
                    l2=l2,
                    stream=stream.child("step", epoch, first // batch),
                )
            finite = _finite(state.network)
        pruned = prune(state.network.mapped(written), epoch + 1) if prune and finite else None
        if pruned is not None:
            _go_on(state, pruned, optimiser, reset=reset_at_pruning)
        with np.errstate(over="ignore", invalid="ignore"):
            live = state.network
            measured = (*_measure(live, train_half), *_measure(live, test_half), penalty(live, l1=l1, l2=l2))
        if not (finite and all(map(math.isfinite, measured))):
            msg = f"The loss stopped being finite in epoch {epoch + 1}, at rate {now:g}: `rate` is too large."
            raise InvalidInput(msg)
        done = Epoch(epoch + 1, now, *measured, pruned=pruned is not None)
        state.history.append(asdict(done))
        if checkpoint is not None and (done.epoch % every == 0 or done.epoch == epochs):
            write_state(checkpoint, state, run, prune)
        if progress:
            progress(done)
    return Trained(
        network=state.network,
        history=tuple(Epoch(**epoch) for epoch in state.history),
        data=data.describe(),
        settings=settings,
        seed=stream.seed,
        key=stream.key,
    )


def _optimiser(optimiser: Optimiser | None, rate: float | None, momentum: float | None) -> Optimiser:
    given = {name: value for name, value in (("rate", rate), ("momentum", momentum)) if value is not None}
    if optimiser is None:
        return SGD(**given)
    if given:
        msg = f"`{next(iter(given))}` belongs to the optimiser: give it to {type(optimiser).__name__}."
        raise InvalidInput(msg)
    return optimiser


def _start(network: Network, data: Dataset, optimiser: Optimiser) -> tuple[State, Half, Half]:
    """Return a copy of the network at rest, and both halves of the data beside it."""
    if data.classes > network.sizes[-1]:
        msg = f"`network` has {network.sizes[-1]} outputs, but {data.name} has {data.classes} classes."
        raise InvalidInput(msg)
    own = network.first_array
    train_half = network.inputs(data.train_x), labels_beside(own, data.train_y)
    test_half = network.inputs(data.test_x), labels_beside(own, data.test_y)
    live = network.mapped(written)
    return State(live, at_rest(live, optimiser), {}, []), train_half, test_half


def _resumed(
    path: str | Path, run: dict[str, Any], prune: Any, network: Network, optimiser: Optimiser, epochs: int
) -> tuple[State, Stream]:
    state, found = read_state(path, run, prune, network.first_array, optimiser)
    if len(state.history) > epochs:
        msg = f"{path} has {len(state.history)} epochs behind it, more than `epochs`, {epochs}."
        raise InvalidInput(msg)
    return state, Stream(found["seed"], tuple(found["key"]))


def _order(stream: Stream, half: Half) -> Array:
    """Draw an order of the samples, and move it beside them once for a whole epoch."""
    x, _ = half
    return namespace(x).asarray(stream.generator().permutation(x.shape[0]), device=device(x))


def _take(half: Half, chosen: Array) -> Half:
    x, labels = half
    xp = namespace(x)
    return xp.take(x, chosen, axis=0), xp.take(labels, chosen, axis=0)


def _step(
    state: State, half: Half, optimiser: Optimiser, *, rate: float, l1: float, l2: float, stream: Stream
) -> None:
    """Take one step, in place: neither parameters nor moments are allocated anew."""
    x, labels = half
    live = state.network
    logits, memories = forward(live, x, stream)
    gradients = backward(live, loss_gradient(logits, one_hot(labels, live.sizes[-1])), memories)
    for i, (layer, gradient) in enumerate(zip(live.layers, gradients)):
        layer.record(memories[i])
        if layer.matrix is not None:
            add_penalty_gradient(gradient["weight"], layer.matrix, l1=l1, l2=l2)
        if i in state.masks:
            gradient["weight"] *= state.masks[i]
        for name, p in layer.parameters.items():
            optimiser.step(p, gradient[name], state.memories[i][name], rate=rate)


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


def _finite(network: Network) -> bool:
    return all(
        scalar(namespace(x).all(namespace(x).isfinite(x)))
        for layer in network.layers
        for x in layer.arrays.values()
    )


def _free(mask: Array, W: Array) -> Array:
    """Return a mask, from the host or from beside ``W``, as factors 0 and 1."""
    if isinstance(mask, np.ndarray):
        return like(mask != 0, W)
    xp = namespace(mask, W)
    return xp.astype(xp.astype(mask, xp.bool), W.dtype)


def _go_on(state: State, pruned: Any, optimiser: Optimiser, *, reset: bool) -> None:
    """Go on with what ``prune`` returned."""
    network, masks = pruned if isinstance(pruned, tuple) and len(pruned) == 2 else (pruned, {})
    if not (isinstance(network, Network) and isinstance(masks, Mapping)):
        msg = f"`prune` must return a network, one and a dict of masks, or None, not {pruned!r:.60}."
        raise InvalidInput(msg)
    old = state.network
    if (network.sizes[0], network.sizes[-1]) != (old.sizes[0], old.sizes[-1]):
        msg = (
            f"`prune` must return a network of {old.sizes[0]} inputs and {old.sizes[-1]} outputs, "
            f"not {network.sizes[0]} and {network.sizes[-1]}."
        )
        raise InvalidInput(msg)
    check_beside(network.first_array, "network from `prune`", old.first_array, "network")
    state.network = network.mapped(written)
    state.memories = (
        at_rest(state.network, optimiser) if reset else carried(old, state.memories, state.network, optimiser)
    )
    state.masks = {}
    for index, mask in masks.items():
        W = state.network.layers[check_index(index, network)].matrix
        if W is None or getattr(mask, "shape", None) != W.shape:
            msg = f"The mask of layer {index} must be an array of the shape of its matrix."
            raise InvalidInput(msg)
        free = state.masks[index % len(network.layers)] = _free(mask, W)
        for array in (W, *state.memories[index]["weight"].arrays):
            array *= free
