"""NumPy's ``.npy`` and ``.npz``, without Python objects.

The header is a Python expression; it is matched against the one form that NumPy writes, never evaluated.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from rmttheory.arrays import InvalidInput
from rmttheory.networks.weights._archive import Member, head
from rmttheory.networks.weights._storage import Inflated, Region, Storage
from rmttheory.networks.weights.tensors import Tensor, tensor

_HEADER = re.compile(
    r"\{'descr': '([<>|=])([a-zA-Z])(\d{1,6})', 'fortran_order': (True|False), "
    r"'shape': \(((?:\d{1,19}, ?)*(?:\d{1,19})?),?\), ?\}[ \n]*"
)
_DTYPES = {np.dtype(code).str[1:]: name for name, code in (
    ("float64", "f8"), ("float32", "f4"), ("float16", "f2"), ("int64", "i8"), ("int32", "i4"),
    ("int16", "i2"), ("int8", "i1"), ("uint64", "u8"), ("uint32", "u4"), ("uint16", "u2"), ("uint8", "u1"),
    ("bool", "b1"),
    ("complex64", "c8"), ("complex128", "c16"),
)}  # fmt: skip
LONGEST_HEADER = 10_000


def read_npy(path: Path) -> list[Tensor]:
    """Return the one tensor of a ``.npy`` file, named as the file.

    Raises
    ------
    InvalidInput
    """
    with open(path, "rb") as file:
        begin = file.read(LONGEST_HEADER + 12)
    name = path.stem if path.stem.isprintable() else "array"
    size = path.stat().st_size

    def place(
        start: int, length: int, code: str, shape: tuple[int, ...], strides: tuple[int, ...] | None
    ) -> Storage:
        return Region(path=str(path), start=start, length=length, code=code, shape=shape, strides=strides)

    return [_tensor(name, begin, size, str(path), place)]


def read_npz(path: Path, parts: dict[str, Member]) -> list[Tensor]:
    """Return the tensors of a ``.npz`` file.

    Raises
    ------
    InvalidInput
    """
    return [_part(path, member) for member in parts.values()]


def _part(path: Path, member: Member) -> Tensor:
    begin = head(path, member, LONGEST_HEADER + 12)

    def place(
        start: int, length: int, code: str, shape: tuple[int, ...], strides: tuple[int, ...] | None
    ) -> Storage:
        if member.deflated:
            return Inflated(
                path=str(path), start=member.start, packed=member.packed, size=member.size,
                member=member.name,                within=start, code=code, shape=shape, strides=strides,
            )  # fmt: skip
        return Region(
            path=str(path), start=member.start + start, length=length, code=code, shape=shape,
            strides=strides, member=member.name,
        )  # fmt: skip

    if not member.name.endswith(".npy"):
        msg = f"its part {member.name[:80]!a} is not an array."
        raise InvalidInput(msg)
    return _tensor(member.name.removesuffix(".npy"), begin, member.size, f"{path}, part {member.name}", place)


def _tensor(name: str, begin: bytes, size: int, where: str, place) -> Tensor:  # type: ignore[no-untyped-def]
    start, order, kind, fortran, shape = _parse(begin, name)
    code = f"{order}{kind}"
    dtype = _DTYPES.get(kind, kind)
    length = math.prod(shape) * np.dtype(code).itemsize
    if length != size - start:
        msg = f"its array {name[:80]!a} of shape {shape} needs {length:,} bytes and has {size - start:,}."
        raise InvalidInput(msg)
    strides = tuple(math.prod(shape[:axis]) for axis in range(len(shape))) if fortran else None
    return tensor(
        name, shape, dtype, nbytes=length, where=where, storage=place(start, length, code, shape, strides)
    )


def _parse(begin: bytes, name: str) -> tuple[int, str, str, bool, tuple[int, ...]]:
    width = 2 if begin[6:7] == b"\x01" else 4
    start = 8 + width + int.from_bytes(begin[8 : 8 + width], "little")
    if begin[:6] != b"\x93NUMPY" or begin[6:7] not in (b"\x01", b"\x02", b"\x03") or start > len(begin):
        msg = f"its array {name[:80]!a} has no header that NumPy writes."
        raise InvalidInput(msg)
    text = begin[8 + width : start].decode("latin-1")
    match = _HEADER.fullmatch(text)
    if match is None:
        why = (
            "holds Python objects, which are never loaded"
            if "'|O'" in text
            else "has no header that NumPy writes"
        )
        msg = f"its array {name[:80]!a} {why}."
        raise InvalidInput(msg)
    order, letter, bytes_, fortran, sizes = match.groups()
    shape = tuple(int(size) for size in sizes.replace(" ", "").split(",") if size)
    if letter == "O" or len(shape) > 32 or max(shape, default=0) >= 2**63:
        msg = f"its array {name[:80]!a} holds Python objects or has a shape that cannot be."
        raise InvalidInput(msg)
    kind = letter + bytes_
    try:
        np.dtype(f"{order}{kind}")
    except TypeError:
        msg = f"its array {name[:80]!a} has the unknown type {kind!r}."
        raise InvalidInput(msg) from None
    return start, order, kind, fortran == "True", shape
