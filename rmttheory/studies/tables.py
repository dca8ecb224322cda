"""Verdicts as rows of text, for the terminal, Markdown and the page alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rmttheory.studies.style import number
from rmttheory.theorem.claims import find_claim, registry
from rmttheory.theorem.power import power
from rmttheory.theorem.verdicts import Kind, Outcome, Verdict

if TYPE_CHECKING:
    from rmttheory.studies.grid import LeftOut

HEADINGS = ("claim", "kind", "verdict", "trials", "violations", "upper limit", "tightness")

READING = (
    "Upper limit: exact upper confidence limit of the probability that the claim fails and, in brackets, what"
    " it allows; an identity states that probability itself, which must lie within the limits. Tightness: the"
    " largest left side over right side that was seen, 1 being tight; a limit statement has its fitted slope "
    "there and, in brackets, the claimed one."
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One verdict in words."""

    claim: str
    cell: str
    kind: str
    outcome: Outcome
    trials: str
    violations: str
    upper: str
    tightness: str
    why: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the cells of a table under `HEADINGS`."""
        return (
            f"{self.claim}{self.cell}",
            self.kind,
            self.outcome.value,
            self.trials,
            self.violations,
            self.upper,
            self.tightness,
        )


def rows(verdicts: Iterable[Verdict]) -> list[Row]:
    """Return one row for each verdict."""
    return [_row(verdict) for verdict in verdicts]


def cell_text(verdict: Verdict, *, brief: bool = False) -> str:
    """Return `odd_values` to stand behind the claim's name, such as " (n=128)".

    On a trained network it is the layer that tells verdicts apart.
    """
    if "layer" in verdict.cell:
        where = f"layer {verdict.cell['layer']}"
        return f" ({where})" if brief else f" ({where} of {verdict.cell.get('data', 'the network')})"
    odd = odd_values(verdict)
    return f" ({odd})" if odd else ""


def odd_values(verdict: Verdict) -> str:
    """Return the parameters that differ from the claim's typical ones, such as "n=128"."""
    return cell_values(_odd(verdict.claim, verdict.cell))


def cell_values(cell: Mapping[str, Any]) -> str:
    """Return parameters as text, such as "n=128, g=0.25"."""
    return ", ".join(f"{name}={_short(value)}" for name, value in cell.items())


def vacuous_sentences(verdicts: Iterable[Verdict]) -> list[str]:
    """Say of each vacuous bound at which width it would begin to speak."""
    return [
        f"{verdict.claim}{cell_text(verdict)} says nothing at this size. {_speaks(verdict)}"
        for verdict in verdicts
        if verdict.outcome is Outcome.VACUOUS
    ]


def left_out_sentences(rest: Iterable[LeftOut]) -> list[str]:
    """Say what is not judged, one sentence for each reason."""
    names: dict[str, list[str]] = {}
    for one in rest:
        odd = _odd(one.claim, one.cell).items()
        where = cell_values({name: value for name, value in odd if name not in ("n", "method")})
        names.setdefault(one.why, []).append(f"{one.claim} ({where})" if where else one.claim)
    return [f"Left out: {', '.join(dict.fromkeys(claims))}. {why}" for why, claims in names.items()]


def path_sentence(verdicts: Iterable[Verdict]) -> str:
    """Say for how many verdicts layers were drawn without the matrix, and in full; empty for neither."""
    found = [verdict.path for verdict in verdicts]
    band, dense = found.count("band"), found.count("dense")
    if not band + dense:
        return ""
    if not band * dense:
        return f"Layers were drawn {'without the matrix' if band else 'in full'}."
    return f"Layers were drawn without the matrix for {band} verdicts and in full for {dense}."


def summary(verdicts: Iterable[Verdict]) -> str:
    """Count the outcomes in one line."""
    found = [verdict.outcome for verdict in verdicts]
    counts = ", ".join(f"{found.count(outcome)} {outcome.value}" for outcome in Outcome if outcome in found)
    return f"{len(found)} verdict{'s' * (len(found) != 1)}: {counts or 'nothing judged'}"


def control_rows(verdicts: Iterable[Verdict]) -> list[tuple[str, str, str]]:
    """Return id, what is broken and power of each control that was judged."""
    found = []
    for verdict in verdicts:
        claim, _, control = verdict.claim.partition("/")
        strength = power(find_claim(verdict.claim), verdict)
        shown = "> 0.999" if strength > 0.999 else f"{math.floor(1000 * strength) / 1000:.3f}"
        found.append((verdict.claim, find_claim(claim).controls[control].breaks, shown))
    return found


def claim_list() -> list[dict[str, Any]]:
    """Return every registered claim as plain values for JSON."""
    return [
        {
            "id": claim.id,
            "kind": claim.kind.value,
            "statement": claim.statement,
            "source": claim.source,
            "reconstructed": claim.reconstructed,
            "hypotheses": [{"id": one.id, "statement": one.statement} for one in claim.hypotheses],
            "parameters": [
                {"name": p.name, "meaning": p.meaning, "typical": p.typical} for p in claim.parameters
            ],
            "controls": [
                {"id": f"{claim.id}/{name}", "breaks": one.breaks} for name, one in claim.controls.items()
            ],
        }
        for claim in registry().values()
    ]


def _odd(name: str, cell: Mapping[str, Any]) -> dict[str, Any]:
    claim = registry().get(name.partition("/")[0])
    typical = {p.name: p.typical for p in claim.parameters} if claim else {}
    return {name: value for name, value in cell.items() if typical.get(name) != value}


def _row(verdict: Verdict) -> Row:
    proof = verdict.kind is Kind.IDENTITY and verdict.upper is None
    return Row(
        claim=verdict.claim,
        cell=cell_text(verdict),
        kind=verdict.kind.value,
        outcome=verdict.outcome,
        trials="proof" if proof else _trials(verdict),
        violations="-" if proof or verdict.kind is Kind.LIMIT else f"{verdict.violations:,}",
        upper="-" if verdict.upper is None else f"{number(verdict.upper)} ({number(verdict.allowed)})",
        tightness=_tightness(verdict),
        why=verdict.why,
    )


def _trials(verdict: Verdict) -> str:
    if verdict.admissible == verdict.trials:
        return f"{verdict.trials:,}"
    return f"{verdict.admissible:,} of {verdict.trials:,}"


def _tightness(verdict: Verdict) -> str:
    if verdict.slope:
        return f"slope {verdict.slope.value:.2f} ({number(verdict.slope.claimed)})"
    if verdict.kind is Kind.IDENTITY or verdict.worst_ratio is None:
        return "-"
    return number(verdict.worst_ratio)


def _speaks(verdict: Verdict) -> str:
    if verdict.speaks_at is None:
        return "At which width it would begin to speak is not known."
    if math.isinf(verdict.speaks_at):
        return "It would begin to speak at no width, however large."
    return f"It would begin to speak at width {number(verdict.speaks_at, 2)}."


def _short(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, (tuple, list)):
        return f"{value[0]}..{value[-1]}" if value else "()"
    return str(value)
