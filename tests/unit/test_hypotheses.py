"""Every predicate of a trained layer holds on a planted layer and is seen to fail on a broken one.

Random predicates are judged here at one fixed seed each and at level 0.01. That their level is right over
many seeds, and their power, is shown in ``tests/statistical/test_hypothesis_nulls.py``.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rmttheory.arrays import Stream
from rmttheory.networks import remove_bulk
from rmttheory.theorem.hypotheses import Checked, Knowable, Reading, at_least, at_most
from rmttheory.theorem.trained import nulls
from rmttheory.theorem.trained.layer import TrainedLayer
from rmttheory.theorem.trained.predicates import PREDICATES, examine_layer

N, M, G = 96, 128, 0.1
SPIKES = (3.6, 4.6, 5.6)
"""So strong, beside an edge of 0.68, that even the gap hypothesis holds, and small enough for |S|_F."""
BY_ID = {predicate.id: predicate for predicate in PREDICATES}
UNKNOWABLE = {p.id for p in PREDICATES if p.knowable is Knowable.UNIDENTIFIABLE}


def rng_of(name):
    return Stream(1).child("planted layers", name).generator()


def frame(rng, length, count):
    return np.linalg.qr(rng.standard_normal((length, count)))[0]


def gaussian(rng, n=N, m=M, g=G):
    return rng.standard_normal((n, m)) * math.sqrt(g / n)


def spiked(rng, noise, spikes=SPIKES):
    n, m = noise.shape
    return noise + (frame(rng, n, len(spikes)) * np.array(spikes)) @ frame(rng, m, len(spikes)).T


def with_values(W, change):
    """Return ``W`` with its singular values replaced by ``change(values)``."""
    U, s, V = np.linalg.svd(W, full_matrices=False)
    return (U * change(s)) @ V


def inputs_of(rng, m=M, mean=0.3, samples=50):
    v = np.maximum(rng.standard_normal((samples, m)) + mean, 0.0)
    return v / np.sqrt(np.sum(v * v, axis=1))[:, None]


def planted(seed=0, *, W=None, **facts):
    rng = rng_of(f"planted {seed}")
    W = spiked(rng, gaussian(rng)) if W is None else W
    samples = len(facts.get("inputs", range(50)))
    usual = {
        "inputs": inputs_of(rng_of(f"inputs {seed}"), W.shape[1]),
        "confidences": np.ones(samples),
        "lipschitz": 0.01,
        "activate": lambda x: np.maximum(x, 0.0),
        "slopes": 0.1 * rng_of(f"slopes {seed}").standard_normal(400),
        "level": 0.01,
        "stream": Stream(seed),
    }
    return TrainedLayer.of(W, remove_bulk(W), **{**usual, **facts})


def reading(name, layer):
    (found,) = [checked for checked in examine_layer(layer) if checked.id == name]
    return found.reading


@pytest.fixture(scope="module")
def found():
    return {checked.id: checked for checked in examine_layer(planted())}


@pytest.mark.parametrize("name", sorted(BY_ID))
def test_planted_layer_meets_every_hypothesis_that_can_be_known(found, name):
    checked = found[name]
    assert checked.measurement.how
    if name in UNKNOWABLE:
        assert checked.reading is Reading.UNKNOWN
    elif name == "mask":  # the supports of a truncation are never disjoint
        assert checked.reading is Reading.FAILS
    else:
        assert checked.measurement.margin >= 0, checked
        holds = {Knowable.VERIFIABLE: Reading.HOLDS, Knowable.FALSIFIABLE: Reading.NOT_REFUTED}
        assert checked.reading is holds[BY_ID[name].knowable]


def student(rng, n=N, m=M):
    return rng.standard_t(3, (n, m)) * math.sqrt(G / (3 * n))


def lognormal_columns(rng):
    return gaussian(rng) * np.exp(0.8 * rng.standard_normal(M) - 0.64)


def heavy_tails():
    rng = rng_of("heavy")
    return planted(W=spiked(rng, student(rng), spikes=(1.0,)))


def very_heavy_tails():
    """Enough entries that the exponent of the tail is known to a tenth."""
    return planted(W=student(rng_of("very heavy"), 300, 400))


def uneven_columns():
    rng = rng_of("columns")
    return planted(W=spiked(rng, lognormal_columns(rng)))


def aligned_row():
    """One row of the bulk, too weak to show as an outlier, points along the data."""
    rng = rng_of("row")
    v = inputs_of(rng, mean=2.0)
    toward = np.mean(v, axis=0) / np.linalg.norm(np.mean(v, axis=0))
    return planted(W=spiked(rng, gaussian(rng)) + 0.3 * np.outer(np.eye(N)[0], toward), inputs=v)


def aligned_bulk():
    """A spike below the threshold, spread over all outputs, points along the data."""
    rng = rng_of("bulk")
    v = inputs_of(rng, mean=2.0)
    toward = np.mean(v, axis=0) / np.linalg.norm(np.mean(v, axis=0))
    return planted(W=spiked(rng, gaussian(rng)) + 0.3 * np.outer(frame(rng, N, 1)[:, 0], toward), inputs=v)


def strong_noise():
    rng = rng_of("level")
    return planted(W=gaussian(rng, g=1.5))


def clipped_bulk():
    """The upper tenth of the bulk is pushed down."""
    rng = rng_of("clipped")
    return planted(
        W=with_values(spiked(rng, gaussian(rng)), lambda s: np.where(s < 1, np.minimum(s, 0.6), s))
    )


def critical_spike():
    """The weakest spike is pulled down to 2 % above the edge of the bulk."""
    layer = planted()
    edge = layer.estimate.bulk_edge
    W = layer.kept + layer.removed
    return planted(W=with_values(W, lambda s: np.where(np.arange(N) == 2, 1.02 * edge, s)))


def twin_spikes():
    W = planted().kept + planted().removed
    return planted(W=with_values(W, lambda s: np.where(np.arange(N) == 1, s[0] - 0.01, s)))


def many_spikes():
    rng = rng_of("many")
    return planted(W=spiked(rng, gaussian(rng), spikes=np.linspace(1, 5, 40)))


def weak_spikes():
    rng = rng_of("weak")
    return planted(W=spiked(rng, gaussian(rng), spikes=(1.0, 0.8)))


def strong_spike():
    rng = rng_of("strong")
    return planted(W=spiked(rng, gaussian(rng), spikes=(30.0,)))


def localised_spike():
    rng = rng_of("localised")
    W = gaussian(rng)
    W[0, 0] += 3.6
    return planted(W=W)


def along_the_gradient():
    """Every sample's loss falls when the removed part is scaled down."""
    return planted(slopes=0.1 + 0.1 * np.random.default_rng(0).standard_normal(400))


CONTROLS = {
    "iid_gaussian": (heavy_tails, uneven_columns),
    "exchangeable": (uneven_columns,),
    "moments": (very_heavy_tails,),
    "subgaussian_rows": (aligned_row,),
    "biunitary": (uneven_columns,),
    "noise_level": (strong_noise,),
    "mp_bulk": (uneven_columns,),
    "edge": (clipped_bulk,),
    "independent_path": (aligned_row, aligned_bulk),
    "stationary": (along_the_gradient,),
    "low_rank": (many_spikes,),
    "supercritical": (critical_spike,),
    "gap": (weak_spikes,),
    "distinct": (twin_spikes,),
    "delocalised": (localised_spike,),
    "signal_norm": (strong_spike,),
    "outer_scale": (lambda: planted(lipschitz=10.0),),
    "margin": (lambda: planted(lipschitz=10.0),),
    "lipschitz": (lambda: planted(lipschitz=math.inf),),
    "finite_samples": (lambda: planted(inputs=inputs_of(np.random.default_rng(0), samples=97)),),
    "activation": (
        lambda: planted(activate=lambda x: 1.01 * x),
        lambda: planted(activate=np.ones_like),
    ),
    "mask": (planted,),
}


def test_every_predicate_that_can_fail_has_a_control():
    assert set(CONTROLS) | UNKNOWABLE == set(BY_ID)


def test_the_page_lists_every_predicate_with_what_can_be_known():
    page = (Path(__file__).parents[2] / "docs" / "hypotheses.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([a-z ]+) \|$", page, flags=re.MULTILINE)
    words = {
        Knowable.VERIFIABLE: "verifiable",
        Knowable.FALSIFIABLE: "falsifiable",
        Knowable.UNIDENTIFIABLE: "not identifiable",
    }
    assert rows == [(predicate.id, words[predicate.knowable]) for predicate in PREDICATES]


@pytest.mark.parametrize(
    ("name", "control"), [(name, control) for name, controls in CONTROLS.items() for control in controls]
)
def test_broken_layer_fails(name, control):
    assert BY_ID[name].check(control()).margin < 0


def test_controls_break_what_they_are_meant_to_break_and_little_else():
    """A predicate that fails on everything would pass the test above."""
    assert BY_ID["exchangeable"].check(planted(W=gaussian(rng_of("signs")) / 1)).margin >= 0
    signs = np.sign(gaussian(rng_of("signs"))) * math.sqrt(G / N)
    assert BY_ID["iid_gaussian"].check(planted(W=signs)).margin < 0
    assert BY_ID["exchangeable"].check(planted(W=signs)).margin >= 0
    assert BY_ID["moments"].check(planted(W=rng_of("five").standard_t(5, (300, 400)))).margin >= 0
    assert BY_ID["independent_path"].check(uneven_columns()).margin >= 0
    assert BY_ID["mp_bulk"].check(aligned_bulk()).margin >= 0
    assert BY_ID["delocalised"].check(strong_spike()).margin >= 0


def test_values_of_what_is_computed_outright():
    """Each formula once more, by hand, on a layer of round numbers."""
    layer = planted(W=np.diag([9.0, 5.0, 4.0, 0.5, 0.4, 0.3]) + 0.0)
    layer = replace(
        layer,
        rank=2,
        estimate=replace(layer.estimate, spikes=2, g=0.01, bulk_edge=0.2),
        inputs=np.array([[3.0, 4, 0, 0, 0, 0], [0, 0, 2, 0, 0, 0]]),
        confidences=np.array([40.0, -6.0]),
        lipschitz=0.5,
    )
    value = {name: BY_ID[name].check(layer).value for name in BY_ID if not BY_ID[name].of_noise}
    a = 0.5 * np.array([5.0, 2.0]) * math.sqrt(math.log(12) / 6)
    assert value["outer_scale"] == pytest.approx(np.median(4 * math.sqrt(2) * a / [40, 6]))
    # radii 0.5 |v| sqrt(2 * 0.01 * log(2 * 6 * 2 / 0.01) / 6) = 0.402 and 0.161
    assert value["margin"] == 1.0
    near = replace(layer, confidences=np.array([0.81, -0.33]))
    assert BY_ID["margin"].check(near).value == 1.0
    near = replace(layer, confidences=np.array([0.80, -0.33]))
    assert BY_ID["margin"].check(near).value == 0.5
    assert value["finite_samples"] == pytest.approx(2 / 6)
    assert value["low_rank"] == pytest.approx(2 / 6)
    assert value["gap"] == pytest.approx(0.2 / (5 - 4))
    assert value["distinct"] == pytest.approx((9 - 5) / math.sqrt(2 * 0.01 / 6))
    # theta (1 + g / theta^2) = s for a square layer
    theta = [(s + math.sqrt(s * s - 0.04)) / 2 for s in (9, 5)]
    assert value["signal_norm"] == pytest.approx(math.sqrt(sum(t * t for t in theta) / 6))
    assert value["supercritical"] == pytest.approx(theta[1] / 0.1)
    # the largest coordinate of a coordinate vector, over what one of six uniform ones would reach
    assert value["delocalised"] > 1
    assert value["entrywise_signal"] == np.sum(np.array([9, 5, 4, 0.5, 0.4, 0.3]) > 0.1721)


def test_subgaussian_evidence_by_hand():
    """One of ten rows at 5.1 standard deviations: 10 log(0.1 / p) + ... nats at t = 5."""
    layer = replace(planted(W=np.eye(10)), removed=np.zeros((10, 10)), kept=np.eye(10), rank=0)
    layer.removed[0, 0] = 5.1 * math.sqrt(0.02 / 10)
    layer = replace(layer, estimate=replace(layer.estimate, g=0.02), inputs=np.eye(10)[:1], level=0.01)
    p = 2 * math.exp(-12.5)
    measured = BY_ID["subgaussian_rows"].check(layer)
    assert measured.value == pytest.approx(10 * (0.1 * math.log(0.1 / p) + 0.9 * math.log(0.9 / (1 - p))))
    assert measured.threshold == pytest.approx(math.log(28 / 0.01))


def test_edge_limits_come_from_noise_that_was_cut():
    """Uncut, the largest of 204 scores of pure noise would pass the cut, 0.45, in 20 draws and 2 in some."""
    low, high = nulls.edge_limits((60, 80), 0, level=0.01, draws=204)
    assert -5 < low < -3.4 < 0 < high < 0.46
    # fewer dimensions have a lower edge: the low end moves down, the high end not at all
    lower, same = nulls.edge_limits((60, 80), 6, level=0.01, draws=204)
    assert same == high
    assert lower < low - 1


def test_response_against_random_noise_as_it_is():
    """Inputs that the kept directions hold but for a share meet that share of what plain noise would do."""
    layer = planted()
    kept, rest = layer.right[:, :3].T, inputs_of(rng_of("rest"))
    rest = rest - (rest @ kept.T) @ kept
    rest /= np.linalg.norm(rest, axis=1)[:, None]
    for share in (1.0, 0.6, 0.1):
        v = share * rest + math.sqrt(1 - share**2) * kept[:1]
        _, ratio, plain = nulls.response_test(layer.removed, v, layer.extraction, draws=204, stream=Stream(1))
        # noise of the same norm in all of its 96 x 128 entries is by sqrt(125 / 128) weaker
        assert plain == pytest.approx(share * ratio * math.sqrt(128 / 125), rel=1e-9, abs=0)
        assert ratio == pytest.approx(1, abs=0.3)


def test_mask_holds_for_disjoint_supports():
    layer = planted()
    W = layer.kept + layer.removed
    large = np.abs(W) > 0.1
    assert BY_ID["mask"].check(replace(layer, kept=W * large, removed=W * ~large)).margin == 0


def test_predicates_do_not_depend_on_scale():
    """All statistics but those of |S|_F, g and the layers around are free of the scale of W."""
    with_scale = {
        "noise_level",
        "signal_norm",
        "outer_scale",
        "margin",
        "mask",
        "entrywise_signal",
        "stationary",
    }
    small = planted(W=1e-12 * (planted().kept + planted().removed))
    for one, other in zip(examine_layer(planted()), examine_layer(small)):
        if one.id not in with_scale:
            # single precision in the calibration, whose p-values are whole multiples of 1/205
            assert one.measurement.value == pytest.approx(other.measurement.value, rel=1e-5), one.id


def test_layer_without_spikes_has_nothing_to_check_of_them():
    layer = planted(W=with_values(gaussian(rng_of("no spikes")), lambda s: np.minimum(s, 0.6)))
    assert layer.rank == 0
    for name in ("supercritical", "gap", "distinct", "delocalised"):
        measured = BY_ID[name].check(layer)
        assert measured.margin == 0
        assert "nothing to check" in measured.how


def test_where_nothing_is_removed_the_noise_cannot_be_known():
    W = spiked(rng_of("whole"), gaussian(rng_of("whole noise")))
    whole = replace(planted(W=W), kept=W, removed=0 * W, rank=N)
    for checked in examine_layer(whole):
        if BY_ID[checked.id].of_noise:
            assert checked.reading is Reading.UNKNOWN
            assert "Nothing is removed" in checked.measurement.how


def test_inputs_that_never_reach_the_removed_part():
    """Data within the kept directions, or none: no response to look at, and no division by zero."""
    layer = planted()
    for v in (layer.right[:, :3].T @ np.eye(M), np.zeros((2, M))):
        still = replace(layer, inputs=v, confidences=np.ones(len(v)))
        for name in ("subgaussian_rows", "independent_path"):
            assert BY_ID[name].check(still).margin == 0


def test_tail_of_few_or_equal_entries():
    """Sparse layers have no tail to see; signs have the lightest of all."""
    assert BY_ID["moments"].check(planted(W=np.diag(np.arange(1.0, 11)))).margin == 0
    equal = BY_ID["moments"].check(planted(W=np.sign(gaussian(rng_of("signs")))))
    assert math.isfinite(equal.value)
    assert equal.margin > 1e15


def test_truncated_spike_along_the_data_breaks_independence():
    """Data along a spike that is truncated meet what truncation cuts off it, which no noise explains."""
    rng = rng_of("bias")
    u, v = frame(rng, N, 1)[:, 0], frame(rng, M, 1)[:, 0]
    W = gaussian(rng) + 0.55 * np.outer(u, v)
    layer = planted(W=W, inputs=np.outer(np.ones(50), v) + 0.05 * rng.standard_normal((50, M)))
    assert layer.rank == 1
    measured = BY_ID["independent_path"].check(layer)
    assert measured.margin < 0
    assert BY_ID["independent_path"].check(planted(W=W)).margin >= 0


@pytest.mark.parametrize(
    ("knowable", "margin", "expected"),
    [
        (Knowable.VERIFIABLE, 0.0, Reading.HOLDS),
        (Knowable.VERIFIABLE, -1e-300, Reading.FAILS),
        (Knowable.FALSIFIABLE, 1.0, Reading.NOT_REFUTED),
        (Knowable.FALSIFIABLE, -1.0, Reading.FAILS),
        (Knowable.UNIDENTIFIABLE, -1.0, Reading.UNKNOWN),
    ],
)
def test_reading(knowable, margin, expected):
    measured = replace(at_most(0.0, 0.0, "somehow"), margin=margin)
    checked = Checked("name", measured, knowable)
    assert checked.reading is expected
    assert checked.to_dict()["reading"] == expected.value
    assert checked.to_dict()["how"] == "somehow"


def test_margins_have_the_sign_of_the_statement():
    assert at_most(1.0, 2.0, "").margin == 1.0
    assert at_least(1.0, 2.0, "").margin == -1.0
    assert at_most(math.inf, math.inf, "").margin == 0.0
