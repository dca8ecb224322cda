"""`rmttheory inspect`: table, JSON, report, and bad input."""

from __future__ import annotations

import html
import json

import numpy as np
import pytest

from rmttheory.studies.inspection_rows import READING


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "model.npz"
    np.savez(
        path,
        **{
            "a.weight": rng.standard_normal((40, 30)),
            "b|<i>": rng.standard_normal((30, 30)),
            "c": np.zeros(3),
        },
    )
    return path


def test_table(run, file):
    status, out, err = run("inspect", file)
    assert status == 0
    assert "a.weight" in out
    assert "Not inspected, a vector, such as a bias or a norm: c." in out
    assert err == ""


def test_json(run, file):
    status, out, _ = run("inspect", file, "--json", "--layers", "a*", "--sort", "energy")
    assert status == 0
    plain = json.loads(out)
    assert plain["schema"] == 1
    assert [layer["name"] for layer in plain["layers"]] == ["a.weight"]


def test_report(run, file, tmp_path):
    status, out, err = run("inspect", file, "--out", tmp_path / "out", "--json")
    assert status == 0
    assert err == f"Report: {tmp_path / 'out' / 'report.html'}\n"
    plain = json.loads((tmp_path / "out" / "inspection.json").read_text())
    assert plain["layers"] == json.loads(out)["layers"]
    page, text = ((tmp_path / "out" / f"report.{kind}").read_text() for kind in ("html", "md"))
    assert READING in text
    assert READING in html.unescape(page)
    assert "b|<i>" not in page
    assert "b\\|&lt;i&gt;" in text
    figures = {path.name for path in (tmp_path / "out" / "figures").iterdir()}
    assert len(figures) == 3
    assert all(f"figures/{name}" in page for name in figures)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("missing.npz",), "There is no file"),
        (("FILE", "--layers", "x"), "matches none of the 2 layers"),
        (("FILE", "--sort", "beauty"), "Unknown sort"),
        (("FILE", "--jobs", "0"), "`jobs`"),
        (("FILE", "--out", "FILE"), "Cannot write to the folder"),
    ],
)
def test_bad_input(run, file, arguments, message):
    status, out, err = run("inspect", *(str(file) if part == "FILE" else part for part in arguments))
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
