"""A layer as two thinner ones in a row, and what layers and networks have to store."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from rmttheory.arrays import Array, InvalidInput, check_count, like, namespace, scalar, to_host
from rmttheory.networks.images import Conv2d
from rmttheory.networks.layers import Layer, Linear
from rmttheory.networks.network import Network, check_index
from rmttheory.networks.pruning import decompose

Form = tuple[Linear, ...]
"""A layer as it is stored: itself, or its two factors."""


def factor_layer(layer: Linear, rank: int) -> tuple[Linear, Linear]:
    """Return two layers that compute what ``layer`` computes once its matrix is cut to ``rank``.

    With ``W = U diag(s) V`` the first is ``diag(sqrt(s)) V``, without bias or activation, and the second
    ``U diag(sqrt(s))`` with those of ``layer``: each has a root of every singular value, so that neither
    trains faster than the other. Of a convolution the first has ``rank`` kernels of the same size, and the
    second sees one pixel. They store ``rank (n + m)`` numbers where the matrix has ``n m``, and training
    cannot raise their rank.

    Parameters
    ----------
    layer : Dense or Conv2d
    rank : int
        From 1 to ``min(n, m)``.

    Raises
    ------
    InvalidInput
        If the rank is out of range.
    """
    U, s, V = decompose(layer.weight)
    if check_count(rank, "rank") > s.shape[0]:
        msg = f"`rank` must be at most {s.shape[0]} for a matrix of shape {layer.weight.shape}, not {rank}."
        raise InvalidInput(msg)
    return two_layers((layer,), U, s, V, rank)


def two_layers(form: Form, U: Array, s: Array, V: Array, rank: int) -> tuple[Linear, Linear]:
    """`factor_layer` of a layer that may be two already, from a decomposition of its matrix."""
    root = like(np.sqrt(to_host(s)[:rank]), U)
    first = replace(form[0], weight=root[:, None] * V[:rank, :], bias=None, activation="identity")
    second = U[:, :rank] * root[None, :]
    if isinstance(first, Conv2d):
        pixel: dict[str, Any] = {"image": first.output_image, "kernel": 1, "stride": 1, "padding": 0}
        return first, replace(form[-1], weight=second, **pixel)
    return first, replace(form[-1], weight=second)


def factor_network(network: Network, index: int, rank: int) -> Network:
    """Return ``network`` with layer ``index`` as two layers; see `factor_layer`.

    Raises
    ------
    InvalidInput
        If there is no such layer, it has no matrix, or the rank is out of range.
    """
    index = check_index(index, network) % len(network.layers)
    pair = factor_layer(with_matrix(network, index), rank)
    return replace(network, layers=(*network.layers[:index], *pair, *network.layers[index + 1 :]))


def with_matrix(network: Network, index: int) -> Linear:
    """Return a layer that has a matrix.

    Raises
    ------
    InvalidInput
        If there is no such layer, or it has none.
    """
    layer = network.layers[check_index(index, network)]
    if not isinstance(layer, Linear):
        msg = f"Layer {index} is a {type(layer).__name__}, which has no matrix."
        raise InvalidInput(msg)
    return layer


def stored_parameters(network: Network) -> int:
    """Count the numbers that a network has to store: entries of matrices that are not 0, and all the rest.

    A matrix of low rank counts in full until it is stored as two factors (`factor_layer`). Zeros of a mask do
    not count; nor does saying where they are, which takes up to one bit an entry.
    """
    return sum(map(layer_parameters, network.layers))


def layer_parameters(layer: Layer) -> int:
    """`stored_parameters` of one layer."""
    others = (p for p in layer.parameters.values() if p is not layer.matrix)
    count: int = sum(math.prod(p.shape) for p in others)
    W = layer.matrix
    if W is None:
        return count
    xp = namespace(W)
    return count + int(scalar(xp.sum(xp.astype(W != 0, xp.int64))))


def nonzero_masks(network: Network) -> dict[int, Array]:
    """Return for each matrix ones where it is not 0, by the index of its layer."""
    return {index: nonzero_mask(with_matrix(network, index).weight) for index in network.weighted}


def nonzero_mask(W: Array) -> Array:
    """Ones where ``W`` is not 0, in its dtype."""
    return namespace(W).astype(W != 0, W.dtype)
