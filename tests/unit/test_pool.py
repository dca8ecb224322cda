"""Tasks over processes: what comes back, and what happens when processes die."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from rmttheory import studies
from rmttheory.studies.pool import WorkersLost, compute, one_blas_thread, processes, submit, usable_cores


def square(x: int) -> int:
    return x * x


def die_once(marker: str, x: int) -> int:
    """Kill this process as the kernel would, unless that has happened before."""
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return x
    os.kill(os.getpid(), signal.SIGKILL)
    return -1


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail() -> None:
    raise ZeroDivisionError


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def threads_that_work() -> int:
    """Threads of this process that spend 20 ms or more while it multiplies and decomposes for a while."""

    def spent() -> dict[str, int]:
        found = {}
        for path in Path("/proc/self/task").glob("*/schedstat"):
            with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
                found[path.parent.name] = int(path.read_text().split()[0])
        return found

    time.sleep(0.3)  # threads of an earlier product spin for a while before they rest
    before, start = spent(), time.process_time()
    W = np.random.default_rng(1).normal(size=(800, 600))
    while time.process_time() - start < 0.2:
        np.linalg.eigvalsh(W.T @ W)
    return sum(spent_now - before.get(name, 0) >= 20_000_000 for name, spent_now in spent().items())


def singular_values(seed: int) -> bytes:
    return np.linalg.svd(np.random.default_rng(seed).normal(size=(200, 150)), compute_uv=False).tobytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_every_result_comes_back_with_its_index(workers: int) -> None:
    tasks = [(square, (x,)) for x in range(20)]
    assert sorted(compute(tasks, workers=workers)) == [(x, x * x) for x in range(20)]


@pytest.mark.parametrize("workers", [1, 2])
def test_linear_algebra_has_one_thread_in_every_process(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with threadpool_limits(limits=2, user_api="blas"):
        assert [result for _, result in compute([(blas_threads, ())] * 2, workers=workers)] == [{1}, {1}]


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="reads /proc of Linux")
def test_trials_side_by_side_keep_one_thread_busy_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not only what the libraries say of themselves: the threads that the kernel saw working."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "2")
    with threadpool_limits(limits=2, user_api="blas"):
        assert threads_that_work() == 2  # so the count can tell
        for workers in (1, 2):
            assert [n for _, n in compute([(threads_that_work, ())] * 2, workers=workers)] == [1, 1]


def test_thread_limit_ends_with_its_context() -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == before == {2}


def test_linear_algebra_is_equal_bit_by_bit_wherever_it_runs() -> None:
    tasks = [(singular_values, (seed,)) for seed in range(3)]
    assert dict(compute(tasks, workers=1)) == dict(compute(tasks, workers=2))


def test_killed_worker_costs_no_result(tmp_path: Path) -> None:
    notes: list[str] = []
    tasks = [(die_once, (str(tmp_path / "marker"), x)) for x in range(8)]
    assert dict(compute(tasks, workers=2, note=notes.append)) == {x: x for x in range(8)}
    assert len(notes) == 1
    assert "worker process died" in notes[0]


def test_workers_that_always_die_end_in_one_sentence_and_keep_the_rest() -> None:
    found = []
    with pytest.raises(WorkersLost, match=r"keep dying.*--jobs 1"):
        found.extend(compute([(square, (3,)), (die, ())], workers=2))
    assert found in ([], [(0, 9)])


def test_error_of_a_task_reaches_the_caller_and_leaves_no_process() -> None:
    with pytest.raises(ZeroDivisionError):
        list(compute([(fail, ()), *[(time.sleep, (5,))] * 4], workers=2))
    deadline = time.monotonic() + 4
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not multiprocessing.active_children()


def test_workers_are_deaf_to_ctrl_c() -> None:
    """The whole group gets SIGINT from a terminal; only the main process may act on it."""
    masks = [result for _, result in compute([(signal.pthread_sigmask, (signal.SIG_BLOCK, ()))], workers=2)]
    assert signal.SIGINT in masks[0]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_there_is_a_core() -> None:
    assert usable_cores() >= 1


def test_all_processes_start_with_the_first_task():
    """Or one that starts while another dies is never told to leave."""
    before = set(multiprocessing.active_children())
    with processes(3) as pool:
        submit(pool, abs, -1).result()
        assert len(set(multiprocessing.active_children()) - before) == 3
    assert set(multiprocessing.active_children()) == before


def test_a_process_that_does_not_leave_is_ended(monkeypatch):
    monkeypatch.setattr(studies.pool, "PATIENCE", 1.0)
    before = set(multiprocessing.active_children())
    with processes(1) as pool:
        submit(pool, time.sleep, 1000)
        (child,) = set(multiprocessing.active_children()) - before
    assert not child.is_alive()
