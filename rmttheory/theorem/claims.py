"""A statement as an object, and how it is judged.

A `Claim` says how to draw a random case, what its two sides are there, what is known without it and
which hypotheses it needs. `verify` draws cases, drops those that miss a hypothesis, and says what the
rest shows. Everything random is named by (seed, claim, cell, trial), so a verdict does not depend on
how the trials are spread over processes.
"""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Stream, check_choice, check_count, check_interval
from rmttheory.theorem.hypotheses import Hypothesis
from rmttheory.theorem.verdicts import Band, Kind, Outcome, Slope, Verdict, clopper_pearson, trials_needed

Cell = Mapping[str, Any]
Case = Any
SUITE_LEVEL = 1e-6
POWER = 0.95


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a claim's domain: its meaning, range and usual value.

    A ``typical`` tuple is a ladder of widths (limit statements only).
    """

    name: str
    meaning: str
    typical: Any
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Return ``value`` as this parameter takes it, or raise `InvalidInput`."""
        if isinstance(self.typical, tuple):
            steps = value if isinstance(value, (tuple, list)) else (value,)
            step = replace(self, typical=self.typical[0])
            ladder = tuple(step.check(width) for width in steps)
            if len(set(ladder)) < 3:
                wanted = f"a ladder of 3 different widths or more, such as {self.typical}"
                msg = f"`{self.name}` must be {wanted}, not {value!r}."
                raise InvalidInput(msg)
            return ladder
        if self.choices:
            return check_choice(value, self.name, self.choices)
        if isinstance(self.typical, str):
            return str(value)
        number = check_interval(value, self.name, low=self.low, high=self.high, closed="both")
        if not isinstance(self.typical, int):
            return number
        if not number.is_integer():
            msg = f"`{self.name}` must be a whole number, not {value!r}."
            raise InvalidInput(msg)
        return int(number)


@dataclass(frozen=True, kw_only=True)
class Control:
    """A broken variant of a claim that `verify` must refute.

    Parameters
    ----------
    breaks : str
        One sentence: what is broken, and so what the claim's evidence can see.
    changes : mapping
        Fields of the claim to replace.
    cell : mapping
        Parameters to replace.
    """

    breaks: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    cell: Cell = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A hypothesis-conclusion statement that can be judged.

    Parameters
    ----------
    id : str
        Stable name, used on the command line, in records and in the docs.
    kind : Kind
    statement : str
        One sentence, LaTeX between dollar signs.
    source : str
        Which theorem of which paper; "derived here" where it is ours.
    parameters : tuple of Parameter
    draw : callable (cell, stream) -> case
        One random case; limit statements get one width of the ladder in ``cell["n"]``.
    left, right : callable case -> float
        The claim is ``left <= right``. A limit statement claims ``left -> 0``; its right side is 1.
    trivial : callable case -> float
        A bound known without the theorem; the trial is informative if ``right < trivial``.
    rounding : callable case -> float
        Floating-point slack, derived from sizes and dtype.
    failure : callable cell -> Band
        Claimed probability of ``left > right``.
    rate : float
        Claimed exponent of a limit statement: ``left ~ n ** -rate``.
    trials : int
        Default number of trials where it does not follow from the level (exact and limit statements).
    residuals : callable () -> tuple of SymPy expressions, optional
        For a symbolic identity: they must all vanish.
    witness : callable () -> case, optional
        A case with ``left / right >= witness_ratio``; else ``loose_because`` says why none exists.
    speaks_at : callable case -> float, optional
        The width at which the bound would fall below ``trivial``.
    grids : mapping of preset to tuple of cells
        Parameter overrides to judge; the typical cell if absent.
    reconstructed : bool
        True where the statement is our reconstruction of a paper's theorem.
    """

    id: str
    kind: Kind
    statement: str
    source: str
    hypotheses: tuple[Hypothesis, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    draw: Callable[[Cell, Stream], Case] = lambda cell, stream: None  # noqa: ARG005
    left: Callable[[Case], float] = lambda case: 0.0  # noqa: ARG005
    right: Callable[[Case], float] = lambda case: 1.0  # noqa: ARG005
    trivial: Callable[[Case], float] = lambda case: math.inf  # noqa: ARG005
    rounding: Callable[[Case], float] = lambda case: 0.0  # noqa: ARG005
    failure: Callable[[Cell], Band] = lambda cell: Band(high=0.0)  # noqa: ARG005
    rate: float = 0.5
    trials: int = 200
    residuals: Callable[[], tuple[Any, ...]] | None = None
    witness: Callable[[], Case] | None = None
    witness_ratio: float = 0.99
    loose_because: str = ""
    speaks_at: Callable[[Case], float] | None = None
    controls: Mapping[str, Control] = field(default_factory=dict)
    grids: Mapping[str, tuple[Cell, ...]] = field(default_factory=dict)
    reconstructed: bool = False

    def cell(self, **given: Any) -> dict[str, Any]:
        """Return a full cell: typical values with ``given`` ones in their place.

        Raises
        ------
        InvalidInput
            If a parameter is unknown or out of range.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            check_choice(name, f"parameter of {self.id}", known)
        return {name: p.check(given[name]) if name in given else p.typical for name, p in known.items()}

    def broken(self, name: str) -> Claim:
        """Return the variant that the control ``name`` describes."""
        control = self.controls[check_choice(name, f"control of {self.id}", self.controls)]
        cell = self.cell(**control.cell)
        typical = tuple(replace(p, typical=cell[p.name]) for p in self.parameters)
        return replace(
            self,
            **{
                "parameters": typical,
                **control.changes,
                "id": f"{self.id}/{name}",
                "controls": {},
                "grids": {},
            },
        )


@functools.cache
def registry() -> Mapping[str, Claim]:
    """All claims by id: every ``CLAIMS`` of every module in ``theorem/statements``."""
    from rmttheory.theorem import statements

    found: dict[str, Claim] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(statements.__path__)):
        for claim in importlib.import_module(f"{statements.__name__}.{module}").CLAIMS:
            if claim.id in found:
                msg = f"The claim {claim.id!r} is registered twice."
                raise RuntimeError(msg)
            found[claim.id] = claim
    return found


def claims() -> tuple[Claim, ...]:
    """Every registered claim."""
    return tuple(registry().values())


def find_claim(name: str) -> Claim:
    """Return the claim ``name``, or its control when written ``claim/control``.

    Raises
    ------
    InvalidInput
        If there is none; the message gives the nearest names.
    """
    base, _, control = name.partition("/")
    claim = registry()[check_choice(base, "claim", registry())]
    return claim.broken(control) if control else claim


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


def run_trials(claim: Claim, cell: Cell, *, seed: int, start: int, stop: int) -> Trials:
    """Draw and measure the trials ``start <= i < stop``; a pure function of its arguments."""
    clock = time.perf_counter()
    rows = [_measure(claim, *_draw(claim, cell, seed=seed, trial=trial)) for trial in range(start, stop)]
    columns = np.array([row[:6] for row in rows], dtype=float).reshape(-1, 6).T
    margins = np.array([row[6] for row in rows], dtype=float).reshape(len(rows), len(claim.hypotheses))
    names = ("widths", "left", "right", "trivial", "slack", "speaks_at")
    return Trials(**dict(zip(names, columns)), margins=margins, seconds=time.perf_counter() - clock)


def _draw(claim: Claim, cell: Cell, *, seed: int, trial: int) -> tuple[float, Case]:
    ladder = cell.get("n")
    if isinstance(ladder, tuple):
        cell = {**cell, "n": ladder[trial % len(ladder)]}
    stream = Stream(seed).child(claim.id, repr(sorted(cell.items())), trial)
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
    return {"outcome": outcome, "why": seen, "lower": lower, "upper": upper, "p_value": band.p_value(k, n)}


def _judge_limit(claim: Claim, trials: Trials, admissible: HostArray, alpha: float) -> dict[str, Any]:
    """Regress log left on log width; between "no decay" and the claimed rate the line is drawn half way."""
    broken = np.flatnonzero(admissible & ~np.isfinite(trials.left))
    if len(broken):
        first = int(broken[0])
        return {"outcome": Outcome.REFUTED, "why": f"The error of trial {first} is {trials.left[first]}."}
    if len(np.unique(trials.widths[admissible])) < 2:
        return {"outcome": Outcome.UNDECIDED, "why": "The hypotheses were met at one width only."}
    slope = fit_slope(trials.widths[admissible], trials.left[admissible], alpha=alpha, claimed=-claim.rate)
    seen = f"slope {slope.value:.2f} in [{slope.low:.2f}, {slope.high:.2f}], claimed {slope.claimed:g}."
    if slope.low > slope.claimed / 2:
        return {"outcome": Outcome.REFUTED, "why": f"Does not decay as claimed: {seen}", "slope": slope}
    if slope.high < slope.claimed / 2:
        return {"outcome": Outcome.CONSISTENT, "why": f"Decays along the ladder: {seen}", "slope": slope}
    return {"outcome": Outcome.UNDECIDED, "why": f"The ladder does not decide: {seen}", "slope": slope}


def fit_slope(widths: HostArray, errors: HostArray, *, alpha: float, claimed: float) -> Slope:
    """Fit ``log errors`` against ``log widths`` by least squares; there must be two widths or more.

    Each limit errs with probability at most ``alpha`` if log errors are normal. The variance of each width
    is estimated apart, since errors of small and large matrices need not scatter alike, and Student's t
    takes the degrees of freedom of the width with the fewest trials: its reach is then never too small
    (Hajek 1962).
    """
    from scipy.special import stdtrit

    x, y = np.log(widths), np.log(np.maximum(errors, np.finfo(float).tiny))
    spread = x - x.mean()
    weights = spread / (spread @ spread)
    value = float(weights @ y)
    groups = [widths == width for width in np.unique(widths)]
    fewest = min(int(group.sum()) for group in groups)
    reach = math.inf
    if fewest > 1:
        variance = sum(float(np.sum(weights[group] ** 2) * np.var(y[group], ddof=1)) for group in groups)
        reach = -math.sqrt(variance) * float(stdtrit(fewest - 1, alpha))
    return Slope(value=value, low=value - reach, high=value + reach, claimed=claimed)


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
    when = "at no width" if math.isinf(width) else f"from width {width:.2g}"
    return {"why": f"The bound says nothing at this size; it would speak {when}.", "speaks_at": width}


def verify(
    claim: str | Claim,
    *,
    trials: int | str = "auto",
    seed: int = 0,
    alpha: float = SUITE_LEVEL,
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
    **parameters
        Values of the claim's parameters; the others take typical ones.

    Raises
    ------
    InvalidInput
        For an unknown claim or parameter, or a value out of range.
    """
    from threadpoolctl import threadpool_limits

    if isinstance(claim, str):
        claim = find_claim(claim)
    cell = claim.cell(**parameters)
    check_interval(alpha, "alpha", low=0, high=0.5)
    check_count(seed, "seed", low=0)
    if claim.residuals is not None:
        return judge_proof(claim, seed=seed, alpha=alpha)
    count = plan_trials(claim, cell, alpha=alpha) if trials == "auto" else check_count(trials, "trials")  # type: ignore[arg-type]
    # more threads slow matrices of this size down, by a factor of ten on a busy machine
    with threadpool_limits(limits=1, user_api="blas"):
        measured = run_trials(claim, cell, seed=seed, start=0, stop=count)
    return judge(claim, cell, measured, seed=seed, alpha=alpha)


def judge_proof(claim: Claim, *, seed: int, alpha: float) -> Verdict:
    """Judge a symbolic identity: proved, refuted at a rational point, or beyond the simplifier."""
    from rmttheory.theorem.proofs import prove

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
