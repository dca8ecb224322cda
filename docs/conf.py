"""How the documentation is built: ``python -m sphinx -W docs docs/_build``, without a network."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx_gallery.scrapers import figure_rst

import rmttheory
from rmttheory.studies import figures

sys.path.insert(0, str(Path(__file__).parent))
import claims_page
import experiments_page

HERE = Path(__file__).parent
RECORDS = {  # of each experiment; that at the paper's own sizes only if there is no other
    path.stem.partition("-")[0]: path
    for path in sorted((HERE / "experiments").glob("*.json"), key=lambda path: "-" not in path.stem)
}
GALLERY = "|".join(
    ["edge_ladder", "certified_width", "own_model", *RECORDS]
)  # the scripts that draw; others print tables

project = "rmttheory"
author = "The rmttheory developers"
copyright = f"2026, {author}"
version = release = rmttheory.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "tutorials", "sg_execution_times.rst", "*-table.md"]

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


def _save_figure(block, block_vars, gallery_conf):  # noqa: ARG001
    """Save what a script leaves as ``figure``; scripts here do not draw through pyplot's global state."""
    figure = block_vars["example_globals"].pop("figure", None)
    if figure is None:
        return ""
    path = next(block_vars["image_path_iterator"])
    Path(path).write_bytes(figures.encode(figure, "png"))
    return figure_rst([path], gallery_conf["src_dir"])


class _Arguments:
    """Let an experiment draw its record: nothing is computed when the documentation is built."""

    def __repr__(self):
        return "records"

    def __call__(self, gallery_conf, script_vars):  # noqa: ARG002
        record = RECORDS.get(Path(script_vars["src_file"]).stem)
        return ["--record", str(record)] if record else []


suppress_warnings = ["config.cache"]  # the scraper is a function, which needs no caching
sphinx_gallery_conf = {
    "examples_dirs": ["../simulations", "tutorials"],
    "gallery_dirs": ["gallery", "tutorial"],
    "filename_pattern": rf"(^|/)({GALLERY})\.py$",
    "ignore_pattern": rf"^(?!(.*/)?({GALLERY})\.py$).*\.py$",
    "image_scrapers": (_save_figure,),
    "reset_argv": _Arguments(),
    "reset_modules": (),
    "capture_repr": (),
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
    "abort_on_example_error": True,
}


def _give_source_a_section(app, what, name, obj, options, lines):  # noqa: ARG001
    """Make the closing ``Source: ...`` of a docstring a section, or it would end the one before it."""
    for i, line in enumerate(lines):
        if line.startswith("Source: ") and not lines[i - 1].startswith("---"):
            lines[i : i + 1] = ["References", "----------", line.removeprefix("Source: ")]
            return


def setup(app):
    claims_page.write(HERE / "claims")
    experiments_page.write(HERE / "experiments.md")
    app.connect("autodoc-process-docstring", _give_source_a_section, priority=100)  # before numpydoc
