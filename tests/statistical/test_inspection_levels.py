"""What an inspection says of planted layers of real shapes, and at which level it is wrong."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from scipy.special import bdtr

from rmttheory.theorem.hypotheses import Reading
from rmttheory.theorem.trained.single import LEVEL, LoneMatrix, examine_matrix

SHAPES = ((384, 384), (1536, 384), (384, 1536), (512, 128), (64, 288), (128, 387))
"""Of layers of a transformer, a recurrent and two convolutional networks."""
ALPHA = 1e-4
RANDOM = ("iid_gaussian", "exchangeable", "biunitary", "mp_bulk", "edge", "moments")


def layer(shape, count, rng):
    """``count`` spikes from 2 to 6 times the threshold in noise of level 1."""
    n, m = shape
    U, V = (np.linalg.qr(rng.standard_normal((size, count)))[0] for size in shape)
    theta = np.linspace(6.0, 2.0, count) * (m / n) ** 0.25
    return (U * theta) @ V.T + rng.standard_normal(shape) / np.sqrt(n)


def draws(shape):
    """Small layers take little time."""
    return 25 if min(shape) > 200 else 200


def tail(count, trials, p):
    """P(at least ``count``)."""
    return 1.0 if count == 0 else 1.0 - float(bdtr(count - 1, trials, p))


@pytest.mark.parametrize("spikes", [0, 5])
def test_edges_and_spike_counts(spikes):
    """Null: more spikes than planted with probability 0.1 at most (exactly that for none), none is missed.

    Wrong code that is seen: an edge at the end of the bulk, without the width of Tracy-Widom, beyond which
    noise lies in 17 % of draws; spikes that are not allowed for in the noise level, which is then
    ``5 / p`` too large. Beside spikes, at 64 values, the noise level has a bias of second order.
    """
    rng = np.random.default_rng(spikes)
    found = [
        LoneMatrix.of(layer(shape, spikes, rng)).estimate for shape in SHAPES for _ in range(draws(shape))
    ]
    extra = sum(fit.spikes > spikes for fit in found)
    assert tail(extra, len(found), 0.1) >= ALPHA
    if spikes == 0:
        assert float(bdtr(extra, len(found), 0.1)) >= ALPHA
    assert sum(fit.spikes < spikes for fit in found) == 0
    scores = np.array([(fit.g - 1.0) / fit.g_error for fit in found])
    assert abs(scores.mean()) < 4.5 / np.sqrt(len(scores)) + 0.5 * (spikes > 0)
    assert 0.8 < scores.std() < 1.2  # 7 deviations of the spread of 675 normal numbers


def test_hypotheses_hold_their_level_beside_spikes():
    """Null: Gaussian noise and four spikes; every random hypothesis fails with probability 0.01 at most."""
    rng = np.random.default_rng(7)
    trials, fails = 400, Counter()
    for _ in range(trials):
        found = examine_matrix(LoneMatrix.of(layer((96, 64), 4, rng)))
        fails.update(one.id for one in found if one.reading is Reading.FAILS)
    for name in RANDOM:
        # asymptotic in the shape: half as much again is allowed
        assert tail(fails[name], trials, 1.5 * LEVEL) >= ALPHA, (name, fails[name])


def _rows(rng, shape):
    return rng.standard_normal(shape) * np.exp(0.5 * rng.standard_normal((shape[0], 1)))


def _columns(rng, shape):
    return rng.standard_normal(shape) * np.exp(0.5 * rng.standard_normal(shape[1]))


def _heavy(rng, shape):
    return rng.standard_t(5, shape)


def _blocks(rng, shape):
    W = 0.2 * rng.standard_normal(shape)
    W[: shape[0] // 2, : shape[1] // 2] += rng.standard_normal((shape[0] // 2, shape[1] // 2))
    return W


@pytest.mark.parametrize(
    ("noise", "refuted", "standing"),
    [
        (_rows, "exchangeable", None),
        (_columns, "exchangeable", None),
        (_heavy, "iid_gaussian", "exchangeable"),
        (_blocks, "biunitary", None),
    ],
)
def test_broken_noise_is_seen(noise, refuted, standing):
    """Alternative, once each: power is near 1 at this size, and what is not broken stands."""
    fails = [
        one.id
        for one in examine_matrix(LoneMatrix.of(noise(np.random.default_rng(3), (150, 120))))
        if one.reading is Reading.FAILS
    ]
    assert refuted in fails
    assert standing not in fails
