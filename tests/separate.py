"""The program and a Dask cluster as processes of their own, on this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Process = subprocess.Popen[bytes]


def children(pid: int) -> list[int]:
    """Return the processes that ``pid`` started and that compute: not the tracker of shared resources."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as stat, open(f"/proc/{name}/cmdline") as line:
                parent, command = int(stat.read().rpartition(")")[2].split()[1]), line.read()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid and "spawn_main" in command:
            found.append(int(name))
    return found


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 9)


@contextlib.contextmanager
def cluster(workers: int = 2, *, protocol: str = "tcp") -> Iterator[tuple[Path, Process, list[Process]]]:
    """Hold a Dask scheduler and workers; yield the scheduler file, the scheduler, and the nannies."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        file = Path(folder) / "scheduler.json"
        with _dask(file, ["scheduler", "--port", "0", "--protocol", protocol]) as (scheduler,):
            wait_for(file.exists)
            with joining(file, workers) as nannies:
                yield file, scheduler, nannies


@contextlib.contextmanager
def joining(file: Path, workers: int = 1, *, threads: int = 1) -> Iterator[list[Process]]:
    """Hold further workers of a scheduler; yield their nannies."""
    command = ["worker", "--nthreads", str(threads), "--death-timeout", "20"]
    with _dask(file, *[command] * workers) as nannies:
        wait_for(lambda: all(children(nanny.pid) for nanny in nannies))
        yield nannies


@contextlib.contextmanager
def _dask(file: Path, *commands: list[str]) -> Iterator[list[Process]]:
    options = ["--scheduler-file", file, "--host", "127.0.0.1", "--no-dashboard"]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "dask", *command, *options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=file.parent,
        )
        for command in commands
    ]
    try:
        yield processes
    finally:
        for process in processes:
            end(process)


def end(process: Process) -> None:
    """Kill a process with its children, for good: a nanny starts no other worker."""
    own = children(process.pid)
    process.kill()
    process.wait()
    for child in own:
        kill(child)


def wait_for(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)
