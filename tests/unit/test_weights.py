"""Weight files of other programs: read as those programs read them, changed where asked and nowhere else."""

import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rmttheory.arrays import InvalidInput
from rmttheory.networks import open_weights
from rmttheory.networks.weights import _dtypes
from rmttheory.networks.weights.layers import find_layers
from rmttheory.networks.weights.tensors import Tensor

RNG = np.random.default_rng(5)


def normal(*shape, dtype=np.float32):
    return RNG.standard_normal(shape).astype(dtype)


def weights_of(shapes, **more):
    """A catalogue of names and shapes alone."""
    return {
        name: Tensor(name=name, shape=shape, dtype="float32", nbytes=0, where="", storage=None, **more)
        for name, shape in shapes.items()
    }


@pytest.fixture
def torch(require):
    require("torch")
    return pytest.importorskip("torch")


def network(torch):
    torch.manual_seed(3)
    nn = torch.nn
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 2),
        nn.Flatten(),
        nn.Linear(4 * 49, 20),
        nn.LayerNorm(20),
        nn.Linear(20, 5),
    ).eval()


# numbers


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
)
def test_every_code_of_a_short_number_reads_as_ml_dtypes_says(dtype, require):
    require("ml_dtypes")
    import ml_dtypes

    codes = np.arange(65536, dtype=np.uint16) if dtype == "bfloat16" else np.arange(256, dtype=np.uint8)
    expected = codes.view(getattr(ml_dtypes, dtype)).astype(np.float32)
    found = _dtypes.decode(codes, dtype)
    np.testing.assert_array_equal(found, expected)
    finite = np.isfinite(found)
    np.testing.assert_array_equal(np.signbit(found[finite]), np.signbit(expected[finite]))
    back = _dtypes.encode(found, dtype)
    np.testing.assert_array_equal(back[finite], codes[finite])


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"]
)
def test_numbers_are_rounded_to_the_nearest_and_ties_to_even(dtype, require):
    require("ml_dtypes")
    import ml_dtypes

    kind = getattr(ml_dtypes, dtype)
    ladder = np.unique(
        _dtypes.decode(
            np.arange(256).astype(_dtypes.CODES[dtype][1:]) * (257 if dtype == "bfloat16" else 1), dtype
        )
    )
    ladder = ladder[np.isfinite(ladder)].astype(np.float64)
    middles = (ladder[1:] + ladder[:-1]) / 2
    values = np.concatenate([middles, np.nextafter(middles, np.inf), normal(999) * ladder[-1] / 10]).astype(
        np.float32
    )
    values = values[np.isfinite(values.astype(kind).astype(np.float32))]
    expected = values.astype(kind).view(_dtypes.CODES[dtype])
    np.testing.assert_array_equal(_dtypes.encode(values, dtype), expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_a_number_that_is_too_large_is_refused_and_nan_is_kept(dtype):
    with pytest.raises(InvalidInput, match=f"too large for {dtype}"):
        _dtypes.encode(np.array([1.0, 3.4e38]), dtype)
    assert np.isnan(_dtypes.decode(_dtypes.encode(np.array([np.nan]), dtype), dtype))[0]


# layers


def only(shapes, **more):
    layers, _ = find_layers(weights_of(shapes, **more))
    return {layer.name: (layer.kind, layer.shape, layer.order, layer.part) for layer in layers}


def test_kernels_are_outputs_by_inputs_times_kernel():
    found = only({"conv.weight": (64, 32, 3, 3), "dw.weight": (32, 1, 3, 3), "up_conv.weight": (16, 8, 2, 2)})
    assert found["conv.weight"][:2] == ("convolution", (64, 288))
    assert found["dw.weight"][:2] == ("depthwise convolution", (32, 9))
    assert found["up_conv.weight"][:3] == ("transposed convolution", (8, 64), (1, 0, 2, 3))
    keras = only({"conv/kernel:0": (3, 3, 32, 64), "dense/kernel": (100, 10)})
    assert keras["conv/kernel:0"][:3] == ("convolution", (64, 288), (3, 2, 0, 1))
    assert keras["dense/kernel"][:3] == ("dense", (10, 100), (1, 0))


def test_fused_projections_are_split_where_their_parts_are_known():
    found = only({"attn.qkv.weight": (96, 32)})
    assert {name: part for name, (*_, part) in found.items()} == {
        "attn.qkv.weight#query": (0, 0, 32),
        "attn.qkv.weight#key": (0, 32, 64),
        "attn.qkv.weight#value": (0, 64, 96),
    }
    assert only({"mha.in_proj_weight": (24, 8)}).keys() == {
        f"mha.in_proj_weight#{part}" for part in ("query", "key", "value")
    }
    for name, shape in {"qkv_proj.weight": (48, 32), "query_key_value.weight": (96, 32)}.items():
        layers, _ = find_layers(weights_of({name: shape}))
        assert [layer.name for layer in layers] == [name]
        assert "stay together" in layers[0].choice


def test_the_transposed_layers_of_gpt2_are_told_from_those_of_its_remakes():
    gpt2 = only(
        {"h.0.attn.c_attn.weight": (8, 24), "h.0.attn.c_proj.weight": (8, 8), "h.0.mlp.c_fc.weight": (8, 32)}
    )
    assert gpt2["h.0.attn.c_attn.weight#key"] == ("key", (8, 8), (1, 0), (1, 8, 16))
    assert gpt2["h.0.attn.c_proj.weight"][2] == (1, 0)
    assert gpt2["h.0.mlp.c_fc.weight"][1:3] == ((32, 8), (1, 0))
    remake = only(
        {"h.0.attn.c_attn.weight": (24, 8), "h.0.attn.c_proj.weight": (8, 8), "h.0.mlp.c_fc.weight": (32, 8)}
    )
    assert remake["h.0.attn.c_attn.weight#key"] == ("key", (8, 8), (0, 1), (0, 8, 16))
    assert remake["h.0.mlp.c_fc.weight"][1:3] == ((32, 8), (0, 1))


def test_embeddings_take_one_hot_inputs():
    found = only(
        {"wte.weight": (100, 8), "embeddings.word_embeddings.weight": (50, 8), "pos_embed": (1, 20, 8)}
    )
    assert {shape for _, shape, *_ in found.values()} == {(8, 100), (8, 50), (8, 20)}
    assert {kind for kind, *_ in found.values()} == {"embedding"}
    assert only({"time_embedding.linear_1.weight": (8, 4)})["time_embedding.linear_1.weight"][0] == "dense"


def test_what_is_no_matrix_is_skipped_with_a_reason():
    shapes = {
        "fc.bias": (7,), "scale": (), "norm.weight": (1, 1, 9), "empty": (0, 5),
        "optimizer.0.exp_avg": (4, 4), "row.weight": (2, 1), "bn.running_mean": (3, 3),
    }  # fmt: skip
    layers, skipped = find_layers(weights_of(shapes))
    assert layers == ()
    assert skipped.keys() == shapes.keys()
    assert skipped["optimizer.0.exp_avg"] == "state of an optimizer"


def test_experts_are_layers_each():
    found = only({"mlp.experts.gate_up_proj": (4, 8, 6)})
    assert [(name, shape) for name, (_, shape, *_) in found.items()] == [
        (f"mlp.experts.gate_up_proj#expert{i}", (8, 6)) for i in range(4)
    ]


# formats


def test_safetensors_reads_what_the_library_reads(tmp_path):
    arrays = {
        "a": normal(5, 3),
        "b": normal(2, 2, dtype=np.float64),
        "half": normal(4, 4, dtype=np.float16),
        "i": np.arange(6),
    }
    save_file(arrays, tmp_path / "m.safetensors", metadata={"format": "pt"})
    found = open_weights(tmp_path / "m.safetensors")
    assert found.metadata == {"format": "pt"}
    assert {name: tensor.dtype for name, tensor in found.tensors.items()} == {
        "a": "float32", "b": "float64", "half": "float16", "i": "int64",
    }  # fmt: skip
    for name in ("a", "b", "half"):
        read = found.tensors[name].read()
        np.testing.assert_array_equal(read, arrays[name])
        assert read.dtype == (np.float64 if name == "b" else np.float32)
    with pytest.raises(InvalidInput, match="int64, which is listed but not read"):
        found.tensors["i"].read()


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_and_npy(tmp_path, save):
    arrays = {
        "a": normal(5, 3),
        "f": np.asfortranarray(normal(4, 6)),
        "big": normal(3, 3).astype(">f4"),
        "v": normal(2),
    }
    save(tmp_path / "m.npz", **arrays)
    found = open_weights(tmp_path / "m.npz")
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.tensors[name].read(), array)
    np.save(tmp_path / "one.npy", arrays["f"])
    np.testing.assert_array_equal(open_weights(tmp_path / "one.npy").tensors["one"].read(), arrays["f"])


@pytest.mark.filterwarnings("ignore:.*quantized tensor:UserWarning")
def test_pytorch_files_read_as_pytorch_reads_them(tmp_path, torch):
    state = network(torch).state_dict()
    base = torch.randn(6, 8)
    state |= {
        "t": base.T,
        "part": base[1:5, 2:7:2],
        "bf": torch.randn(4, 4).bfloat16(),
        "tied": base,
        "p": torch.nn.Parameter(base),
    }
    state |= {
        "f8": torch.randn(4, 4).to(torch.float8_e4m3fn),
        "q": torch.quantize_per_tensor(base, 0.1, 0, torch.qint8),
    }
    torch.save({"epoch": 3, "state": state, "list": [base]}, tmp_path / "m.pt")
    found = open_weights(tmp_path / "m.pt")
    assert found.tensors["state.q"].dtype == "qint8"
    assert set(found.tensors) == {f"state.{name}" for name in state} | {"list.0"}
    for name, value in state.items():
        if value.is_floating_point() and name != "q":
            np.testing.assert_array_equal(
                found.tensors[f"state.{name}"].read(), value.detach().float().numpy()
            )


@pytest.mark.filterwarnings("ignore:.*jit:DeprecationWarning", "ignore:.*torch.compile:DeprecationWarning")
def test_torchscript_is_read_without_its_code(tmp_path, torch):
    model = network(torch)
    torch.jit.trace(model, torch.zeros(1, 3, 6, 6)).save(str(tmp_path / "m.jit"))
    found = open_weights(tmp_path / "m.jit")
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            np.testing.assert_array_equal(found.tensors[name].read(), value.numpy())


def test_a_live_module_gives_what_its_file_gives(tmp_path, torch):
    model = network(torch)
    model.append(torch.nn.Embedding(9, 4).bfloat16())
    torch.save(model.state_dict(), tmp_path / "m.pt")
    live, file = open_weights(model), open_weights(tmp_path / "m.pt")
    assert live.tensors.keys() == file.tensors.keys()
    for name, tensor in live.tensors.items():
        if tensor.floating:
            np.testing.assert_array_equal(tensor.read(), file.tensors[name].read())
    kinds = {layer.name: layer.kind for layer in live.layers}
    assert kinds["3.weight"] == "transposed convolution"
    assert kinds["8.weight"] == "embedding"
    with pytest.raises(InvalidInput, match="live module has no file"):
        live.write(tmp_path / "no", {})
    with pytest.raises(InvalidInput, match=r"path or a torch.nn.Module, not int"):
        open_weights(3)


def onnx_model(onnx, path, *, external=False):
    """Two MatMuls, one of them inside an If, a Gemm with transB, a Conv, and an embedding kept as floats."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    arrays = {"w": normal(6, 4), "g": normal(5, 4), "inner": normal(5, 3)}
    initializers = [numpy_helper.from_array(arrays["w"], "w")]
    listed = helper.make_tensor("g", 1, (5, 4), arrays["g"].ravel().tolist())
    constant = helper.make_node("Constant", [], ["inner"], value=numpy_helper.from_array(arrays["inner"]))
    branch = helper.make_graph(
        [constant, helper.make_node("MatMul", ["h2", "inner"], ["y1"])], "branch", [],
        [helper.make_tensor_value_info("y1", 1, None)],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("MatMul", ["h2", "inner2"], ["y2"])], "other", [],
        [helper.make_tensor_value_info("y2", 1, None)],
        [numpy_helper.from_array(arrays["inner"] * 2, "inner2")],
    )  # fmt: skip
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["h"]),
            helper.make_node("Gemm", ["h", "g"], ["h2"], transB=1),
            helper.make_node("If", ["c"], ["y"], name="choose", then_branch=branch, else_branch=other),
        ],
        "main",
        [helper.make_tensor_value_info("x", 1, (None, 6)), helper.make_tensor_value_info("c", 9, ())],
        [helper.make_tensor_value_info("y", 1, None)],
        [*initializers, listed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    more = (
        {
            "save_as_external_data": True,
            "location": "data.bin",
            "size_threshold": 0,
            "convert_attribute": False,
        }
        if external
        else {}
    )
    onnx.save_model(model, path, **more)
    return arrays


@pytest.mark.parametrize("external", [False, True])
def test_onnx_initialisers_constants_and_nested_graphs(tmp_path, require, external):
    require("onnx")
    import onnx

    arrays = onnx_model(onnx, tmp_path / "m.onnx", external=external)
    found = open_weights(tmp_path / "m.onnx")
    layers = {layer.name: layer for layer in found.layers}
    assert layers.keys() == {"w", "g", "choose/then_branch/inner", "choose/else_branch/inner2"}
    np.testing.assert_array_equal(layers["w"].read(), arrays["w"].T)
    np.testing.assert_array_equal(layers["g"].read(), arrays["g"])
    np.testing.assert_array_equal(layers["choose/then_branch/inner"].read(), arrays["inner"].T)
    np.testing.assert_array_equal(layers["choose/else_branch/inner2"].read(), 2 * arrays["inner"].T)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_onnx_short_numbers_kept_as_whole_numbers(tmp_path, require, kind):
    require("onnx")
    import onnx

    values = normal(3, 4)
    listed = onnx.helper.make_tensor("w", 10 if kind == "float16" else 16, (3, 4), values.ravel().tolist())
    graph = onnx.helper.make_graph([], "g", [], [], [listed])
    onnx.save_model(onnx.helper.make_model(graph), tmp_path / "m.onnx")
    expected = _dtypes.decode(_dtypes.encode(values, kind), kind)
    np.testing.assert_array_equal(open_weights(tmp_path / "m.onnx").tensors["w"].read(), expected)


def keras_file(h5py, path, arrays, **options):
    config = {"class_name": "Sequential", "config": {"name": "s", "layers": [
        {"class_name": "Dense", "config": {"name": "dense"}},
        {"class_name": "Embedding", "config": {"name": "table"}},
    ]}}  # fmt: skip
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **options)


@pytest.mark.parametrize("options", [{}, {"chunks": True, "compression": "gzip"}])
def test_hdf5_of_keras(tmp_path, require, options):
    require("h5py")
    import h5py

    arrays = {
        "model_weights/dense/dense/kernel:0": normal(6, 4),
        "model_weights/table/table/embeddings:0": normal(9, 5),
    }
    keras_file(h5py, tmp_path / "m.h5", arrays, **options)
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.write(tmp_path / "m.h5", "model.weights.h5")
    for name in ("m.h5", "m.keras"):
        layers = {layer.kind: layer for layer in open_weights(tmp_path / name).layers}
        for kind, array in zip(("dense", "embedding"), arrays.values()):
            np.testing.assert_array_equal(layers[kind].read(), array.T)


def sharded(folder, **arrays):
    folder.mkdir(exist_ok=True)
    index = {}
    for number, (name, array) in enumerate(arrays.items()):
        save_file({name: array}, folder / f"m-{number}.safetensors")
        index[name] = f"m-{number}.safetensors"
    (folder / "m.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    return folder / "m.safetensors.index.json"


def test_shards_are_one_catalogue(tmp_path):
    arrays = {"a": normal(4, 3), "b": normal(2, 5)}
    found = open_weights(sharded(tmp_path / "in", **arrays))
    for name, array in arrays.items():
        np.testing.assert_array_equal(found.tensors[name].read(), array)
    found.write(tmp_path / "out" / "new.index.json", {"b": 2 * arrays["b"]})
    again = open_weights(tmp_path / "out" / "new.index.json")
    np.testing.assert_array_equal(again.tensors["b"].read(), 2 * arrays["b"])
    np.testing.assert_array_equal(again.tensors["a"].read(), arrays["a"])
    with pytest.raises(InvalidInput, match="written where none of them is yet"):
        found.write(tmp_path / "out" / "new.index.json", {})


# writing


def saved(kind, folder, require):
    """A file of each kind that can be written, whose layers are named alike."""
    arrays = {"w": normal(6, 6), "v": normal(7, 5), "bias": normal(7)}
    path = folder / f"in.{kind}"
    if kind == "safetensors":
        save_file(arrays, path, metadata={"note": "kept"})
    elif kind == "npz":
        np.savez(path, **arrays)
    elif kind == "packed.npz":
        np.savez_compressed(path, **arrays)
    elif kind == "npy":
        np.save(path, arrays["w"])
    elif kind == "pt":
        require("torch")
        import torch

        torch.save({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    elif kind == "onnx":
        require("onnx")
        import onnx

        made = [onnx.numpy_helper.from_array(array, name) for name, array in arrays.items()]
        onnx.save_model(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], made)), path)
    else:
        require("h5py")
        import h5py

        keras_file(h5py, folder / "in.h5", arrays)
        if kind == "keras":
            with zipfile.ZipFile(path, "w") as archive:
                archive.write(folder / "in.h5", "model.weights.h5")
    return path, arrays


WRITTEN = ["safetensors", "npz", "packed.npz", "npy", "pt", "onnx", "h5", "keras"]


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_copy_differs_in_what_was_changed_and_in_nothing_else(kind, tmp_path, require):
    path, _ = saved(kind, tmp_path, require)
    before = open_weights(path)
    layer = before.layers[0]
    out = tmp_path / f"out.{kind}"
    before.write(out, {})
    if kind != "packed.npz":
        assert out.read_bytes() == path.read_bytes()
    matrix = layer.read() * 2
    before.write(out, {layer.name: matrix})
    after = open_weights(out)
    assert [*after.tensors] == [*before.tensors] if kind != "npy" else True
    assert after.metadata == before.metadata
    np.testing.assert_array_equal(after.layers[0].read(), matrix)
    for name, tensor in before.tensors.items():
        if tensor is not layer.tensor:
            np.testing.assert_array_equal(after.tensors[name].read(), tensor.read())
    if kind != "packed.npz":
        region = layer.tensor.storage
        old, new = (np.frombuffer(file.read_bytes(), np.uint8) for file in (path, out))
        changed = np.flatnonzero(old != new)
        outside = changed[(changed < region.start) | (changed >= region.start + region.length)]
        assert len(outside) <= (12 if kind in ("npz", "pt", "keras") else 0)  # three checksums of four bytes
    if kind in ("npz", "packed.npz", "pt", "keras"):
        assert zipfile.ZipFile(out).testzip() is None
        assert [info.compress_type for info in zipfile.ZipFile(out).infolist()] == [
            info.compress_type for info in zipfile.ZipFile(path).infolist()
        ]
    assert sorted(entry.name for entry in tmp_path.iterdir() if "part" in entry.name) == []


def test_changed_files_open_in_their_own_programs(tmp_path, torch, require):
    for name in ("onnx", "h5py"):
        require(name)
    import h5py
    import onnx

    new = normal(7, 5)
    for kind in ("safetensors", "npz", "packed.npz", "pt", "onnx", "h5"):
        path, arrays = saved(kind, tmp_path, require)
        out = tmp_path / f"new.{kind}"
        weights = open_weights(path)
        name = next(name for name, tensor in weights.tensors.items() if tensor.shape == (7, 5))
        weights.write(out, [(weights.tensors[name], new)])
        match kind:
            case "safetensors":
                read = load_file(out)
            case "npz" | "packed.npz":
                read = np.load(out)
            case "pt":
                read = torch.load(out, weights_only=True)
            case "onnx":
                read = {
                    made.name: onnx.numpy_helper.to_array(made) for made in onnx.load(out).graph.initializer
                }
            case "h5":
                read = h5py.File(out)
        np.testing.assert_array_equal(np.asarray(read["v"]), new)
        np.testing.assert_array_equal(np.asarray(read["w"]), arrays["w"])


def test_a_network_written_unchanged_computes_the_same(tmp_path, torch):
    model = network(torch)
    x = torch.randn(4, 3, 6, 6)
    torch.save(model.state_dict(), tmp_path / "m.pt")
    open_weights(tmp_path / "m.pt").write(tmp_path / "n.pt", {})
    other = network(torch)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(torch.load(tmp_path / "n.pt", weights_only=True))
    assert torch.equal(model(x), other(x))


def test_an_onnx_model_written_unchanged_computes_the_same(tmp_path, require):
    require("onnx")
    require("onnxruntime")
    import onnx
    import onnxruntime

    onnx_model(onnx, tmp_path / "m.onnx")
    weights = open_weights(tmp_path / "m.onnx")
    weights.write(tmp_path / "n.onnx", {})
    weights.write(tmp_path / "double.onnx", [(layer, 2 * layer.read()) for layer in weights.layers])
    x = normal(3, 6)

    def run(name, flag):
        session = onnxruntime.InferenceSession(tmp_path / name, providers=["CPUExecutionProvider"])
        return session.run(None, {"x": x, "c": np.array(flag)})[0]

    for flag in (True, False):
        np.testing.assert_array_equal(run("m.onnx", flag), run("n.onnx", flag))
        np.testing.assert_array_equal(
            8 * run("m.onnx", flag), run("double.onnx", flag)
        )  # powers of two are exact


def test_thirds_of_a_fused_projection_are_written_one_by_one(tmp_path):
    array = normal(8, 24)
    save_file({"h.attn.c_attn.weight": array, "h.b": normal(24)}, tmp_path / "m.safetensors")
    weights = open_weights(tmp_path / "m.safetensors")
    weights.write(
        tmp_path / "n.safetensors",
        ((layer, layer.read() * (i + 2)) for i, layer in enumerate(weights.layers)),
    )
    expected = array * np.repeat([2, 3, 4], 8).astype(np.float32)
    np.testing.assert_array_equal(load_file(tmp_path / "n.safetensors")["h.attn.c_attn.weight"], expected)


def test_a_file_may_be_replaced_by_its_copy(tmp_path):
    save_file({"w": normal(3, 3)}, tmp_path / "m.safetensors")
    weights = open_weights(tmp_path / "m.safetensors")
    new = weights.layers[0].read() + 1
    weights.write(tmp_path / "m.safetensors", {"w": new})
    np.testing.assert_array_equal(load_file(tmp_path / "m.safetensors")["w"], new)


def test_nothing_is_left_of_a_copy_that_fails(tmp_path):
    save_file({"w": normal(3, 3, dtype=np.float16)}, tmp_path / "m.safetensors")
    weights = open_weights(tmp_path / "m.safetensors")
    for changes, why in [
        ({"w": np.full((3, 3), 1e9)}, "'w' cannot be written: a number is too large for float16"),
        ({"w": np.zeros((2, 3))}, r"'w' needs real numbers of shape \(3, 3\), not float64 of shape \(2, 3\)"),
        ({"none": np.zeros((2, 3))}, "no layer or tensor 'none'"),
    ]:
        with pytest.raises(InvalidInput, match=why):
            weights.write(tmp_path / "n.safetensors", changes)
    with pytest.raises(InvalidInput, match="cannot be written"):
        weights.write(Path("/proc/nowhere/n.safetensors"), {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["m.safetensors"]


# sizes

TEN_GIB = """
import resource, sys, json
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
from rmttheory.networks import open_weights
weights = open_weights(sys.argv[1])
total = 0.0
for layer in weights.layers[:: int(sys.argv[2])]:
    total += float(layer.read().sum(dtype="float64"))
# its own peak: ru_maxrss also has that of the process which started this one
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(json.dumps([len(weights.layers), total, int(peak.split()[1])]))
"""


def sparse_file(path, layers=160, width=4096):
    """A file of ten gigabytes that takes few pages of disk: zeros, and its number in a corner of each."""
    size = 4 * width * width
    header = json.dumps(
        {
            f"{i}.weight": {
                "dtype": "F32",
                "shape": [width, width],
                "data_offsets": [i * size, (i + 1) * size],
            }
            for i in range(layers)
        }
    ).encode()
    with open(path, "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for i in range(layers):
            file.seek(8 + len(header) + i * size)
            file.write(np.float32(i + 1).tobytes())
        file.truncate(8 + len(header) + layers * size)
    return layers


@pytest.mark.parametrize("step", [40, pytest.param(1, marks=pytest.mark.slow)])
def test_ten_gigabytes_are_read_within_one(tmp_path, step):
    layers = sparse_file(tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").stat().st_size > 10 * 2**30
    done = subprocess.run(
        [sys.executable, "-c", TEN_GIB, str(tmp_path / "m.safetensors"), str(step)],
        capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    count, total, peak = json.loads(done.stdout)
    assert count == layers
    assert total == sum(range(1, layers + 1, step))
    assert peak * 1024 < 2**30


def test_a_layer_can_be_sent_to_another_process(tmp_path):
    save_file({"w": normal(3, 4)}, tmp_path / "m.safetensors")
    layer = open_weights(tmp_path / "m.safetensors")["w"]
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(layer)).read(), layer.read())
