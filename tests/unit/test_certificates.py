"""Certificates against their definitions, high precision and exact probabilities."""

import math

import mpmath
import numpy as np
import pytest
from scipy.special import ndtr

from rmttheory.arrays import InvalidInput
from rmttheory.networks import per_sample_cross_entropy
from rmttheory.theorem.certificates import (
    data_path_budget,
    gaussian_radius,
    loss_change_bounds,
    sup_change,
    width_where_radius_speaks,
)

EPS = 2.0**-52


class TestDataPath:
    R = np.array([[1.0, -2.0, 0.0], [3.0, 1.0, 1.0]])
    V = np.array([[1.0, 1.0, 1.0], [-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])

    def test_changes_by_hand(self):
        assert sup_change(self.R, self.V).tolist() == [5.0, 3.0, 0.0]

    def test_budget_by_hand(self):
        assert data_path_budget(self.R, self.V, 1.5) == pytest.approx(2 * 1.5 * 8 / 3)
        assert data_path_budget(self.R, self.V, np.array([1.0, 2.0, 9.0])) == pytest.approx(2 * 11 / 3)

    @pytest.mark.parametrize(
        ("inputs", "lipschitz", "match"),
        [
            (V[:, :2], 1.0, "3 columns"),
            (V[0], 1.0, "`inputs`"),
            (V, -1.0, "`lipschitz`"),
            (V, math.inf, "`lipschitz`"),
            (V, np.array([1.0, -1.0, 1.0]), "3 numbers >= 0"),
            (V, np.ones(2), "3 numbers >= 0"),
            (V, np.ones((3, 1)), "`lipschitz`"),
        ],
    )
    def test_bad_input(self, inputs, lipschitz, match):
        with pytest.raises(InvalidInput, match=match):
            data_path_budget(self.R, inputs, lipschitz)


class TestLossChange:
    def test_they_are_the_logarithms_in_high_precision(self):
        """A few roundings of logarithms up to ``size``, times the sensitivity: at most the loss itself."""
        rng, mp = np.random.default_rng(0), mpmath.mp
        with mp.workdps(60):
            for _ in range(500):
                loss, change = 10 ** rng.uniform(-300, 2.5), 10 ** rng.uniform(-4, 2.5)
                low, high = (float(end[0]) for end in loss_change_bounds(np.array([loss]), change))
                q = -mp.expm1(-mp.mpf(loss))
                exact = [mp.log1p(q * mp.expm1(sign * 2 * mp.mpf(change))) for sign in (-1, 1)]
                size = 4 * EPS * float(1 + loss + 2 * change + abs(mp.log(q)))
                assert abs(low - exact[0]) <= size * min(1, loss)
                assert abs(high - exact[1]) <= size * min(1, loss + float(exact[1]))

    @pytest.mark.parametrize("sign", [-1, 1])
    @pytest.mark.parametrize("lead", [-30.0, 0.0, 5.0, 30.0, 300.0])
    def test_both_ends_are_attained(self, sign, lead):
        before = np.array([[lead, 0.0, -1.0, 0.5]])
        after = before + sign * np.array([[-0.7, 0.7, 0.7, 0.7]])
        losses = [per_sample_cross_entropy(z, np.array([0])) for z in (before, after)]
        bound = loss_change_bounds(losses[0], 0.7)[int(sign > 0)]
        np.testing.assert_allclose(losses[1] - losses[0], bound, rtol=1e-11)

    def test_they_never_exceed_twice_the_change_and_reach_it_as_confidence_vanishes(self):
        losses = np.array([0.0, 5e-324, 1e-310, 1e-20, 1.0, 40.0, 800.0])
        for change in (0.0, 1e-3, 1.0, 300.0):
            low, high = loss_change_bounds(losses, change)
            assert np.all((low <= 0) & (high >= -EPS) & (high <= 2 * change * (1 + 4 * EPS) + EPS))
            assert np.all(low >= -2 * change * (1 + 4 * EPS) - EPS)
            assert high[-1] == pytest.approx(2 * change, abs=EPS)
        assert loss_change_bounds(losses[:1], 1.0)[1][0] < 1e-300

    def test_one_change_a_sample(self):
        low, high = loss_change_bounds(np.array([1.0, 1.0]), np.array([0.0, 2.0]))
        assert (low[0], high[0]) == pytest.approx((0, 0), abs=EPS)
        assert low[1] < -0.5 < 1 < high[1]

    @pytest.mark.parametrize(
        ("losses", "change"),
        [([-1e-3], 1.0), ([1.0], -1.0), ([1.0, 2.0], np.array([1.0, -1.0])), ([math.nan], 1.0), ([], 1.0)],
    )
    def test_bad_input(self, losses, change):
        with pytest.raises(InvalidInput, match="losses"):
            loss_change_bounds(np.array(losses), change)


class TestGaussianRadius:
    def test_by_hand(self):
        radius = gaussian_radius(3.0, 2.0, n=8, g=0.5, samples=10, delta=0.1)
        assert radius == pytest.approx(6.0 * math.sqrt(2 * 0.5 * math.log(1600) / 8))
        many = gaussian_radius(np.array([3.0, 0.0]), 2.0, n=8, g=0.5, samples=10, delta=0.1)
        assert many.tolist() == [radius, 0.0]

    @pytest.mark.parametrize("n", [1, 10, 1000, 10**6])
    @pytest.mark.parametrize("samples", [1, 1000])
    @pytest.mark.parametrize("delta", [0.5, 0.05, 1e-6])
    def test_it_fails_with_at_most_the_stated_probability(self, n, samples, delta):
        """Coordinates of ``R v`` are independent N(0, g |v|^2 / n); samples by the union bound."""
        u = gaussian_radius(1.0, 1.0, n=n, g=1.0, samples=samples, delta=delta) * math.sqrt(n)
        exceeded = -math.expm1(n * math.log1p(-2 * ndtr(-u)))
        assert exceeded * samples <= delta

    @pytest.mark.parametrize(
        "changes",
        [{"n": 0}, {"n": 2.5}, {"g": 0.0}, {"g": math.nan}, {"samples": 0}, {"delta": 0.0}, {"delta": 1.0}],
    )
    def test_bad_input(self, changes):
        with pytest.raises(InvalidInput, match=f"`{next(iter(changes))}`"):
            gaussian_radius(1.0, 1.0, **{"n": 8, "g": 1.0, "samples": 5, "delta": 0.05} | changes)
        with pytest.raises(InvalidInput, match="tail_lipschitz"):
            gaussian_radius(1.0, -1.0, n=8, g=1.0, samples=5, delta=0.05)


class TestWidth:
    @pytest.mark.parametrize("K", [0.01, 0.3, 1.0, 3.0, 10.0, 100.0, 1e5])
    @pytest.mark.parametrize("g", [1.0, 0.01])
    @pytest.mark.parametrize(("samples", "delta"), [(1, 0.9), (10_000, 0.05)])
    def test_it_is_the_least(self, K, g, samples, delta):
        known = {"g": g, "samples": samples, "delta": delta}
        width = width_where_radius_speaks(K, 1.0, **known)
        assert width == int(width)
        assert 2 * gaussian_radius(K, 1.0, n=int(width), **known) < 1.0
        assert width == 1 or not 2 * gaussian_radius(K, 1.0, n=int(width) - 1, **known) < 1.0

    def test_only_the_ratio_and_the_noise_level_matter(self):
        known = {"samples": 100, "delta": 0.05}
        width = width_where_radius_speaks(3.0, 1.0, g=1.0, **known)
        assert width_where_radius_speaks(6.0, 2.0, g=1.0, **known) == width
        assert width_where_radius_speaks(1.5, 1.0, g=4.0, **known) == width

    def test_no_width_and_every_width(self):
        known = {"g": 1.0, "samples": 5, "delta": 0.05}
        assert width_where_radius_speaks(1.0, 0.0, **known) == math.inf
        assert width_where_radius_speaks(1.0, -2.0, **known) == math.inf
        assert width_where_radius_speaks(1e200, 1.0, **known) == math.inf
        assert width_where_radius_speaks(0.0, 1e-9, **known) == 1.0
        assert 1e18 < width_where_radius_speaks(1e8, 1.0, **known) < 1e20

    def test_bad_input(self):
        for K, margin, match in ((-1.0, 1.0, "`K`"), (math.inf, 1.0, "`K`"), (1.0, math.nan, "`margin`")):
            with pytest.raises(InvalidInput, match=match):
                width_where_radius_speaks(K, margin, g=1.0, samples=5, delta=0.05)
