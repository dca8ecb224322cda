"""Compiled Sturm sequences against LAPACK: values, reductions, counts, and what happens without Numba."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmttheory.arrays import Stream
from rmttheory.matrices import _band_values, _lapack, _sturm, counting
from rmttheory.matrices._band_values import all_values

pytest.importorskip("numba")

EPS = 2.0**-52


def chi_bidiagonal(n, p, seed=1):
    rng = np.random.default_rng(seed)
    return np.sqrt(rng.chisquare(n - np.arange(p))), np.sqrt(rng.chisquare(p - np.arange(1, p)))


def cholesky_bidiagonal(main, off):
    """The upper bidiagonal ``B`` with ``B^T B`` the tridiagonal, which must be positive definite."""
    factor = np.linalg.cholesky(np.diag(main) + np.diag(off, -1) + np.diag(off, 1))
    return np.diag(factor).copy(), np.diag(factor, -1).copy()


def wilkinson(copies, glue):
    """Copies of ``W21+``, whose eigenvalues pair to 14 digits, glued together: clusters of ``2 copies``."""
    main = np.tile(np.abs(np.arange(-10.0, 11.0)), copies) + 12.0
    off = np.tile(np.append(np.ones(20), glue), copies)[:-1]
    return cholesky_bidiagonal(main, off)


BIDIAGONALS = {
    **{f"size {p}": chi_bidiagonal(p + 3, p) for p in (1, 2, 3, 4, 5, 8, 9, 31, 32, 33, 34, 65)},
    "tall": chi_bidiagonal(1000, 300),
    "square": chi_bidiagonal(300, 300),
    "constant": (np.full(120, 1.0), np.full(119, 1.0)),
    "Wilkinson": wilkinson(1, 0.0),
    "glued": wilkinson(8, 1e-6),
    "hardly glued": wilkinson(8, 1e-12),
    "graded": (10.0 ** -np.linspace(0, 7, 60), 10.0 ** -np.linspace(0, 7, 59)),
    "graded up": (10.0 ** -np.linspace(7, 0, 60), 10.0 ** -np.linspace(7, 0, 59)),
    "outliers": (np.r_[1e6, 1e3, np.ones(80)], np.r_[1e4, np.full(80, 0.3)]),
    "tiny value": (np.r_[np.ones(20), 1e-12, np.ones(20)], np.full(40, 0.7)),
}


@pytest.mark.parametrize("scale", [1.0, 1e150, 1e-150])
@pytest.mark.parametrize("name", BIDIAGONALS)
def test_values_have_small_relative_errors(name, scale):
    """Against ``dlasq1``, which promises ``4 p eps``; ours is ``(2 p + 4) eps``."""
    diagonal, above = (scale * part for part in BIDIAGONALS[name])
    found = _sturm.bidiagonal_singular_values(diagonal, above)
    expected = _lapack.bidiagonal_singular_values(diagonal, above)
    np.testing.assert_allclose(found, expected, rtol=(6 * len(diagonal) + 4) * EPS, atol=0)


@pytest.mark.parametrize("name", BIDIAGONALS)
def test_values_are_where_the_counts_jump(name):
    """Relative to the squares: half a bracket, and as much again for rounding on the way back."""
    diagonal, above = BIDIAGONALS[name]
    squares = _sturm.bidiagonal_singular_values(diagonal, above)[::-1] ** 2
    empty = np.empty((len(diagonal), 0))
    k = np.arange(len(squares))
    below = _sturm.eliminated(diagonal, above, empty, squares * (1 - 8 * EPS))[0]
    above_them = _sturm.eliminated(diagonal, above, empty, squares * (1 + 8 * EPS))[0]
    assert np.all(below <= k)
    assert np.all(above_them > k)


@pytest.mark.parametrize(
    ("diagonal", "above"),
    [
        (np.zeros(3), np.zeros(2)),
        (np.ones(3), np.array([1.0, 0.0])),
        (np.array([1.0, 0.0, 1.0]), np.ones(2)),
        (np.array([1.0, 1.0, 1e-20]), np.ones(2)),
        (np.full(40, 1e-10), np.full(39, 1e-17)),
        (np.r_[1.0, np.full(39, 1e-8)], np.r_[1e-4, np.full(38, 1e-9)]),
    ],
)
def test_what_spans_too_much_is_left_to_lapack(diagonal, above, monkeypatch):
    monkeypatch.setattr(_band_values, "_WORTH_COMPILING", 0)
    columns = np.stack([np.append(0.0, above), diagonal], axis=1)
    expected = _lapack.bidiagonal_singular_values(diagonal, above)
    atol = 1e-14 * expected[0]
    np.testing.assert_allclose(all_values(columns, 0.0), expected, rtol=1e-13, atol=atol)


def test_below_the_range_there_is_no_answer():
    assert _sturm.bidiagonal_singular_values(np.ones(3), np.array([1.0, 0.0])) is None
    assert _sturm.bidiagonal_singular_values(np.array([1.0, 1e-20]), np.ones(1)) is None
    assert _sturm.eliminated(np.ones(3), np.zeros(2), np.ones((3, 1)), np.ones(1)) is None
    columns = np.ones((20, _sturm._WIDEST + 2))
    assert _sturm.bidiagonal_of_band(columns) is None
    steep = 2.0 ** -np.arange(0.0, 480.0)  # each step in range, the smallest value is not
    steps = np.repeat(steep[::40], 4)[:40]
    assert _sturm.bidiagonal_singular_values(steps, steps[1:]) is None


def random_band(p, r, seed=3):
    columns = np.random.default_rng(seed).standard_normal((p, r + 1))
    for j in range(min(r, p)):
        columns[j, : r - j] = 0.0
    return columns


def dense(columns):
    p, width = columns.shape
    matrix = np.zeros((p + width - 1, p))
    for q in range(width):
        matrix[np.arange(p) + q, np.arange(p)] = columns[:, q]
    return matrix[width - 1 :]


@pytest.mark.parametrize("r", [2, 3, 6])
@pytest.mark.parametrize("p", [2, 3, 5, 7, 8, 9, 10, 16, 17, 40, 203])
def test_reduction_keeps_the_singular_values(p, r):
    if r > p:
        return
    columns = random_band(p, r) * 1e7
    diagonal, above = _sturm.bidiagonal_of_band(columns)
    s = np.linalg.svd(dense(columns), compute_uv=False)
    found = _lapack.bidiagonal_singular_values(diagonal, above)
    np.testing.assert_allclose(found, s, rtol=0, atol=1e-13 * s[0])


def test_reduction_of_what_is_bidiagonal_changes_nothing():
    columns = random_band(50, 3)
    columns[:, :2] = 0.0
    diagonal, above = _sturm.bidiagonal_of_band(columns)
    np.testing.assert_array_equal(np.abs(diagonal), np.abs(columns[:, 3]))
    np.testing.assert_array_equal(np.abs(above), np.abs(columns[1:, 2]))


@pytest.mark.parametrize("available", [True, False])
@pytest.mark.parametrize("r", [1, 2, 3, 8])
@pytest.mark.parametrize("p", [9, 300])
def test_all_values_with_and_without(p, r, available, monkeypatch):
    monkeypatch.setattr(_band_values, "_WORTH_COMPILING", 0)
    monkeypatch.setattr(_sturm, "available", lambda: available)
    columns = random_band(p, r)
    s = np.linalg.svd(dense(columns), compute_uv=False)
    np.testing.assert_allclose(all_values(columns, 0.0), s, rtol=0, atol=1e-13 * s[0])


def bordered(shape, r, seed=5):
    strengths = np.sqrt(shape[0]) * np.array([3.0, 1.5, 1.5, 1.1, 0.1])[:r]
    return counting._draw(shape, strengths, Stream(seed).generator())


@pytest.mark.parametrize("r", [0, 1, 3])
@pytest.mark.parametrize("shape", [(6, 6), (12, 9), (2000, 1000), (700, 700)])
def test_counts_are_those_of_lapack(shape, r, monkeypatch):
    matrix = bordered(shape, r)
    n = shape[0]
    points = np.concatenate([[0.0, 20.0 * n, 9e5 * n], np.linspace(1e-3, 4.0, 301) * n])
    monkeypatch.setattr(_sturm, "available", lambda: False)
    np.testing.assert_array_equal(matrix._compiled_count(points), matrix.count(points))


@pytest.mark.parametrize("r", [0, 1, 3])
def test_a_vanishing_pivot_does_no_harm(r, monkeypatch):
    """At the first diagonal entry elimination without pivoting divides by zero: done again with pivots."""
    matrix = bordered((400, 200), r)
    whole = np.zeros((200, 200))
    whole[:r, :r], whole[r:, :r], whole[:r, r:] = (
        matrix.factor.T @ matrix.factor,
        matrix.border,
        matrix.border.T,
    )
    whole[r:, r:] = np.diag(matrix.main) + np.diag(matrix.off, 1) + np.diag(matrix.off, -1)
    points, asked = np.append(matrix.main[0], 100.0), []
    real = counting._Bordered._correction

    def counted(self, x):
        asked.append(x)
        return real(self, x)

    monkeypatch.setattr(counting._Bordered, "_correction", counted)
    expected = np.searchsorted(np.linalg.eigvalsh(whole), points)
    np.testing.assert_array_equal(matrix._compiled_count(points), expected)
    assert asked == ([points[0]] if r else [])


positive = st.floats(0.05, 4.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(positive, min_size=1, max_size=30), st.data())
def test_values_interlace_and_counts_grow(diagonal, data):
    """Deleting the last column lowers every value, and to the next one at most (Cauchy)."""
    p = len(diagonal)
    diagonal = np.array(diagonal)
    above = np.array(data.draw(st.lists(positive, min_size=p - 1, max_size=p - 1)))
    s = _sturm.bidiagonal_singular_values(diagonal, above)
    slack = 1 + 8 * p * EPS
    assert np.all(s[1:] <= s[:-1])
    if p > 1:
        less = _sturm.bidiagonal_singular_values(diagonal[:-1], above[:-1])
        assert np.all(less <= slack * s[:-1])
        assert np.all(s[1:] <= slack * less)
    points = np.sort(np.array(data.draw(st.lists(st.floats(0.0, 70.0), min_size=1, max_size=40))))
    border = np.array(data.draw(st.lists(st.floats(-2, 2), min_size=p, max_size=p)))[:, None]
    counts = _sturm.eliminated(diagonal, above, np.empty((p, 0)), points)[0]
    assert np.all(np.diff(counts) >= 0)
    assert np.all((counts >= 0) & (counts <= p))
    assert np.all(counts[points > slack * s[0] ** 2] == p)
    np.testing.assert_array_equal(_sturm.eliminated(diagonal, above, border, points)[0], counts)


def test_nowhere_to_keep_the_code(monkeypatch):
    """Numba raises RuntimeError where it finds no folder to write to; then it compiles for this run alone."""
    import numba

    from rmttheory.matrices import _sturm_kernels

    real, seen = numba.njit, []

    def njit(cache=False, **options):
        seen.append(cache)
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return real(**options)

    monkeypatch.setattr(numba, "njit", njit)
    assert _sturm_kernels.compiled(lambda x: x + 1.0)(1.0) == 2.0
    assert seen == [True, False]


def test_without_numba(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "rmttheory.matrices._sturm_kernels", raising=False)
    monkeypatch.delattr("rmttheory.matrices._sturm_kernels", raising=False)
    _sturm.available.cache_clear()
    try:
        assert not _sturm.available()
    finally:
        _sturm.available.cache_clear()


def test_numba_is_imported_only_when_it_pays():
    code = (
        "import sys, rmttheory.cli; from rmttheory.matrices import null_singular_values as draw;"
        "draw((20, 10)); assert 'numba' not in sys.modules;"
        "draw((400, 200)); assert 'numba' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
