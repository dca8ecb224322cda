"""What is run, with how many trials, at which share of the level."""

from __future__ import annotations

import dataclasses

import pytest
from toy_claims import EXACT, LIMIT, TAIL, TOYS

from rmttheory.arrays import InvalidInput
from rmttheory.studies.curves import plan_ladders
from rmttheory.studies.grid import EFFORT, PIECES, LeftOut, left_out, plan, plan_controls
from rmttheory.studies.runner import run
from rmttheory.studies.tables import left_out_sentences
from rmttheory.theorem.claims import claims, registry
from rmttheory.theorem.judging import Trials, plan_trials, run_trials, verify
from rmttheory.theorem.verdicts import Outcome


@pytest.fixture
def toys(monkeypatch):
    for claim in TOYS:
        monkeypatch.setitem(registry(), claim.id, claim)


@pytest.mark.usefixtures("toys")
def test_level_is_split_into_equal_shares_that_add_up():
    jobs = plan(["toy_exact", "toy_tail", "toy_limit"], alpha=1e-3, shares=1)
    assert {job.alpha for job in jobs} == {1e-3 / 4}


@pytest.mark.usefixtures("toys")
def test_trials_follow_from_the_share_and_not_from_the_whole_level():
    (alone,) = plan(["toy_tail"], alpha=1e-3)
    shared = plan(["toy_tail", "toy_exact", "toy_limit"], alpha=1e-3)[0]
    assert alone.trials == plan_trials(TAIL, {"n": 8}, alpha=1e-3)
    assert shared.trials == plan_trials(TAIL, {"n": 8}, alpha=1e-3 / 3) > alone.trials


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("preset", EFFORT)
def test_effort_multiplies_only_trials_that_do_not_follow_from_the_level(preset):
    exact, tail, limit = plan(["toy_exact", "toy_tail", "toy_limit"], preset=preset)
    assert exact.trials == EXACT.trials * EFFORT[preset]
    assert limit.trials == LIMIT.trials * EFFORT[preset]
    assert tail.trials == plan(["toy_exact", "toy_tail", "toy_limit"])[1].trials


def test_every_registered_claim_has_a_job_in_every_preset():
    for preset in EFFORT:
        assert {job.claim for job in plan(preset=preset)} == {claim.id for claim in claims()}


def test_cells_of_one_claim_differ():
    for preset in EFFORT:
        jobs = [(job.claim, repr(sorted(job.cell.items()))) for job in plan(preset=preset)]
        assert len(jobs) == len(set(jobs))


@pytest.mark.usefixtures("toys")
def test_widths_go_to_the_claims_that_take_them():
    (one,), (ladder,) = plan(["toy_exact"], widths=(64,)), plan(["toy_limit"], widths=(8, 16, 32))
    assert (one.cell["n"], ladder.cell["n"]) == (64, (8, 16, 32))


@pytest.mark.parametrize("widths", [(64,), (10**6,), (64, 128, 256), (10**4, 10**5, 10**6)])
def test_without_ids_every_claim_is_judged_at_the_width_or_left_out_with_a_reason(widths):
    """Claims that have no width are judged as they are."""
    jobs, rest = plan(widths=widths), left_out(widths=widths)
    cells = sum(max(1, len(claim.grids.get("quick", ({},)))) for claim in claims())
    assert {job.claim for job in jobs} | {one.claim for one in rest} == {claim.id for claim in claims()}
    wanted = widths if len(widths) > 1 else widths[0]
    assert {job.cell["n"] for job in jobs if "n" in job.cell} == {wanted}
    assert len(jobs) + len(rest) <= cells
    for one in rest:
        with pytest.raises(InvalidInput, match=f"{one.claim} cannot be judged at width"):
            plan([one.claim], widths=widths)


def test_noise_that_needs_the_matrix_is_left_out_where_the_matrix_is_too_wide():
    """The other cells of the same claim are judged, also when it is named."""
    asked = {"preset": "standard", "widths": (10**6,)}
    jobs, rest = plan(["finite_confidence"], **asked), left_out(["finite_confidence"], **asked)
    assert {job.cell["noise"] for job in jobs} == {"gaussian"}
    assert {one.cell.get("noise", "gaussian") for one in rest} <= {"rademacher", "uniform", "student-t:5"}
    with pytest.raises(InvalidInput, match="drawn in full"):
        plan(["finite_confidence"], widths=(10**6,), dense=True)
    assert not left_out(["finite_confidence"], widths=(64,))


def test_dense_reaches_every_claim_that_has_the_choice_and_no_other():
    jobs = plan(dense=True, widths=(64,))
    chosen = {job.claim for job in jobs if job.cell.get("method") == "dense"}
    assert chosen == {job.claim for job in jobs if "method" in job.cell}
    assert {"finite_confidence", "tw_edge"} <= chosen
    assert {job.cell.get("method") for job in plan_controls(["finite_confidence"], dense=True)} == {"dense"}
    ladders = plan_ladders((), seed=0, alpha=1e-6, dense=True)
    assert {cell["method"] for ladder in ladders for cell in ladder.cells} == {"dense"}


def test_reasons_for_what_is_left_out_are_said_once():
    rest = [
        LeftOut(claim="toy_exact", cell={"n": 5}, why="Too wide."),
        LeftOut(claim="toy_tail", cell={"n": 5}, why="Too wide."),
        LeftOut(claim="bema_level", cell={"n": 5, "level": 0.5}, why="Too wide."),
        LeftOut(claim="toy_limit", cell={}, why="No ladder."),
    ]
    assert left_out_sentences(rest) == [
        "Left out: toy_exact, toy_tail, bema_level (level=0.5). Too wide.",
        "Left out: toy_limit. No ladder.",
    ]


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": ["toy_exat"]}, "Unknown claim 'toy_exat'. Did you mean toy_exact"),
        ({"ids": ["toy_exact/halve"]}, "Unknown control of toy_exact 'halve'. Did you mean half"),
        ({"preset": "quik"}, "Unknown preset 'quik'. Did you mean quick"),
        ({"alpha": 0.5}, "`alpha` must be a number in"),
        ({"alpha": 0.0}, "`alpha` must be a number in"),
        ({"alpha": float("nan")}, "`alpha` must be a number in"),
        ({"seed": -1}, "`seed` must be a whole number >= 0"),
        ({"ids": ["toy_limit"], "widths": (64,)}, "toy_limit cannot be judged at width 64: A statement of a"),
        ({"ids": ["toy_exact"], "widths": (8, 16, 32)}, "at widths 8, 16, 32: A statement at one width"),
        ({"ids": ["toy_exact", "toy_limit"], "widths": (8,)}, "toy_limit cannot be judged at width 8"),
        ({"ids": ["ce_lipschitz"], "widths": (64,)}, "None of these claims can be judged at width 64"),
        ({"widths": (10**20,)}, "No claims can be judged at width 100,000"),
        ({"ids": ["toy_exact"], "widths": (0,)}, "`n` must be a number in"),
        ({"ids": ["toy_limit"], "widths": (8, 16)}, "ladder of 3 different widths"),
    ],
)
def test_bad_plans_are_refused_in_a_sentence(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        plan(**arguments)


@pytest.mark.usefixtures("toys")
def test_controls_of_a_claim_or_one_of_them():
    assert [job.claim for job in plan_controls(["toy_tail", "toy_exact/half"])] == [
        "toy_tail/often",
        "toy_exact/half",
    ]
    every = {f"{claim.id}/{name}" for claim in claims() for name in claim.controls}
    assert {job.claim for job in plan_controls()} == every
    assert plan_controls(["toy_limit"]) == ()


@pytest.mark.usefixtures("toys")
def test_a_job_says_what_verify_says_however_it_is_cut():
    for job in plan(["toy_exact", "toy_tail", "toy_vacuous", "toy_limit", "toy_exact/half"], seed=3):
        assert len(job.pieces()) == PIECES
        ((_, judged),) = run([job])
        alone = verify(job.claim, trials=job.trials, seed=3, alpha=job.alpha)
        assert dataclasses.replace(judged.verdict, seconds=0) == dataclasses.replace(alone, seconds=0)


@pytest.mark.usefixtures("toys")
def test_pieces_cover_every_trial_once():
    (job,) = plan(["toy_tail"])
    whole = run_trials(TAIL, job.cell, seed=0, start=0, stop=job.trials)
    parts = Trials.concatenate([function(*arguments) for function, arguments in job.pieces()])
    assert parts.left.tolist() == whole.left.tolist()


@pytest.mark.usefixtures("toys")
def test_a_limit_statement_comes_with_its_curve():
    (_, judged), *_ = run(plan(["toy_limit"]))
    assert judged.verdict.outcome is Outcome.CONSISTENT
    assert judged.curve.widths == (16, 64, 256, 1024)
    assert judged.curve.trials == 30
    assert judged.curve.slope == judged.verdict.slope
    ((_, other),) = run(plan(["toy_exact"]))
    assert other.curve is None


def test_a_job_with_fewer_trials_than_pieces_has_one_piece_a_trial():
    (job,) = plan(["ce_lipschitz"])
    assert len(dataclasses.replace(job, trials=3).pieces()) == 3
