"""ONNX: initialisers and constants of the graph and of the graphs inside its nodes, and what uses them."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput
from rmttheory.networks.weights._dtypes import CODES, FLOATING, itemsize
from rmttheory.networks.weights._protobuf import Message
from rmttheory.networks.weights._safetensors import beside
from rmttheory.networks.weights._storage import Region, Storage
from rmttheory.networks.weights.tensors import Tensor, tensor

DEEPEST = 16
"""Graphs within graphs."""

_DTYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 14: "complex64", 15: "complex128", 16:
    "bfloat16", 17: "float8_e4m3fn", 18: "float8_e4m3fnuz", 19: "float8_e5m2", 20: "float8_e5m2fnuz", 24:
    "float8_e8m0fnu",
}  # fmt: skip
_TEXT = 8
_NARROW = {21: ("uint4", 4), 22: ("int4", 4), 23: ("float4", 4), 25: ("uint2", 2), 26: ("int2", 2)}
_LISTS = {4: "float32", 10: "float64"}
"""Fields that hold numbers of one kind as they are."""
_SHORT = 5
"""The field that holds the bits of shorter numbers."""
_RESHAPING = frozenset(
    [
        "Identity",
        "Cast",
        "Transpose",
        "Slice",
        "Split",
        "Concat",
        "Reshape",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Shape",
    ]
)
"""Operations that say nothing of what a tensor is for."""
_VAGUE = ("", "none")
"""Roles that give way to any other."""


@dataclass(frozen=True, kw_only=True)
class Varints:
    """Numbers of 16 or 8 bits that are kept as whole numbers of any length: ``int32_data``."""

    path: str
    start: int
    end: int
    code: str
    shape: tuple[int, ...]

    def raw(self) -> HostArray:
        with open(self.path, "rb") as file:
            file.seek(self.start)
            data = file.read(self.end - self.start)
        values = list(Message(data, 0, len(data)).varints())
        if len(values) != math.prod(self.shape):
            msg = f"a tensor of shape {self.shape} has {len(values):,} numbers."
            raise InvalidInput(msg)
        bits = np.array([value & 0xFFFF for value in values], np.uint16)
        narrow = bits.astype(f"u{np.dtype(self.code).itemsize}")
        return narrow.view(self.code).reshape(self.shape)


@dataclass
class _Graph:
    """What one graph defines and uses; names are those of its own scope and of the scopes around it."""

    prefix: str
    around: _Graph | None
    tensors: dict[str, Message] = field(default_factory=dict)
    made: set[str] = field(default_factory=set)
    uses: list[tuple[str, int, str, dict[str, int]]] = field(default_factory=list)
    passed: list[tuple[str, str, bool]] = field(default_factory=list)
    """What goes on under another name, and whether its axes are swapped."""
    inside: list[_Graph] = field(default_factory=list)


def read(path: Path) -> tuple[list[Tensor], dict[str, str], set[Path]]:
    """Return the tensors, the texts, and the files beside it that hold numbers.

    Raises
    ------
    InvalidInput
    """
    size = path.stat().st_size
    if size == 0:
        msg = "it is empty."
        raise InvalidInput(msg)
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        return _model(path, Message(buffer, 0, size))


def _model(path: Path, model: Message) -> tuple[list[Tensor], dict[str, str], set[Path]]:
    texts: dict[str, str] = {}
    main = None
    functions: list[_Graph] = []
    for number, value in model.fields():
        if number == 7:
            if main is not None:
                msg = "it has two main graphs."
                raise InvalidInput(msg)
            main = _graph(_message(value), "", None, 0)
        elif number == 25:
            functions.append(_graph(_message(value), f"function{len(functions)}/", None, 0, nodes=7))
        elif number == 2:
            texts["producer"] = _message(value).text()
        elif number == 14:
            key, text = _pair(_message(value))
            texts[key] = text
    if main is None:
        msg = "it has no graph."
        raise InvalidInput(msg)
    graphs = list(_all((main, *functions)))
    roles = _roles(graphs)
    files: set[Path] = set()
    found = [
        _tensor(path, graph.prefix + name, proto, roles.get((id(graph), name), ("", "")), files)
        for graph in graphs
        for name, proto in graph.tensors.items()
    ]
    return [entry for entry in found if entry is not None], texts, files


def _message(value: int | Message) -> Message:
    if isinstance(value, int):
        msg = "a number stands where a message should."
        raise InvalidInput(msg)
    return value


def _whole(value: int | Message) -> int:
    if not isinstance(value, int):
        msg = "a message stands where a number should."
        raise InvalidInput(msg)
    return value


def _all(graphs: Any) -> Iterator[_Graph]:
    for graph in graphs:
        yield graph
        yield from _all(graph.inside)


def _graph(message: Message, prefix: str, around: _Graph | None, depth: int, nodes: int = 1) -> _Graph:
    if depth > DEEPEST:
        msg = f"it has graphs in graphs, more than {DEEPEST} deep."
        raise InvalidInput(msg)
    graph = _Graph(prefix, around)
    count = 0
    for number, value in message.fields():
        if number == nodes:
            _node(_message(value), graph, count, depth)
            count += 1
        elif number == 5 and nodes == 1:
            _define(graph, _name(_message(value)), _message(value))
    return graph


def _name(proto: Message) -> str:
    for number, value in proto.fields():
        if number == 8:
            return _message(value).text()
    return ""


def _define(graph: _Graph, name: str, proto: Message) -> None:
    if graph.tensors.setdefault(name, proto) is not proto:
        msg = f"it holds two tensors named {name[:80]!a}."
        raise InvalidInput(msg)


def _node(message: Message, graph: _Graph, index: int, depth: int) -> None:
    inputs: list[str] = []
    outputs: list[str] = []
    title = kind = ""
    attributes: list[Message] = []
    for number, value in message.fields():
        if number == 1:
            inputs.append(_message(value).text())
        elif number == 2:
            outputs.append(_message(value).text())
        elif number == 3:
            title = _message(value).text()
        elif number == 4:
            kind = _message(value).text()
        elif number == 5:
            attributes.append(_message(value))
    flags: dict[str, int] = {}
    for attribute in attributes:
        _attribute(attribute, graph, f"{title or kind + str(index)}", kind, outputs, flags, depth)
    graph.made.update(outputs)
    graph.uses += [(name, place, kind, flags) for place, name in enumerate(inputs)]
    if kind in ("Identity", "Cast", "Transpose") and inputs and outputs:
        graph.passed.append((inputs[0], outputs[0], kind == "Transpose"))


def _attribute(
    message: Message,
    graph: _Graph,
    title: str,
    kind: str,
    outputs: list[str],
    flags: dict[str, int],
    depth: int,
) -> None:
    name, tensors, graphs = "", [], []
    for number, value in message.fields():
        if number == 1:
            name = _message(value).text()
        elif number == 3 and isinstance(value, int):
            flags[name] = value
        elif number in (5, 10):
            tensors.append(_message(value))
        elif number in (6, 11):
            graphs.append(_message(value))
    for place, inner in enumerate(graphs):
        label = name if len(graphs) == 1 else f"{name}{place}"
        graph.inside.append(_graph(inner, f"{graph.prefix}{title}/{label}/", graph, depth + 1))
    for place, inner in enumerate(tensors):
        constant = kind == "Constant" and name == "value" and len(tensors) == 1 and outputs
        _define(graph, outputs[0] if constant else f"{title}/{name}{place or ''}", inner)


def _roles(graphs: list[_Graph]) -> dict[tuple[int, str], tuple[str, str]]:
    """Say of each tensor what its users make of it; the one that says most counts."""
    roles: dict[tuple[int, str], tuple[str, str]] = {}
    for graph in graphs:
        for name, place, kind, flags in graph.uses:
            key, role = _scope(graph, name), _role(kind, place, flags)
            if key is not None and (
                key not in roles or (roles[key][0] in ("", "none") and role[0] not in ("", "none"))
            ):
                roles[key] = role
    for graph in reversed(graphs):
        for name, made, swapped in reversed(graph.passed):
            key, role = _scope(graph, name), roles.get((id(graph), made), ("", ""))
            if key is not None and roles.get(key, ("", ""))[0] in _VAGUE and role[0]:
                other = {"in_out": "out_in", "out_in": "in_out"}.get(role[0], "")
                roles[key] = (other, f"Transpose, then {role[1]}") if swapped else role
    return roles


def _scope(graph: _Graph, name: str) -> tuple[int, str] | None:
    """Return what a name means in a graph: that of the nearest graph around it which has it."""
    scope: _Graph | None = graph
    while scope is not None and name not in scope.tensors and name not in scope.made:
        scope = scope.around
    return None if scope is None else (id(scope), name)


def _role(kind: str, place: int, flags: dict[str, int]) -> tuple[str, str]:
    turned = bool(flags.get("transB"))
    known: dict[tuple[str, int], tuple[str, str]] = {
        ("MatMul", 1): ("in_out", "MatMul multiplies by it from the right"),
        ("MatMul", 0): ("out_in", "MatMul multiplies it from the right"),
        ("Gemm", 1): ("out_in", "Gemm takes its transpose")
        if turned
        else ("in_out", "Gemm multiplies by it"),
        ("Conv", 1): ("convolution", "Conv"),
        ("ConvTranspose", 1): ("transposed convolution", "ConvTranspose"),
        ("Gather", 0): ("embedding", "Gather takes rows of it"),
        **{(cell, side): ("recurrent", cell) for cell in ("LSTM", "GRU", "RNN") for side in (1, 2)},
    }
    if kind in _RESHAPING:
        return "", f"{kind} uses it first"
    return known.get((kind, place), ("none", f"{kind} uses it, not as a matrix"))


def _tensor(path: Path, name: str, proto: Message, role: tuple[str, str], files: set[Path]) -> Tensor | None:
    dims: list[int] = []
    kind, raw, outside = 0, None, False
    lists: dict[int, list[int | Message]] = {}
    places: dict[str, str] = {}
    for number, value in proto.fields():
        if number == 1:
            dims += [value] if isinstance(value, int) else list(islice(value.varints(), 65))
        elif number == 2:
            kind = _whole(value)
        elif number == 9:
            raw = _message(value)
        elif number in (4, 5, 6, 7, 10, 11):
            lists.setdefault(number, []).append(value)
        elif number == 13:
            places.update([_pair(_message(value))])
        elif number == 14:
            outside = value == 1
    if kind == _TEXT:
        return None
    if (kind not in _DTYPES and kind not in _NARROW) or len(dims) > 64 or max(dims, default=0) >= 2**63:
        msg = f"its tensor {name[:80]!a} has type {kind} and shape {tuple(dims[:8])}, which cannot be."
        raise InvalidInput(msg)
    dtype, bits = _NARROW[kind] if kind in _NARROW else (_DTYPES[kind], 8 * itemsize(_DTYPES[kind]))
    shape = tuple(dims)
    length = -(-math.prod(shape) * bits // 8)
    where = path
    storage: Storage
    if outside:
        where, start, available = _outside(path, places, length, files)
        storage = _region(where, start, available, dtype, shape)
    elif raw is not None:
        start, available = raw.start, raw.length
        storage = _region(path, start, available, dtype, shape)
    else:
        start, available, storage = _listed(path, name, lists, dtype, shape, length)
    if available != length:
        msg = f"its tensor {name[:80]!a} of shape {shape} has {available:,} bytes of {dtype}, not {length:,}."
        raise InvalidInput(msg)
    return tensor(
        name or "tensor", shape, dtype, nbytes=length, where=f"{where}, byte {start:,}", storage=storage,
        role=role[0], evidence=role[1],
    )  # fmt: skip


def _region(path: Path, start: int, length: int, dtype: str, shape: tuple[int, ...]) -> Region:
    return Region(path=str(path), start=start, length=length, code=CODES.get(dtype, "|u1"), shape=shape)


def _outside(path: Path, places: dict[str, str], length: int, files: set[Path]) -> tuple[Path, int, int]:
    """Find numbers in a file beside this one; links that lead out of the folder are not followed."""
    file = beside(path, places.get("location", ""))
    if not file.resolve().is_relative_to(path.parent.resolve()):
        msg = f"it names the file {places['location'][:80]!a}, which is not in its own folder."
        raise InvalidInput(msg)
    start, stated = (places.get(key, default) for key, default in (("offset", "0"), ("length", str(length))))
    if not all(text.isascii() and text.isdigit() and len(text) < 19 for text in (start, stated)):
        msg = f"it gives {start[:20]!a} and {stated[:20]!a} as place and length in {file.name!a}."
        raise InvalidInput(msg)
    if int(start) + int(stated) > os.stat(file).st_size:
        msg = f"it needs {int(stated):,} bytes from {int(start):,} of {file.name!a}, which is shorter."
        raise InvalidInput(msg)
    files.add(file)
    return file, int(start), int(stated)


def _listed(
    path: Path,
    name: str,
    lists: dict[int, list[int | Message]],
    dtype: str,
    shape: tuple[int, ...],
    length: int,
) -> tuple[int, int, Storage]:
    """Find numbers in one of the fields that are lists of them."""
    if dtype not in FLOATING:  # never read
        return 0, length, _region(path, 0, 0, dtype, shape)
    count = math.prod(shape)
    for number, values in lists.items():
        first = values[0]
        if len(values) > 1 or isinstance(first, int):
            msg = f"its tensor {name[:80]!a} keeps every number in a field of its own, which is not read."
            raise InvalidInput(msg)
        if _LISTS.get(number) == dtype:
            return first.start, first.length, _region(path, first.start, first.length, dtype, shape)
        if number != _SHORT or not count <= first.length <= 10 * count or itemsize(dtype) > 2:
            msg = f"its tensor {name[:80]!a} of shape {shape} keeps {dtype} as {first.length:,} other bytes."
            raise InvalidInput(msg)
        storage = Varints(path=str(path), start=first.start, end=first.end, code=CODES[dtype], shape=shape)
        return first.start, length, storage
    return 0, 0, _region(path, 0, 0, dtype, shape)


def _pair(message: Message) -> tuple[str, str]:
    pair = ["", ""]
    for number, value in message.fields():
        if number in (1, 2):
            pair[number - 1] = _message(value).text()
    return pair[0], pair[1]
