"""What a layer is, and dense layers.

Every layer maps rows to rows, ``(batch, inputs)`` to ``(batch, outputs)``; images are rows as well, channel
by channel, so that nothing has to be flattened between a convolution and a dense layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from rmttheory.arrays import (
    Array,
    InvalidInput,
    Stream,
    check_choice,
    check_matrix,
    check_vector,
    device,
    namespace,
    scalar,
)
from rmttheory.networks.blocks import blocks


def _relu(z: Array) -> Array:
    return namespace(z).maximum(z, 0.0)


def _relu_slope(z: Array) -> Array:
    return namespace(z).astype(z > 0, z.dtype)


def _identity_slope(z: Array) -> Array:
    return namespace(z).ones_like(z)


_ACTIVATIONS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (_relu, _relu_slope),
    "abs": (lambda z: namespace(z).abs(z), lambda z: namespace(z).sign(z)),
    "identity": (lambda z: z, _identity_slope),
}
"""Each activation with its derivative (0 at the kink): all are 1-Lipschitz and vanish at 0."""

Memory = Any
"""What a forward pass keeps for the backward pass of the same layer."""


class Layer:
    """What all layers share; a network is a tuple of them.

    Attributes
    ----------
    trained, recorded : tuple of str
        Names of the arrays that gradients change, and of those that training only records.
    weight, bias, activation, linear, activate, slope
        Of layers whose `matrix` is not None; see `Linear`.
    """

    trained: ClassVar[tuple[str, ...]] = ()
    recorded: ClassVar[tuple[str, ...]] = ()
    weight: Array
    bias: Array | None
    activation: str
    linear: Callable[[Array], Array]
    activate: Callable[[Array], Array]
    slope: Callable[[Array], Array]

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs, ``(n, m)``."""
        raise NotImplementedError

    @property
    def matrix(self) -> Array | None:
        """The matrix whose spectrum is studied, if the layer has one."""
        return None

    @property
    def stretch(self) -> float:
        """How much the layer can stretch a change of its inputs, both in the max norm."""
        return 1.0

    @property
    def parameters(self) -> dict[str, Array]:
        """The arrays that training changes, by name."""
        return {name: getattr(self, name) for name in self.trained if getattr(self, name) is not None}

    @property
    def arrays(self) -> dict[str, Array]:
        """All arrays of the layer, by name."""
        return self.parameters | {name: getattr(self, name) for name in self.recorded}

    @property
    def settings(self) -> dict[str, Any]:
        """All else that makes the layer, by name: numbers, words and tuples of numbers."""
        names = [field.name for field in fields(self)]  # type: ignore[arg-type]
        return {name: getattr(self, name) for name in names if name not in self.trained + self.recorded}

    def __call__(self, x: Array) -> Array:
        """Return the outputs of rows ``x``, as they are after training."""
        return self.forward(x)[0]

    def forward(self, x: Array, stream: Stream | None = None) -> tuple[Array, Memory]:
        """Return the outputs of rows ``x``, and what `backward` needs.

        Parameters
        ----------
        x : array, shape (batch, inputs)
        stream : Stream, optional
            Given in training only: what a step draws comes from it, and a batch is normalised by itself.
        """
        raise NotImplementedError

    def backward(
        self, delta: Array, memory: Memory, *, inputs: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        """Return the gradients in the inputs and in each parameter, from that in the outputs.

        Parameters
        ----------
        delta : array, shape (batch, outputs)
            It may be written to.
        memory : object
            What `forward` returned beside these outputs.
        inputs : bool
            Whether the gradient in the inputs is wanted; None otherwise.
        """
        raise NotImplementedError

    def record(self, memory: Memory) -> None:
        """Write what a training step is to leave in the layer, beside its gradients, into its arrays."""


class Activated(Layer):
    """A layer that ends in an activation: ``x -> activation(affine(x))``."""

    def affine(self, x: Array, stream: Stream | None) -> tuple[Array, Memory]:
        """`forward` before the activation."""
        raise NotImplementedError

    def affine_backward(
        self, delta: Array, memory: Memory, *, inputs: bool
    ) -> tuple[Array | None, dict[str, Array]]:
        """`backward` before the activation."""
        raise NotImplementedError

    def activate(self, z: Array) -> Array:
        """Apply the activation to each entry of ``z``."""
        return _ACTIVATIONS[self.activation][0](z)

    def slope(self, z: Array) -> Array:
        """Return the derivative of the activation at each entry of ``z``; 0 at the kink of relu and abs."""
        return _ACTIVATIONS[self.activation][1](z)

    def forward(self, x: Array, stream: Stream | None = None) -> tuple[Array, Memory]:
        """Return the outputs of rows ``x``, and what `backward` needs; see `Layer.forward`."""
        z, memory = self.affine(x, stream)
        return self.activate(z), (z, memory)

    def backward(
        self, delta: Array, memory: Memory, *, inputs: bool = True
    ) -> tuple[Array | None, dict[str, Array]]:
        """Return the gradients in the inputs and in each parameter; see `Layer.backward`."""
        z, memory = memory
        if self.activation != "identity":
            for part, place in blocks(delta, z):
                part *= self.slope(place)
        return self.affine_backward(delta, memory, inputs=inputs)


@dataclass(frozen=True, eq=False)
class Linear(Activated):
    """A layer ``x -> activation(W x + b)`` with a matrix ``W`` that may be shared between places of an image.

    The maps that are linear in ``W`` stand alone, for derivatives of any order: for those of another weight
    ``V`` take ``dataclasses.replace(layer, weight=V, bias=None)``.
    """

    weight: Array
    bias: Array | None = None
    activation: str = "relu"

    trained = ("weight", "bias")

    def __post_init__(self) -> None:
        check_matrix(self.weight, "weight")
        check_choice(self.activation, "activation", _ACTIVATIONS)
        if self.bias is not None:
            check_entries(self.bias, "bias", self.weight.shape[0], self.weight, "weight")

    @property
    def matrix(self) -> Array:
        """The matrix whose spectrum is studied: ``weight``."""
        return self.weight

    @property
    def stretch(self) -> float:
        """``max_i sum_j |W_ij|``: the norm of the layer between max norms, activations being 1-Lipschitz."""
        xp = namespace(self.weight)
        return scalar(xp.max(xp.sum(xp.abs(self.weight), axis=1)))

    def linear(self, x: Array) -> Array:
        """Return the rows before the activation, bias included."""
        raise NotImplementedError

    def pull(self, delta: Array) -> Array:
        """Return the gradient in the inputs, from that in `linear`."""
        raise NotImplementedError

    def weight_gradient(self, delta: Array, x: Array) -> Array:
        """Return the gradient in ``weight``, from that in `linear` and the inputs."""
        raise NotImplementedError

    def bias_gradient(self, delta: Array) -> Array:
        """Return the gradient in ``bias``, from that in `linear`."""
        raise NotImplementedError

    def affine(self, x: Array, stream: Stream | None) -> tuple[Array, Memory]:  # noqa: ARG002
        """`forward` before the activation."""
        return self.linear(x), x

    def affine_backward(
        self, delta: Array, memory: Memory, *, inputs: bool
    ) -> tuple[Array | None, dict[str, Array]]:
        """`backward` before the activation."""
        gradients = {"weight": self.weight_gradient(delta, memory)}
        if self.bias is not None:
            gradients["bias"] = self.bias_gradient(delta)
        return self.pull(delta) if inputs else None, gradients


@dataclass(frozen=True, eq=False)
class Dense(Linear):
    """The layer ``x -> activation(W x + b)``.

    Parameters
    ----------
    weight : array, shape (n, m)
        ``W``, outputs by inputs, as it acts on a column.
    bias : array, shape (n,), optional
        On the device and in the dtype of ``weight``.
    activation : {"relu", "abs", "identity"}
        Applied to each coordinate.

    Raises
    ------
    InvalidInput
        If an entry is not finite, shapes, libraries, devices or dtypes disagree, or the activation is
        unknown.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs, ``(n, m)``."""
        n, m = self.weight.shape
        return n, m

    def linear(self, x: Array) -> Array:
        """Return ``x W^T + b``: rows of ``x`` are inputs, ``(batch, m)`` to ``(batch, n)``."""
        z = x @ self.weight.T
        if self.bias is not None:
            z += self.bias
        return z

    def pull(self, delta: Array) -> Array:
        """Return ``delta W``, the gradient in the inputs from that in `linear`."""
        return delta @ self.weight

    def weight_gradient(self, delta: Array, x: Array) -> Array:
        """Return ``delta^T x``, the gradient in ``W`` from that in `linear` and the inputs."""
        return delta.T @ x

    def bias_gradient(self, delta: Array) -> Array:
        """Return the sum of the rows of ``delta``, the gradient in ``b``."""
        return namespace(delta).sum(delta, axis=0)


def check_activation(activation: str) -> None:
    """Check the name of an activation.

    Raises
    ------
    InvalidInput
        If there is none of that name.
    """
    check_choice(activation, "activation", _ACTIVATIONS)


def check_entries(x: Array, name: str, count: int, other: Array, other_name: str) -> None:
    """Check that ``x`` is a vector with an entry for each of ``count`` outputs, beside ``other``.

    Raises
    ------
    InvalidInput
        If it is not.
    """
    check_vector(x, name)
    if x.shape[0] != count:
        msg = f"`{name}` must have one entry for each of the {count} outputs, not {x.shape[0]}."
        raise InvalidInput(msg)
    check_beside(x, name, other, other_name)


def check_beside(x: Array, name: str, other: Array, other_name: str) -> None:
    """Check that two arrays share library, device and dtype.

    Raises
    ------
    InvalidInput
        If they do not.
    """
    namespace(x, other)
    if x.dtype != other.dtype or device(x) != device(other):
        here, there = (f"{a.dtype} on {device(a)}" for a in (x, other))
        msg = f"`{name}` must be {there}, as `{other_name}` is, not {here}."
        raise InvalidInput(msg)
