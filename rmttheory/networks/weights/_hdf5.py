"""HDF5, as Keras writes it (``.h5``, and inside ``.keras``).

The HDF5 library is large, in C, and believes what a file says of sizes; so it runs in a process of its own,
which may fail or be stopped. It finds the tensors; where their numbers lie in one piece they are then read
without it.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Unavailable
from rmttheory.networks.weights import _hdf5_worker
from rmttheory.networks.weights._archive import Member, read_member
from rmttheory.networks.weights._dtypes import CODES
from rmttheory.networks.weights._storage import Region, Storage
from rmttheory.networks.weights.tensors import Tensor, tensor

MAGIC = b"\x89HDF\r\n\x1a\n"
LARGEST_CONFIGURATION = 2**24
LARGEST_CHUNKED = 2**31
"""Most bytes that a data set in chunks may unpack to."""
SUSPICIOUS = 2**26
"""One that unpacks to more than this at over a hundred times its size is a trap."""
MEMORY = 2**30
"""What the library may take, beside the numbers of one data set."""
SECONDS = 120

_DTYPES = {
    np.dtype(CODES[name]).str[1:]: name
    for name in CODES
    if name not in ("bfloat16", "bool") and not name.startswith("float8")
}
_KERNELS = {
    "Dense": "in_out", "EinsumDense": "in_out", "Embedding": "embedding",
    "LSTM": "recurrent in_out", "GRU": "recurrent in_out", "SimpleRNN": "recurrent in_out",
    "Conv1D": "convolution in_out", "Conv2D": "convolution in_out", "Conv3D": "convolution in_out",
    "DepthwiseConv2D": "depthwise in_out",
    "Conv2DTranspose": "transposed convolution in_out", "Conv1DTranspose": "transposed convolution in_out",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Chunked:
    """A data set in chunks, which only the HDF5 library can put together."""

    path: str
    start: int
    length: int
    name: str
    code: str
    shape: tuple[int, ...]

    def raw(self) -> HostArray:
        size = math.prod(self.shape) * np.dtype(self.code).itemsize
        data = _asked(Path(self.path), self.start, self.length, MEMORY + 3 * size, self.name)
        if len(data) != size:
            msg = f"its data set {self.name[:80]!a} is no longer what it was."
            raise InvalidInput(msg)
        return np.frombuffer(data, self.code).reshape(self.shape)


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
        config = read_member(path, parts["config.json"], limit=LARGEST_CONFIGURATION)
    return _tensors(path, member.start, member.packed, member.name, config)


def _asked(path: Path, start: int, length: int, memory: int, *name: str) -> bytes:
    """Return what the library answers in a process of its own."""
    if importlib.util.find_spec("h5py") is None:
        msg = "Reading HDF5 needs h5py: pip install 'rmttheory[hdf5]'."
        raise Unavailable(msg)
    numbers = [str(number) for number in (start, length, memory)]
    try:
        done = subprocess.run(
            [sys.executable, "-P", _hdf5_worker.__file__, str(path.absolute()), *numbers, *name],
            capture_output=True,
            check=False,
            timeout=SECONDS,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # each thread of it would take from the memory
        )
    except subprocess.TimeoutExpired:
        msg = f"the HDF5 library is not done with it after {SECONDS} seconds."
        raise InvalidInput(msg) from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        why = (
            said[-1]
            if said and done.returncode == 1
            else f"it makes the HDF5 library fail ({done.returncode})"
        )
        msg = "".join(letter if letter.isprintable() else "?" for letter in why)[:400].rstrip(".") + "."
        raise InvalidInput(msg)
    return done.stdout


def _tensors(path: Path, start: int, length: int, member: str, config: bytes | None) -> list[Tensor]:
    answer = json.loads(_asked(path, start, length, MEMORY))
    classes = _classes(_json(config if config is not None else answer["config"]))
    found = []
    for entry in answer["data"]:
        name, shape, dtype = entry["name"], tuple(entry["shape"]), np.dtype(entry["code"])
        size = math.prod(shape) * dtype.itemsize
        place, how = _place(path, start, length, member, entry, shape, size)
        role, evidence = _role(name, entry["layer"], classes)
        kind = _DTYPES.get(dtype.str[1:], dtype.str[1:])
        found.append(
            tensor(
                name,
                shape,
                kind,
                nbytes=size,
                where=f"{path}, {how}",
                storage=place,
                role=role,
                evidence=evidence,
            )
        )
    return found


def _place(
    path: Path, start: int, length: int, member: str, entry: dict[str, Any], shape: tuple[int, ...], size: int
) -> tuple[Storage, str]:
    name, offset, stored, code = entry["name"], entry["offset"], entry["stored"], entry["code"]
    if offset is not None or size == 0:
        if (offset or 0) + size > length:
            msg = f"its data set {name[:80]!a} of {size:,} bytes goes beyond the end."
            raise InvalidInput(msg)
        first = start + (offset or 0)
        region = Region(path=str(path), start=first, length=size, code=code, shape=shape, member=member)
        return region, f"byte {first:,}"
    if size > LARGEST_CHUNKED or size > max(SUSPICIOUS, 100 * min(stored, length)):
        msg = f"its data set {name[:80]!a} would unpack to {size:,} bytes from {stored:,}."
        raise InvalidInput(msg)
    place = Chunked(path=str(path), start=start, length=length, name=name, code=code, shape=shape)
    return place, f"data set {name}"


def _json(text: str | bytes | None) -> Any:
    try:
        return json.loads(text or "null")
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


def _role(name: str, layer: str, classes: dict[str, str]) -> tuple[str, str]:
    for part in (layer, *reversed(name.split("/"))):
        kind = classes.get(part, "")
        if kind in _KERNELS:
            return _KERNELS[kind], f"Keras {kind}"
    if name.rpartition("/")[2].startswith("embeddings"):
        return "embedding", "Keras calls it so"
    return "in_out", "Keras multiplies by it from the right"
