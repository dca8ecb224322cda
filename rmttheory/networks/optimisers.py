"""How a gradient becomes a step: stochastic gradient descent with momentum, and Adam."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, ClassVar

from rmttheory.arrays import Array, check_interval, namespace
from rmttheory.networks.blocks import blocks
from rmttheory.networks.network import Network


@dataclass
class Moments:
    """What an optimiser remembers of one array: arrays of its shape, and the steps since they were 0."""

    arrays: tuple[Array, ...]
    steps: int = 0


@dataclass(frozen=True)
class SGD:
    """Gradient descent with momentum: ``v = momentum v - rate gradient``, ``p = p + v``.

    Parameters
    ----------
    rate : float
        Above 0.
    momentum : float
        In [0, 1).

    Raises
    ------
    InvalidInput
        If a number lies outside its range.
    """

    rate: float = 0.02
    momentum: float = 0.9

    remembers: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_interval(self.rate, "rate", low=0)
        check_interval(self.momentum, "momentum", low=0, high=1, closed="low")

    def step(self, p: Array, gradient: Array, moments: Moments, *, rate: float) -> None:
        """Write the next ``p`` and its moments in place; ``gradient`` is written to as well."""
        for part, slope, v in blocks(p, gradient, *moments.arrays):
            slope *= rate
            v *= self.momentum
            v -= slope
            part += v


@dataclass(frozen=True)
class Adam:
    """Adam: steps of about ``rate`` whatever the size of the gradient.

    ``m = beta1 m + (1 - beta1) gradient``, ``v = beta2 v + (1 - beta2) gradient^2``, and after ``t`` steps
    ``p = p - rate (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)``.

    Parameters
    ----------
    rate : float
        Above 0.
    beta1, beta2 : float
        In [0, 1).
    epsilon : float
        Above 0.

    Raises
    ------
    InvalidInput
        If a number lies outside its range.

    References
    ----------
    Kingma and Ba, Adam, ICLR 2015.
    """

    rate: float = 1e-3
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8

    remembers: ClassVar[int] = 2

    def __post_init__(self) -> None:
        check_interval(self.rate, "rate", low=0)
        check_interval(self.beta1, "beta1", low=0, high=1, closed="low")
        check_interval(self.beta2, "beta2", low=0, high=1, closed="low")
        check_interval(self.epsilon, "epsilon", low=0)

    def step(self, p: Array, gradient: Array, moments: Moments, *, rate: float) -> None:
        """Write the next ``p`` and its moments in place; ``gradient`` is written to as well."""
        moments.steps += 1
        first, second = 1.0 - self.beta1**moments.steps, 1.0 - self.beta2**moments.steps
        for part, slope, m, v in blocks(p, gradient, *moments.arrays):
            m *= self.beta1
            m += (1.0 - self.beta1) * slope
            slope *= slope
            slope *= 1.0 - self.beta2
            v *= self.beta2
            v += slope
            size = namespace(v).sqrt(v)
            size *= 1.0 / math.sqrt(second)
            size += self.epsilon
            part -= (rate / first) * m / size


Optimiser = SGD | Adam

Memories = list[dict[str, Moments]]
"""The moments of each parameter of each layer."""


def at_rest(network: Network, optimiser: Optimiser) -> Memories:
    """Return moments of 0."""
    return [
        {
            name: Moments(tuple(namespace(p).zeros_like(p) for _ in range(optimiser.remembers)))
            for name, p in layer.parameters.items()
        }
        for layer in network.layers
    ]


def carried(old: Network, memories: Memories, new: Network, optimiser: Optimiser) -> Memories:
    """Return moments for the layers of ``new``: of those of ``old`` what stays, 0 for the rest."""
    fresh = at_rest(new, optimiser)
    for index, origin in enumerate(origins(old, new)):
        if origin is not None:
            fresh[index] = memories[origin]
    return fresh


def origins(old: Network, new: Network) -> list[int | None]:
    """Say which layer of ``old`` each layer of ``new`` is, if it has its shapes.

    Of as many layers, each is the one in its place. Otherwise a layer may have become several that map the
    same inputs to the same outputs, as the factors of a matrix do.
    """
    shapes = [[_shapes(layer) for layer in network.layers] for network in (old, new)]
    if len(old.layers) == len(new.layers):
        return [i if shapes[0][i] == shapes[1][i] else None for i in range(len(new.layers))]
    found: list[int | None] = [None] * len(new.layers)
    after = 0
    for i, layer in enumerate(old.layers):
        if after < len(found) and shapes[0][i] == shapes[1][after]:
            found[after] = i
        else:
            while after < len(found) and new.layers[after].shape[0] != layer.shape[0]:
                after += 1
        after += 1
    return found


def settings_of(optimiser: Optimiser) -> dict[str, Any]:
    """Return the name and the numbers of an optimiser, ready for JSON."""
    return {"optimiser": type(optimiser).__name__} | asdict(optimiser)


def _shapes(layer: Any) -> tuple[Any, ...]:
    parameters = ((name, tuple(p.shape)) for name, p in layer.parameters.items())
    return (type(layer), layer.shape, *parameters)
