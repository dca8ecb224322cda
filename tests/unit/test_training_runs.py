"""Optimisers, what pruning may return, and runs that are broken off and taken up again."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream, to_host
from rmttheory.networks import (
    SGD,
    Adam,
    Dataset,
    Dense,
    Dropout,
    Network,
    convolutional_network,
    decay,
    initial_network,
    loss_and_gradients,
    train,
)
from rmttheory.networks.files import write_arrays
from rmttheory.networks.optimisers import Moments, origins

STREAM = Stream(7)


def toy(samples=60, inputs=16, classes=3):
    """Classes around separated centres."""
    labels = np.arange(samples) % classes
    centres = 2 * STREAM.child("centres").normal((classes, inputs))
    x = (centres[labels] + STREAM.child("x").normal((samples, inputs), scale=0.5)).astype(np.float32)
    half = samples * 2 // 3
    facts = {"name": "toy", "source": "this test", "licence": "none", "classes": classes}
    return Dataset(train_x=x[:half], train_y=labels[:half], test_x=x[half:], test_y=labels[half:], **facts)


DATA = toy()


def fresh(sizes=(16, 8, 8, 3), *, bias=True):
    return initial_network(sizes, stream=STREAM.child("init"), bias=bias)


def images(placement=None):
    """A network with every kind of layer."""
    return convolutional_network(
        (1, 4, 4),
        channels=(3,),
        hidden=(6,),
        classes=3,
        stream=STREAM.at(placement or Placement()),
        batch_norm=True,
        dropout=0.3,
    )


def arrays(network):
    return [to_host(p) for layer in network.layers for p in layer.arrays.values()]


def assert_same(one, two):
    for a, b in zip(arrays(one), arrays(two), strict=True):
        np.testing.assert_array_equal(a, b)


# optimisers


def test_adam_follows_its_formula():
    """Written out for single numbers; seven steps of a dozen roundings of numbers below 1."""
    adam, p, gradients = Adam(0.1, beta1=0.5, beta2=0.9, epsilon=1e-2), np.zeros(3), STREAM.normal((7, 3))
    moments = Moments((np.zeros(3), np.zeros(3)))
    for gradient in gradients:
        adam.step(p, gradient.copy(), moments, rate=0.2)
    for i in range(3):
        position = 0.0
        for t in range(1, 8):
            past = gradients[:t, i]
            m = sum(0.5 * 0.5 ** (t - 1 - k) * g for k, g in enumerate(past)) / (1 - 0.5**t)
            v = sum(0.1 * 0.9 ** (t - 1 - k) * g * g for k, g in enumerate(past)) / (1 - 0.9**t)
            position -= 0.2 * m / (math.sqrt(v) + 1e-2)
        assert p[i] == pytest.approx(position, rel=0, abs=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SGD(0.1, 0.5), lambda torch, p: torch.optim.SGD(p, lr=0.1, momentum=0.5)),
        (SGD(0.1, 0.0), lambda torch, p: torch.optim.SGD(p, lr=0.1)),
        (Adam(0.1), lambda torch, p: torch.optim.Adam(p, lr=0.1)),
        (
            Adam(0.1, beta1=0.5, beta2=0.9, epsilon=1e-2),
            lambda torch, p: torch.optim.Adam(p, lr=0.1, betas=(0.5, 0.9), eps=1e-2),
        ),
    ],
)
def test_steps_are_those_of_torch(ours, theirs, require):
    """Seven steps of a dozen roundings of numbers of order 1; an array large enough for several blocks."""
    require("torch")
    import torch

    p = STREAM.child("p").normal((300, 200))
    q = torch.tensor(p.copy())
    other = theirs(torch, [q])
    moments = Moments(tuple(np.zeros_like(p) for _ in range(ours.remembers)))
    for k in range(7):
        gradient = STREAM.child("gradient", k).normal(p.shape)
        q.grad = torch.tensor(gradient)
        other.step()
        ours.step(p, gradient.copy(), moments, rate=ours.rate)
    np.testing.assert_allclose(p, q.numpy(), rtol=0, atol=1e-13)


def test_the_old_arguments_are_those_of_the_default_optimiser():
    one = train(fresh(), DATA, epochs=2, rate=0.05, momentum=0.5, rng=1)
    two = train(fresh(), DATA, epochs=2, optimiser=SGD(0.05, 0.5), rng=1)
    assert_same(one.network, two.network)
    assert one.settings == two.settings
    assert one.settings["momentum"] == 0.5
    assert train(fresh(), DATA, epochs=1, optimiser=Adam(), rng=1).to_dict()["settings"]["beta2"] == 0.999


@pytest.mark.parametrize("optimiser", [SGD(0.05), Adam(0.01)])
def test_every_kind_of_layer_learns(optimiser):
    trained = train(images(), DATA, epochs=15, optimiser=optimiser, batch=8, rng=0)
    assert trained.history[-1].test_accuracy > 0.9  # clearly separated classes; 1/3 by guessing
    before, after = images().layers[1], trained.network.layers[1]
    assert np.all(after.mean != before.mean)
    assert np.all(after.variance != before.variance)


def test_the_penalty_acts_on_matrices_alone():
    """Samples of 0 leave the loss flat in the kernels: one step of the penalty is all that moves them."""
    blank = Dataset(**{**vars(DATA), "train_x": np.zeros_like(DATA.train_x)})
    start = images()
    done = train(start, blank, epochs=1, rate=0.1, momentum=0, l2=0.5, l1=1e-3, batch=1000, rng=0).network
    W = start.layers[0].weight
    np.testing.assert_allclose(done.layers[0].weight, W - 0.1 * (W + 1e-3 * np.sign(W)), rtol=1e-13)
    np.testing.assert_array_equal(done.layers[1].scale, start.layers[1].scale)


def test_dropped_entries_differ_between_steps_and_repeat_with_the_seed():
    one, again, other = (train(images(), DATA, epochs=2, batch=8, rng=seed) for seed in (3, 3, 4))
    assert_same(one.network, again.network)
    assert np.any(arrays(one.network)[0] != arrays(other.network)[0])


@pytest.mark.parametrize("samples", [1, 20])
def test_each_step_drops_anew(samples):
    """A weight moves unless its input is dropped in all of 20 steps: of 48 some stay in 48 / 2^20 runs."""
    one = Dataset(**{**vars(DATA), "train_x": DATA.train_x[:samples], "train_y": DATA.train_y[:samples]})
    start = Network((Dropout(16, 0.5), Dense(np.zeros((3, 16)), None, "identity")))
    done = train(start, one, epochs=20 // samples, batch=1, momentum=0, rng=1).network
    assert np.all(done.layers[1].weight)


@pytest.mark.parametrize("optimiser", [SGD(0.05), Adam(0.01)])
def test_work_in_small_parts_is_the_same_work(monkeypatch, optimiser):
    """Rows and samples in parts of one or two; only sums over samples are rounded otherwise."""
    options = {"epochs": 2, "optimiser": optimiser, "l1": 1e-3, "l2": 1e-2, "batch": 8, "rng": 0}
    whole = train(images(), DATA, **options).network
    monkeypatch.setattr("rmttheory.networks.blocks._BLOCK", 32)
    monkeypatch.setattr("rmttheory.networks.images._SEEN", 300)  # two images of 9 x 16
    parts = train(images(), DATA, **options).network
    for a, b in zip(arrays(whole), arrays(parts), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-11)


# what pruning may return


def factors(W, rank):
    U, s, V = np.linalg.svd(W, full_matrices=False)
    return U[:, :rank] * s[:rank], V[:rank]


def split(network, index, rank=2):
    """Replace a layer by two factors."""
    old = network.layers[index]
    left, right = factors(old.weight, rank)
    pair = (Dense(right, None, "identity"), Dense(left, old.bias, old.activation))
    return Network(network.layers[:index] + pair + network.layers[index + 1 :])


def test_a_layer_can_become_two_factors_and_training_goes_on():
    trained = train(fresh(), DATA, epochs=4, rng=0, prune=lambda net, k: split(net, 1) if k == 2 else None)
    assert trained.network.sizes == (16, 8, 2, 8, 3)
    assert trained.network.parameter_count == fresh().parameter_count - 64 + 32
    assert [epoch.pruned for epoch in trained.history] == [False, True, False, False]
    assert trained.history[3].train_loss < trained.history[1].train_loss


def test_velocities_follow_the_layers_that_stay():
    """One batch an epoch: the next step of what stays is momentum times the last, and the gradient."""
    seen = []

    def prune(network, epoch):
        seen.append(network)
        if epoch == 2:
            seen.append(split(network, 1))
            return seen[-1]
        return None

    options = {"rate": 0.1, "momentum": 0.5, "batch": 1000, "rng": 0}
    train(fresh(), DATA, epochs=3, prune=prune, **options)
    first, second, cut, third = seen
    _, slopes = loss_and_gradients(cut, DATA.train_x, DATA.train_y)
    for now, before in ((0, 0), (3, 2)):
        step = second.layers[before].weight - first.layers[before].weight
        expected = cut.layers[now].weight + 0.5 * step - 0.1 * slopes[now].weight
        np.testing.assert_allclose(third.layers[now].weight, expected, rtol=0, atol=1e-14)
    for new in (1, 2):
        expected = cut.layers[new].weight - 0.1 * slopes[new].weight
        np.testing.assert_allclose(third.layers[new].weight, expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize("optimiser", [SGD(0.1, 0.5), Adam(0.05)])
def test_velocities_can_be_reset_at_pruning(optimiser):
    """After a reset, the next epochs are those of a run that starts from the pruned network."""
    options = {"optimiser": optimiser, "batch": 1000, "rng": 0}
    half = train(fresh(), DATA, epochs=2, **options).network
    whole, kept = (
        train(
            fresh(),
            DATA,
            epochs=3,
            prune=lambda net, k: net if k == 2 else None,
            reset_at_pruning=reset,
            **options,
        ).network
        for reset in (True, False)
    )
    anew = train(half, DATA, epochs=1, **options).network
    for a, b in zip(arrays(whole), arrays(anew), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-14)  # another order of the same samples
    assert np.max(np.abs(arrays(kept)[0] - arrays(anew)[0])) > 1e-6


def test_layers_are_told_apart():
    old = fresh((4, 8, 8, 8, 8, 8, 3))
    assert origins(old, old) == [0, 1, 2, 3, 4, 5]
    assert origins(old, split(old, 2)) == [0, 1, None, None, 3, 4, 5]
    assert origins(old, split(split(old, 4), 1)) == [0, None, None, 2, 3, None, None, 5]
    assert origins(old, fresh((4, 8, 7, 8, 8, 8, 3))) == [0, None, None, 3, 4, 5]
    assert origins(old, fresh((4, 8, 3))) == [0, None]
    assert origins(fresh((4, 8, 3)), fresh((4, 3))) == [None]


@pytest.mark.parametrize("optimiser", [SGD(0.1), Adam(0.01)])
def test_masked_entries_stay_zero_and_the_others_go_on(optimiser):
    seen = []

    def prune(network, epoch):
        seen.append(network)
        if epoch != 2:
            return None
        mask = np.arange(64).reshape(8, 8) % 3 > 0
        return network.replace(0, 2 * network.layers[0].weight), {1: mask, -1: np.zeros((3, 8))}

    trained = train(
        fresh(), DATA, epochs=5, l1=1e-3, l2=1e-3, optimiser=optimiser, batch=8, rng=0, prune=prune
    )
    hidden = np.arange(64).reshape(8, 8) % 3 == 0
    for network in (*seen[2:], trained.network):
        W = network.layers[1].weight
        assert not np.any(W[hidden])
        assert np.all(W[~hidden])
        assert not np.any(network.layers[2].weight)
    assert np.all(seen[3].layers[1].weight[~hidden] != seen[2].layers[1].weight[~hidden])
    assert np.any(seen[1].layers[1].weight[hidden])  # what was handed out is not written to


def test_a_network_without_masks_frees_the_entries():
    def prune(network, epoch):
        return {1: (network, {0: np.zeros((8, 16))}), 3: network}.get(epoch)

    trained = train(fresh(), DATA, epochs=4, rng=0, prune=prune)
    assert np.any(trained.network.layers[0].weight)


@pytest.mark.parametrize(
    ("returned", "words"),
    [
        (
            lambda net: (net, {0: np.ones((2, 2))}),
            "mask of layer 0 must be an array of the shape of its matrix",
        ),
        (lambda net: (net, {7: np.ones((2, 2))}), "one of the 3 layers"),
        (lambda net: net.at(Placement(dtype="float32")), "`network from `prune`` must be float64"),
        (lambda _: fresh((15, 3)), "16 inputs and 3 outputs, not 15 and 3"),
        (lambda net: (net, {0: 3}), "mask of layer 0 must be an array"),
        (lambda _: 3, "`prune` must return a network, one and a dict of masks, or None, not 3"),
        (lambda net: (net, 3), "`prune` must return a network"),
        (lambda net: (net, {}, 3), "`prune` must return a network"),
    ],
)
def test_what_cannot_be_gone_on_with_is_refused(returned, words):
    with pytest.raises(InvalidInput, match=words):
        train(fresh(), DATA, epochs=1, rng=0, prune=lambda net, _: returned(net))


# runs that are broken off


class Halving:
    """Prunes every second epoch, and remembers how often it did."""

    def __init__(self):
        self.done = 0

    def __call__(self, network, epoch):
        if epoch % 2:
            return None
        self.done += 1
        index = network.weighted[-1]
        W = network.layers[index].weight
        if self.done == 1:
            return network, {index: W > 0}
        return network.replace(index, W / self.done)

    def state(self):
        return {"done": self.done}

    def restore(self, state):
        self.done = state["done"]


class BrokenOffError(Exception):
    pass


@pytest.mark.parametrize(
    ("optimiser", "suffix", "library"),
    [
        (SGD(0.05), ".npz", "numpy"),
        (Adam(0.01), ".safetensors", "numpy"),
        (SGD(0.05), ".safetensors", "torch"),
        (Adam(0.01), ".npz", "torch"),
    ],
)
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path, optimiser, suffix, library, require):
    require(library)
    path = tmp_path / f"run{suffix}"

    def run(prune, **options):
        return train(
            images(Placement(library, dtype="float32")),
            DATA,
            epochs=7,
            optimiser=optimiser,
            l2=1e-3,
            schedule=decay(0.9),
            batch=8,
            rng=5,
            prune=prune,
            **options,
        )

    def stop_at(*epochs):
        def progress(epoch):
            if epoch.epoch in epochs:
                raise BrokenOffError

        return progress

    whole = run(Halving())
    for last in (1, 3, 6):
        with pytest.raises(BrokenOffError):
            run(Halving(), checkpoint=path, progress=stop_at(last))
    seen = []
    resumed = run(Halving(), checkpoint=path, progress=seen.append)
    assert [epoch.epoch for epoch in seen] == [7]
    assert resumed.history == whole.history
    assert_same(resumed.network, whole.network)
    assert run(Halving(), checkpoint=path).history == whole.history
    assert os.listdir(tmp_path) == [path.name]


def test_factors_and_their_moments_are_resumed(tmp_path):
    path, options = tmp_path / "run.npz", {"rng": 0, "batch": 8, "optimiser": Adam(0.01)}

    def prune(net, k):
        return split(net, 1) if k == 2 else None

    whole = train(fresh(), DATA, epochs=5, prune=prune, **options)
    train(fresh(), DATA, epochs=3, prune=prune, checkpoint=path, **options)
    longer = train(fresh(), DATA, epochs=5, prune=prune, checkpoint=path, every=10, **options)
    assert_same(longer.network, whole.network)
    assert longer.history == whole.history


def test_without_a_seed_the_one_of_the_checkpoint_is_used(tmp_path):
    path = tmp_path / "run.npz"
    first = train(fresh(), DATA, epochs=2, checkpoint=path)
    second = train(fresh(), DATA, epochs=4, checkpoint=path)
    assert second.seed == first.seed
    assert second.history[:2] == first.history
    assert_same(second.network, train(fresh(), DATA, epochs=4, rng=first.seed).network)


def test_a_checkpoint_is_written_every_so_many_epochs_and_at_the_end(tmp_path):
    path, there = tmp_path / "run.npz", []

    def progress(_):
        there.append(len(json.loads(read_facts(path))["history"]) if path.exists() else 0)

    train(fresh(), DATA, epochs=7, rng=0, checkpoint=path, every=3, progress=progress)
    assert there == [0, 0, 3, 3, 3, 6, 7]


def read_facts(path):
    with np.load(path) as file:
        return str(file["facts"])


@pytest.mark.parametrize(
    "delay", [0.0, pytest.param(0.02, marks=pytest.mark.slow), pytest.param(0.05, marks=pytest.mark.slow)]
)
def test_a_run_that_is_killed_goes_on_as_if_nothing_had_happened(tmp_path, delay):
    """The process is killed, at different moments, while it trains and writes after each epoch."""
    path = tmp_path / "run.npz"
    code = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_training_runs import DATA, images
        from rmttheory.networks import train
        train(images(), DATA, epochs=10**6, batch=8, rng=5, checkpoint={str(path)!r},
              progress=lambda e: print(e.epoch, flush=True))
    """)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        for _ in range(3):
            assert process.stdout.readline()
        try:
            process.wait(delay)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
    done = len(json.loads(read_facts(path))["history"])
    assert done >= 3
    resumed = train(images(), DATA, epochs=done + 2, batch=8, rng=5, checkpoint=path)
    whole = train(images(), DATA, epochs=done + 2, batch=8, rng=5)
    assert resumed.history == whole.history
    assert_same(resumed.network, whole.network)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 0.1}, "another run: its rate is 0.02, not 0.1"),
        ({"rng": 6}, "another run: its seed is 5, not 6"),
        ({"l1": 0.5}, "another run: its l1 is 0.0, not 0.5"),
        ({"optimiser": Adam()}, "another run: its beta1 is None, not 0.9"),
        ({"reset_at_pruning": True}, "another run: its reset_at_pruning is False, not True"),
        ({"epochs": 1}, "has 2 epochs behind it, more than `epochs`, 1"),
        ({"network": fresh((16, 3))}, r"another run: its sizes is \[16, 8, 8, 3\], not \[16, 3\]"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change, words):
    path = tmp_path / "run.npz"
    options = {"network": fresh(), "data": DATA, "epochs": 2, "rng": 5, "checkpoint": path}
    train(**options)
    before = path.read_bytes()
    with pytest.raises(InvalidInput, match=words):
        train(**options | change)
    assert path.read_bytes() == before


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "run.npz"
    options = {"epochs": 2, "rng": 5, "checkpoint": path}
    fresh().save(path)
    with pytest.raises(InvalidInput, match="is not a checkpoint of `train`: it has no 'facts'"):
        train(fresh(), DATA, **options)
    for facts in ("3", "[]", "{}", '{"run": 3, "history": 3, "steps": []}', "[" * 100_000):
        write_arrays(
            path, {"layers.0.weight": np.ones((3, 16))}, {"facts": facts, "prune": "null", "layers": "[]"}
        )
        with pytest.raises(InvalidInput, match="is not a checkpoint of `train`"):
            train(fresh(), DATA, **options)
    path.unlink()
    train(fresh(), DATA, **options)
    whole = path.read_bytes()
    for length in range(0, len(whole), 997):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput, match="is not a readable"):
            train(fresh(), DATA, **options)
    with pytest.raises(InvalidInput, match=r"must end in .npz or .safetensors"):
        train(fresh(), DATA, epochs=1, rng=0, checkpoint=tmp_path / "run.pt")
    with pytest.raises(InvalidInput, match="cannot be written"):
        train(fresh(), DATA, epochs=1, rng=0, checkpoint=tmp_path / "missing" / "run.npz")


def test_what_prune_remembers_must_be_plain(tmp_path):
    class Strange(Halving):
        def state(self):
            return {"done": object()}

    with pytest.raises(InvalidInput, match=r"`prune.state\(\)` must return numbers, words"):
        train(fresh(), DATA, epochs=1, rng=0, prune=Strange(), checkpoint=tmp_path / "run.npz")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: SGD(0), "`rate` must be"),
        (lambda: SGD(0.1, 1.0), "`momentum` must be"),
        (lambda: Adam(-1), "`rate` must be"),
        (lambda: Adam(beta1=1), "`beta1` must be"),
        (lambda: Adam(beta2=-0.1), "`beta2` must be"),
        (lambda: Adam(epsilon=0), "`epsilon` must be"),
        (
            lambda: train(fresh(), DATA, momentum=0.5, optimiser=Adam()),
            "belongs to the optimiser: give it to Adam",
        ),
    ],
)
def test_bad_optimisers_are_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
