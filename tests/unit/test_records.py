"""Files are whole or not there, and a counterexample can be drawn again from its file."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import stat

import numpy as np
import pytest
from toy_claims import EXACT, TOYS

from rmttheory.arrays import InvalidInput
from rmttheory.studies.records import (
    FIGURES,
    Folder,
    NotWritten,
    Replayed,
    Run,
    check_target,
    counterexample,
    replay_file,
)
from rmttheory.theorem.claims import registry
from rmttheory.theorem.judging import verify
from rmttheory.theorem.verdicts import Outcome, plain


@pytest.fixture
def toys(monkeypatch):
    for claim in TOYS:
        monkeypatch.setitem(registry(), claim.id, claim)


def refuse_constant(name):
    raise AssertionError(name)


def test_a_folder_is_made_with_its_parents_and_holds_what_is_written(tmp_path):
    folder = Folder(tmp_path / "a" / "b")
    assert folder.write("c/d.txt", "é").read_text("utf-8") == "é"
    assert folder.write("e.bin", b"\x00").read_bytes() == b"\x00"
    assert sorted(path.name for path in folder.path.rglob("*")) == ["c", "d.txt", "e.bin"]


def test_a_written_file_can_be_read_by_those_whom_the_umask_lets(tmp_path):
    plain_file = tmp_path / "plain"
    plain_file.touch()
    mode = stat.S_IMODE(Folder(tmp_path).write("x", "y").stat().st_mode)
    assert mode == stat.S_IMODE(plain_file.stat().st_mode)


def test_a_folder_that_cannot_be_is_refused_at_once(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match=r"Cannot write to the folder .*file/out: not a directory.*--out"):
        Folder(tmp_path / "file" / "out")


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    folder.write("x", "old")

    def full(_, __):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(NotWritten, match=r"Cannot write .*x: no space left on device\."):
        folder.write("x", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "old"


@pytest.mark.parametrize("name", ["figure.jpg", "figure", "folder.png", ".png"])
def test_a_target_must_end_as_what_it_will_be(tmp_path, name):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(InvalidInput, match=r"`out` must name a file that ends with \.png or \.pdf or \.svg"):
        check_target(tmp_path / name, FIGURES)


def test_plain_values_are_json():
    @dataclasses.dataclass
    class Point:
        x: float

    class Color(enum.Enum):
        RED = "red"

    value = {
        "a": (1.0, math.inf, -math.inf, math.nan),
        2: Point(0.5),
        "c": Color.RED,
        "n": np.array([1.5, np.nan]),
    }
    assert plain(value) == {
        "a": [1.0, "inf", "-inf", None],
        "2": {"x": 0.5},
        "c": "red",
        "n": [1.5, None],
    }
    json.dumps(plain(value), allow_nan=False)


def empty_run(**changes):
    facts = dict(
        seed=1,
        preset="quick",
        alpha=1e-6,
        shares=3,
        verdicts=(),
        curves=(),
        network=None,
        partial=True,
        started="2000-01-01T00:00:00+00:00",
        seconds=0.5,
        workers=2,
    )
    return Run(**(facts | changes))


@pytest.mark.usefixtures("toys")
def test_a_run_is_a_document_without_special_numbers():
    verdicts = tuple(verify(name, trials=20) for name in ("toy_exact", "toy_exact/half", "toy_vacuous"))
    run = empty_run(verdicts=verdicts)
    document = json.loads(run.to_json(), parse_constant=refuse_constant)
    assert [v["outcome"] for v in document["verdicts"]] == ["consistent", "refuted", "vacuous"]
    assert run.count(Outcome.REFUTED) == 1
    assert document["partial"] is True


@pytest.mark.usefixtures("toys")
def test_a_counterexample_is_drawn_again_from_its_file(tmp_path):
    verdict = verify("toy_exact/half", trials=50, seed=5)
    path = tmp_path / "counterexample.json"
    path.write_text(counterexample(verdict))
    replayed = replay_file(path)
    document = json.loads(path.read_text())
    assert replayed == Replayed(
        claim="toy_exact/half",
        trial=verdict.counterexample,
        left=document["left"],
        right=0.5,
        broken=True,
    )
    assert replayed.left > 0.5
    assert "breaks the claim" in replayed.sentence


@pytest.mark.usefixtures("toys")
def test_a_mended_claim_meets_what_broke_it(tmp_path):
    verdict = verify("toy_exact/half", trials=50, seed=5)
    path = tmp_path / "counterexample.json"
    # the control's own draw is named by its id, so the whole claim is judged on a trial of its own
    path.write_text(counterexample(verdict).replace("toy_exact/half", EXACT.id))
    replayed = replay_file(path)
    assert not replayed.broken
    assert "meets the claim" in replayed.sentence


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "Cannot read .*: no such file"),
        (b"\xff\xfe", "it is not text"),
        (b"{", "is not a counterexample: it needs claim, cell, seed and trial"),
        (b"[1]", "is not a counterexample"),
        (b'{"claim": "ce_lipschitz"}', "is not a counterexample"),
        (b'{"claim": "ce_lipschit", "cell": {}, "seed": 0, "trial": 0}', "Did you mean ce_lipschitz"),
        (b'{"claim": "ce_lipschitz", "cell": {"q": 1}, "seed": 0, "trial": 0}', "Unknown parameter"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence(tmp_path, text, message):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(InvalidInput, match=message):
        replay_file(path)
