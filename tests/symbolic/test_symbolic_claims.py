"""The identities are proved, their variants are not, and they speak of what the package computes."""

import numpy as np
import pytest

from rmttheory.matrices import (
    MarchenkoPastur,
    bulk_edge,
    d_transform,
    outlier,
    overlaps,
    shrink,
    spike_from_outlier,
)
from rmttheory.theorem.judging import verify
from rmttheory.theorem.statements import symbolic_bounds, symbolic_laws, symbolic_spikes
from rmttheory.theorem.verdicts import Outcome

IDENTITIES = symbolic_spikes.CLAIMS + symbolic_laws.CLAIMS + symbolic_bounds.CLAIMS
POINTS = [(c, excess) for c in (0.1, 1.0, 4.0) for excess in (1.05, 1.5, 3.0)]
"""Aspect ratios, and spikes in units of the threshold."""

# dozens of roundings, on expressions whose condition near the threshold is 1 / (excess - 1) at most
RELATIVE = 1e-12


@pytest.mark.parametrize("claim", IDENTITIES, ids=lambda claim: claim.id)
def test_it_is_proved_in_seconds(claim):
    verdict = verify(claim)
    assert verdict.outcome is Outcome.CERTIFIED, verdict.why
    assert verdict.seconds < 10


@pytest.mark.parametrize("claim", IDENTITIES, ids=lambda claim: claim.id)
def test_it_does_not_hold_by_the_way_it_is_written(claim):
    # a residual that vanishes as soon as it is built compares an expression with itself
    assert any(residual != 0 for residual in claim.residuals())


@pytest.mark.parametrize(
    "name", [f"{claim.id}/{control}" for claim in IDENTITIES for control in claim.controls]
)
def test_the_wrong_variant_is_refuted_at_a_point(name):
    verdict = verify(name)
    assert verdict.outcome is Outcome.REFUTED
    assert "differ by" in verdict.why


@pytest.mark.parametrize(("c", "excess"), POINTS)
def test_symbols_are_the_formulas_of_the_package(c, excess):
    theta = excess * c**0.25
    z, y = theta**2, outlier(theta, c)
    assert symbolic_spikes._outlier_squared(z, c) == pytest.approx(y**2, rel=RELATIVE, abs=0)
    assert symbolic_spikes._overlaps(z, c) == pytest.approx(overlaps(theta, c), rel=RELATIVE, abs=0)
    inverse = float(symbolic_spikes._inverse_squared(y**2, c)) ** 0.5
    assert inverse == pytest.approx(spike_from_outlier(y, c).theta, rel=RELATIVE, abs=0)
    left, right = overlaps(theta, c)
    frobenius = shrink(np.array([y]), c)[0]
    assert frobenius == pytest.approx(theta * (left * right) ** 0.5, rel=RELATIVE, abs=0)
    assert y * (left * right) ** 0.5 == pytest.approx(theta - c / theta**3, rel=RELATIVE, abs=0)
    assert d_transform(y, c) == pytest.approx(1 / z, rel=RELATIVE, abs=0)
    # a square root begins at the edge: a rounding eps there is sqrt(4 (1 + c) eps / c) in the transform
    assert d_transform(bulk_edge(c), c) == pytest.approx(
        c**-0.5, rel=(4 * (1 + 1 / c) * 2.0**-52) ** 0.5, abs=0
    )


@pytest.mark.parametrize(("c", "excess"), POINTS)
def test_the_operator_shrinker_is_a_minimum_and_not_only_stationary(c, excess):
    """In the plane of ``u, u_hat`` and that of ``v, v_hat`` the error is a 2 x 2 matrix."""
    theta = excess * c**0.25
    eta = shrink(np.array([outlier(theta, c)]), c, loss="operator")[0]
    if c >= 1:
        assert symbolic_spikes._leeb(theta**2, c) == pytest.approx(eta**2, rel=RELATIVE, abs=0)
    left, right = (np.array([overlap**0.5, (1 - overlap) ** 0.5]) for overlap in overlaps(theta, c))

    def norm(scale):
        return np.linalg.norm(theta * np.outer([1, 0], [1, 0]) - scale * eta * np.outer(left, right), 2)

    scales = [0.5, 0.9, 0.99, 1.01, 1.1, 1.5]
    assert all(norm(1.0) < norm(scale) for scale in scales)


@pytest.mark.parametrize("c", [0.25, 1.0, 3.0])
def test_the_law_of_the_package_has_the_proved_moments_and_tail(c):
    import sympy

    law = MarchenkoPastur(c)
    for k in range(1, 7):
        narayana = sum(c**r / (r + 1) * sympy.binomial(k, r) * sympy.binomial(k - 1, r) for r in range(k))
        assert law.moment(k) == pytest.approx(float(narayana), rel=RELATIVE, abs=0)
    phi, q = np.linspace(0.05, 3.1, 40), c**0.5
    corner = abs(1 - c) / (2 * c) * np.arctan(abs(1 - q) / (1 + q) * np.tan(phi / 2))
    tail = 2 / np.pi * (-np.sin(phi) / (2 * q) + (1 + c) * phi / (4 * c) - corner)
    np.testing.assert_allclose(law.sf(1 + c + 2 * q * np.cos(phi)), tail, rtol=0, atol=1e-13)
