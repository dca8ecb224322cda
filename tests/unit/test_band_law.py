"""Band models have the law of the matrices they stand for: two-sample tests against dense draws.

Null: equal laws. Every comparison is a two-sample Kolmogorov-Smirnov test at level 1e-8 (asymptotic,
conservative bound on its tail), so all of the some hundred below at 1e-6. With 4,000 draws a side the
critical distance is 0.069, and laws further apart than 0.069 + 0.035 are told apart with power 0.999. What
that means is shown on two alternatives: overlaps whose sides are swapped, and chi variables with one degree
of freedom too many.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import pytest

from rmttheory.arrays import Stream
from rmttheory.matrices import (
    band,
    count_singular_values,
    counting,
    edge_sampling,
    sample_edge,
    spiked_singular_values,
)

DRAWS = 4000


def critical(draws):
    return math.sqrt(math.log(2 / 1e-8) / 2) * math.sqrt(1 / draws + 1 / DRAWS)


CRITICAL = critical(DRAWS)
G = 1.5
SHAPES = {0.25: (40, 10), 1.0: (16, 16), 4.0: (10, 40)}
STRENGTHS = {0: (), 1: (1.5,), 3: (2.2, 1.6, 1.6)}
CELLS = [(c, r) for c in SHAPES for r in STRENGTHS]


def spikes_of(c, r):
    return tuple(math.sqrt(G) * c**0.25 * strength for strength in STRENGTHS[r])


@functools.cache
def dense(c, r):
    """Values and squared overlaps of dense draws, spikes along fixed Haar frames."""
    (n, m), spikes, stream = SHAPES[c], spikes_of(c, r), Stream(11).child(c, r)
    U, V = stream.child("U").orthonormal(n, r), stream.child("V").orthonormal(m, r)
    noise = stream.child("R").normal((DRAWS, n, m), scale=math.sqrt(G / n))
    u, s, vt = np.linalg.svd(noise + (U * np.array(spikes)) @ V.T, full_matrices=False)
    return s, (U.T @ u) ** 2, (V.T @ np.swapaxes(vt, 1, 2)) ** 2


def distance(a, b):
    """Two-sample Kolmogorov-Smirnov statistic."""
    both = np.concatenate([a, b])
    counts = [np.searchsorted(np.sort(x), both, side="right") / len(x) for x in (a, b)]
    return float(np.max(np.abs(counts[0] - counts[1])))


def value_distances(s, expected):
    p = s.shape[1]
    facts = {f"s_{j + 1}": (s[:, j], expected[:, j]) for j in {0, 1, 2, p // 2, p - 1}}
    facts["gap"] = (s[:, 0] - s[:, 1], expected[:, 0] - expected[:, 1])
    facts["inner gap"] = tuple(x[:, p // 2] - x[:, p // 2 + 1] for x in (s, expected))
    facts["trace"] = (np.sum(s**2, axis=1), np.sum(expected**2, axis=1))
    return {name: distance(*pair) for name, pair in facts.items()}


def overlap_distances(found, expected):
    return {
        f"{side} {i} {j}": distance(a[:, i, j], b[:, i, j])
        for side, a, b in zip(("left", "right"), found, expected)
        for i in range(a.shape[1])
        for j in range(min(3, a.shape[2]))
    }


@functools.cache
def two_sided(c, r):
    shape = SHAPES[c]
    found = sample_edge(
        shape, spikes_of(c, r), k=min(shape), g=G, trials=DRAWS, stream=Stream(12).child(c, r)
    )
    return found.values, found.left, found.right


@pytest.mark.parametrize(("c", "r"), CELLS)
def test_one_sided_values(c, r):
    s = spiked_singular_values(SHAPES[c], spikes_of(c, r), g=G, trials=DRAWS, stream=Stream(13).child(c, r))
    assert max(value_distances(s, dense(c, r)[0]).values()) <= CRITICAL


@pytest.mark.parametrize(("c", "r"), CELLS)
def test_two_sided_values_and_overlaps(c, r):
    s, left, right = two_sided(c, r)
    expected = dense(c, r)
    assert max(value_distances(s, expected[0]).values()) <= CRITICAL
    assert max(overlap_distances((left, right), expected[1:]).values(), default=0.0) <= CRITICAL


@pytest.mark.parametrize("c", [0.25, 4.0])
def test_swapped_overlaps_are_refuted(c):
    _, left, right = two_sided(c, 1)
    swapped = overlap_distances((right, left), dense(c, 1)[1:])
    assert swapped["left 0 0"] > CRITICAL
    assert swapped["right 0 0"] > CRITICAL


@pytest.mark.parametrize(("c", "r"), CELLS)
def test_counts(c, r):
    """Numbers of values at or below points take few values; the test is valid, if conservative, for them."""
    s = dense(c, r)[0]
    points = np.quantile(s, [0.1, 0.4, 0.7, 0.95])
    draws, stream = 1500, Stream(14).child(c, r)
    counts = count_singular_values(SHAPES[c], points, spikes_of(c, r), g=G, trials=draws, stream=stream)
    expected = np.sum(s[:, :, None] <= points, axis=1)
    for found, wanted in zip(counts.T, expected.T):
        assert distance(found, wanted) <= critical(draws)
    between = [x[:, 2] - x[:, 1] for x in (counts, expected)]
    assert distance(*between) <= critical(draws)


SMALL = (4, 3)
SMALL_SPIKES = {0: (), 1: (0.8,), 2: (0.8, 0.6), 3: (0.7, 0.5, 0.5)}
MODELS = {"one-sided": band, "two-sided": edge_sampling, "bordered": counting}


def trace_error(model, r, shape=SMALL):
    """``E tr W^T W = g m + sum theta^2`` exactly: the distance of 5,000 draws from it, in standard errors."""
    (n, m), spikes, stream, draws = shape, SMALL_SPIKES[r], Stream(15).child(model, r), 5_000
    if model == "one-sided":
        traces = np.sum(spiked_singular_values(shape, spikes, trials=draws, stream=stream) ** 2, axis=1)
    elif model == "two-sided":
        traces = np.sum(sample_edge(shape, spikes, k=m, trials=draws, stream=stream).values ** 2, axis=1)
    else:
        rng = stream.generator()
        parts = (counting._draw(shape, np.array(spikes) * math.sqrt(n), rng) for _ in range(draws))
        traces = np.array([(np.sum(b.factor**2) + np.sum(b.main)) / n for b in parts])
    error = np.mean(traces) - m - sum(theta**2 for theta in spikes)
    return float(error / (np.std(traces) / math.sqrt(draws)))


@pytest.mark.parametrize("r", [0, 1, 2])
@pytest.mark.parametrize("model", MODELS)
def test_one_degree_of_freedom_is_seen(model, r, monkeypatch):
    """Level 1e-6 for each (4.9 standard errors). One variable with one degree more adds 1 / n to the mean of
    the trace, whose standard deviation is ``sqrt(2 n m + 4 n sum theta^2) / n``: with 5,000 draws that is 11
    standard errors or more. Two of the variables are tried: one of the first column and one of the last.
    """
    assert abs(trace_error(model, r)) <= 4.9
    module = MODELS[model]
    real, sizes = module.chi, []
    monkeypatch.setattr(
        module, "chi", lambda rng, degrees, size: sizes.append(np.size(degrees)) or real(rng, degrees, size)
    )
    if model == "bordered":
        counting._draw(SMALL, np.ones(r), np.random.default_rng(1))
    elif model == "one-sided":
        spiked_singular_values(SMALL, (1.0,) * r, stream=1)
    else:
        sample_edge(SMALL, (1.0,) * r, stream=1)
    for place in (1, 2 * SMALL[1] - 2) if model == "two-sided" else (0, sizes[0] - 1):

        def wrong(rng, degrees, size, place=place):
            changed = np.array(degrees, dtype=float)
            if changed.size == sizes[0]:
                changed.reshape(-1)[place] += 1.0
            return real(rng, changed, size)

        monkeypatch.setattr(module, "chi", wrong)
        assert trace_error(model, r) > 4.9


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(("shape", "r"), [((3, 3), 2), ((3, 3), 3), ((4, 3), 3)])
def test_spikes_that_fill_the_matrix(model, shape, r):
    """Blocks are cut off by the end of the matrix: the trace keeps its mean, at the same level."""
    assert abs(trace_error(model, r, shape)) <= 4.9
