"""Actions of one draw fit together to rounding: images, triplets and energies are those of one matrix."""

from __future__ import annotations

import itertools
import math
import tracemalloc

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import actions, outlier, overlaps, sample_action
from rmttheory.matrices.edge_sampling import TwoSidedBand, settle
from rmttheory.matrices.tracy_widom import largest_singular_value_quantile


def signal(n, m, r, seed=3):
    stream = Stream(seed)
    return stream.child("U").orthonormal(n, r), np.linspace(3.0, 1.0, r), stream.child("V").orthonormal(m, r)


def forced_corner(monkeypatch, columns):
    """Take the corner of this many columns, whether or not it holds the triplets."""
    monkeypatch.setattr(actions, "settle", lambda band, drawn, *_: band.top(drawn[:columns]))
    monkeypatch.setattr(TwoSidedBand, "corner", TwoSidedBand.whole)


def assert_of_one_matrix(found, W, frame):
    """All that an action says about ``W``, its images of the unit vectors; ``frame`` bounds ``1 / s_p``."""
    S, R, k = found.signal.T, W - found.signal.T, len(found.values)
    s = np.linalg.svd(W, compute_uv=False)
    slack = 1e-11 * s[0]
    assert found.noise_energy == pytest.approx(np.sum(R**2), rel=1e-11)
    assert found.signal_energy == pytest.approx(np.sum(S**2), rel=1e-13, abs=1e-13)
    assert found.cross == pytest.approx(np.sum(S * R), abs=slack * (1 + np.sum(S**2)))
    np.testing.assert_allclose(found.values, s[:k], rtol=0, atol=slack)
    np.testing.assert_allclose(found.left @ found.left.T, np.eye(k), rtol=0, atol=frame)
    np.testing.assert_allclose(found.seen.T @ found.seen, np.eye(k), rtol=0, atol=frame)
    np.testing.assert_allclose(W @ found.seen, found.left.T * found.values, rtol=0, atol=slack)


@pytest.mark.parametrize("size", range(1, 7))
def test_unit_vectors_show_the_whole_matrix(size):
    """Every shape, rank and number of triplets.

    Frames are normals divided by their triangular factor, which loses digits as its condition grows: with a
    fixed seed 1e-11 leaves a hundredfold of what was seen.
    """
    for other, transposed in itertools.product(range(1, 7), (False, True)):
        n, m = (other, size) if transposed else (size, other)
        for r in range(min(n, m) + 1):
            U, theta, V = signal(n, m, r)
            for k in {0, 1, min(n, m)}:
                found = sample_action(U, theta, V, np.eye(m), g=1.3, k=k, stream=Stream(n).child(m, r, k))
                np.testing.assert_allclose(found.signal, (V * theta) @ U.T, rtol=0, atol=1e-14)
                assert_of_one_matrix(found, found.whole.T, frame=1e-11)
                if k == min(n, m):
                    np.testing.assert_allclose(found.kept(found.values), found.whole, rtol=0, atol=1e-11)
                    np.testing.assert_array_equal(found.truncated(0.0), found.kept(found.values))


@pytest.mark.parametrize(("n", "m", "r"), [(9, 7, 2), (7, 7, 1), (5, 9, 2), (4, 9, 3), (9, 4, 3), (6, 8, 0)])
def test_corners_of_any_size(n, m, r, monkeypatch):
    """The corner decides about the triplets alone: energies are those of the images at every size."""
    U, theta, V = signal(n, m, r)
    for columns in range(max(r, 1), min(m, n + max(r, 1)) + 1):
        forced_corner(monkeypatch, columns)
        found = sample_action(U, theta, V, np.eye(m), k=1, stream=Stream(5).child(columns))
        S, R = found.signal.T, found.whole.T - found.signal.T
        assert found.noise_energy == pytest.approx(np.sum(R**2), rel=1e-11)
        assert found.cross == pytest.approx(np.sum(S * R), abs=1e-11)
        assert found.values[0] <= np.linalg.norm(found.whole, 2) + 1e-12


@pytest.mark.parametrize(("n", "m"), [(320, 300), (250, 420)])
def test_corners_that_hold_the_triplets(n, m):
    """Less than the whole is drawn, and the triplets are those of the whole matrix."""
    r, k = 2, 3
    U, theta, V = signal(n, m, r)
    band = TwoSidedBand((n, m), theta, k, Stream())
    assert 2 * band.corner < min(n, m)
    found = sample_action(U, theta, V, np.eye(m), k=k, stream=Stream(6))
    assert_of_one_matrix(found, found.whole.T, frame=1e-11)
    assert np.all(np.abs(found.values - np.linalg.svd(found.whole, compute_uv=False)[:k]) < 1e-13 * 4)
    edge = 0.5 * (found.values[1] + found.values[2])
    u, s, vt = np.linalg.svd(found.whole.T)
    wanted = (u[:, :2] * s[:2]) @ vt[:2]
    np.testing.assert_allclose(found.truncated(edge), wanted.T, rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    ("n", "m", "spikes", "k"),
    [
        (2000, 400, (1.0,), 1),
        (10**4, 10**4, (1.5, 0.0), 3),
        (10**5, 5 * 10**4, (2.0, 1.2, 1.0), 5),
        (10**6, 2 * 10**6, (0.0,), 12),
    ],
)
def test_what_a_corner_leaves_out(n, m, spikes, k):
    """``W^T u_j - s_j v_j`` is the unseen noise times the last coordinates of ``u_j``, which meet it: no more
    than rounding, relative to the first value.
    """
    band = TwoSidedBand((n, m), math.sqrt(n) * np.array(spikes), k, Stream(11))
    top = settle(band, next(band.draw(1)), 0, 1e-13)
    assert len(top.columns) < min(n, m)
    met = np.linalg.norm(top.left[len(top.columns) - len(spikes) :], axis=0)
    assert np.max(met) * 1.01 * (math.sqrt(n) + math.sqrt(m)) < 1e-14 * top.values[0]


@pytest.mark.parametrize(("n", "m", "r"), [(30, 20, 2), (20, 30, 2), (3, 40, 1), (6, 5, 5), (8, 3, 0)])
@pytest.mark.parametrize("k", [0, 2])
def test_samples_of_every_kind(n, m, r, k):
    """Zero, inside the span of ``V``, dependent, nearly so, of very different lengths, more than columns."""
    U, theta, V = signal(n, m, r)
    x, y, d, z = Stream(8).normal((4, m))
    inside = V @ np.arange(1.0, r + 1)
    samples = [0 * x, inside, x, y, x - 2 * y, d, x + 1e-9 * d, 1e6 * z, z, 1e-9 * d, x + inside]
    found = sample_action(U, theta, V, np.stack(samples + [y] * m), k=k, stream=Stream(9))
    images = dict(enumerate(found.whole))
    assert not np.any(images[0])

    def assert_same(image, combined, *parts):
        """To 1e-13 of what was added: some hundred roundings of sums over 50 coordinates."""
        slack = 1e-13 * sum(float(np.linalg.norm(part)) for part in parts)
        np.testing.assert_allclose(image, combined, rtol=0, atol=slack)

    assert_same(images[4], images[2] - 2 * images[3], images[2], images[3])
    assert_same(images[6] - images[2], 1e-9 * images[5], images[2])
    assert_same(images[7], 1e6 * images[8], images[7])
    assert_same(images[9], 1e-9 * images[5], images[9])
    assert_same(images[10], images[1] + images[2], images[1], images[2])
    for again in found.whole[11:]:
        assert_same(again, images[3], images[3])
    assert_same(found.seen[4], found.seen[2] - 2 * found.seen[3], samples[2], samples[3])


def test_large_matrices():
    """Triplets and images of one matrix, and sizes within six standard deviations of their laws."""
    n, m, r, k, g, seed = 100_000, 50_000, 3, 5, 0.5, Stream(10)
    U, V = seed.child("U").orthonormal(n, r), seed.child("V").orthonormal(m, r)
    theta = np.array([2.0, 1.2, 1.0])
    X = np.concatenate([V.T, seed.child("X").normal((4, m), scale=1 / math.sqrt(m))])
    found = sample_action(U, theta, V, X, g=g, k=k, stream=seed.child("draw"))
    np.testing.assert_allclose(found.left @ found.whole.T, (found.seen * found.values).T, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.left @ found.left.T, np.eye(k), rtol=0, atol=1e-13)
    assert found.value_error < 1e-12
    squares = np.sum((found.whole - found.signal) ** 2, axis=1) / np.sum(X**2, axis=1)
    np.testing.assert_allclose(squares, g, rtol=6 * math.sqrt(2 / n))
    assert found.noise_energy == pytest.approx(g * m, rel=6 * math.sqrt(2 / (n * m)))
    assert abs(found.cross) < 6 * math.sqrt(g / n * np.sum(theta**2))
    limits = overlaps(theta, m / n, g)
    np.testing.assert_allclose(found.values[:r], outlier(theta, m / n, g), rtol=20 / math.sqrt(n))
    for frame, limit in ((U.T @ found.left.T, limits[0]), (found.seen[:r], limits[1])):
        np.testing.assert_allclose(np.diagonal(frame) ** 2, limit, atol=100 / math.sqrt(n))
    edge = math.sqrt(g) * (1 + math.sqrt(m / n)) * 1.02
    assert np.linalg.matrix_rank(found.truncated(edge)) == r


def test_memory_is_that_of_what_is_returned():
    """Images, vectors and half as much again at ``n = m = 200,000``; the matrix would take 320 GB."""
    n, samples, r, k = 200_000, 20, 4, 6
    U, V = (Stream(1).child(side).orthonormal(n, r) for side in "UV")
    X = Stream(2).normal((samples, n))
    tracemalloc.start()
    found = sample_action(U, np.linspace(3, 2, r), V, X, k=k, stream=Stream(3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * (found.whole.nbytes + found.signal.nbytes + found.left.nbytes)


def test_scales_and_streams():
    U, theta, V = signal(9, 7, 2)
    X = Stream(4).normal((3, 7))
    one = sample_action(U, theta, V, X, k=2, stream=Stream(1))
    again = sample_action(U, theta, V, X, k=2, stream=Stream(1))
    np.testing.assert_array_equal(one.whole, again.whole)
    twice = sample_action(U, 2 * theta, V, X, g=4.0, k=2, stream=1)
    np.testing.assert_allclose(twice.whole, 2 * one.whole, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(twice.values, 2 * one.values, rtol=1e-13)
    assert twice.noise_energy == pytest.approx(4 * one.noise_energy, rel=1e-13)
    assert twice.cross == pytest.approx(4 * one.cross, rel=1e-12)
    other = sample_action(U, theta, V, X, k=2, stream=Stream(2))
    assert np.max(np.abs(other.whole - one.whole)) > 0.1
    assert (one.shape, one.g, one.seen.shape, one.left.shape) == ((9, 7), 1.0, (3, 2), (2, 9))


def test_strong_signals_do_not_hide_the_noise():
    """Order, repetition, zero and 12 orders of magnitude: ``R x`` and its energy stay as exact as ``W x``."""
    U, _, V = signal(40, 30, 4)
    theta = np.array([2.0, 1e6, 0.0, 2.0])
    found = sample_action(U, theta, V, np.eye(30), k=4, stream=Stream(7))
    assert found.noise_energy == pytest.approx(np.sum((found.whole - found.signal) ** 2), rel=1e-9)
    assert found.values[0] == pytest.approx(1e6, rel=1e-5)
    assert U[:, 1] @ found.left[0] == pytest.approx(np.sign(V[:, 1] @ found.seen[:, 0]), abs=1e-9)


def test_truncation_needs_to_know_all_that_stays():
    U, theta, V = signal(60, 50, 2)
    X = Stream(4).normal((2, 50))
    found = sample_action(U, theta, V, X, k=2, stream=Stream(1))
    with pytest.raises(
        InvalidInput, match="`k` must exceed the number of singular values above 1: all 2 known"
    ):
        found.truncated(1.0)
    edge = float(found.values[1])
    np.testing.assert_array_equal(found.truncated(edge), found.kept([found.values[0], 0.0]))
    assert not np.any(found.truncated(100.0))
    with pytest.raises(InvalidInput, match="all 0 known"):
        sample_action(U, theta, V, X, stream=Stream(1)).truncated(100.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"U": np.ones((5, 2))}, "`U` must have orthonormal columns; they are so only to 5"),
        ({"V": np.eye(4, 2) * (1 + 1e-7)}, "`V` must have orthonormal columns"),
        (
            {"V": np.eye(4, 3)},
            "`V` must have rows and one column for each of `theta`; their shapes are (4, 3)",
        ),
        ({"U": np.empty((0, 2))}, "`U` must have rows"),
        ({"U": np.full((5, 2), np.nan)}, "`U` must have orthonormal columns"),
        ({"theta": 1.0}, "`U` must have rows and one column for each of `theta`"),
        ({"theta": [1.0, -1.0]}, "`theta` must be a number >= 0"),
        ({"inputs": np.ones((3, 5))}, "`inputs` must have 4 columns, as many as `V` has rows, not 5"),
        ({"inputs": np.ones(4)}, "`inputs` must be a non-empty matrix"),
        ({"inputs": np.full((1, 4), np.inf)}, "`inputs` holds NaN or infinite entries"),
        ({"g": 0.0}, "`g` must be a number > 0"),
        ({"k": 5}, "`k` must be at most 4, the number of singular values, not 5"),
        ({"k": -1}, "`k` must be a whole number >= 0"),
    ],
)
def test_bad_input_is_named(change, says):
    call = {"U": np.eye(5, 2), "theta": [2.0, 1.0], "V": np.eye(4, 2), "inputs": np.ones((3, 4))}
    with pytest.raises(InvalidInput) as caught:
        sample_action(**(call | change))
    assert says in str(caught.value)


@pytest.mark.parametrize("wrong", [[1.0], [1.0, np.nan], 1.0])
def test_coefficients_are_counted(wrong):
    found = sample_action(np.eye(5, 2), [2.0, 1.0], np.eye(4, 2), np.ones((3, 4)), k=2, stream=1)
    with pytest.raises(InvalidInput, match="`coefficients` must be 2 finite numbers"):
        found.kept(wrong)
    with pytest.raises(InvalidInput, match="`edge` must be a number >= 0"):
        found.truncated(-1.0)


@pytest.mark.parametrize("shape", [(400, 400), (600, 200), (200, 600)])
def test_edge_estimated_from_energy(shape):
    """``g`` has a relative standard deviation of ``sqrt(2 / (n m))``; six of them for a mean of 16 draws, and
    the next order of what outliers hold. Rows and columns of spikes that are not taken off move it by 3 (1 +
    c) / m, a spike more or less by ``theta^2 / (g m)`` and more.
    """
    (n, m), g = shape, 1.7
    c = m / n
    U, V = Stream(1).orthonormal(n, 3), Stream(2).orthonormal(m, 3)
    theta = 3.0 * math.sqrt(g) * c**0.25 * np.array([1.4, 1.2, 1.0])
    draws = [sample_action(U, theta, V, np.ones((1, m)), g=g, k=6, stream=Stream(i)) for i in range(16)]
    edges = np.array([found.estimated_edge() for found in draws])
    slack = 1.5 * math.sqrt(2 / (n * m)) + float(np.sum(g * c / theta**2)) / m
    ratio = np.mean(edges**2) / largest_singular_value_quantile(0.9, shape, g) ** 2
    np.testing.assert_allclose(ratio, 1.0, rtol=0, atol=slack)
    found, edge = draws[3], edges[3]
    assert np.sum(found.values > edge) == 3
    assert found.estimated_edge(0.01) > edge
    few = sample_action(U, theta, V, np.ones((1, m)), g=g, k=3, stream=Stream(3))
    with pytest.raises(InvalidInput, match="`k` must exceed the number of spikes"):
        few.estimated_edge()
    with pytest.raises(InvalidInput, match="`level`"):
        found.estimated_edge(1.0)


def test_edge_estimated_where_all_values_are_known():
    """The energies of signal, noise and both together are that of ``W``: the sum of its squared values."""
    U, V = Stream(5).orthonormal(50, 1), Stream(6).orthonormal(40, 1)
    found = sample_action(U, [4.0], V, np.ones((1, 40)), k=40, stream=Stream(4))
    g = 50 * np.sum(found.values[1:] ** 2) / (49 * 39)
    edge = largest_singular_value_quantile(0.9, (50, 40), g)
    np.testing.assert_allclose(found.estimated_edge(), edge, rtol=1e-12)
    noise = sample_action(np.empty((50, 0)), [], np.empty((40, 0)), np.ones((1, 40)), k=40, stream=Stream(4))
    assert noise.estimated_edge(1e-6) > noise.values[0]
