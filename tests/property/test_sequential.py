"""The level of a run that is stopped by whoever looks at it, computed and not simulated.

Whether evidence ever reaches ``1 / alpha`` within a horizon depends on the counts alone, so the probability
of it is a sum over the paths of the counts: exact, for any truth, level and rule of stopping.
"""

import itertools

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rmttheory.arrays import InvalidInput
from rmttheory.theorem.judging import verify
from rmttheory.theorem.sequential import anytime_limits, monitor
from rmttheory.theorem.verdicts import Band, Outcome, clopper_pearson, log_mixture

HORIZON = 120


def chance_to_stop(p, stops, horizon=HORIZON):
    """Probability that ``stops(k, n)`` is true at some ``n <= horizon`` if events have probability ``p``."""
    alive, stopped = {0: 1.0}, 0.0
    for n in range(1, horizon + 1):
        after = {}
        for k, mass in alive.items():
            for count, weight in ((k, 1 - p), (k + 1, p)):
                after[count] = after.get(count, 0.0) + mass * weight
        stopped += sum(mass for k, mass in after.items() if stops(k, n))
        alive = {k: mass for k, mass in after.items() if not stops(k, n)}
    return stopped


@st.composite
def bands_with_a_truth(draw):
    low, high = sorted((draw(st.sampled_from([0.0, 0.2]) | st.floats(0, 0.95)), draw(st.floats(0.01, 0.95))))
    share = draw(st.floats(0, 1))
    return Band(low=low, high=high), min(max(low + share * (high - low), low), high)


@settings(max_examples=60, deadline=None)
@given(bands_with_a_truth(), st.floats(1e-4, 0.3))
@example((Band(low=0.5, high=0.5), 0.5), 0.3)
def test_evidence_against_a_true_claim_keeps_its_level_whenever_one_stops(band_and_truth, alpha):
    band, p = band_and_truth
    # sums of 120 products, each rounded
    assert chance_to_stop(p, lambda k, n: band.e_value(k, n) >= 1 / alpha) <= alpha * (1 + 1e-12)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 0.95), st.sampled_from([0.05, 0.2]))
def test_limits_hold_at_all_times_at_once(p, alpha):
    def excluded(k, n):
        lower, upper = anytime_limits(k, n, alpha)
        return not lower <= p <= upper

    assert chance_to_stop(p, excluded, 40) <= alpha * (1 + 1e-12)


def test_limits_of_a_fixed_time_do_not():
    """The same search finds what it is there to find: looked at again and again, those lose their level."""

    def excluded(k, n):
        lower, _ = clopper_pearson(k, n, 0.05)
        return lower > 0.3

    assert chance_to_stop(0.3, excluded) > 0.15


def test_the_mixture_is_a_martingale():
    for p, n in itertools.product((0.1, 0.5, 0.9), (0, 1, 7)):
        for k in range(n + 1):
            mean = p * np.exp(log_mixture(k + 1, n + 1, p)) + (1 - p) * np.exp(log_mixture(k, n + 1, p))
            assert mean == pytest.approx(np.exp(log_mixture(k, n, p)), rel=1e-13, abs=0)


@given(st.integers(1, 2000), st.data())
def test_limits_are_where_the_evidence_is_the_level(n, data):
    k = data.draw(st.integers(0, n))
    lower, upper = anytime_limits(k, n, 1e-3)
    assert lower <= k / n <= upper
    fixed_lower, fixed_upper = clopper_pearson(k, n, 5e-4)
    assert lower <= fixed_lower + 1e-12
    assert upper >= fixed_upper - 1e-12
    for limit in (lower, upper):
        if 0 < limit < 1:
            slope = abs((k - n * limit) / (limit * (1 - limit)))  # of the log; roots are found to 1e-14
            assert log_mixture(k, n, limit) == pytest.approx(np.log(1e3), abs=1e-11 + 1e-13 * slope)


def test_evidence_of_nothing_is_one():
    assert Band(high=0.1).e_value(0, 0) == 1
    assert anytime_limits(0, 0, 0.05) == (0, 1)
    assert Band(high=0.0).e_value(1, 5) == np.inf


def last(run):
    *_, verdict = run
    return verdict


def test_a_false_claim_is_refuted_and_the_run_ends():
    planned = verify("finite_confidence/half radius", alpha=1e-6)
    found = last(monitor("finite_confidence/half radius", alpha=1e-6))
    assert planned.outcome is found.outcome is Outcome.REFUTED
    assert found.e_value >= 1e6
    assert found.trials < planned.trials


def test_a_run_taken_up_again_ends_as_one_that_went_on():
    options = {"seed": 3, "alpha": 1e-2, "batch": 40, "n": 32}
    whole = last(monitor("row_event_exact", most=120, **options))
    first = last(monitor("row_event_exact", most=40, **options))
    again = last(monitor("row_event_exact", after=first, most=120, **options))
    for name in ("trials", "admissible", "violations", "lower", "upper", "e_value", "outcome", "worst_ratio"):
        assert getattr(again, name) == getattr(whole, name)
    fixed = verify("row_event_exact", trials=120, seed=3, alpha=1e-2, n=32)
    assert (fixed.violations, fixed.e_value) == (whole.violations, whole.e_value)


def test_a_bound_is_certified_and_a_counterexample_ends_the_run():
    found = last(monitor("finite_confidence", alpha=1e-2, delta=0.2, n=16, samples=4))
    assert found.outcome is Outcome.CERTIFIED
    assert found.upper <= 0.2
    broken = last(monitor("ce_lipschitz/one percent less", batch=7))
    assert broken.outcome is Outcome.REFUTED
    assert broken.trials - 7 <= broken.counterexample < broken.trials


@pytest.mark.parametrize("name", ["bgn_outlier", "inverse_bbp_identity"])
def test_what_has_no_trials_to_count_is_refused(name):
    with pytest.raises(InvalidInput, match="cannot be judged as trials come in"):
        next(monitor(name))


def test_another_run_is_not_taken_up():
    first = next(monitor("row_event_exact", n=32))
    with pytest.raises(InvalidInput, match="other parameters, seed or level than asked for now"):
        next(monitor("row_event_exact", n=32, seed=1, after=first))
