"""A long run: stopped, taken up again, refused where it is another one."""

import json

import pytest

from rmttheory.studies import long_runs
from rmttheory.studies.records import NotWritten
from rmttheory.theorem.sequential import monitor

RUN = ("watch", "row_event_exact", "--set", "n=32", "--alpha", "0.01")


def test_a_run_goes_on_where_it_stopped(run, tmp_path):
    file = tmp_path / "run.json"
    status, out, err = run(*RUN, "--most", "100", "--out", file)
    assert status == 0
    assert out.startswith("row_event_exact consistent: ")
    assert "of 100 trials so far" in out
    status, out, err = run(*RUN, "--most", "250", "--out", file, "--json")
    assert status == 0
    assert "Going on from 100 trials" in err
    assert json.loads(out)["trials"] == 250
    assert json.loads(file.read_text())["verdict"] == json.loads(out)
    *_, whole = monitor("row_event_exact", n=32, alpha=0.01, most=250)
    assert json.loads(out)["e_value"] == whole.e_value


def test_a_refuted_control_ends_with_status_one(run):
    status, out, _ = run("watch", "row_event_exact/heavy tails", "--quiet")
    assert (status, out) == (1, "")


def test_ctrl_c_keeps_what_was_found(run, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        looks = monitor(*arguments, **options)
        yield next(looks)
        raise KeyboardInterrupt

    monkeypatch.setattr(long_runs, "monitor", interrupted)
    file = tmp_path / "run.json"
    status, _, err = run(*RUN, "--out", file)
    assert status == 130
    assert "has its full level" in err
    assert json.loads(file.read_text())["verdict"]["trials"] == 100


def test_a_full_disk_loses_no_verdict(run, tmp_path, monkeypatch):
    def full(_folder, name, _content):
        msg = f"Cannot write {name}: no space left on device."
        raise NotWritten(msg)

    monkeypatch.setattr(long_runs.Folder, "write", full)
    status, out, err = run(*RUN, "--out", tmp_path / "run.json")
    assert status == 2
    assert "no space left" in err
    assert "row_event_exact" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("mp_bulk",), "mp_bulk cannot be judged as trials come in"),
        (("mp_law_identity",), "cannot be judged as trials come in"),
        (("row_event_exact", "--set", "n"), "`set` must be NAME=VALUE"),
        (("row_event_exact", "--set", "n=3", "--set", "n=4"), "each name once"),
        (("row_event_exact", "--set", "k=3"), "Unknown parameter of row_event_exact"),
        (("row_event_exact", "--set", "n=x"), "`n` must be a number"),
        (("row_event_exact", "--most", "0"), "`most` must be"),
        (("nothing",), "Unknown claim 'nothing'"),
    ],
)
def test_bad_input_is_one_sentence(run, arguments, sentence):
    status, out, err = run("watch", *arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "text", ["", "{}", '{"verdict": 3}', '{"verdict": {"kind": "tail", "outcome": "refuted"}}', "[" * 100_000]
)
def test_a_damaged_file_is_named(run, tmp_path, text):
    file = tmp_path / "run.json"
    file.write_text(text)
    status, _, err = run(*RUN, "--out", file)
    assert status == 2
    assert f"{file} does not hold a run to go on with" in err
    assert file.read_text() == text


@pytest.mark.parametrize(
    "changes", [{"trials": -5}, {"admissible": 10**9}, {"violations": 10**9}, {"trials": 1.5}]
)
def test_counts_that_cannot_be_are_refused(run, tmp_path, changes):
    file = tmp_path / "run.json"
    run(*RUN, "--most", "100", "--out", file)
    document = json.loads(file.read_text())
    document["verdict"] |= changes
    file.write_text(json.dumps(document))
    status, _, err = run(*RUN, "--out", file)
    assert status == 2
    assert "does not hold a run" in err


def test_another_run_is_not_taken_up(run, tmp_path):
    file = tmp_path / "run.json"
    run(*RUN, "--most", "100", "--out", file)
    status, _, err = run(*RUN, "--seed", "1", "--out", file)
    assert status == 2
    assert "The earlier run is of row_event_exact" in err
