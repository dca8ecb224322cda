"""Hypotheses of the theorem as predicates with a margin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


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
