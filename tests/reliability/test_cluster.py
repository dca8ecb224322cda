"""Sweeps on a Dask cluster whose workers come, go, or compute other numbers."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from separate import children, cluster, end, joining, wait_for

from rmttheory.studies.sweeps import executors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc of Linux")

SCRIPT = """
import os, time
from pathlib import Path
from rmttheory.studies.experiments import Experiment, Summary, grid

def trial(cell, place):
    folder = Path(FOLDER)
    (folder / str(os.getpid())).touch()
    while cell["waits"] and not (folder / "go").exists():
        time.sleep(0.02)
    return {"square": cell["seed"] ** 2}

EXPERIMENT = Experiment(
    name="waiting", title="", presets={"quick": grid(waits=[False], seed=[0])},
    trial=trial, summarise=lambda cells, results: Summary(verdict=""), draw=None,
)
"""
"""Each process that computes cells leaves its number, and its cells wait until they may go on."""

CHEAP = '[[grid]]\nclaim = "row_event_exact"\nn = 32\ntrials = 20\nseeds = 20\n'

SPEC = '[[grid]]\nexperiment = "waiting.py"\nwaits = true\nseeds = 60\n'


@pytest.fixture
def seen(tmp_path: Path, require) -> Path:
    """Return where processes that compute leave their numbers, beside the file of grids."""
    require("distributed")
    seen = tmp_path / "seen"
    seen.mkdir()
    (tmp_path / "grid.toml").write_text(SPEC)
    (tmp_path / "waiting.py").write_text(SCRIPT.replace("FOLDER", repr(str(seen))))
    return seen


@contextmanager
def program(folder: Path, *arguments: Any) -> Iterator[subprocess.Popen[str]]:
    """Hold the program as a process of its own; what it says on stderr is in a file."""
    command = [sys.executable, "-m", "rmttheory", *map(str, arguments)]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background process may ignore it
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, cwd=folder, stderr=said, stdout=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def swept(folder: Path, run: str, *where: Any) -> tuple[int, str]:
    """Carry the sweep out; return the exit status and what was said of it."""
    with program(folder, "sweep", "grid.toml", "--out", run, "--quiet", *where) as process:
        status = process.wait(60)
    return status, (folder / "said").read_text()


def table(folder: Path, run: str) -> bytes:
    with program(folder, "export", run, "--to", f"{run}.csv") as process:
        assert process.wait(60) == 0
    return (folder / f"{run}.csv").read_bytes()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, require) -> Path:
    """Return a home whose Dask has TLS, made with the command and the configuration of the documentation."""
    require("distributed")
    require("openssl")
    page = (Path(__file__).parents[2] / "docs" / "sweeps.md").read_text()
    home = tmp_path / "you"
    (home / "tls").mkdir(parents=True)
    (home / ".config" / "dask").mkdir(parents=True)
    command = shlex.split(re.search("^openssl .*$", page, re.MULTILINE)[0])
    subprocess.run(command, cwd=home / "tls", check=True, capture_output=True)
    settings = re.search("^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[1]
    (home / ".config" / "dask" / "distributed.yaml").write_text(settings.replace("/home/you", str(home)))
    monkeypatch.setenv("HOME", str(home))
    return home


@contextmanager
def waiting(folder: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Hold a sweep that waits for workers, and the scheduler file by which they can come."""
    said = folder / "said"
    with (
        cluster(workers=0) as (file, _, _),
        program(folder, "sweep", "grid.toml", "--out", "run", "--scheduler-file", file) as driver,
    ):
        wait_for(lambda: "The sweep waits for workers: the Dask scheduler at tcp" in said.read_text())
        yield driver, file


def test_workers_that_come_compute_and_those_that_go_lose_nothing(seen: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"

    def computing() -> set[int]:
        return {int(path.name) for path in seen.iterdir()} - {driver.pid}

    with waiting(tmp_path) as (driver, file), joining(file, 1) as (first,):
        wait_for(computing)
        with joining(file, 2) as later:
            wait_for(lambda: len(computing()) == 3)
            assert computing() == {pid for nanny in (first, *later) for pid in children(nanny.pid)}
            end(first)
            (seen / "go").touch()
            assert driver.wait(60) == 0, said.read_text()
    assert said.read_text().count("waits for workers") == 1
    with program(tmp_path, "sweep", "grid.toml", "--out", "alone", "--jobs", "1") as alone:
        assert alone.wait(60) == 0
    assert table(tmp_path, "run") == table(tmp_path, "alone")
    assert table(tmp_path, "run").count(b"computed") == 60


def test_one_ctrl_c_is_enough_where_nobody_computes(seen: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with waiting(tmp_path) as (driver, _):
        driver.send_signal(signal.SIGINT)
        assert driver.wait(30) == 130
    assert said.read_text().endswith(
        "Interrupted. 0 finished cells are kept; `rmttheory resume run` goes on.\n"
    )
    assert {path.name for path in seen.iterdir()} == {str(driver.pid)}


def test_a_worker_that_comes_late_with_more_threads_is_refused(seen: Path, tmp_path: Path) -> None:
    said = tmp_path / "said"
    with waiting(tmp_path) as (driver, file), joining(file, 1, threads=2):
        assert driver.wait(60) == 2
    assert " has 2 threads, which share one number of BLAS threads" in said.read_text().splitlines()[-1]
    assert {path.name for path in seen.iterdir()} == {str(driver.pid)}


def test_a_sweep_over_tls_gives_the_same_table_and_one_without_is_told(home: Path, tmp_path: Path) -> None:
    (tmp_path / "grid.toml").write_text(CHEAP)
    with cluster(protocol="tls") as (file, _, _):
        address = json.loads(file.read_text())["address"]
        assert address.startswith("tls://")
        assert swept(tmp_path, "run", "--scheduler-file", file)[0] == 0
        (home / ".config").rename(home / "nothing")
        for way in (("--scheduler-file", file), ("--scheduler", address.replace("tls", "tcp"))):
            status, said = swept(tmp_path, "refused", *way)
            assert status == 2
            assert said.count("\n") == 1
            assert "it and this process must both have TLS" in said
    assert swept(tmp_path, "alone", "--jobs", "1")[0] == 0
    assert table(tmp_path, "run") == table(tmp_path, "alone")
    assert table(tmp_path, "run").count(b"consistent") == 20


def test_a_scheduler_that_dies_while_its_workers_are_checked_is_said_to_be_gone(monkeypatch, require) -> None:
    require("distributed")
    check = executors.check_workers
    with cluster(workers=1) as (file, scheduler, _):

        def dying(client: Any) -> None:
            scheduler.kill()
            scheduler.wait()
            check(client)

        monkeypatch.setattr(executors, "check_workers", dying)
        with (
            pytest.raises(executors.ClusterLost, match=r"The Dask scheduler at tcp://.* is gone\."),
            executors.dask_workers(file=str(file)),
        ):
            pass
