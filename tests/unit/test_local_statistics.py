import numpy as np
import pytest
from scipy import integrate, stats

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import (
    GoeRatio,
    PoissonRatio,
    PoissonSpacing,
    Semicircle,
    WignerSurmise,
    compare_ratios,
    goe_eigenvalues,
    independent_points,
    null_singular_values,
    spacing_ratios,
    unfolded_spacings,
)

LAWS = [GoeRatio(), PoissonRatio(), WignerSurmise(), PoissonSpacing()]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_laws_are_consistent(law):
    top = 1.0 if hasattr(law, "mean") else np.inf
    mass, error = integrate.quad(law.pdf, 0, top)
    assert mass == pytest.approx(1.0, abs=10 * error)
    part, error = integrate.quad(law.pdf, 0, 0.7)
    assert law.cdf(0.7) == pytest.approx(part, abs=10 * error + 1e-15)
    mean, error = integrate.quad(lambda x: x * law.pdf(x), 0, top)
    assert mean == pytest.approx(getattr(law, "mean", 1.0), abs=10 * error + 1e-15)
    q = np.linspace(0.01, 0.99, 9)
    np.testing.assert_allclose(law.cdf(law.ppf(q)), q, rtol=0, atol=1e-14)
    assert law.cdf(-1.0) == law.pdf(-1.0) == 0.0


def test_the_surmise_of_ratios_is_exact_for_three_levels():
    """Kolmogorov-Smirnov on 2,000 draws, level 1e-6; Poisson ratios are refused."""
    ratios = np.array([spacing_ratios(row)[0] for row in goe_eigenvalues(3, trials=2000, rng=1)])
    assert stats.kstest(ratios, GoeRatio().cdf).pvalue > 1e-6
    assert stats.kstest(ratios, PoissonRatio().cdf).pvalue < 1e-6


def test_the_surmise_of_spacings_is_exact_for_two_levels():
    gaps = np.diff(goe_eigenvalues(2, trials=2000, rng=2), axis=1)[:, 0]
    scale = np.sqrt(np.pi)  # mean gap: 2 sigma sqrt(2 / p) Gamma(3/2), sigma = 1, p = 2
    assert stats.kstest(gaps / scale, WignerSurmise().cdf).pvalue > 1e-6


def test_means_of_large_spectra_are_the_published_ones():
    """0.5307 and 0.3863, within five standard errors of 20 spectra of 800 levels."""
    for draws, mean in ((goe_eigenvalues(800, trials=20, rng=3), 0.5307), (points(800, 20), 0.38629)):
        found = [np.mean(spacing_ratios(row)) for row in draws]
        assert np.mean(found) == pytest.approx(mean, abs=5 * np.std(found) / np.sqrt(20) + 5e-5)


def points(k, trials):
    return independent_points(k, trials=trials, rng=4)


def test_the_comparison_has_its_level():
    """Null true: of 400 spectra, each against 39 draws at level 0.05, 20 refused; a band of level 1e-6."""
    spectra = points(30, 400 * 40).reshape(400, 40, 30)
    refused = sum(compare_ratios(own[0], own[1:], level=0.05).rejected for own in spectra)
    assert stats.binom.ppf(5e-7, 400, 0.05) <= refused <= stats.binom.isf(5e-7, 400, 0.05)


def test_the_comparison_tells_repulsion_from_independence():
    """At 200 levels the means are 7 standard deviations apart: power 1 up to 1e-6."""
    draws = goe_eigenvalues(200, trials=400, rng=6)
    lone = compare_ratios(points(200, 1)[0], draws)
    assert lone.rejected
    assert lone.p_value == 2 / 401
    assert lone.mean == pytest.approx(PoissonRatio().mean, abs=5 * 0.03)
    assert compare_ratios(draws[0], points(200, 400)).rejected
    # weight matrices at the start of training have the law of their own shape
    noise = null_singular_values((60, 40), trials=200, stream=Stream(8))
    assert compare_ratios(noise[0], noise[1:], level=0.02).expected == pytest.approx(0.53, abs=0.02)


def test_unfolding_takes_the_density_out():
    """GOE by its semicircle and by its own neighbourhood; exponential gaps by the latter; means are 1."""
    values = goe_eigenvalues(1000, rng=9)[0]
    exact = unfolded_spacings(values, Semicircle())
    assert exact.shape == (999,)
    assert np.mean(exact) == pytest.approx(1.0, abs=3e-3)
    local = unfolded_spacings(values)
    assert local.shape == (979,)
    for found in (exact, local):
        near, far = (np.max(np.abs(_ecdf(found, law))) for law in (WignerSurmise(), PoissonSpacing()))
        assert near < 0.06 < 0.15 < far
    lone = unfolded_spacings(points(1000, 1)[0] ** 2)
    assert np.max(np.abs(_ecdf(lone, PoissonSpacing()))) < 0.06
    assert stats.kstest(lone, WignerSurmise().cdf).pvalue < 1e-6


def _ecdf(spacings, law):
    x = np.sort(spacings)
    return np.arange(1, len(x) + 1) / len(x) - law.cdf(x)


def test_what_cannot_be_compared_is_refused():
    draws = goe_eigenvalues(10, trials=300, rng=1)
    with pytest.raises(InvalidInput, match="spectra of 9 levels"):
        compare_ratios(draws[0][:9], draws)
    with pytest.raises(InvalidInput, match="at least 199 for a level of"):
        compare_ratios(draws[0], draws[:150])
    with pytest.raises(InvalidInput, match="at least 22 levels"):
        unfolded_spacings(draws[0])
    with pytest.raises(InvalidInput, match="more than 21 equal levels"):
        unfolded_spacings(np.append(np.zeros(25), np.arange(1.0, 20.0)))
