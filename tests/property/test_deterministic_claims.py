"""A search for counterexamples to the deterministic claims, and their slack against exact arithmetic.

Hypothesis climbs the ratio of left to right: a claim that survives has been attacked where it is tightest.
"""

from dataclasses import replace
from fractions import Fraction
from types import SimpleNamespace

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from rmttheory import strategies
from rmttheory.arrays import Stream
from rmttheory.networks import accuracy
from rmttheory.theorem.certificates import data_path_budget
from rmttheory.theorem.judging import verify
from rmttheory.theorem.removals import LogitCase, RemovalCase, draw_logits, draw_removal
from rmttheory.theorem.statements.deterministic import (
    CE_LIPSCHITZ,
    CE_REFINED,
    DET_CE_PATH,
    FROBENIUS_CERTIFICATE,
    MARGIN_STABILITY,
)
from rmttheory.theorem.verdicts import Outcome

SEARCH = settings(max_examples=300)


@st.composite
def logit_cases(draw):
    classes = draw(st.integers(2, 4))
    logits = st.floats(-50, 50, allow_subnormal=False)
    before = np.array(draw(st.lists(logits, min_size=classes, max_size=classes)))
    move = np.array(draw(st.lists(st.floats(-1, 1), min_size=classes, max_size=classes)))
    size = 10 ** draw(st.floats(-3, 2))
    return LogitCase(before=before, after=before + size * move, label=draw(st.integers(0, classes - 1)))


@st.composite
def removal_cases(draw):
    """Any numbers in a network of one to three layers, any of them split in any way."""
    network = draw(strategies.networks())
    index = draw(st.integers(0, len(network.layers) - 1))
    S, R = draw(strategies.splits(network.layers[index].shape))
    x, labels = draw(strategies.batches(network))
    return RemovalCase(
        network=network.replace(index, S + R),
        index=index,
        S=S,
        R=R,
        x=x,
        labels=labels,
        theta=draw(st.sampled_from([0.0, 0.5]) | st.floats(0, 0.99)),
        decay=draw(st.floats(0, 10)),
    )


def check(claim, case):
    left, right = claim.left(case), claim.right(case) + claim.rounding(case)
    if right > 1e-6:
        target(max(left / right, -1.0), label=claim.id)
    assert left <= right


@SEARCH
@given(logit_cases())
def test_losses_are_two_lipschitz(case):
    check(CE_LIPSCHITZ, case)


@SEARCH
@given(logit_cases())
def test_the_refined_bound_holds(case):
    check(CE_REFINED, case)
    assert CE_REFINED.right(case) <= CE_LIPSCHITZ.right(case) + CE_LIPSCHITZ.rounding(case)


@SEARCH
@given(removal_cases())
def test_the_cross_entropy_stays_within_the_budget(case):
    check(DET_CE_PATH, case)


@SEARCH
@given(removal_cases())
def test_the_penalised_loss_stays_within_the_certificate(case):
    check(FROBENIUS_CERTIFICATE, case)


@SEARCH
@given(removal_cases())
def test_labels_change_only_within_twice_the_radius(case):
    check(MARGIN_STABILITY, case)


@SEARCH
@given(removal_cases())
def test_accuracy_moves_by_at_most_the_share_of_flagged_samples(case):
    """The conclusion in the form in which it is used."""
    ratios, _ = case.relative_margins
    flagged = np.mean(ratios[len(case.x) :] <= 2)
    change = abs(accuracy(case.after, case.labels) - accuracy(case.before, case.labels))
    assert change <= flagged + 1e-12  # both are whole numbers over the number of samples


@SEARCH
@given(removal_cases())
def test_no_logit_moves_further_than_its_radius(case):
    moved = np.max(np.abs(case.after - case.before), axis=1)
    assert np.all(moved <= case.radii + 2 * case.rounding)
    budget = (1 - case.theta) * data_path_budget(case.R, case.v, np.full(len(case.x), case.lipschitz))
    assert budget == pytest.approx(2 * float(np.mean(case.radii)))


def exact_logits(case, share):
    """Logits with ``S + share R``, in rational arithmetic; ``v`` is taken as it was computed."""
    batch = [[Fraction(float(v)) for v in row] for row in case.v]
    for i, layer in enumerate(case.network.layers[case.index :]):
        W = [[Fraction(float(w)) for w in row] for row in layer.weight]
        if i == 0:
            parts = zip(case.S.ravel(), case.R.ravel())
            flat = [Fraction(float(s)) + Fraction(share) * Fraction(float(r)) for s, r in parts]
            W = [flat[k * len(W[0]) : (k + 1) * len(W[0])] for k in range(len(W))]
        bias = [Fraction(float(b)) for b in layer.bias]
        act = {"relu": lambda z: max(z, 0), "abs": abs, "identity": lambda z: z}[layer.activation]
        batch = [
            [act(sum(w * v for w, v in zip(row, inputs)) + b) for row, b in zip(W, bias)] for inputs in batch
        ]
    return batch


def exact_loss(logits, label):
    z = [mpmath.mpf(x.numerator) / x.denominator for x in logits]
    top = max(z)
    return top + mpmath.log(sum(mpmath.exp(x - top) for x in z)) - z[label]


@pytest.mark.parametrize("trial", range(60))
def test_slack_covers_the_rounding_of_two_losses_and_little_more(trial):
    case = draw_logits({"classes": 2 + trial % 9}, Stream(1).child(trial))
    with mpmath.workdps(450):  # losses down to 1e-300 as differences of logits of size 1e3
        exact = [exact_loss([Fraction(float(x)) for x in z], case.label) for z in (case.before, case.after)]
        error = abs(case.loss_change - (exact[1] - exact[0]))
        assert error <= CE_REFINED.rounding(case) <= CE_LIPSCHITZ.rounding(case) + 1e-300
    size = max(np.max(np.abs(case.before)), np.max(np.abs(case.after)))
    assert CE_LIPSCHITZ.rounding(case) <= 1e-13 * (1 + size)


@pytest.mark.parametrize("trial", range(40))
def test_slack_covers_the_rounding_of_a_network(trial):
    cell = {"n": 5, "depth": 1 + trial % 4, "classes": 3, "samples": 3}
    case = draw_removal(cell, Stream(2).child(trial))
    logits = [exact_logits(case, share) for share in (1, case.theta)]
    for computed, exact in zip((case.before, case.after), logits):
        for row, exact_row in zip(computed, exact):
            assert max(abs(Fraction(float(a)) - b) for a, b in zip(row, exact_row)) <= case.rounding
    with mpmath.workdps(50):
        losses = [
            sum(exact_loss(z, int(label)) for z, label in zip(batch, case.labels)) / len(batch)
            for batch in logits
        ]
        assert abs(case.losses[1] - case.losses[0] - (losses[1] - losses[0])) <= case.loss_rounding
    # a hundred roundings of the largest number on the way, but not enough to hide one percent of a bound
    assert case.loss_rounding <= 1e-11 * (1 + np.max(np.abs(case.before)))


def test_hypotheses_see_what_they_name():
    case = draw_removal(DET_CE_PATH.cell(), Stream(3))
    split, activation = DET_CE_PATH.hypotheses
    assert split.check(case).margin >= 0
    assert activation.check(case).margin >= 0
    assert split.check(replace(case, R=case.R + 1e-12)).margin < 0
    steep = SimpleNamespace(activate=lambda z: 1.001 * z)
    bent = SimpleNamespace(layers=(*case.network.layers[: case.index], steep))
    assert activation.check(SimpleNamespace(network=bent, index=case.index)).margin < 0


@pytest.mark.parametrize("claim", [DET_CE_PATH, MARGIN_STABILITY, FROBENIUS_CERTIFICATE], ids=lambda c: c.id)
@pytest.mark.parametrize(
    "cell",
    [
        {"n": 1},
        {"n": 1, "depth": 1, "classes": 2, "samples": 1},
        {"depth": 20},
        {"classes": 1000, "samples": 2},
        {"n": 200, "depth": 2, "samples": 50},
    ],
    ids=str,
)
def test_corners_of_the_parameter_ranges(claim, cell):
    verdict = verify(claim, trials=20, **cell)
    assert verdict.outcome is Outcome.CONSISTENT, verdict.why
    assert verdict.admissible == 20


def test_budget_and_radii_fall_with_what_stays():
    case = replace(DET_CE_PATH.witness(), theta=0.25)
    moved = np.max(np.abs(case.v @ case.R.T), axis=1)
    assert case.budget() == pytest.approx(2 * 0.75 * case.lipschitz * moved.mean(), rel=1e-12)
    assert case.budget(3.0) == pytest.approx(2 * 0.75 * 3.0 * moved.mean(), rel=1e-12)
    np.testing.assert_allclose(case.radii, 0.75 * case.lipschitz * moved, rtol=1e-12)
