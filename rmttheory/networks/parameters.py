"""All parameters of a network as one vector."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from rmttheory.arrays import Array, InvalidInput, check_vector, namespace
from rmttheory.networks.layers import check_beside
from rmttheory.networks.network import Network

_Frozen = TypeVar("_Frozen")

Pieces = Sequence[Mapping[str, Array]]
"""Something in the space of parameters: of each layer, arrays by the names of its parameters."""


def parameter_vector(network: Network) -> Array:
    """Return all parameters in one vector.

    Layer after layer: a weight row by row, then its bias; the scale of a normalisation, then its shift.

    Returns
    -------
    array, shape (P,)
        A copy, where the network lives.
    """
    return flatten(pieces(network))


def with_parameters(network: Network, vector: Array) -> Network:
    """Return the network whose parameters are the entries of ``vector``, in the order of `parameter_vector`.

    Parameters
    ----------
    network : Network
        Gives layers and shapes; it is left as it is.
    vector : array, shape (P,)
        Of the library, device and dtype of the network.

    Raises
    ------
    InvalidInput
        If ``vector`` does not fit, or an entry is not finite.
    """
    check_vector(vector, "vector")
    check_direction(vector, "vector", network)
    return unchecked_network(network, unflatten(vector, network))


def check_direction(vector: Array, name: str, network: Network) -> None:
    """Check that ``vector`` has an entry for each parameter and lives where they do; its values are not read.

    Raises
    ------
    InvalidInput
        If it has not.
    """
    count, shape = network.parameter_count, tuple(getattr(vector, "shape", ()))
    if shape != (count,):
        msg = f"`{name}` must have shape ({count},), one entry for each parameter, not {shape}."
        raise InvalidInput(msg)
    check_beside(vector, name, network.first_array, "the parameters of the network")


def pieces(network: Network) -> Pieces:
    """Return the parameters themselves."""
    return tuple(layer.parameters for layer in network.layers)


def flatten(parts: Pieces) -> Array:
    """Join pieces into one vector, a copy."""
    rows = [namespace(p).reshape(p, (-1,)) for part in parts for p in part.values()]
    return namespace(rows[0]).concat(rows)


def unflatten(vector: Array, network: Network) -> Pieces:
    """Cut a vector into pieces of the shapes of the network's parameters, unchecked."""
    xp, first, cut = namespace(vector), 0, []
    for part in pieces(network):
        found = {}
        for name, p in part.items():
            size = math.prod(p.shape)
            found[name] = xp.reshape(vector[first : first + size], p.shape)
            first += size
        cut.append(found)
    return tuple(cut)


def unchecked_network(network: Network, parts: Pieces) -> Network:
    """Return the network with other arrays, whose entries nobody reads: a check would wait for a device."""
    layers = tuple(unchecked(layer, **part) for layer, part in zip(network.layers, parts))
    return unchecked(network, layers=layers)


def unchecked(x: _Frozen, **changes: Any) -> _Frozen:
    """Return a copy of a frozen ``x`` with other attributes, without the checks of its class."""
    changed = copy.copy(x)
    vars(changed).update(changes)
    return changed
