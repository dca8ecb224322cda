"""The files of CIFAR, and pickles that are something else.

The real files are not here. What is read was written by `python2_pickles`, instruction by instruction as
Python 2 wrote them, and Python's own reader takes it for the same thing.
"""

import os
import pickle
import struct
import warnings

import numpy as np
import pytest
from python2_pickles import dumps

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.networks import pickles
from rmttheory.networks.datasets import load_dataset
from rmttheory.networks.pickles import read_pickle

COUNT = 12
RNG = Stream(3).generator()
PIXELS = RNG.integers(0, 256, (COUNT, 3, 32, 32), dtype=np.uint8)
LABELS = [i % 10 for i in range(COUNT)]
FINE = [(7 * i) % 100 for i in range(COUNT)]
TEN = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


def batch(pixels=PIXELS, labels=LABELS, **more):
    """The dictionary of a batch, with as many labels and file names as a real one of so many images."""
    data = pixels.reshape(len(pixels), -1)
    names = [f"leptodactylus_pentadactylus_s_{i:06d}.png" for i in range(len(labels))]
    return {
        "batch_label": "training batch 1 of 5",
        "labels": labels,
        "data": data,
        "filenames": names,
        **more,
    }


@pytest.fixture(params=["binary", "python"])
def ten(request, tmp_path):
    for name in TEN:
        if request.param == "python":
            (tmp_path / name).write_bytes(dumps(batch()))
        else:
            records = np.column_stack([LABELS, PIXELS.reshape(COUNT, -1)]).astype(np.uint8)
            (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    return tmp_path


def test_cifar_10_is_read_in_both_versions(ten):
    data = load_dataset(ten)
    assert (data.image, data.classes) == ((3, 32, 32), 10)
    np.testing.assert_array_equal(data.train_x, np.tile(PIXELS.reshape(COUNT, -1), (5, 1)) / np.float32(255))
    np.testing.assert_array_equal(data.test_x, PIXELS.reshape(COUNT, -1) / np.float32(255))
    np.testing.assert_array_equal(data.train_y, LABELS * 5)


def test_cifar_100_is_read_with_its_fine_labels_in_both_versions(tmp_path):
    for name in ("train", "test"):
        coarse = [label // 5 for label in FINE]
        records = np.column_stack([coarse, FINE, PIXELS.reshape(COUNT, -1)]).astype(np.uint8)
        (tmp_path / f"{name}.bin").write_bytes(records.tobytes())
    binary = load_dataset(tmp_path)
    for name in ("train", "test"):
        (tmp_path / f"{name}.bin").unlink()
        table = batch(coarse_labels=coarse, fine_labels=FINE)
        del table["labels"]
        (tmp_path / name).write_bytes(dumps(table))
    python = load_dataset(tmp_path)
    for data in (binary, python):
        assert data.image == (3, 32, 32)
        np.testing.assert_array_equal(data.train_y, FINE)
        np.testing.assert_array_equal(data.train_x, PIXELS.reshape(COUNT, -1) / np.float32(255))


def test_a_missing_batch_is_named(ten):
    for path in ten.glob("data_batch_4*"):
        path.unlink()
    with pytest.raises(InvalidInput, match=r"There is no file .*data_batch_4"):
        load_dataset(ten)


@pytest.mark.parametrize("size", [0, 1, 3072, 3074])
def test_binary_batches_of_another_length_are_refused(tmp_path, size):
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(size))
    with pytest.raises(InvalidInput, match=rf"has {size:,} bytes, which are no whole number of records"):
        load_dataset(tmp_path)


# the reader of pickles, beside Python's own


@pytest.mark.parametrize("count", [1, 12, 1001, 2600])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_pickle_reads_is_read_alike(count, order):
    pixels = RNG.integers(0, 256, (count, 7), dtype=np.uint8)
    pixels = np.asarray(pixels, order=order)
    data = dumps(batch(pixels, [i % 300 for i in range(count)], wide=[-1, 0, 255, 256, 65536, 2**31 - 1]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # numpy.core, where Python 2 found its functions
        wanted = pickle.loads(data, encoding="latin1")
    found = read_pickle(data)
    assert list(found) == list(wanted)
    np.testing.assert_array_equal(found.pop("data"), wanted.pop("data"))
    assert found == wanted


def test_every_shorter_file_is_refused(tmp_path):
    data = dumps(batch(PIXELS[:2], LABELS[:2]))
    for end in [*range(0, len(data) - 6200), *range(len(data) - 300, len(data))]:
        with pytest.raises((InvalidInput, ValueError)):
            read_pickle(data[:end])
    (tmp_path / "data_batch_1").write_bytes(data[:-100])
    with pytest.raises(InvalidInput, match=r"data_batch_1 is not a batch of CIFAR: "):
        load_dataset(tmp_path)


def test_changed_bytes_are_refused_or_read_as_data():
    """Each byte of the instructions replaced by others: an array of bytes or a sentence, and nothing else."""
    data = bytearray(dumps({"labels": [1, 2], "data": PIXELS[:2, 0, :1, :4].reshape(2, 4)}))
    for position, kept in enumerate(bytes(data)):
        for value in range(0, 256, 5):
            data[position] = value
            try:
                found = read_pickle(bytes(data))
            except (InvalidInput, ValueError):
                continue
            finally:
                data[position] = kept
            for entry in found.values():
                assert isinstance(entry, (list, np.ndarray, int, str, type(None)))


class Run:
    """Pickled as a call of ``os.system``."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def reduced(target, arguments):
    module, name = target.split()
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + arguments + b"R."


ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
DTYPE = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"


def table(value):
    return b"\x80\x02}U\x04data" + value + b"s."


def state(shape=b"K\x02K\x03\x86", dtype=DTYPE, text=b"U\x06abcdef"):
    return table(ARRAY + b"(K\x01" + shape + dtype + b"\x89" + text + b"tb")


HOSTILE = {
    "a call": (
        reduced("posix system", b"U\x06touch x\x85"),
        "GLOBAL 'posix system', which is never followed",
    ),
    "an evaluation": (reduced("__builtin__ eval", b"U\x011\x85"), "GLOBAL '__builtin__ eval'"),
    "another function of numpy": (reduced("numpy load", b"U\x01x\x85"), "GLOBAL 'numpy load'"),
    "an instance": (b"\x80\x02(ios\nsystem\n.", "INST, which is never followed"),
    "an object": (b"\x80\x02(cnumpy\ndtype\no.", "OBJ, which is never followed"),
    "a class": (b"\x80\x02cnumpy\nndarray\n)\x81.", "EMPTY_TUPLE, which is never followed"),
    "a persistent name": (b"\x80\x02Pname\n.", "PERSID, which is never followed"),
    "a later protocol": (pickle.dumps({"data": 1}, 4), "PROTO 4, which is never followed"),
    "text in numbers": (b"\x80\x02I1\n.", "INT, which is never followed"),
    "a type of objects": (state(dtype=DTYPE.replace(b"u1", b"O8")), "something other than a matrix"),
    "another type": (state(dtype=DTYPE.replace(b"u1", b"i8")), "something other than a matrix"),
    "an array of its own kind": (table(ARRAY.replace(b"K\x00\x85", b"K\x09\x85")), "other than a matrix"),
    "a huge matrix": (
        state(shape=b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7f\x86"),
        r"promises 4,611,686,014,132,420,609",
    ),
    "a negative one": (
        state(shape=b"J\xff\xff\xff\xffJ\xfa\xff\xff\xff\x86"),
        "something other than a matrix",
    ),
    "too few bytes": (state(text=b"U\x05abcde"), "promises 6 bytes, but has 5"),
    "many dimensions": (state(shape=b"(" + b"K\x01" * 70 + b"t"), "something other than a matrix"),
    "a state of a list": (table(b"](K\x01e" + b"}b"), "something other than a matrix"),
    "a huge text": (b"\x80\x02T" + struct.pack("<i", 2**31 - 1) + b"x.", "expected 2147483647 bytes"),
    "a negative text": (b"\x80\x02T" + struct.pack("<i", -1) + b"x.", "byte count < 0"),
    "nested lists": (b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "flat dictionary"),
    "nested tuples": (b"\x80\x02K\x01" + b"\x85" * 100_000 + b".", "flat dictionary"),
    "nested dictionaries": (table(b"}"), "flat dictionary"),
    "a list in itself": (b"\x80\x02]q\x01h\x01a.", "flat dictionary"),
    "numbers as keys": (b"\x80\x02}K\x01K\x02s.", "flat dictionary"),
    "an odd number of items": (b"\x80\x02}(U\x01au.", "flat dictionary"),
    "a memory that is not there": (b"\x80\x02h\x07.", "BINGET, which is never followed"),
    "nothing on the stack": (b"\x80\x02s.", "takes a value where there is none"),
    "no mark": (b"\x80\x02}U\x01aK\x01u.", "mark that it did not set"),
    "a mark as a value": (b"\x80\x02}U\x01a(s.", "takes a value where there is none"),
    "two values": (b"\x80\x02}}.", "does not hold one dictionary"),
    "a list": (b"\x80\x02].", "does not hold one dictionary"),
    "no end": (b"\x80\x02}", "before seeing STOP"),
    "nothing": (b"", "before seeing STOP"),
    "no pickle": (b"\xff\xd8\xff", "opcode b'\\xff' unknown"),
    "no data": (dumps({"labels": [1]}), "data are no rows of 3,072 bytes"),
    "an array without content": (table(ARRAY), "data are no rows of 3,072 bytes"),
    "rows of another length": (state(), "data are no rows of 3,072 bytes"),
    "no labels": (dumps({"data": PIXELS.reshape(COUNT, -1)}), "no list of labels"),
    "texts as labels": (dumps(batch(labels=["cat"] * COUNT)), "labels are not whole numbers"),
    "too few labels": (dumps(batch(labels=LABELS[1:])), "60 samples but 55 labels"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_pickles_are_refused_in_one_sentence(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data, words = HOSTILE[kind]
    for name in TEN:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(InvalidInput) as caught:
        load_dataset(tmp_path)
    message = str(caught.value)
    assert words in message
    assert message.startswith(str(tmp_path))
    assert message.count(".\n") == 0
    assert len(message) < 400
    assert {path.name for path in tmp_path.iterdir()} == set(TEN)


def test_a_call_that_pickle_makes_is_not_made(tmp_path):
    made, unmade = tmp_path / "made", tmp_path / "unmade"
    pickle.loads(pickle.dumps(Run(made), 2))
    assert made.exists()
    with pytest.raises(InvalidInput, match="GLOBAL 'posix system', which is never followed"):
        read_pickle(pickle.dumps(Run(unmade), 2))
    assert not unmade.exists()


def test_instructions_are_limited(monkeypatch):
    monkeypatch.setattr(pickles, "_INSTRUCTIONS", 100)
    with pytest.raises(InvalidInput, match="more than 100 instructions"):
        read_pickle(dumps(batch(labels=list(range(200)))))
