"""Networks of dense layers: forward pass, replacing a layer, saving and loading."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    Placement,
    Stream,
    check_choice,
    check_count,
    check_interval,
    check_matrix,
    like,
    namespace,
    scalar,
    to_host,
)
from rmttheory.networks.files import read_arrays, write_arrays
from rmttheory.networks.layers import Dense, check_beside


@dataclass(frozen=True, eq=False)
class Network:
    """Dense layers applied one after the other; the last one gives the logits.

    Parameters
    ----------
    layers : tuple of Dense
        Each takes as many inputs as the one before has outputs; all on one device, in one dtype.

    Raises
    ------
    InvalidInput
        If there is no layer, or the layers do not fit each other.
    """

    layers: tuple[Dense, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", tuple(self.layers))
        if not self.layers:
            msg = "`layers` must hold at least one layer."
            raise InvalidInput(msg)
        for i, (before, after) in enumerate(pairwise(self.layers)):
            given, taken = before.shape[0], after.shape[1]
            if given != taken:
                msg = f"Layer {i} has {given} outputs but layer {i + 1} takes {taken} inputs."
                raise InvalidInput(msg)
            check_beside(after.weight, f"weight of layer {i + 1}", before.weight, f"weight of layer {i}")

    @property
    def sizes(self) -> tuple[int, ...]:
        """Widths from the inputs to the logits, such as ``(784, 512, 512, 10)``."""
        return (self.layers[0].shape[1], *(layer.shape[0] for layer in self.layers))

    def logits(self, x: Array, *, start: int = 0) -> Array:
        """Return the logits ``X``.

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
        """Return the network with the weight of layer ``index`` replaced; its bias and activation stay.

        Parameters
        ----------
        index : int
        W : array, shape (n, m)
            Of the shape and dtype of the weight it replaces, on its device.

        Raises
        ------
        InvalidInput
            If there is no such layer or ``W`` does not fit it.
        """
        old = self.layers[check_index(index, self)]
        check_beside(W, "W", old.weight, "the weight it replaces")
        new = replace(old, weight=W)
        if new.shape != old.shape:
            msg = f"`W` must have shape {old.shape}, as the weight it replaces, not {new.shape}."
            raise InvalidInput(msg)
        layers = list(self.layers)
        layers[index] = new
        return Network(tuple(layers))

    def tail_lipschitz(self, index: int) -> float:
        """Bound how much the layers after ``index`` can stretch a change, in the max norm.

        The product of ``max_i sum_j |W_ij|`` over the later layers (1 for the last): activations are
        1-Lipschitz, so a change of ``W v`` in layer ``index`` by at most ``eta`` in each coordinate changes
        no logit by more than this times ``eta``. Exact up to rounding, relatively ``inputs * eps`` a layer.

        Raises
        ------
        InvalidInput
            If there is no such layer.
        """
        check_index(index, self)
        sums = (namespace(layer.weight).abs(layer.weight) for layer in self.layers[index:][1:])
        return math.prod((scalar(namespace(a).max(namespace(a).sum(a, axis=1))) for a in sums), start=1.0)

    def at(self, placement: Placement) -> Network:
        """Return a copy of the network elsewhere."""

        def moved(x: Array) -> Array:
            return placement.asarray(np.array(to_host(x)))

        return Network(
            tuple(
                Dense(moved(a.weight), None if a.bias is None else moved(a.bias), a.activation)
                for a in self.layers
            )
        )

    def save(self, path: str | Path) -> None:
        """Write the network to a ``.npz`` or ``.safetensors`` file, whole or not at all.

        Raises
        ------
        InvalidInput
            If the name ends otherwise or the file cannot be written.
        """
        arrays = {}
        for i, layer in enumerate(self.layers):
            arrays[f"layers.{i}.weight"] = to_host(layer.weight)
            if layer.bias is not None:
                arrays[f"layers.{i}.bias"] = to_host(layer.bias)
        write_arrays(path, arrays, {"activations": json.dumps([layer.activation for layer in self.layers])})

    @classmethod
    def load(cls, path: str | Path) -> Network:
        """Read a network that `save` wrote, into NumPy arrays of the dtype in the file.

        Raises
        ------
        InvalidInput
            If the file is missing, damaged, or holds something else. Nothing in it is ever executed.
        """
        arrays, metadata = read_arrays(path)
        try:
            return cls(tuple(_layers(arrays, json.loads(metadata["activations"]))))
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            reason = f"it has no {error}" if isinstance(error, KeyError) else str(error)
            msg = f"{path} is not a network that `save` wrote: {reason}"
            raise InvalidInput(msg) from None

    def inputs(self, x: Array, start: int = 0) -> Array:
        """Return ``x`` where the network lives and in its dtype, checked as inputs of layer ``start``."""
        check_matrix(x, "x")
        weight = self.layers[start].weight
        if x.shape[1] != weight.shape[1]:
            msg = f"`x` must have {weight.shape[1]} columns, one for each input, not {x.shape[1]}."
            raise InvalidInput(msg)
        if isinstance(x, np.ndarray):
            return like(x, weight)
        return namespace(x, weight).astype(x, weight.dtype, copy=False)


def initial_network(
    sizes: Sequence[int],
    *,
    stream: Stream,
    activation: str = "relu",
    scale: str | float = "he",
    bias: bool = True,
) -> Network:
    """Draw a network with independent normal weights and zero biases; the last activation is the identity.

    Parameters
    ----------
    sizes : sequence of int
        Widths from inputs to logits, such as ``(784, 512, 512, 10)``.
    stream : Stream
        What the weights are drawn from, and where they live.
    activation : {"relu", "abs", "identity"}
        Of every layer but the last.
    scale : {"he", "lecun"} or float
        Entries have variance ``2 / inputs``, ``1 / inputs``, or ``scale / outputs``, the package's ``g / n``.
        What training adds shows above the bulk edge only if ``g`` is small: from "he", 2,000 images leave
        most of it below.
    bias : bool
        Whether layers have one; the Pruning Theorem is stated without.

    Raises
    ------
    InvalidInput
        If there are fewer than two sizes, or an argument is not of the kind above.
    """
    widths = [check_count(size, "sizes") for size in sizes]
    if len(widths) < 2:
        msg = f"`sizes` must give inputs and outputs at least, not {sizes!r}."
        raise InvalidInput(msg)
    layers = []
    for i, (m, n) in enumerate(pairwise(widths)):
        weight = stream.child("weight", i).normal((n, m), scale=math.sqrt(_variance(scale, n, m)))
        zeros = namespace(weight).zeros_like(weight[:, 0]) if bias else None
        layers.append(Dense(weight, zeros, activation if i < len(widths) - 2 else "identity"))
    return Network(tuple(layers))


def check_index(index: int, network: Network) -> int:
    """Return ``index`` if it names a layer of ``network``, counted from 0 or, if negative, from the end."""
    depth = len(network.layers)
    if not -depth <= index < depth:
        msg = f"`index` must name one of the {depth} layers, 0 to {depth - 1}, not {index}."
        raise InvalidInput(msg)
    return index


def _variance(scale: str | float, n: int, m: int) -> float:
    if isinstance(scale, str):
        return {"he": 2.0, "lecun": 1.0}[check_choice(scale, "scale", ("he", "lecun"))] / m
    return check_interval(scale, "scale", low=0) / n


def _layers(arrays: dict[str, HostArray], activations: list[str]) -> list[Dense]:
    names = {f"layers.{i}.{part}" for i in range(len(activations)) for part in ("weight", "bias")}
    if unknown := sorted(arrays.keys() - names):
        msg = f"it holds {unknown[0]!r} besides its {len(activations)} layers."
        raise InvalidInput(msg)
    return [
        Dense(arrays[f"layers.{i}.weight"], arrays.get(f"layers.{i}.bias"), activation)
        for i, activation in enumerate(activations)
    ]
