"""Batches of cells over workers that may die at any moment."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from dataclasses import dataclass
from typing import Any

from rmttheory.arrays import RmtError
from rmttheory.studies.pool import WorkersLost
from rmttheory.studies.sweeps.cells import Document, failure
from rmttheory.studies.sweeps.executors import ClusterLost, Workers
from rmttheory.studies.sweeps.spec import SweepCell

BATCH, MOST = 1.0, 1000
"""Seconds of work that are sent at once, long beside the sending and short beside a wait for Ctrl-C, and
cells at most."""
SPACING = 0.02
"""Seconds from batch to batch that driver and scheduler have: for many workers batches are longer."""
TOGETHER, ALONE = 3, 2
"""How often the worker of a batch may die, and then that of one of its cells alone: then the cell failed."""
BARREN = 20
"""How often in a row workers may die before any of them has finished anything."""
LOOK = 0.2
"""Seconds after which we look up from waiting."""

Finished = tuple[int, Document, float]
"""Place of a cell, what is kept of it, its seconds."""


@dataclass
class Flow:
    """Cells on their way: ``waiting`` ones by place, the longest first, then those whose worker died.

    Parameters
    ----------
    workers : Workers
    cells : sequence of SweepCell
    seconds : mapping of int to float
        Places of the cells to be computed, with what each will take.
    """

    workers: Workers
    cells: Sequence[SweepCell]
    seconds: dict[int, float]
    pace: float = 1.0
    """Measured over estimated seconds."""

    def __post_init__(self) -> None:
        self._waiting = deque(sorted(self.seconds, key=lambda place: -self.seconds[place]))
        self._again: deque[list[int]] = deque()
        self._alone: deque[int] = deque()
        self._running: dict[Future[Any], list[int]] = {}
        self._deaths: Counter[int] = Counter()
        self._left = sum(self.seconds.values())

    def run(self, stopping: Callable[[], bool]) -> Iterator[list[Finished]]:
        """Yield what finished since the last time, perhaps nothing, until nothing is left or we are to stop.

        Cells that run when ``stopping`` becomes true are still waited for, if there is a worker.

        Raises
        ------
        ClusterLost, WorkersLost
            If nobody computes any more.
        """
        barren = 0
        while True:
            self.workers.check()
            while not stopping() and len(self._running) < self.workers.ahead and (batch := self._next()):
                self._submit(batch)
            if not self._running or (self.workers.lack and stopping()):
                return
            finished, died = self._collect()
            barren = 0 if finished else barren + bool(died)
            if barren == BARREN:
                msg = "Worker processes keep dying, perhaps for want of memory."
                raise WorkersLost(msg)
            if died:
                finished += [given_up for batch in died for given_up in self._lost(batch)]
                self.workers.renew()
            yield finished

    @property
    def left(self) -> float:
        """Share of the work that is still to be done."""
        return self._left / (sum(self.seconds.values()) or 1.0)

    def _next(self) -> list[int] | None:
        if self._again:
            return self._again.popleft()
        if self._waiting:
            return self._batch()
        return [self._alone.popleft()] if self._alone and not self._running else None

    def _batch(self) -> list[int]:
        """Take some seconds of cells; less towards the end, so that all workers end together."""
        width = self.workers.width
        enough = min(max(BATCH, SPACING * width), self._left * self.pace / (4 * width))
        batch, took = [self._waiting.popleft()], 0.0
        while self._waiting and len(batch) < MOST:
            took += self.seconds[batch[-1]] * self.pace
            if took >= enough:
                break
            batch.append(self._waiting.popleft())
        return batch

    def _submit(self, batch: list[int]) -> None:
        try:
            future = self.workers.submit([self.cells[place].to_dict() for place in batch])
        except BrokenExecutor as error:  # a process died since we last looked
            future = Future()
            future.set_exception(error)
        self._running[future] = batch

    def _collect(self) -> tuple[list[Finished], list[list[int]]]:
        """Return what finished, and the batches whose worker died."""
        done, _ = wait(self._running, timeout=LOOK, return_when=FIRST_COMPLETED)
        if any(not future.cancelled() and isinstance(future.exception(), BrokenExecutor) for future in done):
            done, _ = wait(self._running)  # a pool that lost one process gives up the work of all
        finished, died = list[Finished](), []
        for future in done:
            batch = self._running.pop(future)
            try:
                results = future.result()
            except Exception as error:
                if not self.workers.died(error):
                    why = str(error) if isinstance(error, RmtError) else f"{type(error).__name__}: {error}."
                    msg = f"A worker cannot compute cells: {why}"
                    raise ClusterLost(msg) from None
                died.append(batch)
                continue
            finished += [(place, *result) for place, result in zip(batch, results)]
        self._learn(finished)
        return finished, died

    def _learn(self, finished: Sequence[Finished]) -> None:
        planned = sum(self.seconds[place] for place, _, _ in finished)
        self._left -= planned
        if planned > 0:  # the last batches count most: caches are filled, neighbours come and go
            self.pace += 0.3 * (sum(seconds for _, _, seconds in finished) / planned - self.pace)

    def _lost(self, batch: list[int]) -> Iterator[Finished]:
        """Queue a batch again; yield its cell as failed if workers died of it alone."""
        self._deaths.update(batch)
        deaths = self._deaths[batch[0]]
        if deaths < TOGETHER:
            self._again.append(batch)
        elif deaths < TOGETHER + ALONE:
            self._alone.extend(batch)
        else:
            (place,) = batch
            why = "Its worker process died again and again, perhaps for want of memory."
            self._learn([(place, {}, self.seconds[place])])
            yield place, failure(self.cells[place].to_dict(), why), 0.0
