"""The script on loss landscapes without the bulk: tiny cells, and its measures against whole matrices."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rmttheory import Stream
from rmttheory.arrays import Placement
from rmttheory.networks import Hessian, Network, initial_network
from rmttheory.studies.comparisons import paired_difference
from rmttheory.studies.experiments import Experiment, run

ROOT = Path(__file__).parents[2]
CELL = {
    "data": "fashion-mnist-3000:200+50", "hidden": [16, 12], "scale": 0.25, "epochs": 8, "rate": 0.02,
    "l2": 1e-4, "batch": 16, "samples": 40, "slices": 1, "steps": 8, "probes": 2,
}  # fmt: skip


@pytest.fixture(scope="module")
def module():
    spec = importlib.util.spec_from_file_location("loss_landscape", ROOT / "simulations/loss_landscape.py")
    sys.modules[spec.name] = found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_tiny_cells(module, tmp_path):
    """Every arm is trained, cut to equal size and measured; the table counts what the figure shows."""
    cells = tuple(CELL | {"seed": seed} for seed in range(2))
    record = run(Experiment(**{**vars(module.EXPERIMENT), "presets": {"quick": cells}}), out=tmp_path)
    arms = ["unpruned", *(f"{way} {time}" for time in module.TIMES for way in module.WAYS)]
    assert sorted(record["results"][0]["arms"]) == sorted(arms)
    assert len(record["rows"]) == len(arms) + len(module.TIMES) * (len(module.MEASURES) + 2)
    assert record["verdict"].startswith("Over 2 seeds, while training and after it: ")
    for row in record["rows"]:
        if " over that of unpruned" in row["quantity"]:
            bulk = float(row["ours"].removeprefix("bulk removed ").split()[0])
            if row["agrees"] is not None:
                assert row["agrees"] == ((bulk < 1) == (row["paper"] == "below 1"))
    for result in record["results"]:
        found = result["arms"]
        assert found["bulk after"]["squares"] < found["unpruned"]["squares"]
        assert (
            found["random after"]["squares"] < found["bulk after"]["squares"]
        )  # of one rank, the largest keep most


def test_controls_are_cut_to_the_size_of_the_bulk(module):
    found, ranks = module.arms(CELL, Stream(3, placement=Placement(dtype="float32")))
    for index, rank in enumerate(ranks["after"]):
        whole, bulk, mask, drawn = (
            found[arm].layers[index].weight
            for arm in ("unpruned", "bulk after", "mask after", "random after")
        )
        assert 0 < rank < min(whole.shape)
        assert np.linalg.matrix_rank(bulk) == np.linalg.matrix_rank(drawn) == rank
        assert np.count_nonzero(mask) == rank * sum(whole.shape)
    for network in found.values():
        np.testing.assert_array_equal(network.sizes, found["unpruned"].sizes)


def small():
    stream = Stream(1)
    network = initial_network((6, 5, 4, 3), stream=stream)
    return network, stream.normal((30, 6)), stream.generator().integers(0, 3, 30)


def scaled(network):
    """The same function: the second layer takes a factor of 8 from the first. Powers of 2 round nothing."""
    first, second, *rest = network.layers
    first = type(first)(first.weight / 8, first.bias / 8, first.activation)
    return Network((first, type(second)(second.weight * 8, second.bias, second.activation), *rest))


def test_relative_moves_do_not_see_exchanged_factors(module):
    """``D H D`` is that of both networks; ``H`` is not."""
    network, x, labels = small()
    one, other = (Hessian(n, x, labels) for n in (network, scaled(network)))
    eye = np.eye(network.parameter_count)

    def dense(H):
        return np.stack([module.Relative(H) @ v for v in eye])

    np.testing.assert_allclose(dense(one), dense(other), rtol=1e-12, atol=1e-13)
    assert not np.allclose(one.dense(), other.dense(), rtol=0.1)
    lengths = module.Relative(one).lengths
    np.testing.assert_allclose(dense(one), lengths[:, None] * one.dense() * lengths, rtol=1e-12, atol=1e-13)


def test_spectrum_is_that_of_the_whole_matrix(module, monkeypatch):
    """With as many steps as parameters each probe sees every eigenvalue; the rest is spread of the probes."""
    monkeypatch.setattr(module, "SIZES", np.array([0.01, 0.1]))
    network, x, labels = small()
    H = Hessian(network, x, labels)
    values = np.linalg.eigvalsh(H.dense())
    cell = {"steps": len(values), "probes": 100}
    counts, negative, trace = module.spectrum(H, cell, Stream(2))
    # A weight (q . v)^2 has standard deviation below sqrt(2) / p: within five of the sum over all values.
    spread = 5 * np.sqrt(2 / cell["probes"])
    assert trace == pytest.approx(np.sum(values), abs=spread * np.linalg.norm(values))
    for name, sign in (("above", 1), ("below", -1)):
        for count, size in zip(counts[name], module.SIZES):
            exact = np.sum(sign * values > size)
            assert count == pytest.approx(exact, abs=spread * np.sqrt(exact) + 1e-9)
    sizes = np.sum(np.abs(values))
    assert negative == pytest.approx(
        -np.sum(values[values < 0]) / sizes, abs=2 * spread * np.linalg.norm(values) / sizes
    )
    assert module.top(H, Stream(2)) == pytest.approx(values[-1], rel=1e-5)


@pytest.mark.parametrize(("x", "y"), [(3.0, 1.0), (1.0, 4.0), (2.0, 2.0), (0.0, 1.0), (1.0, 0.0)])
def test_ratio_undoes_the_relative_difference(module, x, y):
    assert module.ratio(2 * (x - y) / (x + y)) == pytest.approx(x / y if y else np.inf, rel=1e-13)


def test_says(module):
    lower = paired_difference([0.1, 0.2, 0.3], [1.1, 1.2, 1.31])
    assert [module.says(m, (lower, 0.01)) for m in ("top", "width")] == [1, -1]
    assert module.says("top", (lower, 0.2)) == 0


def test_presets_are_distinct(module):
    for cells in module.EXPERIMENT.presets.values():
        assert len({json.dumps(cell, sort_keys=True) for cell in cells}) == len(cells)
