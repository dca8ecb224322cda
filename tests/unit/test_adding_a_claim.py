"""The walk through of the documentation works: one file, and everything picks the claim up."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/develop/adding-a-claim.md"


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the package with the file of the page in its place."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rmttheory", folder / "rmttheory", ignore=ignored)
    shutil.copytree(
        ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("_build", "claims", "gallery")
    )
    (code,) = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
    )
    (folder / "rmttheory/theorem/statements/norms.py").write_text(code, encoding="utf-8")
    return folder


def run(copy, *arguments):
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    command = [sys.executable, "-P", *arguments]
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


def test_the_command_line_knows_it(copy):
    listed = json.loads(run(copy, "-m", "rmttheory", "claims", "--json").stdout)
    assert "nuclear_norm" in {one["id"] for one in listed}
    judged = run(copy, "-m", "rmttheory", "verify", "nuclear_norm", "--json")
    (verdict,) = json.loads(judged.stdout)["verdicts"]
    assert (judged.returncode, verdict["outcome"]) == (0, "consistent")
    assert verdict["worst_ratio"] > 0.99
    assert run(copy, "-m", "rmttheory", "controls", "nuclear_norm", "--jobs", "1").returncode == 0


def test_the_tests_know_it(copy):
    tests = ROOT / "tests/statistical/test_all_claims.py"
    done = run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests), "-k", "nuclear_norm")
    assert re.search(r"^6 passed", done.stdout, flags=re.MULTILINE), done.stdout


def test_the_documentation_knows_it(copy):
    code = (
        "import sys, pathlib; sys.path.insert(0, 'docs'); import claims_page as p\n"
        "claim = {c.id: (m, c) for m, c in p.located()}['nuclear_norm']\n"
        "folder = pathlib.Path('docs/claims'); folder.mkdir()\n"
        "print(p.page(claim[1], claim[0], [], folder)); print(p.coverage())"
    )
    shown = run(copy, "-c", code)
    assert shown.returncode == 0, shown.stderr
    assert "# nuclear_norm" in shown.stdout
    assert "`nuclear_norm/larger side`" in shown.stdout
    assert "| [nuclear_norm](claims/nuclear_norm.md) | Cauchy and Schwarz |" in shown.stdout
    assert (copy / "docs/claims/nuclear_norm.svg").read_bytes().startswith(b"<?xml")
