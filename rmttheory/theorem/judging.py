"""From claims to verdicts: trials are planned, drawn and measured, then judged.

Cases that miss a hypothesis are dropped, and the rest says what it shows. Everything random is named by
(seed, claim, cell, trial), so a verdict does not depend on how the trials are spread over processes.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HOST, HostArray, Placement, Stream, check_count, check_interval, find_placement
from rmttheory.theorem.claims import METHOD, Case, Cell, Claim, drawn_by, find_claim
from rmttheory.theorem.proofs import prove
from rmttheory.theorem.verdicts import Band, Kind, Outcome, Verdict, clopper_pearson, fit_slope, trials_needed

SUITE_LEVEL = 1e-6
"""Level of a whole suite, split over its verdicts."""
POWER = 0.95


@dataclass(frozen=True, kw_only=True, eq=False)
class Trials:
    """What a run of trials measured, one row a trial; ``concatenate`` joins rows of several workers."""

    widths: HostArray
    left: HostArray
    right: HostArray
    trivial: HostArray
    slack: HostArray
    speaks_at: HostArray
    margins: HostArray
    """``(trials, hypotheses)``; a trial is admissible if its row has no negative entry."""
    seconds: float = 0.0

    @staticmethod
    def concatenate(parts: list[Trials]) -> Trials:
        """Join rows in the order given."""
        columns = ("widths", "left", "right", "trivial", "slack", "speaks_at", "margins")
        joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
        return Trials(**joined, seconds=sum(part.seconds for part in parts))


def plan_trials(claim: Claim, cell: Cell, *, alpha: float, effort: int = 1) -> int:
    """Number of trials fixed before the run: from level and power, or from the claim and ``effort``."""
    if claim.residuals is not None:
        return 1
    if _is_probability(claim):
        return trials_needed(claim.failure(cell), alpha, power=POWER)
    return claim.trials * effort


def run_trials(
    claim: Claim, cell: Cell, *, seed: int, start: int, stop: int, placement: Placement = HOST
) -> Trials:
    """Draw and measure the trials ``start <= i < stop``; a pure function of its arguments.

    Everywhere the same numbers are drawn, so a trial differs between placements by rounding alone.
    """
    clock = time.perf_counter()
    draws = (_draw(claim, cell, seed=seed, trial=i, placement=placement) for i in range(start, stop))
    rows = [_measure(claim, *draw) for draw in draws]
    columns = np.array([row[:6] for row in rows], dtype=float).reshape(-1, 6).T
    margins = np.array([row[6] for row in rows], dtype=float).reshape(len(rows), len(claim.hypotheses))
    names = ("widths", "left", "right", "trivial", "slack", "speaks_at")
    return Trials(**dict(zip(names, columns)), margins=margins, seconds=time.perf_counter() - clock)


def _draw(
    claim: Claim, cell: Cell, *, seed: int, trial: int, placement: Placement = HOST
) -> tuple[float, Case]:
    ladder = cell.get("n")
    if isinstance(ladder, tuple):
        cell = {**cell, "n": ladder[trial % len(ladder)]}
    stream = Stream(seed, placement=placement if claim.on_device else HOST).child(
        claim.id, repr(sorted(cell.items())), trial
    )
    return float(cell.get("n", 0)), claim.draw(cell, stream)


def _measure(claim: Claim, width: float, case: Case) -> tuple[Any, ...]:
    left, right, trivial = claim.left(case), claim.right(case), claim.trivial(case)
    speaks_at = claim.speaks_at(case) if claim.speaks_at and not right < trivial else math.nan
    margins = [hypothesis.check(case).margin for hypothesis in claim.hypotheses]
    return width, left, right, trivial, claim.rounding(case), speaks_at, margins


def replay(name: str, *, cell: Cell, seed: int, trial: int) -> tuple[Case, float, float]:
    """Draw one trial again; return the case, its left and its right side."""
    claim = find_claim(name)
    _, case = _draw(claim, claim.cell(**cell), seed=seed, trial=trial)
    return case, claim.left(case), claim.right(case)


def judge(claim: Claim, cell: Cell, trials: Trials, *, seed: int, alpha: float) -> Verdict:
    """Say what measured trials show about ``claim``, at level ``alpha``."""
    admissible = np.all(trials.margins >= 0, axis=1)
    informative = admissible & (trials.right < trials.trivial)
    # a side that is not a number is a violation: the bound did not hold in arithmetic either
    violated = admissible & ~(trials.left <= trials.right + trials.slack)
    n, k = int(admissible.sum()), int(violated.sum())
    facts: dict[str, Any] = {
        "claim": claim.id,
        "kind": claim.kind,
        "cell": dict(cell),
        "trials": len(trials.left),
        "admissible": n,
        "informative": int(informative.sum()),
        "violations": 0 if claim.kind is Kind.LIMIT else k,
        "allowed": claim.failure(cell).high,
        "alpha": alpha,
        "seed": seed,
        "seconds": trials.seconds,
        "path": drawn_by(cell) if METHOD.name in cell else "",
        "hypotheses": {
            hypothesis.id: float(trials.margins[:, i].min(initial=math.inf))
            for i, hypothesis in enumerate(claim.hypotheses)
        },
    }
    if n == 0:
        return Verdict(**facts, outcome=Outcome.INAPPLICABLE, why=Outcome.INAPPLICABLE.sentence)
    if claim.kind is Kind.LIMIT:
        return Verdict(**facts, **_judge_limit(claim, trials, admissible, alpha))
    facts |= _ratios(trials, admissible)
    if claim.kind is Kind.EXACT and k:
        first = int(np.flatnonzero(violated)[0])
        why = f"Trial {first} breaks it: left {trials.left[first]:.6g} > right {trials.right[first]:.6g}."
        return Verdict(**facts, outcome=Outcome.REFUTED, why=why, counterexample=first)
    if claim.kind is not Kind.EXACT:
        facts |= _judge_probability(claim.failure(cell), k, n, alpha)
    else:
        facts |= {"outcome": Outcome.CONSISTENT, "why": f"No counterexample in {n} admissible trials."}
    if facts["outcome"] is not Outcome.REFUTED and not informative.any():
        facts |= {"outcome": Outcome.VACUOUS, **_where_it_speaks(trials, admissible)}
    return Verdict(**facts)


def _is_probability(claim: Claim) -> bool:
    return claim.kind is Kind.TAIL or (claim.kind is Kind.IDENTITY and claim.residuals is None)


def _judge_probability(band: Band, k: int, n: int, alpha: float) -> dict[str, Any]:
    lower, upper = clopper_pearson(k, n, alpha)
    claimed = f"{band.high:g}" if band.low in (0, band.high) else f"{band.low:g} to {band.high:g}"
    seen = f"{k} of {n} trials; failure probability within [{lower:.3g}, {upper:.3g}], claimed {claimed}."
    if band.refuted(k, n, alpha):
        outcome = Outcome.REFUTED
    elif band.low < band.high and band.certified(k, n, alpha):
        outcome = Outcome.CERTIFIED
    else:
        outcome = Outcome.CONSISTENT if band.low == band.high else Outcome.UNDECIDED
    values = {"p_value": band.p_value(k, n), "e_value": band.e_value(k, n)}
    return {"outcome": outcome, "why": seen, "lower": lower, "upper": upper, **values}


def _judge_limit(claim: Claim, trials: Trials, admissible: HostArray, alpha: float) -> dict[str, Any]:
    """Regress log left on log width; between "no decay" and the claimed rate the line is drawn half way."""
    broken = np.flatnonzero(admissible & ~np.isfinite(trials.left))
    if len(broken):
        first = int(broken[0])
        return {"outcome": Outcome.REFUTED, "why": f"The error of trial {first} is {trials.left[first]}."}
    if len(np.unique(trials.widths[admissible])) < 2:
        return {"outcome": Outcome.UNDECIDED, "why": "The hypotheses were met at one width only."}
    slope = fit_slope(trials.widths[admissible], trials.left[admissible], alpha=alpha, claimed=-claim.rate)
    seen = f"slope {slope.value:.2f} in [{slope.low:.2f}, {slope.high:.2f}], claimed {slope.claimed:.3g}."
    if slope.low > slope.claimed / 2:
        return {"outcome": Outcome.REFUTED, "why": f"Does not decay as claimed: {seen}", "slope": slope}
    if slope.high < slope.claimed / 2:
        return {"outcome": Outcome.CONSISTENT, "why": f"Decays along the ladder: {seen}", "slope": slope}
    return {"outcome": Outcome.UNDECIDED, "why": f"The ladder does not decide: {seen}", "slope": slope}


def _ratios(trials: Trials, admissible: HostArray) -> dict[str, Any]:
    """Tightness, with the floating-point slack on the right: above 1 exactly where the claim is violated."""
    left, right = trials.left[admissible], (trials.right + trials.slack)[admissible]
    usable = (right > 0) & np.isfinite(right) & ~np.isnan(left)
    if not usable.any():
        return {}
    ratios = left[usable] / right[usable]
    return {"worst_ratio": float(ratios.max()), "median_ratio": float(np.median(ratios))}


def _where_it_speaks(trials: Trials, admissible: HostArray) -> dict[str, Any]:
    widths = trials.speaks_at[admissible]
    if np.isnan(widths).all():
        return {"why": Outcome.VACUOUS.sentence}
    width = float(np.nanmedian(widths))
    rounded = float(f"{width:.2g}")
    when = f"from width {rounded:,.0f}" if rounded < 1e7 else f"from width {rounded:g}"
    when = "at no width" if math.isinf(width) else when
    return {"why": f"The bound says nothing at this size; it would speak {when}.", "speaks_at": width}


def verify(
    claim: str | Claim,
    *,
    trials: int | str = "auto",
    seed: int = 0,
    alpha: float = SUITE_LEVEL,
    device: str = "cpu",
    **parameters: Any,
) -> Verdict:
    """Judge one claim in one cell.

    Parameters
    ----------
    claim : str or Claim
        An id, or ``id/control`` for a broken variant.
    trials : int or "auto"
        Fixed before the run; "auto" computes it from the claim's failure probability, level and power.
    seed : int
    alpha : float
        Level: the probability with which a true claim may be refuted, or a false one certified.
    device : {"cpu", "cuda"}
        Where layers drawn in full are drawn and decomposed, if the claim is one of these (`Claim.on_device`).
    **parameters
        Values of the claim's parameters; the others take typical ones.

    Returns
    -------
    Verdict
        Its `outcome`, `why` in a sentence, and the evidence.

    Raises
    ------
    InvalidInput
        For an unknown claim or parameter, or a value out of range.
    Unavailable
        If ``device`` is a GPU that is not there.
    """
    from threadpoolctl import threadpool_limits

    if isinstance(claim, str):
        claim = find_claim(claim)
    cell = claim.cell(**parameters)
    check_interval(alpha, "alpha", low=0, high=0.5)
    check_count(seed, "seed", low=0)
    placement = find_placement(device)
    if claim.residuals is not None:
        return judge_proof(claim, seed=seed, alpha=alpha)
    count = plan_trials(claim, cell, alpha=alpha) if trials == "auto" else check_count(trials, "trials")  # type: ignore[arg-type]
    # more threads slow matrices of this size down, by a factor of ten on a busy machine
    with threadpool_limits(limits=1, user_api="blas"):
        measured = run_trials(claim, cell, seed=seed, start=0, stop=count, placement=placement)
    return judge(claim, cell, measured, seed=seed, alpha=alpha)


def judge_proof(claim: Claim, *, seed: int, alpha: float) -> Verdict:
    """Judge a symbolic identity: proved, refuted at a rational point, or beyond the simplifier."""
    clock = time.perf_counter()
    outcome, why = prove(claim.residuals() if claim.residuals else ())
    return Verdict(
        claim=claim.id,
        kind=claim.kind,
        cell={},
        outcome=outcome,
        why=why,
        trials=1,
        admissible=1,
        informative=1,
        violations=int(outcome is Outcome.REFUTED),
        allowed=0.0,
        alpha=alpha,
        hypotheses={},
        seed=seed,
        seconds=time.perf_counter() - clock,
    )
