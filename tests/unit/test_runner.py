"""Works are cut into tasks and joined again, in order, whatever ends first."""

from __future__ import annotations

from typing import Any

import pytest

from rmttheory.studies.runner import Watcher, run


def part(work: int, piece: int) -> tuple[int, int]:
    return work, piece


class Parts:
    def __init__(self, number: int, pieces: int) -> None:
        self.number, self.count = number, pieces

    def pieces(self) -> list[Any]:
        return [(part, (self.number, i)) for i in range(self.count)]

    def join(self, results: list[Any]) -> Any:
        return results


class Log(Watcher):
    def __init__(self) -> None:
        self.tasks = self.steps = 0
        self.results: list[Any] = []

    def start(self, tasks: int) -> None:
        self.tasks = tasks

    def step(self) -> None:
        self.steps += 1

    def found(self, result: Any) -> None:
        self.results.append(result)


@pytest.mark.parametrize("workers", [1, 2])
def test_each_work_is_joined_from_its_own_pieces_in_order(workers: int) -> None:
    works = [Parts(0, 3), Parts(1, 1), Parts(2, 7)]
    log = Log()
    found = dict(run(works, workers=workers, watcher=log))
    assert found == {work.number: [(work.number, i) for i in range(work.count)] for work in works}
    assert (log.tasks, log.steps) == (11, 11)
    assert sorted(log.results) == sorted(found.values())


def test_nothing_to_do_is_done() -> None:
    assert list(run([], workers=1)) == []
    assert list(run([], workers=2)) == []
