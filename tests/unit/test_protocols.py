import json

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.networks.bulks import FittedEdge, PublishedEdge
from rmttheory.networks.datasets import Dataset
from rmttheory.networks.initial import initial_network
from rmttheory.networks.protocols import Protocol, published_protocol
from rmttheory.networks.schedules import PruningSchedule
from rmttheory.networks.training import train

STREAM = Stream(7)


def toy(samples=60, inputs=20, classes=3):
    labels = np.arange(samples) % classes
    centres = 2 * STREAM.child("centres").normal((classes, inputs))
    x = (centres[labels] + STREAM.child("x").normal((samples, inputs), scale=0.5)).astype(np.float32)
    halves = {"train_x": x[:40], "train_y": labels[:40], "test_x": x[40:], "test_y": labels[40:]}
    return Dataset(**halves, name="toy", source="this test", licence="none", classes=classes)


DATA = toy()
NETWORK = initial_network((20, 40, 30, 3), stream=STREAM.child("init"))
PLAN = PruningSchedule(every=3, edge=FittedEdge(gate=0), factor=True)


def published_rates(every, epochs, rate, factor):
    """The rates that act in the loops of the public code, in the order of its lines.

    An optimiser keeps the rate it was built with. The control steps with the optimiser of the other network
    until it is given one.
    """
    now, pruned, built = rate, [], rate
    for epoch in range(1, epochs + 1):
        now *= factor
        if epoch % every == 0:
            built = now
        pruned.append(built)
    control, built = [], 0.0
    for epoch in range(1, epochs + 1):
        if epoch % every == 0:
            built = rate
        control.append(built)
    return pruned, control


@pytest.mark.parametrize(("every", "epochs"), [(13, 60), (2, 9), (5, 5)])
def test_published_rates_are_those_that_act_in_the_public_loops(every, epochs):
    """A product of up to 60 factors rounds as often; a power a few times."""
    protocol = published_protocol(every=every, epochs=epochs, rate=0.02)
    for arm, expected in zip(("pruned", "control"), published_rates(every, epochs, 0.02, 0.96)):
        np.testing.assert_allclose(protocol.rates(arm), expected, rtol=70 * 2.2e-16)
    assert protocol.events() == tuple(e - 1 for e in range(1, epochs + 1) if e % every == 0)
    for done in protocol.events():
        assert protocol.schedule.share(done) == pytest.approx(1 - (done + 1) / 300, rel=0, abs=4e-16)


def test_on_equal_footing_both_arms_have_the_same_falling_rate():
    protocol = Protocol(schedule=PLAN, epochs=8, rate=0.01, factor=0.5, factor_every=4)
    assert protocol.rates("pruned") == protocol.rates("control") == (0.01,) * 3 + (0.005,) * 4 + (0.0025,)
    pruned, control = (protocol.arguments(arm) for arm in ("pruned", "control"))
    assert not any(arguments["reset_at_pruning"] for arguments in (pruned, control))
    assert pruned["prune"].schedule == PLAN
    assert control["prune"].schedule == PLAN.control()
    assert protocol.events() == (3, 6)


def weights(trained):
    return [p for layer in trained.network.layers for p in layer.parameters.values()]


def test_an_equal_control_is_plain_training():
    protocol = Protocol(schedule=PLAN, epochs=7)
    control = train(NETWORK, DATA, **protocol.arguments("control"), rng=1)
    plain = train(NETWORK, DATA, epochs=7, schedule=lambda epoch: 0.96 ** (epoch + 1), rng=1)
    for one, other in zip(weights(control), weights(plain), strict=True):
        np.testing.assert_array_equal(one, other)
    assert control.history == plain.history


def test_equal_arms_are_the_same_until_the_first_pruning_and_the_run_tells_what_it_did():
    protocol = Protocol(schedule=PLAN, epochs=7)
    arguments = {arm: protocol.arguments(arm) for arm in ("pruned", "control")}
    pruned, control = (train(NETWORK, DATA, **arguments[arm], rng=1) for arm in ("pruned", "control"))
    assert pruned.history[:2] == control.history[:2]
    assert [epoch.rate for epoch in pruned.history] == [epoch.rate for epoch in control.history]
    assert [epoch.epoch for epoch in pruned.history if epoch.pruned] == [3]
    assert len(pruned.network.layers) > 3
    events = arguments["pruned"]["prune"].events
    assert {event.epoch for event in events} == {3, 6}
    assert {event.action for event in events} == {"none", "factored"}


def test_the_published_control_is_trained_at_one_rate_from_its_first_rebuild_with_velocities_reset():
    """Two epochs without training, then from rest after each third epoch: so is training piece by piece."""
    protocol = published_protocol(every=3, epochs=8)
    control = train(NETWORK, DATA, **protocol.arguments("control"), rng=1)
    assert [epoch.epoch for epoch in control.history if epoch.pruned] == [2, 5]
    assert control.history[0].train_loss == control.history[1].train_loss
    calls = []

    def rest(network, epoch):
        calls.append(epoch)
        return network if epoch in (2, 5) else None

    rates = [0.0, 0.0] + [1.0] * 6
    by_hand = train(
        NETWORK, DATA, epochs=8, schedule=rates.__getitem__, prune=rest, reset_at_pruning=True, rng=1
    )
    for one, other in zip(weights(control), weights(by_hand), strict=True):
        np.testing.assert_array_equal(one, other)
    kept = train(NETWORK, DATA, epochs=8, schedule=rates.__getitem__, rng=1)
    assert np.any(weights(kept)[0] != weights(control)[0])


def test_a_pruned_run_that_was_interrupted_ends_as_if_it_had_not(tmp_path):
    protocol = Protocol(schedule=PLAN, epochs=7)
    whole = protocol.arguments("pruned")
    end = train(NETWORK, DATA, **whole, rng=1)
    path = tmp_path / "run.npz"
    first = protocol.arguments("pruned") | {"epochs": 4}
    train(NETWORK, DATA, **first, rng=1, checkpoint=path)
    second = protocol.arguments("pruned")
    resumed = train(NETWORK, DATA, **second, rng=1, checkpoint=path)
    for one, other in zip(weights(end), weights(resumed), strict=True):
        np.testing.assert_array_equal(one, other)
    assert second["prune"].events == whole["prune"].events


def test_held_zeros_stay_zero_in_training():
    plan = PruningSchedule(every=2, sparsity=0.5, edge=PublishedEdge(cutoff=0), hold=True)
    for hold, zeros in ((True, True), (False, False)):
        protocol = Protocol(schedule=PruningSchedule(**(vars(plan) | {"hold": hold})), epochs=3)
        trained = train(NETWORK, DATA, **protocol.arguments("pruned"), rng=1)
        counts = [np.count_nonzero(layer.weight) for layer in trained.network.layers]
        assert (counts == [400, 600, 45]) is zeros


def test_a_protocol_is_json():
    record = json.loads(json.dumps(published_protocol(every=4, epochs=9).to_dict()))
    assert record["equal"] is False
    assert record["rates"]["control"][:4] == [0, 0, 0, 0.02]
    assert record["schedule"]["edge"]["rule"] == "PublishedEdge"
    assert record["schedule"]["epochs"] == [3, 7]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Protocol(schedule=PLAN, epochs=0), "`epochs`"),
        (lambda: Protocol(schedule=PLAN, epochs=1, rate=0), "`rate`"),
        (lambda: Protocol(schedule=PLAN, epochs=1, momentum=1), "`momentum`"),
        (lambda: Protocol(schedule=PLAN, epochs=1, factor=1.1), "`factor`"),
        (lambda: Protocol(schedule=PLAN, epochs=1, factor_every=0), "`factor_every`"),
        (lambda: Protocol(schedule=PLAN, epochs=1).rates("prune"), "pruned"),
        (lambda: Protocol(schedule=PLAN, epochs=1).arguments("prune"), "pruned"),
        (lambda: published_protocol(every=1, epochs=9), "`every`"),
        (lambda: published_protocol(every=9, epochs=8), "at least 9"),
        (lambda: published_protocol(every=2, epochs=8, span=0.5), "`span`"),
    ],
)
def test_bad_protocols_are_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
