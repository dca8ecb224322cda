"""Where the numbers of one tensor lie, and how they are brought into memory when they are wanted.

Places are plain data (a path and numbers), so that a tensor can be sent to another process and opened there.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput


class Storage(Protocol):
    """Something that gives the stored numbers of a tensor in its shape."""

    def raw(self) -> HostArray: ...


@dataclass(frozen=True, kw_only=True)
class Region:
    """A stretch of a file that holds numbers as they are, mapped into memory when it is read.

    ``strides`` count numbers, as in PyTorch; without them the last index is the fastest. ``member`` names the
    part of an archive that it lies in, if any.
    """

    path: str
    start: int
    length: int
    code: str
    shape: tuple[int, ...]
    offset: int = 0
    strides: tuple[int, ...] | None = None
    member: str = ""

    def raw(self, mode: Literal["r", "r+"] = "r") -> HostArray:
        if self.length == 0 or 0 in self.shape:
            return np.zeros(self.shape, self.code)
        if (
            Path(self.path).stat().st_size < self.start + self.length
        ):  # a map beyond the end kills the process
            msg = f"{self.path} has become shorter since it was opened."
            raise InvalidInput(msg)
        count = self.length // np.dtype(self.code).itemsize
        flat: HostArray = np.memmap(self.path, self.code, mode, self.start, (count,)).view(np.ndarray)
        return shaped(flat, self.shape, self.offset, self.strides)

    def moved(self, path: Path, shift: int = 0) -> Region:
        """Return the same region in a copy of the file."""
        return replace(self, path=str(path), start=self.start + shift)


@dataclass(frozen=True, kw_only=True)
class Inflated:
    """A deflated part of an archive; ``within`` is where the numbers begin in it."""

    path: str
    start: int
    packed: int
    size: int
    member: str
    within: int
    code: str
    shape: tuple[int, ...]
    offset: int = 0
    strides: tuple[int, ...] | None = None

    def raw(self) -> HostArray:
        with open(self.path, "rb") as file:
            file.seek(self.start)
            data = inflate(file.read(self.packed), self.size)
        count = (self.size - self.within) // np.dtype(self.code).itemsize
        return shaped(
            np.frombuffer(data, self.code, count, self.within), self.shape, self.offset, self.strides
        )


def inflate(packed: bytes, size: int) -> bytes:
    """Return what a raw deflate stream holds, which must be exactly ``size`` bytes."""
    stream = zlib.decompressobj(-15)
    data = stream.decompress(packed, size + 1)
    if len(data) != size:
        msg = f"a part of it should unpack to {size:,} bytes and does not."
        raise InvalidInput(msg)
    return data


def shaped(
    flat: HostArray, shape: tuple[int, ...], offset: int, strides: tuple[int, ...] | None
) -> HostArray:
    """Return a view of ``flat`` in a shape that is known to fit."""
    if strides is None:
        return flat[offset : offset + math.prod(shape)].reshape(shape)
    steps = [stride * flat.itemsize for stride in strides]
    view: Any = np.lib.stride_tricks.as_strided(flat[offset:], shape, steps, writeable=flat.flags.writeable)
    return view  # type: ignore[no-any-return]


def check_view(shape: tuple[int, ...], offset: int, strides: tuple[int, ...], count: int) -> None:
    """Check that a strided view stays inside ``count`` stored numbers and does not repeat them.

    Raises
    ------
    InvalidInput
        Where it does; a repeated number would let a small file promise a tensor of any size.
    """
    if len(strides) != len(shape) or min((offset, *strides, *shape), default=0) < 0:
        msg = f"a tensor of shape {shape} has strides {strides} from {offset}."
        raise InvalidInput(msg)
    if 0 in shape:
        return
    if (
        offset + sum((size - 1) * step for size, step in zip(shape, strides)) >= count
        or math.prod(shape) > count
    ):
        msg = f"a tensor of shape {shape} does not fit into the {count:,} numbers stored for it."
        raise InvalidInput(msg)
