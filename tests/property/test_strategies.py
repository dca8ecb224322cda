"""Strategies draw what they promise, and shrink to what can be read."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from rmttheory import strategies
from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import parse_noise
from rmttheory.networks import Network

QUIET = settings(database=None, max_examples=3000)
EPS = np.finfo(float).eps


@given(st.sampled_from(["any", "tall", "wide", "square"]), st.data())
def test_shapes_have_their_orientation(orientation, data):
    n, m = data.draw(strategies.shapes(5, orientation))
    assert 1 <= min(n, m) <= max(n, m) <= 5
    assert {"any": True, "tall": n >= m, "wide": n <= m, "square": n == m}[orientation]


@given(st.integers(0, 6), st.floats(0, 5), st.data())
def test_spectra_lie_where_they_must(count, low, data):
    values = data.draw(strategies.spectra(count + 1, low=low, high=low + 2, spikes=[9.0]))
    assert values.shape == (count + 1,)
    assert values[0] == 9
    assert np.all(np.diff(values) <= 0)
    assert np.all((values[1:] >= low) & (values[1:] <= low + 2))


@given(st.data())
def test_matrices_have_the_singular_values_asked_for(data):
    n, m = data.draw(strategies.shapes(6))
    values = data.draw(strategies.spectra(min(n, m)))
    A = data.draw(strategies.matrices((n, m), values=values))
    # two mirrors on either side and one product of them: a few dozen roundings of the largest value
    assert np.max(np.abs(np.linalg.svd(A, compute_uv=False) - values)) <= 100 * EPS * max(values[0], 1e-300)


@given(st.integers(1, 6), st.data())
def test_frames_are_orthonormal(length, data):
    frame = data.draw(strategies.frames(length, data.draw(st.integers(0, length))))
    assert np.max(np.abs(frame.T @ frame - np.eye(frame.shape[1])), initial=0) <= 50 * EPS


@given(strategies.spiked())
def test_ensembles_reach_both_sides_of_the_threshold_and_can_be_drawn(model):
    assert all(0.24 * model.threshold <= theta <= 4.01 * model.threshold for theta in model.spikes)
    draw = model.sample(Stream(0))
    np.testing.assert_array_equal(draw.W, draw.S + draw.R)


@given(strategies.noise_laws(fourth_moment=False))
def test_laws_can_be_read(name):
    assert parse_noise(name).name == name


@given(strategies.draws())
def test_draws_are_layers(draw):
    assert draw.W.shape == draw.R.shape == draw.S.shape


@given(st.sampled_from(["any", "mask", "spectral"]), st.data())
def test_splits_are_what_they_are_called(how, data):
    S, R = data.draw(strategies.splits(data.draw(strategies.shapes(5)), how=how))
    assert S.shape == R.shape
    if how == "mask":
        assert not np.any(S * R)
    if how == "spectral":
        largest = max(np.max(np.abs(S)), np.max(np.abs(R)), 1e-300)
        assert np.max(np.abs(S.T @ R)) <= 200 * EPS * S.shape[0] * largest**2


@given(st.data())
def test_networks_take_their_batches(data):
    network = data.draw(strategies.networks(biases=False))
    x, labels = data.draw(strategies.batches(network))
    logits = network.logits(x)
    assert logits.shape == (len(labels), network.sizes[-1])
    assert all(layer.bias is None or not np.any(layer.bias) for layer in network.layers)


def test_a_counterexample_can_be_read():
    """For "the last logit never exceeds 2" it is a network of one neuron a layer, nearly all of it zero."""

    def exceeds(case):
        network, (x, _) = case
        return bool(np.any(network.logits(x)[:, -1] > 2))

    small = strategies.networks(depth=2, width=2, classes=2)
    cases = small.flatmap(lambda net: st.tuples(st.just(net), strategies.batches(net)))
    network, (x, _) = find(cases, exceeds, settings=QUIET)
    assert isinstance(network, Network)
    assert network.sizes in ((1, 2), (1, 1, 2))
    numbers = np.concatenate([x.ravel(), *(layer.weight.ravel() for layer in network.layers)])
    assert np.count_nonzero(numbers) <= 3


def test_a_matrix_of_given_singular_values_shrinks_to_a_diagonal_one():
    values = np.array([3.0, 1.0])
    A = find(strategies.matrices((3, 2), values=values), lambda A: A[0, 0] > 0, settings=QUIET)
    np.testing.assert_array_equal(A, [[3, 0], [0, 1], [0, 0]])


@pytest.mark.parametrize(
    "make",
    [
        lambda: strategies.spectra(1, spikes=[2.0, 3.0]),
        lambda: find(strategies.shapes(0), bool),
        lambda: find(strategies.shapes(3, "round"), bool),
        lambda: find(strategies.splits((2, 2), how="some"), bool),
    ],
)
def test_bad_arguments_are_named(make):
    with pytest.raises(InvalidInput):
        make()


def test_without_hypothesis_it_says_what_to_install():
    code = "import sys; sys.modules['hypothesis'] = None; import rmttheory.strategies"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert "pip install 'rmttheory[testing]'" in done.stderr.splitlines()[-1]
