"""The table of coverage names what there is, and leaves no row empty without a reason."""

import json
import sys
import tomllib
from pathlib import Path

import pytest

from rmttheory.theorem.claims import registry
from rmttheory.theorem.trained.predicates import PREDICATES

DOCS = Path(__file__).parents[2] / "docs"
LISTED = tomllib.loads((DOCS / "papers.toml").read_text(encoding="utf-8"))
STATEMENTS = [one for paper in LISTED["paper"] for one in paper["statement"]]


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda one: one["name"])
def test_a_statement_is_judged_or_says_why_not(statement):
    assert set(statement.get("claims", [])) <= set(registry())
    assert statement.get("claims") or statement["reason"].endswith(".")


def test_every_reconstruction_is_marked():
    ours = {name for one in LISTED["paper"][1]["statement"] for name in one.get("claims", [])}
    marked = {claim.id for claim in registry().values() if claim.reconstructed}
    assert marked <= ours
    assert len(marked) == 5


@pytest.mark.parametrize("hypothesis", LISTED["hypothesis"], ids=lambda one: one["name"])
def test_a_hypothesis_is_measured_or_says_why_not(hypothesis):
    known = {one.id for claim in registry().values() for one in claim.hypotheses}
    assert set(hypothesis.get("known", [])) <= known
    assert set(hypothesis["trained"]) <= {predicate.id for predicate in PREDICATES}
    assert hypothesis.get("known") or hypothesis["reason"].endswith(".")


def test_every_predicate_is_listed():
    listed = [name for one in LISTED["hypothesis"] for name in one["trained"]]
    assert sorted(listed) == sorted(predicate.id for predicate in PREDICATES)


def test_the_recorded_run_is_of_these_claims():
    """Its verdicts stand on the pages of the claims; record it again where this fails."""
    document = json.loads((DOCS / "results.json").read_text(encoding="utf-8"))
    judged = {}
    for verdict in document["verdicts"]:
        judged.setdefault(verdict["claim"], []).append(verdict["cell"])
    for claim in registry().values():
        cells = [claim.cell(**cell) for cell in claim.grids.get("standard", ({},))]
        plain = [json.loads(json.dumps(cell)) for cell in cells]
        assert all(cell in judged.get(claim.id, []) for cell in plain), claim.id


def test_pages_are_in_step_with_their_source():
    sys.path.insert(0, str(DOCS))
    import claims_page

    sys.path.pop(0)
    for module, claim in claims_page.located():
        source = Path(sys.modules[module].__file__)
        first, last = claims_page.lines_of(claim, source)
        text = "".join(source.read_text(encoding="utf-8").splitlines(keepends=True)[first - 1 : last])
        assert f'id="{claim.id}"' in text
