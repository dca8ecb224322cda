"""Facts about networks, losses and splits that hold for every input."""

from itertools import pairwise

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rmttheory.arrays import Stream
from rmttheory.networks.gradients import loss_and_gradients
from rmttheory.networks.layers import Dense
from rmttheory.networks.losses import (
    accuracy,
    argmax_accuracy,
    cross_entropy,
    margins,
    per_sample_cross_entropy,
)
from rmttheory.networks.network import Network
from rmttheory.networks.pruning import keep_largest, remove_bulk

EPS = 2.0**-52
ENTRIES = st.floats(-1e3, 1e3, allow_subnormal=False)


@st.composite
def networks(draw, *, bias=None, activations=("relu", "abs")):
    """Two to four layers, normal entries of a drawn scale."""
    sizes = [*draw(st.lists(st.integers(1, 6), min_size=2, max_size=4)), draw(st.integers(2, 5))]
    stream, scale = Stream(draw(st.integers(0, 2**32))), draw(st.floats(0.1, 10))
    has_bias = draw(st.booleans()) if bias is None else bias
    layers = []
    for i, (m, n) in enumerate(pairwise(sizes)):
        activation = draw(st.sampled_from(activations)) if i < len(sizes) - 2 else "identity"
        b = stream.child("bias", i).normal(n) if has_bias else None
        layers.append(Dense(stream.child("weight", i).normal((n, m), scale=scale), b, activation))
    return Network(tuple(layers))


@st.composite
def networks_with_inputs(draw, **options):
    network = draw(networks(**options))
    x = Stream(draw(st.integers(0, 2**32))).normal((draw(st.integers(1, 8)), network.sizes[0]))
    return network, x


@st.composite
def logits_with_labels(draw):
    samples, classes = draw(st.integers(1, 6)), draw(st.integers(2, 5))
    logits = draw(arrays(float, (samples, classes), elements=ENTRIES))
    return logits, draw(arrays(int, samples, elements=st.integers(0, classes - 1)))


matrices = st.builds(
    lambda n, m, seed, scale: Stream(seed).normal((n, m), scale=scale),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(0, 2**32),
    st.floats(1e-3, 1e3),
)


def sizes_along(network, x):
    """An upper bound of every number met on the way to the logits: the same net with absolute values."""
    size = np.abs(x)
    for layer in network.layers:
        size = size @ np.abs(layer.weight).T + (0 if layer.bias is None else np.abs(layer.bias))
    return float(np.max(size))


def rounding(network, x):
    """Each layer errs by at most (inputs + 2) eps of the absolute net (Higham, section 3.1)."""
    return sum(m + 2 for m in network.sizes[:-1]) * EPS * sizes_along(network, x)


@given(networks_with_inputs(), st.data())
def test_replacing_a_layer_by_itself_changes_nothing(case, data):
    network, x = case
    index = data.draw(st.integers(0, len(network.layers) - 1))
    same = network.replace(index, network.layers[index].weight.copy())
    np.testing.assert_array_equal(same.logits(x), network.logits(x))


@given(networks_with_inputs(bias=False), st.floats(1e-3, 1e3))
def test_networks_without_bias_are_positively_homogeneous(case, t):
    network, x = case
    slack = 2 * t * rounding(network, x)
    np.testing.assert_allclose(network.logits(t * x), t * network.logits(x), rtol=0, atol=slack)


@given(networks_with_inputs(), st.data())
def test_scale_moves_freely_between_layers_without_bias(case, data):
    """W_1 / t and t W_2 compute the same, so only scale-free numbers mean anything."""
    network, x = case
    assume(network.layers[0].bias is None)
    t = 2.0 ** data.draw(st.integers(-8, 8))  # exact
    moved = network.replace(0, network.layers[0].weight / t).replace(1, network.layers[1].weight * t)
    np.testing.assert_array_equal(moved.logits(x), network.logits(x))


@given(networks_with_inputs(), st.data())
def test_tail_lipschitz_bounds_the_change_of_every_logit(case, data):
    network, x = case
    index = data.draw(st.integers(0, len(network.layers) - 1))
    layer, seed = network.layers[index], data.draw(st.integers(0, 2**32))
    changed = network.replace(
        index, layer.weight + Stream(seed).normal(layer.shape, scale=data.draw(st.floats(0, 2)))
    )
    v = network.activations(x)[index]
    moved = np.max(np.abs(v @ changed.layers[index].weight.T - v @ layer.weight.T), axis=1)
    change = np.max(np.abs(changed.logits(x) - network.logits(x)), axis=1)
    slack = 4 * (rounding(network, x) + rounding(changed, x))
    assert np.all(change <= moved * network.tail_lipschitz(index) * (1 + 100 * EPS) + slack)


@given(networks_with_inputs(), st.data())
def test_the_batch_does_not_matter(case, data):
    network, x = case
    row = data.draw(st.integers(0, len(x) - 1))
    slack = 2 * rounding(network, x)
    np.testing.assert_allclose(
        network.logits(x)[row], network.logits(x[row : row + 1])[0], rtol=0, atol=slack
    )


@given(logits_with_labels())
def test_a_margin_is_positive_iff_the_right_logit_is_the_only_largest(case):
    logits, labels = case
    for row, label, margin in zip(logits, labels, margins(logits, labels)):
        alone = np.sum(row == row.max()) == 1 and np.argmax(row) == label
        assert (margin > 0) == alone


@given(logits_with_labels())
def test_the_two_accuracies_agree_without_ties(case):
    logits, labels = case
    assert accuracy(logits, labels) <= argmax_accuracy(logits, labels)
    if not np.any(margins(logits, labels) == 0):
        assert accuracy(logits, labels) == argmax_accuracy(logits, labels)


@given(logits_with_labels(), st.floats(0, 100), st.data())
def test_cross_entropy_is_2_lipschitz_in_the_max_norm(case, eta, data):
    logits, labels = case
    step = data.draw(arrays(float, logits.shape, elements=st.floats(-1, 1)))
    moved = logits + eta * step
    eta = np.max(np.abs(moved - logits), axis=1)
    change = np.abs(per_sample_cross_entropy(moved, labels) - per_sample_cross_entropy(logits, labels))
    assert np.all(change <= 2 * eta + 16 * EPS * (1e3 + 100))


@given(logits_with_labels(), st.floats(0, 100))
def test_the_lipschitz_constant_2_is_approached_by_moving_the_right_class_alone_down(case, eta):
    """The witness: the right class down, the others up, at p_C near 0."""
    logits, labels = case
    right = np.arange(logits.shape[1]) == labels[:, None]
    start = np.where(right, logits - 1e4, logits)
    moved = np.where(right, start - eta, start + eta)
    change = per_sample_cross_entropy(moved, labels) - per_sample_cross_entropy(start, labels)
    np.testing.assert_allclose(change, 2 * eta, rtol=0, atol=16 * EPS * 1.2e4)


@given(logits_with_labels(), ENTRIES)
def test_a_common_shift_of_the_logits_changes_nothing(case, shift):
    logits, labels = case
    losses = (per_sample_cross_entropy(z, labels) for z in (logits, logits + shift))
    np.testing.assert_allclose(*losses, rtol=0, atol=16 * EPS * 2e3)


@given(logits_with_labels())
def test_loss_and_margin_bound_each_other(case):
    """log(1 + e^-d) <= loss <= log(1 + (K - 1) e^-d) at margin d: a positive one means a loss below log K."""
    logits, labels = case
    losses, d = per_sample_cross_entropy(logits, labels), margins(logits, labels)
    slack = 16 * EPS * 2e3
    assert np.all(losses >= np.logaddexp(0, -d) - slack)
    assert np.all(losses <= np.logaddexp(0, np.log(logits.shape[1] - 1) - d) + slack)


@given(networks_with_inputs(bias=True, activations=("relu", "abs", "identity")), st.data())
def test_gradients_agree_with_a_finite_difference_along_any_direction(case, data):
    """Within one linear piece the loss is smooth: its third derivative bounds the error of the difference.

    Along direction D of unit max norm the logits of one piece move as a polynomial; the step is so small that
    the h^2 term is below the rounding term, and pieces that change within the step are left out.
    """
    network, x = case
    labels = np.arange(len(x)) % network.sizes[-1]
    index = data.draw(st.integers(0, len(network.layers) - 1))
    layer, h = network.layers[index], 1e-6
    D = Stream(data.draw(st.integers(0, 2**32))).signs(layer.shape)
    ends = [network.replace(index, layer.weight + sign * h * D) for sign in (1, -1)]
    signs = [[layer.linear(a) > 0 for layer, a in zip(net.layers, net.activations(x))] for net in ends]
    assume(all(np.array_equal(a, b) for a, b in zip(*signs)))
    size = 1 + sizes_along(network, x)
    assume(size < 1e3)
    difference = (cross_entropy(ends[0].logits(x), labels) - cross_entropy(ends[1].logits(x), labels)) / (
        2 * h
    )
    _, gradients = loss_and_gradients(network, x, labels)
    v = np.abs(network.activations(x)[index]).sum(axis=1).max()
    reach = 1 + v * network.tail_lipschitz(index)  # how far logits move per unit of h
    slack = h * h * reach**3 + 100 * EPS * size / h
    assert abs(difference - np.sum(gradients[index].weight * D)) <= slack


@given(matrices, st.floats(0, 3))
def test_a_truncation_adds_up_and_is_orthogonal(W, edge):
    edge *= np.sqrt(W.shape[0]) * np.abs(W).max()
    split = remove_bulk(W, edge=edge)
    size = np.linalg.norm(W)
    np.testing.assert_allclose(split.kept + split.removed, W, rtol=0, atol=4 * EPS * size)
    assert abs(split.cross) <= 100 * EPS * size**2
    assert np.linalg.norm(split.removed, 2) <= edge * (1 + 100 * EPS) + 100 * EPS * size


@given(matrices, st.floats(0, 1))
def test_a_mask_adds_up_exactly_and_splits_energy_and_mass(W, fraction):
    split = keep_largest(W, fraction)
    np.testing.assert_array_equal(split.kept + split.removed, W)
    assert not np.any((split.kept != 0) & (split.removed != 0))
    assert split.cross == 0
