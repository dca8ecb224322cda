"""The program run in this process, and one run of it as a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from program import IDS, start


@pytest.fixture
def run(capsys):
    """Run the program here; return its exit status, stdout and stderr."""

    def run_here(*arguments):
        from rmttheory.cli import main

        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return left.value.code, out, err

    return run_here


@pytest.fixture(scope="session")
def images(tmp_path_factory) -> Path:
    """A data set of a user: three separable classes in 16 dimensions."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(3, 16))
    halves = {}
    for half, count in (("train", 120), ("test", 60)):
        y = np.arange(count) % 3
        x = centres[y] + 0.3 * rng.normal(size=(count, 16))
        halves |= {f"x_{half}": x.astype(np.float32), f"y_{half}": y}
    path = tmp_path_factory.mktemp("images") / "tiny.npz"
    np.savez(path, **halves)
    return path


@pytest.fixture(scope="session")
def verified(tmp_path_factory, images) -> tuple[Path, str, str]:
    """Folder, stdout and stderr of one run with a trained network, over two processes."""
    folder = tmp_path_factory.mktemp("verified") / "out"
    process = start("verify", *IDS, "--data", images, "--seed", 3, "--jobs", 2, "--out", folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return folder, out, err
