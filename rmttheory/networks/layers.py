"""Dense layers and their activations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rmttheory.arrays import (
    Array,
    InvalidInput,
    check_choice,
    check_matrix,
    check_vector,
    device,
    namespace,
)


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


@dataclass(frozen=True, eq=False)
class Dense:
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

    weight: Array
    bias: Array | None = None
    activation: str = "relu"

    def __post_init__(self) -> None:
        check_matrix(self.weight, "weight")
        check_choice(self.activation, "activation", _ACTIVATIONS)
        if self.bias is None:
            return
        check_vector(self.bias, "bias")
        outputs = self.weight.shape[0]
        if self.bias.shape[0] != outputs:
            msg = f"`bias` must have one entry for each of the {outputs} outputs, not {self.bias.shape[0]}."
            raise InvalidInput(msg)
        check_beside(self.bias, "bias", self.weight, "weight")

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

    def activate(self, z: Array) -> Array:
        """Apply the activation to each entry of ``z``."""
        return _ACTIVATIONS[self.activation][0](z)

    def slope(self, z: Array) -> Array:
        """Return the derivative of the activation at each entry of ``z``; 0 at the kink of relu and abs."""
        return _ACTIVATIONS[self.activation][1](z)

    def __call__(self, x: Array) -> Array:
        """Return ``activation(x W^T + b)``, one sample a row."""
        return self.activate(self.linear(x))


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
