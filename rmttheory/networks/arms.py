"""Layers cut to one size in different ways, so that what is compared is the way and not the size."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from rmttheory.arrays import (
    Array,
    InvalidInput,
    Stream,
    as_stream,
    check_choice,
    check_count,
    device,
    like,
    namespace,
    to_host,
)
from rmttheory.matrices.edges import fit_edge
from rmttheory.matrices.spikes import shrink
from rmttheory.networks.factors import factor_layer, nonzero_masks, with_matrix
from rmttheory.networks.layers import Layer
from rmttheory.networks.network import Network, check_index
from rmttheory.networks.pruning import Split, decompose, keep_largest, low_rank

Arm = Literal["truncated", "shrunk", "mask", "random triplets", "random projection"]
"""Ways to cut a layer; see `cut_layer`."""

ARMS: tuple[Arm, ...] = get_args(Arm)


def cut_layer(W: Array, arm: Arm, *, parameters: int, rng: Any = None) -> Split:
    """Cut a matrix to what ``parameters`` numbers can store.

    Every arm gets the same number, ``r (n + m)`` with the largest rank ``r`` that fits: that is what two
    factors of rank ``r`` store, and as many entries a mask keeps.

    Parameters
    ----------
    W : array, shape (n, m)
        Of full rank for ``shrunk``, which fits its noise.
    arm : {"truncated", "shrunk", "mask", "random triplets", "random projection"}
        The ``r`` largest singular values with their vectors; these, shrunk to estimate the signal best by
        Frobenius norm, where values inside the bulk become 0, so that it may store less; the largest entries;
        ``r`` singular triplets drawn at random, which is truncation without knowing where the signal is; a
        projection of the smaller side onto ``r`` random directions, which does not know the triplets either.
        The last two keep the same share of ``||W||_F^2`` on average.
    parameters : int
        From ``n + m``, a rank of 1, to ``n m``.
    rng : None, int, generator or Stream
        For the random arms.

    Returns
    -------
    Split
        Its ``parameters`` is what is really stored.

    Raises
    ------
    InvalidInput
        If ``W`` is not a finite matrix, the arm is unknown, the number is out of range, or no noise can be
        fitted.
    """
    check_choice(arm, "arm", ARMS)
    U, s, V = decompose(W)
    n, m = W.shape
    if not n + m <= check_count(parameters, "parameters") <= n * m:
        msg = f"`parameters` must be from {n + m}, for a rank of 1, to {n * m}, not {parameters}."
        raise InvalidInput(msg)
    rank = parameters // (n + m)
    if arm == "mask":
        return keep_largest(W, rank * (n + m) / (n * m))
    method: Literal["shrinkage", "truncation", "triplets", "projection"] = "truncation"
    if arm == "shrunk":
        method, s = "shrinkage", like(shrink(to_host(s), m / n, fit_edge(s, (n, m)).g), s)
        rank = min(rank, int(np.count_nonzero(to_host(s))))
    if arm == "random projection":
        method, kept = "projection", _projected(W, rank, as_stream(rng))
    elif arm == "random triplets":
        method, kept = "triplets", low_rank(*_shuffled(U, s, V, as_stream(rng)), rank)
    else:
        kept = low_rank(U, s, V, rank)
    return Split(kept=kept, removed=W - kept, method=method, rank=rank, edge=None, parameters=rank * (n + m))


def cut_network(
    network: Network,
    arm: Arm,
    *,
    parameters: int | Mapping[int, int],
    factored: bool = False,
    rng: Any = None,
) -> Network:
    """Cut the layers of a network by `cut_layer`; biases stay.

    Parameters
    ----------
    network : Network
    arm : str
        As for `cut_layer`.
    parameters : int or mapping
        Numbers that the matrices may store: of each layer to be cut, by its index, or of all layers together,
        shared out in proportion to their sizes.
    factored : bool
        Return cut layers as two factors, so that training on keeps their rank. Not for a mask, whose zeros
        training fills in again.
    rng : None, int, generator or Stream
        For the random arms.

    Returns
    -------
    Network
        `stored_parameters` counts what it stores; layers of low rank count in full unless ``factored``.

    Raises
    ------
    InvalidInput
        As for `cut_layer`, if there is no such layer, it has no matrix, or for a factored mask.

    Notes
    -----
    The budgets at which the other arms compare with what a `PruningRun` kept are
    ``{e.layer: e.rank_after * sum(e.shape) for e in run.events}``, of its last event.
    """
    if factored and check_choice(arm, "arm", ARMS) == "mask":
        msg = "A mask has no two factors: leave out `factored`."
        raise InvalidInput(msg)
    stream, budgets = as_stream(rng), _budgets(network, parameters)
    layers: list[Layer] = []
    for index, old in enumerate(network.layers):
        if index not in budgets:
            layers.append(old)
            continue
        layer = with_matrix(network, index)
        split = cut_layer(layer.weight, arm, parameters=budgets[index], rng=stream.child(arm, index))
        cut = replace(layer, weight=split.kept)
        layers += factor_layer(cut, split.rank) if factored and split.rank else (cut,)
    return replace(network, layers=tuple(layers))


def cut_at(
    epoch: int, arm: Arm, *, parameters: int | Mapping[int, int], rng: Any = None
) -> Callable[[Network, int], Network | tuple[Network, dict[int, Array]] | None]:
    """Return a ``prune=`` argument for `train` that cuts once, by `cut_network`, and keeps that size.

    Layers of low rank become two factors, and zeros of a mask are held: training on changes no arm's size.

    Parameters
    ----------
    epoch : int
        After so many epochs.
    arm, parameters, rng
        As for `cut_network`.

    Raises
    ------
    InvalidInput
        As for `cut_network`; what depends on the network, when it is cut.
    """
    check_count(epoch, "epoch")
    masked, stream = check_choice(arm, "arm", ARMS) == "mask", as_stream(rng)

    def prune(network: Network, done: int) -> Network | tuple[Network, dict[int, Array]] | None:
        if done != epoch:
            return None
        cut = cut_network(network, arm, parameters=parameters, factored=not masked, rng=stream)
        return (cut, nonzero_masks(cut)) if masked else cut

    return prune


def _budgets(network: Network, parameters: int | Mapping[int, int]) -> dict[int, int]:
    if isinstance(parameters, Mapping):
        return {check_index(i, network) % len(network.layers): each for i, each in parameters.items()}
    sizes = {index: math.prod(with_matrix(network, index).weight.shape) for index in network.weighted}
    total = sum(sizes.values())
    shares = {index: check_count(parameters, "parameters") * size // total for index, size in sizes.items()}
    for index, share in shares.items():
        least = sum(with_matrix(network, index).weight.shape)
        if share < least:
            msg = (
                f"Of `parameters`, {parameters}, layer {index} gets {share}, but a rank of 1 takes {least}: "
            )
            msg += "give layers their own."
            raise InvalidInput(msg)
    return shares


def _shuffled(U: Array, s: Array, V: Array, stream: Stream) -> tuple[Array, Array, Array]:
    """Put singular triplets into random order."""
    xp = namespace(U)
    order = xp.asarray(stream.generator().permutation(s.shape[0]), device=device(U))
    return xp.take(U, order, axis=1), xp.take(s, order, axis=0), xp.take(V, order, axis=0)


def _projected(W: Array, rank: int, stream: Stream) -> Array:
    """Project the smaller side onto a Haar-distributed subspace."""
    n, m = W.shape
    Q = like(to_host(stream.orthonormal(min(n, m), rank)), W)
    return Q @ (Q.T @ W) if n <= m else (W @ Q) @ Q.T
