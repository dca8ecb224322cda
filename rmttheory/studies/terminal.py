"""What people see while a run goes on and when it ends. Nothing but JSON ever goes to stdout beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from rmttheory.studies.grid import Judged
from rmttheory.studies.runner import Watcher
from rmttheory.studies.style import TERMINAL
from rmttheory.studies.sweeps import Progress as SweepProgress
from rmttheory.studies.sweeps import SweepWatcher
from rmttheory.studies.tables import HEADINGS, cell_text, control_rows, rows
from rmttheory.studies.trained import NetworkStudy
from rmttheory.theorem.verdicts import Verdict

PAGE = 140
"""Columns where there is no terminal to ask."""

MINUTE = 60.0
"""Seconds between lines on a sweep where there is no terminal."""


@contextmanager
def watching(*, quiet: bool) -> Iterator[Watcher]:
    """Show progress on stderr while the body runs: a bar on a terminal, plain lines elsewhere."""
    if quiet:
        yield Watcher()
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("tasks,"),
        TimeElapsedColumn(),
        TextColumn("gone,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield _Bar(console, progress)


class _Lines(Watcher):
    """A line for each verdict and note."""

    def __init__(self, console: Console) -> None:
        self.console = console

    def found(self, result: Any) -> None:
        verdicts: Sequence[Verdict] = ()
        if isinstance(result, Judged):
            verdicts = (result.verdict,)
        elif isinstance(result, NetworkStudy):
            verdicts = result.examination.verdicts
        for verdict in verdicts:
            color = TERMINAL[verdict.outcome]
            name = escape(f"{verdict.claim}{cell_text(verdict)}")
            self.console.print(
                f"[{color}]{verdict.outcome.value:<12}[/] {name}: [dim]{escape(verdict.why)}[/]"
            )

    def note(self, text: str) -> None:
        self.console.print(escape(text))


class _Bar(_Lines):
    """The same above a bar."""

    def __init__(self, console: Console, progress: Progress) -> None:
        super().__init__(console)
        self.progress = progress

    def start(self, tasks: int) -> None:
        self.task = self.progress.add_task("", total=tasks)

    def step(self) -> None:
        self.progress.advance(self.task)


@contextmanager
def watching_sweep(*, quiet: bool) -> Iterator[SweepWatcher]:
    """Show on stderr how far a sweep came while the body runs: a bar on a terminal, else a line a minute."""
    if quiet:
        yield SweepWatcher()
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield _Minutes(console)
        return
    with Progress(BarColumn(bar_width=30), TextColumn("{task.description}"), console=console) as progress:
        yield _SweepBar(console, progress)


class _Minutes(SweepWatcher):
    """Notes, and a line a minute."""

    def __init__(self, console: Console) -> None:
        self.console, self.last = console, monotonic()

    def note(self, text: str) -> None:
        self.console.print(escape(text))

    def progress(self, progress: SweepProgress) -> None:
        if monotonic() - self.last >= MINUTE:
            self.last = monotonic()
            self.note(progress.sentence)


class _SweepBar(_Minutes):
    """Notes above a bar."""

    def __init__(self, console: Console, bar: Progress) -> None:
        super().__init__(console)
        self.bar, self.task = bar, bar.add_task("")

    def progress(self, progress: SweepProgress) -> None:
        self.bar.update(
            self.task, total=progress.total, completed=progress.done, description=escape(progress.sentence)
        )


def print_verdicts(verdicts: Sequence[Verdict]) -> None:
    """Print the table of verdicts."""
    table = _table(*HEADINGS)
    for row in rows(verdicts):
        texts = [escape(text) for text in row.texts]
        texts[2] = f"[{TERMINAL[row.outcome]}]{row.outcome.value}[/]"
        table.add_row(*texts)
    _stdout().print(table)


def print_controls(verdicts: Sequence[Verdict]) -> None:
    """Print what each control breaks, whether it was seen, and with which probability it is."""
    table = _table("control", "what is broken", "power", "verdict")
    for verdict, (name, breaks, power) in zip(verdicts, control_rows(verdicts)):
        outcome = f"[{TERMINAL[verdict.outcome]}]{verdict.outcome.value}[/]"
        table.add_row(escape(name), escape(breaks), power, outcome)
    _stdout().print(table)


def print_table(headings: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    """Print plain rows."""
    table = _table(*headings)
    for line in lines:
        table.add_row(*(escape(str(text)) for text in line))
    _stdout().print(table)


def print_renderable(found: Any) -> None:
    """Print what lays itself out."""
    _stdout().print(found)


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in headings:
        right = heading in ("trials", "violations", "power")
        table.add_column(
            heading, justify="right" if right else "left", overflow="fold", no_wrap=heading == "verdict"
        )
    return table


def _stdout() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else PAGE)
