"""Intervals and tests of two arms: closed forms, SciPy as a second oracle, and coverage."""

import numpy as np
import pytest
from scipy import stats

from rmttheory.arrays import InvalidInput
from rmttheory.studies.comparisons import holm, mean_interval, paired_difference, variance_ratio
from rmttheory.theorem.verdicts import binomial_cdf, binomial_sf


def pairs(seed, n=12, ratio=1.0, shared=0.6):
    rng = np.random.default_rng(seed)
    common, x, y = rng.standard_normal((3, n))
    noise = np.sqrt(1 - shared**2)
    return np.sqrt(ratio) * (shared * common + noise * x), shared * common + noise * y


def test_mean_and_difference_are_those_of_scipy():
    x, y = pairs(0)
    known = stats.t.interval(0.95, len(x) - 1, np.mean(x), stats.sem(x))
    found = mean_interval(x)
    assert (found.low, found.high) == pytest.approx(known, rel=1e-13, abs=0)
    assert paired_difference(x, y).p_value == pytest.approx(stats.ttest_rel(x, y).pvalue, rel=1e-12, abs=0)


def test_variance_ratio_is_the_test_of_a_correlation():
    x, y = pairs(1, ratio=2.0)
    found = variance_ratio(x, y)
    assert found.value == pytest.approx(np.var(x) / np.var(y), rel=1e-13)
    assert found.p_value == pytest.approx(stats.pearsonr(x + y, x - y).pvalue, rel=1e-10, abs=0)
    for end in (found.low, found.high):  # at an end of the interval the test is just not rejected
        assert stats.pearsonr(x + np.sqrt(end) * y, x - np.sqrt(end) * y).pvalue == pytest.approx(
            0.05, rel=1e-9
        )


@pytest.mark.parametrize("ratio", [0.25, 1.0, 4.0])
def test_intervals_cover(ratio):
    """Null: coverage .95. 2,000 draws see .93 and .97 with power .97 at level 1e-3 (both sides together)."""
    covered = 0
    for seed in range(2000):
        found = variance_ratio(*pairs(seed, ratio=ratio))
        covered += found.low <= ratio <= found.high
    assert min(binomial_cdf(covered, 2000, 0.95), binomial_sf(covered, 2000, 0.95)) > 5e-4


def test_no_difference_at_all():
    found = paired_difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (found.value, found.low, found.high, found.p_value) == (0, 0, 0, 1)
    assert paired_difference([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]).p_value == 0


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        ([1.0], [1.0], "two finite numbers"),
        ([1.0, np.nan], [1.0, 2.0], "two finite numbers"),
        ([1.0, 2.0], [1.0, 2.0, 3.0], "pairs"),
    ],
)
def test_bad_samples(x, y, words):
    with pytest.raises(InvalidInput, match=words):
        paired_difference(x, y)


def test_variances_need_samples_that_vary():
    with pytest.raises(InvalidInput, match="vary"):
        variance_ratio([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])


def test_holm_is_the_worked_example():
    """Four tests: 4 x .005, 3 x .01, then 2 x .03 and, not below it, .04."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02], rel=1e-15)
    assert holm([0.5, 0.9]) == (1.0, 1.0)
    assert holm([]) == ()
    with pytest.raises(InvalidInput, match="p_values"):
        holm([1.2])


def test_holm_errs_as_seldom_as_stated():
    """Null: any error among ten true hypotheses has probability 1 - (1 - .05 / 10)^10 = .0489; level 1e-3."""
    rng = np.random.default_rng(0)
    errors = sum(min(holm(rng.uniform(size=10))) <= 0.05 for _ in range(2000))
    rate = 1 - (1 - 0.005) ** 10
    assert min(binomial_cdf(errors, 2000, rate), binomial_sf(errors, 2000, rate)) > 5e-4
