"""A claim as an object: its parameters, how its layers are drawn, its controls, and the registry."""
# ruff: noqa: ARG005

from __future__ import annotations

import importlib
import math
from dataclasses import replace

import pytest

from rmttheory.arrays import InvalidInput
from rmttheory.theorem.claims import METHOD, WIDEST_DENSE, Claim, Control, Parameter, drawn_by, find_claim
from rmttheory.theorem.judging import verify
from rmttheory.theorem.verdicts import Kind, Outcome

EXACT = Claim(
    id="toy",
    kind=Kind.EXACT,
    statement="Toy.",
    source="derived here",
    parameters=(
        Parameter(name="n", meaning="width", typical=8, low=0, high=64),
        Parameter(name="scale", meaning="of x", typical=1.0, low=0.0),
        Parameter(name="law", meaning="of x", typical="uniform", choices=("uniform", "normal")),
    ),
    draw=lambda cell, stream: float(stream.generator().random()),
    left=lambda x: x,
    trials=20,
)
LADDER = replace(
    EXACT,
    kind=Kind.LIMIT,
    parameters=(Parameter(name="n", meaning="widths", typical=(16, 64, 256), low=1, high=1e6),),
)


class TestWay:
    """How layers are drawn follows from their noise, their width and what is asked for."""

    LAYERS = replace(
        LADDER,
        parameters=(*LADDER.parameters, Parameter(name="noise", meaning="", typical="gaussian"), METHOD),
    )

    @pytest.mark.parametrize(
        ("cell", "way"),
        [
            ({}, "band"),
            ({"method": "band"}, "band"),
            ({"noise": "gaussian", "n": 10**9}, "band"),
            ({"method": "dense"}, "dense"),
            ({"noise": "rademacher"}, "dense"),
            ({"noise": "haar", "method": "dense", "n": WIDEST_DENSE}, "dense"),
            ({"n": (64, 128, WIDEST_DENSE), "method": "dense"}, "dense"),
        ],
    )
    def test_it_takes_the_band_where_it_can(self, cell, way):
        assert drawn_by(cell) == way

    @pytest.mark.parametrize(
        ("given", "match"),
        [
            ({"noise": "uniform", "method": "band"}, "Gaussian noise only, not 'uniform'"),
            (
                {"n": (64, 128, 16385), "method": "dense"},
                "`n` must be 16384 at most .* in full, not 16385",
            ),
            ({"n": (64, 128, 16385), "noise": "student-t:5"}, "layers have noise 'student-t:5'.*, not 16385"),
            ({"method": "fast"}, "Unknown method 'fast'"),
            ({"noise": "gausian"}, "Did you mean gaussian"),
        ],
    )
    def test_layers_that_cannot_be_drawn_are_no_cell(self, given, match):
        with pytest.raises(InvalidInput, match=match):
            self.LAYERS.cell(**given)

    def test_a_claim_with_one_way_takes_any_width(self):
        assert LADDER.cell(n=(64, 128, 16385))["n"] == (64, 128, 16385)
        assert verify(LADDER, trials=3).path == ""
        assert verify(self.LAYERS, trials=3).path == "band"


class TestDoor:
    @pytest.mark.parametrize(
        ("given", "match"),
        [
            ({"n": 2.5}, "`n` must be a whole number, not 2.5"),
            ({"n": -1}, r"`n` must be a number in \[0, 64\]"),
            ({"n": 65}, r"`n` must be a number in \[0, 64\]"),
            ({"n": "many"}, "not 'many'"),
            ({"n": math.nan}, "not nan"),
            ({"n": None}, "not None"),
            ({"scale": math.inf}, "`scale` must be a number >= 0"),
            ({"law": "normel"}, "Unknown law 'normel'. Did you mean normal"),
            ({"m": 3}, "Unknown parameter of toy 'm'"),
        ],
    )
    def test_values_that_a_parameter_does_not_take(self, given, match):
        with pytest.raises(InvalidInput, match=match):
            verify(EXACT, **given)

    @pytest.mark.parametrize(
        "ladder", [64, (64,), (64, 128), (64, 64, 128), (64, 64, 64), [16, 64, 2.5], "abc"]
    )
    def test_ladders_that_are_none(self, ladder):
        with pytest.raises(InvalidInput, match="`n`"):
            verify(LADDER, n=ladder)

    def test_values_as_they_come_from_a_command_line(self):
        cell = EXACT.cell(n="16", scale="0.5")
        assert cell == {"n": 16, "scale": 0.5, "law": "uniform"}
        assert type(cell["n"]) is int
        assert EXACT.cell(n=0)["n"] == 0
        assert LADDER.cell(n=["16", 32, 64.0])["n"] == (16, 32, 64)

    def test_unknown_names_get_the_nearest(self):
        with pytest.raises(InvalidInput, match=r"Did you mean .*margin_stability"):
            verify("margin_stabilty")
        with pytest.raises(InvalidInput, match="one percent less"):
            verify("ce_lipschitz/one percent")

    def test_a_control_of_an_unknown_parameter_is_refused(self):
        claim = replace(EXACT, controls={"odd": Control(breaks="Nothing.", cell={"width": 3})})
        with pytest.raises(InvalidInput, match="width"):
            claim.broken("odd")

    def test_a_control_changes_what_it_says_and_nothing_else(self):
        changes = {"right": lambda x: 0.0}
        claim = replace(EXACT, controls={"zero": Control(breaks="All.", changes=changes, cell={"n": 9})})
        broken = claim.broken("zero")
        assert (broken.id, broken.cell()["n"], broken.cell()["scale"]) == ("toy/zero", 9, 1.0)
        assert (broken.controls, broken.grids, broken.left) == ({}, {}, claim.left)
        assert verify(broken).outcome is Outcome.REFUTED

    def test_two_claims_of_one_name_are_refused(self, monkeypatch):
        machinery = importlib.import_module("rmttheory.theorem.claims")
        machinery.registry.cache_clear()
        monkeypatch.setattr(
            machinery.importlib, "import_module", lambda name: type("M", (), {"CLAIMS": (EXACT,)})
        )
        with pytest.raises(RuntimeError, match="'toy' is registered twice"):
            machinery.registry()
        monkeypatch.undo()
        assert "margin_stability" in machinery.registry()


def test_claims_and_verdicts_are_printed_in_a_line():
    claim = find_claim("finite_confidence")
    assert repr(claim) == f"Claim('finite_confidence', tail: {claim.statement})"
    verdict = verify("mp_law_identity")
    assert str(verdict) == "mp_law_identity certified: Proved: 17 identities reduce to zero."
