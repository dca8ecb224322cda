"""Singular values from band models: shapes, streams, accuracy."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import (
    TracyWidom,
    largest_singular_value_quantile,
    null_singular_values,
    spiked_singular_values,
)
from rmttheory.matrices import band as band_module
from rmttheory.matrices._band_values import all_values, top_values
from rmttheory.matrices._lapack import bidiagonal_singular_values


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (4, 7), (7, 4), (60, 60)])
def test_shapes(shape):
    s = null_singular_values(shape, trials=3, stream=Stream(1))
    assert s.shape == (3, min(shape))
    assert s.dtype == np.float64
    assert np.all(np.diff(s, axis=1) <= 0)
    assert np.all(s >= 0)


def test_a_draw_depends_on_its_number_alone():
    some = null_singular_values((9, 6), trials=3, stream=Stream(4))
    np.testing.assert_array_equal(null_singular_values((9, 6), trials=8, stream=Stream(4))[:3], some)
    np.testing.assert_array_equal(null_singular_values((9, 6), trials=3, stream=4), some)


def test_scale_and_transpose():
    """Entries have variance g / n, and a matrix and its transpose are drawn from the same numbers."""
    s = null_singular_values((30, 20), stream=Stream(4))
    np.testing.assert_allclose(null_singular_values((30, 20), g=4.0, stream=Stream(4)), 2 * s, rtol=1e-15)
    wide = null_singular_values((20, 30), stream=Stream(4))
    np.testing.assert_allclose(wide, s * math.sqrt(30 / 20), rtol=1e-14)


def test_few_largest_are_the_largest_of_all():
    """Bisection for few, the root-free QR method for all; both are exact to a few p eps s_1."""
    s = null_singular_values((600, 300), trials=2, stream=Stream(2))
    for k in (1, 12, 13, 300):
        some = null_singular_values((600, 300), trials=2, k=k, stream=Stream(2))
        np.testing.assert_allclose(some, s[:, :k], rtol=300 * 2.0**-52)


def dense(columns):
    p, width = columns.shape
    matrix = np.zeros((p + width - 1, p))
    for q in range(width):
        matrix[np.arange(p) + q, np.arange(p)] = columns[:, q]
    return matrix[width - 1 :]


@pytest.mark.parametrize("shape", [(40, 30), (40, 40), (900, 600), (500, 500)])
@pytest.mark.parametrize("strengths", [(), (1.5,), (40.0, 1.5, 1.5), (1.4, 1e-3)])
def test_every_path_agrees_with_the_dense_decomposition(shape, strengths):
    """Against LAPACK's dense SVD of the same band, itself exact to some ``eps s_1``: 1e-13 of ``s_1``."""
    n, p = shape
    draw = band_module._drawer(shape, np.array(strengths) * math.sqrt(n), Stream(3))
    columns = draw(2)[1]
    s = np.linalg.svd(dense(columns), compute_uv=False)
    for spread in (0.0, 1.0):  # the band itself first, or the Gram matrix
        np.testing.assert_allclose(all_values(columns, spread), s, rtol=0, atol=1e-13 * s[0])
    for k in (1, 5):
        if p > 100:
            top = top_values(columns, k, shape, len(strengths))
            np.testing.assert_allclose(top, s[:k], rtol=0, atol=1e-13 * s[0])


def test_small_values_keep_their_digits():
    """The smallest values of a square bidiagonal, against 40 digits: ``p eps`` of themselves."""
    import mpmath

    columns = band_module._drawer((24, 24), np.empty(0), Stream(3))(1)[0]
    columns[5, 1] = 1e-12  # a tiny value, which squaring or rounding at the scale of s_1 would lose
    with mpmath.workdps(40):
        exact = np.array([float(s) for s in mpmath.svd_r(mpmath.matrix(dense(columns)), compute_uv=False)])
    found = bidiagonal_singular_values(columns[:, 1], columns[1:, 0])
    assert exact.min() < 1e-11
    np.testing.assert_allclose(found, np.sort(exact)[::-1], rtol=24 * 2.0**-50)
    np.testing.assert_array_equal(all_values(columns, 1.0), found)


def test_spiked_draws_depend_on_their_number_alone(monkeypatch):
    call = {"spikes": (2.0, 1.5), "stream": Stream(4)}
    some = spiked_singular_values((9, 6), trials=3, **call)
    np.testing.assert_array_equal(spiked_singular_values((9, 6), trials=8, **call)[:3], some)
    monkeypatch.setattr(band_module, "_BLOCK", 1)
    np.testing.assert_array_equal(spiked_singular_values((9, 6), trials=3, **call), some)
    np.testing.assert_array_equal(spiked_singular_values((9, 6), (1.5, 2.0), trials=3, stream=4), some)


@pytest.mark.parametrize("strengths", [(1.6,), (1.6, 1.2, 1.2)])
def test_few_spiked_are_the_largest_of_all(strengths):
    s = spiked_singular_values((600, 300), strengths, trials=2, stream=Stream(2))
    for k in (1, 4, 12, 13):
        some = spiked_singular_values((600, 300), strengths, trials=2, k=k, stream=Stream(2))
        np.testing.assert_allclose(some, s[:, :k], rtol=1e-13)


@pytest.mark.parametrize(("n", "m", "r"), [(1, 1, 1), (2, 2, 2), (3, 2, 2), (2, 3, 2), (5, 5, 4), (9, 4, 4)])
def test_as_many_spikes_as_values(n, m, r):
    s = spiked_singular_values((n, m), [1e8] * r, trials=3, stream=Stream(1))
    assert s.shape == (3, min(n, m))
    np.testing.assert_allclose(s[:, :r], 1e8, rtol=1e-6)


def standardised_traces(s, shape, g):
    """E tr W^T W = g m and E tr (W^T W)^2 = g^2 m (n + m + 1) / n exactly: distances in standard errors."""
    n, m = shape
    traces = np.stack([np.sum(s**2, axis=1), np.sum(s**4, axis=1)])
    expected = np.array([g * m, g**2 * m * (n + m + 1) / n])
    return (traces.mean(axis=1) - expected) / (traces.std(axis=1) / math.sqrt(traces.shape[1]))


@pytest.mark.parametrize("shape", [(3, 3), (9, 4), (4, 9), (40, 40)])
def test_traces_have_their_exact_means(shape, monkeypatch):
    """Level 1e-6 a side for each trace. The alternative: chi variables with one degree of freedom less on the
    diagonal, which moves the first trace by p / n; 4,000 draws put that 20 standard errors away or more.
    """
    s = null_singular_values(shape, g=1.5, trials=4000, stream=Stream(6))
    assert np.all(np.abs(standardised_traces(s, shape, 1.5)) <= 4.9)
    p = min(shape)
    real = band_module.chi

    def one_less(rng, degrees, size):
        return real(rng, degrees - (np.arange(2 * p - 1) < p), size)

    monkeypatch.setattr(band_module, "chi", one_less)
    slipped = null_singular_values(shape, g=1.5, trials=4000, stream=Stream(6))
    assert abs(standardised_traces(slipped, shape, 1.5)[0]) > 15


def test_top_value_follows_tracy_widom():
    """Null: P(s_1 <= quantile) is 0.1, 0.5, 0.9 up to the error of the second-order law at 200 x 50, measured
    below 0.01. Level 1e-6 a side, 12,000 draws: 4.9 standard errors of 0.46 % at most. The alternative, seen
    with power 0.999, is centring by sqrt(n) and sqrt(m): it moves the median by 0.15 of the law's scale.
    """
    n, m = 200, 50
    s = null_singular_values((n, m), trials=12_000, k=1, stream=Stream(9))[:, 0]
    allowed = 0.01 + 4.9 * math.sqrt(0.25 / len(s))
    for q in (0.1, 0.5, 0.9):
        assert abs(np.mean(s <= largest_singular_value_quantile(q, (n, m), 1.0)) - q) <= allowed
    a, b = math.sqrt(n), math.sqrt(m)
    first_order = (a + b) ** 2 + (a + b) * (1 / a + 1 / b) ** (1 / 3) * TracyWidom(1).ppf(0.5)
    assert abs(np.mean(s <= math.sqrt(first_order / n)) - 0.5) > allowed


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: null_singular_values((0, 4)), "`shape` must be two whole numbers >= 1"),
        (lambda: null_singular_values((3, 4), g=-1), "`g` must be a number > 0"),
        (lambda: null_singular_values((3, 4), trials=0), "`trials` must be a whole number >= 1"),
        (lambda: null_singular_values((3, 4), k=4), "`k` must be at most 3, the number of singular values"),
        (lambda: null_singular_values((3, 4), k=1.5), "`k` must be a whole number >= 1"),
        (lambda: null_singular_values((3, 4), stream="x"), "`rng` must be"),
        (lambda: spiked_singular_values((3, 4), 2.0), "`spikes` must be a sequence of numbers"),
        (lambda: spiked_singular_values((3, 4), (2.0, 0.0)), "`spikes` must be a number > 0"),
        (lambda: spiked_singular_values((3, 4), [2.0] * 4), "`spikes` must hold at most 3 values"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert says in str(caught.value)
