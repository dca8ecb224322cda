"""The one door: a path or a live module becomes a catalogue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rmttheory.arrays import InvalidInput
from rmttheory.networks.files import reading
from rmttheory.networks.weights import _hdf5, _module, _numpy, _onnx, _pytorch, _safetensors
from rmttheory.networks.weights._archive import members
from rmttheory.networks.weights.catalogue import Weights
from rmttheory.networks.weights.tensors import Tensor, by_name

_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""What `torch.save` wrote in front of a file before it wrote zip archives."""


def open_weights(source: Any) -> Weights:
    """Open a weight file, an index of several, or a live ``torch.nn.Module``.

    The format is known by content, that of ONNX by the name, since its content has no mark. Nothing that a
    file holds is executed, and no number is read before it is asked for.

    Parameters
    ----------
    source : path or torch.nn.Module
        A file of safetensors, NumPy (``.npy``, ``.npz``), ONNX (``.onnx``), PyTorch (``.pt``, ``.pth``,
        ``.bin``), TorchScript, HDF5 or Keras (``.h5``, ``.keras``), or an index of safetensors or PyTorch
        files (``.index.json``).

    Raises
    ------
    InvalidInput
        If the file is missing, damaged, hostile, or of another format; one sentence says which.
    Unavailable
        If it is HDF5 and h5py is not installed.

    Examples
    --------
    >>> weights = open_weights("model.safetensors")  # doctest: +SKIP
    >>> weights.layers[0].read().shape  # doctest: +SKIP
    (384, 384)
    """
    if not isinstance(source, (str, Path)):
        tensors = _module.read(source)
        return Weights(source=type(source).__name__, format="module", tensors=by_name(tensors))
    path = Path(source)
    with reading(path, "a readable weight file"):
        if path.exists() and not path.is_file():
            msg = "it is not a file."
            raise InvalidInput(msg)
        with open(path, "rb") as file:
            begin = file.read(16)
        if path.suffix == ".json":
            return _sharded(path)
        return _single(path, begin)


def _single(path: Path, begin: bytes) -> Weights:
    tensors: list[Tensor]
    metadata: dict[str, str] = {}
    beside: set[Path] = set()
    if begin[:4] == b"PK\x03\x04":
        kind, tensors = _archived(path)
    elif begin[:6] == b"\x93NUMPY":
        kind, tensors = "npy", _numpy.read_npy(path)
    elif begin[:8] == _hdf5.MAGIC:
        kind, tensors = "hdf5", _hdf5.read(path)
    elif path.suffix == ".onnx":
        kind = "onnx"
        tensors, metadata, beside = _onnx.read(path)
    elif begin[8:9] == b"{" or path.suffix == ".safetensors":
        kind = "safetensors"
        tensors, metadata = _safetensors.read(path)
    else:
        msg = _unknown(path, begin)
        raise InvalidInput(msg)
    files = (str(path), *sorted(map(str, beside)))
    return Weights(source=str(path), format=kind, tensors=by_name(tensors), metadata=metadata, files=files)


def _archived(path: Path) -> tuple[str, list[Tensor]]:
    parts = members(path)
    if _pytorch.is_torch(parts):
        return "torch", _pytorch.read(path, parts)
    if "model.weights.h5" in parts:
        return "keras", _hdf5.read_keras(path, parts)
    if parts and all(name.endswith(".npy") for name in parts):
        return "npz", _numpy.read_npz(path, parts)
    msg = "it is a zip archive, but neither of NumPy, PyTorch nor Keras."
    raise InvalidInput(msg)


def _sharded(path: Path) -> Weights:
    tensors: list[Tensor] = []
    metadata: dict[str, str] = {}
    shards = _safetensors.read_index(path)
    for shard, names in shards.items():
        with open(shard, "rb") as file:
            begin = file.read(16)
        with reading(shard, "a readable part"):
            part = _single(shard, begin)
            if part.format not in ("safetensors", "torch"):
                msg = f"parts are safetensors or PyTorch files, not {part.format}."
                raise InvalidInput(msg)
        missing = names - set(part.tensors)
        if missing:
            msg = f"it says that {shard.name!a} holds {min(missing)[:80]!a}, which is not there."
            raise InvalidInput(msg)
        tensors += [tensor for name, tensor in part.tensors.items() if name in names]
        metadata |= part.metadata
    files = (str(path), *map(str, shards))
    return Weights(
        source=str(path), format="sharded", tensors=by_name(tensors), metadata=metadata, files=files
    )


def _unknown(path: Path, begin: bytes) -> str:
    if begin.startswith(_LEGACY):
        return (
            "it is in PyTorch's format of before 2020, a bare pickle, which is not read; "
            "`torch.save(torch.load(path, weights_only=True), path)` in PyTorch makes a zip archive of it."
        )
    if begin[:1] == b"\x80" and begin[1:2] <= b"\x05":
        return "it is a Python pickle, which can run code when it is read; it is never loaded."
    if begin == b"":
        return "it is empty."
    return f"it is not safetensors, NumPy, PyTorch or HDF5; ONNX files are named .onnx, not {path.suffix!a}."
