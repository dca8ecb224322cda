"""What holds of every claim: it can be refuted, it is not, and its bound is attained or it says why not.

Null of `test_a_claim_is_not_refuted`: the claim is true. It fails with probability `LEVEL` a claim, so about
once in 40 changes of `SEED`. Null of `test_a_control_is_refuted`: the control is true as well; a control that
passes this test by chance does so with probability below ``len(LOOKS) * LEVEL_OF_CONTROLS``.
"""

from __future__ import annotations

import math

import pytest

from rmttheory.theorem.claims import find_claim, registry
from rmttheory.theorem.judging import SUITE_LEVEL, judge, plan_trials, run_trials, verify
from rmttheory.theorem.verdicts import Kind, Outcome

SEED = 20260608
LEVEL = 1e-3
LEVEL_OF_CONTROLS = 1e-6
LOOKS = (0.1, 0.3, 1.0)
"""Shares of the planned trials after which a control is looked at; it may be refuted at the first look."""
FEW = 240
"""Trials of a true claim here; studies run as many as level and power ask for."""

CLAIMS = registry()
CONTROLS = [f"{claim.id}/{name}" for claim in CLAIMS.values() for name in claim.controls]
NUMERIC = [name for name, claim in CLAIMS.items() if claim.residuals is None]
CELLS = [(name, cell) for name in NUMERIC for cell in CLAIMS[name].grids.get("quick", ({},))]


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_says_what_it_is(name):
    claim = CLAIMS[name]
    assert claim.id == name
    assert claim.statement.endswith(".")
    assert claim.source
    assert claim.controls
    assert all(control.breaks.endswith(".") for control in claim.controls.values())
    assert len({hypothesis.id for hypothesis in claim.hypotheses}) == len(claim.hypotheses)


@pytest.mark.parametrize("name", CLAIMS)
def test_typical_values_and_grids_lie_in_the_ranges_of_the_parameters(name):
    claim = CLAIMS[name]
    typical = {parameter.name: parameter.typical for parameter in claim.parameters}
    assert claim.cell(**typical) == claim.cell()
    for cells in claim.grids.values():
        assert cells
        for cell in cells:
            assert claim.cell(**cell).keys() == typical.keys()


@pytest.mark.parametrize("name", CLAIMS)
def test_the_bound_is_attained_or_says_why_not(name):
    claim = CLAIMS[name]
    if claim.witness is None:
        assert claim.loose_because.endswith(".")
        return
    case = claim.witness()
    left, right = claim.left(case), claim.right(case)
    assert claim.witness_ratio >= 0.9
    assert claim.witness_ratio * right <= left <= right + claim.rounding(case)
    # rounding could hide what the witness shows, were it as large as the gap that it leaves
    assert claim.rounding(case) <= 1e-6 * right
    if claim.kind is Kind.EXACT:  # the worst case of a random statement is no typical draw
        assert right < claim.trivial(case)
        for hypothesis in claim.hypotheses:
            assert hypothesis.check(case).margin >= 0, hypothesis.id


@pytest.mark.parametrize(("name", "changes"), CELLS, ids=lambda value: str(value).replace(" ", ""))
def test_a_claim_is_not_refuted(name, changes):
    claim = CLAIMS[name]
    cell = claim.cell(**changes)
    count = min(plan_trials(claim, cell, alpha=LEVEL), FEW)
    verdict = verify(claim, trials=count, seed=SEED, alpha=LEVEL, **changes)
    assert verdict.outcome not in (Outcome.REFUTED, Outcome.INAPPLICABLE), verdict.why
    assert verdict.admissible >= 0.99 * count  # a true claim is judged on nearly all of its trials
    if claim.kind is Kind.EXACT:
        assert verdict.informative > 0.2 * count


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_is_refuted(name):
    claim = find_claim(name)
    if claim.residuals is not None:
        assert verify(claim).outcome is Outcome.REFUTED
        return
    cell = claim.cell()
    planned = plan_trials(claim, cell, alpha=LEVEL_OF_CONTROLS)
    for share in LOOKS:
        trials = run_trials(claim, cell, seed=SEED, start=0, stop=math.ceil(share * planned))
        verdict = judge(claim, cell, trials, seed=SEED, alpha=LEVEL_OF_CONTROLS)
        if verdict.outcome is Outcome.REFUTED:
            break
    assert verdict.outcome is Outcome.REFUTED, f"{verdict.outcome.value}: {verdict.why}"


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTROLS)
@pytest.mark.parametrize("seed", range(5))
def test_a_control_is_refuted_at_any_seed_at_the_level_of_the_suite(name, seed):
    verdict = verify(name, seed=seed, alpha=SUITE_LEVEL / (len(CLAIMS) + len(CONTROLS)))
    assert verdict.outcome is Outcome.REFUTED, verdict.why


@pytest.mark.slow
@pytest.mark.parametrize("name", NUMERIC)
@pytest.mark.parametrize("seed", range(5))
def test_a_claim_is_not_refuted_by_all_planned_trials(name, seed):
    for cell in CLAIMS[name].grids.get("standard", ({},)):
        verdict = verify(name, seed=seed, alpha=SUITE_LEVEL / len(CELLS), **cell)
        assert verdict.outcome not in (Outcome.REFUTED, Outcome.INAPPLICABLE), (cell, verdict.why)
