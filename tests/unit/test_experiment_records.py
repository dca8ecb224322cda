"""Records in the documentation are those of the scripts: the same cells, the same reading, and they draw."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rmttheory.arrays import Placement
from rmttheory.studies import figures
from rmttheory.studies.experiments import Experiment, Row, Summary, read_record
from rmttheory.theorem.verdicts import plain

ROOT = Path(__file__).parents[2]
RECORDS = sorted((ROOT / "docs/experiments").glob("*.json"))


def experiment(name) -> Experiment:
    spec = importlib.util.spec_from_file_location(name, ROOT / f"simulations/{name}.py")
    script = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, name, script)  # where its dataclasses look for their annotations
        spec.loader.exec_module(script)
    return script.EXPERIMENT


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_read_as_its_script_reads_it(path):
    name, _, preset = path.stem.partition("-")
    record, script = read_record(path), experiment(name)
    assert record["preset"] == (preset or "paper")
    assert record["cells"] == plain([dict(cell) for cell in script.presets[record["preset"]]])
    read = plain(script.summarise(record["cells"], record["results"]))
    assert record["verdict"] == read["verdict"]
    assert record["rows"] == read["rows"]
    rows = tuple(Row(**row) for row in record["rows"])
    with figures.appearance():
        drawn = script.draw(Summary(verdict=record["verdict"], rows=rows, series=record["series"]))
    assert isinstance(drawn, figures.Figure)


SMALL = {
    "cdf_slip": [
        {"shape": (240, 60), "spread": spread, "seed": 0} for spread in (0.0, 0.5, 1.0, 1.5, 1.8, 2.0)
    ],
    "certificate_audit": [
        {"g": 1.0, "l2": 0.0, "width": width, "checkpoints": 2, "seed": 0} for width in (12, 20)
    ],
}


@pytest.mark.parametrize("name", SMALL)
def test_small_cells_are_computed_read_and_drawn(name):
    script = experiment(name)
    results = [json.loads(json.dumps(plain(script.trial(cell, Placement())))) for cell in SMALL[name]]
    summary = script.summarise(SMALL[name], results)
    kept = json.loads(json.dumps(plain(summary), allow_nan=False))
    with figures.appearance():
        assert script.draw(Summary(verdict=kept["verdict"], series=kept["series"])).axes


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cdf_slip", "esd_of_signal_and_noise", "low_rank_regression"])
def test_a_cell_of_a_record_is_computed_again(name):
    """Values of matrices of width 1000 and entries of order 1 are rounded by about 1e-12, far from 1e-9."""
    record, script = read_record(ROOT / f"docs/experiments/{name}.json"), experiment(name)
    found = plain(script.trial(record["cells"][-1], Placement()))
    for quantity, kept in record["results"][-1].items():
        np.testing.assert_allclose(found[quantity], kept, rtol=1e-9, atol=1e-9)
