"""Colours and numbers as figures, tables and the report show them."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass

from rmttheory.theorem.verdicts import Outcome


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Colours of one appearance; the hues are Okabe and Ito's, told apart without colour vision."""

    paper: str
    ink: str
    muted: str
    faint: str
    wash: str
    bulk: str
    law: str
    spike: str
    bound: str
    outcomes: dict[Outcome, str]

    @property
    def colors(self) -> dict[str, str]:
        """Every colour by name."""
        named = {name: value for name, value in vars(self).items() if isinstance(value, str)}
        return named | {outcome.value: color for outcome, color in self.outcomes.items()}


LIGHT = Theme(
    paper="#ffffff",
    ink="#1b1f24",
    muted="#59636e",
    faint="#d9dee3",
    wash="#f5f7f9",
    bulk="#b9d9ee",
    law="#0072b2",
    spike="#c14f00",
    bound="#c14f00",
    outcomes={
        Outcome.CERTIFIED: "#00795a",
        Outcome.CONSISTENT: "#0067a3",
        Outcome.UNDECIDED: "#8a6100",
        Outcome.REFUTED: "#c03a00",
        Outcome.VACUOUS: "#6b7280",
        Outcome.INAPPLICABLE: "#6b7280",
    },
)

DARK = Theme(
    paper="#14181d",
    ink="#e8ebee",
    muted="#a3adb8",
    faint="#343b44",
    wash="#1b2128",
    bulk="#24506b",
    law="#6cc3f5",
    spike="#ff9a52",
    bound="#ff9a52",
    outcomes={
        Outcome.CERTIFIED: "#34c99a",
        Outcome.CONSISTENT: "#6cc3f5",
        Outcome.UNDECIDED: "#eab83e",
        Outcome.REFUTED: "#ff8257",
        Outcome.VACUOUS: "#a3adb8",
        Outcome.INAPPLICABLE: "#a3adb8",
    },
)


def darkened(svg: str) -> str:
    """Return a drawing made in the colours of `LIGHT` in those of `DARK`."""
    pairs = {LIGHT.colors[name]: color for name, color in DARK.colors.items()}
    return re.sub("#[0-9a-f]{6}", lambda found: pairs.get(found[0], found[0]), svg)


MARKERS = {
    Outcome.CERTIFIED: "o",
    Outcome.CONSISTENT: "s",
    Outcome.UNDECIDED: "D",
    Outcome.REFUTED: "X",
    Outcome.VACUOUS: "v",
    Outcome.INAPPLICABLE: "d",
}

TERMINAL = {
    Outcome.CERTIFIED: "green",
    Outcome.CONSISTENT: "cyan",
    Outcome.UNDECIDED: "yellow",
    Outcome.REFUTED: "bold red",
    Outcome.VACUOUS: "magenta",
    Outcome.INAPPLICABLE: "magenta",
}


def span(seconds: float) -> str:
    """Return a time in the unit that people would use, to two digits."""
    for unit, size in (("days", 86400.0), ("hours", 3600.0), ("minutes", 60.0)):
        if seconds >= 1.5 * size:
            return f"{number(seconds / size, 2)} {unit}"
    return f"{number(seconds, 2)} s"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number to so many significant digits, as people write it; "-" for none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "never" if value > 0 else "-inf"
    if value == sys.float_info.max:  # stands for "any finite number" in thresholds
        return "finite"
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        text = f"{value:.{digits}g}"
        rounded = float(text)
        return f"{rounded:,.0f}" if abs(rounded) >= 1000 else f"{rounded:g}"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
