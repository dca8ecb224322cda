"""Write one page a claim and the table of coverage, from the claims themselves and from what a run recorded.

A page cannot fall behind its claim: statement, hypotheses, controls and code are read off the object,
verdicts come from ``results.json``, and the figure is drawn from the same trials that a run would draw.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import tomllib
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from rmttheory.studies import figures
from rmttheory.studies.curves import limit_curve
from rmttheory.studies.style import number, span
from rmttheory.studies.tables import cell_values
from rmttheory.theorem import Claim, Kind, statements
from rmttheory.theorem.claims import Parameter, registry
from rmttheory.theorem.judging import POWER, Trials, plan_trials, run_trials
from rmttheory.theorem.trained.predicates import PREDICATES

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
COMMAND = "rmttheory verify all --preset standard"
SEED = 0
LEVEL = 1e-8
"""About the share of one verdict in the level of a whole run."""
_TRIALS = {Kind.LIMIT: 60, Kind.EXACT: 120, Kind.TAIL: 120, Kind.IDENTITY: 120}

_INDEX = """# All claims

What `rmttheory verify` judges, written by the objects that are judged. What a run can show of each kind of
statement stands in [the theory](../theory.md); which statement of which paper is where, in [the
coverage](../coverage.md).
"""
_COVERAGE = """# Coverage

Which claims judge which statement of the papers, and which predicates measure which hypothesis. What has
neither says why. This page is written from `docs/papers.toml` and from the claims, when the documentation is
built.
"""


def write(folder: Path) -> None:
    """Write a page for each claim into ``folder``, an index of them, and ``coverage.md`` beside it."""
    folder.mkdir(exist_ok=True)
    results = recorded()
    pages = {"index.md": _index()}
    for module, claim in located():
        pages[f"{claim.id}.md"] = page(claim, module, results.get(claim.id, []), folder)
    for stale in set(folder.glob("*.md")) - {folder / name for name in pages}:
        stale.unlink()
    for name, text in pages.items():
        _write(folder / name, text)
    _write(HERE / "coverage.md", coverage())


def recorded() -> dict[str, list[dict[str, Any]]]:
    """Return the verdicts of the recorded run by claim."""
    found: dict[str, list[dict[str, Any]]] = {}
    if RESULTS.is_file():
        for verdict in json.loads(RESULTS.read_text(encoding="utf-8"))["verdicts"]:
            found.setdefault(verdict["claim"], []).append(verdict)
    return found


def located() -> Iterator[tuple[str, Claim]]:
    """Yield each claim with the name of the module that states it, in the order of the modules."""
    for info in sorted(pkgutil.iter_modules(statements.__path__), key=lambda info: info.name):
        name = f"{statements.__name__}.{info.name}"
        for claim in importlib.import_module(name).CLAIMS:
            yield name, claim


def _index() -> str:
    parts, current = [_INDEX], ""
    for module, claim in located():
        if module != current:
            current = module
            text = inspect.getdoc(importlib.import_module(module)) or ""
            parts.append(
                f"\n{text.split(chr(10) + chr(10))[0]}\n\n| claim | kind | statement |\n|---|---|---|"
            )
        mark = " (reconstructed)" if claim.reconstructed else ""
        parts.append(f"| [{claim.id}]({claim.id}.md){mark} | {claim.kind.value} | {_cell(claim.statement)} |")
    pages = "\n".join(claim.id for _, claim in located())
    return "\n".join(parts) + f"\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n"


def page(claim: Claim, module: str, verdicts: list[dict[str, Any]], folder: Path) -> str:
    """Return the page of one claim, and draw its figure into ``folder``."""
    parts = [f"# {claim.id}", claim.statement]
    kind = f"*{claim.kind.value.capitalize()}.* {claim.source.rstrip('.')}."
    if claim.reconstructed:
        kind += " Reconstructed: the text of this paper was not at hand, and this is no quotation of it."
    parts += [kind, claim.proved] if claim.proved else [kind]
    if claim.hypotheses:
        parts.append(
            "## Needs\n\n" + "\n".join(f"- `{h.id}`: {_math(h.statement)}" for h in claim.hypotheses)
        )
    if claim.parameters:
        rows = (f"| `{p.name}` | {_cell(p.meaning)} | {_values(p)} |" for p in claim.parameters)
        parts.append(
            "\n".join(["## Parameters\n", "| parameter | meaning | typical |", "|---|---|---|", *rows])
        )
    parts += [_test(claim), _verdicts(verdicts), *_figure(claim, folder), _sharpness(claim)]
    if claim.controls:
        broken = (f"- `{claim.id}/{name}`: {control.breaks}" for name, control in claim.controls.items())
        head = f"Broken variants that `rmttheory controls {claim.id}` must refute:"
        parts.append(f"## Controls\n\n{head}\n\n" + "\n".join(broken))
    parts.append(_code(claim, module))
    return "\n\n".join(part for part in parts if part) + "\n"


def _test(claim: Claim) -> str:
    """Say what is tested, against what, and what a planned run of the typical cell would see."""
    if claim.residuals is not None:
        return ""
    n, cell = plan_trials(claim, claim.cell(), alpha=LEVEL), claim.cell()
    if claim.kind is Kind.LIMIT:
        text = (
            f"Null: along the ladder the error falls like $n^{{-{claim.rate:.3g}}}$. Alternative: it does "
            f"not fall at half that rate. Log error is regressed on $\\log n$ over {n} trials; "
            "refuted is what has the whole confidence interval of its slope flatter than half the rate."
        )
    elif claim.kind is Kind.EXACT:
        text = (
            f"One violation beyond rounding refutes it, so the level is 0. {n:,} trials miss what is false "
            f"in {100 * (1 - 0.05 ** (1 / n)):.2g} % of the draws with probability 0.05."
        )
    else:
        band = claim.failure(cell)
        null = f"in [{band.low:.4g}, {band.high:.4g}]" if band.low else f"at most {band.high:.4g}"
        if band.low == band.high:
            null = f"equal to {band.high:.4g}"
        truths = np.linspace(band.high, 1, 2001)
        seen = truths[bisect_left(truths, POWER, key=lambda p: band.power(p, n, LEVEL), hi=2000)]
        text = (
            f"Null: the left side exceeds the right one with a probability {null}. {n:,} trials at level "
            f"{LEVEL:.1e} refute with power {POWER:g} when it is {seen:.3g} or more"
        )
        decided = "refute" if band.low == band.high else "certify"
        text += f"; they are planned to {decided} with that power when it is {band.planned:.3g}."
    return f"## What a run can see\n\n{text}"


def _verdicts(verdicts: list[dict[str, Any]]) -> str:
    if not verdicts:
        return ""
    rows = ["| cell | outcome | what was seen | worst ratio | time |", "|---|---|---|---|---|"]
    for one in verdicts:
        cell = cell_values(_odd(one["claim"], one["cell"])) or "typical"
        worst = number(float(one["worst_ratio"])) if one["worst_ratio"] is not None else "-"
        texts = (_cell(cell), one["outcome"], _cell(one["why"]), worst, span(one["seconds"]))
        rows.append(f"| {' | '.join(texts)} |")
    head = f"Of `{COMMAND}`, seed {verdicts[0]['seed']}, level {verdicts[0]['alpha']:.1e} each:"
    return f"## Last verdict\n\n{head}\n\n" + "\n".join(rows)


def _odd(name: str, cell: dict[str, Any]) -> dict[str, Any]:
    typical = registry()[name].cell() if name in registry() else {}
    plain = {key: list(value) if isinstance(value, tuple) else value for key, value in typical.items()}
    return {key: value for key, value in cell.items() if plain.get(key) != value}


def _figure(claim: Claim, folder: Path) -> list[str]:
    """Draw ratios of left to right, or the errors of a limit statement along its ladder."""
    if claim.residuals is not None:
        return []
    cell = claim.cell()
    trials = run_trials(claim, cell, seed=SEED, start=0, stop=min(_TRIALS[claim.kind], max(claim.trials, 60)))
    with figures.appearance():
        drawn, text = _ladder(claim, trials) if claim.kind is Kind.LIMIT else _ratios(trials)
        if drawn is None:
            return []
        (folder / f"{claim.id}.svg").write_bytes(figures.encode(drawn, "svg"))
    return [f"## How tight it is\n\n![{text}]({claim.id}.svg)\n\n{text}"]


def _ladder(claim: Claim, trials: Trials) -> tuple[Figure | None, str]:
    curve = limit_curve(claim, "", trials, alpha=0.05)
    drawn = figures.ladder_figure([curve], ylabel="distance to the limit") if curve else None
    return (
        drawn,
        "Distance to the limit along the ladder, medians with the middle 80 % shaded; the claimed rate.",
    )


def _ratios(trials: Trials) -> tuple[Figure | None, str]:
    right = trials.right + trials.slack
    usable = (right > 0) & (trials.left >= 0)
    shown = usable.sum() >= 10 and (trials.left[usable] > 0).any()
    drawn = figures.ratio_figure(trials.left[usable] / right[usable]) if shown else None
    count = int(usable.sum())
    return drawn, f"Left over right side in {count} trials of the typical cell; at 1 the bound is attained."


def _sharpness(claim: Claim) -> str:
    if claim.residuals is not None:
        return ""
    if claim.witness is None:
        return f"No witness: {claim.loose_because}"
    case = claim.witness()
    ratio = claim.left(case) / claim.right(case)
    return f"Its witness, one case that comes as near as any, has a ratio of {ratio:.4f}."


def _code(claim: Claim, module: str) -> str:
    """Quote the lines that state the claim."""
    source = Path(importlib.import_module(module).__file__ or "")
    first, last = lines_of(claim, source)
    path = source.relative_to(HERE.parent).as_posix()
    return (
        f"## Code\n\n`{path}`, line {first}:\n\n```{{literalinclude}} ../../{path}\n:language: python\n"
        f":lines: {first}-{last}\n```"
    )


def lines_of(claim: Claim, source: Path) -> tuple[int, int]:
    """Return first and last line of the assignment that states a claim."""
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and f"'{claim.id}'" in ast.dump(node):
            return node.lineno, node.end_lineno or node.lineno
    return 1, 1


def coverage() -> str:
    """Return the page that says which statement of the papers is judged where."""
    listed = tomllib.loads((HERE / "papers.toml").read_text(encoding="utf-8"))
    parts, named = [_COVERAGE], set()
    for paper in listed["paper"]:
        parts.append(f"## {paper['title']}\n")
        parts += [paper["note"], ""] if "note" in paper else []
        parts += ["| statement | claims | note |", "|---|---|---|"]
        for statement in paper["statement"]:
            ids = statement.get("claims", [])
            named |= set(ids)
            links = ", ".join(f"[{name}](claims/{name}.md)" for name in ids) or "-"
            parts.append(f"| {_cell(statement['name'])} | {links} | {_cell(statement.get('reason', ''))} |")
        parts.append("")
    beyond = [claim for _, claim in located() if claim.id not in named]
    if beyond:
        parts += ["## Beyond the papers\n", "| claim | source |", "|---|---|"]
        parts += [f"| [{claim.id}](claims/{claim.id}.md) | {_cell(claim.source)} |" for claim in beyond] + [
            ""
        ]
    knowable = {predicate.id: predicate.knowable.name.lower() for predicate in PREDICATES}
    parts += [
        "## Hypotheses\n",
        "| hypothesis | where R and S are known | on a trained layer | note |",
        "|---|---|---|---|",
    ]
    for one in listed["hypothesis"]:
        known = ", ".join(f"`{name}`" for name in one.get("known", [])) or "-"
        trained = ", ".join(f"`{name}` ({knowable[name]})" for name in one.get("trained", [])) or "-"
        parts.append(f"| {_cell(one['name'])} | {known} | {trained} | {_cell(one.get('reason', ''))} |")
    return "\n".join(parts) + "\n"


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _math(text: str) -> str:
    return text.replace("<S, R>", "⟨S, R⟩")


def _values(parameter: Parameter) -> str:
    if isinstance(parameter.typical, tuple):
        return ", ".join(str(width) for width in parameter.typical)
    others = [choice for choice in parameter.choices if choice != parameter.typical]
    return f"{parameter.typical}" + (f" (or {', '.join(others)})" if others else "")
