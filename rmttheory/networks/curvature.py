"""The Hessian of the regularised loss, multiplied exactly without being formed.

The derivative of the gradient along a direction of the parameters (Pearlmutter's R-operator) is one more
forward and backward pass. With ``z_i = W_i x_i + b_i``, ``x_{i+1} = phi(z_i)``, a direction ``(V_i, c_i)``,
``R`` for the derivative along it and ``p`` the softmax of the logits::

    R z_i = V_i x_i + c_i + W_i R x_i                   R x_{i+1} = phi'(z_i) R z_i
    R delta = (p * R z - p (p . R z)) / samples         at the logits
    R dL/dW_i = R delta_i x_i^T + delta_i R x_i^T       R delta_{i-1} = phi' (W_i^T R delta_i + V_i^T delta_i)

Batch normalisation with recorded statistics has the same form, its scale in place of a weight, and pooling
passes on what it took. An activation that is linear but for a kink adds no second derivative: it is 0
wherever it exists, and at the kink the slope is taken as 0, as in the gradient.

Source: B. A. Pearlmutter, "Fast exact multiplication by the Hessian", Neural Computation 6 (1994).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rmttheory.arrays import Array, InvalidInput, check_interval, device, namespace
from rmttheory.networks.gradients import forward
from rmttheory.networks.images import MaxPool2d
from rmttheory.networks.layers import Activated, Layer, Memory
from rmttheory.networks.losses import loss_gradient, right_class
from rmttheory.networks.network import Network
from rmttheory.networks.normalisation import BatchNorm
from rmttheory.networks.parameters import Pieces, check_direction, flatten, unchecked, unflatten

MOST_DENSE = 10_000
"""Parameters up to which a full Hessian is formed: 800 MB in double precision."""


@dataclass(frozen=True, eq=False)
class Hessian:
    """Second derivative of ``mean cross-entropy + l2 sum ||W||_F^2`` in all parameters, as an operator.

    Of the network as it is after training: nothing is dropped, recorded statistics normalise. ``H @ v`` is
    exact up to rounding, takes one to two times as long as a gradient and waits for no device. The order of
    the parameters is that of `parameter_vector`. An l1 penalty has no second derivative.

    Parameters
    ----------
    network : Network
    x : array, shape (batch, inputs)
    labels : integer array, shape (batch,)
    l2 : float
        At least 0; no factor 1/2, and biases are free, as in `loss_and_gradients`.

    Raises
    ------
    InvalidInput
        If ``x``, ``labels`` or the penalty cannot be used.

    Notes
    -----
    Inputs, slopes and back-propagated errors of every layer are kept, as many numbers as there are
    activations in the batch.
    """

    network: Network
    x: Array
    labels: Array
    l2: float = 0.0
    _pass: _Pass = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_interval(self.l2, "l2", low=0, closed="low")
        object.__setattr__(self, "_pass", _passed(self.network, self.network.inputs(self.x), self.labels))

    @property
    def shape(self) -> tuple[int, int]:
        """Parameters by parameters."""
        count = self.network.parameter_count
        return count, count

    @property
    def T(self) -> Hessian:  # noqa: N802
        """The transpose: itself."""
        return self

    def __matmul__(self, v: Array) -> Array:
        """Return ``H v``: shape ``(P,)``, or ``(P, k)`` for directions in columns."""
        if getattr(v, "ndim", 0) == 2:
            return namespace(v).stack([self @ v[:, i] for i in range(v.shape[1])], axis=1)
        check_direction(v, "v", self.network)
        direction = unflatten(v, self.network)
        product = _derivative(self.network, self._pass, direction)
        if self.l2:
            for i in self.network.weighted:
                product[i]["weight"] = product[i]["weight"] + (2.0 * self.l2) * direction[i]["weight"]
        return flatten(product)

    def dense(self) -> Array:
        """Return the whole matrix, shape ``(P, P)``, its asymmetry of rounding averaged away.

        Raises
        ------
        InvalidInput
            If there are more than 10,000 parameters.
        """
        count, _ = self.shape
        if count > MOST_DENSE:
            msg = f"A full Hessian has at most {MOST_DENSE} parameters, not {count}: multiply with it."
            raise InvalidInput(msg)
        like = self.network.first_array
        H = self @ namespace(like).eye(count, dtype=like.dtype, device=device(like))
        return 0.5 * (H + H.T)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pass:
    """What one forward and backward pass met in each layer, its activation apart.

    ``still`` are the layers without their offsets: linear in their inputs.
    """

    inputs: list[Array]
    memories: list[Memory]
    slopes: list[Array | None]
    deltas: list[Array]
    still: list[Layer]
    probabilities: Array


def _passed(network: Network, x: Array, labels: Array) -> _Pass:
    inputs, memories, slopes = [], [], []
    logits, kept = forward(network, x, None)
    for layer, memory in zip(network.layers, kept):
        inputs.append(x)
        x = layer(x)
        if isinstance(layer, Activated):
            z, memory = memory
            slopes.append(None if layer.activation == "identity" else layer.slope(z))
        else:
            slopes.append(None)
        memories.append(memory)
    delta = loss_gradient(logits, right_class(logits, labels))
    deltas = []
    for layer, memory, slope in zip(network.layers[::-1], memories[::-1], slopes[::-1]):
        deltas.append(_times(delta, slope))
        delta, _ = _back(layer, deltas[-1], memory)
    xp = namespace(x)
    weights = xp.exp(logits - xp.max(logits, axis=1, keepdims=True))
    return _Pass(
        inputs=inputs,
        memories=memories,
        slopes=slopes,
        deltas=deltas[::-1],
        still=[_still(layer) for layer in network.layers],
        probabilities=weights / xp.sum(weights, axis=1, keepdims=True),
    )


def _derivative(network: Network, kept: _Pass, direction: Pieces) -> list[dict[str, Array]]:
    """Derivative of the gradient along ``direction``."""
    along = [unchecked(layer, **part) for layer, part in zip(network.layers, direction)]
    xp = namespace(kept.probabilities)
    changes: list[Memory] = []
    others: list[Memory] = []
    change = xp.zeros_like(kept.inputs[0])  # of what enters a layer
    for layer, still, x, memory, slope in zip(along, kept.still, kept.inputs, kept.memories, kept.slopes):
        changes.append(None)
        others.append(memory)
        if isinstance(layer, Activated) and isinstance(still, Activated):
            moved, others[-1] = layer.affine(x, None)
            if len(changes) > 1:  # what enters the first layer stays
                through, changes[-1] = still.affine(change, None)
                moved = moved + through
            change = _times(moved, slope)
        elif isinstance(layer, MaxPool2d):
            change = layer.push(change, memory)
    p = kept.probabilities
    delta = p * change
    delta = (delta - p * xp.sum(delta, axis=1, keepdims=True)) / p.shape[0]
    product = []
    for i in reversed(range(len(along))):
        layer = network.layers[i]
        delta, found = _back(layer, _times(delta, kept.slopes[i]), kept.memories[i], inputs=i > 0)
        if isinstance(layer, Activated) and i > 0:
            factor = layer.trained[0]  # what multiplies the inputs; an offset does not see them change
            _, more = _back(kept.still[i], kept.deltas[i], changes[i], inputs=False)
            found[factor] = found[factor] + more[factor]
            turned, _ = _back(along[i], kept.deltas[i], others[i])
            delta = delta + turned
        product.append(found)
    return product[::-1]


def _still(layer: Layer) -> Layer:
    if isinstance(layer, BatchNorm):
        zero = namespace(layer.shift).zeros_like(layer.shift)
        return unchecked(layer, shift=zero, mean=zero)
    return unchecked(layer, bias=None) if "bias" in layer.trained else layer


def _times(x: Array, slope: Array | None) -> Array:
    return x if slope is None else x * slope


def _back(
    layer: Layer, delta: Array, memory: Memory, *, inputs: bool = True
) -> tuple[Array, dict[str, Array]]:
    """Back-propagate below the activation of a layer."""
    if isinstance(layer, Activated):
        return layer.affine_backward(delta, memory, inputs=inputs)
    return layer.backward(delta, memory, inputs=inputs)
