"""Certificates with data: every certified label stays when the pruned model is run by its own program."""

import json
from dataclasses import replace

import numpy as np
import pytest

import rmttheory as rt
from rmttheory.arrays import InvalidInput, Stream
from rmttheory.networks import Network, convolutional_network, initial_network
from rmttheory.networks.layers import Dense
from rmttheory.studies.certifying import find_samples
from rmttheory.studies.running import find_model


def planted(n, m, seed, noise=0.05):
    """Three spikes over noise, so that a cut is small and some labels can be proved to stay."""
    rng = np.random.default_rng(seed)
    W = noise * rng.standard_normal((n, m)) / n**0.5
    for strength in (3, 2, 1):
        u, v = rng.standard_normal(n), rng.standard_normal(m)
        W += strength * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    return W.astype(np.float32)


def dense_network():
    net = initial_network((40, 60, 50, 6), stream=Stream(0))
    layers = [
        Dense(planted(60, 40, 1, noise=0.01), None, "relu"),
        Dense(planted(50, 60, 2, noise=0.01), None, "relu"),
    ]
    return Network((*layers, Dense(net.layers[2].weight.astype(np.float32), None, "identity")))


X = np.random.default_rng(5).standard_normal((150, 40)).astype(np.float32)


def check(found, run, pruned):
    """Run the model without each bulk: certified labels stay, and what changed is said to."""
    before = np.argmax(run(), axis=1)
    assert np.array_equal(found.predicted, before)
    for layer in found:
        after = np.argmax(pruned(layer), axis=1)
        assert not np.any(layer.certified & (after != before)), layer.name
        assert np.array_equal(layer.changed, after != before)


def test_our_dense_network():
    net = dense_network()
    found = rt.certify(net, X)
    assert [layer.name for layer in found] == ["layers.0.weight", "layers.1.weight"]

    def pruned(layer):
        index = int(layer.name.split(".")[1])
        U, s, V = np.linalg.svd(net.layers[index].weight.astype(float), full_matrices=False)
        W = (U[:, : layer.rank] * s[: layer.rank]) @ V[: layer.rank]
        return net.replace(index, W.astype(np.float32)).logits(X)

    check(found, lambda: net.logits(X), pruned)
    for layer in found:
        assert layer.certified.mean() > 0.3, layer.name
        assert np.all(layer.bound >= layer.realised * (1 - 1e-9))
        assert 1 <= layer.tightness < 20


def test_our_convolutional_network():
    net = convolutional_network((1, 8, 8), channels=(4,), hidden=(40,), classes=5, stream=Stream(1))
    (index,) = (i for i in net.weighted if net.layers[i].shape == (40, 64))
    net = net.replace(index, planted(40, 64, 3).astype(float))
    x = np.random.default_rng(2).standard_normal((60, 64))
    found = rt.certify(net, x)
    assert [layer.name for layer in found] == [f"layers.{index}.weight"]
    assert found.layers[0].certified.mean() > 0.2
    assert not np.any(found.layers[0].certified & found.layers[0].changed)


def module(torch, *, convolutional):
    parts = [torch.nn.Linear(40, 60), torch.nn.ReLU(), torch.nn.Linear(60, 6)]
    if convolutional:
        parts = [
            torch.nn.Conv2d(1, 4, 3, padding=1),
            torch.nn.BatchNorm2d(4),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
            torch.nn.Flatten(),
            *parts[:2],
            torch.nn.Dropout(),
            parts[2],
        ]
    torch.manual_seed(0)
    net = torch.nn.Sequential(*parts).eval()
    at = 5 if convolutional else 0
    with torch.no_grad():
        net[at].weight.copy_(torch.from_numpy(planted(60, 40, 1)))
    return net, at


@pytest.mark.parametrize("convolutional", [False, True])
def test_modules_of_torch(convolutional):
    torch = pytest.importorskip("torch")
    net, at = module(torch, convolutional=convolutional)
    x = X.reshape(-1, 1, 4, 10) if convolutional else X
    found = rt.certify(net, x)
    (layer,) = found
    assert layer.name == f"{at}.weight"
    assert layer.reason == ""

    def pruned(layer):
        weight = net[at].weight.detach().clone()
        U, s, V = np.linalg.svd(weight.numpy().astype(float), full_matrices=False)
        net[at].weight.data = torch.from_numpy(
            ((U[:, : layer.rank] * s[: layer.rank]) @ V[: layer.rank]).astype(np.float32)
        )
        logits = net(torch.from_numpy(x)).detach().numpy()
        net[at].weight.data = weight
        return logits

    check(found, lambda: net(torch.from_numpy(x)).detach().numpy(), pruned)
    assert layer.certified.mean() > 0.3


def test_of_what_is_not_understood_only_what_is_seen_is_said():
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(40, 60), torch.nn.GELU(), torch.nn.Linear(60, 6)).eval()
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(planted(60, 40, 1, noise=0.5)))
    found = rt.certify(net, X, everywhere=True)
    assert found["0.weight"].reason == "nothing is proved of GELU, which comes behind it"
    assert not found["0.weight"].certified.any()
    with pytest.raises(InvalidInput, match=r"Nothing can be proved of layer '0\.weight'"):
        found.together("0.weight")


def graph(onnx, nodes, constants, width):
    return onnx.helper.make_model(
        onnx.helper.make_graph(
            nodes,
            "g",
            [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 40])],
            [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, width])],
            [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 17)],
        ir_version=8,
    )


@pytest.mark.parametrize("ending", ["none", "softmax", "parts"])
def test_onnx_files(tmp_path, ending):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    node = onnx.helper.make_node
    second = np.random.default_rng(0).standard_normal((6, 60)).astype(np.float32) / 8
    constants = {
        "w1": np.ascontiguousarray(planted(60, 40, 1).T),
        "w2": second,
        "b2": np.arange(6, dtype=np.float32) / 10,
        "axis": np.array([1]),
    }
    nodes = [
        node("MatMul", ["x", "w1"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("Gemm", ["b", "w2", "b2"], ["z" if ending != "none" else "y"], transB=1),
    ]
    if ending == "softmax":
        nodes.append(node("Softmax", ["z"], ["y"], axis=1))
    if ending == "parts":
        nodes += [
            node("ReduceMax", ["z"], ["m"], axes=[1]),
            node("Sub", ["z", "m"], ["d"]),
            node("Exp", ["d"], ["e"]),
            node("ReduceSum", ["e", "axis"], ["s"]),
            node("Div", ["e", "s"], ["y"]),
        ]
    onnx.save(graph(onnx, nodes, constants, 6), tmp_path / "m.onnx")
    found = rt.certify(tmp_path / "m.onnx", X)
    (layer,) = found
    assert (layer.name, layer.reason) == ("w1", "")
    assert layer.certified.mean() > 0.3

    def run(path):
        return runtime.InferenceSession(path).run(None, {"x": X})[0]

    rt.prune(tmp_path / "m.onnx", tmp_path / "cut.onnx")
    check(found, lambda: run(tmp_path / "m.onnx"), lambda _: run(tmp_path / "cut.onnx"))


def test_a_tail_that_computes_something_else_proves_nothing(monkeypatch):
    net = dense_network()
    other = net.replace(2, 2 * net.layers[2].weight)
    monkeypatch.setattr("rmttheory.studies.running.OurModel.run", lambda _, x, __: other.logits(x))
    found = rt.certify(net, X)
    assert all("not understood" in layer.reason for layer in found)


def test_a_label_that_the_model_gives_another_way_is_not_certified(monkeypatch):
    """Where the model differs from its tail by less than is told apart, a label may still be another."""
    net, small = dense_network(), X.copy()
    small[0] *= 1e-5
    plain = net.logits(small)

    def run(_, x, matrices):  # noqa: ARG001
        logits = plain.copy()
        logits[0] = logits[0, ::-1]
        return logits

    monkeypatch.setattr("rmttheory.studies.running.OurModel.run", run)
    found = rt.certify(net, small)
    assert found.predicted[0] != plain[0].argmax()
    assert all(layer.reason == "" and not layer.certified[0] for layer in found)


def test_a_module_is_left_as_it_was():
    torch = pytest.importorskip("torch")
    net, _ = module(torch, convolutional=False)
    before = [p.detach().clone() for p in net.parameters()]
    model = find_model(net)
    first = model.run(X, {})
    model.run(X, {"0.weight": np.zeros((60, 40), np.float32)})
    with pytest.raises(InvalidInput, match=r"Linear cannot be run|Sequential cannot be run"):
        model.run(X[:, :3], {"0.weight": np.zeros((60, 40), np.float32)})
    assert np.array_equal(model.run(X, {}), first)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters()))


def test_what_gives_no_logits_is_refused():
    torch = pytest.importorskip("torch")

    class Pair(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(40, 60)

        def forward(self, x):
            return self.fc(x), x

    with pytest.raises(InvalidInput, match="returns a tuple, where one tensor of logits is needed"):
        rt.certify(Pair(), X)
    deep = torch.nn.Sequential(torch.nn.Linear(40, 60))
    with pytest.raises(InvalidInput, match=r"not an array of shape \(150, 2, 60\)"):
        rt.certify(deep, np.stack([X, X], axis=1))
    net = dense_network()
    with pytest.raises(InvalidInput, match="with NaN"):
        rt.certify(torch.nn.Sequential(deep[0], torch.nn.Threshold(0.0, float("nan"))), X)
    ends = Network((*net.layers[:2], replace(net.layers[2], activation="relu")))
    assert {layer.reason for layer in rt.certify(ends, X)} == {
        "nothing is proved of what its last layer does, which comes behind it"
    }


@pytest.mark.parametrize("tie", ["one module", "one matrix"])
def test_nothing_is_proved_of_a_matrix_of_several_layers(require, tie):
    require("torch")
    import torch

    first, again, last = torch.nn.Linear(40, 40), torch.nn.Linear(40, 40), torch.nn.Linear(40, 6)
    with torch.no_grad():
        first.weight.copy_(torch.from_numpy(planted(40, 40, 1, noise=0.01)))
    again = first if tie == "one module" else again
    again.weight = first.weight
    net = torch.nn.Sequential(first, torch.nn.ReLU(), again, torch.nn.ReLU(), last)
    found = rt.certify(net, X)
    assert [layer.name for layer in found] == ["0.weight", "2.weight"]
    for layer in found:
        assert layer.reason == "the model uses it in several places"
        assert not layer.certified.any()


def test_nothing_is_proved_of_an_onnx_matrix_of_several_layers(tmp_path, require):
    require("onnx")
    require("onnxruntime")
    import onnx

    node = onnx.helper.make_node
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("MatMul", ["b", "w"], ["c"]),
        node("Relu", ["c"], ["d"]),
        node("MatMul", ["d", "v"], ["y"]),
    ]
    tied = {"w": np.ascontiguousarray(planted(40, 40, 1, noise=0.01).T), "v": planted(40, 60, 2, noise=0.01)}
    onnx.save(graph(onnx, nodes, tied, 60), tmp_path / "tied.onnx")
    found = rt.certify(tmp_path / "tied.onnx", X)
    assert found["w"].reason == "the model uses it in several places"
    assert not found["w"].certified.any()
    assert found["v"].certified.any()


def test_half_precision_is_allowed_for_or_refused(tmp_path, require):
    for name in ("torch", "onnx", "onnxruntime"):
        require(name)
    import onnx
    import torch

    for half in (torch.float16, torch.bfloat16):
        with pytest.raises(InvalidInput, match=r"half precision: give `module.float\(\)`"):
            rt.certify(torch.nn.Sequential(torch.nn.Linear(40, 6)).to(half), X)
    node = onnx.helper.make_node
    nodes = [
        node("Cast", ["x"], ["z"], to=onnx.TensorProto.FLOAT16),
        node("MatMul", ["z", "w"], ["h"]),
        node("Cast", ["h"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    halved = {"w": np.ascontiguousarray(planted(60, 40, 1, noise=0.01).T).astype(np.float16)}
    onnx.save(graph(onnx, nodes, halved, 60), tmp_path / "half.onnx")
    (layer,) = rt.certify(tmp_path / "half.onnx", X)
    assert layer.reason == "nothing is proved of Cast, which comes behind it"


def test_an_onnx_layer_that_acts_at_several_places_is_open(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    node = onnx.helper.make_node
    nodes = [
        node("Unsqueeze", ["x", "axis"], ["p"]),
        node("Concat", ["p", "p"], ["t"], axis=1),
        node("MatMul", ["t", "w1"], ["a"]),
        node("ReduceMean", ["a"], ["y"], axes=[1], keepdims=0),
    ]
    constants = {"w1": np.ascontiguousarray(planted(60, 40, 1).T), "axis": np.array([1])}
    onnx.save(graph(onnx, nodes, constants, 60), tmp_path / "m.onnx")
    (layer,) = rt.certify(tmp_path / "m.onnx", X)
    assert "nothing is proved of ReduceMean" in layer.reason
    nodes[-1:] = [node("Identity", ["a"], ["y"])]
    onnx.save(graph(onnx, nodes, constants, 60), tmp_path / "n.onnx")
    with pytest.raises(InvalidInput, match=r"not an array of shape \(150, 2, 60\)"):
        rt.certify(tmp_path / "n.onnx", X)


def test_several_layers_together_and_in_order():
    net = dense_network()
    labels = np.argmax(net.logits(X), axis=1)
    labels[:30] = (labels[:30] + 1) % 6
    found = rt.certify(net, X, labels)
    assert found.accuracy == pytest.approx(0.8)
    both = found.together("layers.0.weight", "layers.1.weight")
    for name in ("layers.0.weight", "layers.1.weight"):
        assert np.array_equal(found.together(name), found[name].certified)
    pruned = net
    for name, R in found.removed.items():
        index = found.places[name]
        pruned = pruned.replace(index, (net.layers[index].weight - R).astype(np.float32))
    after = np.argmax(pruned.logits(X), axis=1)
    assert not np.any(both & (after != found.predicted))
    steps = found.order()
    assert [len(step.layers) for step in steps] == [0, 1, 2]
    assert steps[0].certified == 1
    assert steps[2].certified == both.mean()
    lost = {layer.name: (1 - layer.certified.mean()) / layer.saved for layer in found}
    assert steps[1].layers == (min(lost, key=lost.get),)
    assert steps[1].accuracy <= 0.8
    assert len(found.order(0.99)) == 2


def test_a_budget_cuts_what_prune_cuts(tmp_path):
    net = dense_network()
    net.save(tmp_path / "net.npz")
    ranks = {
        one.name: one.rank for one in rt.prune(tmp_path / "net.npz", budget=0.5) if one.stored == "whole"
    }
    assert {layer.name: layer.rank for layer in rt.certify(net, X, budget=0.5)} == ranks


def test_it_shows_itself():
    found = rt.certify(dense_network(), X)
    plain = json.loads(json.dumps(found.to_dict()))
    assert set(plain["layers"][0]["verdicts"]) <= {"certified", "refuted", "open"}
    assert "layers.0.weight" in found._repr_html_()
    assert found.sentence.startswith("Of 150 samples labels provably stay for ")
    pytest.importorskip("pandas")
    assert list(found.to_pandas()["name"]) == ["layers.0.weight", "layers.1.weight"]


def test_samples_come_from_a_file_or_a_data_set(tmp_path):
    np.savez(tmp_path / "s.npz", x=X, y=np.zeros(150, int))
    x, y = find_samples(tmp_path / "s.npz")
    assert np.array_equal(x, X)
    assert y.shape == (150,)
    assert find_samples("fashion-mnist-3000")[0].shape == (1000, 784)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((3, X), "`model` must be a Network"),
        ((dense_network(), X[0]), "`inputs` must hold a sample a row"),
        ((dense_network(), X, [1]), "and `labels` a whole number for each"),
        ((dense_network(), X[:, :3]), "40 columns"),
        (("none.onnx", X), "There is no file none.onnx"),
    ],
)
def test_bad_arguments_are_one_sentence(arguments, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        rt.certify(*arguments)
