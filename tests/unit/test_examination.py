"""Examining a trained network: what is certified against what happens, and claims judged on it."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream
from rmttheory.networks import (
    Dense,
    Network,
    accuracy,
    cross_entropy,
    initial_network,
    margins,
    per_sample_cross_entropy,
    remove_bulk,
)
from rmttheory.networks.datasets import Dataset
from rmttheory.theorem.certificates import gaussian_radius
from rmttheory.theorem.hypotheses import Reading
from rmttheory.theorem.planted import NetworkCase
from rmttheory.theorem.trained import claims as trained_claims
from rmttheory.theorem.trained import examination
from rmttheory.theorem.trained.examination import examine
from rmttheory.theorem.trained.predicates import PREDICATES
from rmttheory.theorem.verdicts import Outcome

SIZES = (40, 64, 48, 4)


def directions(inputs=SIZES[0]):
    return Stream(5).child("directions").orthonormal(inputs, SIZES[-1])


def blobs(samples=120, inputs=SIZES[0], classes=SIZES[-1]):
    """Noisy copies of one direction a class."""
    rng = Stream(5).child("blobs").generator()
    labels = np.arange(samples) % classes
    x = 3 * directions(inputs).T[labels] + 0.3 * rng.standard_normal((samples, inputs))
    half = samples // 2
    return Dataset(
        train_x=x[:half],
        train_y=labels[:half],
        test_x=x[half:],
        test_y=labels[half:],
        name="blobs",
        source="here",
        licence="none",
        classes=classes,
    )


def network(bulk=1.0, **options):
    """Layers that hand each class on to neurons of its own, with singular value 4, and a Gaussian bulk."""
    stream = Stream(7).child("network")
    layers = list(initial_network(SIZES, stream=stream, scale=bulk**2, **options).layers)
    groups = [np.repeat(np.eye(4), size // 4, axis=0) / math.sqrt(size / 4) for size in SIZES[1:3]]
    signals = [4 * groups[0] @ directions().T, 4 * groups[1] @ groups[0].T, groups[1].T]
    scales = (1.0, 1.0, 0.01)
    weights = [S + scale * layer.weight for S, scale, layer in zip(signals, scales, layers)]
    return Network(tuple(replace(layer, weight=W) for layer, W in zip(layers, weights)))


@pytest.fixture(scope="module")
def found():
    return examine(network(), blobs(), stream=Stream(1))


@pytest.fixture(scope="module")
def loud():
    """A bulk so strong that no bound speaks."""
    return examine(network(bulk=2.5), blobs(), stream=Stream(1))


@pytest.fixture(scope="module")
def quiet():
    """Nearly no bulk: the bounds speak."""
    return examine(network(bulk=1e-3), blobs(), stream=Stream(1))


def test_every_layer_is_split_at_its_own_edge(found):
    for layer, dense in zip(found.layers, network().layers, strict=True):
        split = remove_bulk(dense.weight)
        assert layer.shape == dense.shape
        assert layer.edge.edge == pytest.approx(split.edge, rel=1e-12, abs=0)
        assert np.array_equal(layer.singular_values, np.sort(layer.singular_values)[::-1])
        if layer.index < 2:
            assert layer.rank == split.rank == SIZES[-1]
            share = np.sum(split.removed**2) / np.sum(dense.weight**2)
            assert layer.removed_energy == pytest.approx(share, rel=1e-9, abs=0)
            assert [checked.id for checked in layer.hypotheses] == [predicate.id for predicate in PREDICATES]


def test_last_layer_keeps_a_direction_for_each_class(found):
    last = found.layers[-1]
    assert last.rank == SIZES[-1]
    assert last.edge.spikes < SIZES[-1]
    assert last.removed_energy == 0.0
    assert np.all(last.removal.realised == 0)
    assert last.removal.certified_share == 1.0
    assert {checked.reading for checked in last.hypotheses if checked.id == "iid_gaussian"} == {
        Reading.UNKNOWN
    }


def test_removal_of_one_layer_is_what_replacing_it_does(found):
    net, data = network(), blobs()
    before = net.logits(data.test_x)
    for layer in found.layers[:2]:
        split = remove_bulk(net.layers[layer.index].weight)
        after = net.replace(layer.index, split.kept).logits(data.test_x)
        removal = layer.removal
        np.testing.assert_allclose(removal.realised, np.max(np.abs(after - before), axis=1), rtol=1e-9)
        assert removal.accuracy == (accuracy(before, data.test_y), accuracy(after, data.test_y))
        assert removal.cross_entropy[1] == pytest.approx(cross_entropy(after, data.test_y), rel=1e-9, abs=0)
        assert removal.flips == np.sum(np.argmax(before, axis=1) != np.argmax(after, axis=1))
        dense = sum(a.weight.size for a in net.layers)
        saved = net.layers[layer.index].weight.size - SIZES[-1] * sum(layer.shape)
        assert removal.parameters == (dense, dense - saved)


def test_removal_of_all_layers_is_what_replacing_them_does(found):
    net, data = network(), blobs()
    pruned = net
    for index in range(2):
        pruned = pruned.replace(index, remove_bulk(net.layers[index].weight).kept)
    after = pruned.logits(data.test_x)
    changes = np.max(np.abs(after - net.logits(data.test_x)), axis=1)
    np.testing.assert_allclose(found.together.realised, changes, rtol=1e-9)
    assert found.together.accuracy[1] == accuracy(after, data.test_y)
    stored = [layer.removal.parameters[0] - layer.removal.parameters[1] for layer in found.layers]
    assert found.together.parameters[1] == found.together.parameters[0] - sum(stored)


@pytest.mark.parametrize("bulk", [2.0, 1.0, 1e-3])
@pytest.mark.parametrize("activation", ["relu", "abs"])
def test_no_logit_moves_beyond_its_certified_radius(bulk, activation):
    bench = examination._Bench.of(network(bulk, activation=activation), blobs())
    splits = bench.splits()
    removals = [bench.remove(i, split) for i, split in enumerate(splits)] + [bench.remove_all(splits)]
    for removal in removals:
        # rounding of logits of order one
        assert np.all(removal.realised <= removal.certified + 1e-12)
        right_before, right_after = (a * len(removal.certified) for a in removal.accuracy)
        assert abs(right_after - right_before) <= np.sum(removal.kappa >= 1)
        assert np.all(removal.tight_kappa <= removal.kappa * (1 + 1e-9))
    assert np.any(removals[-1].realised > 0)


def test_a_lipschitz_constant_from_samples_would_break_the_radius(monkeypatch):
    """The test above can fail: with the stretch that samples show in place of the bound, it does."""
    monkeypatch.setattr(Network, "tail_lipschitz", lambda self, index: 0.01)  # noqa: ARG005
    bench = examination._Bench.of(network(), blobs())
    removal = bench.remove(0, bench.splits()[0])
    assert np.any(removal.realised > removal.certified)


def test_kappa_is_twice_the_radius_over_the_confidence(found):
    for removal in (found.layers[0].removal, found.together):
        size = np.abs(removal.confidences)
        np.testing.assert_allclose(removal.kappa * size, 2 * removal.certified, rtol=1e-12)
        np.testing.assert_allclose(removal.tight_kappa * size, 2 * removal.realised, rtol=1e-12)
        assert removal.certified_share == np.mean(2 * removal.certified < size)
        assert removal.tightness == pytest.approx(np.median(removal.realised / removal.certified))
    bench = examination._Bench.of(network(), blobs())
    radii = np.max(np.abs(bench.inputs[1] @ bench.splits()[1].removed.T), axis=1)
    stretch = np.max(np.sum(np.abs(network().layers[2].weight), axis=1))
    np.testing.assert_allclose(found.layers[1].removal.certified, stretch * radii, rtol=1e-9)


def test_kappa_is_free_of_scale():
    """Scaling the readout scales margins and radii alike, so a small ``a(N, s)`` is worth nothing."""
    net = network()
    last = net.layers[-1]
    scaled = net.replace(2, 1e-3 * last.weight)
    one, other = (examination._Bench.of(n, blobs()) for n in (net, scaled))
    a, b = (bench.remove(0, bench.splits()[0]) for bench in (one, other))
    np.testing.assert_allclose(a.kappa, b.kappa, rtol=1e-9)
    np.testing.assert_allclose(a.certified, 1e3 * b.certified, rtol=1e-9)


def test_slopes_are_derivatives_along_the_removed_part():
    net, data = network(), blobs()
    bench = examination._Bench.of(net, data)
    bench = replace(bench, train_labels=(bench.train_labels + 1) % 4)  # right labels have no loss to speak of
    for index, split in enumerate(bench.splits()[:2]):
        h = 1e-6
        up, down = (
            per_sample_cross_entropy(
                net.replace(index, net.layers[index].weight + sign * h * split.removed).logits(bench.train_x),
                bench.train_labels,
            )
            for sign in (1, -1)
        )
        # central differences of an order-one function: h^2 from the formula, eps / h from rounding
        slopes = bench.slopes(index, split.removed)
        np.testing.assert_allclose(slopes, (up - down) / (2 * h), atol=1e-7)
        assert np.max(np.abs(slopes)) > 0.1


def test_penalty_counts_in_stationarity():
    """With a penalty as strong as this, scaling the bulk down must pay."""
    readings = {}
    for l2 in (0.0, 10.0):
        layer = examine(network(), blobs(), stream=Stream(1), l2=l2).layers[0]
        readings[l2] = {checked.id: checked for checked in layer.hypotheses}["stationary"]
    assert readings[10.0].reading is Reading.FAILS
    norm = np.sum(remove_bulk(network().layers[0].weight).removed ** 2)
    assert readings[10.0].measurement.value == pytest.approx(20 * norm, abs=1.0)


def test_untrained_layers_are_not_refuted_as_noise(found):
    """Bulks are Gaussian by construction here and know nothing of the data; level 0.01 each."""
    for layer in found.layers[:2]:
        readings = {checked.id: checked.reading for checked in layer.hypotheses}
        for name in ("iid_gaussian", "exchangeable", "moments", "subgaussian_rows", "biunitary", "mp_bulk"):
            assert readings[name] is Reading.NOT_REFUTED


def test_verdicts_of_a_loud_bulk_say_that_the_bounds_say_nothing(loud):
    assert [(v.claim, v.cell["layer"]) for v in loud.verdicts] == [
        (claim, layer) for layer in (0, 1) for claim in ("margin_stability", "finite_confidence")
    ]
    for verdict in loud.verdicts:
        assert verdict.cell["data"] == "blobs"
        assert verdict.outcome is Outcome.VACUOUS
        assert verdict.speaks_at > 64
        assert verdict.admissible == verdict.trials
        assert verdict.worst_ratio < 1


def test_verdicts_of_a_quiet_bulk_speak(quiet):
    outcomes = {(v.claim, v.cell["layer"]): v.outcome for v in quiet.verdicts}
    for layer in (0, 1):
        assert outcomes["margin_stability", layer] is Outcome.CONSISTENT
        assert outcomes["finite_confidence", layer] is Outcome.CERTIFIED
        assert quiet.layers[layer].removal.certified_share == 1.0


def test_the_level_is_shared_by_the_verdicts():
    verdicts = examine(network(), blobs(), stream=Stream(1), level=1e-3).verdicts
    assert sum(verdict.alpha for verdict in verdicts) == pytest.approx(1e-3)


@pytest.mark.parametrize("claim", ["margin_stability", "finite_confidence"])
def test_a_false_lipschitz_constant_is_refuted(monkeypatch, claim):
    """Control on the real case: a stretch far too small, on a bulk loud enough to flip labels."""
    monkeypatch.setattr(Network, "tail_lipschitz", lambda self, index: 1e-4)  # noqa: ARG005
    verdicts = examine(network(bulk=3.0), blobs(), stream=Stream(1)).verdicts
    assert Outcome.REFUTED in {verdict.outcome for verdict in verdicts if verdict.claim == claim}


def test_a_widening_layer_would_speak_where_it_says(loud):
    """At the width named for `margin_stability`, radii that fall like sqrt(log(2 n) / n) pass a margin."""
    verdict = loud.verdicts[0]
    removal, n = loud.layers[0].removal, loud.layers[0].shape[0]

    def speaks(width):
        shrink = math.sqrt(math.log(2 * width) / width * n / math.log(2 * n))
        return np.min(2 * shrink * removal.certified / np.abs(removal.confidences)) < 1

    assert speaks(verdict.speaks_at * 1.01)
    assert not speaks(verdict.speaks_at * 0.99)


def test_redrawn_noise_would_certify_a_label_where_it_says():
    """At the width named for `finite_confidence`, and not before, twice the radius is below some margin."""
    net, data = network(), blobs()
    split = remove_bulk(net.layers[0].weight)
    size = {"g": split.estimate.g, "samples": 60, "delta": 0.2}
    case = NetworkCase(
        network=net, index=0, S=split.kept, R=split.removed, x=data.test_x, labels=data.test_y, cell=size
    )
    best = np.argmax(case.before, axis=1)
    sizes, norms = margins(case.before, best), np.linalg.norm(data.test_x, axis=1)

    def speaks(n):
        return np.any(2 * gaussian_radius(norms, net.tail_lipschitz(0), n=n, **size) < sizes)

    width = int(trained_claims._width_for_labels(case))
    assert speaks(width)
    assert not speaks(width - 1)
    assert np.array_equal(case.after, net.replace(0, split.kept).logits(data.test_x))


def test_result_is_plain_json_and_depends_on_the_stream_alone(found):
    again = examine(network(), blobs(), stream=Stream(1))

    def stable(result):
        plain = result.to_dict()
        for verdict in plain["verdicts"]:
            verdict.pop("seconds")
        return json.dumps(plain, allow_nan=False, sort_keys=True)

    assert stable(again) == stable(found)
    assert stable(examine(network(), blobs(), stream=Stream(2))) != stable(found)


@pytest.mark.parametrize("placement", [Placement(dtype="float32"), Placement("torch")])
def test_network_may_live_elsewhere(found, placement, require):
    require(placement.library)
    elsewhere = examine(network().at(placement), blobs(), stream=Stream(1))
    for one, other in zip(found.layers, elsewhere.layers, strict=True):
        assert one.rank == other.rank
        # single precision of the weights
        np.testing.assert_allclose(one.removal.certified, other.removal.certified, rtol=1e-4)


def test_samples_without_confidence_or_input_stay_finite():
    """A blank image has equal logits; a margin of 0 is never certified, and nothing becomes infinite."""
    data = blobs()
    data = replace(data, test_x=np.where(np.arange(60)[:, None] < 40, 0.0, data.test_x))
    found = examine(network(), data, stream=Stream(1))
    removal = found.layers[0].removal
    assert np.all(removal.confidences[:40] == 0)
    json.dumps(found.to_dict(), allow_nan=False)
    assert np.isfinite(removal.kappa).all()
    again = pickle.loads(pickle.dumps(found))  # it travels between processes
    assert again.layers[0].hypotheses == found.layers[0].hypotheses


def test_layer_that_nothing_reaches():
    """All neurons of the first layer are dead: removing the bulk of the second changes nothing."""
    net = network()
    first = replace(net.layers[0], bias=np.full(SIZES[1], -1e3))
    found = examine(Network((first, *net.layers[1:])), blobs(), stream=Stream(1))
    assert np.all(found.layers[1].removal.certified == 0)
    assert [verdict.claim for verdict in found.verdicts if verdict.cell["layer"] == 1] == ["margin_stability"]
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"level": 0.0}, "`level`"),
        ({"predicate_level": 0.7}, "`predicate_level`"),
        ({"predicate_level": 1e-6}, "`predicate_level`"),
        ({"l1": -1.0}, "`l1`"),
        ({"l2": math.nan}, "`l2`"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(InvalidInput, match=words):
        examine(network(), blobs(), stream=Stream(1), **options)


def test_data_must_fit_the_network():
    with pytest.raises(InvalidInput, match="columns"):
        examine(network(), blobs(inputs=41), stream=Stream(1))


def test_layer_that_was_truncated_before_is_refused():
    net = network()
    cut = net.replace(0, remove_bulk(net.layers[0].weight).kept)
    with pytest.raises(InvalidInput, match=r"Layer 0: .*full rank"):
        examine(cut, blobs(), stream=Stream(1))


def test_network_of_one_layer():
    """Its only layer is its last: nothing is removed, and no claim is judged."""
    net = Network((Dense(Stream(3).normal((4, 40)), None, "identity"),))
    found = examine(net, blobs(), stream=Stream(1))
    assert found.verdicts == ()
    assert found.together.flips == 0
