"""Every kind of layer against torch, which computes the same by other code."""

import dataclasses
import json

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream
from rmttheory.networks import (
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    MaxPool2d,
    Network,
    convolutional_network,
    loss_and_gradients,
)
from rmttheory.networks.files import write_arrays
from rmttheory.networks.gradients import forward

STREAM = Stream(31)
EPS = 2.0**-52


def normal(*name, shape, scale=1.0):
    return STREAM.child(*name).normal(shape, scale=scale)


def conv(image=(2, 7, 6), out=3, activation="relu", *, bias=True, kernel=(3, 3), **options):
    weight = normal("kernel", shape=(out, image[0] * kernel[0] * kernel[1]), scale=0.5)
    b = normal("bias", shape=(out,)) if bias else None
    return Conv2d(weight, b, activation, image=image, kernel=kernel, **options)


def norm(channels, positions=1, activation="identity"):
    scale, shift, mean = (normal(name, shape=(channels,)) for name in ("scale", "shift", "mean"))
    variance = STREAM.child("variance").uniform(channels, low=0.5, high=2.0)
    return BatchNorm(scale, shift, mean, variance, activation, positions=positions)


def dense(outputs, inputs, activation="identity"):
    weight = normal("weight", outputs, shape=(outputs, inputs), scale=inputs**-0.5)
    return Dense(weight, normal("b", outputs, shape=(outputs,)), activation)


def ended(*layers):
    """The layers, and a dense one of three classes after them."""
    return Network((*layers, dense(3, layers[-1].shape[0])))


NETWORKS = {
    "dense-norm-relu": ended(dense(8, 12), norm(8, activation="relu"), dense(5, 8, "abs"), norm(5)),
    "dense-norm-abs": ended(dense(8, 12), norm(8, activation="abs")),
    "conv": ended(conv()),
    "conv without bias": ended(conv(bias=False, activation="abs")),
    "conv stride 2": ended(conv(stride=2, activation="identity")),
    "conv padding": ended(conv(padding=2)),
    "conv stride and padding": ended(conv(stride=(2, 3), padding=(1, 2), activation="abs")),
    "conv 1 x 1": ended(conv(kernel=(1, 1), stride=2)),
    "conv of another shape": ended(conv(kernel=(2, 5), padding=(0, 3), stride=(3, 1))),
    "conv of the whole image": ended(conv(kernel=(7, 6))),
    "pool": ended(conv(), MaxPool2d((3, 5, 4), 2)),
    "pool with rest": ended(MaxPool2d((2, 7, 6), (2, 4))),
    "overlapping pool": ended(conv(padding=1), MaxPool2d((3, 7, 6), 3, 1)),
    "conv-norm-pool-conv": ended(
        conv(activation="identity", padding=1),
        norm(3, 42, "relu"),
        MaxPool2d((3, 7, 6), 2),
        conv((3, 3, 3), 4, padding=1),
        norm(4, 9, "abs"),
    ),
}


def in_torch(layers, z, *, training):
    """What torch makes of rows ``z``, its parameters, and recorded means and variances."""
    import torch

    functional = torch.nn.functional
    activate = {"relu": torch.relu, "abs": torch.abs, "identity": lambda z: z}
    parameters, recorded = [], []
    for layer in layers:
        own = {name: torch.tensor(p, requires_grad=True) for name, p in layer.parameters.items()}
        kept = {name: torch.tensor(getattr(layer, name)) for name in layer.recorded}
        parameters.append(own)
        recorded.append(kept)
        if isinstance(layer, Dense):
            z = functional.linear(z, own["weight"], own["bias"])
        elif isinstance(layer, Conv2d):
            kernels = own["weight"].reshape(-1, layer.image[0], *layer.kernel)
            images, places = z.reshape(-1, *layer.image), {"stride": layer.stride, "padding": layer.padding}
            z = functional.conv2d(images, kernels, own.get("bias"), **places).flatten(1)
        elif isinstance(layer, MaxPool2d):
            images = z.reshape(-1, *layer.image)
            z = functional.max_pool2d(images, layer.kernel, stride=layer.stride).flatten(1)
        else:
            channels = z.reshape(len(z), -1, layer.positions)
            arrays = (kept["mean"], kept["variance"], own["scale"], own["shift"])
            options = {"training": training, "momentum": layer.rate, "eps": layer.epsilon}
            z = functional.batch_norm(channels, *arrays, **options).flatten(1)
        z = activate[getattr(layer, "activation", "identity")](z)
    return z, parameters, recorded


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", NETWORKS)
def test_logits_loss_and_gradients_are_those_of_torch(name, training, require):
    """Sums of at most 252 products of numbers of order 1, up to five times in a row: 1e-12 is 4500 eps."""
    require("torch")
    import torch

    network = NETWORKS[name]
    x, labels = normal("x", shape=(9, network.sizes[0])), np.arange(9) % 3
    loss, gradients = loss_and_gradients(
        network, x, labels, l1=0.01, l2=0.02, training=Stream(1) if training else None
    )
    logits, parameters, _ = in_torch(network.layers, torch.tensor(x), training=training)
    expected = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    for index in network.weighted:
        W = parameters[index]["weight"]
        expected = expected + 0.02 * (W**2).sum() + 0.01 * W.abs().sum()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12, abs=0)
    if not training:
        np.testing.assert_allclose(network.logits(x), logits.detach().numpy(), rtol=0, atol=1e-12)
    for own, found in zip(parameters, gradients, strict=True):
        assert {key for key, value in found._asdict().items() if value is not None} == set(own)
        for key, p in own.items():
            np.testing.assert_allclose(getattr(found, key), p.grad.numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_in_the_inputs_and_recorded_numbers_are_those_of_torch(name, training, require):
    require("torch")
    import torch

    for layer in NETWORKS[name].layers:
        x, delta = (normal(part, shape=(4, size)) for part, size in zip("xd", layer.shape[::-1]))
        inputs = torch.tensor(x, requires_grad=True)
        z, _, (recorded,) = in_torch((layer,), inputs, training=training)
        z.backward(torch.tensor(delta))
        y, memory = layer.forward(x, Stream(0) if training else None)
        np.testing.assert_allclose(y, z.detach().numpy(), rtol=0, atol=1e-12)
        found, _ = layer.backward(delta.copy(), memory)
        np.testing.assert_allclose(found, inputs.grad.numpy(), rtol=0, atol=1e-12)
        if training:
            own = dataclasses.replace(layer, **{key: p.copy() for key, p in layer.arrays.items()})
            own.record(memory)
            for key, expected in recorded.items():
                np.testing.assert_allclose(getattr(own, key), expected.numpy(), rtol=0, atol=1e-14)
                assert np.all(getattr(own, key) != getattr(layer, key))


@pytest.mark.parametrize("layer", [dense(4, 12), *(NETWORKS[n].layers[0] for n in NETWORKS if "conv" in n)])
def test_the_maps_linear_in_the_weight_are_adjoint(layer):
    """``<V x, d> = <x, pull d> = <V, weight_gradient>`` with another weight ``V``: sums of 1e4 products."""
    V = normal("V", shape=layer.matrix.shape)
    other = dataclasses.replace(layer, weight=V, bias=None)
    x, delta = (normal(part, shape=(3, size)) for part, size in zip("xd", layer.shape[::-1]))
    total = np.sum(other.linear(x) * delta)
    slack = 1e4 * EPS * np.sum(np.abs(V)) * np.max(np.abs(x)) * np.max(np.abs(delta))
    assert np.sum(x * other.pull(delta)) == pytest.approx(total, rel=0, abs=slack)
    assert np.sum(V * layer.weight_gradient(delta, x)) == pytest.approx(total, rel=0, abs=slack)
    if layer.bias is not None:
        shifted = np.sum((layer.linear(x) - dataclasses.replace(layer, bias=None).linear(x)) * delta)
        assert np.sum(layer.bias * layer.bias_gradient(delta)) == pytest.approx(shifted, rel=0, abs=slack)


def test_a_pool_pushes_changes_as_its_gradient_says():
    pool = MaxPool2d((3, 5, 4), 3, 1)
    outputs, inputs = pool.shape
    x, change = (normal(part, shape=(4, inputs)) for part in ("x", "change"))
    delta = normal("delta", shape=(4, outputs))
    y, memory = pool.forward(x)
    h = 2.0**-30
    np.testing.assert_allclose(pool.push(change, memory), (pool(x + h * change) - y) / h, rtol=0, atol=1e-6)
    found = np.sum(pool.push(change, memory) * delta)
    assert found == pytest.approx(np.sum(change * pool.backward(delta, memory)[0]), rel=1e-13)


def test_equal_entries_of_a_window_pass_the_gradient_to_the_first():
    pool = MaxPool2d((1, 2, 2))
    _, memory = pool.forward(np.ones((1, 4)))
    np.testing.assert_array_equal(pool.backward(np.array([[5.0]]), memory)[0], [[5.0, 0, 0, 0]])


# how far a change travels


@pytest.mark.parametrize("name", NETWORKS)
def test_no_change_is_stretched_further_than_stated(name):
    network = NETWORKS[name]
    for index, (layer, v) in enumerate(
        zip(network.layers, network.activations(normal("x", shape=(5, network.sizes[0]))))
    ):
        move = normal("move", shape=v.shape)
        size = np.max(np.abs(move), axis=1)
        assert np.all(
            np.max(np.abs(layer(v + move) - layer(v)), axis=1) <= layer.stretch * size * (1 + 1e-12)
        )
        after = np.max(np.abs(network.logits(v + move, start=index) - network.logits(v, start=index)), axis=1)
        assert np.all(after <= layer.stretch * network.tail_lipschitz(index) * size * (1 + 1e-12))


@pytest.mark.parametrize(
    "layer", [conv(activation="identity", bias=False), conv(activation="identity", padding=1), norm(3, 4)]
)
def test_the_stretch_is_attained(layer):
    """By inputs of size 1 with the signs of the largest kernel, or in the steepest channel."""
    rows = np.eye(layer.shape[1])
    effect = np.abs(layer(rows) - layer(0 * rows))  # of input i on output j
    assert np.max(np.sum(effect, axis=0)) == pytest.approx(layer.stretch, rel=1e-12)


# training and evaluation


def test_dropout_keeps_the_mean_and_draws_from_its_stream_alone():
    """Of 200,000 entries a share of 0.3 is dropped, give or take 5 sd of sqrt(0.3 0.7 / 200000)."""
    layer, x = Dropout(2000, 0.3), np.ones((100, 2000))
    y, memory = layer.forward(x, Stream(5))
    np.testing.assert_allclose(y[y != 0], 1 / 0.7, rtol=1e-15)
    assert np.mean(y == 0) == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / x.size))
    np.testing.assert_array_equal(layer.forward(x, Stream(5))[0], y)
    assert np.any(layer.forward(x, Stream(6))[0] != y)
    np.testing.assert_array_equal(layer.backward(x, memory)[0], y)
    np.testing.assert_array_equal(layer(x), x)
    assert Dropout(3, 0.0).forward(x, Stream(5))[0] is x


def test_each_dropout_of_a_network_draws_its_own():
    ones = np.ones((4, 50))
    network = Network((Dropout(50, 0.5), Dense(np.eye(50), None, "identity"), Dropout(50, 0.5)))
    logits, _ = forward(network, ones, Stream(1))
    assert np.sum(logits == 0) > 120  # three quarters of 200, if independent; half if they were the same
    assert set(np.unique(logits)) == {0.0, 4.0}


def test_one_sample_can_be_normalised():
    layer = dataclasses.replace(norm(3), rate=0.5)
    mean, x = layer.mean.copy(), np.ones((1, 3))
    y, memory = layer.forward(x, Stream(0))
    np.testing.assert_array_equal(y, layer.shift[None, :])
    layer.record(memory)
    np.testing.assert_allclose(layer.mean, (mean + 1) / 2, rtol=1e-15)
    assert np.all(np.isfinite(layer.variance))


# networks of all kinds


def all_kinds(dtype="float64"):
    stream = STREAM.at(Placement(dtype=dtype))
    return convolutional_network(
        (2, 9, 8),
        channels=(3, 4),
        hidden=(6,),
        classes=3,
        stream=stream,
        pool=(2, 1),
        batch_norm=True,
        dropout=0.25,
    )


def test_a_convolutional_network_is_what_was_asked_for():
    network = all_kinds()
    kinds = [type(layer).__name__ for layer in network.layers]
    assert kinds == [
        *("Conv2d", "BatchNorm", "MaxPool2d"),
        *("Conv2d", "BatchNorm"),
        *("Dense", "BatchNorm", "Dropout"),
        "Dense",
    ]
    assert network.sizes == (144, 216, 216, 48, 64, 64, 6, 6, 6, 3)
    assert network.weighted == (0, 3, 5, 8)
    weights = 3 * 18 + 4 * 27 + 6 * 64 + 3 * 6
    assert network.parameter_count == weights + 2 * (3 + 4 + 6) + 3
    assert [getattr(layer, "activation", None) for layer in network.layers] == [
        *("identity", "relu", None, "identity", "relu", "identity", "relu", None, "identity")
    ]
    plain = convolutional_network((1, 8, 8), stream=STREAM, activation="abs", scale="1/N")
    assert [type(layer).__name__ for layer in plain.layers] == ["Conv2d", "MaxPool2d"] * 2 + ["Dense"] * 2
    assert plain.sizes[-1] == 10


def test_replacing_the_matrix_of_a_convolution_keeps_the_rest():
    network = all_kinds()
    new = network.replace(3, 2 * network.layers[3].matrix)
    np.testing.assert_array_equal(new.layers[3].matrix, 2 * network.layers[3].matrix)
    assert new.layers[3].settings == network.layers[3].settings
    assert new.layers[4] is network.layers[4]
    with pytest.raises(InvalidInput, match="Layer 2 is a MaxPool2d, which has no matrix to replace"):
        network.replace(2, network.layers[0].matrix)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_kind_of_layer_is_saved(tmp_path, suffix, dtype):
    network, path = all_kinds(dtype), tmp_path / f"net{suffix}"
    network.save(path)
    back = Network.load(path)
    for old, new in zip(network.layers, back.layers, strict=True):
        assert type(new) is type(old)
        assert new.settings == old.settings
        assert new.arrays.keys() == old.arrays.keys()
        for name, array in old.arrays.items():
            assert new.arrays[name].dtype == dtype
            np.testing.assert_array_equal(new.arrays[name], array)


PLAIN = {"kind": "Conv2d", "image": [1, 3, 3], "kernel": [2, 2], "stride": 1, "padding": 0}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "os.system"}, "Unknown kind of layer 'os.system'"),
        ({"kind": ["Conv2d"]}, "is not a network that `save` wrote"),
        ({"image": [1, 10**30, 1]}, "must fit the image"),
        ({"image": [1, 2.5, 1]}, "`image` must be"),
        ({"image": "abc"}, "`image` must be"),
        ({"image": None}, "`image` must be"),
        ({"kernel": [2, 2, 2]}, "`kernel` must be one or two"),
        ({"kernel": {"a": 1}}, "`kernel` must be a whole number"),
        ({"stride": 0}, "`stride` must be"),
        ({"padding": -1}, "`padding` must be"),
        ({"padding": 10**30}, "`padding` must be smaller than the kernel"),
        ({"weight": 1}, "unknown setting 'weight'"),
        ({"__class__": 1}, "unknown setting '__class__'"),
        ({"kind": "Dropout"}, "unknown setting 'image'"),
        ({"activation": ["relu"]}, "is not a network that `save` wrote"),
    ],
)
def test_hostile_settings_are_refused(tmp_path, change, words):
    path = tmp_path / "net.npz"
    arrays = {"layers.0.weight": np.ones((2, 4))}
    write_arrays(path, arrays, {"layers": json.dumps([PLAIN])})
    assert Network.load(path).sizes == (9, 8)
    write_arrays(path, arrays, {"layers": json.dumps([PLAIN | change])})
    with pytest.raises(InvalidInput, match=words) as caught:
        Network.load(path)
    assert str(path) in str(caught.value)


W = np.ones((2, 8))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Conv2d(W, image=(2, 3)), "`image` must be three whole numbers"),
        (lambda: Conv2d(W, image=(2, 3, 0), kernel=2), "`image` must be"),
        (lambda: Conv2d(W), "`image` must be three whole numbers"),
        (lambda: Conv2d(W, image=(2, 1, 3), kernel=2), "`kernel` 2 x 2 must fit the image of 1 x 3"),
        (lambda: Conv2d(W, image=(2, 3, 3), kernel=(2, 3)), "12 columns for 2 x 2 x 3 kernels, not 8"),
        (lambda: Conv2d(W, np.ones(3), image=(2, 3, 3), kernel=2), "one entry for each of the 2 outputs"),
        (lambda: Conv2d(W, image=(2, 3, 3), kernel=(1, 2, 3)), "`kernel` must be one or two"),
        (lambda: Conv2d(W, image=(2, 3, 3), kernel=2, padding=-1), "`padding` must be"),
        (lambda: Conv2d(W, image=(2, 3, 3), kernel=2, stride=0.5), "`stride` must be"),
        (lambda: MaxPool2d((1, 2, 2), 3), "must fit the image of 2 x 2"),
        (lambda: MaxPool2d(5), "`image` must be three"),
        (lambda: BatchNorm(*[np.ones(2)] * 3, -np.ones(2)), "no number below 0"),
        (
            lambda: BatchNorm(*[np.ones(2)] * 3, np.ones(3)),
            "`variance` must have one entry for each of the 2",
        ),
        (lambda: BatchNorm(*[np.ones(2)] * 4, "rule"), "Unknown activation"),
        (lambda: BatchNorm(*[np.ones(2)] * 4, positions=0), "`positions` must be"),
        (lambda: BatchNorm(*[np.ones(2)] * 4, epsilon=0), "`epsilon` must be"),
        (lambda: BatchNorm(*[np.ones(2)] * 4, rate=1.5), "`rate` must be"),
        (lambda: BatchNorm(*[np.ones(2)] * 3, np.ones(2, np.float32)), "`variance` must be float64"),
        (lambda: Dropout(0), "`width` must be"),
        (lambda: Dropout(3, 1.0), "`rate` must be"),
        (lambda: Network((Dropout(3),)), "at least one layer with parameters"),
        (lambda: Network((MaxPool2d((1, 4, 4)), Dense(np.ones((2, 5))))), "4 outputs but layer 1 takes 5"),
        (
            lambda: Network((Dense(np.ones((2, 2))), Dropout(2), Dense(np.ones((2, 2), np.float32)))),
            "weight of layer 2` must be float64",
        ),
        (lambda: convolutional_network((1, 8, 8), stream=STREAM, pool=(2,)), "one number for each of the 2"),
        (lambda: convolutional_network((1, 2, 2), stream=STREAM), "`kernel` 2 x 2 must fit"),
        (lambda: convolutional_network((1, 8, 8), stream=STREAM, channels=(0,)), "`channels` must be"),
        (lambda: convolutional_network((1, 8, 8), stream=STREAM, hidden=(0,)), "`hidden` must be"),
        (lambda: convolutional_network((1, 8, 8), stream=STREAM, classes=0), "`classes` must be"),
        (lambda: convolutional_network((1, 8, 8), stream=STREAM, dropout=1), "`rate` must be"),
        (lambda: convolutional_network((8, 8), stream=STREAM), "`image` must be three"),
    ],
)
def test_bad_layers_are_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
