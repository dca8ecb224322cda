import errno
import math
import os
import pickle
import zipfile
from itertools import pairwise

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream
from rmttheory.networks.files import LIMIT, read_arrays, write_arrays
from rmttheory.networks.gradients import loss_and_gradients, penalty
from rmttheory.networks.initial import initial_network
from rmttheory.networks.layers import Dense
from rmttheory.networks.losses import cross_entropy
from rmttheory.networks.network import Network

STREAM = Stream(2024)
X = STREAM.child("x").normal((6, 5))
LABELS = np.array([0, 1, 2, 0, 1, 2])


def small_network(activation="relu", final="identity", *, bias=True, dtype="float64", sizes=(5, 7, 4, 3)):
    stream = STREAM.child("network").at(Placement(dtype=dtype))
    layers = []
    for i, (m, n) in enumerate(pairwise(sizes)):
        b = stream.child("bias", i).normal(n, scale=0.3) if bias else None
        last = i == len(sizes) - 2
        layers.append(Dense(stream.child("weight", i).normal((n, m)), b, final if last else activation))
    return Network(tuple(layers))


# the forward pass


def test_logits_and_activations_are_those_of_the_formula():
    network = small_network()
    (W1, b1), (W2, b2), (W3, b3) = ((layer.weight, layer.bias) for layer in network.layers)
    h1 = np.maximum(X @ W1.T + b1, 0)
    h2 = np.maximum(h1 @ W2.T + b2, 0)
    np.testing.assert_array_equal(network.logits(X), h2 @ W3.T + b3)
    for got, expected in zip(network.activations(X), [X, h1, h2], strict=True):
        np.testing.assert_array_equal(got, expected)
    assert network.sizes == (5, 7, 4, 3)


def test_logits_can_start_at_any_layer():
    network = small_network()
    for index, inputs in enumerate(network.activations(X)):
        np.testing.assert_array_equal(network.logits(inputs, start=index), network.logits(X))


def test_the_last_activation_of_a_fresh_network_is_the_identity_and_the_others_are_not():
    """Published code applied ReLU to the logits, or to nothing, by an inverted flag."""
    network = initial_network((5, 50, 10), stream=STREAM)
    assert [layer.activation for layer in network.layers] == ["relu", "identity"]
    assert np.min(network.logits(X)) < 0
    assert np.min(network.activations(X)[1]) == 0


# replacing a layer, and how far a change travels


def test_replacing_a_layer_twice_keeps_its_bias_and_activation():
    """Published code dropped the bias of a layer that was split a second time."""
    network = small_network()
    first, second = STREAM.child("a").normal((4, 7)), STREAM.child("b").normal((4, 7))
    new = network.replace(1, first).replace(1, second)
    assert new.layers[1].weight is second
    assert new.layers[1].bias is network.layers[1].bias
    assert new.layers[1].activation == "relu"
    assert new.layers[0] is network.layers[0]
    assert network.layers[1].weight is not second


def test_tail_lipschitz_is_the_product_of_the_later_row_sums():
    layers = (Dense(np.eye(2)), Dense(np.array([[1.0, -2.0], [0.5, 0.5]])), Dense(np.array([[-3.0, 1.0]])))
    network = Network(layers)
    assert [network.tail_lipschitz(i) for i in (0, 1, 2)] == [12.0, 4.0, 1.0]
    assert [network.tail_lipschitz(i) for i in (-3, -2, -1)] == [12.0, 4.0, 1.0]


def test_tail_lipschitz_is_attained():
    """A change along the signs of the largest rows, through active units, reaches the bound."""
    network = Network((Dense(np.eye(2)), Dense(np.array([[1.0, 2.0]])), Dense(np.array([[3.0], [-1.0]]))))
    change = network.logits(np.array([[2.0, 2.0]])) - network.logits(np.array([[1.0, 1.0]]))
    assert np.max(np.abs(change)) == network.tail_lipschitz(0) == 9.0


@pytest.mark.parametrize("index", [3, -4])
def test_unknown_layers_are_refused(index):
    network = small_network()
    for call in (network.tail_lipschitz, lambda i: network.replace(i, network.layers[0].weight)):
        with pytest.raises(InvalidInput, match="one of the 3 layers, 0 to 2"):
            call(index)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Network(()), "at least one layer"),
        (lambda: Network((Dense(np.ones((2, 3))), Dense(np.ones((2, 3))))), "2 outputs but layer 1 takes 3"),
        (
            lambda: Network((Dense(np.ones((2, 2))), Dense(np.ones((2, 2), np.float32)))),
            "layer 1` must be float64",
        ),
        (lambda: small_network().replace(0, np.ones((7, 4))), r"shape \(7, 5\)"),
        (lambda: small_network().replace(0, np.ones((7, 5), np.float32)), "`W` must be float64"),
        (lambda: small_network().logits(np.ones((2, 4))), "5 columns"),
        (lambda: small_network().logits(np.full((2, 5), np.inf)), "NaN or infinite"),
        (lambda: small_network().logits([[1.0]]), "must be an array"),
        (lambda: loss_and_gradients(small_network(), X, LABELS, l1=-1), "`l1` must be"),
        (lambda: loss_and_gradients(small_network(), X, LABELS + 1), "`labels` must lie"),
        (lambda: initial_network((5,), stream=STREAM), "inputs and outputs"),
        (lambda: initial_network((5, 0), stream=STREAM), "`sizes` must be"),
        (lambda: initial_network((5, 2), stream=STREAM, scale="hee"), "Did you mean he"),
        (lambda: initial_network((5, 2), stream=STREAM, scale=-1.0), "`scale` must be"),
    ],
)
def test_bad_arguments_are_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()


# gradients


def loss_at(network, index, weight=None, bias=None, **penalties):
    layers = list(network.layers)
    old = layers[index]
    layers[index] = Dense(
        old.weight if weight is None else weight, old.bias if bias is None else bias, old.activation
    )
    changed = Network(tuple(layers))
    return cross_entropy(changed.logits(X), LABELS) + penalty(changed, **penalties)


@pytest.mark.parametrize("final", ["identity", "relu", "abs"])
@pytest.mark.parametrize("activation", ["relu", "abs", "identity"])
def test_gradients_agree_with_finite_differences(activation, final):
    """Central differences err by h^2 |f'''| / 6 + eps |f| / h, here below 1e-8, away from kinks."""
    network, penalties, h = small_network(activation, final), {"l1": 0.01, "l2": 0.02}, 1e-5
    _, gradients = loss_and_gradients(network, X, LABELS, **penalties)
    for index, (layer, gradient) in enumerate(zip(network.layers, gradients)):
        for name in ("weight", "bias"):
            value, slopes = getattr(layer, name), getattr(gradient, name)
            for place in np.ndindex(value.shape):
                step = np.zeros_like(value)
                step[place] = h
                ends = [loss_at(network, index, **{name: value + d}, **penalties) for d in (step, -step)]
                assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(slopes[place], abs=1e-8)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["relu", "abs"])
def test_gradients_agree_with_torch(activation, bias, require):
    require("torch")
    import torch

    network = small_network(activation, bias=bias)
    loss, gradients = loss_and_gradients(network, X, LABELS, l1=0.01, l2=0.02)
    parameters = [
        None if p is None else torch.tensor(p, requires_grad=True)
        for layer in network.layers
        for p in (layer.weight, layer.bias)
    ]
    z = torch.tensor(X)
    for i, layer in enumerate(network.layers):
        z = torch.nn.functional.linear(z, *parameters[2 * i : 2 * i + 2])
        z = {"relu": torch.relu, "abs": torch.abs, "identity": lambda z: z}[layer.activation](z)
    weights = parameters[::2]
    expected = torch.nn.functional.cross_entropy(z, torch.tensor(LABELS))
    expected = (
        expected + 0.02 * sum((w**2).sum() for w in weights) + 0.01 * sum(w.abs().sum() for w in weights)
    )
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-14, abs=0)
    for p, got in zip(parameters, (g for one in gradients for g in (one.weight, one.bias)), strict=True):
        if p is None:
            assert got is None
        else:
            np.testing.assert_allclose(got, p.grad.numpy(), rtol=0, atol=1e-14)


# drawing


@pytest.mark.parametrize(("scale", "variance"), [("he", 2 / 400), ("lecun", 1 / 400), (0.5, 0.5 / 300)])
def test_entries_of_a_fresh_network_have_the_variance_asked_for(scale, variance):
    """Fixed seed; the sum of 120,000 squares has relative sd sqrt(2 / 120000) = 0.4 %, the bound is 5 sd."""
    network = initial_network((400, 300, 10), stream=STREAM, scale=scale)
    W = network.layers[0].weight
    assert np.mean(W**2) == pytest.approx(variance, rel=5 * math.sqrt(2 / W.size), abs=0)
    assert all(np.all(layer.bias == 0) for layer in network.layers)


def test_a_fresh_network_depends_on_its_stream_alone():
    def first(**options):
        return initial_network((5, 3, 2), **options).layers[0].weight

    np.testing.assert_array_equal(first(stream=STREAM), first(stream=Stream(2024)))
    assert np.all(first(stream=STREAM) != first(stream=STREAM.child("other")))
    assert initial_network((5, 2), stream=STREAM, bias=False).layers[0].bias is None


# files


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [True, False])
def test_a_saved_network_comes_back_bit_for_bit(tmp_path, suffix, dtype, bias):
    network = small_network("abs", "relu", bias=bias, dtype=dtype)
    path = tmp_path / f"net{suffix}"
    network.save(path)
    back = Network.load(path)
    assert os.listdir(tmp_path) == [path.name]
    for old, new in zip(network.layers, back.layers, strict=True):
        assert new.activation == old.activation
        assert new.weight.dtype == dtype
        np.testing.assert_array_equal(new.weight, old.weight)
        assert (new.bias is None) is not bias
        if bias:
            np.testing.assert_array_equal(new.bias, old.bias)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_truncated_file_is_one_sentence_that_names_it(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    small_network().save(path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(InvalidInput, match=f"net{suffix} is not a readable {suffix} file"):
            Network.load(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_damaged_byte_never_escapes_as_another_error(tmp_path, suffix):
    path = tmp_path / f"net{suffix}"
    small_network(sizes=(2, 2)).save(path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 3):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x41]) + whole[position + 1 :])
        try:
            network = Network.load(path)
        except InvalidInput as error:
            assert str(path) in str(error)  # noqa: PT017
        else:
            assert network.sizes == (2, 2)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("pwned",))


def npy(header, data=b""):
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


HOSTILE = {
    "a pickle": pickle.dumps(Bomb()),
    "a pickled object": npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", pickle.dumps([Bomb()])),
    "a huge shape": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000)}", b"8 bytes."),
    "a huge empty shape": npy(f"{{'descr': '<f8', 'fortran_order': False, 'shape': (0, {10**30})}}"),
    "a negative shape": npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 1)}", b"8 bytes."),
    "no shape": npy("{'descr': '<f8'}"),
    "code for a header": npy("__import__('os').mkdir('pwned')"),
    "an unknown version": b"\x93NUMPY\x09\x00\x00\x00",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_archives_are_refused_and_never_executed(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("net.npz", "w") as archive:
        archive.writestr(
            "activations.npy", npy("{'descr': '<U12', 'fortran_order': False, 'shape': ()}", b"0" * 48)
        )
        archive.writestr("layers.0.weight.npy", HOSTILE[kind])
    with pytest.raises(InvalidInput, match=r"net.npz is not a readable .npz file: .*\.$"):
        Network.load("net.npz")
    assert os.listdir(tmp_path) == ["net.npz"]


def test_an_archive_that_would_fill_the_memory_is_refused(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("layers.0.weight.npy", b"")
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = (LIMIT + 1).to_bytes(4, "little")  # unpacked size in the directory
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"bomb.npz is not .* more than 2,147,483,648 bytes"):
        Network.load(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize(
    ("arrays", "texts", "words"),
    [
        ({"fc.weight": np.eye(2)}, {}, "it has no 'layers'"),
        (
            {"fc.weight": np.eye(2), "layers.0.weight": np.eye(2)},
            {"activations": '["relu"]'},
            "'fc.weight' besides its 1 layers",
        ),
        ({"fc.weight": np.eye(2)}, {"activations": '["relu"]'}, "no 'layers.0.weight'"),
        ({"layers.0.weight": np.eye(2)}, {"activations": '["relu", "relu"]'}, "no 'layers.1.weight'"),
        ({"layers.0.weight": np.eye(2)}, {"activations": "relu"}, "is not a network that `save` wrote"),
        ({"layers.0.weight": np.eye(2)}, {"activations": "3"}, "is not a network that `save` wrote"),
        ({"layers.0.weight": np.eye(2)}, {"activations": '[["relu"]]'}, "is not a network that `save` wrote"),
        (
            {"layers.0.weight": np.eye(2)},
            {"activations": "[" * 100_000},
            "is not a network that `save` wrote",
        ),
        ({"layers.0.weight": np.eye(2)}, {"activations": '["exec"]'}, "Unknown activation 'exec'"),
        ({"layers.0.weight": np.full((2, 2), np.nan)}, {"activations": '["relu"]'}, "NaN or infinite"),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, suffix, arrays, texts, words):
    path = tmp_path / f"net{suffix}"
    write_arrays(path, arrays, texts)
    with pytest.raises(InvalidInput, match=words) as caught:
        Network.load(path)
    assert str(path) in str(caught.value)


def test_names_and_places_of_files_are_checked(tmp_path):
    network = small_network()
    with pytest.raises(InvalidInput, match="There is no file"):
        Network.load(tmp_path / "missing.npz")
    with pytest.raises(InvalidInput, match="There is no file"):
        Network.load(tmp_path / "missing.safetensors")
    for call in (Network.load, network.save):
        with pytest.raises(InvalidInput, match=r"must end in .npz or .safetensors"):
            call(tmp_path / "net.pt")
    with pytest.raises(InvalidInput, match="cannot be written: No such file or directory"):
        network.save(tmp_path / "missing" / "net.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InvalidInput, match="cannot be written: Is a directory"):
        network.save(tmp_path / "folder.npz")
    with pytest.raises(InvalidInput, match="Is a directory"):
        Network.load(tmp_path / "folder.npz")
    assert os.listdir(tmp_path) == ["folder.npz"]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    def full(self, _):
        self.open("wb").close()
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "net.npz"
    small_network().save(path)
    before = path.read_bytes()
    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(InvalidInput, match="cannot be written: No space left on device"):
        small_network("abs").save(path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["net.npz"]


def test_column_major_and_transposed_arrays_survive(tmp_path):
    W = np.asfortranarray(STREAM.normal((3, 5)))
    np.savez(tmp_path / "fortran.npz", W=W)
    np.testing.assert_array_equal(read_arrays(tmp_path / "fortran.npz")[0]["W"], W)
    for name in ("t.npz", "t.safetensors"):
        write_arrays(tmp_path / name, {"W": W.T}, {})
        np.testing.assert_array_equal(read_arrays(tmp_path / name)[0]["W"], W.T)
