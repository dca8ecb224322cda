"""The laws against Fredholm determinants, which share nothing with the script that makes their table."""

from __future__ import annotations

import math
from pathlib import Path

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from rmttheory.arrays import InvalidInput
from rmttheory.matrices import tracy_widom
from rmttheory.matrices.tables import fredholm, make_tracy_widom
from rmttheory.matrices.tracy_widom import TracyWidom, largest_singular_value_quantile, tracy_widom_scaling

EPS = np.finfo(np.float64).eps
BETAS = (1, 2, 4)
TABLES = Path(tracy_widom.__file__).parent / "tables"


def reference(beta):
    """The stored determinants of one law: ``s, cdf, sf`` with 20 correct digits."""
    with mp.workdps(25):
        rows = [row for row in fredholm.reference_values() if row["beta"] == beta]
        assert len(rows) == 40
        return [(row["s"], mpf(row["cdf"]), mpf(row["sf"])) for row in rows]


@pytest.mark.parametrize("beta", BETAS)
def test_forty_determinants_absolutely_and_relatively(beta):
    """1e-12 is promised absolutely and 1e-8 relatively; log-odds of size z cost a relative ``eps z``."""
    law = TracyWidom(beta)
    with mp.workdps(25):
        for s, cdf, sf in reference(beta):
            assert abs(law.cdf(s) - cdf) <= 4 * EPS
            assert abs(law.sf(s) - sf) <= 4 * EPS
            allowed = 4 * EPS * (1 + abs(mpmath.log(cdf / sf)))
            assert abs(law.cdf(s) / cdf - 1) <= allowed
            assert abs(law.sf(s) / sf - 1) <= allowed
            log_cdf = mpmath.log(cdf) if cdf < 0.5 else mpmath.log1p(-sf)
            log_sf = mpmath.log(sf) if sf < 0.5 else mpmath.log1p(-cdf)
            assert abs(law.logcdf(s) / log_cdf - 1) <= allowed
            assert abs(law.logsf(s) / log_sf - 1) <= allowed


@pytest.mark.parametrize("beta", BETAS)
def test_the_stored_determinants_reach_both_ends_of_double_precision(beta):
    assert min(cdf for _, cdf, _ in reference(beta)) < 1e-250
    assert min(sf for _, _, sf in reference(beta)) < 1e-250
    assert sum(0.001 < cdf < 0.999 for _, cdf, _ in reference(beta)) >= 8


@pytest.mark.parametrize(("beta", "s"), [(1, -3.5), (1, 1.0), (2, -2.0), (2, 0.5), (4, -2.5), (4, 0.0)])
def test_determinants_computed_now(beta, s):
    """With 48 nodes the quadrature is exact to 1e-17 here, by the stored values, which have more."""
    value = fredholm.determinant(beta, s)
    (exact,) = (cdf for point, cdf, _ in reference(beta) if point == s)
    assert abs(value - exact) <= 1e-17
    assert abs(TracyWidom(beta).cdf(s) - value) <= 4 * EPS


@pytest.mark.parametrize("beta", BETAS)
def test_density_is_the_derivative_of_determinants(beta):
    """The central difference of step 1e-6 is exact to 1e-12."""
    law, step = TracyWidom(beta), mpf("1e-6")
    for s in (-2.5, -1.0):
        with mp.workdps(30):
            up, down = (fredholm.determinant(beta, s + sign * step) for sign in (1, -1))
            slope = (up - down) / (2 * step)
        assert law.pdf(s) == pytest.approx(float(slope), rel=0, abs=2e-12)


@pytest.mark.parametrize("beta", BETAS)
def test_density_integrates_to_the_distribution_function(beta):
    """Gauss's rule on intervals of 1/4, relative to the mass of each, in both tails."""
    law = TracyWidom(beta)
    nodes, weights = np.polynomial.legendre.leggauss(20)
    start = np.arange(-16, 30, 0.25)
    points = start[:, None] + (nodes + 1) / 8
    mass = law.pdf(points) @ weights / 8
    exact = np.where(
        start < law.mean, np.diff(law.cdf(np.append(start, 30))), -np.diff(law.sf(np.append(start, 30)))
    )
    assert np.all(np.abs(mass / exact - 1) <= 1e-11)
    assert law.logpdf(points) == pytest.approx(np.log(law.pdf(points)), rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("beta", BETAS)
def test_moments_are_the_published_ones(beta):
    """Bornemann, Markov Process. Relat. Fields 16 (2010) 803; beta 4 on the scale of Tracy and Widom."""
    published = {
        1: (-1.206533574582, 1.607781034581),
        2: (-1.771086807411, 0.813194792833),
        4: (-2.306884893241, 0.517723720773),
    }
    assert (TracyWidom(beta).mean, TracyWidom(beta).var) == pytest.approx(published[beta], rel=0, abs=1e-12)


def test_quantiles_are_the_published_ones():
    quantiles = {
        0.01: -3.8954,
        0.05: -3.1804,
        0.1: -2.7824,
        0.5: -1.2686,
        0.9: 0.4501432891,
        0.95: 0.9793160535,
    }
    for q, s in {**quantiles, 0.99: 2.0234492814}.items():
        digits = len(str(s).split(".")[1])
        assert round(TracyWidom(1).ppf(q), digits) == s


def test_the_three_laws_are_related():
    """``F4(s / sqrt 2) = (F1(s) + F2(s) / F1(s)) / 2`` ties three separate tables together."""
    s = np.linspace(-8, 6, 400)
    one, two, four = (TracyWidom(beta) for beta in BETAS)
    assert four.cdf(s / math.sqrt(2)) == pytest.approx(
        (one.cdf(s) + two.cdf(s) / one.cdf(s)) / 2, rel=1e-13, abs=0
    )


@pytest.mark.parametrize("beta", BETAS)
def test_distribution_functions_are_monotone_and_continuous(beta):
    law = TracyWidom(beta)
    s = np.linspace(-60, 130, 300_001)
    assert np.all(np.diff(law.cdf(s)) >= 0)
    assert np.all(np.diff(law.sf(s)) <= 0)
    # logarithms of a tail change by more than rounding at this step: strictly monotone, and without jumps
    for values in (law.logcdf(s[s < law.mean]), -law.logsf(s[s > law.mean])):
        steps = np.diff(values)
        assert np.all(steps > 0)
        assert np.all(np.abs(np.diff(steps)) <= 1e-3 * steps[1:] + 1e-11)
    ends = tracy_widom._load(beta).centre.ends
    gap = law.logcdf(np.nextafter(ends, np.inf)) - law.logcdf(np.nextafter(ends, -np.inf))
    assert np.all(np.abs(gap) <= 8 * EPS * (1 + np.abs(law.logcdf(ends)) + np.abs(ends * law.pdf(ends))))


@pytest.mark.parametrize("beta", BETAS)
def test_both_tails_follow_their_leading_terms_far_out(beta):
    """The limits of ``-log F / |s|**3`` and ``-log(1 - F) / s**(3/2)`` (Baik, Buckingham, DiFranco 2008)."""
    left = {1: 1 / 24, 2: 1 / 12, 4: 2**1.5 / 24}[beta]
    right = {1: 2 / 3, 2: 4 / 3, 4: 4 / 3 * 2**0.75}[beta]
    law, far = TracyWidom(beta), np.array([1e3, 1e10, 1e80])
    assert -law.logcdf(-far) / far**3 == pytest.approx(left, rel=1e-3, abs=0)
    assert -law.logsf(far) / far**1.5 == pytest.approx(right, rel=1e-3, abs=0)
    assert -law.logcdf(-1e80) / 1e240 == pytest.approx(left, rel=1e-13, abs=0)
    assert -law.logsf(1e80) / 1e120 == pytest.approx(right, rel=1e-13, abs=0)


@pytest.mark.parametrize("beta", BETAS)
def test_nothing_is_nan_and_limits_are_exact(beta):
    law = TracyWidom(beta)
    far = 10.0 ** np.arange(-320, 308.25, 0.25)
    s = np.concatenate([[-np.inf], -far[::-1], [-0.0, 0.0], far, [np.inf]])
    for method in (law.pdf, law.logpdf, law.cdf, law.logcdf, law.sf, law.logsf):
        assert not np.isnan(method(s)).any()
    assert (law.cdf(-math.inf), law.cdf(math.inf), law.sf(-math.inf), law.sf(math.inf)) == (0, 1, 1, 0)
    assert (law.logcdf(-math.inf), law.logsf(math.inf), law.logcdf(math.inf)) == (-math.inf, -math.inf, 0)
    assert (law.pdf(-math.inf), law.pdf(math.inf), law.logpdf(math.inf)) == (0, 0, -math.inf)
    assert (law.ppf(0), law.ppf(1), law.isf(0), law.isf(1)) == (-math.inf, math.inf, math.inf, -math.inf)
    q = np.concatenate([[5e-324, 1e-308, 1 - EPS], np.linspace(0, 1, 10_001)[1:-1]])
    assert np.isfinite(law.ppf(q)).all()
    assert np.isfinite(law.isf(q)).all()
    assert math.isnan(law.cdf(math.nan))  # only NaN gives NaN


@given(st.sampled_from(BETAS), st.floats(-307, -0.001))
def test_quantiles_invert_both_tails_relatively(beta, exponent):
    law, q = TracyWidom(beta), 10.0**exponent
    allowed = 8 * EPS * (1 - math.log(q))  # the log-odds on the way and back
    slack = 4 * EPS * (1 + abs(math.log(q)))
    assert law.cdf(law.ppf(q)) == pytest.approx(q, rel=allowed + slack, abs=0)
    assert law.sf(law.isf(q)) == pytest.approx(q, rel=allowed + slack, abs=0)


@pytest.mark.parametrize("beta", BETAS)
def test_subnormal_probabilities_are_not_lost(beta):
    """Their spacing is 5e-324, and log-odds of 745 cost a relative 2e-13 each way."""
    law, q = TracyWidom(beta), np.array([5e-309, 1e-312, 1e-320])
    assert np.all(np.abs(law.cdf(law.ppf(q)) - q) <= 2e-12 * q + 5e-324)
    assert np.all(np.abs(law.sf(law.isf(q)) - q) <= 2e-12 * q + 5e-324)


@given(st.sampled_from(BETAS), st.floats(0, 1))
def test_quantiles_invert_the_distribution_function(beta, q):
    law = TracyWidom(beta)
    assert abs(law.cdf(law.ppf(q)) - q) <= 4 * EPS
    assert abs(law.sf(law.isf(q)) - q) <= 4 * EPS


@given(st.sampled_from(BETAS), st.floats(-1e3, 1e3), st.floats(0, 10))
def test_probabilities_add_to_one_and_grow(beta, s, step):
    law = TracyWidom(beta)
    assert abs(law.cdf(s) + law.sf(s) - 1) <= 2 * EPS
    assert law.cdf(s) <= law.cdf(s + step)
    assert law.logcdf(s) <= law.logcdf(s + step)
    assert law.logsf(s) >= law.logsf(s + step)


def test_numbers_give_floats_and_arrays_keep_their_shape():
    law = TracyWidom(1)
    for method in (law.pdf, law.logpdf, law.cdf, law.logcdf, law.sf, law.logsf, law.ppf, law.isf):
        assert type(method(0.5)) is float
        grid = np.full((2, 3), 0.5)
        grid.flags.writeable = False
        assert np.array_equal(method(grid), np.full((2, 3), method(0.5)))
    assert law.support == (-math.inf, math.inf)
    assert law.rvs((2, 3), rng=1).shape == (2, 3)
    assert np.array_equal(law.rvs(4, rng=1), law.rvs(4, rng=1))


@pytest.mark.parametrize("bad", [0, 3, 1.5, "1", None])
def test_another_beta_is_refused(bad):
    with pytest.raises(InvalidInput, match="`beta` must be 1, 2 or 4"):
        TracyWidom(bad)


def test_no_probability_is_refused():
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(InvalidInput, match="probability"):
            TracyWidom(1).ppf(bad)
        with pytest.raises(InvalidInput, match="probability"):
            TracyWidom(1).isf(bad)


def test_scaling_of_finite_matrices():
    centre, scale = tracy_widom_scaling(200, 50)
    assert tracy_widom_scaling(50, 200) == (centre, scale)
    assert centre == pytest.approx((math.sqrt(199.5) + math.sqrt(49.5)) ** 2, rel=1e-15, abs=0)
    assert scale**3 == pytest.approx(centre**2 / math.sqrt(199.5 * 49.5), rel=1e-14, abs=0)
    q = largest_singular_value_quantile(0.9, (200, 50), 2.0)
    assert q**2 * 200 / 2.0 == pytest.approx(centre + scale * TracyWidom(1).ppf(0.9), rel=1e-14, abs=0)
    assert largest_singular_value_quantile(1e-9, (1, 1)) == 0
    for shape, edge in (((10**12, 10**12), 2.0), ((10**12, 10**10), 1.1)):
        assert largest_singular_value_quantile(0.5, shape) == pytest.approx(edge, rel=1e-7, abs=0)


def test_scaling_refuses_what_is_not_a_shape_or_a_probability():
    with pytest.raises(InvalidInput, match="`m` must be a whole number"):
        tracy_widom_scaling(3, 0)
    with pytest.raises(InvalidInput, match="`q` must be a number in"):
        largest_singular_value_quantile(1.0, (3, 3), 1.0)
    with pytest.raises(InvalidInput, match="`g` must be a number > 0"):
        largest_singular_value_quantile(0.5, (3, 3), 0.0)
    with pytest.raises(InvalidInput, match="`shape`"):
        largest_singular_value_quantile(0.5, (3, -3), 1.0)


def test_the_table_is_small():
    assert (TABLES / "tracy_widom.npz").stat().st_size < 64 * 1024


@pytest.mark.slow
def test_the_script_makes_the_committed_table(tmp_path):
    make_tracy_widom.main(tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == (TABLES / "tracy_widom.npz").read_bytes()
