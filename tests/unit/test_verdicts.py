"""Verdict arithmetic against exact rationals, scipy.stats, and the definition of a level."""

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from rmttheory.arrays import InvalidInput
from rmttheory.theorem.verdicts import (
    Band,
    Kind,
    Outcome,
    Slope,
    Verdict,
    binomial_cdf,
    binomial_sf,
    clopper_pearson,
    trials_needed,
)

# scipy.special states 1e-14 relative accuracy of the incomplete beta function in this range; counts to a few
# thousand lose two digits more.
RELATIVE = 1e-12


@pytest.mark.parametrize("p", [Fraction(1, 1000), Fraction(1, 3), Fraction(97, 100)])
@pytest.mark.parametrize("n", [1, 2, 7, 40])
def test_binomial_sums_are_those_of_exact_rationals(n, p):
    terms = [math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(n + 1)]
    for k in range(n + 1):
        assert binomial_cdf(k, n, float(p)) == pytest.approx(float(sum(terms[: k + 1])), rel=RELATIVE, abs=0)
        assert binomial_sf(k, n, float(p)) == pytest.approx(float(sum(terms[k:])), rel=RELATIVE, abs=0)


@pytest.mark.parametrize("n", [1, 30, 5000])
@pytest.mark.parametrize("p", [0.0, 1e-15, 1e-6, 0.02, 0.5, 0.999])
def test_binomial_sums_are_those_of_scipy_stats(n, p):
    for k in sorted({0, 1, n // 50, n // 2, n - 1, n}):
        assert binomial_cdf(k, n, p) == pytest.approx(stats.binom.cdf(k, n, p), rel=1e-10, abs=1e-300)
        assert binomial_sf(k, n, p) == pytest.approx(stats.binom.sf(k - 1, n, p), rel=1e-10, abs=1e-300)


def test_binomial_sums_keep_a_tiny_probability():
    # 1 - cdf(0) = n p to first order; computed from 1 - p it would be off in the second digit
    assert binomial_sf(1, 3, 1e-15) == pytest.approx(3e-15, rel=1e-12, abs=0)
    assert binomial_cdf(2, 3, 1 - 2**-50) == pytest.approx(3 * 2**-50, rel=1e-12, abs=0)


def test_binomial_sums_outside_the_counts():
    assert (binomial_cdf(-1, 5, 0.3), binomial_cdf(5, 5, 0.3), binomial_cdf(9, 5, 0.3)) == (0, 1, 1)
    assert (binomial_sf(-2, 5, 0.3), binomial_sf(0, 5, 0.3), binomial_sf(6, 5, 0.3)) == (1, 1, 0)
    assert (binomial_cdf(0, 0, 0.3), binomial_sf(0, 0, 0.3), binomial_sf(1, 0, 0.3)) == (1, 1, 0)


@pytest.mark.parametrize("alpha", [0.2, 0.01, 1e-6])
@pytest.mark.parametrize(("k", "n"), [(0, 1), (1, 1), (0, 59), (3, 100), (99, 100), (400, 4000)])
def test_confidence_limits_are_those_of_scipy_stats(k, n, alpha):
    low, high = stats.binomtest(k, n).proportion_ci(confidence_level=1 - 2 * alpha, method="exact")
    assert clopper_pearson(k, n, alpha) == pytest.approx((low, high), rel=1e-8, abs=0)


@pytest.mark.parametrize("alpha", [1e-3, 1e-9, 1e-20])
@pytest.mark.parametrize(("k", "n"), [(0, 20), (5, 20), (15, 20), (20, 20), (37, 3000)])
def test_confidence_limits_solve_their_equations_also_far_out(k, n, alpha):
    lower, upper = clopper_pearson(k, n, alpha)
    if k > 0:
        assert binomial_sf(k, n, lower) == pytest.approx(alpha, rel=1e-8, abs=0)
    if k < n:
        assert binomial_cdf(k, n, upper) == pytest.approx(alpha, rel=1e-8, abs=0)
    assert (lower == 0) == (k == 0)
    assert (upper == 1) == (k == n)


@pytest.mark.parametrize("n", [1, 25, 300])
@pytest.mark.parametrize("alpha", [0.1, 1e-4])
def test_confidence_limits_err_at_most_with_their_probability(n, alpha):
    limits = np.array([clopper_pearson(k, n, alpha) for k in range(n + 1)])
    for p in np.linspace(0.001, 0.999, 97):
        weight = stats.binom.pmf(np.arange(n + 1), n, p)
        assert weight[limits[:, 0] > p].sum() <= alpha
        assert weight[limits[:, 1] < p].sum() <= alpha


BANDS = [
    Band(high=0.05, planned=0.01),
    Band(low=0.1, high=0.2, planned=0.15),
    Band(low=0.3, high=0.3, planned=0.5),
    Band(low=0.02, high=0.02, planned=0.1),
]


@pytest.mark.parametrize("band", BANDS, ids=lambda band: f"{band.low}-{band.high}")
@pytest.mark.parametrize("n", [10, 200])
@pytest.mark.parametrize("alpha", [0.1, 1e-3])
def test_a_true_band_is_refuted_and_a_false_one_certified_at_most_with_probability_alpha(band, n, alpha):
    """The level, summed exactly over all counts: no simulation."""
    counts = np.arange(n + 1)
    refuted = np.array([band.refuted(int(k), n, alpha) for k in counts])
    certified = np.array([band.certified(int(k), n, alpha) for k in counts])
    for p in np.linspace(band.low, band.high, 11):
        assert stats.binom.pmf(counts, n, p)[refuted].sum() <= alpha
    # the limits of a confidence interval err with alpha each, at most one of them for one probability
    below = np.linspace(0, band.low, 50)[:-1] if band.low else []
    for p in np.concatenate([below, np.linspace(band.high, 1, 50)[1:]]):
        assert stats.binom.pmf(counts, n, p)[certified].sum() <= alpha
    assert not np.any(refuted & certified)


def test_a_count_at_either_end_refutes():
    band = Band(low=0.3, high=0.3, planned=0.5)
    assert band.refuted(0, 100, 1e-6)
    assert band.refuted(90, 100, 1e-6)
    assert not band.refuted(30, 100, 0.2)
    assert not Band(high=0.3).refuted(0, 100, 0.2)
    assert Band(high=0.3).p_value(0, 100) == 1


@pytest.mark.parametrize(
    ("low", "high", "planned"),
    [(-0.1, 0.5, 0), (0.5, 0.4, 0), (0, 1, 0), (0, math.nan, 0), (0, 0.5, 1.5), (0, 0.5, math.nan)],
)
def test_a_band_that_is_no_range_of_probabilities(low, high, planned):
    with pytest.raises(InvalidInput, match="0 <= low <= high < 1 and planned in"):
        Band(low=low, high=high, planned=planned)


@pytest.mark.parametrize(
    ("delta", "alpha"), [(0.05, 0.05), (0.01, 0.05), (0.01, 1e-3), (0.001, 1e-3), (0.05, 1e-8)]
)
def test_without_violations_the_trials_are_those_of_the_closed_form(delta, alpha):
    least = math.ceil(math.log(alpha) / math.log1p(-delta))
    assert least <= trials_needed(Band(high=delta), alpha) <= 1.03 * least


@pytest.mark.parametrize("band", BANDS, ids=lambda band: f"{band.low}-{band.high}")
@pytest.mark.parametrize("alpha", [1e-2, 1e-8])
@pytest.mark.parametrize("power", [0.5, 0.95])
def test_planned_trials_decide_with_the_stated_power_and_not_with_far_fewer(band, alpha, power):
    def chance(n):
        counts = np.arange(n + 1)
        decides = band.refuted if band.low == band.high else band.certified
        wanted = np.array([decides(int(k), n, alpha) for k in counts])
        return stats.binom.pmf(counts, n, band.planned)[wanted].sum()

    n = trials_needed(band, alpha, power=power)
    assert chance(n) >= power - 1e-12
    assert chance(int(0.8 * n)) < power  # a tooth of the power's saw is about a tenth wide here


def test_trials_that_cannot_decide_are_capped():
    assert trials_needed(Band(high=0.1, planned=0.1), 1e-6, most=5000) == 5000
    assert trials_needed(Band(high=0.1, planned=0.3), 1e-6, most=5000) == 5000


def verdict(**changes):
    facts = {
        "claim": "toy",
        "kind": Kind.LIMIT,
        "cell": {"n": (64, 128, 256), "noise": "gaussian"},
        "outcome": Outcome.CONSISTENT,
        "why": "because",
        "trials": 10,
        "admissible": 9,
        "informative": 8,
        "violations": 0,
        "allowed": 0.0,
        "alpha": 1e-6,
        "slope": Slope(value=-0.5, low=-math.inf, high=math.inf, claimed=-0.5),
        "speaks_at": math.inf,
        "worst_ratio": math.nan,
        "hypotheses": {"small": 0.25},
        "seed": 7,
    }
    return Verdict(**facts | changes)


def test_a_verdict_is_strict_json():
    text = json.dumps(verdict().to_dict(), allow_nan=False)
    plain = json.loads(text)
    assert (plain["kind"], plain["outcome"]) == ("limit", "consistent")
    assert plain["cell"] == {"n": [64, 128, 256], "noise": "gaussian"}
    assert plain["slope"] == {"value": -0.5, "low": "-inf", "high": "inf", "claimed": -0.5}
    assert (plain["speaks_at"], plain["worst_ratio"], plain["p_value"]) == ("inf", None, None)


@pytest.mark.parametrize("outcome", Outcome)
def test_every_outcome_says_what_it_means(outcome):
    assert outcome.sentence.endswith(".")
    assert verdict(outcome=outcome).to_dict()["outcome"] == outcome.value == outcome.name.lower()
