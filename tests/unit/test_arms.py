import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream, to_host
from rmttheory.matrices import Spiked, fit_edge, shrink
from rmttheory.networks.arms import ARMS, cut_at, cut_layer, cut_network
from rmttheory.networks.bulks import FittedEdge
from rmttheory.networks.datasets import Dataset
from rmttheory.networks.factors import factor_layer, factor_network, stored_parameters
from rmttheory.networks.images import Conv2d
from rmttheory.networks.initial import convolutional_network, initial_network
from rmttheory.networks.layers import Dense
from rmttheory.networks.network import Network
from rmttheory.networks.pruning_runs import PruningRun
from rmttheory.networks.schedules import PruningSchedule
from rmttheory.networks.training import train

SHAPE = (50, 40)
DRAW = Spiked(SHAPE, (5.0, 4.0)).sample(rng=3)
W = DRAW.W
NETWORK = initial_network((40, 50, 30, 10), stream=Stream(4))
X = Stream(5).normal((20, 40))


# factors


def test_factors_compute_what_the_layer_computes():
    """Full rank, so nothing is cut.

    ``A (B x)`` differs from ``W x`` by the backward error of LAPACK's decomposition, a small multiple of
    ``p eps s_1 |x|_2`` in norm, and by two products of at most 50 terms: ``(50 + 40) eps |A| |B| |x|``, where
    the norms of the factors multiply to ``s_1`` times at most the rank.
    """
    layer = Dense(W, Stream(6).normal(50))
    first, second = factor_layer(layer, 40)
    bound = (10 * 50 + 90 * 40) * 2.2e-16 * np.linalg.norm(W, 2) * np.linalg.norm(X, axis=1)
    assert np.all(np.linalg.norm(second(first(X)) - layer(X), axis=1) <= bound)
    assert (first.shape, second.shape) == ((40, 40), (50, 40))
    assert (first.bias, first.activation) == (None, "identity")
    assert second.bias is layer.bias
    assert second.activation == "relu"


def test_factors_of_low_rank_are_balanced_and_save_parameters():
    layer = Dense(W)
    first, second = factor_layer(layer, 3)
    s = np.linalg.svd(W, compute_uv=False)[:3]
    for factor in (first.weight, second.weight):
        np.testing.assert_allclose(np.linalg.svd(factor, compute_uv=False), np.sqrt(s), rtol=1e-13)
    kept = cut_layer(W, "truncated", parameters=3 * 90).kept
    np.testing.assert_allclose(second.weight @ first.weight, kept, rtol=0, atol=1e-13)
    network = Network((Dense(W, np.zeros(50)), Dense(np.ones((2, 50)), None, "identity")))
    assert stored_parameters(network) == 2000 + 50 + 100
    smaller = factor_network(network, -2, 3)
    assert stored_parameters(smaller) == 3 * 90 + 50 + 100
    assert smaller.layers[-1] is network.layers[-1]
    assert smaller.layers[1].bias is network.layers[0].bias


# layers of one size


@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_stores_no_more_than_its_share_and_adds_up(arm):
    split = cut_layer(W, arm, parameters=5 * 90 + 89, rng=1)
    np.testing.assert_allclose(split.kept + split.removed, W, rtol=0, atol=1e-14)
    if arm == "mask":
        assert split.parameters == np.count_nonzero(split.kept) == 5 * 90
    else:
        assert split.parameters == split.rank * 90
        assert split.rank == np.linalg.matrix_rank(split.kept, tol=1e-10)
        assert split.rank == (2 if arm == "shrunk" else 5)


def test_truncation_keeps_the_largest_values_and_shrinkage_shrinks_them():
    s = np.linalg.svd(W, compute_uv=False)
    kept = np.linalg.svd(cut_layer(W, "truncated", parameters=450).kept, compute_uv=False)
    np.testing.assert_allclose(kept[:5], s[:5], rtol=1e-13)
    shrunk = np.linalg.svd(cut_layer(W, "shrunk", parameters=450).kept, compute_uv=False)
    expected = shrink(s, 40 / 50, fit_edge(s, SHAPE).g)
    np.testing.assert_allclose(shrunk[:2], expected[:2], rtol=1e-12)


def test_random_triplets_are_triplets_of_the_layer():
    U, s, V = np.linalg.svd(W, full_matrices=False)
    kept = U.T @ cut_layer(W, "random triplets", parameters=450, rng=2).kept @ V.T
    np.testing.assert_allclose(kept, np.diag(np.diag(kept)), rtol=0, atol=1e-13)
    chosen = np.abs(np.diag(kept)) > 1e-10
    assert np.count_nonzero(chosen) == 5
    np.testing.assert_allclose(np.diag(kept)[chosen], s[chosen], rtol=1e-12)


def test_a_random_projection_projects():
    for A in (W, W.T):
        kept = cut_layer(A, "random projection", parameters=450, rng=2).kept
        tall = A.shape[0] > A.shape[1]
        U, _, V = np.linalg.svd(kept)
        P = V[:5].T @ V[:5] if tall else U[:, :5] @ U[:, :5].T
        np.testing.assert_allclose(A @ P if tall else P @ A, kept, rtol=0, atol=1e-12)


@pytest.mark.parametrize("arm", ["random triplets", "random projection"])
def test_random_arms_keep_their_share_of_the_energy_on_average(arm):
    """Mean of 400 draws against ``r / p`` of the energy, 1/8; level 1e-6, two-sided (4.9 standard errors).

    Power: an arm that keeps the largest triplets, or none of the signal, is off by more than 20 of them.
    """
    energy = np.linalg.norm(W) ** 2
    kept = [np.linalg.norm(cut_layer(W, arm, parameters=450, rng=k).kept) ** 2 / energy for k in range(400)]
    error = np.std(kept) / 20
    assert abs(np.mean(kept) - 5 / 40) < 4.9 * error
    assert (
        abs(np.linalg.norm(cut_layer(W, "truncated", parameters=450).kept) ** 2 / energy - 1 / 8) > 20 * error
    )


def test_random_arms_depend_on_their_stream_alone():
    for arm in ("random triplets", "random projection"):
        one, same, other = (cut_layer(W, arm, parameters=450, rng=k).kept for k in (1, Stream(1), 2))
        np.testing.assert_array_equal(one, same)
        assert np.any(one != other)


# networks


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "shrunk"])
def test_a_budget_is_shared_out_by_size(arm):
    """2000, 1500 and 300 numbers; half of each, rounded down to a rank: 11 x 90, 9 x 80 and 3 x 40."""
    cut = cut_network(NETWORK, arm, parameters=1900, rng=1)
    if arm == "mask":
        assert [np.count_nonzero(layer.weight) for layer in cut.layers] == [990, 720, 120]
        assert stored_parameters(cut) == 1830 + 90
        return
    assert [np.linalg.matrix_rank(layer.weight, tol=1e-10) for layer in cut.layers] == [11, 9, 3]
    assert stored_parameters(cut) == NETWORK_PARAMETERS
    halves = cut_network(NETWORK, arm, parameters=1900, factored=True, rng=1)
    assert stored_parameters(halves) == 1830 + 90
    np.testing.assert_allclose(halves.logits(X), cut.logits(X), rtol=0, atol=1e-11)


NETWORK_PARAMETERS = 2000 + 1500 + 300 + 90


def test_layers_may_have_budgets_of_their_own():
    cut = cut_network(NETWORK, "truncated", parameters={-2: 240})
    assert cut.layers[0] is NETWORK.layers[0]
    assert cut.layers[2] is NETWORK.layers[2]
    assert np.linalg.matrix_rank(cut.layers[1].weight, tol=1e-10) == 3
    assert cut.layers[1].bias is NETWORK.layers[1].bias


@pytest.mark.parametrize("arm", [arm for arm in ARMS if arm != "shrunk"])
def test_training_on_changes_no_size(arm):
    """2000, 1500 and 300 numbers at 1900, as above, and 90 biases."""
    labels = np.arange(60) % 10
    x = Stream(6).normal((60, 40)).astype(np.float32)
    facts = {"name": "toy", "source": "this test", "licence": "none", "classes": 10}
    data = Dataset(train_x=x, train_y=labels, test_x=x, test_y=labels, **facts)
    trained = train(NETWORK, data, epochs=4, prune=cut_at(2, arm, parameters=1900, rng=1), rng=1)
    assert [epoch.pruned for epoch in trained.history] == [False, True, False, False]
    assert stored_parameters(trained.network) == 1830 + 90


@pytest.mark.parametrize("arm", ARMS)
def test_they_are_the_same_elsewhere(arm, require):
    require("torch")
    there = Placement("torch", dtype="float32").asarray(W)
    split = cut_layer(there, arm, parameters=450, rng=Stream(1))
    assert split.kept.dtype == there.dtype
    # vectors inside the bulk turn by eps over gaps of about 1/100: 5 of them at sizes up to 5
    np.testing.assert_allclose(to_host(split.kept), cut_layer(W, arm, parameters=450, rng=1).kept, atol=2e-3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cut_layer(W, "best", parameters=450), "Unknown arm 'best'"),
        (lambda: cut_layer(W, "mask", parameters=89), "from 90, for a rank of 1, to 2000, not 89"),
        (lambda: cut_layer(W, "mask", parameters=2001), "to 2000, not 2001"),
        (lambda: cut_layer(W[0], "mask", parameters=90), "non-empty matrix"),
        (lambda: cut_layer(np.outer(W[0], W[0]), "shrunk", parameters=90), "full rank"),
        (lambda: cut_network(NETWORK, "mask", parameters=1900, factored=True), "A mask has no two factors"),
        (lambda: cut_network(NETWORK, "mask", parameters={3: 100}), "one of the 3 layers"),
        (lambda: cut_network(NETWORK, "mask", parameters=0), "`parameters`"),
        (lambda: cut_network(NETWORK, "mask", parameters=400), "layer 2 gets 31, but a rank of 1 takes 40"),
        (lambda: cut_at(0, "mask", parameters=400), "`epoch`"),
        (lambda: cut_at(1, "best", parameters=400), "Unknown arm"),
        (lambda: factor_layer(Dense(W), 0), "`rank`"),
        (lambda: factor_layer(Dense(W), 41), "at most 40"),
        (lambda: factor_network(NETWORK, 3, 1), "one of the 3 layers"),
    ],
)
def test_bad_arguments_are_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()


# convolutions

STRIDED = {"image": (3, 9, 8), "kernel": (3, 2), "stride": (2, 1), "padding": (1, 0)}


def convolution():
    return Conv2d(Stream(8).normal((20, 18), scale=0.2), Stream(9).normal(20), "relu", **STRIDED)


def test_a_convolution_becomes_fewer_kernels_and_one_of_a_pixel():
    """As for dense layers: at each place 18 inputs, and two sums of 18 terms with absolute sums below 100."""
    layer, images = convolution(), Stream(10).normal((4, 3 * 9 * 8))
    first, second = factor_layer(layer, 18)
    assert (first.weight.shape, first.bias, first.activation) == ((18, 18), None, "identity")
    assert (second.kernel, second.stride, second.padding) == ((1, 1), (1, 1), (0, 0))
    assert second.output_image == layer.output_image
    np.testing.assert_allclose(second(first(images)), layer(images), rtol=0, atol=1e-12)


def test_networks_of_images_are_cut_through_their_matrices():
    sizes = {"channels": (24, 30), "hidden": (40,), "classes": 10, "batch_norm": True}
    network = convolutional_network((1, 12, 12), stream=Stream(1), **sizes)
    images = Stream(2).normal((5, 144))
    assert len(network.weighted) < len(network.layers)
    budget = stored_parameters(network) // 2
    halves = cut_network(network, "truncated", parameters=budget, factored=True)
    cut = cut_network(network, "truncated", parameters=budget)
    assert len(halves.layers) == len(network.layers) + len(network.weighted)
    assert stored_parameters(halves) < 0.55 * stored_parameters(network)
    np.testing.assert_allclose(halves.logits(images), cut.logits(images), rtol=0, atol=1e-11)
    pooling = next(i for i, layer in enumerate(network.layers) if layer.matrix is None)
    with pytest.raises(InvalidInput, match="which has no matrix"):
        factor_network(network, pooling, 1)
    run = PruningRun(PruningSchedule(every=1, factor=True, edge=FittedEdge(gate=0)))
    pruned = run(network, 1)
    assert [event.layer for event in run.events] == list(network.weighted)
    assert run(pruned, 2) is None
    assert np.all(np.isfinite(pruned.logits(images)))
    with pytest.raises(InvalidInput, match="layers with a matrix"):
        PruningRun(PruningSchedule(every=1, layers=(pooling,)))(network, 1)
