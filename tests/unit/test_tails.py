"""Power-law tails and effective ranks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import bdtrik

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import (
    entropy_rank,
    fit_tail,
    noise_exponent,
    null_singular_values,
    singular_values,
    stable_rank,
)


def pareto(rng, exponent, size):
    """Singular values whose squares have the density x^-exponent beyond 1."""
    return np.sqrt(rng.random(size) ** (-1 / (exponent - 1)))


@pytest.mark.parametrize("exponent", [1.8, 2.5, 4.0])
def test_exponent_of_a_power_law(exponent):
    """Of 400 independent values the estimate is within six deviations: the start is free, and chosen."""
    fit = fit_tail(pareto(np.random.default_rng(5), exponent, 400))
    assert abs(fit.exponent - exponent) <= 6 * fit.exponent_error
    assert fit.size >= 40


def test_level_under_a_power_law():
    """Null: an exact power law. The bootstrap is conservative or exact; 1e-4 is the level of this test."""
    rng = np.random.default_rng(1)
    trials = 200
    refuted = sum(fit_tail(pareto(rng, 2.5, 100)).p_value <= 0.1 for _ in range(trials))
    assert refuted <= bdtrik(1 - 1e-4, trials, 0.1) + 1


def test_a_bulk_is_no_power_law():
    """Alternative: pure noise, whose values end at an edge. Most times 1000 of them are seen through."""
    draws = null_singular_values((4000, 1000), trials=5, stream=Stream(2))
    assert sum(fit_tail(s).p_value <= 0.1 for s in draws) >= 4


def test_noise_has_the_exponent_of_its_shape():
    found = [fit_tail(s).exponent for s in null_singular_values((300, 150), trials=20, stream=Stream(3))]
    assert abs(np.median(found) - noise_exponent((300, 150))) < 4 * np.std(found)
    assert noise_exponent((300, 150)) == pytest.approx(noise_exponent((150, 300)), rel=1e-6)


def test_scale_and_order_change_nothing():
    s = pareto(np.random.default_rng(3), 3.0, 60)
    one, other = fit_tail(s), fit_tail(1024.0 * s[::-1])
    assert (one.size, one.p_value) == (other.size, other.p_value)
    assert one.exponent == pytest.approx(other.exponent, rel=1e-9)  # logarithms of 7 lose what they add
    assert other.start == pytest.approx(1024.0**2 * one.start, rel=1e-9)


@pytest.mark.parametrize("s", [np.ones(9), np.ones(20), np.zeros(30)])
def test_no_tail(s):
    with pytest.raises(InvalidInput, match="at least 10 positive values"):
        fit_tail(s)
    with pytest.raises(InvalidInput, match="at least 10 rows"):
        noise_exponent((9, 30))


def test_effective_ranks_of_known_spectra():
    assert stable_rank(np.full(7, 3.0)) == pytest.approx(7, rel=1e-14)
    assert entropy_rank(np.full(7, 3.0)) == pytest.approx(7, rel=1e-14)
    assert stable_rank(np.array([2.0, 0.0, 0.0])) == entropy_rank(np.array([2.0, 0.0, 0.0])) == 1
    assert stable_rank(np.array([2.0, 1.0])) == pytest.approx(1.25, rel=1e-15)
    assert entropy_rank(np.array([3.0, 1.0])) == pytest.approx(4 / 3**0.75, rel=1e-14)
    assert stable_rank(singular_values(np.eye(4) * 1e200)) == pytest.approx(4)


@pytest.mark.parametrize("rank", [stable_rank, entropy_rank])
@pytest.mark.parametrize("s", [np.zeros(3), np.array([1.0, -1.0]), np.array([1.0, np.nan])])
def test_effective_ranks_refuse(rank, s):
    with pytest.raises(InvalidInput, match="`s` "):
        rank(s)
