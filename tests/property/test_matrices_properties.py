"""Deterministic facts about spikes, spectra and edges, searched for counterexamples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, target
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rmttheory.arrays import Stream
from rmttheory.matrices import (
    Spiked,
    SpikeStatus,
    StudentT,
    bulk_edge,
    d_transform,
    fit_edge,
    hard_threshold,
    kolmogorov_distance,
    lower_edge,
    null_singular_values,
    outlier,
    overlaps,
    parse_noise,
    shrink,
    singular_values,
    spacing_ratios,
    spectrum,
    spike_from_outlier,
    spike_threshold,
)

EPS = 2.0**-52

aspects = st.floats(-3, 3).map(lambda x: 10.0**x)
levels = st.floats(-4, 4).map(lambda x: 10.0**x)
ratios = st.floats(-6, 3).map(lambda x: 1 + 10.0**x)
"""Strengths in units of the threshold, above it, from 1e-6 beyond it to a thousand times it."""
entries = st.floats(-1e3, 1e3, allow_subnormal=False)
sides = st.integers(1, 8)


@st.composite
def matrices(draw):
    return draw(arrays(np.float64, (draw(sides), draw(sides)), elements=entries))


def condition(theta, c, g):
    """Relative change of theta per relative change of its outlier: y^2 / delta, large next to the edge."""
    z, root = theta**2 / g, math.sqrt(c)
    t, threshold = math.sqrt(z), math.sqrt(root)
    return (1 + z) * (c + z) / ((t - threshold) * (t + threshold) * (z + root))


@given(ratios, aspects, levels)
def test_the_inverse_undoes_the_outlier_map(ratio, c, g):
    theta = ratio * spike_threshold(c, g)
    s = outlier(theta, c, g)
    assert s >= bulk_edge(c, g)
    found = spike_from_outlier(s, c, g)
    # Next to the edge the outlier is quadratically close to it: the spike is lost once that is one rounding.
    slack = 16 * EPS * condition(theta, c, g)
    if slack < 0.01:
        assert found.status is SpikeStatus.SUPERCRITICAL
        assert abs(found.theta / theta - 1) <= slack
        assert np.abs(np.array(overlaps(theta, c, g)) - (found.left_overlap, found.right_overlap)).max() <= (
            8 * slack
        )
    elif found.status is SpikeStatus.SUPERCRITICAL:
        assert found.theta >= spike_threshold(c, g) * (1 - 4 * EPS)


@given(ratios, aspects, levels)
def test_transposing_swaps_the_sides(ratio, c, g):
    """W^T is m x n with entries of variance (g c) / m: aspect 1 / c, noise level g c."""
    theta = ratio * spike_threshold(c, g)
    assert spike_threshold(1 / c, g * c) == pytest.approx(spike_threshold(c, g), rel=8 * EPS, abs=0)
    assert bulk_edge(1 / c, g * c) == pytest.approx(bulk_edge(c, g), rel=8 * EPS, abs=0)
    assert outlier(theta, 1 / c, g * c) == pytest.approx(outlier(theta, c, g), rel=16 * EPS, abs=0)
    assert overlaps(theta, 1 / c, g * c) == pytest.approx(overlaps(theta, c, g)[::-1], abs=64 * EPS)
    assert hard_threshold(1 / c, g * c) == pytest.approx(hard_threshold(c, g), rel=16 * EPS, abs=0)


@given(ratios, aspects, levels)
def test_everything_scales_with_the_noise(ratio, c, g):
    theta, root = ratio * spike_threshold(c), math.sqrt(g)
    s = outlier(theta, c)
    slack = 16 * EPS * (1 + condition(theta, c, 1.0))
    assert outlier(root * theta, c, g) == pytest.approx(root * s, rel=16 * EPS, abs=0)
    assert lower_edge(c, g) == pytest.approx(root * lower_edge(c), rel=8 * EPS, abs=0)
    if slack < 0.01 and root * s > bulk_edge(c, g):
        assert d_transform(root * s, c, g) == pytest.approx(d_transform(s, c) / g, rel=slack, abs=0)


@given(ratios, aspects, levels)
def test_order_of_the_shrinkers(ratio, c, g):
    """Nuclear <= Frobenius <= operator <= spike < outlier; overlaps in [0, 1), and growing."""
    theta = ratio * spike_threshold(c, g)
    s = np.array([outlier(theta, c, g)])
    nuclear, frobenius, operator = (
        float(shrink(s, c, g, loss=loss)[0]) for loss in ("nuclear", "frobenius", "operator")
    )
    slack = 8 * EPS * s[0]
    assert 0 <= nuclear <= frobenius <= operator + slack
    if float(s[0]) > bulk_edge(c, g):
        assert operator <= spike_from_outlier(float(s[0]), c, g).theta + slack
    assert theta < s[0]
    stronger = overlaps(1.5 * theta, c, g)
    for weak, strong in zip(overlaps(theta, c, g), stronger):
        assert 0 <= weak <= strong <= 1


@given(arrays(np.float64, st.integers(1, 6), elements=st.floats(0, 50)), aspects)
def test_vectorised_is_one_by_one(theta, c):
    np.testing.assert_array_equal(outlier(theta, c), [outlier(float(t), c) for t in theta])
    pairs = [overlaps(float(t), c) for t in theta]
    np.testing.assert_array_equal(np.stack(overlaps(theta, c), axis=1), pairs)


@given(matrices())
def test_spectrum_is_invariant(W):
    found = spectrum(W)
    s, slack = found.values, 2 * found.accuracy + 16 * EPS * np.max(np.abs(W))
    assert np.all(s >= 0)
    assert np.all(np.diff(s) <= 0)
    padded = np.vstack([W, np.zeros((1, W.shape[1]))])
    for other in (W.T, -W, W[::-1].copy(), padded):
        np.testing.assert_allclose(singular_values(other)[: len(s)], s, rtol=0, atol=slack)
    np.testing.assert_allclose(singular_values(0.25 * W), 0.25 * s, rtol=0, atol=slack)
    size = np.max(np.abs(W)) or 1.0
    assert np.sum((s / size) ** 2) == pytest.approx(np.sum((W / size) ** 2), rel=64 * EPS, abs=0)


@given(matrices())
@example(np.array([[220.0, 232, 408, 408], [408, 408, 408, 1.25], [408] * 4, [408] * 4]))  # singular
def test_both_methods_agree_within_their_accuracy(W):
    by_gram, by_svd = spectrum(W, method="gram"), spectrum(W, method="svd")
    error = float(np.max(np.abs(by_gram.values - by_svd.values)))
    allowed = by_gram.accuracy + by_svd.accuracy
    if allowed > 0:
        target(error / allowed)
    assert error <= allowed


@given(sides, sides, st.integers(1, 3), st.integers(0, 10))
def test_rank_moves_values_by_at_most_its_number(n, m, rank, seed):
    """Interlacing: s_(i + r)(R) <= s_i(R + S) <= s_(i - r)(R) for S of rank r, and Weyl's bound."""
    rank = min(rank, n, m)
    draw = Spiked((n, m), tuple(range(2, 2 + rank))).sample(seed)
    w, r = singular_values(draw.W), singular_values(draw.R)
    slack = 1e-7 * (w[0] + r[0])
    assert np.all(w[: len(w) - rank] >= r[rank:] - slack)
    assert np.all(w[rank:] <= r[: len(r) - rank] + slack)
    signal = np.concatenate([draw.theta, np.zeros(len(w) - rank)])
    assert np.all(np.abs(w - signal) <= r[0] + slack)


@given(arrays(np.float64, st.integers(3, 12), elements=st.floats(0, 1e3, allow_subnormal=False)))
def test_spacing_ratios_are_ratios_in_any_order(values):
    found = spacing_ratios(values)
    assert found.shape == (len(values) - 2,)
    assert np.all((found >= 0) & (found <= 1))
    np.testing.assert_array_equal(spacing_ratios(values[::-1].copy()), found)


class Uniform:
    def cdf(self, x):
        return np.clip(x, 0.0, 1.0)


@given(arrays(np.float64, st.integers(1, 9), elements=st.floats(-1, 2)))
def test_kolmogorov_distance_is_attained_at_a_jump(values):
    distance = kolmogorov_distance(values, Uniform())
    ordered = np.sort(values)
    steps = np.arange(len(values) + 1) / len(values)
    cdf = np.clip(ordered, 0.0, 1.0)
    assert distance == pytest.approx(max(np.max(steps[1:] - cdf), np.max(cdf - steps[:-1])), abs=4 * EPS)
    assert 0.5 / len(values) - 4 * EPS <= distance <= 1.0


@given(st.integers(1, 12), st.integers(1, 12), st.integers(0, 5), st.floats(1e-3, 1e3))
def test_null_values_scale_and_turn(n, m, seed, g):
    s = null_singular_values((n, m), g=g, trials=2, stream=Stream(seed))
    other = null_singular_values((m, n), g=g * m / n, trials=2, stream=Stream(seed))
    np.testing.assert_allclose(other, s, rtol=1e-12, atol=1e-9 * math.sqrt(g))


@given(
    st.integers(8, 24),
    st.integers(8, 24),
    st.integers(0, 5),
    st.floats(-3, 3),
    st.sampled_from(["bema", "fit", "median"]),
    st.floats(0.05, 0.45),
    st.floats(0.01, 0.9),
)
def test_fits_scale_and_count_what_lies_above(n, m, seed, exponent, method, alpha, level):
    scale = 10.0**exponent
    s = Spiked((n, m), (6.0 * spike_threshold(m / n),)).singular_values(seed)[0]
    found = fit_edge(s, (n, m), method=method, alpha=alpha, level=level)
    scaled = fit_edge(scale * s, (n, m), method=method, alpha=alpha, level=level)
    assert scaled.g == pytest.approx(scale**2 * found.g, rel=1e-9, abs=0)
    assert scaled.edge == pytest.approx(scale * found.edge, rel=1e-9, abs=0)
    assert found.spikes == np.count_nonzero(s > found.edge)
    assert 0 <= found.misfit <= 1
    stricter = fit_edge(s, (n, m), method=method, alpha=alpha, level=level / 2)
    assert stricter.spikes <= found.spikes


@given(st.floats(2, 1e6, exclude_min=True))
def test_noise_names_keep_every_digit(df):
    assert parse_noise(StudentT(df).name) == StudentT(df)
