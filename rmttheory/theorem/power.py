"""With which probability a run would refute again what it refuted: what controls are worth."""

from __future__ import annotations

from rmttheory.theorem.claims import Claim
from rmttheory.theorem.verdicts import Kind, Verdict, clopper_pearson

_DOUBT = 0.05


def power(claim: Claim, verdict: Verdict) -> float:
    """Return with which probability a run of this length, at this level, refutes ``claim``.

    It is a lower 95 % confidence limit from the run itself: of the probability of a violation, by Clopper and
    Pearson, or of the slope, as normal. A symbolic identity leaves nothing to chance.

    Parameters
    ----------
    claim : Claim
    verdict : Verdict
        On this claim.
    """
    if claim.residuals is not None:
        return 1.0
    if verdict.kind is Kind.LIMIT:
        return _power_of_slope(verdict)
    k, n = verdict.violations, verdict.admissible
    if n == 0:
        return 0.0
    lower, upper = clopper_pearson(k, n, _DOUBT)
    if verdict.kind is Kind.EXACT:
        return 1 - (1 - lower) ** n
    band = claim.failure(verdict.cell)
    nearest = lower if lower > band.high else upper
    return band.power(nearest, n, verdict.alpha)


def _power_of_slope(verdict: Verdict) -> float:
    """Refuted is what lies beyond half the claimed slope by the reach of its limits."""
    from scipy.special import ndtr, ndtri, stdtrit

    if verdict.slope is None:  # an error that is no number refutes at once
        return 1.0
    slope = verdict.slope
    widths = len(set(verdict.cell["n"]))
    reach = slope.value - slope.low
    error = reach / -float(stdtrit(max(verdict.trials // widths - 1, 1), verdict.alpha))
    beyond = slope.low - slope.claimed / 2
    return float(ndtr(beyond / error + ndtri(_DOUBT))) if error else float(beyond > 0)
