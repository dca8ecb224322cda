import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream, to_host
from rmttheory.matrices.edges import fit_edge
from rmttheory.matrices.ensembles import Spiked
from rmttheory.matrices.spikes import bulk_edge, shrink
from rmttheory.networks.pruning import keep_largest, oracle, remove_bulk, shrink_bulk

SHAPE = (120, 80)
DRAW = Spiked(shape=SHAPE, spikes=(4.0, 3.0)).sample(rng=1)
EDGE = bulk_edge(80 / 120)


def eps(W):
    return 1.2e-7 if "32" in str(W.dtype) else 2.2e-16


def check_sum(W, split):
    """``kept + (W - kept)`` rounds twice, each time a number of at most ``|W| + |kept|``."""
    W, kept, removed = (to_host(a) for a in (W, split.kept, split.removed))
    assert np.all(np.abs(kept + removed - W) <= eps(W) * (np.abs(W) + 2 * np.abs(kept)))


# truncation


def test_truncation_keeps_the_values_above_the_edge_and_their_vectors():
    split = remove_bulk(DRAW.W, edge=EDGE * 1.05)
    s = np.linalg.svd(DRAW.W, compute_uv=False)
    assert split.rank == np.sum(s > EDGE * 1.05) == 2
    kept, removed = (np.linalg.svd(a, compute_uv=False) for a in (split.kept, split.removed))
    np.testing.assert_allclose(kept[:2], s[:2], rtol=1e-13)
    np.testing.assert_allclose(kept[2:], 0, atol=1e-13)
    np.testing.assert_allclose(removed[:-2], s[2:], rtol=1e-12)
    check_sum(DRAW.W, split)
    assert abs(split.cross) < 1e-12
    assert (split.method, split.edge, split.estimate) == ("truncation", EDGE * 1.05, None)
    assert split.parameters == 2 * (120 + 80)


def test_without_an_edge_it_is_fitted_and_the_fit_is_kept():
    split = remove_bulk(DRAW.W)
    expected = fit_edge(np.linalg.svd(DRAW.W, compute_uv=False), SHAPE)
    assert split.estimate.edge == pytest.approx(expected.edge, rel=1e-12, abs=0)
    assert (split.edge, split.rank) == (split.estimate.edge, 2)
    assert remove_bulk(DRAW.W, method="median", level=0.01).estimate.level == 0.01


def test_a_value_at_the_edge_is_removed_and_a_factored_layer_can_be_split_again():
    """Published code kept one or two values too many, and lost the fit of a layer that was split before."""
    W = np.diag([3.0, 2.0, 1.0, 0.5])
    once = remove_bulk(W, edge=2.0)
    assert once.rank == 1
    np.testing.assert_array_equal(once.kept, np.diag([3.0, 0, 0, 0]))
    again = remove_bulk(once.kept, edge=2.0)
    np.testing.assert_array_equal(again.kept, once.kept)
    np.testing.assert_array_equal(again.removed, 0 * W)


def test_at_least_keeps_the_rank_that_classes_need():
    """Published code cut a last layer of 10 classes to rank 9."""
    W = Stream(3).normal((10, 50))
    assert remove_bulk(W, edge=100.0).rank == 0
    assert not np.any(remove_bulk(W, edge=100.0).kept)
    split = remove_bulk(W, edge=100.0, at_least=10)
    assert split.rank == 10
    np.testing.assert_allclose(split.kept, W, rtol=0, atol=1e-13)
    assert remove_bulk(W, edge=0.0, at_least=3).rank == 10
    assert remove_bulk(W, edge=100.0, at_least=99).rank == 10


# shrinkage


@pytest.mark.parametrize("loss", ["frobenius", "operator", "nuclear"])
def test_shrinkage_applies_the_shrinker_to_each_value(loss):
    split = shrink_bulk(DRAW.W, edge=1.5 * EDGE, loss=loss)
    s = np.linalg.svd(DRAW.W, compute_uv=False)
    np.testing.assert_allclose(
        np.linalg.svd(split.kept, compute_uv=False),
        shrink(s, 80 / 120, 1.5**2, loss=loss),
        rtol=0,
        atol=1e-12,
    )
    assert split.rank == np.linalg.matrix_rank(split.kept, tol=1e-9)
    check_sum(DRAW.W, split)
    assert split.method == "shrinkage"


def test_shrinkage_estimates_the_signal_better_than_truncation():
    """By Frobenius norm, on one fixed draw; the limits are 1.73 against 1.96 here, far apart."""
    errors = [np.linalg.norm(split(DRAW.W).kept - DRAW.S) for split in (shrink_bulk, remove_bulk)]
    assert errors[0] < errors[1]


# masks and the oracle


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.5, 1.0])
def test_a_mask_keeps_exactly_the_largest_entries(fraction):
    W = Stream(5).normal((30, 20))
    split = keep_largest(W, fraction)
    count = round(fraction * 600)
    assert np.count_nonzero(split.kept) == split.parameters == count
    assert np.all((split.kept == 0) | (split.removed == 0))
    np.testing.assert_array_equal(split.kept + split.removed, W)
    assert split.cross == 0
    if 0 < fraction < 1:
        assert np.min(np.abs(split.kept[split.kept != 0])) > np.max(np.abs(split.removed))
    assert (split.method, split.rank) == ("mask", None)


def test_equal_entries_are_kept_in_row_order():
    kept = keep_largest(np.array([[1.0, -1.0], [1.0, 2.0]]), 0.75).kept
    np.testing.assert_array_equal(kept, [[1.0, -1.0], [0.0, 2.0]])


def test_the_oracle_knows_signal_and_noise():
    split = oracle(DRAW)
    assert split.kept is DRAW.S
    assert split.removed is DRAW.R
    assert (split.rank, split.parameters) == (2, 2 * 200)


# everywhere, and refusals

WAYS = {
    "remove": lambda W: remove_bulk(W),
    "remove all": lambda W: remove_bulk(W, edge=1e6),
    "shrink": lambda W: shrink_bulk(W),
    "mask": lambda W: keep_largest(W, 0.3),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_fitted_edge_and_all_else_are_the_same_in_single_precision_elsewhere(way, require):
    require("torch")
    W = Placement("torch", dtype="float32").asarray(DRAW.W)
    here, there = WAYS[way](DRAW.W), WAYS[way](W)
    for part in ("kept", "removed"):
        # values move by 1e2 eps, and vectors by that over the gap between the spikes, which is near 1
        np.testing.assert_allclose(to_host(getattr(there, part)), getattr(here, part), rtol=0, atol=1e-4)
    check_sum(W, there)
    assert (there.rank, there.parameters) == (here.rank, here.parameters)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: remove_bulk(np.ones(3)), "`W` must be a non-empty matrix"),
        (lambda: remove_bulk(DRAW.W * np.nan), "NaN or infinite"),
        (lambda: remove_bulk(DRAW.W, edge=-1.0), "`edge` must be a number >= 0"),
        (lambda: remove_bulk(DRAW.W, edge=np.inf), "`edge` must be"),
        (lambda: remove_bulk(DRAW.W, edge=1.0, at_least=-1), "`at_least` must be"),
        (lambda: remove_bulk(DRAW.W, method="bma"), "bema"),
        (lambda: shrink_bulk(DRAW.W, edge=0.0), "`edge` must be a number > 0"),
        (lambda: shrink_bulk(DRAW.W, edge=1.0, loss="frob"), "frobenius"),
        (lambda: keep_largest(DRAW.W, 1.5), "`fraction` must be"),
    ],
)
def test_bad_arguments_are_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
