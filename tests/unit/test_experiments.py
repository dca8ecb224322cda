"""Experiments as scripts: what is kept, what is computed again, and what a stranger reads."""

import json

import pytest

from rmttheory.arrays import InvalidInput, Placement
from rmttheory.studies import figures
from rmttheory.studies.experiments import Experiment, Row, Summary, grid, read_record, run, run_script, table

COMPUTED = []


def trial(cell, place):
    COMPUTED.append(cell)
    if cell.get("stop"):
        raise KeyboardInterrupt
    return {"square": cell["n"] ** 2, "library": place.library}


def summarise(cells, results):
    total = sum(result["square"] for result in results)
    rows = (Row(quantity="sum", paper="13", ours=str(total), agrees=total == 13),)
    return Summary(verdict=f"The sum is {total}.", rows=rows, series={"n": [cell["n"] for cell in cells]})


def draw(summary):
    figure = figures.Figure(figsize=(2, 2))
    figure.subplots().plot(summary.series["n"])
    return figure


CELLS = grid(n=[2, 3])


def experiment(cells=CELLS):
    return Experiment(
        name="squares", title="Squares", presets={"quick": cells}, trial=trial, summarise=summarise, draw=draw
    )


@pytest.fixture(autouse=True)
def _nothing_computed():
    COMPUTED.clear()


def test_grid_is_every_combination():
    assert grid(a=[1, 2], b="xy") == (
        {"a": 1, "b": "x"},
        {"a": 1, "b": "y"},
        {"a": 2, "b": "x"},
        {"a": 2, "b": "y"},
    )


def test_record_and_figures(tmp_path):
    record = run(experiment(), out=tmp_path)
    assert record["verdict"] == "The sum is 13."
    assert record["results"] == [{"square": 4, "library": "numpy"}, {"square": 9, "library": "numpy"}]
    assert read_record(tmp_path / "squares.json") == record
    assert (tmp_path / "squares.png").read_bytes().startswith(b"\x89PNG")
    assert "| sum | 13 | 13 | yes |" in table(record)


def test_a_stopped_run_goes_on_and_ends_alike(tmp_path):
    stopped = experiment(({"n": 2}, {"n": 3, "stop": 1}, {"n": 4}))
    with pytest.raises(SystemExit, match="130"):
        run_script(stopped, ["--out", str(tmp_path / "a"), "--quiet"])
    COMPUTED.clear()
    whole = experiment(grid(n=[2, 4]))
    record = run(whole, out=tmp_path / "a")
    assert COMPUTED == [{"n": 4}]
    other = run(whole, out=tmp_path / "b")
    assert {**record, "seconds": 0} == {**other, "seconds": 0}


def test_a_damaged_cell_is_named(tmp_path):
    run(experiment(), out=tmp_path)
    cell = next((tmp_path / "cells").iterdir())
    cell.write_text('{"result"')
    with pytest.raises(InvalidInput, match=f"{cell.name} is damaged"):
        run(experiment(), out=tmp_path)


def test_cells_of_another_device_are_not_taken(tmp_path, monkeypatch):
    places = {"cpu": Placement(), "cuda": Placement("array_api_strict")}
    monkeypatch.setattr("rmttheory.studies.experiments.find_placement", places.__getitem__)
    run(experiment(), out=tmp_path)
    record = run(experiment(), out=tmp_path, device="cuda")
    assert len(COMPUTED) == 4
    assert record["command"].endswith("--device cuda")
    assert Placement(record["results"][0]["library"]).library == "array_api_strict"


def test_script_prints_and_draws_a_record(tmp_path, capsys):
    assert isinstance(run_script(experiment(), ["--out", str(tmp_path)]), figures.Figure)
    said = capsys.readouterr()
    assert "python simulations/squares.py --preset quick" in said.out
    assert "2 of 2: n=3" in said.err
    COMPUTED.clear()
    run_script(experiment(), ["--record", str(tmp_path / "squares.json")])
    assert capsys.readouterr().out == said.out
    assert not COMPUTED


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"schema": 2, "rows": []})])
def test_what_is_no_record(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InvalidInput, match=r"x\.json is no record of an experiment"):
        read_record(tmp_path / "x.json")


def test_bad_choices(tmp_path):
    with pytest.raises(InvalidInput, match="`preset` must be quick, not 'slow'"):
        run(experiment(), preset="slow", out=tmp_path)
    with pytest.raises(InvalidInput, match="Unknown device 'tpu'"):
        run(experiment(), device="tpu", out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit, match="2"):
        run_script(experiment(), ["--out", str(tmp_path / "file")])
