"""Broken and hostile weight files: no crash, no hang, no code run, no memory blown up; one sentence each."""

import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hostile_weights import CANARY, CASES, CASES_WHEN_READ, MAY_READ, entry, npy, safetensors, write

from rmttheory.arrays import InvalidInput
from rmttheory.networks import open_weights

SECONDS = 20
"""Far above the slowest case, four million instructions of a pickle, on a busy machine."""
MEGABYTES = 400
"""What the largest pickle and its table may take; the bombs would take gigabytes."""


def resident(field):
    """Megabytes of this process that Linux gives under ``field``: VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


@pytest.fixture(autouse=True)
def guarded(tmp_path, monkeypatch):
    """A folder of its own, an end to hanging, a limit of memory, and a look for what code would have made."""
    inside = tmp_path / "inside"
    inside.mkdir()
    monkeypatch.chdir(inside)

    def stop(*_):
        raise AssertionError(f"not done after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew: an earlier one would hide this one
    before_it = resident("VmRSS")
    modules = set(sys.modules)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    assert resident("VmHWM") - before_it < MEGABYTES
    assert not (inside / CANARY).exists()
    assert "antigravity" not in set(sys.modules) - modules


def read_all(path):
    weights = open_weights(path)
    for layer in weights.layers:
        layer.read()
    return weights


def check_sentence(error):
    text = str(error)
    assert text.isprintable()
    assert text.endswith(".")
    assert len(text) < 600


SLOW = {"onnx: empty fields without end", "onnx: dims without end", "pt: pickle of instructions without end"}
"""A million fields or four million instructions are looked at before these are given up."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in CASES]
)
def test_is_refused_in_one_sentence(name, tmp_path, require):
    if name.startswith("hdf5"):
        require("h5py")
    path = write(tmp_path / "inside", *CASES[name])
    with pytest.raises(InvalidInput) as caught:
        open_weights(path)
    check_sentence(caught.value)
    assert path.name in str(caught.value)


@pytest.mark.parametrize("name", CASES_WHEN_READ)
def test_is_refused_when_it_is_read(name, tmp_path):
    path = write(tmp_path / "inside", *CASES_WHEN_READ[name])
    weights = open_weights(path)
    with pytest.raises(InvalidInput) as caught:
        weights.layers[0].read()
    check_sentence(caught.value)


@pytest.mark.parametrize("name", MAY_READ)
def test_damage_is_refused_or_harmless(name, tmp_path, require):
    if name.startswith("hdf5"):
        require("h5py")
    write(tmp_path / "inside", "a.safetensors", safetensors())
    path = write(tmp_path / "inside", *MAY_READ[name])
    try:
        read_all(path)
    except InvalidInput as error:
        check_sentence(error)


def test_there_are_cases_enough():
    assert len(CASES) + len(CASES_WHEN_READ) >= 200


def test_tensors_without_a_matrix_are_listed_and_skipped(tmp_path):
    header = {
        "empty": entry([0, 5], [0, 0]),
        "bias": entry([6], [0, 24]),
        "one": entry([], [24, 28]),
        "row": entry([1, 2], [28, 36]),
    }
    path = write(tmp_path, "a.safetensors", safetensors(header, bytes(36)))
    weights = read_all(path)
    assert list(weights.tensors) == list(header)
    assert weights.layers == ()
    assert weights.skipped.keys() == header.keys()
    assert weights.tensors["empty"].read().shape == (0, 5)


def test_a_file_that_shrinks_after_it_was_opened_is_noticed(tmp_path):
    path = write(tmp_path, "a.safetensors", safetensors())
    weights = open_weights(path)
    path.write_bytes(safetensors()[:-4])
    with pytest.raises(InvalidInput, match="has become shorter"):
        weights.layers[0].read()
    path.unlink()
    with pytest.raises(InvalidInput, match="There is no file"):
        weights.layers[0].read()


def test_large_files_are_refused_before_they_are_read(tmp_path):
    """Sparse files that promise a header of a terabyte, and an array of two."""
    for name, begin, size in (
        ("a.safetensors", (2**40).to_bytes(8, "little") + b"{", 2**40),
        ("a.npy", npy(shape=f"({2**39},)", data=b""), 2**39),
    ):
        with open(tmp_path / name, "wb") as file:
            file.write(begin)
            file.truncate(size)
        start = time.monotonic()
        with pytest.raises(InvalidInput):
            open_weights(tmp_path / name)
        assert time.monotonic() - start < 1


def test_the_guard_sees_code_that_runs(tmp_path):
    """Without this, a canary of another name would let every case above pass."""
    import pickle

    from hostile_weights import CODE

    pickle.loads(pickle.dumps(CODE["open"])).close()
    assert (tmp_path / "inside" / CANARY).exists()
    (tmp_path / "inside" / CANARY).unlink()


def test_what_the_cases_are_made_of_is_valid(tmp_path):
    from hostile_weights import VALID

    for file, content in VALID.items():
        path = write(tmp_path, file, content)
        assert [layer.shape for layer in read_all(path).layers] == [(2, 3)], file
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.zeros((2, 3)))
