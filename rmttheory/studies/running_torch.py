"""A live ``torch.nn.Module`` that is run with other matrices. PyTorch itself is never imported."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput
from rmttheory.networks import BatchNorm, Conv2d, MaxPool2d, Network, open_weights
from rmttheory.networks.layers import Dense, Layer
from rmttheory.studies.running import Tail

SINGLE = 4
"""Bytes of a number in single precision."""


class TorchModel:
    """A module on the host, in its mode of evaluation; a copy of it is changed, never itself."""

    def __init__(self, module: Any) -> None:
        self._module = copy.deepcopy(module).eval().requires_grad_(False)
        self.weights = open_weights(self._module)
        if any(value.device.type != "cpu" for value in self._module.parameters()):
            msg = "The module is not on the CPU: give `module.cpu()`."
            raise InvalidInput(msg)
        if any(value.is_floating_point() and value.itemsize < SINGLE for value in self._module.parameters()):
            msg = "The module computes in half precision: give `module.float()`."
            raise InvalidInput(msg)

    def run(self, x: HostArray, matrices: Mapping[str, HostArray]) -> HostArray:
        """See `Model.run`."""
        state, before = self._module.state_dict(), {}
        try:
            for name, W in matrices.items():
                layer = self.weights[name]
                part = layer.piece(state[layer.tensor.name].numpy())  # it shares its memory with the module
                before[name] = part, part.copy()
                part[...] = W.reshape(part.shape)
            return _numpy(self._called(self._module, self._tensor(x)))
        finally:
            for part, values in before.values():
                part[...] = values

    def tail(self, x: HostArray) -> Tail:
        """Only a Sequential says in which order its parts are applied."""
        parts = _parts(self._module)
        names = {id(part): name for name, part in self._module.named_modules()}
        every = list(self._module.named_parameters(remove_duplicate=False))
        uses = Counter(id(value) for _, value in every)
        shared = {name for name, value in every if uses[id(value)] > 1}
        values = [self._tensor(x)]
        for part in parts[:-1]:
            values.append(self._called(part, values[-1]))
        before = "the order of its parts" if len(parts) == 1 else ""
        for start in range(len(parts)):
            shape = tuple(values[start].shape[1:])
            try:
                network, found = _translated(parts[start:], shape)
            except _NotUnderstood as error:
                before = str(error)
                continue
            layers = {_weight_name(names[id(part)]): index for part, index in found}
            layers = {name: index for name, index in layers.items() if name not in shared}
            return Tail(
                network=network,
                inputs=_numpy(values[start]).reshape(len(x), -1),
                layers=layers,
                before=before if start else "",
                shared=shared,
            )
        return Tail(network=None, inputs=np.zeros((len(x), 1)), before=before)

    def _tensor(self, x: HostArray) -> Any:
        like = next((p for p in self._module.parameters() if p.is_floating_point()), None)
        if like is None:
            msg = "The module has no parameters."
            raise InvalidInput(msg)
        return like.new_tensor(np.asarray(x))

    def _called(self, part: Any, x: Any) -> Any:
        try:
            return part(x)
        except Exception as error:  # whatever a module of somebody raises
            first = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
            msg = f"{type(part).__name__} cannot be run on inputs of shape {tuple(x.shape)}: {first}."
            raise InvalidInput(msg) from None


class _NotUnderstood(Exception):
    """The kind of a part that is not carried over."""


def _parts(module: Any) -> list[Any]:
    if type(module).__name__ != "Sequential":
        return [module]
    return [part for child in module for part in _parts(child)]


def _translated(parts: list[Any], shape: tuple[int, ...]) -> tuple[Network, list[tuple[Any, int]]]:
    """Carry parts of a Sequential over to a network; inputs have this shape."""
    layers: list[Layer] = []
    found = []
    for part in parts:
        kind = type(part).__name__
        if kind in ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Flatten") and shape:
            if kind == "Flatten":
                if (part.start_dim, part.end_dim) not in ((1, -1), (1, len(shape))):
                    raise _NotUnderstood(kind)
                shape = (int(np.prod(shape)),)
        elif kind == "ReLU" and layers and getattr(layers[-1], "activation", "") == "identity":
            layers[-1] = _with_relu(layers[-1])
        elif kind == "Linear" and len(shape) == 1:
            weight, bias = _numbers(part.weight, part.bias)
            layers.append(Dense(weight, bias, "identity"))
            found.append((part, len(layers) - 1))
            shape = (part.out_features,)
        elif kind == "Conv2d" and len(shape) == 3 and _plain(part):
            weight, bias = _numbers(part.weight, part.bias)
            layer = Conv2d(
                weight.reshape(len(weight), -1), bias, "identity", image=shape, kernel=part.kernel_size,
                stride=part.stride, padding=part.padding,
            )  # fmt: skip
            layers.append(layer)
            found.append((part, len(layers) - 1))
            shape = layer.output_image
        elif kind == "MaxPool2d" and len(shape) == 3 and _plain_pool(part):
            pool = MaxPool2d(image=shape, kernel=part.kernel_size, stride=part.stride)
            layers.append(pool)
            shape = pool.output_image
        elif kind in ("BatchNorm1d", "BatchNorm2d") and part.affine and part.track_running_stats:
            scale, shift, mean, variance = _numbers(
                part.weight, part.bias, part.running_mean, part.running_var
            )
            positions = int(np.prod(shape[1:]))
            layers.append(BatchNorm(scale, shift, mean, variance, positions=positions, epsilon=part.eps))
        else:
            raise _NotUnderstood(kind)
    if not layers or not isinstance(layers[-1], Dense) or layers[-1].activation != "identity":
        raise _NotUnderstood(type(parts[-1]).__name__)
    return Network(tuple(layers)), found


def _plain(part: Any) -> bool:
    zeros = part.padding_mode == "zeros" and not isinstance(part.padding, str)
    return bool(part.groups == 1 and tuple(part.dilation) == (1, 1) and zeros)


def _plain_pool(part: Any) -> bool:
    return bool(part.padding in (0, (0, 0)) and part.dilation in (1, (1, 1)) and not part.ceil_mode)


def _with_relu(layer: Layer) -> Layer:
    return replace(layer, activation="relu")  # type: ignore[type-var]


def _numbers(*tensors: Any) -> tuple[Any, ...]:
    return tuple(None if one is None else one.detach().numpy().copy() for one in tensors)


def _numpy(values: Any) -> HostArray:
    if not hasattr(values, "numpy"):
        msg = f"The module returns a {type(values).__name__}, where one tensor of logits is needed."
        raise InvalidInput(msg)
    return np.asarray(values.numpy())


def _weight_name(module: str) -> str:
    return f"{module}.weight" if module else "weight"
