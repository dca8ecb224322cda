"""What happens when a run is interrupted, a worker is killed, a folder is closed, a disk is full."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from separate import children

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals and limits of POSIX")

# Judged at once, in a second or so, and in about a minute.
SHORT, LONG = "ce_lipschitz", "bema_level"


def start(*arguments, pipe=subprocess.PIPE, **options):
    # what a shell runs in the background ignores Ctrl-C, and its children inherit that
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "rmttheory", *map(str, arguments)]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True, **options)


def wait_for(condition, *, seconds=60.0):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    pytest.fail("It did not happen in time.")


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def verdicts(folder):
    """Return the claims judged so far, from a file that must be whole whenever it is there."""
    path = folder / "verdicts.json"
    return [verdict["claim"] for verdict in json.loads(path.read_text())["verdicts"]] if path.exists() else []


@pytest.mark.parametrize("jobs", [1, 2])
def test_ctrl_c_keeps_what_was_found_and_says_so(tmp_path, jobs):
    process = start("verify", SHORT, LONG, "--jobs", jobs, "--out", tmp_path)
    wait_for(lambda: verdicts(tmp_path))
    workers = children(process.pid)
    assert len(workers) == (jobs if jobs > 1 else 0)
    os.killpg(process.pid, signal.SIGINT)  # a terminal signals the whole group
    began = time.monotonic()
    out, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert process.returncode == 130
    assert "Interrupted. The 1 verdicts reached before are kept in" in err
    assert "Traceback" not in err
    assert SHORT in out
    document = json.loads((tmp_path / "verdicts.json").read_text())
    assert document["partial"] is True
    assert [verdict["claim"] for verdict in document["verdicts"]] == [SHORT]
    wait_for(lambda: not any(map(alive, workers)), seconds=10)


def test_a_killed_worker_costs_nothing():
    calm = start("verify", SHORT, "mp_bulk", "--jobs", 1, "--json", "--quiet")
    process = start("verify", SHORT, "mp_bulk", "--jobs", 2, "--json")
    worker = wait_for(lambda: children(process.pid))[0]
    os.kill(worker, signal.SIGKILL)
    (out, err), (calm_out, _) = process.communicate(timeout=120), calm.communicate(timeout=120)
    assert process.returncode == 0
    assert "A worker process died" in err
    found, expected = (
        [{**verdict, "seconds": 0} for verdict in json.loads(text)["verdicts"]] for text in (out, calm_out)
    )
    assert found == expected


def test_workers_do_not_outlive_a_killed_run(tmp_path):
    process = start("verify", LONG, "--jobs", 2, "--out", tmp_path, pipe=subprocess.DEVNULL)
    workers = wait_for(lambda: len(children(process.pid)) == 2 and children(process.pid))
    process.kill()
    process.wait()
    try:
        wait_for(lambda: not any(map(alive, workers)), seconds=20)
    finally:
        for worker in filter(alive, workers):
            os.kill(worker, signal.SIGKILL)


def test_a_closed_folder_is_refused_before_anything_runs(tmp_path):
    (tmp_path / "file").touch()
    began = time.monotonic()
    out, err = (process := start("verify", "--out", tmp_path / "file" / "out")).communicate(timeout=60)
    assert process.returncode == 2
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"Error: Cannot write to the folder {tmp_path / 'file' / 'out'}: not a directory.")
    assert time.monotonic() - began < 20


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_full_disk_costs_files_and_not_verdicts(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        process = start("verify", SHORT, "mp_bulk", "--jobs", 1, "--out", disk / "out")
        out, err = process.communicate(timeout=120)
    finally:
        subprocess.run(["umount", disk], check=True)
    check_unwritten(process, out, err, "no space left on device")


def test_a_file_that_may_not_grow_costs_files_and_not_verdicts(tmp_path):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    process = start("verify", SHORT, "mp_bulk", "--jobs", 1, "--out", tmp_path / "out", preexec_fn=limit)
    out, err = process.communicate(timeout=120)
    check_unwritten(process, out, err, "file too large")
    assert verdicts(tmp_path / "out") == [SHORT, "mp_bulk"]
    assert not list((tmp_path / "out").rglob(".*"))


def check_unwritten(process, out, err, reason):
    assert process.returncode == 2
    assert SHORT in out
    assert "mp_bulk" in out
    assert "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("Error: Cannot write ")
    assert reason in last
    assert last.endswith("Verdicts are printed, but not all are on disk.")
