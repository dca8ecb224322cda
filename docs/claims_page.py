"""Write the page of all claims from the claims themselves, so that it cannot fall behind."""

from __future__ import annotations

from pathlib import Path

from rmttheory.theorem import Claim, claims
from rmttheory.theorem.claims import Parameter

_HEAD = """# All claims

What `rmttheory verify` judges, written by the objects that are judged. What a run can show of each kind of
statement stands in [the theory](../theory.md).
"""


def write(folder: Path) -> None:
    """Write ``index.md`` into ``folder``, unless it already says the same."""
    text = "\n".join([_HEAD, *(_section(claim) for claim in claims())])
    page = folder / "index.md"
    if not page.is_file() or page.read_text(encoding="utf-8") != text:
        folder.mkdir(exist_ok=True)
        page.write_text(text, encoding="utf-8")


def _section(claim: Claim) -> str:
    reconstructed = " Reconstructed: the text of this paper was not at hand." if claim.reconstructed else ""
    parts = [
        f"## {claim.id}",
        claim.statement,
        f"*{claim.kind.value.capitalize()}.* {claim.source.rstrip('.')}.{reconstructed}",
    ]
    if claim.hypotheses:
        parts.append("Needs:\n\n" + "\n".join(f"- `{h.id}`: {h.statement}" for h in claim.hypotheses))
    if claim.parameters:
        rows = (f"| `{p.name}` | {_cell(p.meaning)} | {_values(p)} |" for p in claim.parameters)
        parts.append("\n".join(["| parameter | meaning | typical |", "|---|---|---|", *rows]))
    if claim.loose_because:
        parts.append(f"No witness: {claim.loose_because}")
    if claim.controls:
        broken = (f"- `{claim.id}/{name}`: {control.breaks}" for name, control in claim.controls.items())
        parts.append("Controls, which must be refuted:\n\n" + "\n".join(broken))
    return "\n\n".join(parts) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _values(parameter: Parameter) -> str:
    if isinstance(parameter.typical, tuple):
        return ", ".join(str(width) for width in parameter.typical)
    others = [choice for choice in parameter.choices if choice != parameter.typical]
    return f"{parameter.typical}" + (f" (or {', '.join(others)})" if others else "")
