"""What others wrote is data: nothing in it is run, and no name in it leaves its place on a page or a disk."""

import ast
import html
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import rmttheory
from rmttheory.studies import trained
from rmttheory.studies.inspecting import inspect
from rmttheory.studies.inspection_report import write_inspection
from rmttheory.studies.records import Folder
from rmttheory.studies.verification import verify_suite

SOURCE = Path(rmttheory.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

MODULES = {"_pickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "runpy", "shelve", "yaml"}
CALLS = re.compile(
    r"eval|exec|compile|__import__|(np|numpy|torch)\.load|.*\.(read_pickle|extractall|unpack_archive)|"
    r"(?!np\.).*\.extract"
)
TABLES = {
    "matrices/edges.py": ["np.load"],
    "matrices/tracy_widom.py": ["np.load"],
    "networks/weights/factored.py": ["allow_pickle"],  # writes arrays, and refuses objects
}
"""Files of the package, without objects; those of users go through readers of our own."""
SCRIPTS = {"studies/sweeps/scripts.py": ["exec", "compile"]}
"""The scripts of experiments that a user's sweep names: `status` and `export` leave them alone."""


def what_runs(text):
    """Imports and calls that could run what a file holds, or unpack one to where it says."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield node.module
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            yield from [called] * bool(CALLS.fullmatch(called))
            yield from (word.arg for word in node.keywords if word.arg == "allow_pickle")


def test_no_line_of_the_package_runs_or_unpacks_what_a_file_holds():
    found = {path.relative_to(SOURCE).as_posix(): list(what_runs(path.read_text())) for path in FILES}
    assert len(found) > 150
    assert {name: uses for name, uses in found.items() if uses} == TABLES | SCRIPTS


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load(path, weights_only=True)",
        "np.load(path)",
        "read(path, allow_pickle=True)",
        "pd.read_pickle(path)",
        "eval(text)",
        "archive.extractall(folder)",
        "shutil.unpack_archive(path)",
    ],
)
def test_such_a_line_is_seen(line):
    assert list(what_runs(line)) != []


class Structure(HTMLParser):
    """Elements of a page with the names of their attributes, in order: all but text."""

    def __init__(self, page):
        super().__init__()
        self.elements = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, *(name for name, _ in attrs)))


HOSTILE = (
    "<script>alert(1)</script>&lt;{{7*7}}{% raw %}",
    "\" onload=\"alert(1)' onclick='alert(1)</title></style></h2><iframe>$\\frac{$",
    "../../../above/..\\..\\<img src=x onerror=alert(1)>|`*_[c](javascript:alert(1))[/red]",
    "/etc/absolute" + "x" * 400,
)


def written(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_names_of_tensors_change_nothing_but_text(tmp_path):
    rng = np.random.default_rng(0)
    matrices = [rng.standard_normal((20, 16)) for _ in HOSTILE]
    pages = []
    for kind, names in (("tame", [f"layer{i}" for i in range(len(HOSTILE))]), ("hostile", HOSTILE)):
        found = inspect(dict(zip(names, matrices)))
        assert [layer.name for layer in found] == list(names)
        write_inspection(found, Folder(tmp_path / "a" / kind))
        pages.append((tmp_path / "a" / kind / "report.html").read_text("utf-8"))
    tame, hostile = (Structure(page).elements for page in pages)
    assert tame == hostile
    assert len(written(tmp_path / "a" / "hostile")) == len(HOSTILE) + 4
    assert written(tmp_path) == sorted(f"a/{name}" for name in written(tmp_path / "a"))
    markdown = (tmp_path / "a" / "hostile" / "report.md").read_text("utf-8")
    assert "<" not in markdown.replace("<br>", "")


def test_the_name_of_a_data_set_is_nothing_but_text(tmp_path, monkeypatch):
    monkeypatch.setattr(trained, "EPOCHS", 1)
    monkeypatch.setattr(trained, "HIDDEN", (20, 20))
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = (rng.standard_normal((3, 20))[y] + rng.standard_normal((90, 20))).astype(np.float32)
    path = tmp_path / "<img src=x onerror=alert(1)><script>&lt;.npz"
    np.savez(path, train_x=x, train_y=y, test_x=x, test_y=y)
    verify_suite(["mp_law_identity"], data=str(path), out=str(tmp_path / "out"))
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert html.escape(path.name) in page
    tags, attributes = zip(*((tag, names) for tag, *names in Structure(page).elements))
    assert "script" not in tags
    assert not any(name.startswith("on") for names in attributes for name in names)
    assert "<script" not in (tmp_path / "out" / "report.md").read_text("utf-8")
