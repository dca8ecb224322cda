"""Layers that act one way in training and another way after it: batch normalisation and dropout."""

from __future__ import annotations

from dataclasses import dataclass

from rmttheory.arrays import (
    Array,
    InvalidInput,
    Stream,
    check_count,
    check_interval,
    check_vector,
    like,
    namespace,
    scalar,
)
from rmttheory.networks.layers import Activated, Layer, Memory, check_activation, check_entries


@dataclass(frozen=True, eq=False)
class BatchNorm(Activated):
    """Batch normalisation ``x -> activation(scale (x - mean) / sqrt(variance + epsilon) + shift)``.

    In training, mean and variance are those of the batch, over samples and positions, and are recorded:
    ``mean += rate (batch mean - mean)``, likewise the variance, with the unbiased one of the batch. After it
    they are the recorded ones, so that the layer is affine.

    Parameters
    ----------
    scale, shift, mean, variance : array, shape (channels,)
        All on one device, in one dtype.
    activation : {"relu", "abs", "identity"}
    positions : int
        Entries of a row that share a channel: 1 after a dense layer, height times width after a convolution.
    epsilon : float
        Above 0.
    rate : float
        In (0, 1].

    Raises
    ------
    InvalidInput
        If arrays do not fit each other, hold what is not finite or a variance below 0, or a number is not of
        the kind above.

    References
    ----------
    Ioffe and Szegedy, Batch normalization, ICML 2015.
    """

    scale: Array
    shift: Array
    mean: Array
    variance: Array
    activation: str = "identity"
    positions: int = 1
    epsilon: float = 1e-5
    rate: float = 0.1

    trained = ("scale", "shift")
    recorded = ("mean", "variance")

    def __post_init__(self) -> None:
        check_vector(self.scale, "scale")
        for name in ("shift", "mean", "variance"):
            check_entries(getattr(self, name), name, self.scale.shape[0], self.scale, "scale")
        if scalar(namespace(self.variance).min(self.variance)) < 0:
            msg = "`variance` must hold no number below 0."
            raise InvalidInput(msg)
        check_activation(self.activation)
        check_count(self.positions, "positions")
        check_interval(self.epsilon, "epsilon", low=0)
        check_interval(self.rate, "rate", low=0, high=1, closed="high")

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs, as numbers in a row."""
        width = self.scale.shape[0] * self.positions
        return width, width

    @property
    def stretch(self) -> float:
        """``max |scale| / sqrt(variance + epsilon)``, after training."""
        xp = namespace(self.scale)
        return scalar(xp.max(xp.abs(self.scale) / xp.sqrt(self.variance + self.epsilon)))

    def affine(self, x: Array, stream: Stream | None) -> tuple[Array, Memory]:
        """`forward` before the activation."""
        xp = namespace(x)
        x = xp.reshape(x, (x.shape[0], -1, self.positions))
        batch = None
        mean, variance = self.mean, self.variance
        if stream is not None:
            mean = xp.mean(x, axis=(0, 2))
        normal = x - mean[:, None]
        if stream is not None:
            variance = xp.mean(normal * normal, axis=(0, 2))
            batch = mean, variance
        inverse = 1.0 / xp.sqrt(variance + self.epsilon)
        normal *= inverse[:, None]
        z = normal * self.scale[:, None]
        z += self.shift[:, None]
        return xp.reshape(z, (x.shape[0], -1)), (normal, inverse, batch)

    def affine_backward(
        self, delta: Array, memory: Memory, *, inputs: bool
    ) -> tuple[Array | None, dict[str, Array]]:
        """`backward` before the activation."""
        normal, inverse, batch = memory
        xp = namespace(delta)
        delta = xp.reshape(delta, normal.shape)
        gradients = {"scale": xp.sum(delta * normal, axis=(0, 2)), "shift": xp.sum(delta, axis=(0, 2))}
        if not inputs:
            return None, gradients
        if batch is not None:  # the mean and the variance depend on every sample
            count = normal.shape[0] * self.positions
            delta = delta - (gradients["shift"] / count)[:, None]
            delta -= normal * (gradients["scale"] / count)[:, None]
        delta = delta * (self.scale * inverse)[:, None]
        return xp.reshape(delta, (normal.shape[0], -1)), gradients

    def record(self, memory: Memory) -> None:
        """Move the recorded mean and variance towards those of the batch, in place."""
        _, (normal, _, (mean, variance)) = memory
        count = normal.shape[0] * self.positions
        for kept, new in ((self.mean, mean), (self.variance, variance * (count / max(count - 1, 1)))):
            kept *= 1.0 - self.rate
            kept += self.rate * new


@dataclass(frozen=True, eq=False)
class Dropout(Layer):
    """Set entries to 0 with probability ``rate`` in training and divide the others by ``1 - rate``.

    After training the layer does nothing.

    Parameters
    ----------
    width : int
        Entries of a row.
    rate : float
        In [0, 1).

    Raises
    ------
    InvalidInput
        If an argument is not of the kind above.

    References
    ----------
    Srivastava et al., Dropout, JMLR 15, 2014.
    """

    width: int
    rate: float = 0.5

    def __post_init__(self) -> None:
        check_count(self.width, "width")
        check_interval(self.rate, "rate", low=0, high=1, closed="low")

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs, both ``width``."""
        return self.width, self.width

    def forward(self, x: Array, stream: Stream | None = None) -> tuple[Array, Memory]:
        """Return the rows, in training with entries dropped; see `Layer.forward`."""
        if stream is None or self.rate == 0:
            return x, None
        kept = stream.generator().random(x.shape) >= self.rate
        mask = like(kept / (1.0 - self.rate), x)
        return x * mask, mask

    def backward(
        self,
        delta: Array,
        memory: Memory,
        *,
        inputs: bool = True,  # noqa: ARG002
    ) -> tuple[Array | None, dict[str, Array]]:
        """Return the gradient in the inputs; see `Layer.backward`."""
        return (delta if memory is None else delta * memory), {}
