"""Runs that may be looked at after every trial, stopped, and taken up again, without spoiling their level.

The limits of a probability here are those ``p`` that `log_mixture` does not exclude; they hold at all times
at once, where those of Clopper and Pearson hold at a time fixed in advance.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Any

from rmttheory.arrays import InvalidInput, check_count, check_interval, find_placement
from rmttheory.theorem.claims import Claim, find_claim
from rmttheory.theorem.judging import SUITE_LEVEL, judge, run_trials
from rmttheory.theorem.verdicts import Band, Kind, Outcome, Verdict, log_mixture

_GROWTH = 10
"""A look comes when trials have grown by a tenth, so that looking stays cheap, however long the run."""
_NEXT_TO_ONE = 1 - 2.0**-53


def anytime_limits(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Confidence limits of a probability after ``k`` events in ``n`` trials, valid at all ``n`` at once.

    That they ever exclude the truth, one or the other, has probability ``alpha`` at most.
    """
    from scipy.optimize import brentq

    def surplus(p: float) -> float:  # negative from one limit to the other, least at k / n
        return log_mixture(k, n, p) + math.log(alpha)

    seen = k / n if n else 0.5
    lower = 0.0 if k == 0 else float(brentq(surplus, 1e-300, seen, xtol=1e-14, maxiter=2000))
    if k == n or surplus(_NEXT_TO_ONE) <= 0:
        return lower, 1.0
    return lower, float(brentq(surplus, seen, _NEXT_TO_ONE, xtol=1e-14, maxiter=2000))


def monitor(
    claim: str | Claim,
    *,
    after: Verdict | None = None,
    batch: int = 100,
    most: int = 1_000_000,
    seed: int = 0,
    alpha: float = SUITE_LEVEL,
    device: str = "cpu",
    **parameters: Any,
) -> Iterator[Verdict]:
    """Judge one claim in one cell for as long as you like: yield the verdict on all trials so far.

    Stop taking verdicts whenever you want; each has the full level, also if that depends on what was seen.
    It ends by itself once the claim is decided or ``most`` trials are reached.

    Parameters
    ----------
    claim : str or Claim
        An id, or ``id/control`` for a broken variant; no limit statement and no symbolic identity.
    after : Verdict, optional
        Where an earlier run of the same claim, cell, seed and level stopped.
    batch : int
        Trials before the first look; later looks come as the run has grown by a tenth.
    most : int
        Trials after which to end, undecided.
    seed, alpha, device, **parameters
        As for `verify`.

    Yields
    ------
    Verdict
        Its limits are those of `anytime_limits`, and ``p_value`` is ``1 / e_value``.

    Raises
    ------
    InvalidInput
        For a claim without trials to count, or an ``after`` that is another run.
    Unavailable
        If ``device`` is a GPU that is not there.
    """
    from threadpoolctl import threadpool_limits

    if isinstance(claim, str):
        claim = find_claim(claim)
    if claim.kind is Kind.LIMIT or claim.residuals is not None:
        msg = f"{claim.id} cannot be judged as trials come in: it is no statement about single trials."
        raise InvalidInput(msg)
    cell = claim.cell(**parameters)
    check_interval(alpha, "alpha", low=0, high=0.5)
    check_count(batch, "batch")
    check_count(most, "most")
    placement = find_placement(device)
    if after is not None and _run(after) != (claim.id, cell, seed, alpha):
        msg = f"The earlier run is of {after.claim} with other parameters, seed or level than asked for now."
        raise InvalidInput(msg)
    total = after
    while total is None or (total.trials < most and total.outcome not in _DECIDED):
        start = total.trials if total else 0
        stop = min(start + max(batch, start // _GROWTH), most)
        with threadpool_limits(limits=1, user_api="blas"):
            trials = run_trials(claim, cell, seed=seed, start=start, stop=stop, placement=placement)
        new = judge(claim, cell, trials, seed=seed, alpha=alpha)
        if new.counterexample is not None:
            new = dataclasses.replace(new, counterexample=start + new.counterexample)
        total = _decide(claim.failure(cell), _add(total, new) if total else new)
        yield total


_DECIDED = (Outcome.CERTIFIED, Outcome.REFUTED)


def _run(verdict: Verdict) -> tuple[Any, ...]:
    return verdict.claim, dict(verdict.cell), verdict.seed, verdict.alpha


def _add(total: Verdict, new: Verdict) -> Verdict:
    """Return ``new`` with what ``total`` counted added; a median of both cannot be had, and is left out."""
    counts = ("trials", "admissible", "informative", "violations", "seconds")
    ratios = [ratio for ratio in (total.worst_ratio, new.worst_ratio) if ratio is not None]
    return dataclasses.replace(
        new,
        **{name: getattr(total, name) + getattr(new, name) for name in counts},
        worst_ratio=max(ratios, default=None),
        median_ratio=None,
        speaks_at=new.speaks_at or total.speaks_at,
        hypotheses={name: min(total.hypotheses[name], value) for name, value in new.hypotheses.items()},
    )


def _decide(band: Band, seen: Verdict) -> Verdict:
    """Return the verdict on what was counted, by limits that hold at any time."""
    k, n = seen.violations, seen.admissible
    if seen.kind is Kind.EXACT:
        why = f"No counterexample in {n} admissible trials." if not k else seen.why
        outcome = Outcome.REFUTED if k else Outcome.CONSISTENT if n else Outcome.INAPPLICABLE
        if outcome is Outcome.CONSISTENT and not seen.informative:
            outcome, why = Outcome.VACUOUS, seen.why
        return dataclasses.replace(seen, outcome=outcome, why=why)
    lower, upper = anytime_limits(k, n, seen.alpha)
    e = band.e_value(k, n)
    if lower > band.high or upper < band.low:
        outcome = Outcome.REFUTED
    elif n == 0:
        outcome = Outcome.INAPPLICABLE
    elif not seen.informative:
        outcome = Outcome.VACUOUS
    elif band.low < band.high and upper <= band.high and (band.low == 0 or lower >= band.low):
        outcome = Outcome.CERTIFIED
    else:
        outcome = Outcome.CONSISTENT if band.low == band.high else Outcome.UNDECIDED
    return dataclasses.replace(
        seen,
        outcome=outcome,
        why=f"{k} of {n} trials so far; failure probability within [{lower:.3g}, {upper:.3g}] at any time; "
        f"evidence against the claim {e:.3g}.",
        lower=lower,
        upper=upper,
        p_value=min(1.0, 1 / e) if e else 1.0,
        e_value=e,
    )
