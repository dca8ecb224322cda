"""A search for counterexamples to the statements on masks, on several layers and on perturbations.

As in `test_deterministic_claims`: Hypothesis climbs the ratio of left to right.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings, target
from hypothesis import strategies as st

from rmttheory import strategies
from rmttheory.arrays import Stream
from rmttheory.theorem.claims import find_claim
from rmttheory.theorem.masks import MaskCase, draw_mask, draw_stationary
from rmttheory.theorem.sequences import SequenceCase, draw_growing, draw_masks
from rmttheory.theorem.statements.layers import CutCase
from rmttheory.theorem.statements.perturbation import Perturbed

SEARCH = settings(max_examples=200)


@st.composite
def masks(draw):
    network = draw(strategies.networks())
    index = draw(st.integers(0, len(network.layers) - 1))
    shape = network.layers[index].shape
    S, R = draw(strategies.splits(shape, how="mask"))
    x, labels = draw(strategies.batches(network))
    weights = [np.abs(draw(strategies.matrices(shape))) for _ in range(2)]
    return MaskCase(
        network=network.replace(index, S + R),
        index=index,
        S=S,
        R=R,
        x=x,
        labels=labels,
        theta=draw(st.sampled_from([0.0, 0.5]) | st.floats(0, 0.99)),
        ridge=weights[0],
        lasso=weights[1],
        restored=np.where(draw(st.booleans()), S, 0.0),
    )


@st.composite
def sequences(draw, how="mask"):
    network = draw(strategies.networks())
    chosen = draw(st.permutations(range(len(network.layers))))
    chosen = chosen[: draw(st.integers(1, len(network.layers)))]
    parts = []
    for index in chosen:
        S, R = draw(strategies.splits(network.layers[index].shape, how=how))
        network = network.replace(index, S + R)
        parts.append((index, S, R))
    x, labels = draw(strategies.batches(network))
    penalties = draw(st.floats(0, 10)), draw(st.floats(0, 10))
    return SequenceCase(
        network=network, parts=tuple(parts), x=x, labels=labels, ridge=penalties[0], lasso=penalties[1]
    )


@st.composite
def pairs(draw):
    shape = draw(strategies.shapes(4))
    k = draw(st.integers(1, min(shape)))
    values = np.append(draw(strategies.spectra(k)), np.zeros(min(shape) - k))
    S, R = draw(strategies.matrices(shape, values=values)), draw(strategies.matrices(shape))
    return Perturbed(S=S, R=R, k=k, level=draw(st.floats(0.1, 5)))


def check(name, case):
    claim = find_claim(name)
    left, right = claim.left(case), claim.right(case) + claim.rounding(case)
    if right > 1e-6:
        target(max(left / right, -1.0), label=name)
    assert left <= right


@pytest.mark.parametrize(
    "name",
    [
        "deterministic_mask_certificate",
        "weighted_mask_certificate",
        "prune_restore_certificate",
        "restoration_gain",
        "mask_stationarity",
    ],
)
def test_masks(name):
    @SEARCH
    @given(masks())
    def search(case):
        check(name, case)

    search()


@pytest.mark.parametrize(
    "name", ["multilayer_mask_certificate", "multilayer_upfront_certificate", "multilayer_stationarity"]
)
def test_masks_of_several_layers(name):
    @SEARCH
    @given(sequences())
    def search(case):
        check(name, case)

    search()


@SEARCH
@given(sequences(how="any"))
def test_margins_under_several_removals(case):
    check("multilayer_margin_stability", case)


@SEARCH
@given(st.data())
def test_small_singular_values_and_confidence(data):
    network = data.draw(strategies.networks(biases=False))
    index = data.draw(st.integers(0, len(network.layers) - 1))
    n, m = network.layers[index].shape
    count = min(n, m)
    values, k = data.draw(strategies.spectra(count)), data.draw(st.integers(0, count - 1))
    left, right = data.draw(strategies.frames(n, count)), data.draw(strategies.frames(m, count))
    S = (left[:, :k] * values[:k]) @ right[:, :k].T
    R = (left[:, k:] * values[k:]) @ right[:, k:].T
    network = network.replace(index, S + R)
    x, labels = data.draw(strategies.batches(network))
    case = CutCase(network=network, index=index, S=S, R=R, x=x, labels=labels, cut=float(values[k]))
    check("svd_truncation_confidence_det", case)


@pytest.mark.parametrize("name", ["rank_inequality", "bulk_collapse_spike_stabilization"])
def test_perturbations(name):
    @SEARCH
    @given(pairs())
    def search(case):
        check(name, case)

    search()


@SEARCH
@given(pairs(), st.floats(0.01, 0.25))
def test_subspaces(case, share):
    size = float(np.linalg.norm(case.R, 2))
    if size == 0 or case.gap < 1e-3:
        return
    check("subspace_stabilization", replace(case, R=case.R * (share * case.gap / size)))


@pytest.mark.parametrize("trial", range(20))
def test_budgets_in_advance_are_no_smaller_than_what_they_bound_step_by_step(trial):
    """Why advance budgets suffice: in the reverse order each of them is at least the budget of its step."""
    case = draw_masks({"n": 6, "depth": 3, "classes": 3, "samples": 4}, Stream(5).child(trial))
    ordered = replace(case, parts=tuple(sorted(case.parts, key=lambda part: -part[0])))
    for step, first in zip(ordered.steps, ordered.upfront):
        assert step.budget() <= first.budget() * (1 + 1e-12)


def test_growing_parts_break_what_holds_for_masks():
    found = 0
    for trial in range(40):
        case = draw_growing({"n": 6, "depth": 3, "classes": 3, "samples": 4}, Stream(6).child(trial))
        found += abs(case.losses[1] - case.losses[0]) > case.upfront_budget + case.loss_rounding
    assert found > 0


def test_hypotheses_see_what_they_name():
    case = draw_mask({"n": 6, "depth": 2, "classes": 3, "samples": 2}, Stream(7))
    mask = find_claim("restoration_gain").hypotheses[0]
    assert mask.check(case).margin == 0
    assert mask.check(replace(case, R=case.R + 1e-9, S=case.S + 1e-9)).margin < 0
    sequence = draw_masks({"n": 6, "depth": 2, "classes": 3, "samples": 2}, Stream(7))
    split, disjoint = find_claim("multilayer_mask_certificate").hypotheses
    assert split.check(sequence).margin >= 0
    assert disjoint.check(sequence).margin == 0
    index, S, R = sequence.parts[0]
    moved = replace(sequence, parts=((index, S + 1e-9, R + 1e-9),))
    assert split.check(moved).margin < 0
    assert disjoint.check(moved).margin < 0


def test_trained_networks_are_near_a_minimum():
    """So that the statement on stationarity is tested where its slope is small beside its budget."""
    claim = find_claim("mask_stationarity")
    seen = []
    for trial in range(60):
        case = draw_stationary(claim.cell(), Stream(8).child(trial))
        if case.R.shape[0] > 1:  # a trained one
            slope = case.mass(1.0) - case.surplus(1.0)
            seen.append(slope / case.budget())
    assert np.median(seen) < 0.2
