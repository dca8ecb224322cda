"""How far a sweep came, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rmttheory.studies.sweeps.cells import COMPUTED
from rmttheory.studies.sweeps.costs import duration
from rmttheory.theorem.verdicts import Outcome

FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Cells so far.

    Attributes
    ----------
    total : int
        Cells of the sweep.
    counts : mapping of str to int
        Finished cells by outcome: ``computed`` those of experiments, ``failed`` those that could not be.
    seconds : float
        What finished cells took of one core.
    damaged : int
        Records that are there and cannot be read.
    rate : float or None
        Cells a second since this process began.
    left : float or None
        Seconds left at the present pace.
    """

    total: int
    counts: Mapping[str, int]
    seconds: float = 0.0
    damaged: int = 0
    rate: float | None = None
    left: float | None = None

    @property
    def done(self) -> int:
        """How many cells are finished, failed ones among them."""
        return sum(self.counts.values())

    @property
    def complete(self) -> bool:
        """Whether every cell is finished and none failed."""
        return self.done == self.total and not self.counts.get(FAILED)

    @property
    def status(self) -> int:
        """Exit status: 2 something missing or failed, 1 something refuted, 0 otherwise."""
        return 2 if not self.complete else int(self.counts.get(Outcome.REFUTED.value, 0) > 0)

    @property
    def sentence(self) -> str:
        """All of it in a line."""
        names = [*(outcome.value for outcome in Outcome), COMPUTED, FAILED]
        counts = ", ".join(f"{self.counts[name]:,} {name}" for name in names if self.counts.get(name))
        text = f"{self.done:,} of {self.total:,} cells" + (f": {counts}" if counts else "")
        if self.seconds:
            text += f"; {duration(self.seconds)} of one core"
        if self.rate is not None:
            text += f"; {self.rate:,.3g} cells/s"
        if self.left is not None and self.done < self.total:
            text += f", about {duration(self.left)} left"
        if self.damaged:
            text += f"; {self.damaged:,} damaged records"
        return f"{text}."

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "total": self.total,
            "done": self.done,
            "counts": dict(sorted(self.counts.items())),
            "seconds": self.seconds,
            "damaged": self.damaged,
            "complete": self.complete,
        }


def count(documents: Iterable[Mapping[str, Any]]) -> Counter[str]:
    """Count finished cells by outcome."""
    return Counter(FAILED if FAILED in document else document["outcome"] for document in documents)
