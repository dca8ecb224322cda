"""What to run: one job for each claim and cell of a preset, and its share of the level."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rmttheory.arrays import InvalidInput, check_choice, check_count, check_interval
from rmttheory.studies.curves import Curve, limit_curve
from rmttheory.studies.pool import Task
from rmttheory.studies.tables import odd_values
from rmttheory.theorem.claims import Cell, Claim, claims, find_claim
from rmttheory.theorem.judging import SUITE_LEVEL, Trials, judge, judge_proof, plan_trials, run_trials
from rmttheory.theorem.verdicts import Verdict

EFFORT = {"quick": 1, "standard": 5, "full": 25}
"""Multiplies the trials of exact and limit statements; those of the others follow from level and power."""

PIECES = 16
"""Tasks that one job is cut into. Fixed, so that tasks are the same whatever the number of workers."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A verdict and, for a limit statement, the errors along its ladder of widths."""

    verdict: Verdict
    curve: Curve | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """One claim to be judged in one cell, with everything fixed before the run.

    Attributes
    ----------
    claim : str
        An id, or ``id/control``.
    cell : mapping
        Value of every parameter.
    trials : int
    alpha : float
        This job's share of the level of the whole run.
    seed : int
    """

    claim: str
    cell: Cell
    trials: int
    alpha: float
    seed: int

    def pieces(self) -> tuple[Task, ...]:
        """Return the tasks that judge the claim."""
        if find_claim(self.claim).residuals is not None:
            return ((_prove, (self.claim, self.seed, self.alpha)),)
        count = min(PIECES, self.trials)
        bounds = [self.trials * i // count for i in range(count + 1)]
        return tuple(
            (_measure, (self.claim, self.cell, self.seed, start, stop))
            for start, stop in itertools.pairwise(bounds)
        )

    def join(self, results: list[Any]) -> Judged:
        """Judge the trials of all pieces."""
        if isinstance(results[0], Verdict):
            return Judged(verdict=results[0])
        claim, trials = find_claim(self.claim), Trials.concatenate(results)
        verdict = judge(claim, self.cell, trials, seed=self.seed, alpha=self.alpha)
        curve = limit_curve(claim, odd_values(verdict), trials, alpha=self.alpha)
        return Judged(verdict=verdict, curve=curve)


def plan(
    ids: Iterable[str] = (),
    *,
    preset: str = "quick",
    alpha: float = SUITE_LEVEL,
    seed: int = 0,
    widths: tuple[int, ...] = (),
    shares: int = 0,
) -> tuple[Job, ...]:
    """Return the jobs that judge the claims ``ids``, or every registered one.

    Parameters
    ----------
    ids : iterable of str
        Claim ids, or ``id/control``.
    preset : {"quick", "standard", "full"}
        Which cells are judged, and with how many trials.
    alpha : float
        Level of the whole run; every job gets an equal share.
    seed : int
    widths : tuple of int
        Replaces the width ``n``: one value for the claims at one width, three or more for those along a
        ladder. Claims of the other sort keep theirs.
    shares : int
        Shares of the level kept for what is judged besides.

    Raises
    ------
    InvalidInput
        For an unknown claim or preset, a level outside (0, 1/2), or widths that no claim takes.
    """
    check_choice(preset, "preset", EFFORT)
    check_interval(alpha, "alpha", low=0, high=0.5)
    check_count(seed, "seed", low=0)
    chosen = [find_claim(name) for name in dict.fromkeys(ids)] or list(claims())
    cells = [(claim, cell) for claim in chosen for cell in _cells(claim, preset, widths)]
    if widths and not any(_width_of(claim, widths) for claim in chosen):
        given = ", ".join(map(str, widths))
        wanted = "a claim at one width takes one value of `n`, a limit statement takes at least 3"
        msg = f"None of these claims takes the width {given}: {wanted}."
        raise InvalidInput(msg)
    share = alpha / (len(cells) + shares)
    return tuple(
        Job(
            claim=claim.id,
            cell=cell,
            trials=plan_trials(claim, cell, alpha=share, effort=EFFORT[preset]),
            alpha=share,
            seed=seed,
        )
        for claim, cell in cells
    )


def plan_controls(ids: Iterable[str] = (), *, alpha: float = SUITE_LEVEL, seed: int = 0) -> tuple[Job, ...]:
    """Return the jobs that judge every control of the claims ``ids``; each must be refuted.

    Parameters
    ----------
    ids : iterable of str
        Claims, all of whose controls are meant, or single controls as ``claim/control``.
    alpha, seed : float, int
        As for `plan`.

    Raises
    ------
    InvalidInput
        For an unknown claim or control, or a level outside (0, 1/2).
    """
    names = []
    for name in ids or [claim.id for claim in claims()]:
        claim = find_claim(name)
        names += [f"{name}/{control}" for control in claim.controls] or [name] * ("/" in name)
    return plan(names, alpha=alpha, seed=seed) if names else ()


def _cells(claim: Claim, preset: str, widths: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return the distinct cells of a preset, in its order."""
    given = [{**cell, **_width_of(claim, widths)} for cell in claim.grids.get(preset, ({},))]
    cells: list[dict[str, Any]] = []
    for cell in (claim.cell(**overrides) for overrides in given):
        if cell not in cells:
            cells.append(cell)
    return cells


def _width_of(claim: Claim, widths: tuple[int, ...]) -> Mapping[str, Any]:
    for parameter in claim.parameters:
        if parameter.name == "n" and widths and isinstance(parameter.typical, tuple) == (len(widths) > 1):
            return {"n": widths if len(widths) > 1 else widths[0]}
    return {}


def _measure(name: str, cell: Cell, seed: int, start: int, stop: int) -> Trials:
    return run_trials(find_claim(name), cell, seed=seed, start=start, stop=stop)


def _prove(name: str, seed: int, alpha: float) -> Verdict:
    return judge_proof(find_claim(name), seed=seed, alpha=alpha)
