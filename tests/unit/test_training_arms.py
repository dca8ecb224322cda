"""Arms of one experiment: what they share, what they store, and the scripts that compare them."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput, Placement, Stream
from rmttheory.networks import Protocol, PruningSchedule, load_dataset, published_protocol
from rmttheory.networks.bulks import FittedEdge
from rmttheory.studies import figures
from rmttheory.studies.comparisons import holm
from rmttheory.studies.experiments import Summary
from rmttheory.studies.training_arms import ARMS, named_network, train_arms
from rmttheory.theorem.verdicts import plain

ROOT = Path(__file__).parents[2]
DATA = load_dataset("fashion-mnist-3000:200+100")
STREAM = Stream(3, placement=Placement(dtype="float32"))
SCHEDULE = PruningSchedule(epochs=(2,), edge=FittedEdge(gate=0.0), factor=True)
EQUAL = Protocol(schedule=SCHEDULE, epochs=3)


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"simulations/{name}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def computed(module, cells):
    """Compute some cells, read and draw them, and return the summary with the results."""
    experiment = module.EXPERIMENT
    results = [json.loads(json.dumps(plain(experiment.trial(cell, Placement())))) for cell in cells]
    summary = experiment.summarise(cells, results)
    kept = json.loads(json.dumps(plain(summary), allow_nan=False))
    with figures.appearance():
        assert experiment.draw(Summary(verdict=kept["verdict"], series=kept["series"])).axes
    return summary, results


def test_arms_of_equal_size():
    network = named_network("48-24", DATA, stream=STREAM)
    found = train_arms(network, DATA, EQUAL, stream=STREAM)
    assert tuple(found) == ARMS
    assert found["none"].parameters == network.parameter_count > found["bulk"].parameters
    for arm in ("magnitude", "random", "thin"):
        assert found[arm].parameters == found["bulk"].parameters
        assert found[arm].dense_parameters == found[arm].parameters
    for arm in ("random", "thin"):
        assert all(a <= b for a, b in zip(found[arm].ranks, found["bulk"].ranks))
    assert found["none"].ranks == (48, 24, 10)


def test_without_anything_removed_the_arms_are_one():
    network = named_network("48-24", DATA, stream=STREAM)
    idle = replace(EQUAL, schedule=SCHEDULE.control())
    found = train_arms(network, DATA, idle, arms=("none", "bulk"), stream=STREAM)
    assert found["none"] == found["bulk"]


def test_published_protocol_has_two_arms():
    network = named_network("24", DATA, stream=STREAM)
    protocol = published_protocol(every=2, epochs=3)
    assert set(train_arms(network, DATA, protocol, arms=("none", "bulk"), stream=STREAM)) == {"none", "bulk"}
    with pytest.raises(InvalidInput, match="prunes once"):
        train_arms(network, DATA, protocol, stream=STREAM)


@pytest.mark.parametrize("name", ["", "300,100", "conv 8-16", "conv 8; 3"])
def test_names_of_networks(name):
    with pytest.raises(InvalidInput, match="must be like"):
        named_network(name, DATA, stream=STREAM)


def test_convolutional_name():
    network = named_network("conv 2-3, 5", DATA, stream=STREAM)
    assert [network.layers[i].shape[0] for i in network.weighted] == [2 * 28 * 28, 3 * 14 * 14, 5, 10]


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([0.5, 0.9]) == pytest.approx((1.0, 1.0))
    assert holm([]) == ()


def test_arms_script():
    module = script("arms")
    cells = module.grid(
        data=["fashion-mnist-3000:200+100"],
        net=["24", "conv 2-3, 12"],
        epochs=[4],
        protocol=module.PROTOCOLS,
        seed=range(3),
    )
    summary, results = computed(module, cells)
    assert len(results) == 18
    kinds = [row.quantity.split(",")[0] for row in summary.rows if row.paper == "yes"]
    assert len(kinds) == 10  # three claims under three protocols, and the landscape
    assert "4 tests" not in summary.verdict
    accuracy = np.mean([r["arms"]["none"]["accuracy"] for c, r in zip(cells, results) if c["seed"] < 3][:3])
    assert summary.series["table"][0]["arms"]["none"]["accuracy"]["value"] == pytest.approx(accuracy)


def test_parameters_kept_script():
    module = script("parameters_kept")
    cells = module.grid(
        data=["fashion-mnist-3000:200+100"], net=["32-24"], l2=[3e-3], epochs=[4], seed=[0, 1]
    )
    summary, results = computed(module, cells)
    cuts = results[0]["cuts"]
    assert len(cuts) == len(module.SCALES) * len(module.ARMS)
    assert all(cut["realised"] <= cut["stays"] for cut in cuts)
    proved = [cut for cut in cuts if "certified" in cut]
    assert {cut["arm"] for cut in proved} == {"truncated"}
    assert all(cut["certified"] <= cut["stays"] and not cut["wrongly certified"] for cut in proved)
    sizes = [
        {c["parameters"] for c in cuts if c["scale"] == s and c["arm"] != "shrunk"} for s in module.SCALES
    ]
    assert all(len(one) == 1 for one in sizes)
    assert "certified" in summary.verdict


def test_everything_kept_is_certified():
    module = script("parameters_kept")
    network = named_network("32-24", DATA, stream=STREAM, bias=False)
    x, labels = DATA.test_x, DATA.test_y
    judged = module.judged(network, network, x, labels, network.logits(x), prove=True)
    assert judged["realised"] == judged["stays"] == 1
    assert judged["certified"] >= 0.9  # of a start some margins are as small as rounding can be


def test_initialisations_script():
    module = script("initialisations")
    cells = module.grid(
        data=["fashion-mnist-3000:200+100"], net=["24"], scale=["he", "1/N^2"], epochs=[4], seed=range(3)
    )
    summary, results = computed(module, cells)
    assert len(summary.rows) == 4
    gains = [100 * (r["arms"]["bulk"]["accuracy"] - r["arms"]["none"]["accuracy"]) for r in results[:3]]
    assert summary.rows[0].ours.startswith(f"{np.mean(gains):.2f} [")
