"""One network trained in several arms, which differ in how it is pruned on the way and in nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from rmttheory.arrays import InvalidInput, Stream, check_choice, namespace, to_host
from rmttheory.networks import (
    Dataset,
    FittedEdge,
    Network,
    Protocol,
    PruningSchedule,
    Trained,
    convolutional_network,
    cut_at,
    cut_network,
    factor_network,
    initial_network,
    stored_parameters,
    train,
)
from rmttheory.networks.arms import Arm as Cut
from rmttheory.networks.factors import layer_parameters
from rmttheory.networks.layers import Dense, Linear

Arm = Literal["none", "bulk", "magnitude", "random", "thin"]
"""Ways to prune a network as it is trained; see `train_arms`."""

ARMS: tuple[Arm, ...] = get_args(Arm)

RATE, FALL, L2, KEEP = 0.05, 0.135, 3e-3, 0.05
"""On equal footing: the first learning rate, the share of it that is left at the end, the penalty, and the
share of the values below the edge that stays; `simulations/arms.py` says how they were chosen."""

_CONVOLUTIONAL = re.compile(r"conv (\d+(?:-\d+)*), (\d+(?:-\d+)*)")
_DENSE = re.compile(r"\d+(?:-\d+)*")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one arm.

    Attributes
    ----------
    accuracy, train_accuracy : float
        At the end; nothing is selected by them.
    loss, train_loss : float
        Mean cross-entropy.
    parameters, dense_parameters : int
        Numbers to be stored, by `stored_parameters`: of the network, and of its dense layers.
    ranks : tuple of int
        Of each layer that had a matrix at the start: singular values that are not 0 to rounding.
    """

    accuracy: float
    train_accuracy: float
    loss: float
    train_loss: float
    parameters: int
    dense_parameters: int
    ranks: tuple[int, ...]


def named_network(
    name: str, data: Dataset, *, stream: Stream, scale: str | float = "he", bias: bool = True
) -> Network:
    """Draw a network for ``data`` by a short name.

    Parameters
    ----------
    name : str
        ``"300-100"`` has two hidden layers of these widths; ``"conv 8-16, 100"`` has convolutions of 8 and 16
        channels, as `convolutional_network` makes them, and a hidden layer of width 100.
    data : Dataset
    stream, scale, bias
        As for `initial_network`.

    Raises
    ------
    InvalidInput
        If the name is not of this kind, or the data for convolutions are no images.
    """
    if _DENSE.fullmatch(name):
        sizes = (data.train_x.shape[1], *_numbers(name), data.classes)
        return initial_network(sizes, stream=stream, scale=scale, bias=bias)
    found = _CONVOLUTIONAL.fullmatch(name)
    if not found:
        msg = f"`name` must be like '300-100' or 'conv 8-16, 100', not {name!r}."
        raise InvalidInput(msg)
    if data.image is None:
        msg = f"Convolutions need images, which {data.name} does not hold."
        raise InvalidInput(msg)
    return convolutional_network(
        data.image,
        channels=_numbers(found[1]),
        hidden=_numbers(found[2]),
        classes=data.classes,
        stream=stream,
        scale=scale,
        bias=bias,
    )


def equal_footing(network: Network, epochs: int) -> Protocol:
    """Return a protocol that prunes all dense layers once, after half of the epochs, and to low ranks.

    It belongs to the penalty ``L2`` and batches of 64. Kernels are too small to have a bulk, and stay.
    """
    return Protocol(
        schedule=PruningSchedule(
            epochs=(epochs // 2,),
            keep=KEEP,
            edge=FittedEdge(gate=0.0),
            layers=dense_layers(network),
            factor=True,
        ),
        epochs=epochs,
        rate=RATE,
        factor=FALL ** (1 / epochs),
    )


def dense_layers(network: Network) -> tuple[int, ...]:
    """Return the indices of the dense layers."""
    return tuple(i for i, layer in enumerate(network.layers) if isinstance(layer, Dense))


def train_arms(
    network: Network,
    data: Dataset,
    protocol: Protocol,
    *,
    arms: Sequence[Arm] = ARMS,
    stream: Stream,
    l1: float = 0.0,
    l2: float = 0.0,
    batch: int = 64,
) -> dict[str, Outcome]:
    """Train ``network`` once in each arm, from the same start and on the same samples in the same order.

    * ``none`` is the control of the protocol.
    * ``bulk`` is pruned by its schedule.
    * ``magnitude`` keeps, of each matrix that ``bulk`` stores as two factors, as many entries as these have:
      the largest ones, when ``bulk`` is pruned; the others stay 0.
    * ``random`` keeps as many singular triplets of these matrices as ``bulk`` does, but drawn at random, and
      stores them as ``bulk`` does.
    * ``thin`` is such a network from the start: random triplets of the initial matrices, scaled up to the
      geometric mean of their norm and that of the matrices. With the whole of it wide networks diverge.

    Parameters
    ----------
    network : Network
    data : Dataset
    protocol : Protocol
        ``magnitude`` and ``random`` need equal footing and one pruning: the published one has no such arms.
    arms : sequence of str
    stream : Stream
        What order and random triplets are drawn from.
    l1, l2, batch
        As for `train`.

    Returns
    -------
    dict
        An `Outcome` for each arm that was asked for.

    Raises
    ------
    InvalidInput
        If an argument cannot be used.
    """
    for arm in arms:
        check_choice(arm, "arms", ARMS)
    ways: dict[str, Cut] = {"magnitude": "mask", "random": "random triplets"}
    alike = [arm for arm in arms if arm not in ("none", "bulk")]
    pruned_after = protocol.events()
    if alike and not (protocol.equal and len(pruned_after) == 1):
        msg = f"The arm {alike[0]} needs a protocol of equal footing that prunes once."
        raise InvalidInput(msg)
    how: dict[str, Any] = {"l1": l1, "l2": l2, "batch": batch, "rng": stream.child("samples")}
    control = protocol.arguments("control")
    outcomes: dict[str, Outcome] = {}
    if "none" in arms:
        outcomes["none"] = _outcome(network, train(network, data, **control, **how), set())
    if "bulk" in arms or alike:
        settings = protocol.arguments("pruned")
        trained = train(network, data, **settings, **how)
        cut = [event for event in settings["prune"].events if event.action == "factored"]
        sizes, factored = {e.layer: e.rank_after * sum(e.shape) for e in cut}, {e.layer for e in cut}
        outcomes["bulk"] = _outcome(network, trained, factored)
    for arm in alike:
        start, prune, draws = network, None, stream.child(arm)
        if arm == "thin":
            start = _thin(network, sizes, draws)
        else:
            prune = cut_at(pruned_after[0], ways[arm], parameters=sizes, rng=draws)
        trained = train(start, data, **control | {"prune": prune}, **how)
        outcomes[arm] = _outcome(network, trained, set() if arm == "magnitude" else factored)
    return {arm: outcomes[arm] for arm in arms}


def _thin(network: Network, sizes: Mapping[int, int], stream: Stream) -> Network:
    """Cut an initial network to random triplets, as two factors each, half way up to its norms."""
    cut = cut_network(network, "random triplets", parameters=sizes, rng=stream)
    for index in sorted(sizes, reverse=True):  # the indices of earlier layers stay what they are
        before, after = network.layers[index].weight, cut.layers[index].weight
        norm = namespace(before).linalg.vector_norm
        rank = sizes[index] // sum(before.shape)
        cut = factor_network(cut.replace(index, after * (norm(before) / norm(after)) ** 0.5), index, rank)
    return cut


def _outcome(start: Network, trained: Trained, factored: set[int]) -> Outcome:
    network, last = trained.network, trained.history[-1]
    ranks, rest = [], list(network.layers)
    for index in range(len(start.layers)):
        form = [rest.pop(0) for _ in range(2 if index in factored else 1)]
        if isinstance(form[0], Linear):
            W = form[0].weight if len(form) == 1 else form[1].weight @ form[0].weight
            s = to_host(namespace(W).linalg.svdvals(W))
            ranks.append(int(np.count_nonzero(s > max(W.shape) * np.finfo(s.dtype).eps * s[0])))
    return Outcome(
        accuracy=last.test_accuracy,
        train_accuracy=last.train_accuracy,
        loss=last.test_loss,
        train_loss=last.train_loss,
        parameters=stored_parameters(network),
        dense_parameters=sum(layer_parameters(x) for x in network.layers if isinstance(x, Dense)),
        ranks=tuple(ranks),
    )


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("-")))
