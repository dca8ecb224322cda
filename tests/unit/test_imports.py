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


WITHOUT_CUPY = """
import importlib, pkgutil, sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cupy", "cupyx", "cupy_backends"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
import rmttheory
for module in pkgutil.walk_packages(rmttheory.__path__, "rmttheory."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from rmttheory import Placement, Spiked, Stream, verify
from rmttheory.cli import main
from rmttheory.matrices import spectrum
from rmttheory.networks import initial_network

spectrum(Spiked((12, 8), (2.0,)).sample(1).W)
initial_network((4, 3, 2), stream=Stream(1)).logits(Stream(2).normal((5, 4)))
verify("tw_edge", n=24, m=16, method="dense", trials=3)
assert not {"cupy", "cupyx"} & set(sys.modules)
main(["spectrum", "--shape", "12x8", "--device", "cuda"])
"""


def test_everything_works_without_cupy_and_a_gpu_is_refused_in_a_sentence():
    """Tests run with CuPy installed, so that its signatures are there: what needs it must not go unseen."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_CUPY], capture_output=True, text=True, timeout=120)
    install = "pip install 'rmttheory[cuda12]' (or [cuda13])"
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"Error: cupy is not installed: {install}.\n",
    )


def test_every_promised_name_is_there():
    import rmttheory

    missing = [name for name in rmttheory.__all__ if not hasattr(rmttheory, name)]
    assert missing == []
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        rmttheory.nothing  # noqa: B018
