"""The Hessian is symmetric and linear for every network; Lanczos finds the ends of every symmetric matrix."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from test_networks_properties import networks_with_inputs

from rmttheory.arrays import Stream
from rmttheory.matrices import extreme_eigenvalues, spectral_density
from rmttheory.networks import Hessian

EPS = 2.0**-52


@given(networks_with_inputs(), st.integers(0, 2**32), st.data())
def test_the_hessian_is_symmetric(case, seed, data):
    """``u^T H v = v^T H u`` up to rounding: so many roundings of ``|u|^T |H| |v|``, and of the terms of H."""
    network, x = case
    labels = data.draw(st.lists(st.integers(0, network.sizes[-1] - 1), min_size=len(x), max_size=len(x)))
    H = Hessian(network, x, np.array(labels), l2=data.draw(st.floats(0, 1)))
    u, v = Stream(seed).normal((2, network.parameter_count))
    products = u @ (H @ v), v @ (H @ u)
    roundings = sum(network.sizes) + len(x) + network.parameter_count
    size = np.linalg.norm(u) * np.linalg.norm(v) * _size(network, x, H.l2)
    assert abs(products[0] - products[1]) <= roundings * EPS * size


def _size(network, x, l2):
    """Bound the norm of what is added up: lengths of activations times norms of later layers, squared."""
    norms = [1.0 + np.linalg.norm(layer.weight) for layer in network.layers]
    biases = [0.0 if layer.bias is None else np.linalg.norm(layer.bias) for layer in network.layers]
    reach = 1.0 + np.linalg.norm(x) + sum(biases)
    return 8.0 * len(norms) ** 2 * (reach * np.prod(norms)) ** 2 + 2 * l2


@given(st.integers(1, 12), st.integers(0, 2**32), st.integers(0, 3))
def test_lanczos_finds_the_ends(p, seed, rank):
    """Also where eigenvalues repeat: a matrix of low rank has 0 many times."""
    U = Stream(seed).orthonormal(p, min(rank, p))
    A = (U * np.arange(1.0, min(rank, p) + 1)) @ U.T
    A = A + A.T
    values = np.linalg.eigvalsh(A)
    slack = 16 * p * EPS * max(1.0, float(np.max(np.abs(values))))
    for end, expected in (("top", values[-1]), ("bottom", values[0])):
        found = extreme_eigenvalues(A, 1, end=end, tolerance=1e-9)
        assert abs(found.values[0] - expected) <= slack + 1e-9 * max(1.0, np.max(np.abs(values)))


@given(st.integers(2, 12), st.integers(0, 2**32))
def test_quadrature_weights_are_a_probability(p, seed):
    A = Stream(seed).normal((p, p))
    found = spectral_density(A + A.T, steps=p, probes=2)
    assert np.all(found.weights >= 0)
    np.testing.assert_allclose(np.sum(found.weights, axis=1), 1.0, rtol=0, atol=8 * p * EPS)
