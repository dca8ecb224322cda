"""Top singular values from products: what is found, what is claimed of it, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from rmttheory.arrays import InvalidInput, Placement, RmtError, Stream
from rmttheory.matrices import Factored, Spiked, krylov, top_singular_values
from rmttheory.matrices._krylov import value_errors

EPS = 2.0**-52


def frames(n, m, r, seed=1):
    return Stream(seed).child("U").orthonormal(n, r), Stream(seed).child("V").orthonormal(m, r)


def with_values(s, shape, seed=1):
    """A matrix with these singular values up to a few eps times the largest."""
    U, V = frames(*shape, len(s), seed)
    return (U * np.asarray(s)) @ V.T


def dense_values(W):
    """With vectors: without them LAPACK takes dqds, whose errors were seen to reach 10 sqrt(p) eps s_1."""
    return np.linalg.svd(np.asarray(W, dtype=np.float64))[1]


def check(W, k, reference=None, **options):
    """Find ``k`` values of a matrix on the host and hold all that is promised against the reference."""
    reference = dense_values(W) if reference is None else np.asarray(reference, dtype=np.float64)
    found = top_singular_values(W, k, **options)
    values = np.asarray(found.values, dtype=np.float64)
    own = 2 * math.sqrt(len(reference)) * EPS * reference[0]  # of the reference
    assert values.shape == found.errors.shape == found.residuals.shape == (k,)
    assert np.all(np.diff(values) <= 0)
    assert np.all(np.abs(values - reference[:k]) <= found.errors + own)
    eps = float(np.finfo(found.values.dtype).eps)
    rounding = 4 * sum(W.shape) * eps
    nearest = np.min(np.abs(values[:, None] - reference[None, :]), axis=1)
    assert np.all(nearest <= found.residuals + rounding * reference[0])
    for frame in (found.left, found.right):
        assert np.max(np.abs(frame.T @ frame - np.eye(k))) <= rounding
    return found


GAUSSIAN = {shape: Spiked(shape).sample(1).W for shape in [(300, 200), (200, 300), (250, 250), (900, 60)]}


@pytest.mark.parametrize("k", [1, 2, 3, 10])
@pytest.mark.parametrize("shape", GAUSSIAN)
def test_values_at_the_flat_edge_of_noise(shape, k):
    """Errors of 1e-12 of the largest value are promised where values are crowded."""
    found = check(GAUSSIAN[shape], k)
    assert np.max(found.errors) <= 1.1e-12 * found.values[0]


def test_a_randomised_decomposition_misses_the_flat_edge():
    """What the method is for: a few products with a random block are off by per cents at the same edge."""
    from sklearn.utils.extmath import randomized_svd

    W = GAUSSIAN[250, 250]
    _, s, _ = randomized_svd(W, 3, random_state=1)
    assert abs(s[0] / dense_values(W)[0] - 1) > 1e-3


CASES = {
    "multiple": (np.r_[np.full(7, 2.0), np.linspace(1, 0, 113)], (130, 120), (1, 3, 7, 9)),
    "identity": (np.ones(80), (80, 80), (1, 4, 9)),
    "cluster": (np.r_[1 - 1e-6 * np.arange(4), np.linspace(0.999, 0, 116)], (120, 140), (1, 2, 4, 6)),
    "deficient": (np.linspace(2, 1, 4), (150, 130), (2, 4, 8)),
    "rank one": ([3.0], (200, 90), (1, 5)),
    "graded": (np.geomspace(1, 1e-14, 100), (100, 100), (3, 12)),
    "far apart": (np.r_[1e9, np.linspace(1, 0, 99)], (100, 120), (1, 3)),
}


@pytest.mark.parametrize(("name", "k"), [(name, k) for name, (_, _, counts) in CASES.items() for k in counts])
def test_known_values(name, k):
    s, shape, _ = CASES[name]
    padded = np.r_[np.asarray(s, dtype=np.float64), np.zeros(min(shape) - len(s))]
    found = check(with_values(s, shape), k)
    own = 40 * EPS * padded[0]
    assert np.all(np.abs(found.values - padded[:k]) <= found.errors + own)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (5, 7), (40, 30), (100, 90)])
def test_all_values_of_small_matrices_and_of_zeros(shape):
    p = min(shape)
    for k in sorted({1, min(2, p), p}):
        check(Stream(3).normal(shape), k)
        zero = top_singular_values(np.zeros(shape), k)
        for facts in (zero.values, zero.errors, zero.residuals):
            np.testing.assert_array_equal(facts, 0.0)
        assert np.max(np.abs(zero.left.T @ zero.left - np.eye(k))) <= 40 * EPS


@pytest.mark.parametrize("scale", [1e-300, 1e-200, 1e200, 1e300])
def test_squares_neither_overflow_nor_vanish(scale):
    W = GAUSSIAN[300, 200]
    plain, scaled = top_singular_values(W, 3), top_singular_values(W * scale, 3)
    np.testing.assert_allclose(scaled.values, plain.values * scale, rtol=3e-12)
    assert np.max(scaled.errors) <= 1.1e-12 * scaled.values[0]
    small = top_singular_values((W * 1e-30).astype(np.float32), 3)
    np.testing.assert_allclose(small.values, plain.values * 1e-30, rtol=1e-5)


def test_single_precision_says_what_it_knows():
    """An error of 1e-6 is asked for, and rounding adds ``sqrt(p) eps``; the truth is below the sum."""
    W = GAUSSIAN[300, 200].astype(np.float32)
    found = check(W, 3)
    assert found.values.dtype == found.left.dtype == np.float32
    s = float(found.values[0])
    assert np.max(found.errors) <= (1e-6 + math.sqrt(200) * 2.0**-23) * s * (1 + 1e-5)


SPARSE = scipy.sparse.random_array((400, 300), density=0.02, rng=np.random.default_rng(1), format="csr")


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr"])
def test_sparse_arrays(form):
    W = SPARSE.asformat(form)
    check(W, 3, dense_values(SPARSE.toarray()))
    matrix = scipy.sparse.csr_matrix(SPARSE)
    np.testing.assert_allclose(top_singular_values(matrix, 3).values, top_singular_values(W, 3).values)


def test_sparse_integers_and_empty_patterns():
    signs = SPARSE.copy()
    signs.data = np.sign(signs.data - 0.5)
    check(signs.astype(np.int8), 2, dense_values(signs.toarray()))
    assert np.all(top_singular_values(scipy.sparse.csr_array((40, 30)), 2).values == 0.0)


@pytest.mark.parametrize(
    "diagonal",
    [[3.0, 2.0, 1.0], [2.0] * 5 + [1.0] * 5, [1.0] * 50, [1.0]],
    ids=["three", "two", "one", "single"],
)
@pytest.mark.parametrize("k", [1, 3, 7, 12])
def test_blocks_that_lose_rank_among_exact_zeros(diagonal, k):
    """Where all rounding errors lie among the vectors that are there, new ones need another source."""
    s = np.r_[diagonal, np.zeros(50 - len(diagonal))]
    check(scipy.sparse.diags_array(s), k, s)


@pytest.mark.parametrize("k", [1, 5, 8])
def test_factored(k):
    """Values beyond the rank are zero up to rounding."""
    A, B = Stream(1).normal((300, 5)), Stream(2).normal((5, 200))
    product = Factored(A, B)
    assert product.shape == (300, 200)
    assert product.T.shape == (200, 300)
    np.testing.assert_allclose(product.T @ A, (A @ B).T @ A, rtol=1e-12, atol=1e-12)
    check(product, k, dense_values(A @ B))


class Shifted:
    """``S + u v^T``, of which nothing is known but its products."""

    def __init__(self, S, u, v):
        self.S, self.u, self.v = S, u, v
        self.shape = S.shape

    @property
    def T(self):
        return Shifted(self.S.T, self.v, self.u)

    def __matmul__(self, X):
        return self.S @ X + self.u[:, None] * (self.v @ X)[None, :]


def test_anything_that_multiplies():
    u, v = Stream(1).normal((400,)), Stream(2).normal((300,))
    check(Shifted(SPARSE, u, v), 3, dense_values(SPARSE.toarray() + np.outer(u, v)))


def test_operators_live_where_the_stream_places_them(require):
    require("torch")
    import torch

    class Diagonal:
        shape = (50, 50)
        entries = torch.linspace(0, 1, 50, dtype=torch.float64)

        @property
        def T(self):
            return self

        def __matmul__(self, X):
            return self.entries[:, None] * X

    found = top_singular_values(Diagonal(), 3, stream=Stream(5).at(Placement("torch")))
    assert isinstance(found.values, torch.Tensor)
    np.testing.assert_allclose(found.values.numpy(), np.arange(49, 46, -1) / 49, atol=1e-12)


def test_the_same_numbers_again():
    W = GAUSSIAN[300, 200]
    first, again = top_singular_values(W, 3), top_singular_values(W, 3)
    np.testing.assert_array_equal(first.values, again.values)
    np.testing.assert_array_equal(first.left, again.left)
    other = top_singular_values(W, 3, stream=Stream(9))
    assert not np.array_equal(np.abs(first.left), np.abs(other.left))
    np.testing.assert_allclose(other.values, first.values, rtol=2e-12)


def test_transposing_swaps_the_sides():
    W = GAUSSIAN[300, 200]
    one, other = top_singular_values(W, 2), top_singular_values(W.T, 2)
    np.testing.assert_allclose(one.values, other.values, rtol=2e-12)
    np.testing.assert_allclose(np.abs(one.left), np.abs(other.right), atol=1e-4)


def test_a_smaller_tolerance_takes_more_products_and_tells_a_tight_cluster_apart():
    """Of more than ``b`` values closer than the residuals ``b`` are seen: the stated limit and its cure."""
    s = np.r_[1 - 1e-10 * np.arange(6), np.linspace(0.99, 0, 114)]
    W = with_values(s, (120, 120))
    loose, tight = top_singular_values(W, 2), top_singular_values(W, 2, tolerance=1e-21)
    assert np.all(np.abs(loose.values - s[:2]) <= loose.residuals + 20 * EPS)
    assert tight.blocks > loose.blocks
    assert np.all(np.abs(tight.values - s[:2]) <= 1e-13)


def test_a_basis_that_is_restarted_forgets_nothing():
    """A thousand columns pass through a basis of 64, and its vectors still satisfy their equations."""
    s = 1 - np.linspace(0, 1, 300) ** 2 * 0.01  # values crowd at the top
    W = with_values(s, (300, 300))
    found = check(W, 3)
    assert 2 * found.blocks > 64
    assert np.max(np.abs(W @ found.right - found.left * found.values)) <= 1e-12


def test_the_memory_is_that_of_the_basis():
    """Besides the matrix: at most 1.4 (n + m) J numbers of 8 bytes and a few blocks, J = 64."""
    import tracemalloc

    n = 10_000
    W = scipy.sparse.diags_array(np.linspace(1, 0, n))
    tracemalloc.start()
    found = top_singular_values(W, 1, tolerance=1e-3)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 2 * found.blocks > 64  # it was restarted
    assert peak <= 8 * 2 * n * (1.4 * 64 + 16)


def test_few_products_and_few_transfers():
    """Five blocks a cube root of the smaller side at a flat edge; the host waits every fourth block."""
    W = GAUSSIAN[250, 250]
    count = {"products": 0}

    class Counted:
        shape = W.shape

        def __init__(self, matrix):
            self.matrix = matrix

        @property
        def T(self):
            return Counted(self.matrix.T)

        def __matmul__(self, X):
            count["products"] += 1
            return self.matrix @ X

    found = top_singular_values(Counted(W), 1)
    assert count["products"] == 2 * found.blocks + 2  # and one each to measure the residuals
    assert found.blocks <= 5 * 250 ** (1 / 3) + 4


def test_errors_from_residuals_and_gaps():
    """Against perturbed matrices ``[[D1, E], [E^T, D2]]``: the bound holds and is not idle."""
    s = np.array([3.0, 2.0, 1.9999, 1.0])
    r = np.array([1e-4, 1e-5, 1e-5, 1e-1])
    bound = value_errors(s, r)
    assert bound[0] <= 1.1 * r[0] ** 2 / (1 - 1e-5)  # alone, a gap of 1
    assert bound[1] <= 1.1 * (r[0] ** 2 + 2 * r[1] ** 2) / 0.8999  # with its neighbour, a gap of 0.9
    assert bound[3] >= r[3]  # nothing is known below the last
    assert np.all(value_errors(np.zeros(3), np.zeros(3)) == 0.0)
    one = value_errors(np.array([2.0]), np.array([0.25]))
    assert one[0] == pytest.approx(0.25)


@pytest.mark.parametrize("below", [0.0, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("coupling", [1e-3, 1e-6])
def test_the_bound_is_not_idle(below, coupling):
    """``[[1, e], [0, t]]`` comes within a factor of two to four: it moves by ``e^2 / (2 (1 - t^2))``."""
    W = np.array([[1.0, coupling], [0.0, below]])
    error = np.linalg.svd(W)[1][0] - 1.0
    bound = value_errors(np.array([1.0, below]), np.array([coupling, 0.0]))[0]
    assert 0.249 * bound - 4 * EPS <= error <= bound + 4 * EPS


@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.integers(2, 8),
    cut=st.integers(1, 7),
    coupling=st.floats(1e-9, 0.1),
)
def test_the_bound_holds_for_any_compression(seed, size, cut, coupling):
    """Values of a projection against those of the matrix, where the top of the projection is the right one.

    ``B`` is the projection on ``cut`` of ``size`` directions, what remains lies well below it and is coupled
    to it by residuals: exactly the situation the bound speaks of.
    """
    cut = min(cut, size - 1)
    rng = np.random.default_rng(seed)
    top, rest = np.sort(1.0 + rng.random(cut))[::-1], 0.5 * rng.random(size - cut)
    W = np.diag(np.r_[top, rest])
    W[:cut, cut:] = coupling * rng.standard_normal((cut, size - cut)) / math.sqrt(size)
    residuals = np.linalg.norm(W[:cut, cut:], axis=1)
    exact = dense_values(W)
    bound = value_errors(top, residuals)
    assert np.all(np.abs(exact[:cut] - top) <= bound + 20 * EPS)


@settings(max_examples=60)
@given(
    n=st.integers(1, 40),
    m=st.integers(1, 40),
    rank=st.integers(0, 40),
    k=st.integers(1, 40),
    exponent=st.integers(-120, 120),
    seed=st.integers(0, 2**32 - 1),
    distinct=st.integers(1, 40),
)
def test_what_is_proved_holds_for_any_matrix(n, m, rank, k, exponent, seed, distinct):
    """Against LAPACK: residuals reach a value, values are lower bounds, and multiples are all there."""
    rng = np.random.default_rng(seed)
    p = min(n, m)
    rank, k = min(rank, p), min(k, p)
    s = np.sort(rng.choice(np.linspace(1, 2, distinct), rank))[::-1] * 2.0**exponent
    W = with_values(s, (n, m), seed) if rank else np.zeros((n, m))
    found = check(W, k)
    rounding = 8 * (n + m) * EPS * 2 * 2.0**exponent
    assert np.all(found.values <= np.r_[s, np.zeros(p - rank)][:k] + rounding)


class Crooked(Shifted):
    """Its transpose is that of another matrix."""

    @property
    def T(self):
        return Shifted(self.S.T, 1.5 * self.v, self.u)


class Complex(Shifted):
    """Its products are complex."""

    def __matmul__(self, X):
        return (self.S @ X) * 1j


def test_a_transpose_of_something_else_is_noticed():
    with pytest.raises(RmtError, match="do not belong to one matrix"):
        top_singular_values(Crooked(SPARSE, Stream(1).normal((400,)), Stream(2).normal((300,))), 2)


def test_too_few_blocks_end_in_one_sentence(monkeypatch):
    monkeypatch.setattr(krylov, "MOST_BLOCKS", 6)
    with pytest.raises(RmtError, match=r"did not converge within 6 blocks; the error bound reached is 0\.\d"):
        top_singular_values(GAUSSIAN[300, 200], 3)
    found = top_singular_values(GAUSSIAN[300, 200], 3, tolerance=0.5)
    assert found.blocks <= 6


NOT_FINITE = SPARSE.copy()
NOT_FINITE.data[0] = np.nan


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: top_singular_values([[1.0]], 1), "`W` must be an array, Factored, or have `shape`"),
        (lambda: top_singular_values(np.ones(3), 1), "`W` must be a non-empty matrix"),
        (lambda: top_singular_values(np.ones((2, 3), dtype=int), 1), "must hold real floating-point numbers"),
        (lambda: top_singular_values(np.array([[1.0, np.nan]]), 1), "`W` holds NaN or infinite entries"),
        (lambda: top_singular_values(NOT_FINITE, 1), "Products with `W` are not finite"),
        (lambda: top_singular_values(np.ones((2, 3)), 3), "`k` must be at most 2"),
        (lambda: top_singular_values(np.ones((2, 3)), 0), "`k` must be a whole number >= 1"),
        (lambda: top_singular_values(np.ones((2, 3)), 1, tolerance=0.0), "`tolerance` must be a number in"),
        (lambda: top_singular_values(scipy.sparse.csr_array((0, 3)), 1), "`W.shape` must be two whole"),
        (lambda: Factored(np.ones((2, 3)), np.ones((2, 3))), "must be matrices that can be multiplied"),
        (lambda: Factored(np.ones(2), np.ones((2, 3))), "must be matrices that can be multiplied"),
        (
            lambda: top_singular_values(Factored(np.full((2, 1), np.inf), np.ones((1, 3))), 1),
            "`left` holds NaN",
        ),
        (
            lambda: top_singular_values(Complex(SPARSE, np.ones(400), np.ones(300)), 1),
            "must have shape (400, 2) and the same type, not (400, 2) and complex128",
        ),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert says in str(caught.value)
