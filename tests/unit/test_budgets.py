"""A budget is shared out at least loss: nothing that costs as little loses less."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmttheory.arrays import InvalidInput
from rmttheory.networks.budgets import Curve, along_hulls, share_out


@st.composite
def curves(draw):
    found = []
    for _ in range(draw(st.integers(1, 3))):
        costs = sorted(draw(st.lists(st.integers(1, 50), min_size=1, max_size=5, unique=True)), reverse=True)
        losses = sorted(draw(st.lists(st.integers(1, 100), min_size=len(costs) - 1, max_size=len(costs) - 1)))
        found.append(Curve(np.array(costs, float), np.array([0, *losses], float)))
    return found


@given(curves(), st.floats(0, 1))
def test_nothing_that_costs_as_little_loses_less(found, share):
    least, most = (total(found, [end] * len(found), "costs") for end in (-1, 0))
    budget = least + share * (most - least)
    steps, _ = along_hulls(found, budget)
    chosen = share_out(found, budget)
    assert total(found, chosen, "costs") <= budget
    assert total(found, chosen, "losses") <= total(found, steps, "losses")
    for other in itertools.product(*(range(len(curve.costs)) for curve in found)):
        if total(found, other, "costs") <= total(found, steps, "costs"):
            assert total(found, other, "losses") >= total(found, steps, "losses") - 1e-9


def total(found, points, what):
    return sum(getattr(curve, what)[i] for curve, i in zip(found, points))


def test_what_the_last_step_saves_too_much_is_given_back():
    curve = Curve(np.array([10.0, 8.0, 2.0]), np.array([0.0, 5.0, 6.0]))  # the middle lies above the hull
    assert along_hulls([curve], 9)[0] == [2]
    assert share_out([curve], 9) == [1]


def test_a_whole_budget_changes_nothing():
    assert share_out([Curve(np.array([4.0, 1.0]), np.array([0.0, 1.0]))], 4) == [0]


def test_a_budget_below_the_least_is_refused():
    with pytest.raises(InvalidInput, match="least that can be kept is 1 numbers"):
        share_out([Curve(np.array([4.0, 1.0]), np.array([0.0, 1.0]))], 0.5)
