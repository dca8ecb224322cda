"""The regularised loss of a network and its exact gradient, by back-propagation."""

from __future__ import annotations

from typing import Any, NamedTuple

from rmttheory.arrays import Array, Stream, check_interval, namespace, scalar
from rmttheory.networks.blocks import blocks
from rmttheory.networks.layers import Memory
from rmttheory.networks.losses import loss_gradient, right_class, sample_losses
from rmttheory.networks.network import Network


class Gradient(NamedTuple):
    """Gradient of a loss in each parameter of one layer; None where the layer has no such parameter."""

    weight: Array = None
    bias: Array = None
    scale: Array = None
    shift: Array = None


def loss_and_gradients(
    network: Network,
    x: Array,
    labels: Array,
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    training: Stream | None = None,
) -> tuple[float, tuple[Gradient, ...]]:
    """Return the regularised loss and its exact gradient in every parameter, by back-propagation.

    The loss is ``mean cross-entropy + l2 sum ||W||_F^2 + l1 sum |W_ij|`` over the matrices of all layers,
    dense and convolutional (no factor 1/2; biases and the parameters of normalisations are free). At a kink
    of an activation, and of ``|W_ij|``, the slope is taken as 0.

    Parameters
    ----------
    network : Network
    x : array, shape (batch, inputs)
    labels : integer array, shape (batch,)
    l1, l2 : float
        At least 0; both for the elastic net.
    training : Stream, optional
        Takes the loss of a training step: batches are normalised by themselves, and entries dropped as drawn
        from this stream. Otherwise the network acts as it does after training.

    Returns
    -------
    loss : float
    gradients : tuple of Gradient, one for each layer, where the network lives

    Raises
    ------
    InvalidInput
        If ``x``, ``labels`` or a penalty cannot be used.
    """
    check_interval(l1, "l1", low=0, closed="low")
    check_interval(l2, "l2", low=0, closed="low")
    x = network.inputs(x)
    logits, memories = forward(network, x, training)
    right = right_class(logits, labels)
    gradients = backward(network, loss_gradient(logits, right), memories)
    for layer, gradient in zip(network.layers, gradients):
        if layer.matrix is not None:
            add_penalty_gradient(gradient["weight"], layer.matrix, l1=l1, l2=l2)
    losses = sample_losses(logits, right)
    loss = scalar(namespace(losses).mean(losses)) + penalty(network, l1=l1, l2=l2)
    return loss, tuple(Gradient(**gradient) for gradient in gradients)


def forward(network: Network, x: Array, stream: Stream | None) -> tuple[Array, list[Memory]]:
    """Return the logits and what each layer keeps for `backward`, unchecked; a stream means training."""
    memories: list[Any] = []
    for i, layer in enumerate(network.layers):
        x, memory = layer.forward(x, None if stream is None else stream.child(i))
        memories.append(memory)
    return x, memories


def backward(network: Network, delta: Array, memories: list[Memory]) -> list[dict[str, Array]]:
    """Return the gradient in each parameter of each layer, from that in the logits, unchecked."""
    gradients: list[dict[str, Array]] = []
    for i in reversed(range(len(network.layers))):
        delta, found = network.layers[i].backward(delta, memories[i], inputs=i > 0)
        gradients.append(found)
    return gradients[::-1]


def penalty(network: Network, *, l1: float = 0.0, l2: float = 0.0) -> float:
    """Return ``l2 sum ||W||_F^2 + l1 sum |W_ij|`` over the matrices of all layers."""
    total = 0.0
    for index in network.weighted:
        W = network.layers[index].weight
        xp = namespace(W)
        if l2:
            total += l2 * scalar(xp.sum(W * W))
        if l1:
            total += l1 * scalar(xp.sum(xp.abs(W)))
    return total


def add_penalty_gradient(gradient: Array, W: Array, *, l1: float, l2: float) -> None:
    """Add the gradient of the penalty in ``W`` to ``gradient``, in place."""
    if not (l1 or l2):
        return
    for slope, part in blocks(gradient, W):
        if l2:
            slope += (2.0 * l2) * part
        if l1:
            slope += l1 * namespace(part).sign(part)
