"""The gallery scripts on local statistics and damping, at sizes of a second."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from rmttheory.studies.experiments import Experiment, run

SIMULATIONS = Path(__file__).parents[2] / "simulations"


def script(name):
    spec = importlib.util.spec_from_file_location(name, SIMULATIONS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small(experiment, cells):
    return Experiment(**{**vars(experiment), "presets": {"quick": cells}})


def test_local_statistics(tmp_path):
    """Fresh weights are told from independent levels, and not from what they are drawn from."""
    module = script("local_statistics")
    cells = [
        {"seed": 0, "of": "weights", "rate": 0.02, "draws": 300, "hidden": [120], "epochs": 1},
        {"seed": 0, "of": "hessian", "rate": 0.05, "draws": 300, "hidden": [3], "epochs": 1, "samples": 60},
    ]
    record = run(small(module.EXPERIMENT, cells), out=tmp_path)
    assert [row["quantity"].split(" (")[0] for row in record["rows"]] == [
        "mean ratio, weights of layer 1, before training",
        "mean ratio, weights of layer 1, after training",
        "mean ratio, Hessian, before training",
        "mean ratio, Hessian, after training",
    ]
    groups = record["series"]["groups"]
    assert (
        groups[0]["p"]["repelling"] > 1e-2 > groups[0]["p"]["independent"]
    )  # weights are drawn from this null
    assert "of 4 kinds" in record["verdict"].lower()


def test_ranks_are_p_values():
    module = script("local_statistics")
    assert module.rank(2.5, np.array([1.0, 2.0, 3.0])) == 1.0
    assert module.rank(9.0, np.arange(9.0)) == pytest.approx(0.2)


def test_damping(tmp_path):
    """Simulated noise obeys; of a network, the best shrinkage does too."""
    module = script("damping")
    cells = [
        {"seed": 0, "of": "simulated", "p": 80, "variance": 0.5, "spikes": [4.0, 3.0, 2.0], "draws": 6},
        {
            "seed": 0, "of": "network", "draws": 6, "hidden": 3, "epochs": 1, "samples": 60, "batches": [16],
        },
    ]  # fmt: skip
    record = run(small(module.EXPERIMENT, cells), out=tmp_path)
    simulated, network = record["series"]["groups"]
    for one in (simulated, network):
        assert abs(one["lowest"] - one["best"]["intensity"]) <= 5 * one["error"]
    assert simulated["best"]["intensity"] == pytest.approx(simulated["estimated"]["intensity"], abs=0.1)
    assert record["verdict"].startswith("The best shrinkage is where theory has it in ")
