"""The program and a Dask cluster as processes of their own, on this machine."""

from __future__ import annotations

import contextlib
import os
import shutil
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
def cluster(workers: int = 2) -> Iterator[tuple[Path, Process, list[Process]]]:
    """Hold a Dask scheduler and workers; yield the scheduler file, the scheduler, and the nannies."""
    folder = Path(tempfile.mkdtemp())
    file = folder / "scheduler.json"

    def start(*arguments: str | Path) -> Process:
        command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", file, "--no-dashboard"]
        return subprocess.Popen(
            [*command, "--host", "127.0.0.1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=folder,
        )

    processes = [start("scheduler", "--port", "0")]
    try:
        wait_for(file.exists)
        processes += [start("worker", "--nthreads", "1", "--death-timeout", "20") for _ in range(workers)]
        wait_for(lambda: all(children(process.pid) for process in processes[1:]))
        yield file, processes[0], processes[1:]
    finally:
        for process in processes:
            for child in children(process.pid):
                kill(child)
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def wait_for(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.05)
