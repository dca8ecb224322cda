"""The main job: plan, run, keep what is found, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rmttheory.arrays import RmtError, check_count, find_placement
from rmttheory.networks.datasets import load_dataset
from rmttheory.studies.curves import Curve, plan_ladders
from rmttheory.studies.grid import Job, Judged, left_out, plan, plan_controls
from rmttheory.studies.records import Folder, NotWritten, Run, counterexample
from rmttheory.studies.runner import Watcher, Work, run
from rmttheory.studies.tables import left_out_sentences
from rmttheory.studies.trained import NetworkStudy, NetworkWork
from rmttheory.theorem.judging import SUITE_LEVEL
from rmttheory.theorem.verdicts import Outcome, Verdict

DATA = "fashion-mnist-3000"


@dataclass(frozen=True, kw_only=True, eq=False)
class Verification:
    """A run as far as it came.

    Attributes
    ----------
    run : Run
    stopped : BaseException or None
        What ended it early: an interrupt or an error whose text is a sentence.
    unwritten : NotWritten or None
        The first file that could not be written.
    folder : Path or None
        Where files were written.
    """

    run: Run
    stopped: BaseException | None = None
    unwritten: NotWritten | None = None
    folder: Path | None = None

    @property
    def status(self) -> int:
        """Exit status: 130 interrupted, 2 could not finish or write, 1 something refuted, 0 otherwise."""
        if isinstance(self.stopped, KeyboardInterrupt):
            return 130
        if self.stopped or self.unwritten:
            return 2
        return int(self.run.count(Outcome.REFUTED) > 0)

    @property
    def troubles(self) -> list[str]:
        """What went wrong, in sentences."""
        found = []
        kept = f"The {len(self.run.verdicts)} verdicts reached before are kept"
        if self.folder and not self.unwritten:
            kept += f" in {self.folder / 'verdicts.json'}"
        if isinstance(self.stopped, KeyboardInterrupt):
            found.append(f"Interrupted. {kept}.")
        elif self.stopped:
            found.append(f"Error: {self.stopped} {kept}.")
        if self.unwritten:
            found.append(f"Error: {self.unwritten} Verdicts are printed, but not all are on disk.")
        return found

    @property
    def report(self) -> Path | None:
        """The page, if it was written."""
        if self.folder is None or self.stopped or self.unwritten:
            return None
        return self.folder / "report.html"

    @property
    def all_refuted(self) -> bool:
        """Whether every verdict is a refutation, as it must be for controls."""
        return not self.run.partial and self.run.count(Outcome.REFUTED) == len(self.run.verdicts)

    @property
    def controls_sentence(self) -> str:
        """How many controls were refuted."""
        judged, refuted = len(self.run.verdicts), self.run.count(Outcome.REFUTED)
        if judged == refuted:
            return f"All {judged} controls were refuted, as they must be."
        return f"{refuted} of {judged} controls were refuted; all of them must be."


def verify_suite(
    ids: Iterable[str] = (),
    *,
    preset: str = "quick",
    seed: int = 0,
    workers: int = 1,
    alpha: float = SUITE_LEVEL,
    data: str | None = None,
    widths: tuple[int, ...] = (),
    dense: bool = False,
    device: str = "cpu",
    out: str | None = None,
    watcher: Watcher | None = None,
) -> Verification:
    """Judge claims on ensembles and on a network trained for the purpose.

    Parameters
    ----------
    ids : iterable of str
        Claims; none means every one.
    preset, seed, alpha, widths, dense
        As for `plan`.
    workers : int
        Processes; what is found does not depend on their number.
    data : str, optional
        Data set of the trained network. Without it a network is trained only if no ids are given.
    device : {"cpu", "cuda"}
        Where the network is trained, and layers drawn in full are drawn and decomposed; all else is judged on
        the host.
    out : str, optional
        Folder for ``verdicts.json``, which grows with the run, and for the report.
    watcher : Watcher, optional

    Raises
    ------
    InvalidInput
        If an argument cannot be used, before anything is computed. What stops the run later, Ctrl-C too,
        is in the result.
    Unavailable
        If ``device`` is a GPU that is not there.
    """
    ids, watcher = tuple(ids), watcher or Watcher()
    check_count(workers, "jobs")
    placement = find_placement(device)
    network = data is not None or not ids
    jobs = plan(
        ids,
        preset=preset,
        alpha=alpha,
        seed=seed,
        widths=widths,
        dense=dense,
        shares=int(network),
        placement=placement,
    )
    rest = left_out(ids, preset=preset, widths=widths, dense=dense)
    works: list[Work] = [*jobs, *plan_ladders(ids, seed=seed, alpha=jobs[0].alpha, dense=dense)]
    loaded = load_dataset(data or DATA).describe() if network else ""
    folder = Folder(out) if out else None
    for sentence in left_out_sentences(rest):
        watcher.note(sentence)
    if network:
        watcher.note(loaded)
        works.append(NetworkWork(data=data or DATA, seed=seed, alpha=jobs[0].alpha, device=device))
    facts = {
        "seed": seed,
        "preset": preset,
        "alpha": alpha,
        "shares": len(jobs) + network,
        "workers": workers,
        "left_out": rest,
        "placement": placement,
    }
    return _carry_out(works, _Keeper(works, facts, folder), watcher)


def verify_controls(
    ids: Iterable[str] = (),
    *,
    seed: int = 0,
    workers: int = 1,
    alpha: float = SUITE_LEVEL,
    dense: bool = False,
    device: str = "cpu",
    watcher: Watcher | None = None,
) -> Verification:
    """Judge the broken variants of claims, each of which must be refuted.

    Parameters
    ----------
    ids : iterable of str
        Claims or single controls, as ``claim/control``; none means every one.
    seed, workers, alpha, dense, device, watcher
        As for `verify_suite`.

    Raises
    ------
    InvalidInput
        If an argument cannot be used.
    Unavailable
        If ``device`` is a GPU that is not there.
    """
    check_count(workers, "jobs")
    placement = find_placement(device)
    jobs = plan_controls(ids, alpha=alpha, seed=seed, dense=dense, placement=placement)
    facts = {
        "seed": seed,
        "preset": "controls",
        "alpha": alpha,
        "shares": len(jobs),
        "workers": workers,
        "placement": placement,
    }
    return _carry_out(list(jobs), _Keeper(jobs, facts, None), watcher or Watcher())


def _carry_out(works: list[Work], keeper: _Keeper, watcher: Watcher) -> Verification:
    order = list(range(len(works)))
    if keeper.facts["workers"] > 1:
        order.sort(key=lambda index: not isinstance(works[index], NetworkWork))  # the longest task goes first
    stopped: BaseException | None = None
    try:
        found = run([works[index] for index in order], workers=keeper.facts["workers"], watcher=watcher)
        for place, result in found:
            keeper.keep(order[place], result)
        keeper.report(watcher)
    except (KeyboardInterrupt, RmtError) as error:
        stopped = error
    except MemoryError:
        stopped = RmtError("There is not enough memory for this; try smaller widths (--n) or fewer --jobs.")
    folder = keeper.folder.path if keeper.folder else None
    return Verification(run=keeper.run(), stopped=stopped, unwritten=keeper.unwritten, folder=folder)


@dataclass
class _Keeper:
    """Holds results as they come, and keeps the folder up to date."""

    planned: Sequence[Work]
    facts: dict[str, Any]
    folder: Folder | None
    unwritten: NotWritten | None = None
    results: dict[int, Any] = field(default_factory=dict)
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    clock: float = field(default_factory=time.perf_counter)

    def keep(self, index: int, result: Any) -> None:
        self.results[index] = result
        if isinstance(result, Judged) and result.verdict.counterexample is not None:
            self._write(f"counterexamples/{self._name(index)}.json", lambda: counterexample(result.verdict))
        self._write("verdicts.json", lambda: self.run().to_json())

    def report(self, watcher: Watcher) -> None:
        if self.folder is None or self.unwritten:
            return
        from rmttheory.studies.report import write_report

        watcher.note("Drawing figures and writing the report.")
        try:
            write_report(self.run(), self.folder)
        except NotWritten as error:
            self.unwritten = error
        self._write("verdicts.json", lambda: self.run().to_json())

    def run(self) -> Run:
        results = [self.results[index] for index in sorted(self.results)]
        judged = [result for result in results if isinstance(result, Judged)]
        studies = [result for result in results if isinstance(result, NetworkStudy)]
        verdicts: list[Verdict] = [item.verdict for item in judged]
        curves = [item.curve for item in judged if item.curve]
        return Run(
            **self.facts,
            verdicts=(*verdicts, *(verdict for study in studies for verdict in study.examination.verdicts)),
            curves=(*(result for result in results if isinstance(result, Curve)), *curves),
            network=studies[0] if studies else None,
            partial=len(self.results) < len(self.planned),
            started=self.started,
            seconds=time.perf_counter() - self.clock,
        )

    def _name(self, index: int) -> str:
        """Return a file name for a job: its claim, numbered where the claim has more than one cell."""
        claims = [work.claim for work in self.planned[: index + 1] if isinstance(work, Job)]
        name, earlier = claims[-1].replace("/", "."), claims.count(claims[-1]) - 1
        return f"{name}-{earlier + 1}" if earlier else name

    def _write(self, name: str, content: Callable[[], str]) -> None:
        if self.folder is None or self.unwritten:
            return
        try:
            self.folder.write(name, content())
        except NotWritten as error:
            self.unwritten = error
