"""Pure tasks over processes: one BLAS thread each, dead workers replaced, no result lost.

A task is a picklable function and its arguments, and its result depends on these alone. So it does not matter
where or when it runs, nor whether it has to run again.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

from rmttheory.arrays import RmtError

PATIENCE = 5.0
"""Seconds for which a process that was ended is waited for."""

Result = TypeVar("Result")
Task = tuple[Callable[..., Any], tuple[Any, ...]]


class WorkersLost(RmtError):
    """Worker processes died again and again, also alone."""


def usable_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold linear algebra to one thread: results then do not depend on the number of cores.

    For matrices of this field it is also faster wherever other processes are running.
    """
    import scipy.linalg  # noqa: F401  SciPy brings a BLAS of its own: only libraries already loaded are held

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def compute(
    tasks: Sequence[Task], *, workers: int = 1, note: Callable[[str], object] | None = None
) -> Iterator[tuple[int, Any]]:
    """Run ``tasks`` and yield ``(index, result)`` as each ends.

    Parameters
    ----------
    tasks : sequence of (function, arguments)
        Picklable and pure.
    workers : int
        Processes; 1 computes here, in the order given.
    note : callable
        Told in a sentence when a worker died and its tasks run again.

    Raises
    ------
    WorkersLost
        If workers die in two full pools and then in a pool of one. What was yielded before stands.
    """
    if workers == 1:
        yield from ((index, _call(*task)) for index, task in enumerate(tasks))
        return
    left = dict(enumerate(tasks))
    for size in (workers, workers, 1):
        if not left:
            return
        try:
            for index, result in _in_pool(left, size):
                del left[index]
                yield index, result
        except BrokenProcessPool:
            if note:
                note(f"A worker process died; the {len(left)} tasks left of {len(tasks)} go to new workers.")
    if not left:
        return
    msg = (
        "Worker processes keep dying, perhaps for want of memory; what they had finished is kept. "
        "Try smaller widths (--n) or --jobs 1."
    )
    raise WorkersLost(msg)


def _in_pool(tasks: dict[int, Task], workers: int) -> Iterator[tuple[int, Any]]:
    with processes(min(workers, len(tasks))) as pool:
        futures = {submit(pool, _call, *task): index for index, task in tasks.items()}
        for future in as_completed(futures):
            yield futures[future], future.result()


@contextmanager
def processes(workers: int, *, setting: Callable[[], object] | None = None) -> Iterator[ProcessPoolExecutor]:
    """Hold a pool of fresh processes, which end with the body; all that was submitted must be done by then.

    Use `submit`, not its own method.

    Parameters
    ----------
    workers : int
    setting : callable, optional
        Called in each process when it starts; picklable.
    """
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin, initargs=(setting,))
    # All start with the first task: a pool that starts one while another dies may never tell it to leave.
    pool._safe_to_dynamically_spawn_children = False  # type: ignore[attr-defined]
    try:
        yield pool
    except BaseException:
        _end(pool, others, patience=0.0)
        raise
    _end(pool, others, patience=PATIENCE)


def _end(pool: ProcessPoolExecutor, others: set[BaseProcess], *, patience: float) -> None:
    """Let the processes of a pool leave, and end those that do not.

    The pool itself would wait without end for one that does not.
    """
    pool.shutdown(wait=False, cancel_futures=True)
    children = set[BaseProcess](multiprocessing.active_children()) - others
    deadline = time.monotonic() + patience
    for child in children:
        child.join(max(0.0, deadline - time.monotonic()))
    for child in children:
        child.terminate()
    for child in children:
        child.join(PATIENCE)  # or Python waits for it at its very end, where Ctrl-C is a traceback


def submit(pool: ProcessPoolExecutor, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
    """Let a pool of `processes` call a function; they are deaf to Ctrl-C, which is for this process alone.

    Raises
    ------
    BrokenProcessPool
        If a process died, also while another was being started.
    """
    with _interrupts_held():
        try:
            return pool.submit(function, *arguments)
        except OSError as error:
            raise BrokenProcessPool(str(error)) from None


def _call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    with one_blas_thread():
        return function(*arguments)


def _begin(setting: Callable[[], object] | None) -> None:
    """Let this worker end when its parent is gone, however that died."""
    parent = multiprocessing.parent_process()

    def wait() -> None:
        if parent:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    if setting:
        setting()


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C waiting; processes started meanwhile inherit the mask and are deaf to it for good."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
