import math

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import estimate_shrinkage, optimal_shrinkage, sample_goe

P, VARIANCE = 200, 0.3
TRUE = np.diag(np.concatenate([[6.0, 4.0, 3.0], np.linspace(0.2, 1.0, P - 3)]))
TARGET = float(np.trace(TRUE)) / P
DISPERSION = float(np.sum((TRUE - TARGET * np.eye(P)) ** 2)) / P
NOISE = VARIANCE * (1 + 1 / P)
BEST = optimal_shrinkage(noise=NOISE, dispersion=DISPERSION, target=TARGET)


def noisy(i):
    return TRUE + sample_goe(P, VARIANCE, stream=Stream(1).child(i))


def test_damping_is_shrinkage_at_another_rate():
    """Both sides are inverted within P eps times their condition number."""
    B = TRUE + np.eye(P)  # positive
    shrunk, damped = np.linalg.inv(BEST.apply(B)), np.linalg.inv(B + BEST.damping * np.eye(P))
    np.testing.assert_allclose(shrunk, BEST.rate_factor * damped, rtol=0, atol=P * 2.0**-52 * 10)
    assert BEST.damping == pytest.approx(TARGET * NOISE / DISPERSION, rel=1e-15)


def test_no_other_shrinkage_has_less_error():
    """Against 30 simulated matrices: predicted errors within five standard errors, the minimum in place."""
    draws = [noisy(i) for i in range(30)]

    def error(rho):
        shrunk = [(1 - rho) * B + rho * TARGET * np.eye(P) for B in draws]
        return [float(np.sum((A - TRUE) ** 2)) / P for A in shrunk]

    best = error(BEST.intensity)
    assert np.mean(best) == pytest.approx(BEST.error, abs=5 * np.std(best) / math.sqrt(30))
    for rho in (0.0, 0.5 * BEST.intensity, BEST.intensity + 0.1, 1.0):
        others = np.array(error(rho)) - np.array(best)
        assert np.mean(others) > 10 * np.std(others) / math.sqrt(30)
        predicted = (1 - rho) ** 2 * NOISE + rho**2 * DISPERSION - BEST.error
        slack = 5 * np.std(others) / math.sqrt(30) + 1e-12
        assert np.mean(others) == pytest.approx(predicted, abs=slack)


def test_the_best_damping_falls_with_the_batch():
    dampings = [
        optimal_shrinkage(noise=NOISE / b, dispersion=DISPERSION, target=TARGET).damping for b in (1, 10, 100)
    ]
    np.testing.assert_allclose(dampings, dampings[0] / np.array([1, 10, 100]), rtol=1e-14)


def test_the_estimate_is_near_the_truth():
    """Noise of a mean of 8 from (8 - 1) P^2 / 2 squares: relative error sqrt(4 / (7 P^2)), five of them.

    The total adds the product of noise and matrix, standard deviation 2 sqrt(2 v d^2 / (8 p)) / sqrt(p).
    """
    found = estimate_shrinkage(np.stack([noisy(i) for i in range(8)]))
    assert found.noise == pytest.approx(NOISE / 8, rel=5 * math.sqrt(4 / (7 * P**2)))
    cross = 2 * math.sqrt(2 * VARIANCE * DISPERSION / 8) / P
    assert found.dispersion == pytest.approx(DISPERSION, abs=5 * (cross + NOISE / 8 * 2 / P))
    assert found.target == pytest.approx(TARGET, abs=5 * math.sqrt(2 * VARIANCE / 8) / P)
    assert found.to_dict()["damping"] == found.damping > 0


def test_the_ends():
    all_noise = optimal_shrinkage(noise=1.0, dispersion=0.0, target=2.0)
    assert all_noise.intensity == 1.0
    assert all_noise.damping == all_noise.rate_factor == math.inf
    assert all_noise.to_dict()["damping"] is None
    exact = optimal_shrinkage(noise=0.0, dispersion=2.0, target=1.0)
    assert (exact.intensity, exact.damping, exact.rate_factor, exact.error) == (0.0, 0.0, 1.0, 0.0)
    with pytest.raises(InvalidInput, match="`noise"):
        optimal_shrinkage(noise=0.0, dispersion=0.0, target=1.0)
    with pytest.raises(InvalidInput, match="two square matrices or more"):
        estimate_shrinkage(np.ones((1, 3, 3)))
    with pytest.raises(InvalidInput, match="NaN"):
        estimate_shrinkage(np.full((2, 3, 3), np.nan))
