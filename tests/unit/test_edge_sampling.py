"""Edges from corners: equal to those of the whole band, and right where no whole exists."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import TracyWidom, edge_sampling, outlier, overlaps, sample_edge, tracy_widom_scaling
from rmttheory.matrices.edge_sampling import TwoSidedBand, _dense, settle


@pytest.mark.parametrize(
    ("shape", "spikes", "k"),
    [
        ((900, 700), (1.02, 3.0, 100.0), 5),  # near-critical and widely separated
        ((700, 700), (1.5, 1.5, 1.5), 6),  # repeated
        ((2000, 400), (0.3,), 4),  # below the threshold
        ((700, 700), (1.0005, 1.0), 3),  # at the threshold
    ],
)
def test_corner_agrees_with_the_whole(shape, spikes, k):
    """Values to 1e-13 of the first, against LAPACK's dense decomposition of all of the same band.

    Vectors at the edge, where values are ``p^(-2/3) / 4`` apart, lose that factor of ``eps`` and some more.
    """
    n, p = shape
    band = TwoSidedBand(shape, np.sort(spikes)[::-1] * math.sqrt(n), k, Stream(3))
    columns = band._columns(*band._sources(Stream(5)), 1, 0, p)[0]
    r = len(spikes)
    u, s, vt = np.linalg.svd(_dense(columns, r), full_matrices=False)
    found = settle(band, columns[: 2 * band.corner], 0, 1e-13)
    assert len(found.columns) < p
    np.testing.assert_allclose(found.values, s[:k], rtol=0, atol=1e-13 * s[0])
    assert np.max(np.abs(found.values - s[:k])) <= found.value_error
    if len(set(spikes)) == r:  # of repeated ones the values lie too close for their vectors to be known
        left, right = u[:r, :k], vt[:k, :r].T
        for seen, wanted in zip(found.overlaps, (left**2, right**2, left * right)):
            np.testing.assert_allclose(seen, wanted, rtol=0, atol=1e-11)


@pytest.mark.parametrize("spikes", [(), (1.2,), (1.3, 1.1)])
def test_a_small_corner_is_doubled_until_nothing_moves(spikes, monkeypatch):
    start = edge_sampling.corner_size((10**6, 10**6), max(len(spikes), 1), 2) // 16
    monkeypatch.setattr(edge_sampling, "corner_size", lambda *_: start)
    small = sample_edge((10**6, 10**6), spikes, k=2, trials=3, stream=Stream(1))
    assert np.all(small.corner > 2 * start)
    assert np.all(small.value_error <= 2e-13 * small.values[:, 0])


def test_corners_from_below():
    """By interlacing the values of a corner grow with it."""
    band = TwoSidedBand((800, 600), np.array([30.0, 26.0]), 3, Stream(3))
    columns = band._columns(*band._sources(Stream(5)), 1, 0, 600)[0]
    tops = np.stack([band.top(columns[:size]).values for size in (30, 60, 120, 240, 480)])
    assert np.all(np.diff(tops, axis=0) >= -1e-13 * tops[-1, 0])


@pytest.mark.parametrize("shape", [(9, 7), (6, 11), (300, 260)])
def test_couplings_add_up_to_the_path(shape):
    """``u_i^T W v_i`` is the sum of ``s_j <u_i, u_hat_j> <v_hat_j, v_i>`` over all triplets."""
    found = sample_edge(shape, (2.0, 1.5, 1.5), k=min(shape), g=0.5, trials=4, stream=Stream(6))
    sums = np.sum(found.coupling * found.values[:, None, :], axis=2)
    np.testing.assert_allclose(sums, found.path, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.coupling**2, found.left * found.right, rtol=0, atol=1e-13)


def test_paths_and_couplings_have_the_law_of_dense_draws():
    """Two-sample Kolmogorov-Smirnov tests at level 1e-8: with 3,000 draws a side laws further apart than
    0.080 + 0.04 are told apart with power 0.999. One with the other sign for the second triplet is refuted.
    """
    n, m, theta, draws = 20, 12, 1.0, 3000
    found = sample_edge((n, m), (theta,), k=2, trials=draws, stream=Stream(7))
    W = Stream(8).normal((draws, n, m), scale=1 / math.sqrt(n))
    W[:, 0, 0] += theta
    u, _, vt = np.linalg.svd(W, full_matrices=False)
    wanted = [W[:, 0, 0], *(u[:, 0, :2] * vt[:, :2, 0]).T]
    critical = math.sqrt(math.log(2e8) / draws)
    for seen, law in zip([found.path[:, 0], *found.coupling[:, 0].T], wanted):
        assert distance(seen, law) <= critical
    assert distance(-found.coupling[:, 0, 1], wanted[2]) > critical


def distance(a, b):
    """Two-sample Kolmogorov-Smirnov statistic."""
    both = np.concatenate([a, b])
    counts = [np.searchsorted(np.sort(x), both, side="right") / len(x) for x in (a, b)]
    return float(np.max(np.abs(counts[0] - counts[1])))


def test_streams_and_transposes(monkeypatch):
    call = {"spikes": (2.0, 1.5), "k": 3, "stream": Stream(4)}
    some = sample_edge((90, 60), trials=3, **call)
    many = sample_edge((90, 60), trials=5, **call)
    monkeypatch.setattr(edge_sampling, "_BLOCK", 1)
    split = sample_edge((90, 60), trials=3, **call)
    for name in ("values", "left", "right", "coupling", "path", "corner", "value_error"):
        np.testing.assert_array_equal(getattr(many, name)[:3], getattr(some, name))
        np.testing.assert_array_equal(getattr(split, name), getattr(some, name))
    wide = sample_edge((60, 90), (2.0, 1.5), k=3, g=60 / 90, trials=3, stream=Stream(4))
    np.testing.assert_allclose(wide.values, some.values, rtol=1e-13)
    np.testing.assert_allclose(wide.left, some.right, atol=1e-12)
    np.testing.assert_allclose(wide.coupling, some.coupling, atol=1e-12)
    np.testing.assert_allclose(wide.path, some.path, rtol=1e-13)
    assert some.spikes == (2.0, 1.5)
    assert json.loads(json.dumps(some.to_dict()))["corner"] == [60, 60, 60]


@pytest.mark.parametrize("n", [10**9, 10**12])
def test_outliers_of_huge_matrices(n):
    """At the limits up to fluctuations: standard deviations below ``3 / sqrt(n)`` (values) and, near the
    threshold, below ``30 / sqrt(n)`` (overlaps); ten of them are allowed, and at 10^9 that is 1e-3 or less.
    """
    c, spikes = 0.5, (3.0, 1.2)
    found = sample_edge((n, n // 2), spikes, k=3, stream=Stream(8))
    limits = overlaps(np.array(spikes), c)
    np.testing.assert_allclose(found.values[0, :2], outlier(np.array(spikes), c), atol=30 / math.sqrt(n))
    for squares, limit in zip((found.left, found.right), limits):
        np.testing.assert_allclose(np.diagonal(squares[0]), limit, atol=300 / math.sqrt(n))
        assert squares[0, 0, 1] < 300 / math.sqrt(n)
    assert 0 < 1 + math.sqrt(c) - found.values[0, 2] + 10 * n ** (-2 / 3) < 30 * n ** (-2 / 3)
    assert np.all(found.value_error <= 2e-13)


def test_edge_follows_tracy_widom():
    """Null: Tracy-Widom at n = 10^6, where the error of Ma's scaling, O(n^-2/3), is below 1e-3. Level 1e-6 by
    the bound of Dvoretzky, Kiefer, Wolfowitz and Massart: 0.11 at 600 draws. A law moved by half its standard
    deviation is 0.19 away and refuted with power 0.99.
    """
    n, m = 10**6, 10**6 // 4
    mu, sigma = tracy_widom_scaling(n, m)
    s = sample_edge((n, m), trials=600, stream=Stream(2)).values[:, 0]
    u = np.sort(TracyWidom(1).cdf((n * s**2 - mu) / sigma))
    steps = np.arange(601) / 600
    distance = max(np.max(steps[1:] - u), np.max(u - steps[:-1]))
    assert distance <= math.sqrt(math.log(2e6) / 1200) + 1e-3
    moved = np.sort(TracyWidom(1).cdf((n * s**2 - mu) / sigma + 0.63))
    assert max(np.max(steps[1:] - moved), np.max(moved - steps[:-1])) > math.sqrt(math.log(2e6) / 1200)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: sample_edge((0, 4)), "`shape` must be two whole numbers"),
        (lambda: sample_edge((5, 4), (1.0,) * 5), "`spikes` must hold at most 4"),
        (lambda: sample_edge((5, 4), k=5), "`k` must be at most 4"),
        (lambda: sample_edge((5, 4), k=None), "`k` must be a whole number"),
        (lambda: sample_edge((5, 4), g=0), "`g` must be a number > 0"),
        (lambda: sample_edge((5, 4), trials=0), "`trials` must be"),
        (lambda: sample_edge((5, 4), tolerance=0), "`tolerance` must be a number > 0"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert says in str(caught.value)
