"""The scripts that repeat the papers' training runs: tiny cells through trial, summary and figure."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rmttheory.arrays import Placement
from rmttheory.studies import figures
from rmttheory.studies.experiments import Summary
from rmttheory.theorem.verdicts import plain

ROOT = Path(__file__).parents[2]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"simulations/{name}.py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def computed(module, cells):
    """Compute some cells, read and draw them, and return the summary with the results."""
    experiment = module.EXPERIMENT
    assert experiment.name == Path(module.__file__).stem
    results = [json.loads(json.dumps(plain(experiment.trial(cell, Placement())))) for cell in cells]
    summary = experiment.summarise(cells, results)
    kept = json.loads(json.dumps(plain(summary), allow_nan=False))
    with figures.appearance():
        assert experiment.draw(Summary(verdict=kept["verdict"], series=kept["series"])).axes
    return summary, results


SCRIPTS = (
    "noise_on_weights",
    "oracle_and_edge",
    "outer_scale",
    "penalties_and_pruning",
    "published_runs",
)


@pytest.mark.parametrize("name", SCRIPTS)
def test_presets_are_distinct_cells(name):
    presets = script(name).EXPERIMENT.presets
    for cells in presets.values():
        assert len({json.dumps(cell, sort_keys=True) for cell in cells}) == len(cells)


def test_outer_scale():
    module = script("outer_scale")
    common = {"data": ["fashion-mnist-3000:200+50"], "batch": [16], "seed": [0, 1]}
    cells = module.cells("after", n=[12, 24], epochs=[6], **common)[:4]
    cells += module.cells("before", n=[12], epochs=[1], **common)[:2]
    summary, results = computed(module, cells)
    ours = {row.quantity: row.ours for row in summary.rows}
    assert ours["networks that learned, 1/N, inputs scaled before training, l1 = 1e-06"] == "0 of 2"
    assert 0 < results[0]["mean"] < results[0]["scale"]


def test_the_outer_scale_of_one_sample():
    module = script("outer_scale")
    start = module.initial({"n": 5, "init": "1/N", "seed": 0}, 7, 3, Placement())
    x = np.ones((1, 7))
    W1, _, W3 = (layer.weight for layer in start.layers)
    expected = np.max(np.sum(np.abs(W3), axis=1)) * np.linalg.norm(W1 @ x[0])
    np.testing.assert_allclose(module.outer_scale(start, x), [expected], rtol=1e-13)


def test_published_scale_is_the_diagnostic_without_its_factor():
    module = script("outer_scale")
    slopes = {init: module.slope_of(module.WIDTHS, module.PUBLISHED[init]) for init in module.INITIAL}
    assert slopes["1/N"] == pytest.approx(-0.43, abs=0.01)
    assert slopes["1/N^2"] == pytest.approx(-0.84, abs=0.01)


def test_noise_on_weights():
    module = script("noise_on_weights")
    given = {"data": "fashion-mnist-3000:200+50", "n": 24, "epochs": 1, "rate": 0.02, "batch": 32}
    cells = [given | {"seed": seed} for seed in range(2)]
    summary, results = computed(module, cells)
    law = next(row for row in summary.rows if row.quantity.startswith("rise of the L2 loss"))
    assert law.agrees
    for result in results:
        for one in result["draws"]:
            one["added"] *= 1.5
    broken = module.summarise(cells, results)
    assert not next(row for row in broken.rows if row.quantity == law.quantity).agrees


def test_penalties_and_pruning():
    module = script("penalties_and_pruning")
    given = {"data": ["fashion-mnist-3000:150+50"], "n": [12], "epochs": [5], "rate": [0.01], "batch": [50]}
    cells = module.cells(seed=[0, 1], **given)
    summary, results = computed(module, cells)
    by_name = {(c["protocol"], c["arm"], c["seed"]): r for c, r in zip(cells, results)}
    control = by_name["published", "neither", 0]["history"]
    assert control[0] == control[1] == control[2]  # it is not trained before its optimiser is first rebuilt
    assert module.protocol(cells[-1] | {"protocol": "published"}).rates("control") == (0, 0, 0, 0.01, 0.01)
    assert by_name["equal", "MP", 0]["parameters"] < by_name["equal", "neither", 0]["parameters"]
    assert len(summary.rows) == 1 + 2 * 5 + 2 * 2 + 1


def test_oracle_and_edge():
    module = script("oracle_and_edge")
    cells = [
        {"n": 60, "theta": theta, "kind": kind, "seed": seed}
        for theta in (0.7, 3.0)
        for kind in module.SPREAD
        for seed in range(2)
    ]
    summary, results = computed(module, cells)
    for result in results:
        assert result["oracle"]["share"] == pytest.approx(1)
        assert result["oracle"]["error"] == result["none"]["moved"] == 0
    assert len(summary.series["limits"]["truncation"]) == 120


@pytest.mark.parametrize("theta", [1.2, 2.0, 5.0])
def test_what_each_operation_keeps_of_a_spike(theta):
    module = script("oracle_and_edge")
    assert module.kept_share("truncation", theta) == pytest.approx(1 - theta**-4)
    ratio = module.kept_share("inverse BBP", theta) / module.kept_share("truncation", theta)
    assert ratio == pytest.approx(theta**2 / (1 + theta**2))
    assert module.kept_share("shrinkage", theta) == pytest.approx(
        module.kept_share("inverse BBP", theta) ** 2
    )


def test_published_runs():
    module = script("published_runs")
    given = {"data": ["fashion-mnist-3000:100+50"], "batch": [50], "seed": [0, 1]}
    cells = module.cells(12, 20, epochs=14, short=5, **given)
    summary, results = computed(module, cells)
    by_arm = {(c["arm"], c["seed"]): r for c, r in zip(cells, results)}
    pruned, steps = by_arm["pruned", 0], by_arm["steps only", 0]
    assert pruned["rates"] == steps["rates"]
    assert pruned["train"][:11] == steps["train"][:11]  # the twelfth is taken after the pruning
    assert pruned["rates"][12] / pruned["rates"][11] == pytest.approx(0.96**13)
    assert by_arm["pruned, equal", 0]["rates"] == by_arm["control, equal", 0]["rates"]
    assert by_arm["shallow pruned", 0]["parameters"] < by_arm["shallow control", 0]["parameters"]
    ours = {row.quantity: row.ours for row in summary.rows}
    twelfth = np.mean([by_arm["steps only", seed]["train"][11] for seed in (0, 1)])
    assert ours["train accuracy at epoch 12"].startswith(f"{100 * twelfth:.2f} ")
