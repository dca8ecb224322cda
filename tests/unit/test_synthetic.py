import math

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import Spiked, fit_edge, singular_values
from rmttheory.networks import (
    accuracy,
    best_accuracy,
    fourier_regression,
    remove_bulk,
    spiked_features,
    taught,
)

MODEL = Spiked((30, 20), spikes=(3.0, 2.0), g=0.5)


def regression(**changes):
    sizes = {"outputs": 60, "inputs": 40, "modes": 5, "samples": 101, "noise": 0.3}
    return fourier_regression(stream=Stream(5), **{**sizes, **changes})


# teachers


def test_the_teacher_is_right_on_its_samples_and_has_the_planted_layer():
    found = taught(MODEL, train=50, test=30, stream=Stream(2), classes=4)
    data = found.data
    assert (data.train_x.shape, data.test_x.shape, data.classes) == ((50, 20), (30, 20), 4)
    assert data.image is None
    for x, y in ((data.train_x, data.train_y), (data.test_x, data.test_y)):
        assert accuracy(found.teacher.logits(x.astype(float)), y) == 1.0
    np.testing.assert_array_equal(found.teacher.layers[0].weight, found.draw.W)
    np.testing.assert_array_equal(found.draw.W, found.draw.S + found.draw.R)
    assert "teacher with spikes 3, 2 at noise level 0.5 (seed 2)" in data.describe()
    again = taught(MODEL, train=50, test=30, stream=Stream(2), classes=4)
    np.testing.assert_array_equal(again.data.train_x, data.train_x)
    longer = taught(MODEL, train=50, test=60, stream=Stream(2), classes=4)
    np.testing.assert_array_equal(longer.data.train_x, data.train_x)


# classes around means


@pytest.mark.parametrize(("strength", "classes"), [(0.5, 2), (2.0, 2), (3.0, 2)])
def test_the_best_accuracy_of_two_classes_is_that_of_one_difference(strength, classes):
    """The difference of two products is normal with mean ``strength`` and variance 2."""
    wanted = 0.5 * math.erfc(-strength / 2.0)
    assert best_accuracy(strength, classes) == pytest.approx(wanted, abs=1e-14)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_without_means_the_best_is_chance(classes):
    """A strength ``h`` adds ``h (K - 1) E phi(z) Phi(z)^(K - 2)`` at first order, which is less than 4 h."""
    assert best_accuracy(1e-12, classes) == pytest.approx(1 / classes, abs=1e-11)


def test_samples_lie_around_orthogonal_means_and_their_best_classifier_is_as_good_as_stated():
    """Level 1e-6: 4.9 standard errors of a share and of a mean. Power: a strength 5 % off is 10 of them."""
    count, strength = 20_000, 2.0
    data = spiked_features(12, train=count, test=10, stream=Stream(4), classes=3, strength=strength)
    means = np.stack([data.train_x[data.train_y == k].mean(axis=0) for k in range(3)])
    gram = strength**2 * np.eye(3)
    error = 4.9 * 2 * strength * math.sqrt(3 / count) + 12 * 3 / count
    np.testing.assert_allclose(means @ means.T, gram, atol=error)
    true = strength * Stream(4).child("means").orthonormal(12, 3).T
    best = best_accuracy(strength, 3)
    share = np.mean(np.argmax(data.train_x @ true.T, axis=1) == data.train_y)
    assert abs(share - best) < 4.9 * math.sqrt(best * (1 - best) / count)
    assert f"best accuracy {best:.4f} (seed 4)" in data.describe()


# regression


def test_features_are_orthogonal_and_the_truth_has_the_stated_rank():
    found = regression()
    # Inner products of 101 terms up to 3 ** 2, after a rotation of 40: relative rounding 141 eps at most.
    np.testing.assert_allclose(
        found.features.T @ found.features, 101 * np.eye(40), atol=101 * 141 * 2.3e-16 * 9
    )
    edge = 0.3 * (math.sqrt(60) + math.sqrt(40)) / math.sqrt(101)
    values = np.linalg.svd(found.truth, compute_uv=False)
    np.testing.assert_allclose(values[:5], edge * np.geomspace(4.0, 0.8, 5), rtol=1e-12)
    assert values[5] < 1e-13 * values[0]


def test_without_rotation_the_map_is_sparse():
    truth = regression(rotate=False).truth
    assert (truth[:, 5:] == 0).all()
    assert (truth[:, :5] != 0).all()


def test_least_squares_is_the_truth_and_independent_noise():
    """Chi-square of 60,000 entries within 4.9 deviations, 3 %, and the fitted noise level as well."""
    found = regression(outputs=300, inputs=200, samples=301)
    W = found.least_squares()
    solved = np.linalg.lstsq(found.features, found.targets, rcond=None)[0].T
    np.testing.assert_allclose(W, solved, atol=1e-12)
    entries = (W - found.truth) ** 2 * 300 / found.g
    assert abs(entries.mean() - 1) < 4.9 * math.sqrt(2 / entries.size)
    assert found.excess(W) == pytest.approx(np.sum((found.features @ (W - found.truth).T) ** 2) / 301)
    estimate = fit_edge(singular_values(W), W.shape)
    assert abs(estimate.g - found.g) < 4.9 * estimate.g_error
    assert found.excess(remove_bulk(W).kept) < found.excess(W) / 2


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: taught(MODEL, train=0, test=1, stream=Stream(1)), "`train` must be a whole number >= 1"),
        (lambda: taught(MODEL, train=1, test=1, stream=Stream(1), classes=1), "`classes` must be"),
        (
            lambda: spiked_features(3, train=1, test=1, stream=Stream(1)),
            "`inputs` must be a whole number >= 4",
        ),
        (lambda: spiked_features(9, train=1, test=1, stream=Stream(1), strength=0.0), "`strength` must be"),
        (lambda: regression(samples=40), "`samples` must be a whole number >= 41"),
        (lambda: regression(modes=41), "`modes` must be at most 40"),
        (lambda: regression(noise=0.0), "`noise` must be a number > 0"),
        (lambda: regression(strengths=(1.0, 0.0)), "`strengths` must be a number > 0"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, words):
    with pytest.raises(InvalidInput, match=words):
        draw()
