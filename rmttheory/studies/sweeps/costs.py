"""What cells will cost, from trials of small ones before the first real trial."""

from __future__ import annotations

import itertools
import math
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from rmttheory.arrays import HOST, InvalidInput
from rmttheory.studies.pool import one_blas_thread
from rmttheory.studies.sweeps.keys import canonical
from rmttheory.studies.sweeps.scripts import Script
from rmttheory.studies.sweeps.spec import ClaimCell, SweepCell
from rmttheory.theorem.claims import Cell, Claim, find_claim
from rmttheory.theorem.judging import run_trials

BASE = 256 * 2**20
"""Bytes of a worker process that computes nothing: Python, NumPy, SciPy and SymPy."""

SMALLEST, ENOUGH, PATIENCE = 64, 0.2, 20.0
"""First width that is tried; seconds of a trial after which no wider one is; seconds of all trials."""

PROOF = (2.0, 50 * 2**20)
"""Seconds and bytes of a symbolic proof, roughly; it is not tried."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one cell takes, about.

    Attributes
    ----------
    seconds : float
        Of one core.
    memory : float
        Bytes of the process at most.
    """

    seconds: float
    memory: float


def estimate(cells: Sequence[SweepCell]) -> list[Cost]:
    """Return what each cell will cost.

    For each claim with equal parameters but the width, trials at growing widths are timed and their memory is
    traced, until one takes `ENOUGH` seconds; wider ones follow the power of the width that the last two show.
    Cells of an experiment are taken to cost what the first of its quick ones does.
    """
    deadline = time.monotonic() + PATIENCE
    groups: dict[tuple[str, str], list[ClaimCell]] = {}
    scripts: dict[Script, Cost] = {}
    costs: dict[str, Cost] = {}
    curves: dict[str, _Curve] = {}
    with one_blas_thread():
        for cell in cells:
            if isinstance(cell, ClaimCell):
                rest = canonical({name: value for name, value in cell.parameters.items() if name != "n"})
                groups.setdefault((cell.claim, rest), []).append(cell)
                continue
            if cell.script not in scripts:
                scripts[cell.script] = _tried_script(cell.script)
            costs[cell.key] = scripts[cell.script]
        for (name, _), group in groups.items():
            if name not in curves or time.monotonic() < deadline:
                curves[name] = _Curve.of(find_claim(name), group)
            costs |= {cell.key: curves[name].cost(cell) for cell in group}
    return [costs[cell.key] for cell in cells]


def parse_memory(text: str) -> int:
    """Read an amount of memory, such as 4GiB, 500MB or 4e9, as bytes.

    Raises
    ------
    InvalidInput
        If it is none, or leaves nothing beside an idle worker.
    """
    units = {"": 1, "B": 1, **{f"{k}B": 1000**i for i, k in enumerate("KMGT", 1)}}
    units |= {f"{k}IB": 1024**i for i, k in enumerate("KMGT", 1)}
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:[eE]\d{1,2})?)\s*([a-zA-Z]*)\s*", text)
    if not found or found[2].upper() not in units:
        msg = f"`memory` must be a number with a unit, such as 4GiB or 500MB, not {text!r}."
        raise InvalidInput(msg)
    size = int(float(found[1]) * units[found[2].upper()])
    if size <= BASE:
        msg = f"`memory` must be more than the {amount(BASE)} that an idle worker takes, not {text!r}."
        raise InvalidInput(msg)
    return size


def check_memory(cells: Sequence[SweepCell], costs: Sequence[Cost], limit: float) -> None:
    """Check that no cell takes more memory than a worker may.

    Raises
    ------
    InvalidInput
        Naming the cell that takes most.
    """
    over = [(cost.memory, place) for place, cost in enumerate(costs) if cost.memory > limit]
    if over:
        most, place = max(over)
        values = ", ".join(f"{name}={value}" for name, value in cells[place].parameters.items())
        msg = (
            f"{len(over):,} of {len(cells):,} cells take more memory than the {amount(limit)} of a worker; "
            f"{cells[place].name} ({values}) about {amount(most)}. Raise --memory, lower --jobs, or leave "
            "them out."
        )
        raise InvalidInput(msg)


def amount(size: float) -> str:
    """Return bytes in words, such as "1.5 GiB"."""
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"


def duration(seconds: float) -> str:
    """Return seconds in words, such as "3 min" or "2.5 h"."""
    for unit, name in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.{1 if seconds < 20 * unit else 0}f} {name}"
    return f"{seconds:.0f} s"


@dataclass(frozen=True, kw_only=True)
class _Curve:
    """Seconds and bytes of a trial at growing widths; nothing was tried where there are none."""

    points: tuple[tuple[float, float, float], ...]

    @classmethod
    def of(cls, claim: Claim, group: Sequence[ClaimCell]) -> _Curve:
        points = []
        if claim.residuals is None:
            widths = [width for cell in group for width in _widths(cell)]
            for width in _growing(max(widths)):
                try:
                    points.append((width, *_tried(claim, group[0].parameters, width)))
                except (ValueError, ArithmeticError, IndexError):
                    continue  # too narrow for these parameters
                if points[-1][1] > ENOUGH:
                    break
        return cls(points=tuple(points))

    def cost(self, cell: ClaimCell) -> Cost:
        if not self.points:
            return Cost(seconds=PROOF[0], memory=BASE + PROOF[1])
        widths = _widths(cell)
        mean = sum(self._at(width, 1, steepest=3) for width in widths) / len(widths)
        return Cost(seconds=mean * cell.trials, memory=BASE + self._at(max(widths), 2, steepest=2))

    def _at(self, width: float, column: int, *, steepest: float) -> float:
        """Follow the power of the two points around or before ``width``."""
        if len(self.points) == 1:
            return self.points[0][column]
        after = next((i for i, point in enumerate(self.points) if point[0] >= width), len(self.points) - 1)
        low, high = self.points[max(after, 1) - 1], self.points[max(after, 1)]
        power = math.log(high[column] / low[column]) / math.log(high[0] / low[0])
        return float(high[column] * (width / high[0]) ** min(max(power, 0.0), steepest))


def _widths(cell: ClaimCell) -> tuple[float, ...]:
    widths = cell.parameters.get("n", 1)
    return widths if isinstance(widths, tuple) else (widths,)


def _growing(most: float) -> Iterator[int]:
    """Yield `SMALLEST`, twice that and so on, and last ``most``."""
    yield from itertools.takewhile(lambda width: width < most, (SMALLEST << i for i in itertools.count()))
    yield int(most)


def _tried(claim: Claim, parameters: Cell, width: int) -> tuple[float, float]:
    """Return the seconds of a trial at one width, and the bytes that it takes at its peak."""
    cell: dict[str, Any] = {**parameters, **({"n": width} if "n" in parameters else {})}
    return _measured(lambda: run_trials(claim, cell, seed=0, start=0, stop=1))


def _tried_script(script: Script) -> Cost:
    """Return what the first of the quick cells costs; a large one when it is computed corrects it."""
    experiment = script.experiment
    cell = experiment.presets["quick"][0]
    try:
        seconds, memory = _measured(lambda: experiment.trial(cell, HOST))
    except (Exception, SystemExit) as error:
        msg = f"{script.name} cannot compute the first of its quick cells: {type(error).__name__}: {error}."
        raise InvalidInput(msg) from None
    return Cost(seconds=seconds, memory=BASE + memory)


def _measured(compute: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that it takes, and the bytes at its peak."""
    seconds = math.inf
    for _ in range(2):  # the first also fills caches and compiles
        start = time.perf_counter()
        compute()
        seconds = min(seconds, time.perf_counter() - start)
        if seconds > 10 * ENOUGH:
            break
    tracemalloc.start()
    try:
        compute()
        return seconds, float(max(tracemalloc.get_traced_memory()[1], 1))
    finally:
        tracemalloc.stop()
