"""What is left of margins: never more than is proved, and nearly that where it can be reached."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.networks import (
    BatchNorm,
    Conv2d,
    Dropout,
    MaxPool2d,
    Network,
    convolutional_network,
    initial_network,
)
from rmttheory.networks.layers import Dense
from rmttheory.theorem import intervals
from rmttheory.theorem.intervals import margin_bounds, rounding_bounds


def network(kind, seed):
    """Small networks of every kind of layer."""
    stream = Stream(seed)
    if kind == "dense":
        return initial_network((7, 9, 8, 5), stream=stream)
    if kind == "abs":
        made = initial_network((7, 9, 8, 5), stream=stream)
        return Network((replace(made.layers[0], activation="abs"), *made.layers[1:]))
    return convolutional_network(
        (2, 6, 6), channels=(4,), hidden=(8,), classes=5, stream=stream, batch_norm=True, dropout=0.5, pool=2
    )


def share_removed(net, removed, shares):
    for (index, R), share in zip(removed.items(), shares):
        net = net.replace(index, net.layers[index].weight - share * R)
    return net


def margins(net, x, labels):
    logits = net.logits(x)
    return np.take_along_axis(logits, labels[:, None], 1) - logits


def by_intervals_alone(low, high, norm):
    return intervals._Change(low, high, np.full_like(norm, 1e30))


def by_norms_alone(low, high, norm):  # noqa: ARG001
    return intervals._Change(-norm[:, None] + 0 * low, norm[:, None] + 0 * low, norm)


@given(
    st.sampled_from(["dense", "abs", "convolution"]),
    st.integers(0, 50),
    st.sampled_from([0.05, 1.0, "grows", "turns"]),
    st.sets(st.integers(0, 2), min_size=1),
    st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=3, max_size=3),
    st.sampled_from([None, by_intervals_alone, by_norms_alone]),
)
def test_no_share_of_any_layers_leaves_less_than_is_proved(kind, seed, what, which, shares, way):
    net = network(kind, seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((6, net.sizes[0]))
    removed = {}
    for i in (net.weighted[i] for i in which):
        W = net.layers[i].weight
        removed[i] = {"grows": -2 * W, "turns": 3 * W}.get(what)
        if removed[i] is None:
            removed[i] = what * rng.standard_normal(W.shape)
    with pytest.MonkeyPatch.context() as patch:
        if way:
            patch.setattr(intervals, "_tight", way)
        found = margin_bounds(net, x, removed)
    after = margins(share_removed(net, removed, shares), x, found.labels)
    others = np.isfinite(found.after)
    room = 1e-9 * (1 + np.abs(after).max())
    assert np.all(found.after[others] <= after[others] + room)
    assert np.all(found.after[others] <= found.before[others] + room)
    assert np.array_equal(others.sum(axis=1), np.full(6, 4))


def test_the_last_layer_is_exact():
    net = network("dense", 3)
    x = np.random.default_rng(0).standard_normal((5, 7))
    R = np.random.default_rng(1).standard_normal((5, 8))
    found = margin_bounds(net, x, {2: R})
    after = margins(net.replace(2, net.layers[2].weight - R), x, found.labels)
    worst = np.minimum(after, found.before)
    others = np.isfinite(found.after)
    np.testing.assert_allclose(found.after[others], worst[others], rtol=1e-8, atol=1e-8)


def test_a_witness_comes_near_the_bound():
    """One unit moves, and both logits with it: nothing is lost between its change and theirs."""
    W = np.array([[1.0, 0.0], [0.0, 1.0]])
    net = Network((Dense(W, None, "relu"), Dense(np.array([[2.0, 0.0], [-1.0, 0.5]]), None, "identity")))
    found = margin_bounds(net, np.array([[3.0, 0.0]]), {0: np.array([[0.5, 0.0], [0.0, 0.0]])})
    assert found.before[0, 1] == 9.0
    assert found.after[0, 1] == pytest.approx(9.0 - 3.0 * 1.5, rel=1e-8)  # and the ball says the same


def one(*weights):
    """A network of one unit a layer, and two classes, the first of which is 10 ahead."""
    *hidden, last = weights
    layers = [Dense(np.array([[w]]), None, "relu") for w in hidden]
    return Network((*layers, Dense(np.array([[last], [0.0]]), np.array([10.0, 0.0]), "identity")))


@pytest.mark.parametrize("way", [None, by_intervals_alone, by_norms_alone])
def test_what_is_removed_meets_what_has_changed_before(way, monkeypatch):
    """A unit grows from 1 to 2 and the weight behind it from 1 to 3, so that 1 becomes 6."""
    if way:
        monkeypatch.setattr(intervals, "_tight", way)
    x, grow = np.ones((1, 1)), np.array([[-1.0]])
    inner = margin_bounds(one(1.0, 1.0, -1.0), x, {0: grow, 1: 2 * grow})
    assert inner.after[0, 1] <= 10 - 6
    last = margin_bounds(one(1.0, -1.0), x, {0: grow, 1: np.array([[2.0], [0.0]])})
    assert last.after[0, 1] <= 10 - 6
    assert inner.after[0, 1] >= 10 - 12


@pytest.mark.parametrize("pool", [False, True])
def test_an_entry_of_an_image_enters_several_windows(pool, monkeypatch):
    """Ones become twos; sums over overlapping windows grow beyond the norm of a kernel."""
    monkeypatch.setattr(intervals, "_tight", by_norms_alone)
    first = Conv2d(np.ones((1, 1)), None, "relu", image=(1, 6, 6), kernel=1)
    behind = Conv2d(np.ones((1, 9)), None, "relu", image=(1, 6, 6), kernel=3, padding=1)
    if pool:
        behind = MaxPool2d(image=(1, 6, 6), kernel=3, stride=1)
    last = np.stack([-np.ones(behind.shape[0]), np.zeros(behind.shape[0])])
    net = Network((first, behind, Dense(last, np.array([1000.0, 0.0]), "identity")))
    x = np.zeros((1, 36)) if pool else np.ones((1, 36))
    x[0, 14] = 1.0
    found = margin_bounds(net, x, {0: -np.ones((1, 1))})
    assert found.after[0, 1] <= margins(net.replace(0, 2 * np.ones((1, 1))), x, found.labels)[0, 1] + 1e-9


def test_a_pooled_maximum_can_move_either_way():
    first = Conv2d(np.ones((1, 1)), None, "identity", image=(1, 2, 2), kernel=1)
    net = Network((first, MaxPool2d(image=(1, 2, 2)), Dense(np.array([[1.0], [0.0]]), None, "identity")))
    x = np.array([[3.0, 1.0, -2.0, 0.0]])
    found = margin_bounds(net, x, {0: np.array([[2.0]])})  # 3, 1, -2, 0 becomes -3, -1, 2, 0
    assert found.after[0, 1] <= 2.0
    assert found.after[0, 1] >= -3.0 - 1e-6


def test_a_unit_that_stays_off_changes_nothing():
    W = np.array([[1.0], [-1.0]])
    net = Network((Dense(W, None, "relu"), Dense(np.array([[1.0, 5.0], [0.0, -5.0]]), None, "identity")))
    found = margin_bounds(net, np.array([[2.0]]), {0: np.array([[0.0], [-0.5]])})
    assert found.after[0, 1] == found.before[0, 1]


def test_it_is_sharper_than_the_product_of_norms():
    net = initial_network((30, 60, 60, 5), stream=Stream(0))
    rng = np.random.default_rng(0)
    x, R = rng.standard_normal((40, 30)), 0.01 * rng.standard_normal((60, 30))
    product = 2 * np.abs(x @ R.T).max(axis=1) * net.tail_lipschitz(0)
    assert np.median(margin_bounds(net, x, {0: R}).change / product) < 0.2


@pytest.mark.parametrize("kind", ["dense", "convolution"])
def test_rounding_in_single_precision_is_within_its_bound(kind):
    net = network(kind, 0)
    x = np.random.default_rng(0).standard_normal((50, net.sizes[0])).astype(np.float32)
    single = net.mapped(lambda array: np.asarray(array, np.float32))
    double = single.mapped(lambda array: np.asarray(array, np.float64))
    error = np.abs(single.logits(x).astype(float) - double.logits(x))
    bound = rounding_bounds(single, x, 2.0**-24)
    assert np.all(error <= bound)
    assert np.median(bound / np.maximum(error, 1e-12)) < 1000  # a bound, and not a wide one


def test_rounding_of_one_layer_is_that_of_its_sums():
    W, x = np.array([[1.0, -2.0, 3.0]]), np.array([[1.0, 1.0, 1.0]])
    bound = rounding_bounds(Network((Dense(W, np.array([4.0]), "identity"),)), x, 2.0**-24)
    assert bound[0, 0] == pytest.approx(5 * 2.0**-24 * (6 + 4), rel=1e-5)


BROKEN = {
    "the norms of the rows": ("_rows", lambda W: 0 * W[:, 0]),
    "the activation": ("_activated", lambda _, __, change: replace_ends(change, 0.5)),
    "what a removed part does to a change": ("_ROOM", 0.2),
}


def test_nothing_is_certified_of_sums_whose_rounding_has_no_bound():
    x = np.eye(3, 300)
    net = Network((Dense(np.eye(2, 300), None, "relu"), Dense(np.eye(2), None, "identity")))
    removed = {0: np.zeros((2, 300))}
    assert np.isinf(rounding_bounds(net, x, 2.0**-8)).all()
    assert intervals.labels_that_stay(net, x, removed, unit=2.0**-24)[1].any()
    assert not intervals.labels_that_stay(net, x, removed, unit=2.0**-8)[1].any()


def replace_ends(change, factor):
    return intervals._Change(change.low * factor, change.high * factor, change.norm * factor)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bounds_are_seen(name, monkeypatch):
    monkeypatch.setattr(intervals, *BROKEN[name])
    worst = 0.0
    for seed in range(20):
        net, rng = network("dense", seed), np.random.default_rng(seed)
        x = rng.standard_normal((20, 7))
        removed = {i: 0.3 * rng.standard_normal(net.layers[i].weight.shape) for i in (0, 1)}
        found = margin_bounds(net, x, removed)
        after = margins(share_removed(net, removed, (1, 1)), x, found.labels)
        others = np.isfinite(found.after)
        worst = max(worst, np.max(found.after[others] - after[others]))
    assert worst > 1e-3


def test_bad_arguments_are_refused():
    net = network("dense", 0)
    with pytest.raises(InvalidInput, match="removed from layer 1 must have the shape"):
        margin_bounds(net, np.ones((1, 7)), {1: np.ones((2, 2))})
    ends = Network((replace(net.layers[0], activation="relu"),))
    with pytest.raises(InvalidInput, match="whose last layer is dense and without activation"):
        margin_bounds(ends, np.ones((1, 7)), {})


def test_dropout_and_normalisation_are_passed():
    assert any(isinstance(layer, Dropout) for layer in network("convolution", 0).layers)
    assert any(isinstance(layer, BatchNorm) for layer in network("convolution", 0).layers)
