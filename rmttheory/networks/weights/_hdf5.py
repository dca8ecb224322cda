"""HDF5, as Keras writes it (``.h5``, and inside ``.keras``), through h5py.

h5py finds the tensors; where their numbers lie in one piece they are then read like those of any other file.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Unavailable
from rmttheory.networks.weights._archive import Member, read_member
from rmttheory.networks.weights._dtypes import CODES
from rmttheory.networks.weights._storage import Region, Storage
from rmttheory.networks.weights.tensors import Tensor, tensor

MAGIC = b"\x89HDF\r\n\x1a\n"
LARGEST_CONFIGURATION = 2**24
MOST_OBJECTS = 100_000
LARGEST_CHUNKED = 2**31

_DTYPES = {
    np.dtype(code).str[1:]: name
    for name, code in CODES.items()
    if name not in ("bfloat16", "bool") and "8_" not in name
}
_KERNELS = {
    "Dense": "in_out", "EinsumDense": "in_out", "Embedding": "embedding",
    "LSTM": "recurrent in_out", "GRU": "recurrent in_out", "SimpleRNN": "recurrent in_out",
    "Conv1D": "convolution in_out", "Conv2D": "convolution in_out",
    "Conv3D": "convolution in_out", "DepthwiseConv2D": "depthwise in_out",
    "Conv2DTranspose": "transposed convolution in_out", "Conv1DTranspose": "transposed convolution in_out",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Chunked:
    """A data set in chunks, which only the HDF5 library can put together."""

    path: str
    start: int
    length: int
    name: str

    def raw(self) -> HostArray:
        with _opened(Path(self.path), self.start, self.length) as file:
            values: HostArray = file[self.name][()]
        return values


class _Window(io.RawIOBase):
    """A stretch of a file as a file."""

    def __init__(self, path: Path, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = open(path, "rb"), start, length, 0  # noqa: SIM115

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._length)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        self._file.seek(self._start + self._at)
        data = self._file.read(max(0, min(len(buffer), self._length - self._at)))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def close(self) -> None:
        self._file.close()
        super().close()


def read(path: Path) -> list[Tensor]:
    """Return the tensors of an HDF5 file.

    Raises
    ------
    InvalidInput
    """
    return _tensors(path, 0, path.stat().st_size, "", None)


def read_keras(path: Path, parts: dict[str, Member]) -> list[Tensor]:
    """Return the tensors of a ``.keras`` archive.

    Raises
    ------
    InvalidInput
    """
    member = parts["model.weights.h5"]
    if member.deflated:
        msg = "its weights are compressed inside the archive, which Keras does not do."
        raise InvalidInput(msg)
    config = None
    if "config.json" in parts:
        config = _json(read_member(path, parts["config.json"], limit=LARGEST_CONFIGURATION))
    return _tensors(path, member.start, member.packed, member.name, config)


def _opened(path: Path, start: int, length: int) -> Any:
    try:
        import h5py
    except ImportError:
        msg = "Reading HDF5 needs h5py: pip install 'rmttheory[hdf5]'."
        raise Unavailable(msg) from None
    return h5py.File(_Window(path, start, length), "r")


def _tensors(path: Path, start: int, length: int, member: str, config: Any) -> list[Tensor]:
    with _opened(path, start, length) as file:
        import h5py

        if file.userblock_size:
            msg = "it has something in front of the HDF5 data."
            raise InvalidInput(msg)
        if config is None and isinstance(text := file.attrs.get("model_config"), (str, bytes)):
            config = _json(text)
        classes = _classes(config)
        found = []
        for name, data in _datasets(file, h5py):
            role, evidence = _role(name, data, classes)
            place, how = _place(path, start, length, member, name, data)
            dtype = (
                _DTYPES.get(data.dtype.str[1:], data.dtype.str[1:])
                if data.dtype.kind in "fiuc"
                else str(data.dtype.kind)
            )
            found.append(
                tensor(
                    name,
                    data.shape,
                    dtype,
                    nbytes=data.size * data.dtype.itemsize,
                    where=f"{path}, {how}",
                    storage=place,
                    role=role,
                    evidence=evidence,
                )
            )
        return found


def _datasets(file: Any, h5py: Any) -> list[tuple[str, Any]]:
    """Walk through groups by their own links; what leads to other files is not followed."""
    found: list[tuple[str, Any]] = []
    seen: set[Any] = set()
    waiting = [("", file)]
    count = 0
    while waiting:
        prefix, group = waiting.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        for key in sorted(group, reverse=True):
            count += 1
            if count > MOST_OBJECTS:
                msg = f"it has more than {MOST_OBJECTS:,} objects."
                raise InvalidInput(msg)
            name = f"{prefix}/{key}" if prefix else key
            if not isinstance(group.get(key, getlink=True), h5py.HardLink):
                msg = f"its entry {name[:80]!a} is a link to elsewhere, which is not followed."
                raise InvalidInput(msg)
            item = group[key]
            if isinstance(item, h5py.Group):
                waiting.append((name, item))
            elif isinstance(item, h5py.Dataset) and item.shape is not None:
                found.append((name, item))
    return found[::-1]


def _place(path: Path, start: int, length: int, member: str, name: str, data: Any) -> tuple[Storage, str]:
    if data.is_virtual or data.external:
        msg = f"its data set {name[:80]!a} takes its numbers from other files."
        raise InvalidInput(msg)
    size = data.size * data.dtype.itemsize
    offset = data.id.get_offset()
    if offset is not None or size == 0:
        if (offset or 0) + size > length:
            msg = f"its data set {name[:80]!a} of {size:,} bytes goes beyond the end."
            raise InvalidInput(msg)
        region = Region(
            path=str(path),
            start=start + (offset or 0),
            length=size,
            code=data.dtype.str,
            shape=data.shape,
            member=member,
        )
        return region, f"byte {start + (offset or 0):,}"
    if size > max(LARGEST_CHUNKED // 32, 100 * data.id.get_storage_size()) or size > LARGEST_CHUNKED:
        msg = (
            f"its data set {name[:80]!a} would unpack to {size:,} bytes from {data.id.get_storage_size():,}."
        )
        raise InvalidInput(msg)
    return Chunked(path=str(path), start=start, length=length, name=name), f"data set {name}"


def _json(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _classes(config: Any) -> dict[str, str]:
    """Return the class of each layer that a description of a Keras model names."""
    classes: dict[str, str] = {}
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            kind, inner = value.get("class_name"), value.get("config")
            if isinstance(kind, str) and isinstance(inner, dict) and isinstance(inner.get("name"), str):
                classes[inner["name"]] = kind
            waiting += value.values()
    return classes


def _role(name: str, data: Any, classes: dict[str, str]) -> tuple[str, str]:
    named = str(data.parent.parent.attrs.get("name", "")) if name.count("/") > 1 else ""
    for part in (named, *reversed(name.split("/"))):
        kind = classes.get(part)
        if kind in _KERNELS:
            return _KERNELS[kind], f"Keras {kind}"
    return "in_out", "Keras multiplies by it from the right"
