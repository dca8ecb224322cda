"""One claim judged for as long as one likes, kept in a file that the same command takes up again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rmttheory.arrays import InvalidInput, Placement, check_count, check_interval, find_placement
from rmttheory.studies.records import SCHEMA, Folder, NotWritten, environment, reason
from rmttheory.studies.runner import Watcher
from rmttheory.theorem.sequential import monitor
from rmttheory.theorem.verdicts import Kind, Outcome, Verdict, plain


@dataclass(frozen=True, kw_only=True)
class LongRun:
    """How far a run came.

    Attributes
    ----------
    verdict : Verdict or None
        The last one; None if it was interrupted before the first.
    interrupted : bool
    unwritten : NotWritten or None
        Why the last verdict is not in the file.
    """

    verdict: Verdict | None
    interrupted: bool = False
    unwritten: NotWritten | None = None

    @property
    def status(self) -> int:
        """Exit status: 130 interrupted, 2 not written, 1 refuted, 0 otherwise."""
        if self.interrupted:
            return 130
        if self.unwritten:
            return 2
        return int(self.verdict is not None and self.verdict.outcome is Outcome.REFUTED)


def watch(
    name: str,
    parameters: Mapping[str, Any],
    *,
    seed: int,
    alpha: float,
    most: int,
    device: str = "cpu",
    out: str | None = None,
    watcher: Watcher,
) -> LongRun:
    """Judge a claim until it is decided, ``most`` trials are done, or Ctrl-C.

    Parameters
    ----------
    name : str
        A claim, or ``claim/control``.
    parameters : mapping
        Values of its parameters; the others are typical.
    seed, alpha, most, device
        As for `monitor`.
    out : str, optional
        File of the last verdict. If there is one of the same run already, it goes on from there.
    watcher : Watcher
        Told of each verdict.

    Raises
    ------
    InvalidInput
        For a claim without trials to count, or a file that is not of this run.
    Unavailable
        If ``device`` is a GPU that is not there.
    """
    placement = find_placement(device)
    target = Path(out).expanduser() if out else None
    folder = Folder(target.parent) if target else None
    verdict = read_verdict(target) if target and target.exists() else None
    if verdict:
        watcher.note(f"Going on from {verdict.trials} trials in {target}.")
    run = monitor(name, after=verdict, most=most, seed=seed, alpha=alpha, device=device, **parameters)
    try:
        for verdict in run:
            watcher.note(f"{verdict.outcome.value:<12} {verdict.why}")
            if folder and target:
                folder.write(target.name, _document(verdict, placement))
    except KeyboardInterrupt:
        return LongRun(verdict=verdict, interrupted=True)
    except NotWritten as error:
        return LongRun(verdict=verdict, unwritten=error)
    return LongRun(verdict=verdict)


def _document(verdict: Verdict, placement: Placement) -> str:
    document = {"schema": SCHEMA, "environment": environment(placement), "verdict": verdict}
    return json.dumps(plain(document), indent=1, allow_nan=False) + "\n"


def read_verdict(path: Path) -> Verdict:
    """Read the verdict that `watch` wrote.

    Raises
    ------
    InvalidInput
        If the file cannot be read or holds none.
    """
    try:
        values = dict(json.loads(path.read_text(encoding="utf-8"))["verdict"])
        values["kind"], values["outcome"] = Kind(values["kind"]), Outcome(values["outcome"])
        for name in ("worst_ratio", "speaks_at", "e_value"):
            if values[name] is not None:
                values[name] = float(values[name])
        values["hypotheses"] = {name: float(margin) for name, margin in values["hypotheses"].items()}
        for name in ("trials", "admissible", "informative", "violations", "seed"):
            values[name] = check_count(values[name], name, low=0)
        low, high = max(values["informative"], values["violations"]), values["trials"]
        check_interval(values["admissible"], "admissible", low=low, high=high, closed="both")
        return Verdict(**{field.name: values[field.name] for field in fields(Verdict)})
    except OSError as error:
        msg = f"Cannot read {path}: {reason(error)}."
        raise InvalidInput(msg) from None
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, InvalidInput):
        msg = f"{path} does not hold a run to go on with; name another file with --out."
        raise InvalidInput(msg) from None
