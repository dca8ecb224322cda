"""Running works: each is cut into tasks, the tasks are computed anywhere, and their results joined again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from rmttheory.studies.pool import Task, compute


class Work(Protocol):
    """Something to be computed in pieces that do not depend on each other."""

    def pieces(self) -> Sequence[Task]:
        """Return the tasks, at least one."""

    def join(self, results: list[Any]) -> Any:
        """Make the result of the work from those of its pieces, in their order."""


class Watcher:
    """Told what happens while works run; this one does not care."""

    def start(self, tasks: int) -> None:
        """So many tasks are about to run."""

    def step(self) -> None:
        """One task ended."""

    def found(self, result: Any) -> None:
        """One work ended with this result."""

    def note(self, text: str) -> None:
        """Something the user should know, in a sentence."""


def run(
    works: Sequence[Work], *, workers: int = 1, watcher: Watcher | None = None
) -> Iterator[tuple[int, Any]]:
    """Compute ``works`` and yield ``(index, result)`` as each is finished.

    Results do not depend on ``workers``; the order in which they come does.

    Parameters
    ----------
    works : sequence of Work
    workers : int
        Number of processes; 1 computes in this one.
    watcher : Watcher, optional

    Raises
    ------
    WorkersLost
        If worker processes keep dying; what was yielded before stands.
    """
    watcher = watcher or Watcher()
    pieces = [
        (index, piece, task) for index, work in enumerate(works) for piece, task in enumerate(work.pieces())
    ]
    waiting: list[dict[int, Any]] = [{} for _ in works]
    due = [sum(owner == index for owner, _, _ in pieces) for index in range(len(works))]
    watcher.start(len(pieces))
    for number, result in compute([task for _, _, task in pieces], workers=workers, note=watcher.note):
        index, piece, _ = pieces[number]
        waiting[index][piece] = result
        watcher.step()
        if len(waiting[index]) == due[index]:
            joined = works[index].join([waiting[index].pop(i) for i in range(due[index])])
            watcher.found(joined)
            yield index, joined
