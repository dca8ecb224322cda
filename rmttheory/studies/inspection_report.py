"""The report of an inspection: a page, a Markdown file, a figure a layer, and everything as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

from markupsafe import Markup

from rmttheory.studies import figures
from rmttheory.studies import inspection_rows as words
from rmttheory.studies.inspected import Inspection
from rmttheory.studies.records import Folder, environment
from rmttheory.studies.report import page_templates, predicate_statements, style_sheet
from rmttheory.studies.runner import Watcher

_PIXELS = 100
"""Dots an inch: figures of hundreds of layers are linked, not drawn for print."""


def write_inspection(inspection: Inspection, folder: Folder, *, watcher: Watcher | None = None) -> Path:
    """Write ``inspection.json``, ``figures/``, ``report.md`` and ``report.html``; return the last's path.

    Raises
    ------
    NotWritten
        If a file cannot be written.
    """
    watcher = watcher or Watcher()
    folder.write(
        "inspection.json", json.dumps(inspection.to_dict() | {"environment": environment()}, indent=1)
    )
    watcher.start(len(inspection) + 1)
    _write_figure(folder, "layers", inspection.plot())
    watcher.step()
    drawn = []
    for index, layer in enumerate(inspection):
        drawn.append(f"{index:03d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', layer.name)[-60:]}")
        _write_figure(folder, drawn[-1], layer.plot())
        watcher.step()
    facts = {
        "inspection": inspection,
        "title": words.title(inspection),
        "table": Markup(words.html_table(inspection.rows, [f"layer-{i}" for i in range(len(inspection))])),
        "headings": words.HEADINGS,
        "reading_table": words.READING,
        "sentences": [*words.choice_sentences(inspection), *words.skipped_sentences(inspection)],
        "drawn": drawn,
        "predicates": predicate_statements(),
        "environment": environment(),
        "style": Markup(style_sheet()),
    }
    pages = page_templates()
    for name in ("md", "html"):
        folder.write(f"report.{name}", pages.get_template(f"inspection.{name}.j2").render(facts))
    return folder.path / "report.html"


def _write_figure(folder: Folder, name: str, figure: figures.Figure) -> None:
    with figures.appearance():
        folder.write(f"figures/{name}.png", figures.encode(figure, "png", dpi=_PIXELS))
