"""The page of slips shows what the script computes, and both versions differ where it says so."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("published_slips", ROOT / "simulations/published_slips.py")
SCRIPT = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(SCRIPT)
TABLE = (ROOT / "docs/slips-table.md").read_text(encoding="utf-8")
QUICK = [slip for slip in SCRIPT.SLIPS if slip.__name__ != "both_slips_level"]  # which takes ten seconds


@pytest.mark.parametrize("slip", QUICK, ids=lambda slip: slip.__name__)
def test_the_page_shows_what_is_computed(slip):
    rows = list(slip())
    assert f"| {slip.__name__} | published | corrected |" in TABLE
    for row in rows:
        assert f"| {' | '.join(row)} |" in TABLE
    assert any(published != corrected for _, published, corrected in rows)


def test_every_slip_is_on_the_page():
    assert TABLE.count("| published | corrected |") == len(SCRIPT.SLIPS)
