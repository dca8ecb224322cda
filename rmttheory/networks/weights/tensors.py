"""One tensor of a weight file: known by its entry, read when it is wanted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from rmttheory.arrays import HostArray, InvalidInput
from rmttheory.networks.files import reading
from rmttheory.networks.weights._dtypes import CODES, FLOATING, decode, itemsize
from rmttheory.networks.weights._storage import Storage

LONGEST_NAME = 1000


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A named array of numbers that lies somewhere.

    Attributes
    ----------
    name : str
        Unique in its file.
    shape : tuple of int
        As stored.
    dtype : str
        ``float32``, ``bfloat16``, ``float8_e4m3fn``, ``int8``, ...
    nbytes : int
        Bytes that it takes where it lies, unpacked.
    where : str
        File, and place in it, in words.
    role : str
        What the file says it is used for (see `rmttheory.networks.weights.layers`), empty if it says nothing.
    evidence : str
        What in the file says so.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    where: str
    role: str = ""
    evidence: str = ""
    storage: Storage = field(repr=False, compare=False)

    @property
    def floating(self) -> bool:
        """Whether its numbers are floating-point numbers that can be read."""
        return self.dtype in FLOATING

    @property
    def size(self) -> int:
        """Number of entries."""
        return math.prod(self.shape)

    def read(self) -> HostArray:
        """Return its numbers: float64 if they are stored so, float32 otherwise, never rounded.

        A read-only view of the mapped file where no conversion is needed.

        Raises
        ------
        InvalidInput
            If they are not floating-point numbers, or the file is no longer what it was.
        """
        return decode(self.raw(), self.dtype)

    def raw(self) -> HostArray:
        """Return its numbers as they are stored; those that NumPy has no type for as their bits.

        Raises
        ------
        InvalidInput
            If they are not floating-point numbers, or the file is no longer what it was.
        """
        if not self.floating:
            msg = f"Tensor {self.name!r} holds {self.dtype}, which is listed but not read."
            raise InvalidInput(msg)
        with reading(self.where, "what it was when it was opened"):
            return self.storage.raw()


def tensor(
    name: str, shape: tuple[int, ...], dtype: str, *, where: str, storage: Storage, **more: Any
) -> Tensor:
    """Return a tensor whose name can be shown and whose bytes follow from its kind."""
    check_name(name)
    size = itemsize(dtype) if dtype in CODES else 1
    return Tensor(
        name=name, shape=shape, dtype=dtype, nbytes=more.pop("nbytes", math.prod(shape) * size), where=where,
        storage=storage, **more,
    )  # fmt: skip


def check_name(name: str) -> None:
    """Check that a name can be printed: what files name must not steer a terminal.

    Raises
    ------
    InvalidInput
    """
    if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME:
        msg = f"it names a tensor {name[:40]!a}; names are 1 to {LONGEST_NAME:,} printable characters."
        raise InvalidInput(msg)


def by_name(tensors: list[Tensor]) -> dict[str, Tensor]:
    """Return tensors under their names.

    Raises
    ------
    InvalidInput
        If a name occurs twice.
    """
    table: dict[str, Tensor] = {}
    for entry in tensors:
        if table.setdefault(entry.name, entry) is not entry:
            msg = f"it holds two tensors named {entry.name!r}."
            raise InvalidInput(msg)
    return table
