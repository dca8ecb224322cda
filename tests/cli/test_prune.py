"""`rmttheory prune`: table, JSON, the copy, and bad input."""

from __future__ import annotations

import json

import numpy as np
import pytest


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    spike = 8 * np.outer(np.ones(90) / 90**0.5, np.ones(60) / 60**0.5)
    path = tmp_path / "model.npz"
    np.savez(path, **{"fc.weight": rng.standard_normal((90, 60)) / 90**0.5 + spike, "fc.bias": np.ones(90)})
    return path


def test_a_copy_is_written_and_said(run, file, tmp_path):
    copy = tmp_path / "new.npz"
    status, out, err = run("prune", file, "--out", copy)
    assert (status, err) == (0, "")
    assert "1 of 1 matrices pruned (edge); 150 of 5,400 numbers" in out
    assert f"Written: {copy}" in out.replace("\n", "")
    with np.load(copy) as after:
        assert np.linalg.matrix_rank(after["fc.weight"]) == 1
        assert np.array_equal(after["fc.bias"], np.ones(90))


def test_a_dry_run_prints_json_and_writes_nothing(run, file, tmp_path):
    status, out, _ = run("prune", file, "--dry-run", "--factor", "--json")
    assert status == 0
    found = json.loads(out)
    assert (found["out"], found["layers"][0]["rank"], found["layers"][0]["stored"]) == (None, 1, "factors")
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Name the copy with --out, or try --dry-run."),
        (("--dry-run", "--out", "x.npz"), "--dry-run writes nothing: leave out --out."),
        (("--dry-run", "--budget", "2"), "`budget` must be a number in (0, 1), not 2.0."),
        (("--dry-run", "--method", "svd"), "Unknown method 'svd'. Known: edge, mask, shrink."),
        (("--out", "missing/x.npz"), "There is no folder missing to write x.npz in"),
    ],
)
def test_bad_input_is_one_sentence(run, file, arguments, sentence):
    status, out, err = run("prune", file, *arguments)
    assert (status, out) == (2, "")
    assert sentence in err
