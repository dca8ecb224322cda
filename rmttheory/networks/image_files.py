"""Sets of labelled images in the files of their distributors: MNIST, Keras and CIFAR."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput
from rmttheory.networks.files import read_bytes, read_idx, read_npz, reading
from rmttheory.networks.pickles import read_pickle

KEYS = (("train_x", "x_train"), ("train_y", "y_train"), ("test_x", "x_test"), ("test_y", "y_test"))
"""Names of the four arrays in a ``.npz`` file: ours, and those of Keras."""
IDX_STEMS = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CIFAR10 = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")
_CIFAR100 = ("train", "test")
_PIXELS = (3, 32, 32)
_PICKLE_LIMIT = 2**28
"""Largest pickle that is read, in bytes; CIFAR-100 has one of 155 million."""

Arrays = list[HostArray]
"""Training samples and labels, test samples and labels, as the files have them."""


def read_images(path: Path) -> Arrays:
    """Return the four arrays of a data set in ``path``, a ``.npz`` file or a folder.

    Raises
    ------
    InvalidInput
        If there is none, or its files are damaged; nothing in them is ever executed.
    """
    if not path.exists():
        msg = f"There is no file or folder {path}."
        raise InvalidInput(msg)
    if path.is_file():
        return _read_keras_file(path)
    if files := idx_files(path):
        return read_idx_files(files)
    for names in (_CIFAR10, _CIFAR100):
        for suffix, read in ((".bin", _read_binary), ("", _read_python)):
            if (path / f"{names[0]}{suffix}").is_file():
                halves = [read(path / f"{name}{suffix}") for name in names]
                x, y = (np.concatenate(part) for part in zip(*halves[:-1]))
                return [x, y, *halves[-1]]
    return _read_keras_file(_only_archive(path))


def idx_files(folder: Path) -> list[Path]:
    """Return the four files of an MNIST-like set in ``folder``, or none if one is missing."""
    files = [
        next((path for end in ("", ".gz") if (path := folder / f"{stem}{end}").is_file()), None)
        for stem in IDX_STEMS
    ]
    return [path for path in files if path] if all(files) else []


def read_idx_files(files: list[Path], digests: dict[str, str] | None = None) -> Arrays:
    """Return the arrays of the four ``files``, whose unpacked bytes must have these MD5 ``digests``."""
    arrays = []
    for path in files:
        stem = path.name.removesuffix(".gz")
        with reading(path, "a readable IDX file"):
            data = read_bytes(path)
            if digests and md5(data, usedforsecurity=False).hexdigest() != digests[stem]:
                msg = "its content is not that of Fashion-MNIST; to use it, give the folder as the name."
                raise InvalidInput(msg)
            arrays.append(read_idx(data, dimensions=3 if "images" in stem else 1))
    return arrays


def _only_archive(path: Path) -> Path:
    archives = list(path.glob("*.npz"))
    if len(archives) != 1:
        wanted = ", ".join(f"{stem}[.gz]" for stem in IDX_STEMS)
        found = f"{len(archives)} .npz files" if archives else "none of these"
        msg = f"{path} must hold one .npz file, the four files {wanted}, or those of CIFAR; it holds {found}."
        raise InvalidInput(msg)
    return archives[0]


def _read_keras_file(path: Path) -> Arrays:
    arrays = read_npz(path)
    chosen = [arrays[key] for keys in KEYS for key in keys if key in arrays]
    if len(chosen) != len(KEYS):
        held = ", ".join(sorted(arrays)) or "nothing"
        msg = f"{path} must hold x_train, y_train, x_test and y_test, not {held}."
        raise InvalidInput(msg)
    return chosen


def _read_binary(path: Path) -> tuple[HostArray, HostArray]:
    """Records of one label, or of a coarse and a fine one, and the pixels."""
    labels = 2 if path.stem in _CIFAR100 else 1
    with reading(path, "a batch of CIFAR"):
        data = np.frombuffer(read_bytes(path), np.uint8)
        size = labels + int(np.prod(_PIXELS))
        if data.size == 0 or data.size % size:
            msg = f"it has {data.size:,} bytes, which are no whole number of records of {size:,}."
            raise InvalidInput(msg)
        records = data.reshape(-1, size)
        return records[:, labels:].reshape(-1, *_PIXELS), records[:, labels - 1]


def _read_python(path: Path) -> tuple[HostArray, HostArray]:
    with reading(path, "a batch of CIFAR"):
        batch = read_pickle(read_bytes(path, limit=_PICKLE_LIMIT))
        labels = "fine_labels" if path.name in _CIFAR100 else "labels"
        pixels: Any = batch.get("data")
        if not isinstance(pixels, np.ndarray) or pixels.shape[1:] != (int(np.prod(_PIXELS)),):
            msg = "its data are no rows of 3,072 bytes."
            raise InvalidInput(msg)
        if not isinstance(batch.get(labels), list):
            msg = f"it has no list of {labels}."
            raise InvalidInput(msg)
        if not all(isinstance(label, int) for label in batch[labels]):
            msg = f"its {labels} are not whole numbers."
            raise InvalidInput(msg)
        return pixels.reshape(-1, *_PIXELS), np.array(batch[labels], dtype=np.int64)
