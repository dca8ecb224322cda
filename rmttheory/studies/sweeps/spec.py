"""What a sweep computes: a file of grids becomes cells, each named by its content.

A grid is one claim or several, or the script of an experiment, with values of parameters, and seeds::

    alpha = 1e-6

    [[grid]]
    claim = "row_event_exact"
    n = [64, 128, 256]
    seeds = 100
    trials = 200

    [[grid]]
    experiment = "simulations/oracle_and_edge.py"
    n = [100, 200, 400]
    theta = 1.2
    kind = "spread"
    seeds = 20
"""

from __future__ import annotations

import functools
import itertools
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rmttheory
from rmttheory.arrays import InvalidInput, check_count, check_interval
from rmttheory.studies.records import reason
from rmttheory.studies.sweeps.keys import canonical, digest
from rmttheory.studies.sweeps.scripts import Script
from rmttheory.theorem.claims import Claim, find_claim
from rmttheory.theorem.judging import SUITE_LEVEL, plan_trials

KEYS = ("claim", "experiment", "trials", "seed", "seeds")
"""What a grid says besides parameters."""

MOST = 2_000_000
"""Largest number of cells."""

LARGEST = 2**63
"""Seeds and trials stay below, so that a table holds them as whole numbers."""


@dataclass(frozen=True, kw_only=True)
class ClaimCell:
    """One claim in one cell with one seed: what a worker is sent, and what names the result.

    Attributes
    ----------
    claim : str
        An id, or ``id/control``.
    parameters : mapping
        Value of every parameter.
    seed, trials : int
    alpha : float
        This cell's share of the level of the sweep.
    """

    claim: str
    parameters: Mapping[str, Any]
    seed: int
    trials: int
    alpha: float

    @property
    def name(self) -> str:
        """The claim."""
        return self.claim

    def to_dict(self) -> dict[str, Any]:
        """Plain values, from which the cell can be made again."""
        return {
            "claim": self.claim,
            "parameters": dict(self.parameters),
            "seed": self.seed,
            "trials": self.trials,
            "alpha": self.alpha,
        }

    @functools.cached_property
    def key(self) -> str:
        """Name of the result: 128 bits of the cell's content and of the version that computes it."""
        return digest(canonical([rmttheory.__version__, self.to_dict()]))


@dataclass(frozen=True, kw_only=True)
class ExperimentCell:
    """One trial of an experiment with one seed.

    Attributes
    ----------
    script : Script
    parameters : mapping
        Value of every parameter but the seed.
    seed, trials : int
    """

    script: Script
    parameters: Mapping[str, Any]
    seed: int
    trials: int = 1

    @property
    def name(self) -> str:
        """The script's."""
        return self.script.name

    def to_dict(self) -> dict[str, Any]:
        """Plain values, the text of the script among them."""
        return {
            "experiment": self.script.name,
            "text": self.script.text,
            "parameters": dict(self.parameters),
            "seed": self.seed,
        }

    @functools.cached_property
    def key(self) -> str:
        """Name of the result: 128 bits of script, parameters, seed and the version that computes it."""
        content = [rmttheory.__version__, self.name, self.script.key, dict(self.parameters), self.seed]
        return digest(canonical(content))


SweepCell = ClaimCell | ExperimentCell


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A file of grids that was read and found right.

    Attributes
    ----------
    text : str
        The file.
    name : str
        Its name without ending.
    cells : tuple of ClaimCell and ExperimentCell
        All different, in the order of the file.
    scripts : tuple of Script
        Of its experiments.
    """

    text: str
    name: str
    cells: tuple[SweepCell, ...]
    scripts: tuple[Script, ...] = ()

    @functools.cached_property
    def key(self) -> str:
        """Name of the whole: the same for two files that say the same."""
        return digest("".join(cell.key for cell in self.cells))

    def check_scripts(self) -> None:
        """Carry the scripts out, and check that they have cells of such parameters; raises `InvalidInput`."""
        cells = [cell for cell in self.cells if isinstance(cell, ExperimentCell)]
        for script, names in dict.fromkeys((cell.script, frozenset(cell.parameters)) for cell in cells):
            script.check(names)

    @property
    def trials(self) -> int:
        """Trials of all cells."""
        return sum(cell.trials for cell in self.cells)


def read_sweep(path: str | Path, *, scripts: str | Path | None = None) -> Sweep:
    """Read a file of grids and check every cell of it.

    Parameters
    ----------
    path : path
        TOML. ``alpha`` is the level of the sweep, split equally over its cells of claims. Each ``[[grid]]``
        has ``claim`` (an id, ``id/control``, or a list of these), parameters (a value or a list of values; a
        ladder of widths is a list itself), ``seed`` (the first, 0), ``seeds`` (how many, 1) and ``trials``
        (a number, or "auto": from the claim, the level and its power); or instead of the claim
        ``experiment`` (a script, looked for from the folder of this file, or a list of these), all its
        parameters (a list is several values, a list in a list a value) and no trials.
    scripts : path, optional
        Folder where the scripts are, whatever folder the file says.

    Raises
    ------
    InvalidInput
        If the file cannot be read, or anything in it is wrong; then every mistake is named.
    """
    path = Path(path)

    def script(name: str) -> str:
        return _read(path.parent / name if scripts is None else Path(scripts) / Path(name).name)

    return parse_sweep(_read(path), name=path.stem, script=script)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not text"
        msg = f"Cannot read {path}: {why}."
        raise InvalidInput(msg) from None


def parse_sweep(
    text: str, *, name: str, script: Callable[[str], str] = lambda name: _read(Path(name))
) -> Sweep:
    """Return the sweep that a text in the format of `read_sweep` describes; raises as it does.

    ``script`` returns the text of the script that an ``experiment`` names.
    """
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        msg = f"{name} is not TOML: {error}."
        raise InvalidInput(msg) from None
    mistakes = _Mistakes()
    for key in document.keys() - {"alpha", "grid"}:
        mistakes.add(f"unknown key {key!r}; a sweep has alpha and [[grid]]")
    alpha = mistakes.catch(check_interval, document.get("alpha", SUITE_LEVEL), "alpha", low=0, high=0.5)
    grids = document.get("grid", [])
    if not (isinstance(grids, list) and grids and all(isinstance(grid, dict) for grid in grids)):
        mistakes.add("there must be one [[grid]] or more")
        grids = []
    scripts = _Scripts(script)
    drafts = [
        draft for number, grid in enumerate(grids, 1) for draft in _drafts(grid, number, scripts, mistakes)
    ]
    if len(drafts) > MOST:
        mistakes.add(f"there are {len(drafts):,} cells or more; {MOST:,} is the most")
    mistakes.report(name)
    return Sweep(text=text, name=name, cells=_cells(drafts, alpha), scripts=scripts.found)


Draft = tuple[Claim | Script, dict[str, Any], int, Any]
"""Claim or script, parameters, seed and wanted trials of a cell, before its share of the level is known."""


class _Mistakes:
    """Collects sentences, so that one reading names them all."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def add(self, sentence: str) -> None:
        if sentence not in self.found:
            self.found.append(sentence)

    def catch(self, check: Any, *arguments: Any, where: str = "", **options: Any) -> Any:
        """Return what a check returns; None if it refuses, whose sentence is kept."""
        try:
            return check(*arguments, **options)
        except InvalidInput as error:
            self.add(f"{where}{str(error).rstrip('.')}")
        except TypeError:  # a table or a list where a number or a name should be
            self.add(f"{where}{arguments[0]!r} is no value")

    def report(self, name: str) -> None:
        if self.found:
            many = "a mistake" if len(self.found) == 1 else f"{len(self.found)} mistakes"
            msg = f"{name} has {many}: {'; '.join(self.found)}."
            raise InvalidInput(msg)


class _Scripts:
    """The scripts that grids name, each read once; they are kept side by side, so names must differ."""

    def __init__(self, read: Callable[[str], str]) -> None:
        self._read, self._paths = read, dict[str, Script]()

    def __call__(self, path: str) -> Script:
        if path not in self._paths:
            script = Script(name=Path(path).name, text=self._read(path))
            if script not in self.found and script.name in {other.name for other in self.found}:
                msg = f"Two different scripts are called {script.name}."
                raise InvalidInput(msg)
            self._paths[path] = script
        return self._paths[path]

    @property
    def found(self) -> tuple[Script, ...]:
        return tuple(dict.fromkeys(self._paths.values()))


def _drafts(grid: Mapping[str, Any], number: int, scripts: _Scripts, mistakes: _Mistakes) -> Iterator[Draft]:
    where = f"in grid {number}, "
    names, paths = _listed(grid.get("claim", [])), _listed(grid.get("experiment", []))
    if bool(names) == bool(paths):
        mistakes.add(f"{where}`claim` must name a claim or several, or `experiment` a script")
    first = mistakes.catch(check_count, grid.get("seed", 0), "seed", low=0, where=where)
    count = mistakes.catch(check_count, grid.get("seeds", 1), "seeds", where=where)
    trials = grid.get("trials", "auto")
    if trials != "auto":
        mistakes.catch(check_count, trials, "trials", where=where)
        if isinstance(trials, int) and trials >= LARGEST:
            mistakes.add(f"{where}`trials` must be less than 2^63")
        if paths:
            mistakes.add(f"{where}`trials` are for claims; an experiment has `seeds`")
    if first is None or count is None:
        return
    if first + count > LARGEST:
        mistakes.add(f"{where}seeds must be less than 2^63")
        return
    given = {key: value for key, value in grid.items() if key not in KEYS}
    stated = [mistakes.catch(find_claim, str(name), where=where) for name in names]
    stated += [mistakes.catch(scripts, str(path), where=where) for path in paths]
    for one in filter(None, stated):
        cells = list(_combinations(one, given, where, mistakes))
        if len(cells) * count > MOST:
            name = one.id if isinstance(one, Claim) else one.name
            mistakes.add(f"{where}there are {len(cells) * count:,} cells of {name}; {MOST:,} is the most")
            continue
        for cell, seed in itertools.product(cells, range(first, first + count)):
            yield one, cell, seed, trials


def _combinations(
    stated: Claim | Script, given: Mapping[str, Any], where: str, mistakes: _Mistakes
) -> Iterator[dict[str, Any]]:
    claim = stated if isinstance(stated, Claim) else None
    parameters = claim.parameters if claim else ()
    ladders = {parameter.name for parameter in parameters if isinstance(parameter.typical, tuple)}
    choices = {}
    for name, value in given.items():
        several = _listed(value)
        if name in ladders and not any(isinstance(item, list) for item in several):
            several = [value]
        if not several:
            mistakes.add(f"{where}`{name}` has no value")
        if not claim and not all(map(_is_plain, several)):
            mistakes.add(f"{where}`{name}` must be numbers, text, truth values or lists of these")
        choices[name] = several
    for combination in itertools.islice(itertools.product(*choices.values()), MOST + 1):
        cell = dict(zip(choices, combination))
        if claim:
            cell = mistakes.catch(claim.cell, where=where, **cell)
        if cell is not None:
            yield cell


def _cells(drafts: list[Draft], alpha: float) -> tuple[SweepCell, ...]:
    """Give each different draft of a claim its share of the level, and the trials that this takes."""
    unique: dict[Any, Draft] = {}
    for draft in drafts:
        stated, cell, seed, trials = draft
        name = stated.id if isinstance(stated, Claim) else stated
        unique.setdefault((name, canonical(cell), seed, trials), draft)
    share = alpha / max(sum(isinstance(stated, Claim) for stated, *_ in unique.values()), 1)
    planned: dict[tuple[str, str], int] = {}
    found: list[SweepCell] = []
    for (name, text, *_), (stated, cell, seed, trials) in unique.items():
        if isinstance(stated, Script):
            found.append(ExperimentCell(script=stated, parameters=cell, seed=seed))
            continue
        if trials == "auto" or stated.residuals is not None:
            if (name, text) not in planned:
                planned[name, text] = plan_trials(stated, cell, alpha=share)
            trials = planned[name, text]
        found.append(ClaimCell(claim=stated.id, parameters=cell, seed=seed, trials=trials, alpha=share))
    return tuple(found)


def _is_plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return isinstance(value, (str, int)) or (isinstance(value, float) and math.isfinite(value))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
