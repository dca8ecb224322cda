"""The main job from the command line: the table, the document, and the same from any number of processes."""

from __future__ import annotations

import json
import re
from importlib import resources

import jsonschema
import pytest
from program import IDS, start

SCHEMA = json.loads(resources.files("rmttheory.studies").joinpath("verdicts.schema.json").read_text("utf-8"))


def without_times(document):
    """Return the document without what the schema says differs between runs."""
    bare = {name: value for name, value in document.items() if name != "times"}
    bare["verdicts"] = [{**verdict, "seconds": 0} for verdict in document["verdicts"]]
    return bare


def validate(document):
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_document_keeps_the_schema(verified):
    validate(json.loads((verified[0] / "verdicts.json").read_text("utf-8")))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.pop("seed"),
        lambda d: d.update(schema=2),
        lambda d: d["verdicts"][0].pop("outcome"),
        lambda d: d["verdicts"][0].update(outcome="CERTIFIED"),
        lambda d: d["verdicts"][0].update(upper=1.5),
        lambda d: d["verdicts"][0].update(surprise=1),
        lambda d: d["network"]["examination"]["layers"][0]["hypotheses"][0].update(reading="maybe"),
    ],
)
def test_schema_refuses_a_spoiled_document(verified, spoil):
    document = json.loads((verified[0] / "verdicts.json").read_text("utf-8"))
    spoil(document)
    with pytest.raises(jsonschema.ValidationError):
        validate(document)


def test_verdicts_do_not_depend_on_the_number_of_processes(verified, images):
    """The whole document of one process equals that of two, trained network and curves included."""
    process = start("verify", *IDS, "--data", images, "--seed", 3, "--jobs", 1, "--json", "--quiet")
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    alone = json.loads(out)
    validate(alone)
    together = json.loads((verified[0] / "verdicts.json").read_text("utf-8"))
    assert (alone["times"]["workers"], together["times"]["workers"]) == (1, 2)
    assert without_times(alone) == without_times(together)


def test_table_and_progress(verified):
    folder, out, err = verified
    lines = out.splitlines()
    headings = ("claim", "kind", "verdict", "trials", "violations", "upper limit", "tightness")
    assert re.split(r"  +", lines[0].strip()) == list(headings)
    for name in (*IDS, "margin_stability (layer 0 of tiny.npz)"):
        assert any(line.startswith(name) for line in lines)
    assert "begin to speak at" in out
    assert lines[-1] == f"Report: {folder / 'report.html'}"
    assert err.startswith("tiny.npz: 120 training and 60 test samples of 16 inputs in 3 classes")
    for line in ("consistent   ce_lipschitz: No counterexample", "certified    mp_law_identity: Proved"):
        assert line in err


def test_report_names_the_width_of_each_vacuous_bound(verified):
    document = json.loads((verified[0] / "verdicts.json").read_text("utf-8"))
    vacuous = [verdict for verdict in document["verdicts"] if verdict["outcome"] == "vacuous"]
    page = (verified[0] / "report.html").read_text("utf-8")
    assert vacuous
    assert all(verdict["speaks_at"] is not None for verdict in vacuous)
    assert page.count("begin to speak at") == len(vacuous)


def test_a_refuted_claim_is_status_1_and_leaves_a_counterexample_to_replay(run, tmp_path):
    from rmttheory.theorem.claims import find_claim

    control = next(iter(find_claim("ce_lipschitz").controls))
    status, out, err = run("verify", f"ce_lipschitz/{control}", "--jobs", 1, "--out", tmp_path, "--json")
    assert status == 1
    document = json.loads(out)
    validate(document)
    (verdict,) = document["verdicts"]
    assert verdict["outcome"] == "refuted"
    file = tmp_path / "counterexamples" / f"ce_lipschitz.{control}.json"
    status, out, err = run("verify", "--replay", file, "--json")
    assert (status, err) == (1, "")
    replayed = json.loads(out)
    assert replayed["broken"] is True
    assert replayed["trial"] == verdict["counterexample"]
    assert (replayed["left"], replayed["right"]) == tuple(
        json.loads(file.read_text())[side] for side in ("left", "right")
    )
    assert "breaks the claim" in run("verify", "--replay", file)[1]


def test_quiet_says_nothing(run):
    assert run("verify", "ce_lipschitz", "--jobs", 1, "--quiet") == (0, "", "")


def test_json_is_all_that_stdout_holds(run):
    status, out, err = run("verify", "ce_lipschitz", "--jobs", 1, "--json")
    assert status == 0
    assert json.loads(out)["network"] is None
    assert "ce_lipschitz" in err


def test_controls_keep_the_schema_too(run):
    validate(json.loads(run("controls", "ce_lipschitz", "--jobs", 1, "--json")[1]))


def test_widths_reach_the_claims(run):
    _, out, _ = run("verify", "mp_bulk", "--n", "16,32,64", "--jobs", 1, "--json", "--quiet")
    assert json.loads(out)["verdicts"][0]["cell"]["n"] == [16, 32, 64]


def test_a_width_without_ids_says_what_is_left_out(run, images, monkeypatch):
    """On three claims, since all of them take long."""
    from rmttheory.theorem.claims import find_claim

    few = tuple(find_claim(name) for name in ("finite_confidence", "margin_stability", "bgn_outlier"))
    monkeypatch.setattr("rmttheory.studies.grid.claims", lambda: few)
    status, out, err = run("verify", "--n", "4e3", "--data", images, "--jobs", 1, "--json", "--alpha", "0.1")
    document = json.loads(out)
    assert status == 0
    assert {one["claim"] for one in document["left_out"]} == {"margin_stability", "bgn_outlier"}
    judged = [one["cell"] for one in document["verdicts"] if one["claim"] == "finite_confidence"]
    assert {cell["n"] for cell in judged if "layer" not in cell} == {4000}
    assert err.count("Left out: ") == 2
    assert "Left out: margin_stability. `n` must be a number in [1, 2048], not 4000." in err


def test_how_layers_are_drawn_is_said_and_can_be_forced(run):
    asked = ("verify", "tw_edge", "--n", "40", "--alpha", "0.1", "--jobs", 1)
    assert run(*asked)[1].strip().endswith("Layers were drawn without the matrix.")
    (forced,) = json.loads(run(*asked, "--dense", "--json", "--quiet")[1])["verdicts"]
    assert (forced["path"], forced["cell"]["method"]) == ("dense", "dense")


def test_seed_changes_what_is_drawn_and_nothing_planned(run):
    one, two = (json.loads(run("verify", "mp_bulk", "--seed", s, "--jobs", 1, "--json")[1]) for s in (1, 2))
    assert one["verdicts"][0]["slope"] != two["verdicts"][0]["slope"]
    assert one["verdicts"][0]["trials"] == two["verdicts"][0]["trials"]
