"""What a run leaves on disk: every file is whole, and what was found is there before the run ends."""

from __future__ import annotations

import dataclasses
import json
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import rmttheory
from rmttheory.arrays import HOST, InvalidInput, Placement, RmtError
from rmttheory.arrays.devices import describe
from rmttheory.networks.files import write_whole
from rmttheory.studies.curves import Curve
from rmttheory.studies.grid import LeftOut
from rmttheory.studies.pool import one_blas_thread
from rmttheory.studies.trained import NetworkStudy
from rmttheory.theorem.claims import find_claim
from rmttheory.theorem.judging import replay
from rmttheory.theorem.verdicts import Outcome, Verdict, plain

SCHEMA = 1
FIGURES = (".png", ".pdf", ".svg")
NETWORKS = (".npz", ".safetensors")


class NotWritten(RmtError):
    """A file could not be written; what was computed is not lost, only not on disk."""


class Folder:
    """A folder for results, made if need be; each file is written whole or not at all.

    Raises
    ------
    InvalidInput
        If it cannot be made or written to.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.path):
                pass
        except OSError as error:
            msg = f"Cannot write to the folder {self.path}: {reason(error)}. Name another one with --out."
            raise InvalidInput(msg) from None

    def write(self, name: str, content: str | bytes) -> Path:
        """Write one file under the folder and return its path.

        Raises
        ------
        NotWritten
            If it cannot be written, for instance because the disk is full.
        """
        path = self.path / name
        data = content.encode() if isinstance(content, str) else content
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, data)
        except OSError as error:
            msg = f"Cannot write {path}: {reason(error)}."
            raise NotWritten(msg) from None
        return path


def check_target(path: str | Path, endings: tuple[str, ...]) -> Path:
    """Return the path of a file to be written later, if it can be.

    Raises
    ------
    InvalidInput
        If it ends otherwise than with one of ``endings``, or its folder cannot be written to.
    """
    target = Path(path).expanduser()
    if target.suffix.lower() not in endings or target.is_dir():
        msg = f"`out` must name a file that ends with {' or '.join(endings)}, not {str(path)!r}."
        raise InvalidInput(msg)
    Folder(target.parent)
    return target


def reason(error: OSError) -> str:
    """Return what the system says of an error, for use inside a sentence."""
    return (error.strerror or str(error) or type(error).__name__).rstrip(".").lower()


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """Everything that one `verify` found, in the order in which it was planned.

    Attributes
    ----------
    seed : int
    preset : str
    alpha : float
        Level of the whole run.
    shares : int
        Equal parts that the level was split into.
    verdicts : tuple of Verdict
        Of the claims first, then of the trained network.
    curves : tuple of Curve
        Truth, and bound where there is one, along ladders of widths.
    left_out : tuple of LeftOut
        What was asked for and cannot be judged, with the reasons.
    network : NetworkStudy or None
    partial : bool
        Whether something planned is missing.
    started : str
        Time in UTC.
    seconds : float
    workers : int
    placement : Placement
        Where the network was trained and layers were drawn in full.
    """

    seed: int
    preset: str
    alpha: float
    shares: int
    verdicts: tuple[Verdict, ...]
    curves: tuple[Curve, ...]
    left_out: tuple[LeftOut, ...] = ()
    network: NetworkStudy | None
    partial: bool
    started: str
    seconds: float
    workers: int
    placement: Placement = HOST

    def count(self, outcome: Outcome) -> int:
        """Return how many verdicts have this outcome."""
        return sum(verdict.outcome is outcome for verdict in self.verdicts)

    def to_dict(self) -> dict[str, Any]:
        """Return the document that ``verdicts.json`` holds."""
        document = {
            "schema": SCHEMA,
            "partial": self.partial,
            "seed": self.seed,
            "preset": self.preset,
            "alpha": self.alpha,
            "shares": self.shares,
            "environment": environment(self.placement),
            "times": {"started": self.started, "seconds": self.seconds, "workers": self.workers},
            "verdicts": self.verdicts,
            "curves": self.curves,
            "network": self.network,
        }
        if self.left_out:
            document["left_out"] = self.left_out
        return {name: plain(value) for name, value in document.items()}

    def to_json(self) -> str:
        """Return the document as text."""
        return json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n"


def environment(placement: Placement = HOST) -> dict[str, str]:
    """Return what the numbers of a run may depend on besides its seed, with the device if that is no CPU."""
    found = {name: version(name) for name in ("numpy", "scipy", "sympy")}
    if placement.library != HOST.library:
        found |= describe(placement)
    return {
        "rmttheory": rmttheory.__version__,
        "python": platform.python_version(),
        **found,
        "platform": f"{platform.system()} {platform.machine()}",
    }


def counterexample(verdict: Verdict) -> str:
    """Return the text of a file from which `replay_file` draws the first violation of a claim again."""
    trial = verdict.counterexample or 0
    replayed = replay_trial(verdict.claim, cell=verdict.cell, seed=verdict.seed, trial=trial)
    document = {
        "schema": SCHEMA,
        "claim": verdict.claim,
        "cell": verdict.cell,
        "seed": verdict.seed,
        "trial": trial,
        "left": replayed.left,
        "right": replayed.right,
        "environment": environment(),
    }
    return json.dumps(plain(document), indent=1, allow_nan=False) + "\n"


@dataclass(frozen=True, kw_only=True)
class Replayed:
    """One trial drawn again: its two sides, and whether it still breaks the claim.

    Attributes
    ----------
    claim : str
    trial : int
    left, right : float
    broken : bool
        Whether ``left <= right`` fails beyond rounding.
    """

    claim: str
    trial: int
    left: float
    right: float
    broken: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return dict(plain(dataclasses.asdict(self)))

    @property
    def sentence(self) -> str:
        """What the two sides say."""
        sides = f"left {self.left:.6g}, right {self.right:.6g}"
        return (
            f"Trial {self.trial} of {self.claim} {'breaks' if self.broken else 'meets'} the claim: {sides}."
        )


def replay_file(path: str | Path) -> Replayed:
    """Draw the trial of a counterexample file again.

    Raises
    ------
    InvalidInput
        If the file cannot be read or is not a counterexample, or its claim is unknown.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = reason(error) if isinstance(error, OSError) else "it is not text"
        msg = f"Cannot read {path}: {why}."
        raise InvalidInput(msg) from None
    try:
        document = json.loads(text)
        name, cell, seed, trial = (document[key] for key in ("claim", "cell", "seed", "trial"))
        name, cell, seed, trial = str(name), dict(cell), int(seed), int(trial)
    except (KeyError, TypeError, ValueError, RecursionError):
        msg = f"{path} is not a counterexample: it needs claim, cell, seed and trial."
        raise InvalidInput(msg) from None
    return replay_trial(name, cell=cell, seed=seed, trial=trial)


def replay_trial(name: str, *, cell: Mapping[str, Any], seed: int, trial: int) -> Replayed:
    """Draw one trial of the claim ``name`` again and compare its sides."""
    with one_blas_thread():
        case, left, right = replay(name, cell=cell, seed=seed, trial=trial)
        slack = find_claim(name).rounding(case)
    return Replayed(claim=name, trial=trial, left=left, right=right, broken=not left <= right + slack)
