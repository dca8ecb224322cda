"""PyTorch's zip format (``.pt``, ``.pth``, ``.bin``) and TorchScript: a pickle, and a part a storage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmttheory.arrays import InvalidInput
from rmttheory.networks.weights._archive import Member, read_member
from rmttheory.networks.weights._dtypes import CODES, itemsize
from rmttheory.networks.weights._pickle import Record, View, unpickle
from rmttheory.networks.weights._storage import Region, check_view
from rmttheory.networks.weights.tensors import Tensor, tensor

LARGEST_PICKLE = 2**26
DEEPEST = 64

_QUANTISED = {"qint8": 1, "quint8": 1, "qint32": 4}


def is_torch(parts: dict[str, Member]) -> bool:
    """Whether an archive is one of PyTorch's."""
    return any(name.endswith("/data.pkl") or name == "data.pkl" for name in parts)


def read(path: Path, parts: dict[str, Member]) -> list[Tensor]:
    """Return the tensors of an archive, named by the way that leads to them.

    Raises
    ------
    InvalidInput
        If its pickle asks for anything but tensors in tables, lists and TorchScript records.
    """
    (root, *others) = [name.removesuffix("data.pkl") for name in parts if name.endswith("data.pkl")]
    if others or (root and not root.endswith("/")):
        msg = "it holds more than one pickle of weights."
        raise InvalidInput(msg)
    order = (
        ">"
        if f"{root}byteorder" in parts and read_member(path, parts[f"{root}byteorder"], limit=16) == b"big"
        else "<"
    )
    scripted = f"{root}constants.pkl" in parts
    found = []
    for pickle, folder in (("data.pkl", "data"), ("constants.pkl", "constants")):
        if f"{root}{pickle}" not in parts:
            continue
        content = unpickle(
            read_member(path, parts[f"{root}{pickle}"], limit=LARGEST_PICKLE), scripted=scripted
        )
        prefix = "constants" if pickle == "constants.pkl" else ""
        found += [
            _tensor(path, name, view, parts, f"{root}{folder}/{view.stored.key}", order)
            for name, view in _named(content, prefix)
        ]
    return found


def _named(content: Any, prefix: str) -> list[tuple[str, View]]:
    """Walk through tables and lists, each once however often it is shared."""
    found: list[tuple[str, View]] = []
    seen: set[int] = set()
    waiting: list[tuple[str, Any, int]] = [(prefix, content, 0)]
    while waiting:
        name, value, depth = waiting.pop()
        if isinstance(value, View):
            found.append((name or "tensor", value))
            continue
        items = value.fields if isinstance(value, Record) else value
        if not isinstance(items, (dict, list, tuple)) or id(value) in seen:
            continue
        if depth > DEEPEST:
            msg = f"it nests tables more than {DEEPEST} deep."
            raise InvalidInput(msg)
        seen.add(id(value))
        pairs = list(items.items() if isinstance(items, dict) else enumerate(items))
        waiting += [
            (f"{name}.{key}" if name else str(key), inner, depth + 1) for key, inner in reversed(pairs)
        ]
    return found


def _tensor(path: Path, name: str, view: View, parts: dict[str, Member], part: str, order: str) -> Tensor:
    member = parts.get(part)
    if member is None:
        msg = f"its tensor {name[:80]!a} lies in the part {part[:80]!a}, and there is none."
        raise InvalidInput(msg)
    stored, dtype = view.stored, view.dtype
    size = _QUANTISED.get(dtype) or (1 if dtype == "bytes" else itemsize(dtype))
    count = member.size // size
    if member.deflated or (stored.dtype != "bytes" and stored.count > count):
        msg = f"its part {part[:80]!a} has {member.size:,} bytes, not those of {stored.count:,} {dtype}."
        raise InvalidInput(msg)
    check_view(view.shape, view.offset, view.strides, count if stored.dtype == "bytes" else stored.count)
    code = CODES.get(dtype, "|u1").replace("<", order)
    storage = Region(
        path=str(path), start=member.start, length=member.size // size * size, code=code, shape=view.shape,
        offset=view.offset, strides=view.strides, member=member.name,
    )  # fmt: skip
    return tensor(name, view.shape, dtype, where=f"{path}, part {part}", storage=storage)
