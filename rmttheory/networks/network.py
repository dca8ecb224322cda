"""Networks: what they compute, replacing a layer, saving and loading."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    Placement,
    check_choice,
    check_matrix,
    like,
    namespace,
    to_host,
)
from rmttheory.networks.files import read_arrays, write_arrays
from rmttheory.networks.images import Conv2d, MaxPool2d
from rmttheory.networks.layers import Dense, Layer, check_beside
from rmttheory.networks.normalisation import BatchNorm, Dropout

_KINDS: dict[str, type[Layer]] = {
    kind.__name__: kind for kind in (Dense, Conv2d, MaxPool2d, BatchNorm, Dropout)
}


@dataclass(frozen=True, eq=False)
class Network:
    """Layers applied one after the other; the last one gives the logits.

    Parameters
    ----------
    layers : tuple of Dense, Conv2d, MaxPool2d, BatchNorm or Dropout
        Each takes as many inputs as the one before has outputs; all on one device, in one dtype, and one of
        them with an array at least.

    Raises
    ------
    InvalidInput
        If there is no such layer, or the layers do not fit each other.
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not any(layer.trained for layer in self.layers):
            msg = "`layers` must hold at least one layer with parameters."
            raise InvalidInput(msg)
        for i, (before, after) in enumerate(pairwise(self.layers)):
            given, taken = before.shape[0], after.shape[1]
            if given != taken:
                msg = f"Layer {i} has {given} outputs but layer {i + 1} takes {taken} inputs."
                raise InvalidInput(msg)
        named = [
            (f"{name} of layer {i}", array)
            for i, layer in enumerate(self.layers)
            for name, array in layer.parameters.items()
        ]
        for (before_name, before_array), (after_name, after_array) in pairwise(named):
            check_beside(after_array, after_name, before_array, before_name)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths from the inputs to the logits, such as ``(784, 512, 512, 10)``: one more than layers."""
        return (self.layers[0].shape[1], *(layer.shape[0] for layer in self.layers))

    @property
    def weighted(self) -> tuple[int, ...]:
        """Indices of the layers that have a matrix."""
        return tuple(i for i, layer in enumerate(self.layers) if layer.matrix is not None)

    @property
    def parameter_count(self) -> int:
        """Numbers that training changes."""
        return sum(math.prod(p.shape) for layer in self.layers for p in layer.parameters.values())

    @property
    def first_array(self) -> Array:
        """The first array of the network, which says where it lives and in which dtype."""
        return next(array for layer in self.layers for array in layer.parameters.values())

    def logits(self, x: Array, *, start: int = 0) -> Array:
        """Return the logits ``X``, as they are after training.

        Parameters
        ----------
        x : array, shape (batch, inputs)
            One sample a row, on the host or where the network lives; the network's dtype is used.
        start : int
            First layer to apply: ``x`` holds its inputs.

        Returns
        -------
        array, shape (batch, K)

        Raises
        ------
        InvalidInput
            If ``x`` is not a finite matrix with a column for each input.
        """
        return self.unchecked_logits(self.inputs(x, start), start=start)

    def unchecked_logits(self, x: Array, *, start: int = 0) -> Array:
        """`logits` of what `inputs` returned."""
        for layer in self.layers[start:]:
            x = layer(x)
        return x

    def activations(self, x: Array) -> list[Array]:
        """Return the inputs of every layer: ``x`` itself first, as many arrays as layers.

        Arguments and errors as for `logits`.
        """
        inputs = [self.inputs(x)]
        for layer in self.layers[:-1]:
            inputs.append(layer(inputs[-1]))
        return inputs

    def replace(self, index: int, W: Array) -> Network:
        """Return the network with the matrix of layer ``index`` replaced; all else of it stays.

        Parameters
        ----------
        index : int
        W : array, shape (n, m)
            Of the shape and dtype of the matrix it replaces, on its device.

        Raises
        ------
        InvalidInput
            If there is no such layer, it has no matrix, or ``W`` does not fit it.
        """
        old = self.layers[check_index(index, self)]
        if old.matrix is None:
            msg = f"Layer {index} is a {type(old).__name__}, which has no matrix to replace."
            raise InvalidInput(msg)
        check_matrix(W, "W")
        check_beside(W, "W", old.matrix, "the weight it replaces")
        if W.shape != old.matrix.shape:
            wanted, given = tuple(old.matrix.shape), tuple(W.shape)
            msg = f"`W` must have shape {wanted}, as the weight it replaces, not {given}."
            raise InvalidInput(msg)
        layers: list[Any] = list(self.layers)
        layers[index] = replace(layers[index], weight=W)
        return Network(tuple(layers))

    def tail_lipschitz(self, index: int) -> float:
        """Bound how much the layers after ``index`` can stretch a change, in the max norm.

        The product over the later layers (1 for the last) of ``max_i sum_j |W_ij|``, with the kernels of a
        convolution as rows of ``W``, and of ``max |scale| / sqrt(variance + epsilon)`` of a batch
        normalisation; activations, pooling and dropout are 1-Lipschitz. So a change of ``W v`` in layer
        ``index`` by at most ``eta`` in each coordinate changes no logit, after training, by more than this
        times ``eta``. Exact up to rounding, relatively ``inputs * eps`` a layer.

        Raises
        ------
        InvalidInput
            If there is no such layer.
        """
        check_index(index, self)
        return math.prod((layer.stretch for layer in self.layers[index:][1:]), start=1.0)

    def at(self, placement: Placement) -> Network:
        """Return a copy of the network elsewhere."""
        return self.mapped(lambda x: placement.asarray(np.array(to_host(x))))

    def mapped(self, change: Callable[[Array], Array]) -> Network:
        """Return the network with ``change`` applied to each of its arrays."""
        return Network(
            tuple(
                replace(layer, **{name: change(x) for name, x in layer.arrays.items()})  # type: ignore[type-var]
                for layer in self.layers
            )
        )

    def save(self, path: str | Path) -> None:
        """Write the network to a ``.npz`` or ``.safetensors`` file, whole or not at all.

        Raises
        ------
        InvalidInput
            If the name ends otherwise or the file cannot be written.
        """
        write_arrays(path, *self.to_arrays())

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read a network that `save` wrote, into NumPy arrays of the dtype in the file.

        Raises
        ------
        InvalidInput
            If the file is missing, damaged, or holds something else. Nothing in it is ever executed.
        """
        arrays, texts = read_arrays(path)
        try:
            return cls.from_arrays(arrays, texts)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            msg = f"{path} is not a network that `save` wrote: {reason}"
            raise InvalidInput(msg) from None

    def to_arrays(self) -> tuple[dict[str, HostArray], dict[str, str]]:
        """Return the network as named host arrays and texts."""
        arrays = {
            f"layers.{i}.{name}": to_host(array)
            for i, layer in enumerate(self.layers)
            for name, array in layer.arrays.items()
        }
        described = [{"kind": type(layer).__name__} | layer.settings for layer in self.layers]
        return arrays, {"layers": json.dumps(described)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, HostArray], texts: Mapping[str, str]) -> Network:
        """Return the network that `to_arrays` described.

        Raises
        ------
        KeyError, TypeError, ValueError
            If it is not the description of a network.
        """
        if "activations" in texts:  # as version 0.1 wrote it
            described = [{"kind": "Dense", "activation": name} for name in json.loads(texts["activations"])]
        else:
            described = json.loads(texts["layers"])
        layers = tuple(_layer(arrays, i, dict(settings)) for i, settings in enumerate(described))
        known = {f"layers.{i}.{name}" for i, layer in enumerate(layers) for name in layer.arrays}
        if unknown := sorted(arrays.keys() - known):
            msg = f"it holds {unknown[0]!r} besides its {len(layers)} layers."
            raise InvalidInput(msg)
        return cls(layers)

    def inputs(self, x: Array, start: int = 0) -> Array:
        """Return ``x`` where the network lives and in its dtype, checked as inputs of layer ``start``."""
        check_matrix(x, "x")
        columns, own = self.layers[start].shape[1], self.first_array
        if x.shape[1] != columns:
            msg = f"`x` must have {columns} columns, one for each input, not {x.shape[1]}."
            raise InvalidInput(msg)
        if isinstance(x, np.ndarray):
            return like(x, own)
        return namespace(x, own).astype(x, own.dtype, copy=False)


def check_index(index: int, network: Network) -> int:
    """Return ``index`` if it names a layer of ``network``, counted from 0 or, if negative, from the end."""
    depth = len(network.layers)
    if not -depth <= index < depth:
        msg = f"`index` must name one of the {depth} layers, 0 to {depth - 1}, not {index}."
        raise InvalidInput(msg)
    return index


def _layer(arrays: Mapping[str, HostArray], index: int, settings: dict[str, Any]) -> Layer:
    """Make one layer of plain values, by the checks that any layer passes."""
    kind = _KINDS[check_choice(settings.pop("kind"), "kind of layer", _KINDS)]
    named = {name: f"layers.{index}.{name}" for name in kind.trained + kind.recorded}
    known = {field.name for field in fields(kind)} - named.keys()  # type: ignore[arg-type]
    if unknown := sorted(settings.keys() - known):
        msg = f"layer {index} has an unknown setting {unknown[0]!r}."
        raise InvalidInput(msg)
    parts = {name: arrays[long] for name, long in named.items() if name != "bias" or long in arrays}
    return kind(**parts, **settings)
