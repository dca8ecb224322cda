"""Spectra: the values, the method chosen for them, and the error that is claimed."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given
from hypothesis import strategies as st

from rmttheory.arrays import InvalidInput, RmtError, Stream
from rmttheory.arrays.devices import linear_algebra
from rmttheory.matrices import (
    Factored,
    MarchenkoPastur,
    Spiked,
    kolmogorov_distance,
    krylov,
    null_singular_values,
    singular_values,
    spacing_ratios,
    spectra,
    spectrum,
)

EPS = 2.0**-52
EPS32 = 2.0**-23


def with_values(s, shape, seed=1):
    """A matrix with these singular values up to a few eps times the largest."""
    n, m = shape
    U, V = Stream(seed).child("U").orthonormal(n, len(s)), Stream(seed).child("V").orthonormal(m, len(s))
    return (U * np.asarray(s)) @ V.T


SPECTRA = {
    "bulk": ((60, 200), Spiked((60, 200)).sample(1).W),
    "tall": ((200, 60), Spiked((200, 60)).sample(1).W),
    "square": ((150, 150), Spiked((150, 150)).sample(1).W),
    "strong spike": ((100, 100), Spiked((100, 100), (500.0,)).sample(1).W),
    "graded": ((40, 50), with_values(np.geomspace(1, 1e-10, 40), (40, 50))),
    "deficient": ((50, 80), with_values(np.linspace(1, 2, 10), (50, 80))),
    "zero": ((4, 3), np.zeros((4, 3))),
    "one": ((1, 1), np.array([[-3.0]])),
    "row": ((1, 6), np.arange(1.0, 7.0)[None, :]),
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("method", ["auto", "svd", "gram", "krylov"])
def test_the_claimed_accuracy_holds(name, dtype, method):
    shape, W = SPECTRA[name]
    W = W.astype(dtype)
    found = spectrum(W, method=method)
    reference = np.linalg.svd(W.astype(np.float64), compute_uv=False)
    assert found.values.shape == (min(shape),)
    assert found.values.dtype == dtype
    assert np.all(np.diff(found.values) <= 0)
    own = 2 * math.sqrt(min(shape)) * EPS * reference[0]  # of the reference
    assert np.max(np.abs(found.values - reference)) <= found.accuracy + own
    np.testing.assert_array_equal(singular_values(W, method=method), found.values)


@pytest.mark.parametrize("name", ["square", "strong spike", "tall"])
def test_the_claimed_accuracy_is_not_idle(name):
    """Single precision through the Gram matrix really loses what is claimed, within a factor of 300."""
    _, W = SPECTRA[name]
    W = W.astype(np.float32)
    found = spectrum(W, method="gram")
    error = np.max(np.abs(found.values - np.linalg.svd(W.astype(np.float64), compute_uv=False)))
    assert found.accuracy / 300 <= error


def test_the_method_is_chosen_by_shape_and_accuracy():
    def chosen(name, dtype, k=None):
        found = spectrum(SPECTRA[name][1].astype(dtype), k)
        return found.method, "double" in found.why

    assert chosen("bulk", np.float64) == ("gram", False)
    assert chosen("bulk", np.float32) == ("gram", False)
    assert chosen("square", np.float64) == ("gram", False)
    assert chosen("square", np.float32) == ("gram", True)  # squared in double
    assert chosen("graded", np.float64) == ("svd", False)
    assert chosen("graded", np.float64, 5) == ("gram", False)  # the lost values were not asked for
    assert chosen("deficient", np.float64) == ("svd", False)
    assert chosen("deficient", np.float32) == ("gram", True)


def test_without_double_precision_nearly_square_goes_to_svd(require):
    require("array_api_strict")
    import array_api_strict as xp

    device = xp.Device("no_float64")
    W = xp.asarray(SPECTRA["square"][1].astype(np.float32), device=device)
    assert spectrum(W).method == "svd"
    W = xp.asarray(SPECTRA["bulk"][1].astype(np.float32), device=device)
    assert spectrum(W).method == "gram"


@pytest.mark.parametrize("method", ["auto", "svd", "gram", "krylov"])
@pytest.mark.parametrize("scale", [1e-200, 1e-160, 1e150, 1e300])
def test_squares_neither_overflow_nor_vanish(method, scale):
    W = np.diag([3.0, 2.0, 1.0]) * scale
    found = spectrum(W, method=method)
    np.testing.assert_allclose(found.values, np.diag(W), rtol=8 * EPS)
    assert found.accuracy <= 20 * EPS * scale * 3
    small = (np.diag([3.0, 2.0, 1.0]) * 1e-30).astype(np.float32)
    np.testing.assert_allclose(singular_values(small, method=method), np.diag(small), rtol=8 * EPS32)


@pytest.mark.parametrize("method", ["auto", "svd", "gram", "krylov"])
@pytest.mark.parametrize(("dtype", "scale"), [(np.float64, 1e-315), (np.float32, 1e-41)])
def test_subnormal_numbers_are_numbers(method, dtype, scale):
    """All digits that the entries have: the same matrix, scaled up exactly, has the same values."""
    W = (SPECTRA["tall"][1] * scale).astype(dtype)
    up = 2.0**900 if dtype == np.float64 else 2.0**100
    expected = singular_values(W * dtype(up), 2, method=method) / dtype(up)
    found = singular_values(W, 2, method=method)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2 * np.finfo(dtype).smallest_subnormal)


@pytest.mark.parametrize("method", ["gram", "svd", "auto"])
def test_top_values(method):
    _, W = SPECTRA["bulk"]
    np.testing.assert_array_equal(spectrum(W, 3, method=method).values, spectrum(W, method=method).values[:3])
    assert spectrum(W, 1, method=method).accuracy <= spectrum(W, method=method).accuracy


LARGE = Spiked((1600, 1550), (2.5,)).sample(1).W


def test_few_values_of_a_large_matrix_come_from_products():
    found, all_of_them = spectrum(LARGE, 1), spectrum(LARGE)
    assert found.method == "krylov"
    assert found.why == "1 of 1550 values take few products with the matrix."
    assert all_of_them.method == "gram"
    assert spectrum(LARGE[:1500, :1400], 1).method == "gram"  # 1400^2 < 1500 * 1500
    assert spectrum(LARGE, 3).method == "gram"
    assert abs(found.values[0] - all_of_them.values[0]) <= found.accuracy + all_of_them.accuracy
    assert found.accuracy <= 1.1e-12 * found.values[0]


def test_products_that_do_not_converge_give_way_to_the_gram_matrix(monkeypatch):
    limits = []

    def give_up(W, k, *, limit):
        limits.append(limit)
        return krylov.attempt(W, k, limit=1)

    monkeypatch.setattr(spectra, "attempt", give_up)
    assert spectrum(LARGE, 1).method == "gram"
    assert limits == [174]


def test_what_is_only_multiplied():
    A, B = Stream(1).normal((40, 3)), Stream(2).normal((3, 30))
    sparse = scipy.sparse.csr_array(A @ B)
    expected = np.linalg.svd(A @ B)[1][:2]
    for W in (Factored(A, B), sparse):
        found = spectrum(W, 2)
        assert found.method == "krylov"
        np.testing.assert_allclose(found.values, expected, rtol=1e-12)
        np.testing.assert_array_equal(singular_values(W, 2, method="krylov"), found.values)
        with pytest.raises(InvalidInput, match="is only multiplied: give `k`"):
            spectrum(W)
        with pytest.raises(InvalidInput, match="is only multiplied: give `k`"):
            spectrum(W, 2, method="gram")


@given(
    n=st.integers(1, 60),
    m=st.integers(1, 60),
    k=st.integers(1, 60),
    decay=st.floats(0, 12),
    exponent=st.integers(-500, 500),
    seed=st.integers(0, 2**32 - 1),
    method=st.sampled_from(["auto", "gram", "svd", "krylov"]),
)
def test_the_claimed_accuracy_holds_for_any_shape_and_decay(n, m, k, decay, exponent, seed, method):
    """Against known values: the error stays within the one claimed and that of making the matrix."""
    p = min(n, m)
    s = np.geomspace(1, 10.0**-decay, p) * 2.0**exponent
    found = spectrum(with_values(s, (n, m), seed), min(k, p), method=method)
    own = 4 * (math.sqrt(n) + math.sqrt(m)) * EPS * s[0]
    assert np.max(np.abs(found.values - s[: min(k, p)])) <= found.accuracy + own


@pytest.mark.parametrize(("method", "routine"), [("gram", "eigvalsh"), ("svd", "svdvals")])
@pytest.mark.parametrize("slip", [lambda s: s * (1 + 1e-9), lambda s: s * math.nan])
def test_a_wrong_spectrum_from_the_library_is_refused(monkeypatch, method, routine, slip):
    """The squares must add up: a library that answers wrongly without an error is caught."""
    _, W = SPECTRA["bulk"]
    xp = spectra.namespace(W)
    wrong = SimpleNamespace(**{name: getattr(xp.linalg, name) for name in ("eigvalsh", "svdvals")})
    setattr(wrong, routine, lambda x: slip(getattr(xp.linalg, routine)(x)))
    shim = SimpleNamespace(**{name: getattr(xp, name) for name in dir(xp) if name[0] != "_"})
    shim.linalg = wrong
    monkeypatch.setattr(spectra, "namespace", lambda *_: shim)
    with pytest.raises(RmtError, match="returned a wrong spectrum"):
        spectrum(W, method=method)


def test_spectrum_in_json():
    plain = json.loads(json.dumps(spectrum(np.eye(3)).to_dict()))
    assert plain["values"] == [1.0, 1.0, 1.0]
    assert plain["method"] == "gram"


def test_spacing_ratios_of_known_gaps():
    # gaps 1, 3, 3, 0, 0, 2
    values = np.array([7.0, 0.0, 1.0, 9.0, 7.0, 4.0, 7.0])
    np.testing.assert_allclose(spacing_ratios(values), [1 / 3, 1.0, 0.0, 0.0, 0.0])


def test_spacing_ratios_tell_repulsion_from_independence():
    """Null: the mean ratio is 0.5307 for noise, 2 log 2 - 1 for independent points, to 0.003 of finite size.

    Ratios have a standard deviation below 0.3, neighbours are correlated by less than half: 20 spectra of 398
    ratios leave 0.005 at most; level 1e-6 a side. Each is the other's alternative, 20 standard errors away.
    """
    s = null_singular_values((400, 400), trials=20, stream=Stream(5))
    noise = np.mean([np.mean(spacing_ratios(row)) for row in s])
    points = np.mean([np.mean(spacing_ratios(row)) for row in Stream(5).uniform((20, 400))])
    assert abs(noise - 0.5307) <= 0.003 + 4.9 * 0.005
    assert abs(points - (2 * math.log(2) - 1)) <= 0.003 + 4.9 * 0.005


class Steps:
    """Uniform on [0, 1] with weight 1/2 and an atom at 0."""

    atom = 0.5

    def cdf(self, x):
        return np.where(x < 0, 0.0, 0.5 + 0.5 * np.clip(x, 0.0, 1.0))


def brute_force(values, cdf):
    """Supremum over a fine grid that holds both sides of every jump."""
    points = np.concatenate([values, [0.0], np.linspace(-0.5, 1.5, 4001)])
    points = np.concatenate([points, np.nextafter(points, -9), np.nextafter(points, 9)])
    empirical = np.mean(values[None, :] <= points[:, None], axis=1)
    return np.max(np.abs(empirical - cdf(points)))


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 0.0, 0.3, 0.9],
        [0.0, 0.0, 0.0, 0.0],
        [0.5, 0.5, 0.5],
        [1.0],
        [-0.2, 0.0, 1.4],
        [0.25, 0.5, 0.75],
    ],
)
def test_kolmogorov_distance_is_the_supremum(values):
    values = np.array(values)
    assert kolmogorov_distance(values, Steps()) == pytest.approx(brute_force(values, Steps().cdf), abs=1e-9)


def test_kolmogorov_distance_of_quantiles_is_half_a_step():
    law = MarchenkoPastur(0.5).singular()
    values = law.ppf((np.arange(40) + 0.5) / 40)
    assert kolmogorov_distance(values[::-1].copy(), law) == pytest.approx(1 / 80, abs=1e-13)
    assert kolmogorov_distance(values + 10, law) == 1.0


def test_kolmogorov_distance_knows_rounded_zeros():
    """Wide noise has 1 - 1/c zero eigenvalues, which come out as +-1e-16."""
    R = Spiked((200, 400)).sample(1).R
    eigenvalues = np.linalg.eigvalsh(R.T @ R)
    assert np.min(eigenvalues) < 0
    assert kolmogorov_distance(eigenvalues, MarchenkoPastur(2.0)) <= 4 / 400


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: spectrum([[1.0]]), "`W` must be an array, not list"),
        (lambda: spectrum(np.ones(3)), "`W` must be a non-empty matrix, not an array of shape (3,)"),
        (lambda: spectrum(np.ones((0, 3))), "`W` must be a non-empty matrix"),
        (
            lambda: spectrum(np.ones((2, 3), dtype=int)),
            "`W` must hold real floating-point numbers, not int64",
        ),
        (lambda: spectrum(np.array([[1.0, np.nan]])), "`W` holds NaN or infinite entries"),
        (lambda: spectrum(np.ones((2, 3)), 3), "`k` must be at most 2, the number of singular values, not 3"),
        (lambda: spectrum(np.ones((2, 3)), 0), "`k` must be a whole number >= 1, not 0"),
        (lambda: spectrum(np.ones((2, 3)), method="grammar"), "Unknown method 'grammar'. Did you mean gram?"),
        (lambda: spacing_ratios(np.ones(2)), "`values` must hold at least three values, not 2"),
        (lambda: kolmogorov_distance(np.array([np.inf]), MarchenkoPastur(1.0)), "NaN or infinite"),
    ],
)
def test_bad_input_is_named(call, says):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert says in str(caught.value)


STACKS = {
    "bulk": np.stack([Spiked((30, 60)).sample(i).W for i in range(5)]),
    "square": np.stack([Spiked((40, 40), (3.0,)).sample(i).W for i in range(4)]),
    "far apart": np.stack([Spiked((12, 9)).sample(i).W * 10.0 ** (100 * i - 200) for i in range(5)]),
    "one singular": np.stack([*(Spiked((9, 9)).sample(i).W for i in range(4)), np.ones((9, 9))]),
    "with a zero": np.stack([np.zeros((3, 4)), np.ones((3, 4))]),
    "deficient": np.stack([SPECTRA["deficient"][1], SPECTRA["deficient"][1] * 2.0]),
}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, np.float64) for name in STACKS]
    + [(name, np.float32) for name in STACKS if name != "far apart"],  # beyond the range of float32
)
@pytest.mark.parametrize("method", ["auto", "svd", "gram"])
@pytest.mark.parametrize("size", [2, 1000])
def test_a_stack_has_the_spectra_of_its_matrices(monkeypatch, name, dtype, method, size):
    monkeypatch.setattr(spectra, "stack_size", lambda _: size)
    W = STACKS[name].astype(dtype)
    found = spectrum(W, method=method)
    reference = np.linalg.svd(W.astype(np.float64), compute_uv=False)
    assert found.values.shape == reference.shape
    assert found.values.dtype == dtype
    own = 2 * math.sqrt(min(W.shape[1:])) * EPS * reference[:, 0]
    assert np.all(np.max(np.abs(found.values - reference), axis=1) <= found.accuracy + own)
    top = spectrum(W, 2, method=method)
    assert np.max(np.abs(top.values - found.values[:, :2])) <= top.accuracy + found.accuracy
    if name == "far apart":  # a value of 1e-200 must not be lost beside one of 1e200
        np.testing.assert_allclose(found.values[0], reference[0], rtol=1e-9)


def test_only_what_lost_its_digits_is_decomposed(monkeypatch):
    decomposed = []
    by_svd = spectra._by_svd
    monkeypatch.setattr(spectra, "_by_svd", lambda W, *rest: decomposed.append(W.shape) or by_svd(W, *rest))
    found = spectrum(STACKS["one singular"])
    assert decomposed == [(9, 9)]
    assert found.why.endswith("but for 1 of 5.")
    assert found.accuracy < 1e-12  # and not what squaring a singular matrix leaves


def test_a_stack_is_taken_one_by_one_by_no_krylov():
    with pytest.raises(InvalidInput, match="'krylov' takes one matrix"):
        spectrum(STACKS["bulk"], 2, method="krylov")
    with pytest.raises(InvalidInput, match="non-empty stack of matrices"):
        spectrum(np.ones((0, 3, 3)))


def test_one_wrong_spectrum_in_a_stack_is_refused():
    W = STACKS["bulk"]
    s = np.linalg.svd(W, compute_uv=False)
    assert len(spectra._check_energy(W, s, 3)) == 5
    s[3] *= 1.0 + 1e-9
    with pytest.raises(RmtError, match="returned a wrong spectrum"):
        spectra._check_energy(W, s, 3)


@pytest.mark.parametrize("slip", [lambda s: s[::-1], lambda s: np.append(s[:-1], -s[-1])])
def test_values_that_do_not_descend_to_zero_are_refused(slip):
    """What cuSOLVER returned for a matrix of 19,000 rows: their squares may even add up."""
    _, W = SPECTRA["bulk"]
    s = slip(np.linalg.svd(W, compute_uv=False))
    with pytest.raises(RmtError, match="they do not descend to 0"):
        spectra._check_energy(W, s, 1)


def test_a_decomposition_that_does_not_reach_so_far_is_not_taken(monkeypatch):
    monkeypatch.setattr(spectra, "decomposes", lambda _: False)
    _, W = SPECTRA["deficient"]
    found = spectrum(W)
    assert (found.method, "cuSOLVER" in found.why) == ("gram", True)
    assert found.accuracy > 1e-9  # and it says what that costs
    with pytest.raises(InvalidInput, match="use method 'gram'"):
        spectrum(W, method="svd")


def test_a_library_that_gives_up_is_one_sentence():
    with (
        pytest.raises(RmtError, match="The linear algebra library failed: it did not converge;"),
        linear_algebra(np.eye(3)),
    ):
        raise np.linalg.LinAlgError("it did not converge")
