"""How many mutants the tests see: ``python tests/mutation/run.py [--jobs N] [--only TEXT] [--out FILE]``.

Two kinds. The bound of each claim that has a witness is made one percent smaller there. And each number in a
formula, of those that `TARGETS` name, is made one percent larger, one at a time, in a copy of the package on
which the tests of that formula are run. What no test sees is printed, and belongs into `EQUIVALENT` with a
reason, or is a hole in the tests. All of these tests are run on an unchanged copy first, and must pass there:
a test that fails anyway sees nothing.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rmttheory.theorem import claims

ROOT = Path(__file__).parents[2]
BOUNDS = "tests/unit/test_stated_bounds.py"
PROOFS = "tests/symbolic/test_symbolic_claims.py"
TARGETS = (
    ("matrices/spikes.py", (), ("tests/unit/test_spikes.py", PROOFS)),
    ("matrices/laws.py", (), ("tests/unit/test_marchenko_pastur.py", "tests/symbolic/test_laws_symbolic.py")),
    ("theorem/certificates.py", (), ("tests/unit/test_certificates.py",)),
    ("theorem/statements/symbolic_spikes.py", (), (PROOFS,)),
    ("theorem/statements/symbolic_laws.py", (), (PROOFS,)),
    ("theorem/statements/symbolic_bounds.py", (), (PROOFS,)),
    ("theorem/statements/gaussian.py", ("_exact_quantile",), (BOUNDS,)),
    ("theorem/statements/radii.py", ("_tau", "_flagged", "_loss_bound"), (BOUNDS,)),
    ("theorem/statements/budgets.py", ("budget", "bound", "_bound_from_edge"), (BOUNDS,)),
    ("theorem/statements/support.py", ("threshold",), (BOUNDS,)),
    ("theorem/statements/scaled.py", ("_loss_bound", "_cross_entropy_bound", "_cross_term_bound"), (BOUNDS,)),
    ("theorem/statements/additive.py", ("scale_of_images", "_radius", "_bound"), (BOUNDS,)),
    ("theorem/statements/pruning.py", ("_bound", "_share_of_bound"), (BOUNDS,)),
    ("theorem/statements/perturbation.py", ("_wedin",), (BOUNDS,)),
    ("theorem/truncations.py", ("lost_at_edge",), ("tests/unit/test_truncations.py", BOUNDS)),
    (
        "theorem/masks.py",
        ("penalty", "objective_change", "mass", "bound"),
        (BOUNDS, "tests/property/test_removal_claims.py"),
    ),
    ("theorem/sequences.py", ("penalty", "mass"), ("tests/property/test_removal_claims.py",)),
    ("theorem/removals.py", ("budget", "radii"), ("tests/property/test_deterministic_claims.py",)),
    ("theorem/planted.py", ("radius",), (BOUNDS,)),
)
"""A module, the functions in it whose numbers are those of a formula (none: all), and the tests of them."""

EQUIVALENT = {
    "maxiter": "bounds the work of a search, not its result",
}
"""Texts of lines whose numbers are no constants of a formula, with the reason."""


@dataclass(frozen=True)
class Mutant:
    """One number of one module made one percent larger."""

    module: str
    line: int
    column: int
    function: str
    number: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.module}:{self.line}:{self.column} {self.function}, {self.number}"


def mutants() -> Iterator[Mutant]:
    """Yield a mutant for each number in the formulas of `TARGETS`."""
    for module, functions, tests in TARGETS:
        source = (ROOT / "rmttheory" / module).read_text(encoding="utf-8")
        lines = source.splitlines()
        for function in ast.walk(ast.parse(source)):
            if not isinstance(function, ast.FunctionDef) or (functions and function.name not in functions):
                continue
            for node in _numbers(function):
                text = ast.get_source_segment(source, node) or ""
                if not any(mark in lines[node.lineno - 1] for mark in EQUIVALENT):
                    yield Mutant(module, node.lineno, node.col_offset, function.name, text, tests)


def _numbers(function: ast.FunctionDef) -> Iterator[ast.Constant]:
    """Yield the numbers that arithmetic is done with, in the function itself: terms, factors and powers."""
    inner = [
        node for node in ast.walk(function) if isinstance(node, ast.FunctionDef) and node is not function
    ]
    hidden = {id(node) for one in inner for node in ast.walk(one)}
    for node in ast.walk(function):
        if isinstance(node, ast.BinOp) and id(node) not in hidden:
            for side in (node.left, node.right):
                if isinstance(side, ast.Constant) and isinstance(side.value, (int, float)) and side.value:
                    yield side


def pass_on(folder: Path, tests: tuple[str, ...]) -> bool:
    """Return whether all of ``tests`` pass on the copy of the package in ``folder``."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-P", "-m", "pytest", "-x", "-q", *tests]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=600)
    return done.returncode == 0


def copied(folder: Path) -> Path:
    """Copy the package into ``folder`` and return where it is."""
    package = folder / "rmttheory"
    shutil.copytree(ROOT / "rmttheory", package, ignore=shutil.ignore_patterns("__pycache__"))
    return package


def survives(mutant: Mutant, folder: Path) -> bool:
    """Run the tests of a mutant; return whether all of them pass."""
    path = copied(folder) / mutant.module
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    row = lines[mutant.line - 1].encode()
    end = mutant.column + len(mutant.number.encode())
    lines[mutant.line - 1] = (
        row[: mutant.column] + f"({mutant.number} * 1.01)".encode() + row[end:]
    ).decode()
    path.write_text("".join(lines), encoding="utf-8")
    return pass_on(folder, mutant.tests)


def _try(mutant: Mutant) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        return survives(mutant, Path(folder))


def at_witnesses() -> dict[str, bool]:
    """Return for each claim with a witness whether a bound one percent smaller fails there."""
    found = {}
    for claim in claims():
        if claim.witness:
            case = claim.witness()
            found[claim.id] = claim.left(case) > 0.99 * claim.right(case) + claim.rounding(case)
    return found


def main() -> None:
    """Run all mutants and print what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="Only modules whose path holds this text.")
    parser.add_argument("--out", help="JSON file of the survivors.")
    given = parser.parse_args()
    witnesses = at_witnesses()
    missed = [name for name, seen in witnesses.items() if not seen]
    print(f"bounds at witnesses: {len(witnesses) - len(missed)} of {len(witnesses)} seen {missed or ''}")
    tried = [mutant for mutant in mutants() if given.only in mutant.module]
    for tests in sorted({mutant.tests for mutant in tried}):
        with tempfile.TemporaryDirectory() as folder:
            copied(Path(folder))
            if not pass_on(Path(folder), tests):
                sys.exit(f"These tests fail without any mutant: {' '.join(tests)}")
    with ThreadPoolExecutor(given.jobs) as pool:
        alive = [mutant for mutant, lives in zip(tried, pool.map(_try, tried)) if lives]
    for mutant in alive:
        print(f"not seen: {mutant.name}")
    seen, total = len(tried) - len(alive), len(tried) + len(witnesses)
    print(f"numbers in formulas: {seen} of {len(tried)} seen")
    caught = seen + len(witnesses) - len(missed)
    print(f"together: {caught} of {total}, {100 * caught / total:.1f} %")
    if given.out:
        document = {"total": total, "caught": caught, "not_seen": [m.name for m in alive] + missed}
        Path(given.out).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
