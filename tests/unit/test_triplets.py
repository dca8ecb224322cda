"""All values and some vectors of a matrix on the host, against a full decomposition."""

from __future__ import annotations

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement
from rmttheory.matrices import triplets
from rmttheory.matrices.triplets import Decomposition, PlacedDecomposition

EPS = np.finfo(np.float64).eps


ELSEWHERE = Placement("array_api_strict")


@pytest.mark.parametrize("shape", [(60, 40), (40, 60), (50, 50)])
@pytest.mark.parametrize("block", [2**22, 130])
@pytest.mark.parametrize("decompose", [Decomposition, lambda W: PlacedDecomposition(W, ELSEWHERE)])
def test_agrees_with_a_full_decomposition(decompose, shape, block, monkeypatch):
    """A squared value is off by ``sqrt(p) eps s_1^2``, a vector by that over the gap of the squares."""
    monkeypatch.setattr(triplets, "_BLOCK", block)
    W = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    found = decompose(W)
    exact = np.linalg.svd(W.astype(np.float64), compute_uv=False)
    p = min(shape)
    rounding = 4 * np.sqrt(p) * EPS * exact[0] ** 2
    assert np.all(np.abs(found.values**2 - exact**2) <= rounding)
    chosen = np.array([0, 1, 5, p // 2, p - 2])
    left, right = found.triplets(chosen)
    slack = 10 * rounding / np.min(np.abs(np.diff(exact**2)))
    slack += np.finfo(np.float32).eps * np.sqrt(max(shape)) * exact[0] / exact[-2]  # products in single
    for vectors in (left, right):
        assert np.abs(vectors.T @ vectors - np.eye(5)).max() <= slack
    assert np.abs(W @ right - left * found.values[chosen]).max() <= slack * exact[0]
    assert np.abs(W.T @ left - right * found.values[chosen]).max() <= slack * exact[0]


def test_a_small_value_is_not_squared_away():
    """One value of 1e-7 beside 1: squares would keep two of its digits."""
    rng = np.random.default_rng(2)
    U, V = (np.linalg.qr(rng.standard_normal((30, 30)))[0] for _ in range(2))
    s = np.linspace(1, 0.5, 30)
    s[-1] = 1e-7
    found = Decomposition((U * s) @ V.T)
    assert found.values[-1] == pytest.approx(1e-7, rel=1e-6)
    left, right = found.triplets(np.array([29]))
    assert abs(left[:, 0] @ U[:, 29]) == pytest.approx(1)
    assert abs(right[:, 0] @ V[:, 29]) == pytest.approx(1)


def test_rank_and_no_vectors():
    W = np.ones((20, 30)) + np.eye(20, 30) * (np.arange(20) < 5)[:, None]
    with pytest.raises(InvalidInput, match="14 of the 20 singular values are zero"):
        _ = Decomposition(W).values
    left, right = Decomposition(np.eye(20, 30) + 0.1).triplets(np.array([], dtype=int))
    assert (left.shape, right.shape) == ((20, 0), (30, 0))
