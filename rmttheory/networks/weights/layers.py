"""Which tensors are matrices, and how they act.

A layer is ``n x m``, outputs by inputs, wherever the file keeps its axes. What a file says of the use of a
tensor goes first (an operation of ONNX, the class of a module); otherwise its name and shape are asked, and
`Layer.choice` says in words what was made of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput
from rmttheory.networks.weights._dtypes import decode
from rmttheory.networks.weights.tensors import Tensor

_EMBEDDING = re.compile(
    r"(?:^|[._/])(?!\w*(?:proj|mapping|linear|mlp))(?:\w*embed\w*|emb|wte|wpe|cls_token)(?:[._/](?:weight|embeddings(?::0)?))?$"
)
_QKV = re.compile(r"(?:^|[._/])(?:to_)?(?:w?qkv(?:_proj)?|in_proj_weight|c_attn)(?:$|[._/])", re.IGNORECASE)
_INTERLEAVED = re.compile(r"query_key_value")
_GPT2 = re.compile(r"(?:^|\.)(?:c_attn|c_proj|c_fc|q_attn)\.weight$")
_TRANSPOSED = re.compile(r"deconv|conv_?transpose|transposed?_?conv|up_?conv", re.IGNORECASE)
_RECURRENT = re.compile(r"weight_(?:ih|hh)(?:_l\d+(?:_reverse)?)?$")
_EXPERTS = re.compile(r"(?:^|\.)experts(?:\.|$)")
_KERNEL = re.compile(r"(?:^|[._/])kernel(?::0)?$")
_NORM = re.compile(r"norm|\bbn\d*\b|running_|bias(?::0)?$", re.IGNORECASE)
_OPTIMIZER = re.compile(
    r"(?:^|[._/])(?:optim(?:izer)?s?(?:_states?)?|opt_state|exp_avg(?:_sq)?|max_exp_avg_sq|momentum_buffer)(?:[._/]|$)"
)
_THIRDS = ("query", "key", "value")


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A matrix in a weight file.

    Attributes
    ----------
    name : str
        That of the tensor; parts of a tensor add ``#query``, ``#expert3`` and the like.
    kind : str
        ``dense``, ``convolution``, ``transposed convolution``, ``depthwise convolution``, ``embedding``,
        ``recurrent``, ``query``, ``key``, ``value`` or ``expert``.
    shape : tuple of int
        ``(n, m)``: outputs by inputs.
    choice : str
        In words: how the tensor was taken to be a matrix, and why.
    tensor : Tensor
        What it is a part of.
    part : slice of the first or last axis, or None
        ``(axis, start, stop)`` in the stored tensor.
    order : tuple of int
        Stored axes, that of the outputs first.
    """

    name: str
    kind: str
    shape: tuple[int, int]
    choice: str
    tensor: Tensor
    part: tuple[int, int, int] | None
    order: tuple[int, ...]

    def read(self) -> HostArray:
        """Return the matrix, ``(n, m)``: float64 if it is stored so, float32 otherwise, never rounded.

        Raises
        ------
        InvalidInput
            If it has entries that are NaN or infinite, or the file is no longer what it was.
        """
        matrix = decode(self.piece(self.tensor.raw()), self.tensor.dtype).reshape(self.shape)
        bad = matrix.size - int(np.count_nonzero(np.isfinite(matrix)))
        if bad:
            msg = f"Layer {self.name!r} holds {bad:,} NaN or infinite entries of {matrix.size:,}."
            raise InvalidInput(msg)
        return matrix

    def piece(self, raw: HostArray) -> HostArray:
        """Return its part of the stored tensor as a view, outputs first, before it is made a matrix."""
        if self.part is not None:
            axis, start, stop = self.part
            raw = raw[(slice(None),) * axis + (slice(start, stop),)]
        return raw.transpose(self.order)


def find_layers(tensors: Mapping[str, Tensor]) -> tuple[tuple[Layer, ...], dict[str, str]]:
    """Return the layers among tensors, in their order, and why each other tensor is none."""
    conv1d = any(
        _GPT2.search(name)
        and "c_attn" in name
        and len(tensor.shape) == 2
        and tensor.shape[1] == 3 * tensor.shape[0]
        for name, tensor in tensors.items()
    )
    layers: list[Layer] = []
    skipped: dict[str, str] = {}
    for name, tensor in tensors.items():
        reason = _no_layer(tensor, tensors)
        if not reason:
            found = _layers_of(tensor, conv1d)
            layers += [layer for layer in found if min(layer.shape) > 1]
            reason = (
                ""
                if min(found[0].shape) > 1
                else f"as {_times(found[0].shape)} it has a single row or column"
            )
        if reason:
            skipped[name] = reason
    return tuple(layers), skipped


def _no_layer(tensor: Tensor, tensors: Mapping[str, Tensor]) -> str:
    name, shape = tensor.name, tensor.shape
    scale = next((other for end in ("_scale_inv", "_scale") if (other := name + end) in tensors), None)
    wide = sum(size > 1 for size in shape)
    if not tensor.floating:
        return f"it holds {tensor.dtype}, not floating-point numbers"
    if 0 in shape:
        return "it is empty"
    if wide < 2:
        return "a single number" if wide == 0 else "a vector, such as a bias or a norm"
    if _OPTIMIZER.search(name):
        return "state of an optimizer"
    if tensor.role == "none":
        return tensor.evidence or "it is not used as a matrix"
    if not tensor.role and _NORM.search(name.rpartition(".")[2] or name) and not _KERNEL.search(name):
        return "a bias or running statistic by its name"
    if tensor.dtype.startswith("float8") and scale:
        return f"its numbers are to be multiplied by those of {scale}"
    return ""


def _layers_of(tensor: Tensor, conv1d: bool) -> list[Layer]:
    name, shape, role = tensor.name, tensor.shape, tensor.role
    lead = 0
    while len(shape) - lead > 2 and shape[lead] == 1 and role in ("", "embedding", "in_out", "out_in"):
        lead += 1  # axes of length one in front of a matrix
    inputs_first = role.endswith("in_out") or (not role and bool(_KERNEL.search(name)))
    why = tensor.evidence or ("kernels are kept inputs first" if inputs_first else "")
    if role == "embedding" or (not role and len(shape) - lead <= 2 and _EMBEDDING.search(name)):
        return [_embedding(tensor, lead)]
    if role.startswith("recurrent") or (not role and _RECURRENT.search(name)):
        return _recurrent(tensor, inputs_first)
    if not role and len(shape) == 3 and _EXPERTS.search(name):
        return [
            _layer(
                tensor,
                "expert",
                (1, 2, 0),
                "one of {shape}, rows taken for outputs",
                part=(0, i, i + 1),
                label=f"expert{i}",
            )
            for i in range(shape[0])
        ]
    if len(shape) - lead > 2:
        return [_convolution(tensor, inputs_first, why)]
    if not role and conv1d and _GPT2.search(name):
        inputs_first, why = True, "the Conv1D of GPT-2, as c_attn shows"
    return _dense(tensor, inputs_first, why, lead)


def _dense(tensor: Tensor, inputs_first: bool, why: str, lead: int) -> list[Layer]:
    last = len(tensor.shape) - 1
    front = tuple(range(lead)) if last - 1 == lead else ()
    order = (last, last - 1, *front) if inputs_first else (last - 1, last, *front)
    n, m = (tensor.shape[axis] for axis in order[:2])
    how = "transposed, for inputs come first" if inputs_first else "as it is, rows taken for outputs"
    words = f"{how} ({why})" if why else how
    if _INTERLEAVED.search(tensor.name):
        words += "; query, key and value are fused, perhaps head by head, and stay together"
    elif _QKV.search(tensor.name):
        if n == 3 * m:
            axis = order[0]
            return [
                _layer(
                    tensor, third, order, f"{words}; the {third} third of a fused projection",
                    part=(axis, i * m, (i + 1) * m), label=third,
                )
                for i, third in enumerate(_THIRDS)
            ]  # fmt: skip
        words += "; query, key and value are fused in unknown parts and stay together"
    return [_layer(tensor, "dense", order, words)]


def _embedding(tensor: Tensor, lead: int) -> Layer:
    last = len(tensor.shape) - 1
    order = (last, last - 1, *range(lead))
    rows, outputs = tensor.shape[last - 1 :]
    words = f"embedding of {rows:,} rows, transposed: it takes one-hot inputs to {outputs:,} outputs"
    return _layer(tensor, "embedding", order, words + (f" ({tensor.evidence})" if tensor.evidence else ""))


def _recurrent(tensor: Tensor, inputs_first: bool) -> list[Layer]:
    words = "all gates of a recurrent layer, one below the other" + (
        f" ({tensor.evidence})" if tensor.evidence else ""
    )
    if len(tensor.shape) == 3:  # ONNX: a direction each
        return [
            _layer(
                tensor,
                "recurrent",
                (1, 2, 0),
                words,
                part=(0, i, i + 1),
                label=f"direction{i}" if tensor.shape[0] > 1 else "",
            )
            for i in range(tensor.shape[0])
        ]
    return [_layer(tensor, "recurrent", (1, 0) if inputs_first else (0, 1), words)]


def _convolution(tensor: Tensor, inputs_first: bool, why: str) -> Layer:
    role, dimensions = tensor.role, len(tensor.shape)
    turned = role.startswith("transposed") or (not role and bool(_TRANSPOSED.search(tensor.name)))
    if inputs_first:
        kernel = tuple(range(dimensions - 2))
        outputs, inputs = (
            (dimensions - 2, dimensions - 1)
            if turned or "depthwise" in role
            else (dimensions - 1, dimensions - 2)
        )
    else:
        kernel = tuple(range(2, dimensions))
        outputs, inputs = (1, 0) if turned else (0, 1)
    kind = "transposed convolution" if turned else "convolution"
    words = f"{kind} {{shape}}, outputs by inputs times kernel"
    if tensor.shape[inputs] == 1 or "depthwise" in role:
        kind = "depthwise convolution" if not turned else kind
        words = (
            "convolution {shape}, each row a filter of one channel: depthwise, or the input has one channel"
        )
    return _layer(tensor, kind, (outputs, inputs, *kernel), words + (f" ({why})" if why else ""))


def _layer(
    tensor: Tensor,
    kind: str,
    order: tuple[int, ...],
    words: str,
    *,
    part: tuple[int, int, int] | None = None,
    label: str = "",
) -> Layer:
    sizes = list(tensor.shape)
    if part is not None:
        sizes[part[0]] = part[2] - part[1]
    n, m = sizes[order[0]], math.prod(sizes[axis] for axis in order[1:])
    name = f"{tensor.name}#{label}" if label else tensor.name
    choice = words.replace("{shape}", _times(tensor.shape))
    return Layer(
        name=name,
        kind=label if label in _THIRDS else kind,
        shape=(n, m),
        choice=choice,
        tensor=tensor,
        part=part,
        order=order,
    )


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{size:,}" for size in shape)
