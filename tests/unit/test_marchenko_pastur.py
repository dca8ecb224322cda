"""The laws against their definition, the density integrated in high precision, and against each other."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from rmttheory.arrays import InvalidInput
from rmttheory.matrices.laws import MarchenkoPastur, QuarterCircle, SingularMarchenkoPastur

EPS = np.finfo(np.float64).eps
ASPECTS = [1e-3, 9e-3, 0.0101, 0.25, 0.5, 0.999, 1.0, 1.001, 2.0, 10.0, 1e3]  # the formula changes at 0.01
PROBABILITIES = [1e-12, 1e-6, 0.01, 0.2, 0.5, 0.8, 0.99, 1 - 1e-6, 1 - 1e-12]


def edges(c, v):
    """Exact edges, in the working precision."""
    return mpf(v) * (1 - mpmath.sqrt(mpf(c))) ** 2, mpf(v) * (1 + mpmath.sqrt(mpf(c))) ** 2


def density(c, v, x):
    """The definition of the continuous part."""
    lower, upper = edges(c, v)
    inside = max((upper - x) * (x - lower), mpf(0))
    return mpmath.sqrt(inside) / (2 * mp.pi * mpf(c) * mpf(v) * x) if inside else mpf(0)


def tails(c, v, x):
    """Exact mass of the continuous part below and above ``x``, by quadrature of the density."""
    with mp.workdps(30):
        lower, upper = edges(c, v)
        below = mpmath.quad(lambda t: density(c, v, t), [lower, x])
        above = mpmath.quad(lambda t: density(c, v, t), [x, upper])
        assert abs(below + above - min(mpf(1), 1 / mpf(c))) < 1e-16  # the reference is right
        return below, above


def points(law):
    """Points inside the support, among them 1e-8 from both edges, relatively and absolutely."""
    low, high = law.support
    near = [low * (1 + 1e-8), low + 1e-8, high - 1e-8, high * (1 - 1e-8)]
    return np.array([x for x in [*near, *np.linspace(low, high, 8)[1:-1]] if low < x < high])


@pytest.mark.parametrize("c", ASPECTS)
def test_cdf_and_sf_are_the_integrals_of_the_density(c):
    law = MarchenkoPastur(c, 0.7)
    x = points(law)
    assert len(x) >= 9
    for value, cdf, sf in zip(x, law.cdf(x), law.sf(x)):
        below, above = tails(c, 0.7, value)
        assert abs(mpf(cdf) - (1 - min(mpf(1), 1 / mpf(c))) - below) <= 1e-14
        assert abs(mpf(sf) - above) <= 1e-14
        # up to the edge: the closed form loses a factor of about 4 / sqrt(c) at the switch, c = 0.01
        assert abs(mpf(sf) / above - 1) <= 60 * EPS
        if law.atom == 0:
            assert abs(mpf(cdf) / below - 1) <= 60 * EPS


@pytest.mark.parametrize("c", ASPECTS)
def test_quantiles_invert_the_integral_of_the_density(c):
    law = MarchenkoPastur(c, 0.7)
    inside = [p for p in PROBABILITIES if p > law.atom]
    for p, x in zip(inside, law.ppf(np.array(inside))):
        assert abs(law.atom + tails(c, 0.7, x)[0] - mpf(p)) <= 1e-14
    for q in (1e-12 * min(1.0, 1 / c), 0.01 / max(1.0, c)):
        x = law.isf(q)
        rounding = EPS * x * law.pdf(x)  # of x itself, which no formula avoids
        assert abs(tails(c, 0.7, x)[1] - mpf(q)) <= 2 * rounding + 60 * EPS * q


@pytest.mark.parametrize("c", [1 - 1e-6, 1 - 1e-9, 1 - 1e-12, 1 - 1e-15, 1.0, 1 + 1e-9])
def test_quantiles_invert_where_the_lower_edge_is_nearly_hard(c):
    p = np.concatenate([10.0 ** -np.arange(1.0, 30.0), np.linspace(0, 1, 3001)[1:-1]])
    for law in (MarchenkoPastur(c), SingularMarchenkoPastur(c)):
        assert np.max(np.abs(law.cdf(law.ppf(p)) - np.maximum(p, law.atom))) <= 4 * EPS
        if c < 1:  # relatively too, where the rounding of the quantile itself is not seen
            x = law.ppf(p)
            away = (p < 1e-3) & (x > 2 * law.support[0])
            assert away.sum() > 2
            assert law.cdf(x[away]) == pytest.approx(p[away], rel=60 * EPS, abs=0)


@pytest.mark.parametrize("c", ASPECTS)
def test_the_law_of_singular_values_is_the_square_root_of_the_other(c):
    law, weight = MarchenkoPastur(c, 0.7).singular(), min(mpf(1), 1 / mpf(c))
    s = points(law)
    for value, pdf, cdf, sf in zip(s, law.pdf(s), law.cdf(s), law.sf(s)):
        with mp.workdps(30):
            square = mpf(value) ** 2
            expected = 2 * value * density(c, 0.7, square) / weight
        below, above = tails(c, 0.7, square)
        assert abs(mpf(cdf) - below / weight) <= 1e-14
        assert abs(mpf(sf) / (above / weight) - 1) <= 60 * EPS
        assert abs(mpf(pdf) / expected - 1) <= 20 * EPS
    for p, value in zip(PROBABILITIES, law.ppf(np.array(PROBABILITIES))):
        assert abs(tails(c, 0.7, mpf(value) ** 2)[0] / weight - mpf(p)) <= 1e-14
    assert law.atom == 0
    assert law.support == pytest.approx(np.sqrt(MarchenkoPastur(c, 0.7).support), rel=1e-12, abs=0)


@pytest.mark.parametrize("c", ASPECTS)
def test_density_is_its_definition(c):
    law = MarchenkoPastur(c, 0.7)
    x = points(law)
    with mp.workdps(30):
        expected = [density(c, 0.7, mpf(value)) for value in x]
    assert all(abs(mpf(pdf) / exact - 1) <= 20 * EPS for pdf, exact in zip(law.pdf(x), expected))
    assert law.logpdf(x) == pytest.approx(np.log(law.pdf(x)), rel=1e-15, abs=0)


def test_density_on_and_beyond_the_edges():
    for law in (MarchenkoPastur(0.5), MarchenkoPastur(3.0), SingularMarchenkoPastur(0.5)):
        low, high = law.support
        outside = np.array([-np.inf, -1.0, 0.0, low * (1 - 1e-9), high * (1 + 1e-9), 1e300, np.inf])
        assert np.all(law.pdf(outside) == 0)
        assert np.all(law.logpdf(outside) == -np.inf)
    hard = MarchenkoPastur(1.0, 2.0)  # the density grows as x**(-1/2) at the hard edge
    assert hard.pdf(0.0) == hard.pdf(-0.0) == math.inf
    assert hard.pdf(1e-200) == pytest.approx(1 / (math.pi * math.sqrt(2.0e-200)), rel=1e-14, abs=0)
    assert hard.pdf(-1e-200) == 0
    assert hard.singular().pdf(0.0) == pytest.approx(2 / (math.pi * math.sqrt(2.0)), rel=1e-15, abs=0)


def test_the_quarter_circle_is_the_square_case():
    law, s = QuarterCircle(variance=2.0), np.linspace(0, 2 * math.sqrt(2.0), 9)[:-1]
    assert law.pdf(s) == pytest.approx(np.sqrt(8 - s**2) / (2 * math.pi), rel=1e-14, abs=0)
    assert np.array_equal(law.cdf(s), SingularMarchenkoPastur(1.0, 2.0).cdf(s))
    assert law.aspect == 1


def test_the_atom_of_a_wide_matrix():
    law = MarchenkoPastur(4.0)
    assert law.atom == law.cdf(0.0) == law.cdf(0.5) == 0.75
    assert law.sf(0.0) == law.sf(0.5) == 0.25
    assert law.cdf(-1e-300) == 0
    assert law.sf(-1e-300) == 1
    assert np.all(law.ppf([0.0, 0.3, 0.75]) == 0)
    assert law.isf(0.25) == law.isf(1.0) == 0
    low, high = law.support
    assert low < law.ppf(np.nextafter(0.75, 1)) < low + 1e-9
    assert law.ppf(1.0) == high
    assert law.pdf(0.0) == 0  # the density is of the continuous part


def test_published_slips_are_absent():
    """Above the edge a cdf is 1 (not 0, not ``2 - gamma``); outside the support a density is 0, not NaN."""
    for gamma in (0.1, 0.5, 1.0, 2.0):
        for law in (MarchenkoPastur(gamma), MarchenkoPastur(gamma).singular()):
            low, high = law.support
            beyond = np.array([high, high * (1 + EPS), 2 * high, 1e300, np.inf])
            assert np.all(law.cdf(beyond) == 1)
            assert np.all(law.sf(beyond[1:]) == 0)
            assert 0 <= law.sf(high) <= EPS**1.5  # the exact edge may lie just above its float
            everywhere = np.concatenate([-beyond, np.linspace(-1, 2 * high, 1001), beyond])
            assert np.all((law.cdf(everywhere) >= 0) & (law.cdf(everywhere) <= 1))
            assert np.all(law.pdf(everywhere) >= 0)
            outside = everywhere[(everywhere < low) | (everywhere > high)]
            assert np.all(law.pdf(outside) == 0)
            assert np.all(law.logpdf(outside) == -np.inf)


@pytest.mark.parametrize("c", [0.01, 0.3, 0.97, 1.0, 2.5, 40.0])
def test_moments_are_integrals_of_powers(c):
    law, singular = MarchenkoPastur(c, 1.3), SingularMarchenkoPastur(c, 1.3)
    with mp.workdps(30):
        low, high = edges(c, 1.3)
        for k in range(8):
            power = mpf(k) / 2
            cuts = [low, (low + high) / 2, high]
            exact = mpmath.quad(lambda x: x**power * density(c, 1.3, x), cuts)  # noqa: B023
            assert singular.moment(k) == pytest.approx(
                float(exact / min(mpf(1), 1 / mpf(c))), rel=1e-13, abs=0
            )
            if k % 2 == 0 and k > 0:
                assert law.moment(k // 2) == pytest.approx(float(exact), rel=1e-14, abs=0)
    assert (law.moment(0), singular.moment(0)) == (1, 1)
    assert (law.mean, law.var) == pytest.approx((1.3, 1.3**2 * c), rel=1e-15, abs=0)
    assert singular.var == pytest.approx(singular.moment(2) - singular.mean**2, rel=1e-15, abs=0)


def test_moments_of_square_matrices_are_catalan_numbers():
    assert [MarchenkoPastur(1.0).moment(k) for k in range(7)] == [1, 1, 2, 5, 14, 42, 132]
    assert [SingularMarchenkoPastur(1.0).moment(2 * k) for k in range(7)] == [1, 1, 2, 5, 14, 42, 132]
    assert SingularMarchenkoPastur(1.0).mean == pytest.approx(8 / (3 * math.pi), rel=1e-15, abs=0)


def test_numbers_give_floats_and_arrays_keep_their_shape():
    law = MarchenkoPastur(0.5)
    for method in (law.pdf, law.logpdf, law.cdf, law.sf, law.ppf, law.isf):
        assert type(method(0.5)) is float
        assert type(method(np.float32(0.5))) is float
        assert type(method(1)) is float
        grid = np.full((3, 1, 2), 0.25)
        grid.flags.writeable = False
        assert method(grid).shape == (3, 1, 2)
        assert np.all(method(grid) == method(0.25))
        assert method([]).shape == (0,)
    x = np.linspace(0, 3, 100_003)  # longer than a block
    assert np.array_equal(law.cdf(x)[::1000], law.cdf(x[::1000]))
    assert math.isnan(law.cdf(math.nan))
    assert math.isnan(law.pdf(math.nan))


@pytest.mark.parametrize("c", [1e-100, 1e-16, 1 - EPS, 1.0, 1 + EPS, 1e16, 1e100])
@pytest.mark.parametrize("v", [1e-100, 1e100])
def test_no_aspect_ratio_and_no_argument_gives_nan(c, v):
    for law in (MarchenkoPastur(c, v), SingularMarchenkoPastur(c, v)):
        low, high = law.support
        x = np.array([-np.inf, -1e308, -0.0, 0.0, 5e-324, (low + high) / 2, high, 1e308, np.inf])
        q = np.array([0.0, 5e-324, 1e-20, 0.5, 1 - EPS, 1.0])
        for values in (law.pdf(x), law.logpdf(x), law.cdf(x), law.sf(x), law.ppf(q), law.isf(q)):
            assert not np.isnan(values).any()
        assert np.all(np.diff(law.cdf(x)) >= 0)
        assert np.all(np.diff(law.ppf(q)) >= 0)


@pytest.mark.parametrize("bad", [0, -1, math.inf, math.nan, "wide", None])
def test_parameters_that_are_not_positive_are_refused(bad):
    with pytest.raises(InvalidInput, match="`aspect` must be a number > 0"):
        MarchenkoPastur(bad)
    with pytest.raises(InvalidInput, match="`variance` must be a number > 0"):
        SingularMarchenkoPastur(0.5, bad)


def test_arguments_that_mean_nothing_are_refused():
    law = MarchenkoPastur(0.5)
    for bad in (-0.1, 1.1, math.nan, [0.5, 2.0]):
        with pytest.raises(InvalidInput, match=r"probability must be a number in \[0, 1\]"):
            law.ppf(bad)
        with pytest.raises(InvalidInput, match=r"probability must be a number in \[0, 1\]"):
            law.isf(bad)
    for bad in (-1, 0.5):
        with pytest.raises(InvalidInput, match="`k` must be a whole number >= 0"):
            law.moment(bad)
        with pytest.raises(InvalidInput, match="`k` must be a whole number >= 0"):
            law.singular().moment(bad)
    with pytest.raises(InvalidInput, match="`cdf` needs real numbers"):
        law.cdf("x")
    with pytest.raises(InvalidInput, match="floating-point range"):
        MarchenkoPastur(1e10, 1e300)


def test_draws_follow_the_law():
    """Null: draws have this law. Alternative: another variance, by 25 %. Level and power: see below.

    Both come from the inequality of Dvoretzky, Kiefer, Wolfowitz and Massart: the largest distance of an
    empirical cdf of n draws exceeds t with probability at most 2 exp(-2 n t**2) = 1e-6 at n = 20,000, so the
    alternative, whose cdf is more than 2 t away, is missed with probability at most 1e-6 too.
    """
    n = 20_000
    t = math.sqrt(math.log(2 / 1e-6) / (2 * n))
    for law in (MarchenkoPastur(0.3, 2.0), MarchenkoPastur(2.0), SingularMarchenkoPastur(0.3)):
        wrong = type(law)(law.aspect, 1.25 * law.variance)
        grid = np.linspace(*law.support, 1001)
        assert np.max(np.abs(law.cdf(grid) - wrong.cdf(grid))) > 2 * t
        drawn = np.sort(law.rvs(n, rng=11))
        ranks = np.searchsorted(drawn, grid, side="right") / n
        assert np.max(np.abs(ranks - law.cdf(grid))) <= t
        assert np.max(np.abs(ranks - wrong.cdf(grid))) > t  # the control


def test_draws_depend_on_the_seed_alone():
    law = MarchenkoPastur(0.5)
    assert np.array_equal(law.rvs((3, 4), rng=5), law.rvs((3, 4), rng=5))
    assert law.rvs((3, 4), rng=5).shape == (3, 4)
    assert not np.array_equal(law.rvs(5, rng=5), law.rvs(5, rng=6))


aspects = st.floats(-3, 3).map(lambda e: 10.0**e)
fractions = st.lists(st.floats(-0.1, 1.1), min_size=2, max_size=30)
probabilities = st.lists(st.floats(0, 1), min_size=2, max_size=30)


@given(aspects, fractions)
def test_cdf_and_sf_are_monotone_and_add_to_one(c, u):
    for law in (MarchenkoPastur(c), SingularMarchenkoPastur(c)):
        low, high = law.support
        x = np.sort(low + (high - low) * np.array(u))
        cdf, sf = law.cdf(x), law.sf(x)
        assert np.max(np.abs(cdf + sf - 1)) <= 16 * EPS
        assert np.all(np.diff(cdf) >= -16 * EPS)  # rounding may reverse neighbours that nearly coincide
        assert np.all(np.diff(sf) <= 16 * EPS)


@given(aspects, probabilities)
def test_ppf_is_monotone_and_inverts_cdf(c, q):
    q = np.sort(np.array(q))
    for law in (MarchenkoPastur(c), SingularMarchenkoPastur(c)):
        x = law.ppf(q)
        low, high = law.support
        assert np.all((x == 0) | ((x >= low) & (x <= high)))
        assert np.all(np.diff(x) >= -4 * EPS * high)
        assert np.max(np.abs(law.cdf(x) - np.maximum(q, law.atom))) <= 1e-14


@given(aspects, probabilities)
def test_a_matrix_and_its_transpose_have_the_same_singular_values(c, q):
    """``n x m`` with variance ``g / n`` is ``m x n`` with variance ``c g / m``."""
    here, there = SingularMarchenkoPastur(c), SingularMarchenkoPastur(1 / c, c)
    s = here.ppf(np.array(q))
    assert there.ppf(np.array(q)) == pytest.approx(s, rel=0, abs=32 * EPS * here.support[1])
    assert there.support == pytest.approx(here.support, rel=0, abs=8 * EPS * here.support[1])


@given(aspects, fractions, st.integers(-20, 20))
def test_the_scale_is_only_a_scale(c, u, k):
    """Multiplying the variance by ``4**k`` is exact in binary, so nothing else may change."""
    for law, factor in ((MarchenkoPastur, 4.0**k), (SingularMarchenkoPastur, 2.0**k)):
        one, other = law(c), law(c, 4.0**k)
        x = one.support[1] * np.array(u)
        assert np.array_equal(one.cdf(x), other.cdf(factor * x))
        assert np.array_equal(one.sf(x), other.sf(factor * x))
        q = np.clip(u, 0, 1)
        assert np.array_equal(factor * one.ppf(q), other.ppf(q))
        assert one.pdf(x) == pytest.approx(factor * other.pdf(factor * x), rel=4 * EPS, abs=0)
