"""A copy of a weight file in which some matrices are two factors, under names of their own.

``fc.weight`` becomes ``fc.0.weight`` (rank by inputs) and ``fc.1.weight`` (outputs by rank), and ``fc.bias``
becomes ``fc.1.bias``: what ``torch.nn.Sequential(Linear(m, r, bias=False), Linear(r, n))`` loads in the place
of the layer. Other names get ``.0`` and ``.1`` at their end. Every other tensor keeps its name and its bytes.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput
from rmttheory.networks.weights._dtypes import CODES, encode
from rmttheory.networks.weights._writing import partial
from rmttheory.networks.weights.catalogue import Weights
from rmttheory.networks.weights.layers import Layer

Factors = Callable[[Layer], tuple[HostArray, HostArray]]
"""The first, rank by inputs, and the second factor, outputs by rank, of a layer."""

FORMATS = ("safetensors", "npz")


def can_be_factored(weights: Weights, layer: Layer) -> bool:
    """Whether two tensors can take its place: a dense tensor, outputs first, and the names are free."""
    whole = layer.kind == "dense" and layer.part is None and layer.order == (0, 1)
    return whole and not set(_names(layer.name)) & set(weights.tensors)


def write_factored(weights: Weights, path: Path, ranks: Mapping[str, int], factors: Factors) -> None:
    """Write a copy with the named layers as two factors, one of them in memory at a time.

    Parameters
    ----------
    weights : Weights
        Of one of `FORMATS`.
    path : Path
    ranks : mapping of str to int
        Of each layer to be factored, by its name.
    factors : callable

    Raises
    ------
    InvalidInput
        If the format cannot hold tensors of new shapes, a number is too large for the kind of numbers, or the
        file cannot be written.
    """
    if weights.format not in FORMATS:
        msg = (
            f"Two factors take the place of a layer in safetensors and .npz files, and {weights.source} is "
            f"{weights.format}, where a layer keeps its shape: leave out `factor`."
        )
        raise InvalidInput(msg)
    source = Path(weights.files[0])
    write = _write_safetensors if weights.format == "safetensors" else _write_npz
    try:
        with partial({source: path}) as copies:
            write(weights, source, copies[source], ranks, factors)
    except (OSError, zipfile.BadZipFile) as error:
        msg = f"{path} cannot be written: {getattr(error, 'strerror', None) or str(error).rstrip('.')}."
        raise InvalidInput(msg) from None


def _write_safetensors(
    weights: Weights, source: Path, copy: Path, ranks: Mapping[str, int], factors: Factors
) -> None:
    with open(source, "rb") as old, open(copy, "wb") as new:
        start = 8 + int.from_bytes(old.read(8), "little")
        header = json.loads(old.read(start - 8))
        after: dict[str, Any] = (
            {"__metadata__": header.pop("__metadata__")} if "__metadata__" in header else {}
        )
        entries = sorted(header.items(), key=lambda item: item[1]["data_offsets"][0])
        end = 0
        for name, entry in entries:
            for part, shape in _parts(weights, name, tuple(entry["shape"]), ranks):
                begin, until = entry["data_offsets"]
                if name in ranks:
                    until = (
                        begin + int(np.prod(shape)) * np.dtype(CODES[weights.tensors[name].dtype]).itemsize
                    )
                after[part] = {**entry, "shape": list(shape), "data_offsets": [end, end + until - begin]}
                end += until - begin
        text = json.dumps(after, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 8)
        new.write(len(text).to_bytes(8, "little") + text)
        for name, entry in entries:
            if name in ranks:
                for values in _encoded(weights, name, factors):
                    new.write(values.tobytes())
            else:
                begin, until = entry["data_offsets"]
                old.seek(start + begin)
                _copy(old, new, until - begin)


def _write_npz(
    weights: Weights, source: Path, copy: Path, ranks: Mapping[str, int], factors: Factors
) -> None:
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(copy, "w") as new:
        for member in old.infolist():
            name = member.filename.removesuffix(".npy")
            names = [part for part, _ in _parts(weights, name, weights.tensors[name].shape, ranks)]
            if name in ranks:
                arrays = _encoded(weights, name, factors)
                for part, values in zip(names, arrays):
                    info = zipfile.ZipInfo(f"{part}.npy", member.date_time)
                    info.compress_type = member.compress_type
                    with new.open(info, "w", force_zip64=True) as file:
                        np.lib.format.write_array(file, values, allow_pickle=False)
            else:
                info = zipfile.ZipInfo(f"{names[0]}.npy", member.date_time)
                info.compress_type = member.compress_type
                with old.open(member) as data, new.open(info, "w", force_zip64=True) as file:
                    shutil.copyfileobj(data, file)


def _encoded(weights: Weights, name: str, factors: Factors) -> list[HostArray]:
    layer = weights[name]
    try:
        return [encode(values, layer.tensor.dtype) for values in factors(layer)]
    except InvalidInput as error:
        msg = f"{name!r} cannot be written: {error}"
        raise InvalidInput(msg) from None


def _parts(
    weights: Weights, name: str, shape: tuple[int, ...], ranks: Mapping[str, int]
) -> list[tuple[str, tuple[int, ...]]]:
    """Return the names and shapes that a tensor has in the copy."""
    if name in ranks:
        n, m = shape
        first, second = _names(name)
        return [(first, (ranks[name], m)), (second, (n, ranks[name]))]
    stem, _, last = name.rpartition(".")
    if last == "bias" and f"{stem}.weight" in ranks and f"{stem}.1.bias" not in weights.tensors:
        return [(f"{stem}.1.bias", shape)]
    return [(name, shape)]


def _names(name: str) -> tuple[str, str]:
    stem, _, last = name.rpartition(".")
    if last == "weight" and stem:
        return f"{stem}.0.weight", f"{stem}.1.weight"
    return f"{name}.0", f"{name}.1"


def _copy(old: IO[bytes], new: IO[bytes], length: int) -> None:
    while length > 0:
        block = old.read(min(length, 2**20))
        if not block:
            msg = "the file has become shorter since it was opened"
            raise OSError(msg)
        new.write(block)
        length -= len(block)
