"""A skip is not a pass: what a run requires fails where it is missing, and every other skip is named."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ASKS = "def test_asks(require):\n    require('no_such_library')\n"
IMPORTS = "import pytest\npytest.importorskip('no_such_library')\ndef test_never(): pass\n"


@pytest.mark.parametrize("text", [ASKS, IMPORTS], ids=["asks", "imports"])
@pytest.mark.parametrize("required", ["", "torch", "torch,no_such_library"])
def test_a_required_thing_that_is_missing_fails_the_run(tmp_path, text, required):
    for name in ("conftest.py", "optional.py"):
        shutil.copy(Path(__file__).parents[1] / name, tmp_path)
    (tmp_path / "test_it.py").write_text(text)
    environment = {**os.environ, "RMTTHEORY_REQUIRE": required}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    if "no_such_library" in required:
        assert done.returncode not in (0, 5)
        assert "RMTTHEORY_REQUIRE names no_such_library" in done.stdout
    else:
        assert done.returncode in (0, 5)
        assert "not run: 1 skipped" in done.stdout
