"""Carrying a sweep out: what is missing is computed, and kept as it comes."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rmttheory.arrays import InvalidInput, check_count
from rmttheory.studies import machine
from rmttheory.studies.pool import WorkersLost, usable_cores
from rmttheory.studies.records import Folder, NotWritten, environment
from rmttheory.studies.runner import Watcher
from rmttheory.studies.sweeps.costs import Cost, amount, check_memory, duration, estimate
from rmttheory.studies.sweeps.executors import ClusterLost, Workers, dask_workers, local_workers
from rmttheory.studies.sweeps.flow import Flow
from rmttheory.studies.sweeps.progress import Progress, count
from rmttheory.studies.sweeps.spec import Sweep, read_sweep
from rmttheory.studies.sweeps.store import Result, Store, only_writer

SPEC, SCRIPTS = "spec.toml", "scripts"
"""Copy of the file of grids in the folder of a run."""


class SweepWatcher(Watcher):
    """Told besides how far a sweep came, several times a second."""

    def progress(self, progress: Progress) -> None:
        """So far it came."""


@dataclass(frozen=True, kw_only=True)
class SweepRun:
    """A run as far as it came.

    Attributes
    ----------
    folder : Path
    progress : Progress
    stopped : BaseException or None
        What ended it early: an interrupt, or an error whose text is a sentence.
    """

    folder: Path
    progress: Progress
    stopped: BaseException | None = None

    @property
    def status(self) -> int:
        """Exit status: 130 interrupted, 2 stopped or some cell failed, 1 something refuted, 0 otherwise."""
        if isinstance(self.stopped, KeyboardInterrupt):
            return 130
        return 2 if self.stopped else self.progress.status

    @property
    def troubles(self) -> list[str]:
        """What went wrong, in sentences."""
        kept = f"{self.progress.done:,} finished cells are kept; `rmttheory resume {self.folder}` goes on."
        if isinstance(self.stopped, KeyboardInterrupt):
            return [f"Interrupted. {kept}"]
        if self.stopped:
            return [f"Error: {self.stopped} {kept}"]
        if failed := self.progress.counts.get("failed"):
            again = f"`rmttheory resume {self.folder} --failed` tries again"
            return [
                f"Error: {failed:,} cells failed; {again}, and their sentences are in the exported table."
            ]
        return []


@dataclass(frozen=True, kw_only=True)
class Where:
    """Who computes cells.

    Attributes
    ----------
    jobs : int
        Processes of this machine.
    scheduler, scheduler_file : str, optional
        Address or file of a Dask scheduler, whose workers compute instead.
    memory : int, optional
        Bytes that a worker process may take; for processes of this machine their share of it, if omitted.
    """

    jobs: int = 1
    scheduler: str | None = None
    scheduler_file: str | None = None
    memory: int | None = None

    def __post_init__(self) -> None:
        check_count(self.jobs, "jobs")
        if self.scheduler and self.scheduler_file:
            msg = "Give --scheduler or --scheduler-file, not both."
            raise InvalidInput(msg)
        if self.scheduler_file and not Path(self.scheduler_file).is_file():  # for which Dask would wait
            msg = f"There is no {self.scheduler_file}, which `dask scheduler --scheduler-file` writes."
            raise InvalidInput(msg)

    @property
    def limit(self) -> float:
        """Bytes that the largest cell may take."""
        if self.memory:
            return self.memory
        return float("inf") if self.on_cluster else machine.memory() / self.jobs

    @property
    def on_cluster(self) -> bool:
        """Whether Dask computes."""
        return bool(self.scheduler or self.scheduler_file)

    def open(self) -> contextlib.AbstractContextManager[Workers]:
        """Hold the workers."""
        if self.on_cluster:
            return dask_workers(address=self.scheduler, file=self.scheduler_file)
        return local_workers(self.jobs, memory=self.memory)


def run_sweep(
    sweep: Sweep,
    out: str | Path,
    *,
    where: Where | Workers | None = None,
    retry_failed: bool = False,
    watcher: SweepWatcher | None = None,
) -> SweepRun:
    """Compute the cells of a sweep that a folder does not hold yet.

    The first Ctrl-C (or SIGTERM) lets cells that run come to their end, the second ends them.

    Parameters
    ----------
    sweep : Sweep
    out : path
        Folder of the run: a copy of the file of grids, and the finished cells.
    where : Where or Workers, optional
        Who computes; one process of this machine if omitted.
    retry_failed : bool
        Compute failed cells again.
    watcher : SweepWatcher, optional

    Returns
    -------
    SweepRun
        What ended it early, Ctrl-C too, is in there.

    Raises
    ------
    InvalidInput
        Before any cell is computed: the folder cannot be written to, is being written by another process or
        holds another sweep; cells take more memory than there is; there is no such scheduler.
    Unavailable
        If a cluster is asked for and ``distributed`` is not installed.
    NotWritten
        If the disk is full already.
    """
    where, watcher = where or Where(), watcher or SweepWatcher()
    folder = Folder(out)
    positions = {cell.key: place for place, cell in enumerate(sweep.cells)}
    sweep.check_scripts()
    with _listening() as interrupts, only_writer(folder.path), Store(folder.path, positions) as store:
        folder.write(SPEC, sweep.text)
        for script in sweep.scripts:
            folder.write(f"{SCRIPTS}/{script.name}", script.text)
        for sentence in (*store.notes, *_other_environment(store)):
            watcher.note(sentence)
        if retry_failed:
            store.forget([result.key for result in store if result.failed])
        tally = Tally(sweep, store, watcher)
        costs = _plan(sweep, tally.missing, where, watcher)
        stopped = _compute(sweep, costs, where, tally, interrupts) if costs else None
    return SweepRun(folder=folder.path, progress=tally.progress, stopped=stopped)


def resume_sweep(
    folder: str | Path,
    *,
    where: Where | Workers | None = None,
    retry_failed: bool = False,
    watcher: SweepWatcher | None = None,
) -> SweepRun:
    """Go on with the run in a folder; arguments, result and errors are those of `run_sweep`."""
    return run_sweep(sweep_of(folder), folder, where=where, retry_failed=retry_failed, watcher=watcher)


def sweep_of(folder: str | Path) -> Sweep:
    """Read the sweep of the run in a folder, where its scripts are kept; none is carried out.

    Raises
    ------
    InvalidInput
        If there is no run, or its files cannot be read.
    """
    path = Path(folder).expanduser()
    if not (path / SPEC).is_file():
        msg = f"There is no run in {path}: it has no {SPEC}."
        raise InvalidInput(msg)
    return read_sweep(path / SPEC, scripts=path / SCRIPTS)


class Tally:
    """What is finished: on disk first, then counted, then told."""

    def __init__(self, sweep: Sweep, store: Store, watcher: SweepWatcher) -> None:
        self.sweep, self.store, self.watcher = sweep, store, watcher
        self.missing = set(range(len(sweep.cells)))
        self.counts: Counter[str] = Counter()
        self.seconds = 0.0
        for result in store:
            self.missing.discard(result.position)
            self._count(result)
        self.progress = Progress(total=len(sweep.cells), counts=self.counts, seconds=self.seconds)

    def _count(self, result: Result) -> None:
        self.counts += count([result.document])
        self.seconds += result.seconds

    def run(self, flow: Flow, stopping: Callable[[], bool]) -> None:
        """Keep and count what comes back, until all has or we are to stop."""
        start, before, asked, lack = time.monotonic(), self.counts.total(), False, ""
        for finished in flow.run(stopping):
            results = [
                Result(key=self.sweep.cells[place].key, position=place, document=document, seconds=seconds)
                for place, document, seconds in finished
            ]
            if results:
                self.store.add(results)
                for result in results:
                    self._count(result)
            gone, share = time.monotonic() - start, flow.left
            self.progress = Progress(
                total=self.progress.total,
                counts=dict(self.counts),
                seconds=self.seconds,
                rate=(self.counts.total() - before) / gone if gone else None,
                left=gone * share / (1 - share) if share < 1 else None,
            )
            self.watcher.progress(self.progress)
            if flow.workers.lack != lack:
                lack = flow.workers.lack
                self.watcher.note(lack or "Workers came: the sweep goes on.")
            if stopping() and not asked:
                asked = True
                self.watcher.note("Cells that run come to their end first; Ctrl-C again stops them.")


def _plan(sweep: Sweep, missing: set[int], where: Where | Workers, watcher: SweepWatcher) -> dict[int, Cost]:
    """Return what missing cells will cost, and say it; refuse those that take too much memory."""
    places = sorted(missing)
    cells = [sweep.cells[place] for place in places]
    if not cells:
        return {}
    costs = estimate(cells)
    seconds, most = sum(cost.seconds for cost in costs), max(cost.memory for cost in costs)
    watcher.note(
        f"{len(cells):,} of {len(sweep.cells):,} cells to compute, {sum(cell.trials for cell in cells):,} "
        f"trials: about {duration(seconds)} of one core, {amount(most)} of memory for the largest cell."
    )
    if isinstance(where, Where):
        check_memory(cells, costs, where.limit)
        if not where.on_cluster and where.jobs > usable_cores():
            watcher.note(
                f"{where.jobs} processes share {usable_cores()} cores: --jobs {usable_cores()} is faster."
            )
    return dict(zip(places, costs))


def _compute(
    sweep: Sweep, costs: dict[int, Cost], where: Where | Workers, tally: Tally, interrupts: _Interrupts
) -> BaseException | None:
    """Return what ended it early, if anything did."""
    held = where.open() if isinstance(where, Where) else contextlib.nullcontext(where)
    try:
        with held as workers:
            interrupts.borne = 1
            flow = Flow(workers, sweep.cells, {place: cost.seconds for place, cost in costs.items()})
            tally.run(flow, lambda: interrupts.count > 0)
            interrupts.borne = 2
    except (KeyboardInterrupt, NotWritten, ClusterLost, WorkersLost) as error:
        return error
    return KeyboardInterrupt() if interrupts.count else None


class _Interrupts:
    """Ctrl-C and SIGTERM: raised, but for the first while cells are computed, and two afterwards.

    For whoever presses twice is not to hit what comes after the cells, which takes a moment.
    """

    count, borne = 0, 0

    def __call__(self, *_: object) -> None:
        self.count += 1
        if self.count > self.borne:
            raise KeyboardInterrupt


@contextlib.contextmanager
def _listening() -> Iterator[_Interrupts]:
    """Hear interrupts; only the main thread can."""
    interrupts = _Interrupts()
    main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGINT, signal.SIGTERM) if main else ()
    before = {number: signal.signal(number, interrupts) for number in numbers}
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _other_environment(store: Store) -> list[str]:
    """Say what differs from where the run began; rounding may then differ too."""
    now = environment()
    changed = [f"{name} {store.facts[name]}" for name in now if store.facts.get(name, now[name]) != now[name]]
    if not changed:
        return []
    return [f"The run began under {', '.join(changed)}, this is another: results may differ in rounding."]
