"""Pruned weight files: what is cut is the truncation, the rest keeps its bytes, programs load them again."""

import json
import zipfile

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import rmttheory as rt
from rmttheory.arrays import InvalidInput
from rmttheory.networks import open_weights
from rmttheory.networks.weights._dtypes import decode, encode
from rmttheory.studies.runner import Watcher

ROUNDING = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
"""Half the distance of neighbours, relative to a normal number."""


def planted(n, m, strengths, seed=0, scale=1.0):
    """Noise at the Marchenko-Pastur scale, and spikes well above the threshold."""
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((n, m)) / n**0.5
    for strength in strengths:
        u, v = rng.standard_normal(n), rng.standard_normal(m)
        W += strength * np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v))
    return scale * W


def model():
    return {
        "cut.weight": planted(120, 80, (6, 4)).astype(np.float32),
        "cut.bias": np.arange(120, dtype=np.float32),
        "noise.weight": planted(100, 60, (), seed=1).astype(np.float32),
        "heavy.weight": np.random.default_rng(2).standard_t(2, (100, 60)).astype(np.float32),
        "small.weight": np.ones((4, 5), np.float32),
        "steps": np.arange(3),
    }


def truncated(W, rank):
    U, s, V = np.linalg.svd(np.asarray(W, np.float64), full_matrices=False)
    return (U[:, :rank] * s[:rank]) @ V[:rank]


def close(stored, exact, dtype):
    """Whether numbers are the exact ones rounded once, but for the 1e-12 of double precision before."""
    allowed = ROUNDING[dtype] * np.abs(exact) + 1e-12 * np.abs(exact).max()
    if dtype == "float16":
        allowed += 2.0**-25  # half the distance of subnormal numbers
    return bool(np.all(np.abs(np.asarray(stored, np.float64) - exact) <= allowed))


@pytest.fixture
def file(tmp_path):
    save_file(model(), tmp_path / "model.safetensors", metadata={"made": "here"})
    return tmp_path / "model.safetensors"


def test_what_is_cut_is_the_truncation_and_the_rest_keeps_its_bytes(file, tmp_path):
    found = rt.prune(file, tmp_path / "new.safetensors")
    before, after = model(), load_file(tmp_path / "new.safetensors")
    assert [(one.name, one.stored) for one in found] == [
        ("cut.weight", "whole"),
        ("heavy.weight", "unchanged"),
        ("noise.weight", "unchanged"),
    ]
    assert close(after["cut.weight"], truncated(before["cut.weight"], 2), "float32")
    for name in set(before) - {"cut.weight"}:
        assert after[name].tobytes() == before[name].tobytes(), name
    assert after.keys() == before.keys()
    assert (tmp_path / "new.safetensors").stat().st_size == file.stat().st_size
    with safe_open(tmp_path / "new.safetensors", "np") as opened:
        assert opened.metadata() == {"made": "here"}
    assert [one.name for one in found.skipped] == ["small.weight"]


def test_it_cuts_what_inspect_recommends(file):
    ranks = {layer.name: layer.recommended_rank for layer in rt.inspect(file)}
    assert {one.name: one.rank for one in rt.prune(file)} == ranks


def test_what_it_says_is_what_is_stored(file, tmp_path):
    found = rt.prune(file, tmp_path / "new.safetensors")["cut.weight"]
    W, kept = (load_file(path)["cut.weight"].astype(float) for path in (file, tmp_path / "new.safetensors"))
    assert found.change == pytest.approx(np.linalg.norm(kept - W) / np.linalg.norm(W), rel=1e-9)
    assert found.energy == pytest.approx((np.linalg.norm(kept) / np.linalg.norm(W)) ** 2, rel=1e-9)
    assert (found.numbers, found.saved) == (2 * 200, 120 * 80 - 400)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_every_kind_of_number_is_rounded_once(tmp_path, dtype):
    stored = encode(planted(120, 80, (6, 4)), dtype)
    text = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}[dtype]
    header = json.dumps(
        {"W": {"dtype": text, "shape": [120, 80], "data_offsets": [0, stored.nbytes]}}
    ).encode()
    start = len(header).to_bytes(8, "little") + header
    (tmp_path / "a.safetensors").write_bytes(start + stored.tobytes())
    found = rt.prune(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    after = (tmp_path / "b.safetensors").read_bytes()
    assert after[: len(start)] == start
    kept = decode(np.frombuffer(after[len(start) :], stored.dtype).reshape(120, 80), dtype)
    assert close(kept, truncated(decode(stored, dtype), found["W"].rank), dtype)


def test_shrinking_moves_spikes_down_and_keeps_their_vectors(file, tmp_path):
    rt.prune(file, tmp_path / "new.safetensors", method="shrink")
    W, kept = model()["cut.weight"], load_file(tmp_path / "new.safetensors")["cut.weight"]
    U, s, V = np.linalg.svd(W.astype(float))
    values = np.diag(U.T @ kept @ V.T)
    assert np.all(values[:2] < s[:2])
    assert np.all(values[:2] > 0.8 * s[:2])
    assert np.abs(values[2:]).max() < 1e-5 * s[0]


def test_a_mask_keeps_the_largest_entries_as_many_as_factors_would_take(file, tmp_path):
    found = rt.prune(file, tmp_path / "new.safetensors", method="mask")["cut.weight"]
    W, kept = model()["cut.weight"], load_file(tmp_path / "new.safetensors")["cut.weight"]
    assert np.count_nonzero(kept) == found.numbers == 400
    assert np.array_equal(kept[kept != 0], W[kept != 0])
    assert np.abs(W[kept != 0]).min() >= np.abs(W[kept == 0]).max()


@pytest.mark.parametrize("method", ["edge", "mask"])
def test_a_budget_is_kept_and_spent_where_it_keeps_most(tmp_path, method):
    """The spikes of one layer hold nearly all of its energy: it has to give up more than the other."""
    save_file(
        {"flat": planted(100, 60, (), seed=1), "steep": planted(100, 60, (40, 30), seed=2)},
        tmp_path / "model.safetensors",
    )
    found = rt.prune(tmp_path / "model.safetensors", method=method, budget=0.5)
    assert found.numbers <= 0.5 * 12_000
    assert found["steep"].numbers < found["flat"].numbers
    assert found.numbers > 0.5 * 12_000 - 160  # less than a rank is left over


def test_factors_have_the_product_of_the_cut_layer_and_its_bias(file, tmp_path):
    torch = pytest.importorskip("torch")
    found = rt.prune(file, tmp_path / "new.safetensors", factor=True)
    before, after = model(), load_file(tmp_path / "new.safetensors")
    assert found["cut.weight"].stored == "factors"
    assert after["cut.0.weight"].shape == (2, 80)
    assert after["cut.1.weight"].shape == (120, 2)
    product = after["cut.1.weight"].astype(float) @ after["cut.0.weight"]
    exact = truncated(before["cut.weight"], 2)
    assert np.linalg.norm(product - exact) <= 4 * ROUNDING["float32"] * np.linalg.norm(exact)
    pair = torch.nn.Sequential(torch.nn.Linear(80, 2, bias=False), torch.nn.Linear(2, 120))
    pair.load_state_dict(
        {name[4:]: torch.from_numpy(after[name]) for name in after if name.startswith("cut.")}
    )
    for name in set(before) - {"cut.weight", "cut.bias"}:
        assert after[name].tobytes() == before[name].tobytes(), name
    assert (
        int.from_bytes((tmp_path / "new.safetensors").read_bytes()[:8], "little") % 8 == 0
    )  # numbers aligned
    smaller = file.stat().st_size - (tmp_path / "new.safetensors").stat().st_size
    assert smaller >= 4 * (found["cut.weight"].saved) - 200


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_hold_factors_too(tmp_path, save):
    save(tmp_path / "model.npz", w=planted(120, 80, (6, 4)), other=np.arange(5))
    rt.prune(tmp_path / "model.npz", tmp_path / "new.npz", factor=True)
    with np.load(tmp_path / "new.npz") as after:
        assert set(after) == {"w.0", "w.1", "other"}
        exact = truncated(planted(120, 80, (6, 4)), 2)
        assert np.abs(after["w.1"] @ after["w.0"] - exact).max() < 1e-12 * np.abs(exact).max() * 80
        assert np.array_equal(after["other"], np.arange(5))


def test_torch_loads_a_pruned_file_and_computes_the_same_where_nothing_was_pruned(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(80, 120), torch.nn.ReLU(), torch.nn.Linear(120, 100))
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(planted(120, 80, (6, 4))))
    torch.save(net.state_dict(), tmp_path / "net.pt")
    x = torch.randn(7, 80, generator=torch.Generator().manual_seed(0))
    rt.prune(tmp_path / "net.pt", tmp_path / "same.pt", layers="2.*")  # nothing there speaks for a cut
    again = torch.nn.Sequential(torch.nn.Linear(80, 120), torch.nn.ReLU(), torch.nn.Linear(120, 100))
    again.load_state_dict(torch.load(tmp_path / "same.pt", weights_only=True))
    assert torch.equal(net(x), again(x))
    rt.prune(tmp_path / "net.pt", tmp_path / "cut.pt")
    again.load_state_dict(torch.load(tmp_path / "cut.pt", weights_only=True))
    assert close(again[0].weight.detach(), truncated(net[0].weight.detach(), 2), "float32")
    assert torch.equal(again[2].weight, net[2].weight)


def test_torchscript_keeps_every_byte_of_what_is_not_pruned(tmp_path):
    torch = pytest.importorskip("torch")
    net = torch.nn.Sequential(torch.nn.Linear(80, 120))
    with torch.no_grad():
        net[0].weight.copy_(torch.from_numpy(planted(120, 80, (6, 4))))
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.script(net).save(str(tmp_path / "net.pt"))
    open_weights(tmp_path / "net.pt").write(tmp_path / "same.pt", {})
    assert (tmp_path / "net.pt").read_bytes() == (tmp_path / "same.pt").read_bytes()
    rt.prune(tmp_path / "net.pt", tmp_path / "cut.pt")
    before, after = (zipfile.ZipFile(tmp_path / name) for name in ("net.pt", "cut.pt"))
    changed = [name for name in before.namelist() if before.read(name) != after.read(name)]
    assert len(changed) == 1
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        loaded = torch.jit.load(str(tmp_path / "cut.pt"))
    (weight,) = (p for name, p in loaded.named_parameters() if name.endswith("weight"))
    assert close(weight.detach(), truncated(net[0].weight.detach(), 2), "float32")


def test_onnxruntime_runs_a_pruned_file(tmp_path):
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    W = planted(120, 80, (6, 4)).astype(np.float32)
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 80])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 120])],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(W.T), "w")],
    )
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "m.onnx")
    rt.prune(tmp_path / "m.onnx", tmp_path / "cut.onnx")
    x = np.random.default_rng(0).standard_normal((5, 80)).astype(np.float32)
    (y,) = runtime.InferenceSession(tmp_path / "cut.onnx").run(None, {"x": x})
    exact = x.astype(float) @ truncated(W, 2).T
    assert np.abs(y - exact).max() <= 82 * 2.0**-24 * np.abs(x).sum(axis=1).max() * np.abs(W).max()


def test_tensors_that_share_their_numbers_are_cut_once(tmp_path):
    torch = pytest.importorskip("torch")
    W = torch.from_numpy(planted(120, 80, (6, 4))).float()
    torch.save({"a": W, "b": W}, tmp_path / "tied.pt")
    found = rt.prune(tmp_path / "tied.pt", tmp_path / "new.pt")
    assert [(one.name, one.stored) for one in found] == [("a", "whole"), ("b", "unchanged")]
    assert found["b"].reason == "shares its numbers with a"
    after = torch.load(tmp_path / "new.pt", weights_only=True)
    assert torch.equal(after["a"], after["b"])


def test_a_dry_run_says_the_same_and_writes_nothing(file, tmp_path):
    dry = rt.prune(file, budget=0.4)
    assert list(tmp_path.iterdir()) == [file]
    wet = rt.prune(file, tmp_path / "new.safetensors", budget=0.4)
    assert [one.to_dict() for one in dry] == [one.to_dict() for one in wet]


class Interrupting(Watcher):
    def __init__(self, steps):
        self.left = steps

    def step(self):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("factor", [False, True])
def test_an_interrupted_run_leaves_nothing(file, tmp_path, factor):
    layers = len(rt.prune(file).layers) + 1
    with pytest.raises(KeyboardInterrupt):
        rt.prune(file, tmp_path / "new.safetensors", factor=factor, watcher=Interrupting(layers + 1))
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("factor", [False, True])
def test_a_full_disk_is_one_sentence(file, tmp_path, factor, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    monkeypatch.setattr("rmttheory.networks.weights.factored._copy", full)
    with pytest.raises(InvalidInput, match=r"new.safetensors cannot be written: No space left on device\.$"):
        rt.prune(file, tmp_path / "new.safetensors", factor=factor)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"method": "svd"}, "Unknown method 'svd'"),
        ({"budget": 0.0}, "`budget` must be a number in"),
        ({"budget": 1e-9}, "The least that can be kept"),
        ({"layers": "none*"}, "matches none of the"),
        ({"method": "mask", "factor": True}, "A mask has no two factors"),
    ],
)
def test_bad_arguments_are_refused(file, arguments, sentence):
    with pytest.raises(InvalidInput, match=sentence):
        rt.prune(file, **arguments)


def test_bad_places_are_refused(file, tmp_path):
    for out, sentence in (
        (file, "is there already"),
        (tmp_path / "none" / "x.safetensors", "There is no folder"),
    ):
        with pytest.raises(InvalidInput, match=sentence):
            rt.prune(file, out)
    with pytest.raises(InvalidInput, match="is no file"):
        rt.prune({"W": planted(60, 40, (5,))}, tmp_path / "x.npz")
    np.save(tmp_path / "w.npy", planted(120, 80, (6, 4)))
    with pytest.raises(InvalidInput, match="leave out `factor`"):
        rt.prune(tmp_path / "w.npy", tmp_path / "x.npy", factor=True)


def test_it_shows_itself(file):
    found = rt.prune(file)
    assert "1 of 3 matrices pruned (edge); 12,400 of 21,600 numbers are left to keep" in found.sentence
    assert "cut.weight" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict()))["layers"][0]["rank"] == 2
    pytest.importorskip("pandas")
    assert found.to_pandas()["name"][0] == "cut.weight"
