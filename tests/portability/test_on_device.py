"""What `--device cuda` runs, in every place: networks trained and pruned, and claims judged on dense layers.

So much can be shown without a GPU: the same code, from the function that a command calls to the last array.
"""

import dataclasses
import functools
import json

import numpy as np
import pytest
import shadow
from places import PLACES, REFERENCE, leaves

from rmttheory import matrices, networks
from rmttheory.arrays import Placement, Stream
from rmttheory.studies import inspecting, long_runs, trained, verification
from rmttheory.studies.runner import Watcher
from rmttheory.theorem import sequential
from rmttheory.theorem.claims import METHOD, claims, find_claim
from rmttheory.theorem.judging import run_trials

SLACK = 10 * 4.0 * 24 * 4.0
"""LAPACK's ``p(n, m) eps s_1`` for sides up to 24 and values up to 4, and for vectors ten times that: they
turn by eps over the relative gap of the values."""


def named(place):
    return place.name.replace(" ", "-")


EVERYWHERE = pytest.mark.parametrize("place", PLACES, ids=named)


@functools.cache
def data_file(folder):
    """Three classes of 24 numbers, one spike each in the noise."""
    rng = np.random.default_rng(7)
    y = np.arange(96) % 3
    x = (rng.standard_normal((3, 24))[y] + 0.5 * rng.standard_normal((96, 24))).astype(np.float32)
    path = folder / "three.npz"
    np.savez(path, train_x=x[:72], train_y=y[:72], test_x=x[72:], test_y=y[72:])
    return str(path)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def trained_at(place, file):
    """What `rmttheory train --prune` does."""

    def run(there):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trained, "find_placement", lambda *_, **__: there.placement)
            return trained.train_network(file, (20,), seed=1, epochs=2, rate=0.01, l2=1e-3, prune=True)

    return place.call(run)


@EVERYWHERE
def test_training_with_pruning_is_the_same_everywhere(place, require, folder):
    require(place.needs)
    found, expected = (trained_at(one, data_file(folder)) for one in (place, REFERENCE))
    assert [epoch.pruned for epoch in found.history] == [False, True]
    for mine, reference in zip(found.network.layers, expected.network.layers):
        assert place.holds(mine.weight)
        if place.has_data:
            np.testing.assert_allclose(
                place.read(mine.weight), reference.weight, rtol=0, atol=SLACK * place.eps
            )


@pytest.mark.parametrize("place", [place for place in PLACES if place.dtype == "float64"], ids=named)
def test_layers_are_inspected_the_same_everywhere(place, require):
    """In double precision, as `inspect` has it; what is tested of vectors does not depend on their signs."""
    require(place.needs)
    W = matrices.Spiked((60, 40), (3.0, 2.5)).sample(5).W

    def run(there):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(inspecting, "find_placement", lambda *_: there.placement)
            return inspecting.inspect_layer(W).to_dict()

    found, expected = place.call(run), run(REFERENCE)
    assert list(found) == list(expected)
    for mine, reference in zip(leaves(found), leaves(expected)):
        if isinstance(reference, float):
            np.testing.assert_allclose(mine, reference, rtol=SLACK * place.eps, atol=SLACK * place.eps)
        else:
            assert mine == reference


ON_DEVICE = {claim.id: claim for claim in claims() if claim.on_device}


def small(claim):
    """A cell whose layers are drawn in full, and small."""
    known = {parameter.name: parameter.typical for parameter in claim.parameters}
    size = {"n": (16, 20, 24)} if isinstance(known["n"], tuple) else {"n": 24, "m": 16}
    return claim.cell(**size, **({"method": "dense"} if METHOD.name in known else {}))


@EVERYWHERE
@pytest.mark.parametrize("name", ON_DEVICE)
def test_dense_claims_have_the_same_trials_everywhere(name, place, require):
    require(place.needs)
    claim = ON_DEVICE[name]
    cell = small(claim)

    def run(there):
        return run_trials(claim, cell, seed=3, start=0, stop=3, placement=there.placement)

    found, expected = place.call(run), run(REFERENCE)
    for side in ("left", "right", "margins"):
        np.testing.assert_allclose(
            getattr(found, side), getattr(expected, side), rtol=0, atol=SLACK * place.eps
        )
    assert np.all(np.isfinite(found.left))


def test_a_broken_variant_is_judged_where_its_claim_is(require):
    """A control may replace the draw of its claim, and inherits where that may happen."""
    require("cupy")
    place = next(place for place in PLACES if place.library == "shadow")
    with place.rules():
        for claim in ON_DEVICE.values():
            for name in claim.controls:
                broken = claim.broken(name)
                run_trials(broken, small(broken), seed=3, start=0, stop=1, placement=place.placement)


def test_verify_gives_the_same_verdict_there_and_its_record_says_where(require, monkeypatch):
    require("array_api_strict")
    place = next(place for place in PLACES if place.library == "array_api_strict")
    asked = {"ids": ["mp_bulk"], "widths": (16, 32, 64), "dense": True}
    here = verification.verify_suite(**asked)
    monkeypatch.setattr(verification, "find_placement", {"cuda": place.placement}.__getitem__)
    there = verification.verify_suite(**asked, device="cuda")
    assert [verdict.why for verdict in there.run.verdicts] == [verdict.why for verdict in here.run.verdicts]
    documents = [json.loads(one.run.to_json())["environment"] for one in (here, there)]
    assert [document.get("library") for document in documents] == [None, "array_api_strict"]


@pytest.mark.parametrize(
    "place", [place for place in PLACES if place.dtype == "float64" and place.has_data], ids=named
)
def test_a_claim_is_watched_there_and_further_here(place, require, tmp_path, monkeypatch):
    """What `rmttheory watch` does; six trials in one go on the host give the same verdict."""
    require(place.needs)
    claim, drawn = find_claim("tw_edge"), []

    def draw(cell, stream):
        drawn.append(stream.placement.library)
        return claim.draw(cell, stream)

    def watched(where, most, out):
        for module in (long_runs, sequential):
            monkeypatch.setattr(module, "find_placement", {"asked": where.placement}.__getitem__)
        asked = {"seed": 3, "alpha": 1e-6, "most": most, "out": str(tmp_path / out), "device": "asked"}
        with where.rules():
            run = long_runs.watch(claim.id, small(claim), **asked, watcher=Watcher())
        return run.verdict, json.loads((tmp_path / out).read_text())["environment"].get("library", "numpy")

    monkeypatch.setattr(sequential, "find_claim", lambda _: dataclasses.replace(claim, draw=draw))
    _, library = watched(place, 3, "run.json")
    assert (drawn, library) == ([place.library] * 3, place.library)
    found, _ = watched(REFERENCE, 6, "run.json")
    expected, _ = watched(REFERENCE, 6, "whole.json")
    assert (found.trials, found.why) == (6, expected.why)
    np.testing.assert_allclose(found.worst_ratio, expected.worst_ratio, rtol=SLACK * place.eps)


def test_other_claims_are_judged_on_the_host():
    claim = find_claim("row_event_exact")
    placement = Placement("array_api_strict")
    found, expected = (
        run_trials(claim, claim.cell(), seed=3, start=0, stop=5, placement=one)
        for one in (placement, REFERENCE.placement)
    )
    np.testing.assert_array_equal(found.left, expected.left)


@pytest.mark.parametrize("optimiser", [networks.SGD(0.01), networks.Adam()], ids=["SGD", "Adam"])
def test_the_host_waits_for_epochs_and_never_for_a_step(require, optimiser):
    """Every kind of layer, a penalty and a mask: 6, 12 and 36 steps an epoch wait as often."""
    require("cupy")
    place = next(place for place in PLACES if place.library == "shadow")
    x, y = np.sin(np.arange(36.0 * 18)).reshape(36, 18).astype(np.float32), np.arange(36) % 3
    facts = {"name": "36", "source": "made here", "licence": "none", "classes": 3}
    data = networks.Dataset(train_x=x, train_y=y, test_x=x, test_y=y, **facts)
    waited = []
    for batch in (6, 3, 1):
        with place.rules():
            network = networks.convolutional_network(
                (2, 3, 3),
                channels=(3,),
                hidden=(4,),
                classes=3,
                batch_norm=True,
                dropout=0.5,
                stream=place.stream,
            )
            mask = {0: network.layers[0].matrix > 0}
            networks.train(
                network,
                data,
                epochs=2,
                batch=batch,
                l1=1e-3,
                l2=1e-3,
                optimiser=optimiser,
                rng=1,
                prune=lambda live, epoch, mask=mask: (live, mask) if epoch == 1 else None,
            )
            waited.append(dict(vars(shadow.waits)))
    assert waited[0] == waited[1] == waited[2]


def test_a_spectrum_of_a_stack_waits_as_often_for_many_matrices(require):
    """Once to check the argument; the rest at the end, for the invariant and the accuracy of all of it."""
    require("cupy")
    place = next(place for place in PLACES if place.library == "shadow")
    W = Stream(3).normal((8, 20, 12))
    waited = []
    for stack in (W[0], W[:2], W):
        with place.rules():
            matrices.spectrum(place.put(stack))
            waited.append(dict(vars(shadow.waits)))
    assert waited == [{"door": 3, "checks": 1}, {"door": 5, "checks": 1}, {"door": 5, "checks": 1}]
