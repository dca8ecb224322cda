"""Hypotheses of the theorem as predicates with a margin, and what one trained network can say of them."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What a hypothesis measured in one case.

    Attributes
    ----------
    value, threshold : float
        The statistic and what it is compared with.
    margin : float
        Negative if the hypothesis is not met; its scale is that of the statistic.
    how : str
        How the value was obtained.
    """

    value: float
    threshold: float
    margin: float
    how: str


@dataclass(frozen=True, kw_only=True)
class Hypothesis:
    """A condition of a claim: ``check(case)`` measures it where signal and noise are known."""

    id: str
    statement: str
    check: Callable[[Any], Measurement]


class Knowable(enum.Enum):
    """What one trained layer and its data can say of a hypothesis; the value is shown to users."""

    VERIFIABLE = "Computed from weights and data alone: it holds or fails as measured."
    FALSIFIABLE = (
        "A failure refutes it at the stated level; passing leaves it open: structure can look like noise."
    )
    UNIDENTIFIABLE = "No statistic of one trained layer tells; know it from how the weights came about."


class Reading(enum.Enum):
    """A measurement read with what can be known."""

    HOLDS = "holds"
    NOT_REFUTED = "not refuted"
    FAILS = "fails"
    UNKNOWN = "cannot be known"


@dataclass(frozen=True, kw_only=True)
class Predicate(Hypothesis):
    """A hypothesis measured on a trained layer, where signal and noise are not known.

    Attributes
    ----------
    knowable : Knowable
    of_noise : bool
        Whether it speaks of the part that is removed, and so of nothing where nothing is.
    """

    knowable: Knowable
    of_noise: bool = False


class Checked(NamedTuple):
    """A predicate that was measured on one layer."""

    id: str
    measurement: Measurement
    knowable: Knowable

    @property
    def reading(self) -> Reading:
        """Whether the hypothesis holds, is not refuted, fails, or cannot be known from one layer."""
        if self.knowable is Knowable.UNIDENTIFIABLE:
            return Reading.UNKNOWN
        if self.measurement.margin < 0:
            return Reading.FAILS
        return Reading.HOLDS if self.knowable is Knowable.VERIFIABLE else Reading.NOT_REFUTED

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "id": self.id,
            **self.measurement.__dict__,
            "reading": self.reading.value,
            "knowable": self.knowable.name.lower(),
        }


def at_most(value: float, threshold: float, how: str) -> Measurement:
    """Measure "``value <= threshold``"."""
    return Measurement(value=value, threshold=threshold, margin=_difference(threshold, value), how=how)


def at_least(value: float, threshold: float, how: str) -> Measurement:
    """Measure "``value >= threshold``"."""
    return Measurement(value=value, threshold=threshold, margin=_difference(value, threshold), how=how)


def _difference(a: float, b: float) -> float:
    """``a - b``, also where both are infinite."""
    return 0.0 if a == b else a - b


def normal_quantile(level: float) -> float:
    """Return what a standard normal variable exceeds with probability ``level``."""
    from scipy.special import ndtri

    return -float(ndtri(level))
