"""Laws of the noise: exact variance, known moments, names."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import (
    ColumnScaled,
    Gaussian,
    HaarRotated,
    MarchenkoPastur,
    Noise,
    Rademacher,
    RowScaled,
    SparseSigns,
    StudentT,
    Uniform,
    parse_noise,
)

KURTOSIS = {
    Gaussian(): 3.0,
    Rademacher(): 1.0,
    Uniform(): 1.8,
    StudentT(12.0): 3.0 * 10.0 / 8.0,
    SparseSigns(0.1): 10.0,
    RowScaled(0.5): 3.0 * math.exp(0.25),
    ColumnScaled(0.5): 3.0 * math.exp(0.25),
    HaarRotated(): 3.0,
}
"""Fourth moment of an entry of variance 1; of ``v x`` with log-normal ``v`` of mean 1 it is ``3 E v^2``."""


@pytest.mark.parametrize("noise", KURTOSIS, ids=lambda noise: noise.name)
@pytest.mark.parametrize("power", [1, 2, 3, 4])
def test_first_four_moments(noise, power):
    """Null: the entries have these moments. Level 2e-6.

    The error of a mean is taken from 20 or 25 blocks of rows or columns, which are independent but for
    `HaarRotated` (where they disperse less); Student's t at 19 degrees of freedom then allows 6.72 errors.
    Power 0.99 against a variance 3 % off for independent entries (standard error 0.32 %) and 25 % for scaled
    ones (2.7 %), whose scales have a test of their own below.
    """
    n, m, g = 400, 500, 1.7
    x = noise.sample((n, m), g, Stream(11).child(noise.name)) * math.sqrt(n / g)
    blocks = x.T.reshape(25, -1) if isinstance(noise, ColumnScaled) else x.reshape(20, -1)
    means = np.mean(blocks**power, axis=1)
    error = np.std(means, ddof=1) / math.sqrt(len(means))
    expected = {1: 0.0, 2: 1.0, 3: 0.0, 4: KURTOSIS[noise]}[power]
    assert abs(means.mean() - expected) <= 6.72 * error + 1e-12


@pytest.mark.parametrize("noise", KURTOSIS, ids=lambda noise: noise.name)
def test_rows_of_the_scale(noise):
    """Entries are divided by the number of outputs, and ``g`` multiplies the variance: same numbers."""
    stream = Stream(3)
    np.testing.assert_allclose(
        noise.sample((6, 4), 4.0, stream), 2.0 * noise.sample((6, 4), 1.0, stream), rtol=1e-15
    )


def test_signs_and_supports():
    x = Rademacher().sample((50, 30), 2.0, Stream(1))
    np.testing.assert_array_equal(np.abs(x), math.sqrt(2.0 / 50))
    x = SparseSigns(0.25).sample((50, 30), 1.0, Stream(1))
    np.testing.assert_allclose(np.unique(np.abs(x)), [0.0, 2.0 / math.sqrt(50)], rtol=1e-15)
    assert np.count_nonzero(SparseSigns(1.0).sample((50, 30), 1.0, Stream(1))) == 1500
    assert np.max(np.abs(Uniform().sample((50, 30), 1.0, Stream(1)))) <= math.sqrt(3.0 / 50)


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25), (1, 5)])
def test_haar_has_the_quantiles_of_the_law_and_exact_energy(shape):
    n, m = shape
    R = HaarRotated().sample(shape, 0.6, Stream(2))
    assert np.sum(R**2) == pytest.approx(0.6 * m, rel=1e-13, abs=0)
    count = min(shape)
    law = MarchenkoPastur(m / n).singular().ppf((np.arange(count) + 0.5) / count)
    s = np.linalg.svd(R, compute_uv=False)[::-1]
    np.testing.assert_allclose(s / s[-1], law / law[-1], atol=1e-13)


@pytest.mark.parametrize(("noise", "axis"), [(RowScaled(0.8), 1), (ColumnScaled(0.8), 0)])
def test_scales_are_lognormal_along_their_axis(noise, axis):
    """Null: log variances are N(-tau^2 / 2, tau^2), tau = 0.8; each is measured to sqrt(2 / 4000).

    Level 1e-6: mean within 4.9 tau / sqrt(400), standard deviation within 4.9 tau / sqrt(800). A spread of
    the standard deviations instead of the variances would double it (power 1).
    """
    shape = (400, 4000) if axis == 1 else (4000, 400)
    R = noise.sample(shape, 1.0, Stream(8))
    logs = np.log(np.mean(R**2, axis=axis) * shape[0])
    tau = math.hypot(0.8, math.sqrt(2 / 4000))
    assert abs(logs.mean() + 0.32) <= 4.9 * tau / 20
    assert abs(logs.std() - tau) <= 4.9 * tau / math.sqrt(800)
    np.testing.assert_array_equal(  # no spread is the Gaussian law, number by number
        type(noise)(0.0).sample((5, 4), 1.0, Stream(8)), Gaussian().sample((5, 4), 1.0, Stream(8))
    )


def test_names_lead_back():
    for noise in (*KURTOSIS, StudentT(5), StudentT(2.0000001), SparseSigns(1 / 3), RowScaled(0.0)):
        assert isinstance(noise, Noise)
        assert parse_noise(noise.name) == noise
        assert parse_noise(noise) is noise
    assert StudentT(5.0).name == "student-t:5"
    assert parse_noise("column-scaled:0.8") == ColumnScaled(0.8)
    assert RowScaled(0.8) != ColumnScaled(0.8)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("gausian", "Unknown noise 'gausian'. Did you mean gaussian?"),
        ("students:5", "Did you mean student-t?"),
        ("student-t", "needs a number after a colon, for example 'student-t:5'"),
        ("sparse:few", "needs a number after a colon, for example 'sparse:0.1'"),
        ("gaussian:2", "Noise 'gaussian' takes no number"),
        ("student-t:2", "`df` must be a number > 2"),
        ("student-t:nan", "`df` must be a number > 2"),
        ("sparse:0", "`density` must be a number in (0, 1]"),
        ("sparse:1.1", "`density` must be a number in (0, 1]"),
        ("row-scaled:-1", "`spread` must be a number >= 0"),
        ("column-scaled:inf", "`spread` must be a number >= 0"),
        (7, "must be the name of a noise or a Noise, not 7"),
        (Gaussian, "must be the name of a noise or a Noise"),
    ],
)
def test_bad_names(given, says):
    with pytest.raises(InvalidInput) as caught:
        parse_noise(given)
    assert says in str(caught.value)


@pytest.mark.parametrize("noise", KURTOSIS, ids=lambda noise: noise.name)
def test_bad_shapes_and_levels(noise):
    for shape in ((0, 3), (3, -1), (2.5, 3), (3,)):
        with pytest.raises(InvalidInput, match="shape"):
            noise.sample(shape, 1.0, Stream(0))
    with pytest.raises(InvalidInput, match="`g` must be a number > 0"):
        noise.sample((2, 3), 0.0, Stream(0))
