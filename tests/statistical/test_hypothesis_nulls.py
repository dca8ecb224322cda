"""Level and power of the calibrated predicates over many layers.

Level. Null: on Gaussian layers with spikes of 2 to 5 times the threshold, and data that know nothing of them,
a predicate at level 0.05 fails with probability at most 0.075; the half more is for nulls that are exact only
as the width grows. Test: 200 layers, refuted where ``P(Binom(200, 0.075) >= failures) < 1e-4``, that is, from
31 failures on. Alternative: a null without the extraction, which fails a third of the time or more; that many
failures are then reached with probability above 0.99999.

Power. Null: a control fails with probability at most 1/2. Test: 40 layers, refuted from 31 failures on, at
level 4e-4; a predicate with power 0.9 gets there with probability 0.99.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmttheory.arrays import Stream
from rmttheory.matrices import parse_noise
from rmttheory.networks import remove_bulk
from rmttheory.theorem.trained import nulls
from rmttheory.theorem.trained.layer import TrainedLayer
from rmttheory.theorem.trained.predicates import PREDICATES
from rmttheory.theorem.verdicts import binomial_sf

N, M, LEVEL = 64, 96, 0.05
CHECKS = {predicate.id: predicate.check for predicate in PREDICATES}
CALIBRATED = (
    "iid_gaussian",
    "exchangeable",
    "moments",
    "subgaussian_rows",
    "biunitary",
    "noise_level",
    "mp_bulk",
    "edge",
    "independent_path",
    "delocalised",
)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch):
    """40 null draws a predicate: rank tests are exact at any number, and fail here at rank 2 of 41."""
    monkeypatch.setattr(nulls, "draws_for", lambda level: 40)  # noqa: ARG005


def frame(rng, length, count):
    return np.linalg.qr(rng.standard_normal((length, count)))[0]


def layer(trial, *, noise=None, spikes=(2.0, 3.0, 4.0, 5.0), add=None):
    stream = Stream(trial).child("hypothesis nulls")
    rng = stream.child("layer").generator()
    v = np.maximum(stream.child("inputs").generator().standard_normal((60, M)) + 2.0, 0.0)
    strengths = np.array(spikes) * (M / N) ** 0.25
    W = rng.standard_normal((N, M)) if noise is None else noise(rng)
    W = W / math.sqrt(N) + (frame(rng, N, len(spikes)) * strengths) @ frame(rng, M, len(spikes)).T
    if add:
        W = W + add(rng, v)
    return TrainedLayer.of(
        W,
        remove_bulk(W),
        inputs=v,
        confidences=np.ones(60),
        lipschitz=1.0,
        activate=abs,
        slopes=np.zeros(2),
        level=LEVEL,
        stream=stream,
    )


def failures(layers, names):
    return {name: sum(CHECKS[name](one).margin < 0 for one in layers) for name in names}


def refuted(count, trials=200):
    return binomial_sf(count, trials, 1.5 * LEVEL) < 1e-4


def test_predicates_keep_their_level_on_planted_layers():
    counts = failures([layer(trial) for trial in range(200)], CALIBRATED)
    assert not {name: count for name, count in counts.items() if refuted(count)}, counts


def test_without_the_extraction_the_level_is_lost():
    """The level test above can fail: many spikes, and nulls from which no direction was removed."""
    spikes = np.linspace(2, 6, 10)
    layers = [layer(trial, spikes=spikes) for trial in range(200)]
    assert not refuted(failures(layers, ("iid_gaussian",))["iid_gaussian"])
    for one in layers:
        nothing = nulls.Extraction(left=one.left[:, :0], right=one.right[:, :0])
        one.__dict__["extraction"] = nothing
    assert refuted(failures(layers, ("iid_gaussian",))["iid_gaussian"])


@pytest.mark.parametrize("law", ["student-t:3", "student-t:5", "uniform"])
def test_exchangeable_entries_may_have_any_law(law):
    """Level as above over 100 layers, for iid entries that are not normal; `iid_gaussian` sees them all."""

    def noise(rng):
        return math.sqrt(N) * parse_noise(law).sample((N, M), 1.0, Stream(int(rng.integers(2**32))))

    counts = failures([layer(trial, noise=noise) for trial in range(100)], ("exchangeable", "iid_gaussian"))
    assert not refuted(counts["exchangeable"], 100)
    assert counts["iid_gaussian"] >= 90


def toward(v):
    return np.mean(v, axis=0) / np.linalg.norm(np.mean(v, axis=0))


def uneven_columns(rng):
    return rng.standard_normal((N, M)) * np.exp(0.8 * rng.standard_normal(M) - 0.64)


def heavy_tails(rng):
    return rng.standard_t(3, (N, M)) / math.sqrt(3)


def signs(rng):
    return np.sign(rng.standard_normal((N, M)))


def aligned_row(rng, v):  # noqa: ARG001
    return 1.0 * np.outer(np.eye(N)[0], toward(v))


def aligned_bulk(rng, v):
    return 1.0 * np.outer(frame(rng, N, 1)[:, 0], toward(v))


@pytest.mark.parametrize(
    ("broken", "names"),
    [
        ({"noise": uneven_columns}, ("iid_gaussian", "exchangeable", "biunitary", "mp_bulk")),
        ({"noise": heavy_tails}, ("iid_gaussian", "biunitary", "delocalised")),
        ({"noise": signs}, ("iid_gaussian",)),
        ({"noise": lambda rng: 1.2 * rng.standard_normal((N, M))}, ("noise_level",)),
        ({"add": aligned_row}, ("independent_path",)),
        ({"add": aligned_bulk}, ("independent_path",)),
    ],
    ids=["uneven columns", "heavy tails", "signs", "strong noise", "aligned row", "aligned bulk"],
)
def test_predicates_see_what_is_broken(broken, names):
    counts = failures([layer(trial, **broken) for trial in range(40)], names)
    assert all(count >= 31 for count in counts.values()), counts


def test_hill_exponent_is_calibrated_and_sees_an_infinite_fourth_moment():
    """Level as above, for a Pareto tail of exponent 4 in 200 layers with 24 tail entries each.

    Power: exponent 3 with 240 tail entries fails with probability above 0.97 by the Gamma law.
    """

    def count(exponent, shape, trials):
        rng = np.random.default_rng(3)
        one = layer(0)
        found = 0
        for _ in range(trials):
            one.__dict__.update(kept=rng.pareto(exponent, shape) + 1, removed=np.zeros(shape))
            found += CHECKS["moments"](one).margin < 0
        return found

    assert not refuted(count(4.0, (100, 120), 200))
    assert count(3.0, (300, 400), 40) >= 31
