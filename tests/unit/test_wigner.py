import math

import numpy as np
import pytest
from scipy import integrate, stats

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import (
    Semicircle,
    goe_eigenvalues,
    kolmogorov_distance,
    sample_goe,
    wigner_curvature,
    wigner_outlier,
    wigner_overlap,
)


def test_the_semicircle_is_what_it_says():
    law = Semicircle(0.25)
    assert law.support == (-1.0, 1.0)
    x = np.linspace(-1.2, 1.2, 25)
    inside = np.where(np.abs(x) < 1, 2 / np.pi * np.sqrt(np.clip(1 - x**2, 0, None)), 0.0)
    np.testing.assert_allclose(law.pdf(x), inside, rtol=0, atol=1e-15)
    mass, error = integrate.quad(law.pdf, -1, 0.3)
    assert law.cdf(0.3) == pytest.approx(mass, abs=10 * error + 1e-14)
    q = np.linspace(0, 1, 11)
    np.testing.assert_allclose(law.cdf(law.ppf(q)), q, rtol=0, atol=1e-14)


def test_draws_have_the_stated_variance():
    """Off the diagonal v / p, on it twice that: chi^2 intervals of level 1e-6."""
    p, v = 200, 3.0
    A = sample_goe(p, v, stream=Stream(1))
    np.testing.assert_array_equal(A, A.T)
    for entries, variance in ((A[np.triu_indices(p, 1)], v / p), (np.diagonal(A), 2 * v / p)):
        score = float(np.sum(entries**2)) / variance
        assert stats.chi2.ppf(5e-7, len(entries)) < score < stats.chi2.isf(5e-7, len(entries))


def test_the_tridiagonal_has_the_law_of_the_matrix():
    """Two-sample Kolmogorov-Smirnov of the largest and a middle value, 400 draws each; level 1e-6 each."""
    p, v = 12, 2.0
    dense = np.stack([np.linalg.eigvalsh(sample_goe(p, v, stream=Stream(2).child(i))) for i in range(400)])
    band = goe_eigenvalues(p, v, trials=400, rng=3)
    for k in (-1, p // 2):
        assert stats.ks_2samp(dense[:, k], band[:, k]).pvalue > 1e-6
    assert stats.ks_2samp(dense[:, -1], 1.2 * band[:, -1]).pvalue < 1e-6  # what the test can see
    # counts of 2,000 levels fluctuate by sqrt(log(2000)) / pi = 0.9: five of that anywhere
    assert kolmogorov_distance(goe_eigenvalues(2000, v, rng=4)[0], Semicircle(v)) < 5 * 0.9 / 2000


@pytest.mark.parametrize("theta", [1.5, 3.0, -2.0])
def test_spikes_settle_where_the_formulas_say(theta):
    """Fluctuations of order p^(-1/2): limits sqrt(2 v (1 - v / theta^2) / p) for the value, 5 of them."""
    p, v, trials = 500, 1.0, 10
    spread = math.sqrt(2 * v * (1 - v / theta**2) / (p * trials))
    tops, overlaps, curvatures = [], [], []
    for i in range(trials):
        B = sample_goe(p, v, stream=Stream(5).child(i))
        B[0, 0] += theta  # a spike along the first axis: the noise has no preferred ones
        values, vectors = np.linalg.eigh(B)
        k = -1 if theta > 0 else 0
        tops.append(values[k])
        overlaps.append(vectors[0, k] ** 2)
        curvatures.append(theta * vectors[0, k] ** 2 - wigner_curvature(values[k], v))
    assert np.mean(tops) == pytest.approx(wigner_outlier(theta, v), abs=5 * spread + 5 / p)
    error = np.std(overlaps, ddof=1) / math.sqrt(trials)
    assert np.mean(overlaps) == pytest.approx(wigner_overlap(theta, v), abs=6 * error + 5 / p)
    assert abs(np.mean(curvatures)) <= 6 * np.std(curvatures, ddof=1) / math.sqrt(trials) + 10 / p


def test_weak_spikes_stay_in_the_bulk():
    assert wigner_outlier(0.9, 1.0) == 2.0
    assert wigner_outlier(-0.9, 1.0) == -2.0
    assert wigner_overlap(0.9, 1.0) == 0.0
    assert wigner_curvature(1.9, 1.0) == 0.0
    assert wigner_curvature(-2.5, 1.0) == -1.5  # theta = -2: theta - 1 / theta
    assert wigner_outlier(2.0, 0.0) == 2.0
    with pytest.raises(InvalidInput, match="`variance` must be"):
        wigner_outlier(1.0, -1.0)
