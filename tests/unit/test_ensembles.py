"""Spiked ensembles: what a draw is made of, and that a draw depends on its name alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream
from rmttheory.matrices import Gaussian, Rademacher, Spiked, bulk_edge, outlier, spike_threshold

EPS = 2.0**-52


def orthonormal(columns):
    return np.max(np.abs(columns.T @ columns - np.eye(columns.shape[1])), initial=0.0) <= 1e-14


@pytest.mark.parametrize("shape", [(40, 25), (25, 40)])
@pytest.mark.parametrize("left", ["haar", "localised", "sparse"])
@pytest.mark.parametrize("right", ["haar", "localised", "sparse"])
def test_a_draw_is_signal_plus_noise(shape, left, right):
    draw = Spiked(shape, (1.5, 4.0, 2.5), left=left, right=right).sample(7)
    assert draw.W.shape == draw.S.shape == draw.R.shape == shape
    assert (draw.U.shape, draw.V.shape) == ((shape[0], 3), (shape[1], 3))
    np.testing.assert_array_equal(draw.theta, [4.0, 2.5, 1.5])
    np.testing.assert_array_equal(draw.W, draw.S + draw.R)
    np.testing.assert_allclose(draw.S, (draw.U * draw.theta) @ draw.V.T, atol=1e-14)
    assert orthonormal(draw.U)
    assert orthonormal(draw.V)


def test_localised_and_sparse_vectors():
    draw = Spiked((64, 9), (3.0, 2.0), left="sparse", right="localised").sample(1)
    np.testing.assert_array_equal(draw.V, np.eye(9, 2))
    np.testing.assert_array_equal(np.count_nonzero(draw.U, axis=0), 8)  # sqrt(64) equal entries each
    np.testing.assert_array_equal(np.unique(np.abs(draw.U)), [0.0, 1 / math.sqrt(8)])
    assert not np.any((draw.U[:, 0] != 0) & (draw.U[:, 1] != 0))
    full = Spiked((4, 4), (4.0, 3.0, 2.0, 1.0), left="sparse").sample(1)
    assert orthonormal(full.U)  # as many spikes as coordinates: one entry each


def test_given_vectors_follow_their_spikes():
    U, V = Stream(1).orthonormal(6, 2), Stream(2).orthonormal(5, 2)
    draw = Spiked((6, 5), (1.0, 3.0), left=U, right=V.astype(np.float32)).sample(0)
    np.testing.assert_array_equal(draw.theta, [3.0, 1.0])
    np.testing.assert_array_equal(draw.U, U[:, ::-1])
    np.testing.assert_allclose(
        draw.S, 3.0 * np.outer(U[:, 1], V[:, 1]) + np.outer(U[:, 0], V[:, 0]), atol=1e-6
    )


def test_predictions():
    model = Spiked((300, 200), (1.2, 5.0), noise="rademacher", g=2.0)
    c = 200 / 300
    assert model.noise == Rademacher()
    assert (model.aspect, model.edge, model.threshold) == (c, bulk_edge(c, 2.0), spike_threshold(c, 2.0))
    assert model.outliers == (outlier(5.0, c, 2.0), model.edge)


def test_no_spikes_means_noise_alone():
    draw = Spiked((6, 4)).sample(3)
    np.testing.assert_array_equal(draw.W, draw.R)
    assert (draw.U.shape, draw.V.shape, draw.theta.shape) == ((6, 0), (4, 0), (0,))


def test_a_draw_is_placed_by_its_stream(require):
    require("torch")
    import torch

    draw = Spiked((6, 4), (2.0,)).sample(Stream(3, placement=Placement("torch", dtype="float32")))
    for part in (draw.W, draw.S, draw.R, draw.U, draw.V):
        assert isinstance(part, torch.Tensor)
        assert part.dtype == torch.float32
    np.testing.assert_allclose(draw.W.numpy(), Spiked((6, 4), (2.0,)).sample(3).W, atol=1e-6)


@pytest.mark.parametrize("model", [Spiked((20, 30), (2.0,)), Spiked((20, 30)), Spiked((5, 4), noise="haar")])
def test_values_depend_on_the_seed_and_the_number_of_the_draw_only(model):
    few, many = model.singular_values(5, 2), model.singular_values(5, 4)
    assert many.shape == (4, min(model.shape))
    np.testing.assert_array_equal(few, many[:2])
    np.testing.assert_allclose(model.singular_values(5, 4, k=2), many[:, :2], rtol=1e-12)
    assert np.all(np.diff(many, axis=1) <= 0)
    assert not np.array_equal(model.singular_values(6, 2), few) or model.noise.name == "haar"


def test_dense_values_are_those_of_the_draws():
    model = Spiked((20, 30), (2.0,))
    W = model.sample(Stream(5).child("trial", 1)).W
    np.testing.assert_allclose(
        model.singular_values(5, 2, method="dense")[1], np.linalg.svd(W, compute_uv=False), rtol=0, atol=1e-12
    )


def test_band_and_dense_draw_from_one_law():
    """Null: the largest, middle and smallest of 8 values have the same mean by both methods.

    Level 1e-6 a side for each. 2,000 draws a method: a shift by a quarter of a standard deviation is seen
    with power 0.998; `test_band` compares the band with exact moments.
    """
    model = Spiked((12, 8), g=2.0)
    band, dense = (model.singular_values(1, 2000, method=method) for method in ("band", "dense"))
    np.testing.assert_array_equal(band, model.singular_values(1, 2000))
    error = np.sqrt((band.var(axis=0) + dense.var(axis=0)) / 2000)
    assert np.all(np.abs(band.mean(axis=0) - dense.mean(axis=0))[[0, 4, 7]] <= 4.9 * error[[0, 4, 7]])


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Spiked((0, 3)), "`shape` must be two whole numbers >= 1, rows and columns, not (0, 3)"),
        (lambda: Spiked((3, -2)), "two whole numbers >= 1"),
        (lambda: Spiked((3.5, 2)), "two whole numbers >= 1"),
        (lambda: Spiked((4, 3), (1.0, -1.0)), "`spikes` must be a number > 0, not -1.0"),
        (lambda: Spiked((4, 3), (math.nan,)), "`spikes` must be a number > 0"),
        (lambda: Spiked((4, 3), 2.0), "`spikes` must be a sequence of numbers, not 2.0"),
        (lambda: Spiked((4, 3), (1, 2, 3, 4)), "at most 3 values for shape (4, 3), not 4"),
        (lambda: Spiked((4, 3), noise="gauss"), "Unknown noise 'gauss'. Did you mean gaussian?"),
        (lambda: Spiked((4, 3), g=0), "`g` must be a number > 0, not 0"),
        (lambda: Spiked((4, 3), left="har"), "Unknown kind of left vectors 'har'. Did you mean haar"),
        (lambda: Spiked((4, 3), (1.0,), left=np.ones((3, 1))), "`left` must be a real array of shape (4, 1)"),
        (lambda: Spiked((4, 3), (1.0,), right=np.ones((3, 1))), "`right` must have orthonormal columns"),
        (lambda: Spiked((4, 3), (1.0,), left=np.full((4, 1), np.nan)), "orthonormal columns"),
        (lambda: Spiked((4, 3)).singular_values(0, 0), "`trials` must be a whole number >= 1, not 0"),
        (lambda: Spiked((4, 3)).singular_values(0, k=4), "`k` must be at most 3"),
        (lambda: Spiked((4, 3)).singular_values(0, method="bend"), "Did you mean band"),
        (
            lambda: Spiked((4, 3), (1.0,), noise="uniform").singular_values(0, method="band"),
            "needs Gaussian noise",
        ),
        (lambda: Spiked((4, 3), noise="haar").singular_values(0, method="band"), "needs Gaussian noise"),
        (lambda: Spiked((4, 3)).sample("seed"), "`rng` must be None, an integer >= 0"),
    ],
)
def test_bad_input_is_named(make, says):
    with pytest.raises(InvalidInput) as caught:
        make()
    assert says in str(caught.value)


def test_given_noise_is_kept():
    assert Spiked((4, 3), noise=Gaussian()).noise == Gaussian()
