"""Inspection of a layer and of a model: numbers, reasons, order, and what reaches people."""

from __future__ import annotations

import json

import numpy as np
import pytest

import rmttheory as rt
from rmttheory.arrays import InvalidInput
from rmttheory.studies.inspected import Advice
from rmttheory.theorem.hypotheses import Reading


def planted(shape=(120, 80), spikes=(5.0, 4.0, 3.0), seed=0, g=1.0):
    rng = np.random.default_rng(seed)
    n = shape[0]
    U, V = (np.linalg.qr(rng.standard_normal((size, len(spikes))))[0] for size in shape)
    return (U * np.array(spikes)) @ V.T + np.sqrt(g / n) * rng.standard_normal(shape)


@pytest.fixture(scope="module")
def model():
    rng = np.random.default_rng(1)
    return {
        "head.weight": planted(seed=4),
        "body.noise": np.random.default_rng(11).standard_normal((60, 60)).astype(np.float32),
        "body.structured": rng.standard_normal((60, 90)) * rng.exponential(size=90) ** 2,
        "conv.weight": rng.standard_normal((32, 8, 3, 3)).astype(np.float16),
        "zero": np.zeros((20, 20)),
        "constant": np.full((20, 20), 0.5),
        "small": rng.standard_normal((4, 20)),
        "broken": np.full((20, 20), np.nan),
        "cut": rng.standard_normal((30, 3)) @ rng.standard_normal((3, 30)),
        "bias": rng.standard_normal(30),
        "count": np.array(3),
    }


@pytest.fixture(scope="module")
def found(model):
    return rt.inspect(model)


def test_numbers_of_a_planted_layer():
    W = planted()
    layer = rt.inspect_layer(W, name="planted")
    s = np.linalg.svd(W, compute_uv=False)
    assert layer.edge.spikes == 3
    assert layer.advice is Advice.CUT
    assert (layer.recommended_rank, layer.saved) == (3, 120 * 80 - 3 * 200)
    assert layer.energy == pytest.approx(np.sum(s[:3] ** 2) / np.sum(s**2), rel=1e-12)
    assert layer.stable_rank == pytest.approx(np.sum(s**2) / s[0] ** 2, rel=1e-12)
    assert abs(layer.edge.g - 1) < 5 * layer.edge.g_error
    assert layer.edge.edge_error == pytest.approx(layer.edge.edge * layer.edge.g_error / 2 / layer.edge.g)
    assert not {"mp_bulk", "iid_gaussian", "biunitary", "edge"} & set(layer.read(Reading.FAILS))
    assert "subgaussian_rows" in layer.read(Reading.UNKNOWN)


def test_scale_and_transposition_change_what_they_must():
    one, other = rt.inspect_layer(planted()), rt.inspect_layer(2.0**-40 * planted().T)
    assert one.edge.spikes == other.edge.spikes
    assert one.edge.p_value == other.edge.p_value
    assert one.tail.exponent == pytest.approx(other.tail.exponent, rel=1e-9)
    assert one.spread.left == pytest.approx(other.spread.right, rel=1e-6)
    assert other.edge.edge == pytest.approx(2.0**-40 * one.edge.edge, rel=1e-9)


def test_advice(found):
    advice = {layer.name: layer.advice for layer in found}
    assert advice["head.weight"] is Advice.CUT
    assert advice["body.noise"] is Advice.NO_SPIKE
    assert advice["body.structured"] is Advice.NO_BULK
    assert found["body.structured"].recommended_rank == 60
    assert found["body.structured"].saved == 0


def test_everything_left_out_is_named_with_the_reason(found, model):
    reasons = {one.name: one.reason for one in found.skipped}
    assert reasons["zero"] == "all its entries are 0"
    assert reasons["constant"] == "all its entries are 0.5"
    assert reasons["small"] == "it is 4 x 20, and a bulk takes 16 singular values or more"
    assert "400 NaN" in reasons["broken"]
    assert "zero to rounding" in reasons["cut"]
    assert "vector" in reasons["bias"]
    assert set(reasons) | {layer.name for layer in found} == set(model)
    assert found["conv.weight"].shape == (32, 72)
    with pytest.raises(InvalidInput, match="No layer 'zero' was inspected: all its entries are 0"):
        found["zero"]


def test_orders(found):
    energies = [layer.energy for layer in found.sorted("energy")]
    assert energies == sorted(energies, reverse=True)
    assert [layer.name for layer in found.sorted("name")] == sorted(layer.name for layer in found)
    assert found.sorted("file") is found
    with pytest.raises(InvalidInput, match="Unknown sort"):
        found.sorted("beauty")


def test_plain_values(found):
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert set(plain) == {"schema", "source", "format", "layers", "skipped"}
    layer = plain["layers"][0]
    assert {"name", "kind", "choice", "shape", "aspect", "edge", "tail", "spread", "energy"} <= set(layer)
    assert {"stable_rank", "entropy_rank", "hypotheses", "advice", "recommended_rank", "saved"} <= set(layer)


def test_tables(found):
    page = found._repr_html_()
    assert page.count("<tr>") == len(found) + 1
    assert "<b>" not in rt.inspect({"<b>": planted()})._repr_html_().split("<table>")[1]
    frame = pytest.importorskip("pandas") and found.to_pandas()
    assert list(frame["name"]) == [layer.name for layer in found]
    assert not frame.isna().any().any()


def test_figures_on_request(found):
    from rmttheory.studies.figures import Figure

    assert isinstance(found.plot(), Figure)
    assert isinstance(found.plot("body.noise"), Figure)


def test_processes_change_nothing(model, found):
    chosen = {name: model[name] for name in ("head.weight", "body.noise", "zero")}
    again = rt.inspect(chosen, jobs=2)
    assert [layer.to_dict() for layer in again] == [found[layer.name].to_dict() for layer in again]


def test_a_live_module():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(40, 60), torch.nn.Conv2d(8, 24, 3))
    found = rt.inspect(module)
    assert [(layer.kind, layer.shape) for layer in found] == [("dense", (60, 40)), ("convolution", (24, 72))]


@pytest.mark.parametrize(
    ("source", "layers", "message"),
    [
        ({}, "*", "holds no matrix"),
        ({"b": np.zeros(3)}, "*", "holds no matrix to inspect .'b': a vector"),
        ({"w": np.ones((20, 20))}, "x*", "matches none of the 1 layers"),
        (5, "*", "`source` must be a path"),
        ({"w": "text"}, "*", "`source` must be a path"),
        ("missing.npz", "*", "There is no file"),
    ],
)
def test_bad_sources(source, layers, message):
    with pytest.raises(InvalidInput, match=message):
        rt.inspect(source, layers=layers)


@pytest.mark.parametrize(
    "W", [np.ones((20, 20)), np.ones(5), np.full((20, 20), np.inf), np.ones((3, 3)), "W"]
)
def test_bad_matrices(W):
    with pytest.raises(InvalidInput, match="`W`"):
        rt.inspect_layer(W)
