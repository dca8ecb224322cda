"""Where cells are computed: processes of this machine, a Dask cluster, or any executor."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rmttheory.arrays import InvalidInput, RmtError, Unavailable
from rmttheory.studies.pool import processes, submit
from rmttheory.studies.records import environment
from rmttheory.studies.sweeps.cells import Document, compute_cells

SAME = ("rmttheory", "numpy", "scipy")
"""What must be of one version wherever cells of one sweep are computed."""

COUNTED = 2.0
"""Seconds for which the number of workers of a cluster is believed."""

PATIENCE = 10.0
"""Seconds in which a scheduler must answer."""


class ClusterLost(RmtError):
    """Nobody will answer any more; what was finished is kept."""


class Workers:
    """Any ``concurrent.futures.Executor`` of others.

    Parameters
    ----------
    executor : Executor
    width : int
        How many batches it computes at once.
    """

    lack = ""
    """Whom we wait for, in a sentence, while nobody is there to compute."""

    def __init__(self, executor: Executor, width: int) -> None:
        self._executor, self.width = executor, width

    @property
    def ahead(self) -> int:
        """How many batches are handed over before the first is back, so that no worker waits for us."""
        return self.width + 1

    def submit(self, cells: Sequence[Mapping[str, Any]]) -> Future[Any]:
        """Let a batch be computed."""
        return self._executor.submit(compute_cells, cells)

    def died(self, error: BaseException) -> bool:
        """Whether an error says that the process that computed a batch is gone."""
        return isinstance(error, (BrokenExecutor, CancelledError))

    def renew(self) -> None:
        """Go on after processes died.

        Raises
        ------
        ClusterLost
            If that cannot be.
        """
        msg = "The executor lost its workers."
        raise ClusterLost(msg)

    def check(self) -> None:
        """Raise `ClusterLost` if nobody will answer."""


class _Processes(Workers):
    """Processes of this machine; a pool whose process died is replaced."""

    def __init__(self, stack: contextlib.ExitStack, width: int, memory: int | None) -> None:
        self._stack, self._setting = stack, functools.partial(_hold_memory, memory) if memory else None
        self.width = width
        self.renew()

    def submit(self, cells: Sequence[Mapping[str, Any]]) -> Future[Any]:
        return submit(self._pool, compute_cells, cells)

    def renew(self) -> None:
        self._stack.close()
        self._pool = self._stack.enter_context(processes(self.width, setting=self._setting))


class _Dask(Workers):
    """Workers of a Dask scheduler, as many as there are at the moment."""

    def __init__(self, client: Any) -> None:
        super().__init__(client.get_executor(pure=False), 1)
        self._client, self._counted, self._ours = client, -math.inf, environment()

    @property
    def ahead(self) -> int:
        return 2 * self.width

    def submit(self, cells: Sequence[Mapping[str, Any]]) -> Future[Any]:
        try:
            return self._executor.submit(_compute_alike, cells, self._ours)
        except Exception:
            self.check()  # a client without a scheduler complains in many ways
            raise

    def died(self, error: BaseException) -> bool:
        from distributed import KilledWorker

        return isinstance(error, KilledWorker) or super().died(error)

    def renew(self) -> None:
        self.check()

    def check(self) -> None:
        if self._client.status != "running":
            msg = f"The Dask scheduler at {self._client.scheduler.address} is gone."
            raise ClusterLost(msg)
        if time.monotonic() - self._counted > COUNTED:
            self._counted = time.monotonic()
            if (workers := _workers(self._client)) is not None:
                self.width, self.lack = max(1, len(workers)), "" if workers else self._nobody

    @property
    def _nobody(self) -> str:
        address = self._client.scheduler.address
        return f"The sweep waits for workers: the Dask scheduler at {address} has none. Ctrl-C ends it."


@contextlib.contextmanager
def local_workers(width: int, *, memory: int | None = None) -> Iterator[Workers]:
    """Hold processes of this machine, each with one BLAS thread and ``memory`` bytes at most, where Linux is.

    A cell that asks for more fails and says so. If the body raises they are ended at once.
    """
    with contextlib.ExitStack() as stack:
        yield _Processes(stack, width, memory)


@contextlib.contextmanager
def dask_workers(*, address: str | None = None, file: str | None = None) -> Iterator[Workers]:
    """Hold the workers of the Dask scheduler at an address, or of the one that wrote a scheduler file.

    Workers may join and leave meanwhile. Cells go to them as plain values. Dask's own channel carries pickles
    both ways: it must be trusted.

    Raises
    ------
    Unavailable
        If ``distributed`` is not installed.
    InvalidInput
        If there is no scheduler, only one side has TLS, or workers there have several threads or other
        versions of what computes.
    ClusterLost
        If the scheduler has just gone.
    """
    try:
        from distributed import Client
    except ImportError:
        msg = "`distributed` is not installed; pip install 'rmttheory[cluster]' installs it."
        raise Unavailable(msg) from None
    address = address or _written_address(file or "")
    _check_reached(address)
    with contextlib.ExitStack() as stack:
        for logger in ("distributed.client", "tornado.application"):
            stack.enter_context(_unheard(logger))
        try:
            client = Client(address, timeout=PATIENCE, set_as_default=False)  # type: ignore[no-untyped-call]
            stack.enter_context(contextlib.closing(client))
            check_workers(client)
        except (OSError, CancelledError):
            msg = f"The Dask scheduler at {address} is gone."
            raise ClusterLost(msg) from None
        yield _Dask(client)


def _written_address(file: str) -> str:
    """Read the address of a scheduler from the file that it wrote."""
    try:
        return str(json.loads(Path(file).read_text(encoding="utf-8"))["address"])
    except (OSError, ValueError, TypeError, KeyError) as error:
        msg = f"{file} is not what `dask scheduler --scheduler-file` writes: {error!r}."
        raise InvalidInput(msg) from None


def _check_reached(address: str) -> None:
    """Connect to a scheduler and hang up: a Dask client that cannot may hang when Python ends."""
    from distributed import Security
    from distributed.comm.core import CommClosedError, connect

    async def knock() -> None:
        secure = Security().get_connection_args("client")  # type: ignore[no-untyped-call]
        comm = await connect(address, timeout=PATIENCE, **secure)  # type: ignore[no-untyped-call]
        await comm.close()

    try:
        with ThreadPoolExecutor(1) as thread:  # in this one a loop of events may be running
            thread.submit(asyncio.run, knock()).result()
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        closed = isinstance(error, CommClosedError)
        why = str(error.__cause__ if closed and error.__cause__ else error).strip().rstrip(".")
        if isinstance(error, TypeError):  # Dask's own words are of a missing `ssl_context`
            why = "no certificate is configured here"
        if closed or isinstance(error, RuntimeError) or address.startswith("tls:"):
            why += "; it and this process must both have TLS, with certificates of one authority, or neither"
        msg = f"There is no Dask scheduler to be reached at {address}: {why or type(error).__name__}."
        raise InvalidInput(msg) from None


def check_workers(client: Any) -> None:
    """Check that the workers of a Dask client would give the numbers of this process.

    Raises
    ------
    InvalidInput
        Naming one that would not.
    """
    for worker, about in (_workers(client) or {}).items():
        _check_threads(worker, about["nthreads"])
    ours = environment()
    for worker, theirs in client.run(environment, on_error="return").items():
        if isinstance(theirs, OSError):  # it died since
            continue
        if isinstance(theirs, Exception):
            msg = f"The Dask worker {worker} cannot compute cells: {theirs}. It needs the same rmttheory."
            raise InvalidInput(msg)
        _check_versions(worker, theirs, ours)


def _compute_alike(
    cells: Sequence[Mapping[str, Any]], ours: Mapping[str, str]
) -> list[tuple[Document, float]]:
    """Compute cells on a Dask worker, which may have joined after `check_workers`."""
    from distributed import get_worker

    worker = get_worker()
    _check_threads(worker.address, worker.state.nthreads)
    _check_versions(worker.address, environment(), ours)
    return compute_cells(cells)


def _check_threads(worker: str, threads: int) -> None:
    if threads > 1:
        msg = (
            f"The Dask worker {worker} has {threads} threads, which share one number of BLAS threads: "
            "start workers with --nthreads 1, and --nworkers as many as there are cores."
        )
        raise InvalidInput(msg)


def _check_versions(worker: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    for name in SAME:
        if theirs[name] != ours[name]:
            msg = (
                f"The Dask worker {worker} has {name} {theirs[name]} and this process {ours[name]}: "
                "results could differ. Install the same version on both."
            )
            raise InvalidInput(msg)


def _workers(client: Any) -> Mapping[str, Any] | None:
    """Ask the scheduler for its workers; it may be gone by now."""
    with contextlib.suppress(OSError):
        return dict(client.scheduler_info(n_workers=-1).get("workers", {}))
    return None


@contextlib.contextmanager
def _unheard(name: str) -> Iterator[None]:
    """Silence a logger: a scheduler that is gone is told in a sentence, not in its traceback."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _hold_memory(limit: int) -> None:
    """Let allocations beyond ``limit`` fail in this process."""
    if sys.platform == "linux":
        import resource

        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
