"""What to run: one job for each claim and cell of a preset, and its share of the level."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rmttheory.arrays import HOST, InvalidInput, Placement, check_choice, check_count, check_interval
from rmttheory.studies.curves import Curve, limit_curve
from rmttheory.studies.pool import Task
from rmttheory.studies.tables import odd_values
from rmttheory.theorem.claims import METHOD, Cell, Claim, claims, find_claim
from rmttheory.theorem.judging import SUITE_LEVEL, Trials, judge, judge_proof, plan_trials, run_trials
from rmttheory.theorem.verdicts import Verdict

EFFORT = {"quick": 1, "standard": 5, "full": 10}
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
    placement : Placement
        Where layers drawn in full are drawn and decomposed.
    """

    claim: str
    cell: Cell
    trials: int
    alpha: float
    seed: int
    placement: Placement = HOST

    def pieces(self) -> tuple[Task, ...]:
        """Return the tasks that judge the claim."""
        if find_claim(self.claim).residuals is not None:
            return ((_prove, (self.claim, self.seed, self.alpha)),)
        count = min(PIECES, self.trials)
        bounds = [self.trials * i // count for i in range(count + 1)]
        return tuple(
            (_measure, (self.claim, self.cell, self.seed, start, stop, self.placement))
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


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A claim that is not judged in some cell, and why it cannot be.

    Attributes
    ----------
    claim : str
        An id, or ``id/control``.
    cell : mapping
        The parameters that were asked for; the others are typical.
    why : str
    """

    claim: str
    cell: Cell
    why: str


def plan(
    ids: Iterable[str] = (),
    *,
    preset: str = "quick",
    alpha: float = SUITE_LEVEL,
    seed: int = 0,
    widths: tuple[int, ...] = (),
    dense: bool = False,
    shares: int = 0,
    placement: Placement = HOST,
) -> tuple[Job, ...]:
    """Return the jobs that judge the claims ``ids``, or every registered one that can be as asked.

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
        ladder. Claims without a width are judged as they are; for the rest see `left_out`.
    dense : bool
        Draw layers in full where there is another way.
    shares : int
        Shares of the level kept for what is judged besides.
    placement : Placement
        As for `run_trials`.

    Raises
    ------
    InvalidInput
        For an unknown claim or preset, a level outside (0, 1/2), or widths that no claim, or a claim in
        ``ids``, can have.
    """
    check_choice(preset, "preset", EFFORT)
    check_interval(alpha, "alpha", low=0, high=0.5)
    check_count(seed, "seed", low=0)
    ids = tuple(ids)
    cells = []
    for claim in _chosen(ids):
        fitting, rest = _cells(claim, preset, widths, dense=dense)
        if ids and not fitting:
            msg = f"{claim.id} cannot be judged{_at(widths)}: {rest[0].why}"
            raise InvalidInput(msg)
        cells += [(claim, cell) for cell in fitting]
    if widths and not any("n" in cell for _, cell in cells):
        rule = "A statement at one width takes one value of `n`, one of a limit takes three or more."
        msg = f"{'None of these' if ids else 'No'} claims can be judged{_at(widths)}. {rule}"
        raise InvalidInput(msg)
    share = alpha / (len(cells) + shares)
    return tuple(
        Job(
            claim=claim.id,
            cell=cell,
            trials=plan_trials(claim, cell, alpha=share, effort=EFFORT[preset]),
            alpha=share,
            seed=seed,
            placement=placement,
        )
        for claim, cell in cells
    )


def left_out(
    ids: Iterable[str] = (), *, preset: str = "quick", widths: tuple[int, ...] = (), dense: bool = False
) -> tuple[LeftOut, ...]:
    """Return the cells of `plan` in which claims cannot be judged at these widths, or drawn in full."""
    return tuple(
        one for claim in _chosen(tuple(ids)) for one in _cells(claim, preset, widths, dense=dense)[1]
    )


def control_ids(ids: Iterable[str] = ()) -> tuple[str, ...]:
    """Return every control of the claims ``ids``, as ``claim/control``; single ones stay as they are.

    Raises
    ------
    InvalidInput
        For an unknown claim or control.
    """
    names: list[str] = []
    for name in ids or [claim.id for claim in claims()]:
        claim = find_claim(name)
        names += [f"{name}/{control}" for control in claim.controls] or [name] * ("/" in name)
    return tuple(names)


def plan_controls(
    ids: Iterable[str] = (),
    *,
    alpha: float = SUITE_LEVEL,
    seed: int = 0,
    dense: bool = False,
    placement: Placement = HOST,
) -> tuple[Job, ...]:
    """Return the jobs that judge every control of the claims ``ids``; each must be refuted.

    Parameters
    ----------
    ids : iterable of str
        Claims, all of whose controls are meant, or single controls as ``claim/control``.
    alpha, seed, dense, placement
        As for `plan`.

    Raises
    ------
    InvalidInput
        For an unknown claim or control, or a level outside (0, 1/2).
    """
    names = control_ids(ids)
    return plan(names, alpha=alpha, seed=seed, dense=dense, placement=placement) if names else ()


def _chosen(ids: tuple[str, ...]) -> list[Claim]:
    return [find_claim(name) for name in dict.fromkeys(ids)] or list(claims())


def _cells(
    claim: Claim, preset: str, widths: tuple[int, ...], *, dense: bool
) -> tuple[list[dict[str, Any]], list[LeftOut]]:
    """Return the distinct cells of a preset, in its order, and those that cannot be as asked."""
    known = {parameter.name: parameter for parameter in claim.parameters}
    asked: dict[str, Any] = {"method": "dense"} if dense and METHOD.name in known else {}
    if widths and "n" in known:
        ladder = isinstance(known["n"].typical, tuple)
        if ladder != (len(widths) > 1):
            wanted = "of a limit takes three widths or more" if ladder else "at one width takes one"
            why = f"A statement {wanted}."
            return [], [LeftOut(claim=claim.id, cell={}, why=why)]
        asked["n"] = widths if ladder else widths[0]
    cells: list[dict[str, Any]] = []
    rest = []
    for overrides in claim.grids.get(preset, ({},)):
        try:
            cell = claim.cell(**{**overrides, **asked})
        except InvalidInput as error:
            if not asked:
                raise
            rest.append(LeftOut(claim=claim.id, cell={**overrides, **asked}, why=str(error)))
            continue
        if cell not in cells:
            cells.append(cell)
    return cells, rest


def _at(widths: tuple[int, ...]) -> str:
    if len(widths) == 1:
        return f" at width {widths[0]:,}"
    return f" at widths {', '.join(map(str, widths))}" if widths else ""


def _measure(name: str, cell: Cell, seed: int, start: int, stop: int, placement: Placement) -> Trials:
    return run_trials(find_claim(name), cell, seed=seed, start=start, stop=stop, placement=placement)


def _prove(name: str, seed: int, alpha: float) -> Verdict:
    return judge_proof(find_claim(name), seed=seed, alpha=alpha)
