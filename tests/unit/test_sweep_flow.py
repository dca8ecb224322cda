"""Batches over workers: what comes back, in which company, and what happens when workers die."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from rmttheory.arrays import InvalidInput
from rmttheory.studies.pool import WorkersLost
from rmttheory.studies.records import environment
from rmttheory.studies.sweeps import (
    Sweep,
    SweepWatcher,
    Where,
    Workers,
    parse_sweep,
    read_progress,
    run_sweep,
)
from rmttheory.studies.sweeps import cells as cell_module
from rmttheory.studies.sweeps.executors import ClusterLost, check_workers
from rmttheory.studies.sweeps.flow import ALONE, TOGETHER, Flow
from rmttheory.studies.sweeps.store import Result, Store, read_results


def small(seeds: int) -> Sweep:
    text = f'[[grid]]\nclaim = "row_event_exact"\nn = 32\ntrials = 2\nseeds = {seeds}\n'
    return parse_sweep(text, name="small")


class Scripted(Executor):
    """Computes at once; the batches that hold a deadly seed break it instead."""

    def __init__(self, deadly: dict[int, int]) -> None:
        self.deadly, self.batches = deadly, list[list[int]]()

    def submit(self, _function: Any, cells: Any, /) -> Future[Any]:  # type: ignore[override]
        seeds = [cell["seed"] for cell in cells]
        self.batches.append(seeds)
        future: Future[Any] = Future()
        dying = [seed for seed in seeds if self.deadly.get(seed)]
        for seed in dying:
            self.deadly[seed] -= 1
        if dying:
            future.set_exception(BrokenExecutor())
        else:
            future.set_result([({"outcome": "consistent", "seed": seed}, 0.3) for seed in seeds])
        return future


class Renewed(Workers):
    def renew(self) -> None:
        pass


def carried_out(sweep: Sweep, executor: Executor, seconds: float = 0.3) -> Iterator[tuple[int, Any]]:
    flow = Flow(Renewed(executor, 2), sweep.cells, dict.fromkeys(range(len(sweep.cells)), seconds))
    for finished in flow.run(lambda: False):
        yield from ((place, document) for place, document, _ in finished)


def test_every_cell_comes_back_once() -> None:
    found = list(carried_out(small(50), executor := Scripted({})))
    assert sorted(place for place, _ in found) == list(range(50))
    assert all(document["seed"] == place for place, document in found)
    assert max(map(len, executor.batches)) == 4  # of 0.3 s, as many as make a second
    assert len(executor.batches[-1]) == 1  # the last are small, so that all workers end together


def test_many_workers_get_longer_batches() -> None:
    sweep, executor = small(3000), Scripted({})
    flow = Flow(Renewed(executor, 100), sweep.cells, dict.fromkeys(range(3000), 0.3))
    list(flow.run(lambda: False))
    assert len(executor.batches[0]) == 7  # of 0.3 s, as many as make two seconds: 50 batches a second


def test_long_cells_go_first() -> None:
    sweep, executor = small(6), Scripted({})
    flow = Flow(Renewed(executor, 1), sweep.cells, dict(enumerate([1, 9, 2, 8, 3, 7])))
    list(flow.run(lambda: False))
    assert [seed for batch in executor.batches for seed in batch] == [1, 3, 5, 4, 2, 0]


def test_a_death_costs_nothing_but_time() -> None:
    found = dict(carried_out(small(20), Scripted({3: 1, 11: TOGETHER})))
    assert sorted(found) == list(range(20))
    assert not any("failed" in document for document in found.values())


def test_a_deadly_cell_is_found_and_named_and_its_neighbours_are_computed() -> None:
    executor = Scripted({7: TOGETHER + ALONE, 8: TOGETHER + ALONE})
    found = dict(carried_out(small(20), executor))
    assert sorted(found) == list(range(20))
    assert {place for place, document in found.items() if "failed" in document} == {7, 8}
    assert "died again and again" in found[7]["failed"]
    assert executor.batches.count([7]) == executor.batches.count([8]) == ALONE


def test_workers_that_always_die_end_the_run() -> None:
    with pytest.raises(WorkersLost, match="keep dying"):
        list(carried_out(small(20), Scripted(dict.fromkeys(range(20), 1000))))


def test_a_stop_waits_for_what_runs_and_sends_no_more() -> None:
    sweep, executor = small(50), Scripted({})
    flow = Flow(Renewed(executor, 2), sweep.cells, dict.fromkeys(range(50), 1.0))
    finished = [place for some in flow.run(lambda: len(executor.batches) >= 3) for place, _, _ in some]
    assert len(executor.batches) == 3
    assert sorted(finished) == sorted(seed for batch in executor.batches for seed in batch)
    assert 0 < flow.left < 1


def test_any_executor_will_do(tmp_path) -> None:
    sweep = small(8)
    with ThreadPoolExecutor(1) as executor:
        run = run_sweep(sweep, tmp_path, where=Workers(executor, 1))
    assert (run.status, run.progress.done) == (0, 8)
    assert read_progress(tmp_path).complete


def test_an_executor_of_others_is_not_replaced(tmp_path) -> None:
    run = run_sweep(small(8), tmp_path, where=Workers(Scripted({3: 1}), 1))
    assert run.status == 2
    assert isinstance(run.stopped, ClusterLost)
    assert "lost its workers" in run.troubles[0]
    assert "resume" in run.troubles[0]


class Cluster:
    """What a Dask client says of its workers."""

    def __init__(self, threads: int, answer: Any) -> None:
        self.threads, self.answer = threads, answer

    def scheduler_info(self, n_workers: int) -> Any:
        assert n_workers == -1  # or Dask names five
        return {"workers": {"tcp://a": {"nthreads": self.threads}}}

    def run(self, function: Any, on_error: str) -> Any:
        assert (function, on_error) == (environment, "return")
        return {"tcp://a": self.answer}


@pytest.mark.parametrize(
    ("threads", "answer", "sentence"),
    [
        (2, environment(), "tcp://a has 2 threads.* --nthreads 1"),
        (1, {**environment(), "numpy": "1.0"}, "tcp://a has numpy 1.0 and this process"),
        (1, ModuleNotFoundError("No module named 'rmttheory'"), "cannot compute cells: No module named"),
    ],
)
def test_workers_that_would_compute_other_numbers_are_refused(
    threads: int, answer: Any, sentence: str
) -> None:
    with pytest.raises(InvalidInput, match=sentence):
        check_workers(Cluster(threads, answer))


def test_workers_that_compute_the_same_or_died_meanwhile_are_not_refused() -> None:
    check_workers(Cluster(1, environment()))
    check_workers(Cluster(1, OSError("Stream is closed")))


class KillOnce(SweepWatcher):
    """Kills a worker as soon as something is finished."""

    def __init__(self) -> None:
        self.killed = 0
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def progress(self, progress: Any) -> None:
        import multiprocessing

        if progress.done and not self.killed and (children := multiprocessing.active_children()):
            self.killed = int(children[0].pid or 0)
            os.kill(self.killed, signal.SIGKILL)


def test_a_killed_worker_changes_nothing_in_the_table(tmp_path) -> None:
    text = '[[grid]]\nclaim = "row_event_exact"\nn = 64\ntrials = 100\nseeds = 40\n'
    sweep, watcher = parse_sweep(text, name="killed"), KillOnce()
    run = run_sweep(sweep, tmp_path / "killed", where=Where(jobs=2), watcher=watcher)
    assert watcher.killed
    assert (run.status, run.progress.done) == (0, 40)
    calm = run_sweep(sweep, tmp_path / "calm", where=Where(jobs=1))
    assert calm.progress == read_progress(tmp_path / "killed") or calm.progress.done == 40
    assert read_results(tmp_path / "killed") == read_results(tmp_path / "calm")


def test_a_failed_cell_is_kept_with_its_sentence_and_can_be_tried_again(tmp_path, monkeypatch) -> None:
    sweep, judge = small(3), cell_module.judge

    def broken(*arguments: Any, seed: int, **options: Any) -> Any:
        if seed == 1:
            raise ZeroDivisionError("division by zero")
        return judge(*arguments, seed=seed, **options)

    monkeypatch.setattr(cell_module, "judge", broken)
    with ThreadPoolExecutor(1) as executor:
        run = run_sweep(sweep, tmp_path, where=Workers(executor, 1))
        assert (run.status, run.progress.counts) == (2, {"consistent": 2, "failed": 1})
        assert "1 cells failed" in run.troubles[0]
        assert "--failed" in run.troubles[0]
        assert [one.document.get("failed") for one in read_results(tmp_path)[0]] == [
            None, "ZeroDivisionError: division by zero", None,
        ]  # fmt: skip
        monkeypatch.undo()
        assert run_sweep(sweep, tmp_path, where=Workers(executor, 1)).progress.counts["failed"] == 1
        again = run_sweep(sweep, tmp_path, where=Workers(executor, 1), retry_failed=True)
    assert (again.status, again.progress.counts) == (0, {"consistent": 3})


def test_want_of_memory_is_a_sentence(tmp_path, monkeypatch) -> None:
    def too_large(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(cell_module, "judge", too_large)
    with ThreadPoolExecutor(1) as executor:
        run_sweep(small(1), tmp_path, where=Workers(executor, 1))
    (one,), _ = read_results(tmp_path)
    assert one.document["failed"] == "There is not enough memory for this cell."


def test_a_clock_that_goes_backwards_changes_nothing(tmp_path, monkeypatch) -> None:
    now = iter(range(10**9, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    notes = KillOnce()
    notes.killed = 1
    with ThreadPoolExecutor(1) as executor:
        run = run_sweep(small(20), tmp_path, where=Workers(executor, 1), watcher=notes)
    assert run.status == 0
    assert run.progress.rate is not None
    assert run.progress.rate > 0


def test_results_of_another_environment_are_noted(tmp_path) -> None:
    sweep = small(2)
    positions = {cell.key: place for place, cell in enumerate(sweep.cells)}
    with Store(tmp_path, positions) as store:
        store.add([Result(key=sweep.cells[0].key, position=0, document={"outcome": "consistent"})])
        store._connection.execute("UPDATE facts SET value = '1.0' WHERE name = 'numpy'")
        store._connection.commit()
    watcher = KillOnce()
    watcher.killed = 1
    with ThreadPoolExecutor(1) as executor:
        run_sweep(sweep, tmp_path, where=Workers(executor, 1), watcher=watcher)
    assert "The run began under numpy 1.0, this is another: results may differ in rounding." in watcher.notes
