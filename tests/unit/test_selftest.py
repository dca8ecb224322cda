import json

import numpy as np
import pytest

from rmttheory.arrays import Unavailable, kernels
from rmttheory.arrays.backend import Placement
from rmttheory.cli import main
from rmttheory.studies import selftest


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(["selftest", *arguments])
    out, err = capsys.readouterr()
    return left.value.code, out, err


@pytest.fixture
def without_gpu(monkeypatch):
    real = selftest.find_placement

    def find(device, **options):
        if device == "cuda":
            raise Unavailable("No GPU here.")
        return real(device, **options)

    monkeypatch.setattr(selftest, "find_placement", find)


@pytest.mark.usefixtures("without_gpu")
def test_the_cpu_passes(capsys, monkeypatch):
    monkeypatch.setattr(selftest, "_timings", lambda _: iter([("nothing", lambda: np.ones(1))]))
    status, out, err = run(capsys, "--json")
    found = json.loads(out)
    assert status == 0, out
    assert found["passed"]
    assert len(found["checks"]) > 15
    assert found["timings"][0]["bytes_taken"] is None
    assert err.splitlines()[0] == "No GPU here. So the CPU is tested."


@pytest.mark.usefixtures("without_gpu")
def test_a_gpu_that_is_asked_for_and_missing_is_one_sentence(capsys):
    assert run(capsys, "--device", "cuda") == (2, "", "Error: No GPU here.\n")


def failing():
    raise RuntimeError("the library is broken")


@pytest.mark.parametrize(
    ("check", "said"),
    [
        (lambda: (2.0, 1.0), "FAILED it: 2 <= 1"),
        (lambda: (float("nan"), 1.0), "FAILED it: - <= 1"),
        (failing, "FAILED it: RuntimeError: the library is broken"),
    ],
)
def test_what_is_wrong_fails(capsys, monkeypatch, check, said):
    monkeypatch.setattr(selftest, "_checks", lambda _: iter([("fine", lambda: (0.0, 0.0)), ("it", check)]))
    monkeypatch.setattr(selftest, "_timings", lambda _: iter([]))
    status, out, _ = run(capsys, "--device", "cpu")
    assert status == 1
    assert said in out.splitlines()
    assert "ok     fine: 0 <= 0" in out.splitlines()
    assert "2 checks, 1 failed." in out


def test_other_bits_are_seen(monkeypatch):
    stream = selftest.Stream(1, placement=Placement("cupy"), portable=True)
    monkeypatch.setattr(kernels, "uniform", lambda key, shape, *_, **__: np.full(shape, 0.25))  # noqa: ARG005
    assert selftest._different(stream, selftest.Stream.uniform) == (1_000_000, 0.0)
