import numpy as np
import pytest
from scipy.special import ndtr

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import extreme_eigenvalues, spectral_density
from rmttheory.networks import (
    Dense,
    Hessian,
    Network,
    convolutional_network,
    initial_network,
    loss_and_gradients,
    parameter_vector,
    with_parameters,
)

EPS = 2.0**-52
X = Stream(3).normal((20, 6))
LABELS = np.arange(20) % 3
TERMS = 20 + 6 + 8 + 7 + 3
"""Numbers in the longest chain of sums: samples, and what each layer adds up."""


def network(*, activation="relu", bias=True, sizes=(6, 8, 7, 3)):
    plain = initial_network(sizes, stream=Stream(1), activation=activation, bias=bias)
    vector = parameter_vector(plain)
    return with_parameters(plain, vector + Stream(2).normal(vector.shape[0], scale=0.1))


def gradient(net, x=X, labels=LABELS, *, l2=0.0):
    _, parts = loss_and_gradients(net, x, labels, l2=l2)
    return np.concatenate([np.ravel(p) for part in parts for p in part if p is not None])


@pytest.mark.parametrize("activation", ["relu", "abs", "identity"])
@pytest.mark.parametrize("bias", [True, False])
def test_the_hessian_is_that_of_automatic_differentiation(activation, bias, require):
    """Both are sums of at most TERMS roundings of terms whose absolute values add up to less than 100."""
    require("torch")
    import torch

    net = network(activation=activation, bias=bias, sizes=(6, 4, 4, 3))
    act = {"relu": torch.relu, "abs": torch.abs, "identity": lambda z: z}[activation]

    def loss(vector):
        h, at, penalty = torch.tensor(X), 0, 0.0
        for i, layer in enumerate(net.layers):
            n, m = layer.weight.shape
            W, at = vector[at : at + n * m].reshape(n, m), at + n * m
            h = h @ W.T
            if bias:
                h, at = h + vector[at : at + n], at + n
            penalty = penalty + 0.01 * (W * W).sum()
            h = act(h) if i < 2 else h
        return torch.nn.functional.cross_entropy(h, torch.tensor(LABELS)) + penalty

    expected = torch.autograd.functional.hessian(loss, torch.tensor(parameter_vector(net))).numpy()
    found = Hessian(net, X, LABELS, l2=0.01).dense()
    assert np.max(np.abs(expected)) > 0.1
    np.testing.assert_allclose(found, expected, rtol=0, atol=TERMS * EPS * 100)


def images():
    """A convolution, normalised, pooled, and dense layers with another normalisation; all arrays in use."""
    net = convolutional_network(
        (1, 6, 6), channels=(2,), hidden=(5,), classes=3, batch_norm=True, dropout=0.5, stream=Stream(11)
    )
    vector = parameter_vector(net)
    net = with_parameters(net, vector + Stream(12).normal(vector.shape[0], scale=0.2))
    for i, layer in enumerate(net.layers):
        for name in layer.recorded:
            values = Stream(13).child(i, name).uniform(getattr(layer, name).shape, low=0.5, high=1.5)
            getattr(layer, name)[...] = values
    return net


def test_layers_of_images_have_the_slope_of_their_gradient():
    """As below, along every third parameter, the column of the matrix; and the matrix is symmetric."""
    net, h = images(), 1e-5
    kinds = {type(layer).__name__ for layer in net.layers}
    assert kinds == {"Conv2d", "BatchNorm", "MaxPool2d", "Dense", "Dropout"}
    x, start = Stream(14).normal((8, 36)), parameter_vector(net)
    H = Hessian(net, x, LABELS[:8], l2=0.01)
    dense = H @ np.eye(len(start))
    np.testing.assert_allclose(dense, dense.T, rtol=0, atol=100 * TERMS * EPS)

    def difference(v, step):
        ahead, behind = (
            gradient(with_parameters(net, start + t * v), x, LABELS[:8], l2=0.01) for t in (step, -step)
        )
        return (ahead - behind) / (2 * step)

    for i in range(0, len(start), 3):
        v = np.zeros_like(start)
        v[i] = 1.0
        coarse, fine = difference(v, 2 * h), difference(v, h)
        slack = np.max(np.abs(coarse - fine)) + TERMS * EPS * 10 / h
        assert slack < 1e-6
        np.testing.assert_allclose(dense[:, i], fine, rtol=0, atol=slack)


def test_the_product_is_the_slope_of_the_gradient():
    """Central differences err by their truncation, a third of what halving the step changes, and rounding."""
    net, h = network(), 1e-5
    start = parameter_vector(net)
    v = Stream(5).normal(start.shape[0])

    def difference(step):
        ahead, behind = (gradient(with_parameters(net, start + t * v), l2=0.02) for t in (step, -step))
        return (ahead - behind) / (2 * step)

    coarse, fine = difference(2 * h), difference(h)
    slack = np.max(np.abs(coarse - fine)) + TERMS * EPS * 10 / h
    assert slack < 1e-6
    np.testing.assert_allclose(Hessian(net, X, LABELS, l2=0.02) @ v, fine, rtol=0, atol=slack)


def test_lanczos_on_products_agrees_with_the_whole_matrix():
    """Ends to the square of the residual over the gap; moments within five standard errors (t, 19: 8e-5)."""
    H = Hessian(network(), X, LABELS)
    values = np.linalg.eigvalsh(H.dense())
    assert values[0] < -0.01  # a saddle: signs matter
    top, bottom = extreme_eigenvalues(H, 3), extreme_eigenvalues(H, 2, end="bottom")
    np.testing.assert_allclose(top.values, values[:-4:-1], rtol=0, atol=143 * EPS * 10)
    np.testing.assert_allclose(bottom.values, values[:2], rtol=0, atol=143 * EPS * 10)
    density = spectral_density(H, steps=20, probes=20, stream=Stream(4))
    for order in (1, 2, 3):
        value, error = density.moment(order)
        assert abs(value - np.mean(values**order)) <= 5 * error
    x = np.linspace(values[0], values[-1], 7)
    share, error = density.cdf(x, 0.05)
    exact = np.mean(ndtr((x[:, None] - values) / 0.05), axis=1)
    assert np.all(np.abs(share - exact) <= 5 * error + 1e-3)  # quadrature of a kernel, 39 degrees


def test_dead_neurons_have_no_curvature():
    """At z = 0 exactly, the slope is 0: the layer before does not matter, to second order either."""
    net = Network((Dense(np.zeros((4, 6))), Dense(np.ones((3, 4)), None, "identity")))
    assert not np.any(Hessian(net, X, LABELS).dense())


def test_columns_are_multiplied_one_by_one():
    net = network()
    H, V = Hessian(net, X, LABELS), Stream(6).normal((net.parameter_count, 3))
    assert H.T is H
    np.testing.assert_array_equal(H @ V, np.stack([H @ V[:, i] for i in range(3)], axis=1))


def test_vectors_and_networks_are_each_other():
    net = network()
    vector = parameter_vector(net)
    assert vector.shape == (net.parameter_count,) == (6 * 8 + 8 + 8 * 7 + 7 + 7 * 3 + 3,)
    np.testing.assert_array_equal(vector[: 6 * 8], np.ravel(net.layers[0].weight))
    np.testing.assert_array_equal(vector[6 * 8 : 6 * 8 + 8], net.layers[0].bias)
    moved = with_parameters(net, 2 * vector)
    np.testing.assert_array_equal(moved.layers[2].bias, 2 * net.layers[2].bias)
    np.testing.assert_array_equal(parameter_vector(net), vector)


def test_what_does_not_fit_is_refused():
    net = network()
    H = Hessian(net, X, LABELS)
    with pytest.raises(InvalidInput, match=r"`v` must have shape \(143,\), one entry for each parameter"):
        H @ np.ones(5)
    with pytest.raises(InvalidInput, match="`v` must be float64"):
        H @ np.ones(143, dtype=np.float32)
    with pytest.raises(InvalidInput, match="`vector` holds NaN"):
        with_parameters(net, np.full(143, np.nan))
    wide = initial_network((6, 2000, 3), stream=Stream(1), bias=False)
    with pytest.raises(InvalidInput, match="at most 10000 parameters, not 18000"):
        Hessian(wide, X, LABELS).dense()
