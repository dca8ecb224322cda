"""The report of a run: figures, a Markdown file, and one page that needs nothing from outside."""

from __future__ import annotations

from importlib import resources
from typing import Any

import jinja2
from markupsafe import Markup

from rmttheory.studies.pictures import make_pictures
from rmttheory.studies.records import Folder, Run, environment
from rmttheory.studies.style import DARK, LIGHT, number
from rmttheory.studies.tables import (
    HEADINGS,
    READING,
    cell_text,
    cell_values,
    left_out_sentences,
    path_sentence,
    rows,
    summary,
    vacuous_sentences,
)
from rmttheory.studies.typeset import to_html
from rmttheory.theorem.claims import Claim, find_claim, registry
from rmttheory.theorem.verdicts import Outcome, Verdict

SUBJECT = (
    "A layer is W = S + R: a few strong singular values, the spikes, and noise, whose singular values fill a "
    "bulk. The Pruning Theorem says that removing the noise keeps loss and accuracy. Below, its statements "
    "are judged on random matrices where the truth is known and on a trained network."
)
LEFT_WHOLE = (
    "Nothing is removed from this layer: no singular value lies below the edge, or it is the last one, which "
    "keeps as many values as there are classes."
)
RECONSTRUCTED = (
    "The text of the 2023 paper (arXiv:2310.03165) was not available while this program was written. A "
    "statement marked “reconstructed” is our own reading of what its theorem must say, from its abstract, its"
    " table of contents and the later papers. A verdict on it speaks of our statement, not of the published "
    "one."
)


def write_report(run: Run, folder: Folder) -> None:
    """Write ``figures/``, ``report.md`` and ``report.html`` of ``run``.

    Raises
    ------
    NotWritten
        If a file cannot be written.
    """
    facts = _facts(run) | {"pictures": make_pictures(run, folder)}
    pages = page_templates()
    for name in ("report.md", "report.html"):
        folder.write(name, pages.get_template(f"{name}.j2").render(facts))


def page_templates() -> jinja2.Environment:
    """Return the templates of reports, with the filters that they use."""
    pages = jinja2.Environment(
        loader=jinja2.PackageLoader("rmttheory.studies"),
        autoescape=jinja2.select_autoescape(["html.j2"]),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    pages.filters |= {
        "number": number,
        "percent": lambda share: f"{100 * share:.1f} %",
        "math": lambda text: Markup(to_html(text)),  # to_html escapes
        "cell": _markdown_cell,
        "cell_values": cell_values,
        "parameters": cell_text,
    }
    return pages


def _facts(run: Run) -> dict[str, Any]:
    """Return everything that the templates show."""
    return {
        "run": run,
        "network": run.network,
        "summary": summary(run.verdicts),
        "refuted": [verdict for verdict in run.verdicts if verdict.outcome is Outcome.REFUTED],
        "vacuous": vacuous_sentences(run.verdicts),
        "left_out": left_out_sentences(run.left_out),
        "path": path_sentence(run.verdicts),
        "headings": HEADINGS,
        "reading_table": READING,
        "subject": SUBJECT,
        "left_whole": LEFT_WHOLE,
        "rows": rows(run.verdicts),
        "claims": [
            (claim, [v for v in run.verdicts if v.claim == claim.id]) for claim in _claims(run.verdicts)
        ],
        "outcomes": [outcome for outcome in Outcome if run.count(outcome)],
        "predicates": predicate_statements(),
        "hypotheses": _readings(run),
        "environment": environment(run.placement),
        "reconstructed": RECONSTRUCTED,
        "share": run.alpha / run.shares if run.shares else run.alpha,
        "style": Markup(style_sheet()),
    }


def _claims(verdicts: tuple[Verdict, ...]) -> list[Claim]:
    names = dict.fromkeys(verdict.claim for verdict in verdicts)
    return [find_claim(name) for name in names if name.partition("/")[0] in registry()]


def _readings(run: Run) -> list[tuple[str, list[Any]]]:
    """Return for each hypothesis its finding on every layer, None where it was not measured."""
    layers = run.network.examination.layers if run.network else ()
    found = [{finding.id: finding for finding in layer.hypotheses} for layer in layers]
    names = dict.fromkeys(name for findings in found for name in findings)
    return [(name, [findings.get(name) for findings in found]) for name in names]


def predicate_statements() -> dict[str, str]:
    """Return what each hypothesis of a trained layer states."""
    from rmttheory.theorem.trained.predicates import PREDICATES

    return {predicate.id: predicate.statement for predicate in PREDICATES}


def style_sheet() -> str:
    """Return the style sheet, its colours those of the figures."""
    light, dark = (
        " ".join(f"--{name}: {color};" for name, color in theme.colors.items()) for theme in (LIGHT, DARK)
    )
    sheet = resources.files("rmttheory.studies").joinpath("templates/report.css").read_text("utf-8")
    return f":root {{ {light} }}\n@media (prefers-color-scheme: dark) {{ :root {{ {dark} }} }}\n{sheet}"


def _markdown_cell(text: Any) -> str:
    """Escape what would end a cell or be read as HTML."""
    plain = str(text).replace("|", "\\|").replace("\n", " ")
    return plain.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
