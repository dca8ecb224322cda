"""Sweeps from the command line: run, watched, stopped, taken up again, exported."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import signal
import time

import pytest
from program import start

from rmttheory.studies.sweeps.driving import _listening

GRID = """
[[grid]]
claim = "row_event_exact"
n = [32, 64]
seeds = 3
trials = 20
[[grid]]
claim = "mp_bulk"
n = [16, 64, 256]
trials = 60
"""
SLOW = '[[grid]]\nclaim = "row_event_exact"\nn = 64\nseeds = 40\ntrials = 100\n'


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    return path


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_is_run_looked_at_and_exported(run, spec, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = run("sweep", spec, "--jobs", "1")
    assert (status, out.partition(":")[0]) == (0, "7 of 7 cells")
    assert "7 of 7 cells to compute, 180 trials: about " in err
    assert (tmp_path / "grid" / "spec.toml").read_text() == GRID
    status, out, _ = run("status", "grid")
    assert (status, out.partition(";")[0]) == (0, "7 of 7 cells: 7 consistent")
    status, out, _ = run("status", "grid", "--json")
    document = json.loads(out)
    assert document.pop("seconds") > 0
    assert document == {
        "total": 7, "done": 7, "counts": {"consistent": 7}, "damaged": 0, "complete": True,
    }  # fmt: skip
    for name in ("a.csv", "a.json", "a.parquet"):
        assert run("export", "grid", "--to", name, "--quiet") == (0, "", "")
    table = rows(tmp_path / "a.csv")
    assert [(row["claim"], row["cell.n"], row["seed"]) for row in table] == [
        *(("row_event_exact", str(n), str(seed)) for n in (32, 64) for seed in range(3)),
        ("mp_bulk", "[16, 64, 256]", "0"),
    ]
    assert next(iter(table[0])) == "claim"
    assert not any("second" in name or "host" in name or "time" in name for name in table[0])
    document = json.loads((tmp_path / "a.json").read_text())
    assert [row["outcome"] for row in document["rows"]] == ["consistent"] * 7
    status, out, err = run("sweep", spec, "--quiet")  # finished: nothing to do
    assert (status, out, err) == (0, "", "")


def test_parquet_holds_the_same_table(run, spec, tmp_path, require):
    require("pyarrow")
    from pyarrow import parquet

    run("sweep", spec, "--out", tmp_path / "run", "--jobs", "1", "--quiet")
    for ending in ("csv", "parquet"):
        run("export", tmp_path / "run", "--to", tmp_path / f"a.{ending}", "--quiet")
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    plain = rows(tmp_path / "a.csv")
    assert list(table[0]) == list(plain[0])
    for found, expected in zip(table, plain):
        for name, value in found.items():
            assert expected[name] == ("" if value is None else str(value)), name
    assert table[0]["trials"] == 20
    assert isinstance(table[0]["alpha"], float)


def test_the_table_does_not_depend_on_jobs(run, spec, tmp_path):
    tables = []
    for jobs in ("1", "2"):
        run("sweep", spec, "--out", tmp_path / jobs, "--jobs", jobs, "--quiet")
        run("export", tmp_path / jobs, "--to", tmp_path / f"{jobs}.csv", "--quiet")
        tables.append((tmp_path / f"{jobs}.csv").read_bytes())
    assert tables[0] == tables[1]


def test_a_refuted_cell_ends_with_status_one(run, tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text('[[grid]]\nclaim = "row_event_exact/heavy tails"\nn = 32\n')
    status, out, _ = run("sweep", path, "--out", tmp_path / "run", "--jobs", "1", "--json")
    assert (status, json.loads(out)["counts"]) == (1, {"refuted": 1})


@pytest.mark.parametrize(("times", "wait"), [(1, 0.0), (2, 0.0), (2, 0.1), (2, 0.3), (2, 0.6)])
def test_ctrl_c_keeps_what_is_finished_and_resume_completes_it(run, tmp_path, times, wait):
    path = tmp_path / "slow.toml"
    path.write_text(SLOW)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # children of a shell's background ignore it
    folder = tmp_path / "run"
    process = start("sweep", path, "--out", folder, "--jobs", "2", start_new_session=True)
    done, deadline = 0, time.monotonic() + 60
    while not done:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.1)
        if (folder / "spec.toml").exists():
            done = json.loads(run("status", folder, "--json")[1])["done"]
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(wait)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err  # also where the second comes while Python leaves
    assert "finished cells are kept" in err
    assert times == 2 or "Cells that run come to their end first" in err
    assert "Traceback" not in err
    kept = json.loads(run("status", folder, "--json")[1])["done"]
    assert done <= kept < 40
    status, out, err = run("resume", folder, "--jobs", "2")
    assert f"{40 - kept} of 40 cells to compute" in err
    assert (status, out.partition(":")[0]) == (0, "40 of 40 cells")


def test_the_program_is_deaf_to_ctrl_c_when_all_is_done(run, tmp_path):
    """The test above presses it twice, but seldom in the moment in which Python leaves."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run("status", tmp_path)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


@pytest.mark.parametrize(("before", "seen"), [(0, 1), (1, 2), (2, 3)])
def test_ctrl_c_is_raised_when_more_came_than_are_borne(before, seen):
    with _listening() as interrupts:
        interrupts.borne = before
        for _ in range(seen - 1):
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert interrupts.count == seen


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("sweep", "nothing.toml"), "Cannot read nothing.toml: no such file"),
        (("sweep", "grid.toml", "--jobs", "0"), "`jobs` must be"),
        (("sweep", "grid.toml", "--memory", "lots"), "`memory` must be a number with a unit"),
        (("sweep", "grid.toml", "--scheduler", "a", "--scheduler-file", "b"), "not both"),
        (
            ("sweep", "grid.toml", "--scheduler-file", "none.json"),
            "There is no none.json",
        ),
        (("sweep", "grid.toml", "--out", "grid.toml/run"), "Cannot write to the folder"),
        (("status", "nowhere"), "There is no run in nowhere"),
        (("resume", "nowhere"), "There is no run in nowhere"),
        (("export", "nowhere", "--to", "a.csv"), "There is no run in nowhere"),
        (("export", "nowhere", "--to", "a.xls"), "must name a file that ends with"),
    ],
)
def test_bad_input_is_one_sentence(run, spec, monkeypatch, arguments, sentence):
    monkeypatch.chdir(spec.parent)
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_cells_beyond_the_memory_leave_no_folder_in_the_way(run, tmp_path):
    path = tmp_path / "wide.toml"
    wide = '[[grid]]\nclaim = "logit_perturbation_gaussian"\nmethod = "dense"\ntrials = 2\nn = '
    path.write_text(f"{wide}4096\n")
    status, _, err = run("sweep", path, "--out", tmp_path / "run", "--memory", "500MB", "--jobs", "1")
    assert status == 2
    assert "1 of 1 cells take more memory than the 477 MiB of a worker; logit_perturbation" in err
    path.write_text(f"{wide}64\n")
    assert run("sweep", path, "--out", tmp_path / "run", "--memory", "2GiB", "--jobs", "1", "--quiet")[0] == 0


def test_another_sweep_is_not_mixed_in(run, spec, tmp_path):
    run("sweep", spec, "--out", tmp_path / "run", "--jobs", "1", "--quiet")
    spec.write_text(GRID.replace("trials = 20", "trials = 21"))
    status, _, err = run("sweep", spec, "--out", tmp_path / "run", "--quiet")
    assert status == 2
    assert "holds results of another sweep" in err
    assert (tmp_path / "run" / "spec.toml").read_text() == GRID
