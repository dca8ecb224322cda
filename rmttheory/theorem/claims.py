"""A statement as an object, and the registry of all of them.

A `Claim` says how to draw a random case, what its two sides are there, what is known without it and
which hypotheses it needs; `judging` says what the evidence shows.
"""

from __future__ import annotations

import functools
import importlib
import math
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from rmttheory.arrays import InvalidInput, Stream, check_choice, check_interval
from rmttheory.matrices.noise import Gaussian, parse_noise
from rmttheory.theorem.hypotheses import Hypothesis
from rmttheory.theorem.verdicts import Band, Kind

Cell = Mapping[str, Any]
Case = Any

WIDEST_DENSE = 16384
"""Largest width drawn in full: a square layer of doubles then takes 2 GiB."""


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One parameter of a claim's domain: its meaning, range and usual value.

    A ``typical`` tuple is a ladder of widths (limit statements only).
    """

    name: str
    meaning: str
    typical: Any
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Return ``value`` as this parameter takes it, or raise `InvalidInput`."""
        if isinstance(self.typical, tuple):
            steps = value if isinstance(value, (tuple, list)) else (value,)
            step = replace(self, typical=self.typical[0])
            ladder = tuple(step.check(width) for width in steps)
            if len(set(ladder)) < 3:
                wanted = f"a ladder of 3 different widths or more, such as {self.typical}"
                msg = f"`{self.name}` must be {wanted}, not {value!r}."
                raise InvalidInput(msg)
            return ladder
        if self.choices:
            return check_choice(value, self.name, self.choices)
        if isinstance(self.typical, str):
            return str(value)
        number = check_interval(value, self.name, low=self.low, high=self.high, closed="both")
        if not isinstance(self.typical, int):
            return number
        if not number.is_integer():
            msg = f"`{self.name}` must be a whole number, not {value!r}."
            raise InvalidInput(msg)
        return int(number)


METHOD = Parameter(
    name="method",
    meaning="how layers are drawn: without the matrix (band), in full (dense), or band wherever the noise "
    "allows (auto)",
    typical="auto",
    choices=("auto", "band", "dense"),
)
"""The parameter of every claim whose layers can be drawn both ways."""


def drawn_by(cell: Cell) -> str:
    """Return how the layers of a cell are drawn: ``band`` for Gaussian noise unless told, else ``dense``.

    Raises
    ------
    InvalidInput
        If noise that is not Gaussian is asked of a band, or layers too wide for memory in full.
    """
    noise, method = parse_noise(cell.get("noise", "gaussian")), cell.get("method", "auto")
    gaussian = isinstance(noise, Gaussian)
    if gaussian and method != "dense":
        return "band"
    if method == "band":
        msg = f"Layers can be drawn without the matrix for Gaussian noise only, not {noise.name!r}."
        raise InvalidInput(msg)
    widths = cell.get("n", 0)
    widest = max(widths) if isinstance(widths, tuple) else widths
    if widest > WIDEST_DENSE:
        why = "are drawn in full" if gaussian else f"have noise {noise.name!r} and so are drawn in full"
        msg = f"`n` must be {WIDEST_DENSE} at most where layers {why}, not {widest}."
        raise InvalidInput(msg)
    return "dense"


@dataclass(frozen=True, kw_only=True)
class Control:
    """A broken variant of a claim that `verify` must refute.

    Parameters
    ----------
    breaks : str
        One sentence: what is broken, and so what the claim's evidence can see.
    changes : mapping
        Fields of the claim to replace.
    cell : mapping
        Parameters to replace.
    """

    breaks: str
    changes: Mapping[str, Any] = field(default_factory=dict)
    cell: Cell = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A hypothesis-conclusion statement that can be judged.

    Parameters
    ----------
    id : str
        Stable name, used on the command line, in records and in the docs.
    kind : Kind
    statement : str
        One sentence, LaTeX between dollar signs.
    source : str
        Which theorem of which paper; "derived here" where it is ours.
    parameters : tuple of Parameter
    draw : callable (cell, stream) -> case
        One random case; limit statements get one width of the ladder in ``cell["n"]``.
    left, right : callable case -> float
        The claim is ``left <= right``. A limit statement claims ``left -> 0``; its right side is 1.
    trivial : callable case -> float
        A bound known without the theorem; the trial is informative if ``right < trivial``.
    rounding : callable case -> float
        Floating-point slack, derived from sizes and dtype.
    failure : callable cell -> Band
        Claimed probability of ``left > right``.
    rate : float
        Claimed exponent of a limit statement: ``left ~ n ** -rate``.
    trials : int
        Default number of trials where it does not follow from the level (exact and limit statements).
    residuals : callable () -> tuple of SymPy expressions, optional
        For a symbolic identity: they must all vanish.
    witness : callable () -> case, optional
        A case with ``left / right >= witness_ratio``; else ``loose_because`` says why none exists.
    speaks_at : callable case -> float, optional
        The width at which the bound would fall below ``trivial``.
    grids : mapping of preset to tuple of cells
        Parameter overrides to judge; the typical cell if absent.
    proved : str
        What the proof gives, in a sentence, where the stated failure probability is larger than that.
    reconstructed : bool
        True where the statement is our reconstruction of a paper's theorem.
    on_device : bool
        Whether ``draw`` takes streams of any device: layers are drawn and decomposed there, and a case gives
        host numbers. Other claims are always judged on the host.
    """

    id: str
    kind: Kind
    statement: str
    source: str
    hypotheses: tuple[Hypothesis, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    draw: Callable[[Cell, Stream], Case] = lambda cell, stream: None  # noqa: ARG005
    left: Callable[[Case], float] = lambda case: 0.0  # noqa: ARG005
    right: Callable[[Case], float] = lambda case: 1.0  # noqa: ARG005
    trivial: Callable[[Case], float] = lambda case: math.inf  # noqa: ARG005
    rounding: Callable[[Case], float] = lambda case: 0.0  # noqa: ARG005
    failure: Callable[[Cell], Band] = lambda cell: Band(high=0.0)  # noqa: ARG005
    rate: float = 0.5
    trials: int = 200
    residuals: Callable[[], tuple[Any, ...]] | None = None
    witness: Callable[[], Case] | None = None
    witness_ratio: float = 0.99
    loose_because: str = ""
    speaks_at: Callable[[Case], float] | None = None
    controls: Mapping[str, Control] = field(default_factory=dict)
    grids: Mapping[str, tuple[Cell, ...]] = field(default_factory=dict)
    proved: str = ""
    reconstructed: bool = False
    on_device: bool = False

    def __repr__(self) -> str:
        return f"Claim({self.id!r}, {self.kind.value}: {self.statement})"

    def cell(self, **given: Any) -> dict[str, Any]:
        """Return a full cell: typical values with ``given`` ones in their place.

        Raises
        ------
        InvalidInput
            If a parameter is unknown or out of range, or no layer can be drawn as the cell says.
        """
        known = {parameter.name: parameter for parameter in self.parameters}
        for name in given:
            check_choice(name, f"parameter of {self.id}", known)
        cell = {name: p.check(given[name]) if name in given else p.typical for name, p in known.items()}
        if METHOD.name in cell:
            drawn_by(cell)
        return cell

    def broken(self, name: str) -> Claim:
        """Return the variant that the control ``name`` describes."""
        control = self.controls[check_choice(name, f"control of {self.id}", self.controls)]
        cell = self.cell(**control.cell)
        typical = tuple(replace(p, typical=cell[p.name]) for p in self.parameters)
        return replace(
            self,
            **{
                "parameters": typical,
                **control.changes,
                "id": f"{self.id}/{name}",
                "controls": {},
                "grids": {},
            },
        )


@functools.cache
def registry() -> Mapping[str, Claim]:
    """All claims by id: every ``CLAIMS`` of every module in ``theorem/statements``."""
    from rmttheory.theorem import statements

    found: dict[str, Claim] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(statements.__path__)):
        for claim in importlib.import_module(f"{statements.__name__}.{module}").CLAIMS:
            if claim.id in found:
                msg = f"The claim {claim.id!r} is registered twice."
                raise RuntimeError(msg)
            found[claim.id] = claim
    return found


def claims() -> tuple[Claim, ...]:
    """Every registered claim."""
    return tuple(registry().values())


def find_claim(name: str) -> Claim:
    """Return the claim ``name``, or its control when written ``claim/control``.

    Raises
    ------
    InvalidInput
        If there is none; the message gives the nearest names.
    """
    base, _, control = name.partition("/")
    claim = registry()[check_choice(base, "claim", registry())]
    return claim.broken(control) if control else claim
