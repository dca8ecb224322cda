"""Files of grids: what cells they name, what they cost, and every mistake at once."""

from __future__ import annotations

import json
import math
import re

import pytest

from rmttheory.arrays import InvalidInput
from rmttheory.studies.sweeps import (
    export_run,
    parse_memory,
    parse_sweep,
    read_progress,
    read_sweep,
    resume_sweep,
    run_sweep,
)
from rmttheory.studies.sweeps.costs import BASE, Cost, _Curve, amount, check_memory, duration, estimate
from rmttheory.theorem.claims import find_claim
from rmttheory.theorem.judging import plan_trials

GRID = """
alpha = 1e-4
[[grid]]
claim = ["row_event_exact", "row_event_exact/heavy tails"]
n = [32, 64]
seed = 5
seeds = 3
trials = 40
"""


def test_cells_are_every_combination_in_the_order_of_the_file() -> None:
    cells = parse_sweep(GRID, name="grid").cells
    assert [(cell.claim, cell.parameters["n"], cell.seed) for cell in cells] == [
        (claim, n, seed)
        for claim in ("row_event_exact", "row_event_exact/heavy tails")
        for n in (32, 64)
        for seed in (5, 6, 7)
    ]
    assert {cell.trials for cell in cells} == {40}
    assert math.isclose(sum(cell.alpha for cell in cells), 1e-4)


def test_a_key_names_the_whole_content_and_nothing_else() -> None:
    cells, again = parse_sweep(GRID, name="a").cells, parse_sweep(f"# a comment\n{GRID}", name="b").cells
    assert [cell.key for cell in cells] == [cell.key for cell in again]
    assert len({cell.key for cell in cells}) == len(cells)
    for change in (("1e-4", "1e-5"), ("trials = 40", "trials = 41"), ("seed = 5", "seed = 50")):
        assert not {cell.key for cell in cells} & {
            cell.key for cell in parse_sweep(GRID.replace(*change), name="a").cells
        }


def test_the_same_cell_twice_is_one() -> None:
    assert len(parse_sweep(GRID + GRID.replace("alpha = 1e-4", ""), name="twice").cells) == 12


def test_trials_follow_from_the_share_of_the_level() -> None:
    sweep = parse_sweep('[[grid]]\nclaim = "row_event_exact"\nseeds = 10\n', name="auto")
    claim = find_claim("row_event_exact")
    assert {cell.trials for cell in sweep.cells} == {plan_trials(claim, claim.cell(), alpha=1e-7)}
    assert sweep.trials == 10 * sweep.cells[0].trials


def test_a_ladder_is_one_value_and_several_are_several() -> None:
    one = parse_sweep('[[grid]]\nclaim = "mp_bulk"\nn = [32, 64, 128]\n', name="one")
    two = parse_sweep('[[grid]]\nclaim = "mp_bulk"\nn = [[32, 64, 128], [16, 32, 64]]\n', name="two")
    assert [cell.parameters["n"] for cell in one.cells] == [(32, 64, 128)]
    assert [cell.parameters["n"] for cell in two.cells] == [(32, 64, 128), (16, 32, 64)]


def test_every_mistake_is_named_at_once() -> None:
    text = """
    alpha = 0.7
    colour = "blue"
    [[grid]]
    claim = ["row_event_exat", "mp_bulk"]
    n = [64]
    [[grid]]
    claim = "row_event_exact"
    n = [32, "wide", 0]
    widht = 3
    trials = 0
    [[grid]]
    seeds = -1
    """
    with pytest.raises(InvalidInput) as found:
        parse_sweep(text, name="wrong")
    sentence = str(found.value)
    for part in (
        "`alpha` must be",
        "unknown key 'colour'",
        "in grid 1, Unknown claim 'row_event_exat'",
        "in grid 1, `n` must be a ladder",
        "in grid 2, Unknown parameter of row_event_exact 'widht'",
        "in grid 2, `trials` must be",
        "in grid 3, `claim` must name",
        "in grid 3, `seeds` must be",
    ):
        assert part in sentence
    assert re.match(r"wrong has \d mistakes: ", sentence)
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must be one [[grid]] or more"),
        ("grid = 3", "must be one [[grid]] or more"),
        ("[[grid]", "is not TOML"),
        ('[[grid]]\nclaim = "row_event_exact"\nn = []', "`n` has no value"),
        ("[[grid]]\nclaim = 3", "Unknown claim '3'"),
        ('[[grid]]\nclaim = "mp_bulk"\nseed = 9223372036854775807\nseeds = 2', "less than 2^63"),
        ('[[grid]]\nclaim = "mp_bulk"\nseeds = 3_000_000', "is the most"),
        ('[[grid]]\nclaim = "mp_bulk"\ng = {x = 1}', "mp_bulk"),
        ('[[grid]]\nclaim = "row_event_exact"\ng = {x = 1}', "`g` must be a number"),
    ],
)
def test_bad_files_are_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(InvalidInput, match=re.escape(sentence)) as found:
        parse_sweep(text, name="bad")
    assert "\n" not in str(found.value)


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path) -> None:
    with pytest.raises(InvalidInput, match=r"Cannot read .*nothing\.toml: no such file"):
        read_sweep(tmp_path / "nothing.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="it is not text"):
        read_sweep(tmp_path / "binary.toml")


def test_costs_follow_the_power_of_the_last_two_widths() -> None:
    curve = _Curve(points=((64, 0.01, 1e6), (128, 0.08, 4e6)))
    cell = parse_sweep('[[grid]]\nclaim = "row_event_exact"\nn = 1024\ntrials = 10', name="one").cells[0]
    cost = curve.cost(cell)
    assert math.isclose(cost.seconds, 10 * 0.08 * 8**3)
    assert math.isclose(cost.memory, BASE + 4e6 * 8**2)


def test_more_trials_and_wider_layers_cost_more() -> None:
    text = '[[grid]]\nclaim = "logit_perturbation_gaussian"\nn = [64, 512]\nmethod = "dense"\ntrials = 10\n'
    text += text.replace("trials = 10", "trials = 1000")
    small, wide, many, _ = estimate(parse_sweep(text, name="costs").cells)
    assert small.seconds < wide.seconds
    assert math.isclose(many.seconds, 100 * small.seconds)
    assert 512 * 512 * 8 <= wide.memory - BASE <= 20 * 512 * 512 * 8


def test_cells_beyond_the_memory_are_refused_by_name() -> None:
    cells = parse_sweep(GRID, name="grid").cells
    costs = [Cost(seconds=1, memory=1e9 * (place + 1)) for place in range(len(cells))]
    check_memory(cells, costs, 12e9)
    with pytest.raises(InvalidInput, match=r"2 of 12 cells .* row_event_exact/heavy tails \(n=64.*11\.2 GiB"):
        check_memory(cells, costs, 10e9)


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 2**32), ("1.5 gib", 3 * 2**29), ("500MB", 500_000_000), ("4e9", 4_000_000_000)],
)
def test_amounts_of_memory(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "4 gallons", "-1GiB", "1GiB 2", "100MB"])
def test_what_is_no_amount_of_memory(text: str) -> None:
    with pytest.raises(InvalidInput, match="`memory` must be"):
        parse_memory(text)


def test_amounts_in_words() -> None:
    assert (amount(300 * 2**20), amount(1.5 * 2**30)) == ("300 MiB", "1.5 GiB")
    assert [duration(s) for s in (3, 150, 7300, 2e5, 3e6)] == ["3 s", "2.5 min", "2.0 h", "2.3 d", "35 d"]


SCRIPT = """
from __future__ import annotations
from dataclasses import dataclass
from pathlib import Path
from rmttheory.studies.experiments import Experiment, Summary, grid

Path(TRACE).write_text("carried out")

@dataclass
class Found:
    square: float
    powers: list[int]

def trial(cell, place):
    if cell["n"] == 13:
        raise (ValueError if cell["seed"] else SystemExit)("unlucky")
    return Found(square=cell["n"] ** 2 + cell["seed"], powers=cell["powers"])

EXPERIMENT = Experiment(
    name="squares", title="Squares", presets={"quick": grid(n=[1, 2], powers=[[1, 2]], seed=[0])},
    trial=trial, summarise=lambda cells, results: Summary(verdict=""), draw=None,
)
"""
SQUARES = """
[[grid]]
experiment = "lib/squares.py"
n = [3, 13]
powers = [[1, 2], [3]]
seeds = 2
[[grid]]
claim = "row_event_exact"
n = 32
trials = 20
"""


@pytest.fixture
def squares(tmp_path):
    """A file of grids, its script, and the file that the script leaves when it is carried out."""
    (tmp_path / "lib").mkdir()
    spec, script, trace = tmp_path / "grid.toml", tmp_path / "lib" / "squares.py", tmp_path / "trace"
    spec.write_text(SQUARES)
    script.write_text(SCRIPT.replace("TRACE", repr(str(trace))))
    return spec, script, trace


def test_cells_of_an_experiment_are_every_combination(squares) -> None:
    spec, script, trace = squares
    sweep = read_sweep(spec)
    cells = sweep.cells[:-1]
    assert [(cell.parameters["n"], cell.parameters["powers"], cell.seed) for cell in cells] == [
        (n, powers, seed) for n in (3, 13) for powers in ([1, 2], [3]) for seed in (0, 1)
    ]
    assert {cell.trials for cell in cells} == {1}
    assert sweep.cells[-1].alpha == 1e-6  # the level belongs to cells that are judged
    assert len({cell.key for cell in sweep.cells}) == 9
    script.write_text(script.read_text() + "# changed\n")
    again = read_sweep(spec).cells
    assert not {cell.key for cell in again[:-1]} & {cell.key for cell in cells}
    assert again[-1].key == sweep.cells[-1].key
    assert not trace.exists()


def test_a_run_of_an_experiment_holds_its_script_and_results(squares, tmp_path) -> None:
    spec, script, trace = squares
    run = run_sweep(read_sweep(spec), tmp_path / "run")
    assert run.progress.counts == {"computed": 4, "failed": 4, "consistent": 1}
    assert run.status == 2
    assert trace.read_text() == "carried out"
    trace.unlink()
    script.unlink()
    assert read_progress(tmp_path / "run").done == 9
    export_run(tmp_path / "run", tmp_path / "table.json")
    assert not trace.exists()
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["result"] for row in rows[:4]] == [
        {"square": 9 + seed, "powers": powers} for powers in ([1, 2], [3]) for seed in (0, 1)
    ]
    assert [row["failed"] for row in rows[4:8]] == ["SystemExit: unlucky", "ValueError: unlucky"] * 2
    assert rows[0]["experiment"] == "squares.py"
    again = resume_sweep(tmp_path / "run", retry_failed=True)
    assert again.progress.counts == run.progress.counts


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (("seeds = 2", "seeds = 2\ntrials = 5"), "in grid 1, `trials` are for claims"),
        (("seeds = 2", 'claim = "mp_bulk"'), "in grid 1, `claim` must name a claim or several, or"),
        (("squares.py", "circles.py"), "circles.py: no such file"),
        (("n = [3, 13]", "n = 1979-05-27"), "in grid 1, `n` must be numbers, text"),
        (("n = [3, 13]", "n = [nan]"), "in grid 1, `n` must be numbers, text"),
        (("n = [3, 13]", "m = [3, 13]"), "Cells of squares.py have n, powers: m is unknown, n is missing."),
        (("squares.py", "bare.py"), "bare.py states no EXPERIMENT with quick cells"),
        (("squares.py", "wrong.py"), "Cannot carry out wrong.py: SyntaxError"),
        (("squares.py", "leaves.py"), "Cannot carry out leaves.py: SystemExit"),
        (
            ('"lib/squares.py"', '["lib/squares.py", "squares.py"]'),
            "Two different scripts are called squares.py",
        ),
    ],
)
def test_bad_grids_of_experiments_are_one_sentence(squares, change, sentence) -> None:
    spec, script, _ = squares
    for name, text in (("bare", ""), ("wrong", "def"), ("leaves", "raise SystemExit(3)")):
        script.with_name(f"{name}.py").write_text(text)
    (spec.parent / "squares.py").write_text("")
    spec.write_text(SQUARES.replace(*change))
    with pytest.raises(InvalidInput, match=re.escape(sentence)) as found:
        run_sweep(read_sweep(spec), spec.parent / "run")
    assert "\n" not in str(found.value)
    assert not (spec.parent / "run" / "cells.sqlite").exists()
