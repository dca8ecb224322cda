"""What starting the program may load: 0.3 s of imports is a promise, and libraries are what breaks it."""

import subprocess
import sys

import pytest

HEAVY = {"scipy.stats", "sympy", "matplotlib", "torch", "cupy", "dask", "distributed", "pandas", "sklearn"}


def loaded(*arguments):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines[1:]}


@pytest.mark.parametrize(
    "arguments", [("-c", "import rmttheory"), ("-m", "rmttheory", "--help")], ids=["import", "help"]
)
def test_starting_loads_nothing_heavy(arguments):
    modules = loaded(*arguments)
    assert "rmttheory" in modules
    assert {name for name in modules if any(name == h or name.startswith(f"{h}.") for h in HEAVY)} == set()


def test_import_alone_loads_no_numerical_library():
    assert {"numpy", "scipy"}.isdisjoint(loaded("-c", "import rmttheory"))


def test_the_reader_of_importtime_sees_what_is_loaded():
    """Without this, a change of Python's report would make the tests above pass on nothing."""
    assert {"scipy", "scipy.special"} <= loaded("-c", "import scipy.special")


def test_every_promised_name_is_there():
    import rmttheory

    missing = [name for name in rmttheory.__all__ if not hasattr(rmttheory, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        rmttheory.nothing  # noqa: B018
