"""How the documentation is built: ``python -m sphinx -W docs docs/_build``, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

import rmttheory

sys.path.insert(0, str(Path(__file__).parent))
import claims_page

project = "rmttheory"
author = "The rmttheory developers"
copyright = f"2026, {author}"
version = release = rmttheory.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["dollarmath", "colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "none"  # the docstrings say more than the annotations
autodoc_default_options = {"members": True, "inherited-members": "Enum, Exception, Protocol, tuple"}
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
default_role = "py:obj"

html_theme = "pydata_sphinx_theme"
html_title = "rmttheory"
html_show_sourcelink = False
html_sidebars = {"*": [], "claims/*": []}  # they have no pages below them
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}


def _give_source_a_section(app, what, name, obj, options, lines):  # noqa: ARG001
    """Make the closing ``Source: ...`` of a docstring a section, or it would end the one before it."""
    for i, line in enumerate(lines):
        if line.startswith("Source: ") and not lines[i - 1].startswith("---"):
            lines[i : i + 1] = ["References", "----------", line.removeprefix("Source: ")]
            return


def setup(app):
    claims_page.write(Path(__file__).parent / "claims")
    app.connect("autodoc-process-docstring", _give_source_a_section, priority=100)  # before numpydoc
