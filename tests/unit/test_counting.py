"""Counts by inertia are those of the full spectrum, and reach sizes that have none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import MarchenkoPastur, count_singular_values
from rmttheory.matrices.counting import _draw


def full(bordered):
    r, q = bordered.factor.shape[0], len(bordered.main)
    matrix = np.zeros((r + q, r + q))
    matrix[:r, :r] = bordered.factor.T @ bordered.factor
    matrix[r:, :r], matrix[:r, r:] = bordered.border, bordered.border.T
    matrix[r:, r:] = np.diag(bordered.main) + np.diag(bordered.off, 1) + np.diag(bordered.off, -1)
    return matrix


CELLS = [
    (shape, r) for shape in [(1, 1), (4, 3), (5, 5), (40, 30), (200, 200)] for r in range(6) if r <= shape[1]
]


@pytest.mark.parametrize(("shape", "r"), CELLS)
def test_counts_are_those_of_the_full_spectrum(shape, r):
    """At points between any two neighbours, at the middle of the gap, and below and above all."""
    n, p = shape
    strengths = math.sqrt(n) * np.array([3.0, 1.5, 1.5, 1.1, 0.1])[:r]
    bordered = _draw(shape, strengths, Stream(5).generator())
    squares = np.linalg.eigvalsh(full(bordered))
    assert squares[0] > -1e-12 * squares[-1]
    points = np.concatenate([[0.0], 0.5 * (squares[1:] + squares[:-1]), [2.0 * squares[-1]]])
    np.testing.assert_array_equal(bordered.count(points), np.arange(p + 1))
    np.testing.assert_array_equal(bordered.count(points[::-1]), np.arange(p + 1)[::-1])


def test_points_streams_and_scales():
    points = [0.7, -1.0, 1.2, 0.0, 9.0]
    some = count_singular_values((30, 20), points, (1.5,), trials=2, stream=Stream(1))
    assert some.shape == (2, 5)
    assert some.dtype == np.int64
    np.testing.assert_array_equal(some[:, [1, 3, 4]], [[0, 0, 20]] * 2)
    np.testing.assert_array_equal(
        count_singular_values((30, 20), points, (1.5,), trials=5, stream=Stream(1))[:2], some
    )
    wide = count_singular_values((20, 30), points, (1.5,), g=20 / 30, trials=2, stream=Stream(1))
    np.testing.assert_array_equal(wide, some)
    doubled = count_singular_values((30, 20), 2 * np.array(points), (3.0,), g=4.0, trials=2, stream=Stream(1))
    np.testing.assert_array_equal(doubled, some)


def test_distribution_at_large_size():
    """Rigidity: at n = 10^5 a count is off its limit by O(log n) values; 20 are allowed, 4e-4 of all."""
    n, m = 10**5, 5 * 10**4
    points = np.linspace(0.2, 1.8, 24)
    law = MarchenkoPastur(0.5).singular()
    for spikes in ((), (1.5, 1.1)):
        counts = count_singular_values((n, m), points, spikes, stream=Stream(3))[0]
        assert np.max(np.abs(counts - m * law.cdf(points))) <= 20 + len(spikes)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: count_singular_values((0, 4), [1.0]), "`shape` must be two whole numbers"),
        (lambda: count_singular_values((5, 4), [1.0], (1.0,) * 5), "`spikes` must hold at most 4"),
        (lambda: count_singular_values((5, 4), ["x"]), "`points` must be a sequence of numbers"),
        (lambda: count_singular_values((5, 4), [math.nan]), "`points`"),
        (lambda: count_singular_values((5, 4), []), "`points` must be a non-empty vector"),
        (lambda: count_singular_values((5, 4), [1.0], g=0), "`g` must be a number > 0"),
        (lambda: count_singular_values((5, 4), [1.0], trials=0), "`trials` must be"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert says in str(caught.value)
