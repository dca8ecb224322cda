"""Curves along widths, recovered where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from toy_claims import EXACT, LIMIT

from rmttheory.studies.curves import LADDER, READOUTS, Ladder, limit_curve, plan_ladders
from rmttheory.studies.runner import run
from rmttheory.theorem.claims import find_claim
from rmttheory.theorem.judging import Trials


def trials(widths, left, margins=None):
    n = len(left)
    ones = np.ones(n)
    margins = np.zeros((n, 0)) if margins is None else margins
    return Trials(
        widths=widths,
        left=left,
        right=ones,
        trivial=ones,
        slack=0 * ones,
        speaks_at=np.nan * ones,
        margins=margins,
    )


def test_a_power_law_is_recovered_with_its_quantiles():
    widths = np.repeat([16.0, 64.0, 256.0], 11)
    spread = np.tile(np.linspace(0.5, 1.5, 11), 3)
    curve = limit_curve(LIMIT, "label", trials(widths, widths**-0.5 * spread), alpha=1e-3)
    assert curve.widths == (16, 64, 256)
    assert curve.slope.value == pytest.approx(-0.5, abs=1e-12)
    assert curve.slope.claimed == -LIMIT.rate
    np.testing.assert_allclose(curve.median, [0.25, 0.125, 0.0625])
    np.testing.assert_allclose(curve.low, [0.15, 0.075, 0.0375])
    np.testing.assert_allclose(curve.high, [0.35, 0.175, 0.0875])


def test_only_trials_that_met_the_hypotheses_and_are_numbers_count():
    widths = np.array([16.0, 16.0, 64.0, 64.0, 64.0])
    left = np.array([1.0, 1.0, 1.0, 50.0, np.nan])
    margins = np.array([[1.0], [1.0], [1.0], [-1.0], [1.0]])
    curve = limit_curve(LIMIT, "", trials(widths, left, margins), alpha=1e-3)
    assert curve.high == (1.0, 1.0)
    assert curve.trials == 1


def test_no_curve_from_one_width_or_another_kind():
    ones = np.ones(4)
    assert limit_curve(LIMIT, "", trials(16 * ones, ones), alpha=1e-3) is None
    assert limit_curve(EXACT, "", trials(np.array([1.0, 2.0, 4.0, 8.0]), ones), alpha=1e-3) is None


def test_the_bound_lies_above_the_truth_and_decays_only_where_row_sums_are_bounded():
    """The radius is ``L |v| sqrt(2 g log(2 n |T| / delta) / n)``, with ``L`` 1 or growing as ``sqrt(n)``.

    So over n = 64 .. 512 its slope is -1/2 + 1 / (2 log(2 n |T| / delta)) = -0.46, or 1/2 more, besides that
    of ``|v|``, whose limit is of order 1. The tolerance 0.15 tells the two readouts apart by three times
    itself; a slope of 8 draws at each width spreads by less than a quarter of it.
    """
    claim = find_claim(LADDER)
    ladders = [
        Ladder(
            label=kind,
            cells=tuple(claim.cell(n=n, readout=kind) for n in (64, 181, 512)),
            trials=8,
            seed=1,
            alpha=1e-3,
        )
        for kind in READOUTS
    ]
    bounded, standard = (curve for _, curve in sorted(run(ladders)))
    for curve in (bounded, standard):
        assert all(truth < bound for truth, bound in zip(curve.high, curve.bound))
        assert curve.slope.value == pytest.approx(-0.5, abs=0.15)
    assert bounded.bound_slope.value == pytest.approx(-0.47, abs=0.15)
    assert standard.bound_slope.value == pytest.approx(0.03, abs=0.15)


def test_ladders_are_planned_beside_their_claim_only():
    assert [ladder.label for ladder in plan_ladders((), seed=0, alpha=1e-6)] == [
        f"{k} readout" for k in READOUTS
    ]
    assert len(plan_ladders((LADDER,), seed=0, alpha=1e-6)) == 2
    assert plan_ladders(("ce_lipschitz",), seed=0, alpha=1e-6) == ()
