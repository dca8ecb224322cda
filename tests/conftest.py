"""What every test shares: one BLAS thread, reproducible Hypothesis, and a count of what was not there."""

from __future__ import annotations

import os
import signal
from collections import Counter

for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")  # before NumPy is imported, here and in processes that tests start

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402
from optional import is_here  # noqa: E402

settings.register_profile("ci", derandomize=True, database=None, deadline=None)
settings.register_profile("explore", max_examples=2000, database=None, deadline=None)
settings.load_profile("ci")

REQUIRED = {name for name in os.environ.get("RMTTHEORY_REQUIRE", "").replace(" ", "").split(",") if name}
"""Optional things that must be there in this run: a test that misses one fails instead of being skipped."""

LEFT_OUT = pytest.StashKey[int]()
"""How many slow tests were not run."""


@pytest.fixture(scope="session")
def require():
    """``require("torch")`` skips a test where torch is missing; it fails if RMTTHEORY_REQUIRE names it."""

    def check(name: str) -> None:
        if not is_here(name):
            pytest.skip(f"{name} is not installed")

    return check


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):  # noqa: ARG001
    """Let Ctrl-C stop the tests, whatever one of them did to it: the program is deaf when it leaves."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        return (yield)
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # noqa: ARG001
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):  # noqa: ARG001
    return _refuse_skip((yield))


def _refuse_skip(report):
    """Turn a skip for want of a required thing into a failure, however the test asked for the skip."""
    if report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2]
        missed = [name for name in sorted(REQUIRED) if name in reason]
        if missed:
            report.outcome = "failed"
            report.longrepr = f"RMTTHEORY_REQUIRE names {', '.join(missed)}, but: {reason}"
    return report


def pytest_collection_modifyitems(config, items):
    """Leave out what takes minutes, unless a mark or a single test is asked for: ``pytest -m slow``."""
    if config.option.markexpr or any("::" in argument for argument in config.args):
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    if slow:
        config.hook.pytest_deselected(items=slow)
        items[:] = [item for item in items if item not in set(slow)]
        config.stash[LEFT_OUT] = len(slow)


def pytest_sessionfinish(session):
    """Tell the process that started this one what was left out: with ``-n`` it collects nothing itself."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["left_out"] = session.config.stash.get(LEFT_OUT, 0)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):  # noqa: ARG001
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter):
    shown = list(_properties(terminalreporter, "passed"))
    pairs = {value for name, value in shown if name == "pair"}
    if pairs:
        functions, places = ({pair.split(" on ")[side] for pair in pairs} for side in (0, 1))
        terminalreporter.section("portability")
        terminalreporter.line(
            f"{len(pairs)} (function, place) pairs passed: {len(functions)} functions, "
            f"{len(places)} places ({', '.join(sorted(places))})"
        )
    for title in dict.fromkeys(name for name, _ in shown if name != "pair"):
        values = [value for name, value in shown if name == title]
        terminalreporter.line(f"{len(values)} {title}: {', '.join(values)}")
    skipped = Counter(report.longrepr[2] for report in terminalreporter.stats.get("skipped", []))
    for reason, count in sorted(skipped.items()):
        terminalreporter.line(f"not run: {count} skipped, {reason.removeprefix('Skipped: ')}")
    if slow := terminalreporter.config.stash.get(LEFT_OUT, 0):
        terminalreporter.line(f"not run: {slow} left out; `python -m pytest -m slow` runs what takes minutes")


def _properties(terminalreporter, outcome):
    for report in terminalreporter.stats.get(outcome, []):
        yield from getattr(report, "user_properties", ())
