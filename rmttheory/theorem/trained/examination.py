"""The half of the theorem that data decide: what removing the bulk does to a trained network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Placement, Stream, check_interval
from rmttheory.networks import Dense, Network, Split, accuracy, cross_entropy, margins, remove_bulk
from rmttheory.networks.datasets import Dataset
from rmttheory.networks.losses import loss_gradient, right_class
from rmttheory.theorem.certificates import sup_change
from rmttheory.theorem.judging import SUITE_LEVEL
from rmttheory.theorem.removals import RemovalCase
from rmttheory.theorem.trained.claims import VERDICTS, judge_layer
from rmttheory.theorem.trained.findings import Examination, LayerExamination, Removal
from rmttheory.theorem.trained.layer import TrainedLayer
from rmttheory.theorem.trained.nulls import EDGE_LEVEL
from rmttheory.theorem.trained.predicates import examine_layer
from rmttheory.theorem.verdicts import Verdict

TRAINING_SAMPLES = 1000
"""At most about so many training samples, evenly spaced, are differentiated along."""


def examine(
    network: Network,
    data: Dataset,
    *,
    stream: Stream,
    level: float = SUITE_LEVEL,
    predicate_level: float = 0.01,
    l1: float = 0.0,
    l2: float = 0.0,
) -> Examination:
    """Measure every hypothesis and the conclusion of the theorem on each layer of a trained network.

    Each layer is split by edge truncation, the last one never below the number of classes. Everything is
    computed on the host in double precision.

    Parameters
    ----------
    network : Network
    data : Dataset
        The data it was trained on; stationarity is measured on the training half, all else on the test half.
    stream : Stream
        Null draws and redrawn noise.
    level : float
        Probability that any of the verdicts refutes a true claim; shared equally between them.
    predicate_level : float
        Probability that a predicate of random noise fails where it is true, for each predicate and layer; at
        least 0.001, since null draws grow like its inverse.
    l1, l2 : float
        Penalties of the training objective, as for `train`.

    Returns
    -------
    Examination

    Raises
    ------
    InvalidInput
        If the data do not fit the network, a level is out of range, a penalty is negative, or a layer
        does not have full rank, so that it has no bulk.
    """
    check_interval(level, "level", low=0, high=0.5)
    check_interval(predicate_level, "predicate_level", low=1e-3, high=0.5, closed="low")
    for name, value in (("l1", l1), ("l2", l2)):
        check_interval(value, name, low=0, closed="low")
    if not all(isinstance(layer, Dense) for layer in network.layers):
        msg = "`network` must hold dense layers alone: its layers are examined as matrices that act on rows."
        raise InvalidInput(msg)
    bench = _Bench.of(network.at(Placement()), data)
    splits = bench.splits()
    layers = [
        _examine_layer(bench, index, split, stream, level=predicate_level, l1=l1, l2=l2)
        for index, split in enumerate(splits)
    ]
    verdicts = _judge(bench, splits, layers, data.name, seed=stream.seed, level=level)
    return Examination(
        layers=tuple(layers),
        together=bench.remove_all(splits),
        verdicts=verdicts,
        data=data.name,
        samples=len(bench.x),
        sizes=network.sizes,
        level=predicate_level,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Bench:
    """A network on the host with its data, and what is measured once for all layers."""

    network: Network
    x: HostArray
    labels: HostArray
    train_x: HostArray
    train_labels: HostArray

    @staticmethod
    def of(network: Network, data: Dataset) -> _Bench:
        step = max(1, len(data.train_x) // TRAINING_SAMPLES)
        return _Bench(
            network=network,
            x=network.inputs(data.test_x),
            labels=data.test_y,
            train_x=network.inputs(data.train_x[::step]),
            train_labels=data.train_y[::step],
        )

    @cached_property
    def inputs(self) -> list[HostArray]:
        """Test inputs of every layer."""
        return list(self.network.activations(self.x))

    @cached_property
    def train_inputs(self) -> list[HostArray]:
        """Training inputs of every layer."""
        return list(self.network.activations(self.train_x))

    @cached_property
    def logits(self) -> HostArray:
        """Of the test samples."""
        return np.asarray(self.network.layers[-1](self.inputs[-1]))

    def splits(self) -> tuple[Split, ...]:
        """Truncate every layer at the edge of its bulk."""
        return tuple(self._split(index) for index in range(len(self.network.layers)))

    def _split(self, index: int) -> Split:
        weight = self.network.layers[index].weight
        is_last = index == len(self.network.layers) - 1
        try:
            split = remove_bulk(weight, level=EDGE_LEVEL, at_least=len(weight) if is_last else 0)
        except InvalidInput as error:
            msg = f"Layer {index}: {error}"
            raise InvalidInput(msg) from None
        if split.rank == min(weight.shape):  # exactly: subtracting would leave rounding
            return replace(split, kept=weight, removed=np.zeros_like(weight))
        return split

    def remove(self, index: int, split: Split) -> Removal:
        """Remove the bulk of one layer."""
        v = self.inputs[index]
        return self._removal(
            self.network.replace(index, split.kept).logits(v, start=index),
            self.network.tail_lipschitz(index) * sup_change(split.removed, v),
            {index: split},
        )

    def remove_all(self, splits: tuple[Split, ...]) -> Removal:
        """Remove the bulk of one layer after the other; each radius is taken in the network pruned so far."""
        pruned, v, certified = self.network, self.x, np.zeros(len(self.x))
        for index, split in enumerate(splits):
            certified = certified + pruned.tail_lipschitz(index) * sup_change(split.removed, v)
            pruned = pruned.replace(index, split.kept)
            v = pruned.layers[index](v)
        return self._removal(v, certified, dict(enumerate(splits)))

    def _removal(self, after: HostArray, certified: HostArray, splits: dict[int, Split]) -> Removal:
        sizes = {i: layer.weight.size for i, layer in enumerate(self.network.layers)}
        stored = sizes | {i: split.parameters for i, split in splits.items()}
        return Removal(
            certified=certified,
            realised=np.max(np.abs(after - self.logits), axis=1),
            confidences=margins(self.logits, self.labels),
            flips=int(np.sum(np.argmax(after, axis=1) != np.argmax(self.logits, axis=1))),
            accuracy=(accuracy(self.logits, self.labels), accuracy(after, self.labels)),
            cross_entropy=(cross_entropy(self.logits, self.labels), cross_entropy(after, self.labels)),
            parameters=(sum(sizes.values()), sum(stored.values())),
        )

    def slopes(self, index: int, removed: HostArray) -> HostArray:
        """Derivative of each training sample's cross-entropy along ``removed`` in layer ``index``."""
        tangent = self.train_inputs[index] @ removed.T
        for layer, v in zip(self.network.layers[index:], self.train_inputs[index:]):
            if layer is not self.network.layers[index]:
                tangent = tangent @ layer.weight.T
            tangent = tangent * layer.slope(layer.linear(v))
        logits = self.network.layers[-1](self.train_inputs[-1])
        gradient = loss_gradient(logits, right_class(logits, self.train_labels))
        return np.asarray(len(logits) * np.sum(gradient * tangent, axis=1))


def _examine_layer(
    bench: _Bench, index: int, split: Split, stream: Stream, *, level: float, l1: float, l2: float
) -> LayerExamination:
    layer = bench.network.layers[index]
    penalty = 2 * l2 * float(np.sum(layer.weight * split.removed))
    penalty += l1 * float(np.sum(np.sign(layer.weight) * split.removed))
    removal = bench.remove(index, split)
    trained = TrainedLayer.of(
        layer.weight,
        split,
        inputs=bench.inputs[index],
        confidences=removal.confidences,
        lipschitz=bench.network.tail_lipschitz(index),
        activate=layer.activate,
        slopes=bench.slopes(index, split.removed) + penalty,
        level=level,
        stream=stream.child("layer", index),
    )
    return LayerExamination(
        index=index,
        shape=layer.shape,
        singular_values=trained.values,
        edge=trained.estimate,
        rank=trained.rank,
        removed_energy=float(np.sum(split.removed**2) / np.sum(layer.weight**2)),
        hypotheses=examine_layer(trained),
        removal=removal,
    )


def _judge(
    bench: _Bench,
    splits: tuple[Split, ...],
    layers: list[LayerExamination],
    data: str,
    *,
    seed: int,
    level: float,
) -> tuple[Verdict, ...]:
    cut = [(layer, split) for layer, split in zip(layers, splits) if layer.removed_energy > 0]
    verdicts: list[Verdict] = []
    for layer, split in cut:
        case = RemovalCase(
            network=Network(bench.network.layers[layer.index :]),
            index=0,
            S=split.kept,
            R=split.removed,
            x=bench.inputs[layer.index],
            labels=bench.labels,
        )
        cell, share = {"data": data, "layer": layer.index}, level / (VERDICTS * len(cut))
        verdicts += judge_layer(case, layer.edge.g, cell, seed=seed, alpha=share)
    return tuple(verdicts)
