"""Closed forms of spikes against high precision, against their definitions and against matrices."""

from __future__ import annotations

import json
import math

import mpmath
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import (
    MarchenkoPastur,
    Spiked,
    SpikeStatus,
    bulk_edge,
    d_transform,
    hard_threshold,
    hard_threshold_unknown_noise,
    lower_edge,
    outlier,
    overlaps,
    shrink,
    spike_from_outlier,
    spike_threshold,
)

EPS = 2.0**-52
ASPECTS = (1e-6, 0.01, 0.25, 0.4, 1.0, 2.5, 4.0, 100.0, 1e6)
EXACT_ROOTS = (1 / 256, 0.25, 1.0, 4.0, 256.0)
"""Aspect ratios whose root is a float, so that the edge is exact and nothing excuses a lost digit."""


def exact(theta, c, g):
    """Outlier and overlaps with 40 digits."""
    with mpmath.workdps(40):
        z, c = mpmath.mpf(theta) ** 2 / g, mpmath.mpf(c)
        rho = mpmath.sqrt(g * (1 + z) * (c + z) / z)
        return rho, (z**2 - c) / (z**2 + z), (z**2 - c) / (z**2 + c * z)


@pytest.mark.parametrize("c", ASPECTS)
@pytest.mark.parametrize("g", [1.0, 0.3])
def test_outlier_and_overlaps_to_rounding(c, g):
    theta = spike_threshold(c, g) * np.array([1 + 1e-9, 1 + 1e-4, 1.1, 2.0, 30.0, 1e5])
    s, (left, right) = outlier(theta, c, g), overlaps(theta, c, g)
    for i, t in enumerate(theta):
        rho, cu, cv = exact(t, c, g)
        assert abs(s[i] - rho) <= 8 * EPS * rho
        # An overlap moves by at most 4 times the relative error of theta / threshold, some roundings.
        assert abs(left[i] - cu) <= 32 * EPS
        assert abs(right[i] - cv) <= 32 * EPS


@pytest.mark.parametrize("c", EXACT_ROOTS)
def test_inverse_keeps_every_digit_next_to_the_edge(c):
    """With h^2 - 4c taken as a difference, the first point would lose half of the digits of theta."""
    for gap in (2.0**-40, 2.0**-20, 0.125, 3.0):
        s = (1 + math.sqrt(c)) * (1 + gap)
        with mpmath.workdps(60):
            h = mpmath.mpf(s) ** 2 - c - 1
            delta = mpmath.sqrt(h**2 - 4 * c)
            z = (h + delta) / 2
        found = spike_from_outlier(s, c)
        assert found.status is SpikeStatus.SUPERCRITICAL
        assert abs(found.theta - mpmath.sqrt(z)) <= 8 * EPS * mpmath.sqrt(z)
        assert abs(found.left_overlap - delta / (z + 1)) <= 16 * EPS * found.left_overlap
        assert abs(found.right_overlap - delta / (z + c)) <= 16 * EPS * found.right_overlap


@pytest.mark.parametrize("c", ASPECTS)
def test_edges_and_everything_below_the_threshold(c):
    g = 0.7
    edge, threshold = bulk_edge(c, g), spike_threshold(c, g)
    assert (lower_edge(c, g), edge) == pytest.approx(
        MarchenkoPastur(c, g).singular().support, rel=4 * EPS, abs=0
    )
    theta = np.array([0.0, 0.5, 1.0]) * threshold
    np.testing.assert_array_equal(outlier(theta, c, g), edge)
    np.testing.assert_array_equal(overlaps(theta, c, g), 0.0)
    below = spike_from_outlier(edge, c, g)
    assert below.status is SpikeStatus.SUBCRITICAL
    assert math.isnan(below.theta)
    assert (below.left_overlap, below.right_overlap) == (0.0, 0.0)
    for loss in ("frobenius", "operator", "nuclear"):
        np.testing.assert_array_equal(shrink(np.array([0.0, 0.5 * edge, edge]), c, g, loss=loss), 0.0)


@pytest.mark.parametrize("c", [0.1, 0.5, 1.0])
def test_d_transform_is_the_one_of_the_definition(c):
    """D(z) = phi(z) (c phi(z) + (1 - c) / z), phi(z) = int z / (z^2 - t^2) over the law of the values."""
    g = 1.7
    law = MarchenkoPastur(c, g).singular()
    for z in np.array([1.01, 1.3, 4.0]) * bulk_edge(c, g):
        phi = quad(
            lambda t, z=z: z / (z * z - t * t) * law.pdf(t), *law.support, epsabs=0, epsrel=1e-11, limit=200
        )[0]
        assert d_transform(float(z), c, g) == pytest.approx(phi * (c * phi + (1 - c) / z), rel=1e-9, abs=0)


def test_d_transform_ties_outlier_and_threshold_together():
    for c in ASPECTS:
        assert d_transform(bulk_edge(c, 2.0), c, 2.0) == pytest.approx(spike_threshold(c, 2.0) ** -2)
        theta = spike_threshold(c, 2.0) * np.array([1.3, 2.0, 9.0])
        s = outlier(theta, c, 2.0)
        z = theta**2 / 2.0
        condition = s**2 / (z - c / z)  # relative change of D to that of s
        np.testing.assert_array_less(np.abs(d_transform(s, c, 2.0) * theta**2 - 1), 8 * EPS * condition)


def remaining(eta, theta, left, right, loss):
    """Norm of theta u v^T - eta u_hat v_hat^T in the limit, where the overlaps are known."""
    u, v = (np.array([math.sqrt(x), math.sqrt(1 - x)]) for x in (left, right))
    s = np.linalg.svd(np.diag([theta, 0.0]) - eta * np.outer(u, v), compute_uv=False)
    return {"frobenius": math.hypot(*s), "operator": s[0], "nuclear": s.sum()}[loss]


@pytest.mark.parametrize("c", [0.2, 0.4, 1.0, 2.5])
@pytest.mark.parametrize("loss", ["frobenius", "operator", "nuclear"])
def test_shrinkers_minimise_their_loss(c, loss):
    g = 0.6
    for ratio in (1.05, 1.2, 1.6, 3.0):
        theta = ratio * spike_threshold(c, g)
        left, right = overlaps(theta, c, g)
        s = outlier(theta, c, g)
        eta = float(shrink(np.array([s]), c, g, loss=loss)[0])
        best = minimize_scalar(
            remaining, bounds=(0.0, s), args=(theta, left, right, loss), options={"xatol": 1e-10}
        )
        # The minimiser's own accuracy: the loss is flat to rounding over sqrt(eps).
        assert remaining(eta, theta, left, right, loss) <= best.fun * (1 + 1e-12)
        assert eta == pytest.approx(best.x, abs=1e-5 * s)
        if loss == "operator" and c != 1.0:  # control: "eta = theta" of the 2017 paper
            assert remaining(theta, theta, left, right, loss) > best.fun * (1 + 1e-4)


@pytest.mark.parametrize("c", [0.1, 1.0, 3.0])
def test_hard_threshold_is_where_keeping_and_dropping_cost_the_same(c):
    cut = hard_threshold(c, 2.0)
    theta = spike_from_outlier(cut, c, 2.0).theta
    left, right = overlaps(theta, c, 2.0)
    assert remaining(cut, theta, left, right, "frobenius") == pytest.approx(theta, rel=1e-13, abs=0)
    assert cut > bulk_edge(c, 2.0)


def test_hard_threshold_constants():
    assert hard_threshold(1.0) == pytest.approx(4 / math.sqrt(3), rel=4 * EPS, abs=0)
    # Published to four digits (Gavish and Donoho, table IV); 4 is 1/4 transposed.
    for c, omega in ((1.0, 2.8584), (0.5, 2.1712), (0.25, 1.8369), (4.0, 1.8369)):
        assert hard_threshold(c) / MarchenkoPastur(c).singular().ppf(0.5) == pytest.approx(omega, abs=5e-5)


@pytest.mark.parametrize("shape", [(60, 30), (30, 60), (41, 41)])
def test_unknown_noise_uses_the_median(shape):
    count, c = min(shape), shape[1] / shape[0]
    s = 3.0 * MarchenkoPastur(c).singular().ppf((np.arange(count) + 0.5) / count)
    assert hard_threshold_unknown_noise(s, shape) == pytest.approx(hard_threshold(c, 9.0), rel=1e-3)
    s[-1] = 1e6
    assert hard_threshold_unknown_noise(s[::-1], shape) == pytest.approx(hard_threshold(c, 9.0), rel=1e-3)


@pytest.mark.parametrize(("n", "m"), [(600, 150), (300, 300), (150, 600)])
def test_overlaps_of_matrices(n, m):
    """Null: the mean overlap of 40 draws is the formula up to its bias at finite size.

    Level 1e-6 a side (4.9 standard errors of the mean) after 8 / n for the bias, measured below 4 / n. The
    alternative is the formula with left and right swapped, which off-square lies 15 standard errors away.
    """
    c = m / n
    model = Spiked((n, m), (1.8 * spike_threshold(c),))
    found = []
    for i in range(40):
        draw = model.sample(Stream(5).child(n, m, i))
        u, _, vt = np.linalg.svd(draw.W, full_matrices=False)
        found.append(((u[:, 0] @ draw.U[:, 0]) ** 2, (vt[0] @ draw.V[:, 0]) ** 2))
    mean, error = np.mean(found, axis=0), np.std(found, axis=0) / math.sqrt(40)
    expected = np.array(overlaps(model.spikes[0], c))
    allowed = 4.9 * error + 8 / min(n, m)
    assert np.all(np.abs(mean - expected) <= allowed)
    if n != m:
        assert np.all(np.abs(mean - expected[::-1]) > allowed)


def test_numbers_give_numbers_and_arrays_give_arrays():
    assert type(outlier(2.0, 0.5)) is float
    assert [type(x) for x in overlaps(2, 0.5)] == [float, float]
    assert outlier(np.array([[2.0, 3.0]]), 0.5).shape == (1, 2)
    assert d_transform(np.array([3.0]), 0.5).shape == (1,)
    assert shrink([3.0, 1.0], 0.5).shape == (2,)


def test_an_estimate_in_json():
    assert spike_from_outlier(1.0, 1.0).to_dict()["theta"] is None
    plain = json.loads(json.dumps(spike_from_outlier(3.0, 1.0).to_dict()))
    assert plain["status"] == "supercritical"
    assert plain["theta"] == pytest.approx((3 + math.sqrt(5)) / 2)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: bulk_edge(0.0), "`c` must be a number > 0, not 0.0"),
        (lambda: lower_edge(-1.0), "`c` must be a number > 0"),
        (lambda: spike_threshold(1.0, 0.0), "`g` must be a number > 0, not 0.0"),
        (lambda: outlier(1.0, math.nan), "`c` must be a number > 0"),
        (lambda: outlier(-1.0, 1.0), "`theta` must hold finite numbers >= 0, not -1.0"),
        (lambda: overlaps(np.array([1.0, math.inf]), 1.0), "`theta` must hold finite numbers >= 0, not inf"),
        (lambda: spike_from_outlier(-2.0, 1.0), "`s` must be a number >= 0, not -2.0"),
        (lambda: d_transform(1.9, 1.0), "`z` must be at or above the bulk edge 2, not 1.9"),
        (lambda: shrink(np.ones(3), 1.0, loss="operater"), "Did you mean operator"),
        (lambda: hard_threshold_unknown_noise(np.ones(3), (4, 5)), "all 4 singular values of a 4 x 5"),
        (lambda: hard_threshold_unknown_noise(np.ones(3), (4, 0)), "two whole numbers >= 1"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert says in str(caught.value)
