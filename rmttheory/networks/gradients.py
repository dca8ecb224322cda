"""The regularised loss of a network and its exact gradient, by back-propagation."""

from __future__ import annotations

from typing import NamedTuple

from rmttheory.arrays import Array, check_interval, namespace, scalar
from rmttheory.networks.losses import loss_gradient, right_class, sample_losses
from rmttheory.networks.network import Network


class Gradient(NamedTuple):
    """Gradient of a loss in the weight and the bias of one layer; None where the layer has no bias."""

    weight: Array
    bias: Array | None


def loss_and_gradients(
    network: Network, x: Array, labels: Array, *, l1: float = 0.0, l2: float = 0.0
) -> tuple[float, tuple[Gradient, ...]]:
    """Return the regularised loss and its exact gradient in every parameter, by back-propagation.

    The loss is ``mean cross-entropy + l2 sum ||W||_F^2 + l1 sum |W_ij|`` over all layers (no factor 1/2;
    biases are free). At a kink of an activation, and of ``|W_ij|``, the slope is taken as 0.

    Parameters
    ----------
    network : Network
    x : array, shape (batch, inputs)
    labels : integer array, shape (batch,)
    l1, l2 : float
        At least 0.

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
    right = right_class(network.logits(x), labels)
    losses, gradients = backward(network, x, right)
    for layer, gradient in zip(network.layers, gradients):
        add_penalty_gradient(gradient.weight, layer.weight, l1=l1, l2=l2)
    return scalar(namespace(losses).mean(losses)) + penalty(network, l1=l1, l2=l2), gradients


def backward(network: Network, x: Array, right: Array) -> tuple[Array, tuple[Gradient, ...]]:
    """Return the loss of each sample and the gradient of their mean, unchecked.

    ``right`` is the mask of the right classes.
    """
    xp = namespace(x)
    inputs, linear = [], []
    for layer in network.layers:
        inputs.append(x)
        linear.append(layer.linear(x))
        x = layer.activate(linear[-1])
    delta = loss_gradient(x, right)
    gradients: list[Gradient] = []
    for i in reversed(range(len(network.layers))):
        layer = network.layers[i]
        if layer.activation != "identity":
            delta *= layer.slope(linear[i])
        bias = None if layer.bias is None else xp.sum(delta, axis=0)
        gradients.append(Gradient(delta.T @ inputs[i], bias))
        if i > 0:
            delta = delta @ layer.weight
    return sample_losses(x, right), tuple(reversed(gradients))


def penalty(network: Network, *, l1: float = 0.0, l2: float = 0.0) -> float:
    """Return ``l2 sum ||W||_F^2 + l1 sum |W_ij|`` over all layers."""
    total = 0.0
    for layer in network.layers:
        xp, W = namespace(layer.weight), layer.weight
        if l2:
            total += l2 * scalar(xp.sum(W * W))
        if l1:
            total += l1 * scalar(xp.sum(xp.abs(W)))
    return total


def add_penalty_gradient(gradient: Array, W: Array, *, l1: float, l2: float) -> None:
    """Add the gradient of the penalty in ``W`` to ``gradient``, in place."""
    if l2:
        gradient += (2.0 * l2) * W
    if l1:
        gradient += l1 * namespace(W).sign(W)
