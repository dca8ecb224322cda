"""What a sweep computes: a file of grids becomes cells, each named by its content.

A grid is one claim or several, values of their parameters, and seeds::

    alpha = 1e-6

    [[grid]]
    claim = "row_event_exact"
    n = [64, 128, 256]
    seeds = 100
    trials = 200
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rmttheory
from rmttheory.arrays import InvalidInput, check_count, check_interval
from rmttheory.studies.records import reason
from rmttheory.theorem.claims import Claim, find_claim
from rmttheory.theorem.judging import SUITE_LEVEL, plan_trials

KEYS = ("claim", "trials", "seed", "seeds")
"""What a grid says besides parameters of its claims."""

MOST = 2_000_000
"""Largest number of cells."""

LARGEST = 2**63
"""Seeds and trials stay below, so that a table holds them as whole numbers."""


@dataclass(frozen=True, kw_only=True)
class SweepCell:
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
class Sweep:
    """A file of grids that was read and found right.

    Attributes
    ----------
    text : str
        The file.
    name : str
        Its name without ending.
    cells : tuple of SweepCell
        All different, in the order of the file.
    """

    text: str
    name: str
    cells: tuple[SweepCell, ...]

    @functools.cached_property
    def key(self) -> str:
        """Name of the whole: the same for two files that say the same."""
        return digest("".join(cell.key for cell in self.cells))

    @property
    def trials(self) -> int:
        """Trials of all cells."""
        return sum(cell.trials for cell in self.cells)


def canonical(value: Any) -> str:
    """Return the one text of plain values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return 128 bits of a text in hexadecimal."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def read_sweep(path: str | Path) -> Sweep:
    """Read a file of grids and check every cell of it.

    Parameters
    ----------
    path : path
        TOML. ``alpha`` is the level of the sweep, split equally over its cells. Each ``[[grid]]`` has
        ``claim`` (an id, ``id/control``, or a list of these), parameters (a value or a list of values; a
        ladder of widths is a list itself), ``seed`` (the first, 0), ``seeds`` (how many, 1) and ``trials``
        (a number, or "auto": from the claim, the level and its power).

    Raises
    ------
    InvalidInput
        If the file cannot be read, or anything in it is wrong; then every mistake is named.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not text"
        msg = f"Cannot read {path}: {why}."
        raise InvalidInput(msg) from None
    return parse_sweep(text, name=Path(path).stem)


def parse_sweep(text: str, *, name: str) -> Sweep:
    """Return the sweep that a text in the format of `read_sweep` describes; raises as it does."""
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
    drafts = [draft for number, grid in enumerate(grids, 1) for draft in _drafts(grid, number, mistakes)]
    if len(drafts) > MOST:
        mistakes.add(f"there are {len(drafts):,} cells or more; {MOST:,} is the most")
    mistakes.report(name)
    return Sweep(text=text, name=name, cells=_cells(drafts, alpha))


Draft = tuple[Claim, dict[str, Any], int, Any]
"""Claim, parameters, seed and wanted trials of a cell, before its share of the level is known."""


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


def _drafts(grid: Mapping[str, Any], number: int, mistakes: _Mistakes) -> Iterator[Draft]:
    where = f"in grid {number}, "
    names = _listed(grid.get("claim", []))
    if not names:
        mistakes.add(f"{where}`claim` must name a claim or several")
    first = mistakes.catch(check_count, grid.get("seed", 0), "seed", low=0, where=where)
    count = mistakes.catch(check_count, grid.get("seeds", 1), "seeds", where=where)
    trials = grid.get("trials", "auto")
    if trials != "auto":
        mistakes.catch(check_count, trials, "trials", where=where)
        if isinstance(trials, int) and trials >= LARGEST:
            mistakes.add(f"{where}`trials` must be less than 2^63")
    if first is None or count is None:
        return
    if first + count > LARGEST:
        mistakes.add(f"{where}seeds must be less than 2^63")
        return
    given = {key: value for key, value in grid.items() if key not in KEYS}
    for name in names:
        claim = mistakes.catch(find_claim, str(name), where=where)
        if claim is None:
            continue
        cells = list(_combinations(claim, given, where, mistakes))
        if len(cells) * count > MOST:
            mistakes.add(f"{where}there are {len(cells) * count:,} cells of {name}; {MOST:,} is the most")
            continue
        for cell, seed in itertools.product(cells, range(first, first + count)):
            yield claim, cell, seed, trials


def _combinations(
    claim: Claim, given: Mapping[str, Any], where: str, mistakes: _Mistakes
) -> Iterator[dict[str, Any]]:
    ladders = {parameter.name for parameter in claim.parameters if isinstance(parameter.typical, tuple)}
    choices = {}
    for name, value in given.items():
        several = _listed(value)
        if name in ladders and not any(isinstance(item, list) for item in several):
            several = [value]
        if not several:
            mistakes.add(f"{where}`{name}` has no value")
        choices[name] = several
    for combination in itertools.islice(itertools.product(*choices.values()), MOST + 1):
        cell = mistakes.catch(claim.cell, where=where, **dict(zip(choices, combination)))
        if cell is not None:
            yield cell


def _cells(drafts: list[Draft], alpha: float) -> tuple[SweepCell, ...]:
    """Give each different draft its share of the level, and the trials that this takes."""
    unique = {
        (claim.id, canonical(cell), seed, trials): (claim, cell) for claim, cell, seed, trials in drafts
    }
    share = alpha / len(unique)
    planned: dict[tuple[str, str], int] = {}
    found = []
    for (name, text, seed, trials), (claim, cell) in unique.items():
        if trials == "auto" or claim.residuals is not None:
            if (name, text) not in planned:
                planned[name, text] = plan_trials(claim, cell, alpha=share)
            trials = planned[name, text]
        found.append(SweepCell(claim=name, parameters=cell, seed=seed, trials=trials, alpha=share))
    return tuple(found)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
