import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream, to_host
from rmttheory.matrices import Spiked
from rmttheory.networks.bulks import FittedEdge, PublishedEdge
from rmttheory.networks.factors import stored_parameters
from rmttheory.networks.layers import Dense
from rmttheory.networks.network import Network
from rmttheory.networks.pruning_runs import PruningRun, _kept
from rmttheory.networks.schedules import Fading, PruningSchedule

STREAM = Stream(99)
LAYERS = {"first": ((80, 60), (5.0, 4.0, 3.0)), "second": ((70, 80), (6.0, 4.0))}
SHARP = FittedEdge(level=1e-3)
OPEN = FittedEdge(level=1e-3, gate=0)
"""At the usual level, one layer of noise in ten shows a spike."""


def planted(placement=None, *, seed=1):
    """Two layers whose signal is far above the threshold, and 10 outputs."""
    place = placement or Placement()
    layers = []
    for i, (name, (shape, spikes)) in enumerate(LAYERS.items()):
        W = Spiked(shape, spikes).sample(STREAM.child(name, seed).at(place)).W
        layers.append(Dense(W, STREAM.child("bias", i).at(place).normal(shape[0])))
    last = STREAM.child("last").at(place).normal((10, 70), scale=70**-0.5)
    return Network((*layers, Dense(last, None, "identity")))


def once(network, schedule, epoch=1):
    run = PruningRun(schedule)
    pruned = run(network, epoch)
    return pruned, run.events


def ranks(network):
    return [int(np.linalg.matrix_rank(to_host(layer.weight), tol=1e-4)) for layer in network.layers]


# when, and how much


def test_it_is_due_every_few_epochs_and_at_those_named():
    plan = PruningSchedule(every=4, epochs=(3, 10))
    assert [epoch for epoch in range(13) if plan.due(epoch)] == [3, 4, 8, 10, 12]
    assert [epoch for epoch in range(9) if PruningSchedule(epochs=(8,)).due(epoch)] == [8]


@pytest.mark.parametrize("span", [200, 300, 7])
def test_the_share_fades_as_stated_and_the_count_is_its_floor(span):
    """Against exact fractions, for every epoch and every number of values below the edge that could round."""
    plan = PruningSchedule(every=1, keep=Fading(span=span))
    for epoch in range(1, span + 5):
        exact = max(Fraction(0), 1 - Fraction(epoch, span))
        assert plan.share(epoch) == pytest.approx(float(exact), rel=0, abs=2e-16)
        for below in (*range(0, 60), 100, 199, 200, 2990, 3000):
            assert _kept(plan.share(epoch), below) == exact * below // 1


def test_the_largest_values_below_the_edge_stay():
    network = planted()
    pruned, events = once(network, PruningSchedule(every=1, keep=0.5, edge=OPEN))
    for index, above, p in ((0, 3, 60), (1, 2, 70)):
        s = np.linalg.svd(network.layers[index].weight, compute_uv=False)
        rank = above + (p - above) // 2
        assert (events[index].above, events[index].rank_after) == (above, rank)
        left = np.linalg.svd(pruned.layers[index].weight, compute_uv=False)
        np.testing.assert_allclose(left[:rank], s[:rank], rtol=1e-12)
        np.testing.assert_allclose(left[rank:], 0, atol=1e-12)


# what is found


def test_planted_signals_are_found_and_the_function_stays_with_a_tenth_of_the_parameters():
    """The spikes are 3 and more where the threshold is 1: none is missed and nothing else is kept.

    So it is for all but one draw in a thousand a layer.
    """
    network = planted()
    pruned, events = once(network, PruningSchedule(every=1, factor=True, edge=SHARP))
    assert [event.rank_after for event in events] == [3, 2, 10]
    assert [event.action for event in events] == ["factored", "factored", "none"]
    assert [layer.shape for layer in pruned.layers] == [(3, 60), (80, 3), (2, 80), (70, 2), (10, 70)]
    assert stored_parameters(pruned) == 3 * 140 + 80 + 2 * 150 + 70 + 700
    assert [event.parameters_after for event in events] == [3 * 140 + 80, 2 * 150 + 70, 700]
    signals = [
        Spiked(shape, spikes).sample(STREAM.child(name, 1)).S for name, (shape, spikes) in LAYERS.items()
    ]
    for S, (first, second), old in zip(signals, ((0, 1), (2, 3)), network.layers):
        product = pruned.layers[second].weight @ pruned.layers[first].weight
        assert np.linalg.norm(product - S) < 0.5 * np.linalg.norm(old.weight - S)


def test_a_bulk_that_is_no_noise_is_left_alone():
    W = Spiked((80, 60), noise="column-scaled:1.5").sample(1).W
    network = planted()
    network = network.replace(0, W)
    pruned, events = once(network, PruningSchedule(every=1, edge=SHARP))
    assert events[0].p_value <= 0.01
    assert (events[0].action, events[0].reason) == ("none", "The bulk is not that of noise.")
    assert pruned.layers[0] is network.layers[0]
    assert ranks(pruned) == [60, 2, 10]
    # after an edge was accepted, the one that is refused is told with its own epoch
    run = PruningRun(PruningSchedule(every=1, edge=SHARP, layers=(0,), keep=0.9))
    run(planted(), 1)
    run(network, 2)
    assert [(event.edge_epoch, event.action) for event in run.events] == [(1, "truncated"), (2, "none")]
    open_gate, _ = once(network, PruningSchedule(every=1, edge=OPEN))
    assert ranks(open_gate)[0] < 60


def test_the_last_layer_keeps_a_value_for_each_class():
    """Published code cut a last layer of 10 classes to rank 9."""
    network = planted()
    _, events = once(network, PruningSchedule(every=1, edge=OPEN))
    assert (events[-1].above, events[-1].rank_after, events[-1].action) == (0, 10, "none")
    pruned, events = once(network, PruningSchedule(every=1, edge=OPEN, last_at_least=9))
    assert ranks(pruned)[-1] == events[-1].rank_after == 9
    noise = network.replace(0, STREAM.child("noise").normal((80, 60)))
    assert once(noise, PruningSchedule(every=1, edge=OPEN))[1][0].rank_after == 1
    emptied, events = once(noise, PruningSchedule(every=1, edge=OPEN, at_least=0, factor=True))
    assert events[0].rank_after == 0
    assert not np.any(emptied.layers[0].weight)


def test_only_chosen_layers_are_touched():
    network = planted()
    pruned, events = once(network, PruningSchedule(every=1, layers=(-2,)))
    assert [event.layer for event in events] == [1]
    assert pruned.layers[0] is network.layers[0]
    with pytest.raises(InvalidInput, match="layers with a matrix, 0, 1, 2, not 3"):
        once(network, PruningSchedule(every=1, layers=(3,)))


def test_a_matrix_without_a_bulk_is_left_alone_and_the_reason_is_given():
    network = planted().replace(0, np.outer(np.ones(80), np.ones(60)))
    _, events = once(network, PruningSchedule(every=1, layers=(0,)))
    assert events[0].edge is None
    assert "a bulk needs full rank" in events[0].reason


# what is remembered


def test_what_grows_back_is_cut_at_the_remembered_edge():
    """Fitted afresh, weak noise on three spikes would have an edge near 0.1, and hide nothing above it."""
    network = planted()
    run = PruningRun(PruningSchedule(every=1, layers=(0,), edge=SHARP))
    cut = run(network, 1)
    grown = cut.layers[0].weight + 0.05 * STREAM.child("grown").normal((80, 60), scale=80**-0.5)
    grown += np.outer(np.ones(80), np.ones(60)) / 4800**0.5  # a value of 1, below the edge of 1.9
    again = run(cut.replace(0, grown), 2)
    assert ranks(again)[0] == 3
    first, second = run.events
    assert (second.edge, second.edge_epoch, second.p_value) == (first.edge, 1, None)
    assert (second.rank_before, second.rank_after) == (60, 3)
    assert "57 of 60 values were removed" in second.reason
    fresh = SHARP.read(np.linalg.svd(grown, compute_uv=False), (80, 60)).edge
    assert fresh < 0.2 < 1 < first.edge


def test_while_the_window_sees_nothing_of_the_cut_the_fit_is_fresh():
    """10 of 57 values below the edge are gone, 14 are left out at either end."""
    network = planted()
    run = PruningRun(PruningSchedule(every=1, layers=(0,), keep=Fading(span=6), edge=SHARP))
    cut = run(network, 1)
    grown = cut.layers[0].weight + 1e-3 * STREAM.child("grown").normal((80, 60), scale=80**-0.5)
    assert run.events[0].rank_after == 3 + 47
    after = run(cut.replace(0, 2 * grown), 2)
    assert run.events[1].edge_epoch == 2
    assert run.events[1].edge == pytest.approx(2 * run.events[0].edge, rel=1e-3)
    run(after.replace(0, after.layers[0].weight + 0.1 * grown), 3)
    assert run.events[2].edge_epoch == 2


def test_a_factored_layer_can_lose_rank_and_keeps_its_bias():
    """Published code fitted a bulk to the zeros of such a product, and lost its bias when split twice."""
    network = planted()
    run = PruningRun(PruningSchedule(every=1, layers=(0,), factor=True, edge=SHARP))
    halves = run(network, 1)
    assert run(halves, 2) is None
    smaller = halves.replace(1, halves.layers[1].weight * np.array([[1.0, 1.0, 0.3]]))
    once_more = run(smaller, 3)
    assert [layer.shape for layer in once_more.layers[:2]] == [(2, 60), (80, 2)]
    assert once_more.layers[1].bias is network.layers[0].bias
    assert once_more.layers[0].bias is None
    assert once_more.layers[0].activation == "identity"
    assert [event.action for event in run.events] == ["factored", "none", "truncated"]
    assert run.events[2].parameters_after == 2 * 140 + 80
    run.schedule = replace(run.schedule, at_least=0)
    least = run(once_more.replace(1, 1e-3 * once_more.layers[1].weight), 4)
    assert [layer.shape for layer in least.layers[:2]] == [(1, 60), (80, 1)]


def test_the_published_rule_fits_afresh_every_time():
    network = planted()
    run = PruningRun(PruningSchedule(every=1, layers=(0,), edge=PublishedEdge()))
    cut = run(network, 1)
    run(cut.replace(0, cut.layers[0].weight + 1e-3 * network.layers[0].weight), 2)
    assert run.events[1].edge_epoch == 2
    assert run.events[1].edge < 0.01 * run.events[0].edge


# small weights


@pytest.mark.parametrize("factor", [False, True])
def test_small_weights_become_zero_whatever_the_bulk(factor):
    network = planted()
    plan = PruningSchedule(every=1, small=0.01, factor=factor, layers=(0,))
    pruned, events = once(network, plan)
    for layer in pruned.layers[: 1 + factor]:
        sizes = np.abs(layer.weight)
        assert np.all((sizes == 0) | (sizes > 0.01))
        assert np.any(sizes == 0)
    stored = sum(np.count_nonzero(layer.weight) for layer in pruned.layers[: 1 + factor]) + 80
    assert events[0].parameters_after == stored


def test_a_share_of_the_weights_becomes_zero():
    network = planted()
    pruned, events = once(network, PruningSchedule(every=1, sparsity=0.9, edge=PublishedEdge(cutoff=0)))
    assert [np.count_nonzero(layer.weight) for layer in pruned.layers] == [480, 560, 70]
    assert [event.action for event in events] == ["none"] * 3
    assert [event.parameters_after for event in events] == [560, 630, 70]


# control, records, state


def test_the_control_measures_the_same_and_changes_nothing():
    network = planted()
    plan = PruningSchedule(every=1, factor=True, small=0.01)
    _, events = once(network, plan)
    unchanged, measured = once(network, plan.control())
    assert unchanged is None
    for one, other in zip(events, measured, strict=True):
        assert other.action == "none"
        assert other.rank_after == other.rank_before
        assert other.parameters_after == other.parameters_before
        for name in ("edge", "p_value", "above", "misfit", "rank_before", "share"):
            assert getattr(one, name) == getattr(other, name)


def test_a_run_goes_on_from_its_state_as_if_it_had_not_stopped():
    network = planted()
    plan = PruningSchedule(every=1, factor=True, keep=Fading(span=3), edge=OPEN)
    whole, first = PruningRun(plan), PruningRun(plan)
    after = whole(network, 1)
    np.testing.assert_array_equal(first(network, 1).layers[0].weight, after.layers[0].weight)
    second = PruningRun(plan)
    second.restore(json.loads(json.dumps(first.state())))
    assert second.state() == first.state()
    ends = [run(after, 2) for run in (whole, second)]
    for mine, theirs in zip(*(end.layers for end in ends), strict=True):
        np.testing.assert_array_equal(mine.weight, theirs.weight)
    assert second.events == whole.events
    assert len(second.events) == 6


def test_schedules_and_events_are_json():
    plan = PruningSchedule(every=2, keep=Fading(span=200), edge=PublishedEdge(beta=0.9), layers=[0])
    plain = json.loads(json.dumps(plan.to_dict()))
    assert plain["keep"] == "Fading(span=200, start=1.0)"
    assert plain["edge"] == {"rule": "PublishedEdge", "alpha": 0.25, "beta": 0.9, "cutoff": 1.0}
    assert json.loads(json.dumps(PruningSchedule(epochs=(1,)).to_dict()))["keep"] == 0.0
    _, events = once(planted(), replace(plan, epochs=(1,)))
    record = json.loads(json.dumps(events[0].to_dict()))
    assert record["shape"] == [80, 60]


# everywhere, and refusals


@pytest.mark.parametrize("factor", [False, True])
@pytest.mark.parametrize("place", [Placement("torch", dtype="float32"), Placement("array_api_strict")])
def test_it_is_the_same_elsewhere(place, factor, require):
    require(place.library)
    plan = PruningSchedule(every=1, factor=factor, small=1e-3)
    here, there = (once(planted(where), plan) for where in (None, place))
    for mine, theirs in zip(here[1], there[1], strict=True):
        assert (mine.action, mine.rank_after, mine.p_value) == (
            theirs.action,
            theirs.rank_after,
            theirs.p_value,
        )
        assert theirs.edge == pytest.approx(mine.edge, rel=1e-5)
    assert [layer.shape for layer in here[0].layers] == [layer.shape for layer in there[0].layers]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "`every` or `epochs`"),
        ({"every": 0}, "`every`"),
        ({"epochs": (0,)}, "`epochs`"),
        ({"every": 1, "keep": 1.5}, "`keep`"),
        ({"every": 1, "at_least": -1}, "`at_least`"),
        ({"every": 1, "last_at_least": -1}, "`last_at_least`"),
        ({"every": 1, "small": -1}, "`small`"),
        ({"every": 1, "sparsity": 2}, "`sparsity`"),
    ],
)
def test_bad_plans_are_refused(options, words):
    with pytest.raises(InvalidInput, match=words):
        PruningSchedule(**options)


def test_bad_runs_are_refused():
    network, run = planted(), PruningRun(PruningSchedule(every=1, factor=True))
    halves = run(network, 1)
    with pytest.raises(InvalidInput, match="does not come after epoch 1"):
        run(halves, 1)
    with pytest.raises(InvalidInput, match="left a network of 5 layers and is given one of 3"):
        run(network, 2)
    with pytest.raises(InvalidInput, match=r"keep\(epoch\)"):
        once(network, PruningSchedule(every=1, keep=lambda _: 2.0))
    good = run.state()
    for bad in ({"epoch": -1}, {"layers": [{}, 3]}, {"events": [{}]}, {"schedule": 1}):
        with pytest.raises(InvalidInput, match=r"what `PruningRun.state` returned"):
            run.restore(good | bad)
    with pytest.raises(InvalidInput, match=r"what `PruningRun.state` returned"):
        run.restore({})
    with pytest.raises(InvalidInput, match=r"with keep 0\.0, where this has 0\.5"):
        PruningRun(replace(run.schedule, keep=0.5)).restore(good)
    assert run.state() == good
    with pytest.raises(InvalidInput, match="`span`"):
        Fading(span=0)
    with pytest.raises(InvalidInput, match="`start`"):
        Fading(span=3, start=2)
