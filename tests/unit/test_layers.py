import array_api_strict
import numpy as np
import pytest

from rmttheory.arrays import InvalidInput
from rmttheory.networks.layers import Dense

W = np.array([[1.0, -2.0, 0.5], [0.0, 3.0, -1.0]])
B = np.array([0.25, -8.0])
X = np.array([[1.0, 2.0, 4.0], [-1.0, 0.0, 2.0]])
LINEAR = np.array([[1.0 - 4.0 + 2.0 + 0.25, 6.0 - 4.0 - 8.0], [-1.0 + 1.0 + 0.25, -2.0 - 8.0]])


@pytest.mark.parametrize(
    ("activation", "expected"),
    [("identity", LINEAR), ("relu", np.maximum(LINEAR, 0)), ("abs", np.abs(LINEAR))],
)
def test_a_layer_acts_as_weight_times_input_plus_bias(activation, expected):
    np.testing.assert_array_equal(Dense(W, B, activation)(X), expected)


def test_inputs_are_not_written_to():
    x = X.copy()
    for activation in ("identity", "relu", "abs"):
        Dense(W, B, activation)(x)
    np.testing.assert_array_equal(x, X)


@pytest.mark.parametrize("activation", ["identity", "relu", "abs"])
def test_slope_is_the_derivative(activation):
    layer, z, h = Dense(W, activation=activation), np.array([-3.0, -0.5, 0.5, 2.0]), 1 / 1024
    difference = (layer.activate(z + h) - layer.activate(z - h)) / (2 * h)
    np.testing.assert_array_equal(layer.slope(z), difference)  # piecewise linear: exact in binary


@pytest.mark.parametrize("activation", ["relu", "abs"])
def test_at_the_kink_the_slope_is_zero(activation):
    assert Dense(W, activation=activation).slope(np.zeros(1))[0] == 0


def test_shape_is_outputs_by_inputs():
    assert Dense(W).shape == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([[1.0]],), "`weight` must be an array"),
        ((np.ones(3),), "non-empty matrix"),
        ((np.ones((2, 2), dtype=int),), "floating-point"),
        ((np.full((2, 2), np.nan),), "NaN or infinite"),
        ((W, np.ones(3)), "one entry for each of the 2 outputs"),
        ((W, B.astype(np.float32)), "`bias` must be float64"),
        ((W, np.array([np.inf, 0.0])), "`bias` holds NaN"),
        ((W, array_api_strict.asarray(B)), "one library"),
        ((W, B, "rleu"), "Did you mean relu"),
    ],
)
def test_bad_layers_are_refused(arguments, words):
    with pytest.raises(InvalidInput, match=words):
        Dense(*arguments)
