import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, RmtError, Stream
from rmttheory.matrices import extreme_eigenvalues, sample_goe, spectral_density
from rmttheory.matrices.wigner import Semicircle

EPS = 2.0**-52
GOE = sample_goe(300, stream=Stream(3))
VALUES = np.linalg.eigvalsh(GOE)


class Counted:
    """A matrix that can only be multiplied."""

    def __init__(self, A):
        self.A, self.shape, self.products = A, A.shape, 0

    def __matmul__(self, v):
        self.products += 1
        return self.A @ v


@pytest.mark.parametrize("end", ["top", "bottom"])
def test_the_ends_of_a_crowded_spectrum(end):
    """Values err by the square of the residual over the gap, far below the rounding of LAPACK."""
    A = Counted(GOE)
    found = extreme_eigenvalues(A, 4, end=end)
    expected = VALUES[::-1][:4] if end == "top" else VALUES[:4]
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=300 * EPS * 2)
    assert np.all(found.residuals <= 1e-9 * 2.1)
    assert found.products == A.products < 150
    residuals = np.linalg.norm(GOE @ found.vectors - found.vectors * found.values, axis=0)
    np.testing.assert_allclose(found.residuals, residuals, rtol=0, atol=300 * EPS * 4)


def test_residuals_bound_errors():
    """Before values have converged: within its residual of each there is an eigenvalue."""
    found = extreme_eigenvalues(GOE, 2, tolerance=0.05)
    assert np.max(found.residuals) > 1e-3
    distances = np.min(np.abs(found.values[:, None] - VALUES[None, :]), axis=1)
    assert np.all(distances <= found.residuals)


def test_what_ends_early_goes_on():
    """Few eigenvalues, each many times, and none but 0."""
    three = np.diag(np.repeat([3.0, 1.0, -2.0], 20))
    assert extreme_eigenvalues(three).values[0] == pytest.approx(3.0, abs=60 * EPS * 3)
    assert extreme_eigenvalues(three, end="bottom").values[0] == pytest.approx(-2.0, abs=60 * EPS * 3)
    assert abs(extreme_eigenvalues(np.zeros((6, 6))).values[0]) <= 6 * EPS
    assert extreme_eigenvalues(np.full((1, 1), 7.0)).values[0] == 7.0


def test_what_is_not_symmetric_is_refused():
    with pytest.raises(InvalidInput, match="`A` must be symmetric"):
        extreme_eigenvalues(np.triu(GOE))
    with pytest.raises(RmtError, match="do not belong to one symmetric matrix"):
        extreme_eigenvalues(Counted(np.triu(GOE)), tolerance=0.9)
    with pytest.raises(InvalidInput, match="`A` must be square, not 2 x 3"):
        spectral_density(np.ones((2, 3)))
    with pytest.raises(InvalidInput, match="`A` must be an array or have"):
        spectral_density(3)
    with pytest.raises(InvalidInput, match=r"must be of shape \(4,\)"):
        spectral_density(Wrong(), steps=2)
    with pytest.raises(InvalidInput, match="Products with `A` are not finite"):
        extreme_eigenvalues(Counted(np.diag([np.inf] * 4)))
    with pytest.raises(RmtError, match="did not converge in 20 products"):
        extreme_eigenvalues(GOE, limit=20)
    with pytest.raises(InvalidInput, match="`steps` must be at most 300"):
        spectral_density(GOE, steps=301)


class Wrong:
    shape = (4, 4)

    def __matmul__(self, v):
        return v[:2]


@pytest.mark.parametrize("probe", ["gaussian", "rademacher"])
def test_quadrature_is_exact_for_polynomials(probe):
    """Of each probe: sum w x^k = q^T A^k q for all k < 2 steps. Numbers up to 2^k, 300 roundings each."""
    found = spectral_density(GOE, steps=5, probes=2, probe=probe, stream=Stream(8))
    for i in range(2):
        own = Stream(8).child("probe", i)
        q = own.normal(300) if probe == "gaussian" else own.signs(300)
        power = q / np.linalg.norm(q)
        start = power
        for k in range(10):
            mine = float(np.sum(found.weights[i] * found.nodes[i] ** k))
            assert mine == pytest.approx(float(start @ power), abs=300 * (k + 1) * EPS * 2.1**k)
            power = GOE @ power
    with pytest.raises(InvalidInput, match="`order` must be at most 9 for 5 steps"):
        found.moment(10)


def test_probes_are_unbiased_and_say_how_far_off_they_are():
    """Null: moments are unbiased. Six standard scores; each exceeds 5 with probability 1.3e-5 (t, 39)."""
    found = spectral_density(GOE, steps=12, probes=40, stream=Stream(9))
    for k in range(1, 7):
        value, error = found.moment(k)
        assert abs(value - np.mean(VALUES**k)) <= 5 * error
    variance = 2 * (np.mean(VALUES**2) - np.mean(VALUES) ** 2) / (300 + 2)  # of q^T A q, q uniform
    ratio = 40 * found.moment(1).error ** 2 / variance
    assert 0.3 < ratio < 2.2  # chi^2 with 39 degrees over 39: outside with p < 1e-4


def test_the_density_is_that_of_the_eigenvalues():
    """Smoothed alike, the empirical density of all eigenvalues; level 3e-5 for each of 9 points (t, 29)."""
    x, width = np.linspace(-2, 2, 9), 0.2
    found = spectral_density(GOE, steps=40, probes=30, stream=Stream(10))
    density, error = found.density(x, width)
    kernel = np.exp(-0.5 * ((x[:, None] - VALUES) / width) ** 2) / (np.sqrt(2 * np.pi) * width)
    assert np.all(np.abs(density - np.mean(kernel, axis=1)) <= 5 * error)
    share, error = found.cdf(np.array([-1.0, 0.0, 1.0]), 0.01)
    exact = np.mean(VALUES[None, :] <= np.array([-1.0, 0.0, 1.0])[:, None], axis=1)
    assert np.all(np.abs(share - exact) <= 5 * error + 0.01 * 3 * float(Semicircle().pdf(0.0)))


def test_a_full_run_is_the_spectrum():
    """As many steps as rows: the nodes are the eigenvalues."""
    found = spectral_density(GOE[:40, :40], steps=40, probes=2)
    np.testing.assert_allclose(found.nodes[0], np.linalg.eigvalsh(GOE[:40, :40]), rtol=0, atol=40 * EPS * 4)
