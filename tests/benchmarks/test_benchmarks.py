"""The arithmetic of the benchmarks, and that the ways they compare do the same. No time is judged."""

from __future__ import annotations

import re
import sys

import memory
import numpy as np
import pytest
import run
import scipy.stats
import tables
import timing
from catalogue import BENCHES, Peers
from timing import Bench, Effort, Way


class Clock:
    """Calls take the seconds that they are said to take."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, []

    def way(self, name: str, seconds: float, **facts) -> Way:
        def call() -> None:
            self.now += seconds
            self.calls.append(name)

        return Way(name=name, call=call, **facts)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: clock.now)
    return clock


def test_times_are_those_of_the_whole_task_and_ways_take_turns(clock):
    ours, other = clock.way("a", 1.0, share=2.0), clock.way("b", 3.0, share=0.5)
    found = timing.paired(ours, other, Effort(pairs=4, shortest=0.5, budget=1e3))
    assert found["ours"] == [0.5] * 4
    assert found["seconds"] == [6.0] * 4
    assert "".join(clock.calls) == "ab" + "baab" * 2  # the first two calls tell how many to repeat


def test_quick_calls_are_repeated_and_slow_ones_end_the_pairs(clock):
    quick, slow = clock.way("a", 0.25), clock.way("b", 10.0)
    found = timing.paired(quick, slow, Effort(pairs=9, shortest=1.0, budget=15.0, fewest=2))
    assert len(found["ours"]) == 2
    assert clock.calls.count("a") == 1 + 2 * 4
    assert found["ours"] == [0.25] * 2


def test_growth_is_fitted_as_a_regression():
    rng = np.random.default_rng(5)
    sizes = [100, 300, 1000, 5000, 20000]
    seconds = [1e-6 * size**1.7 * np.exp(rng.normal(0, 0.1)) for size in sizes]
    oracle = scipy.stats.linregress(np.log(sizes), np.log(seconds))
    fitted = timing.fit_power(sizes, seconds, beyond=10**6)
    assert fitted["exponent"] == pytest.approx(oracle.slope, rel=1e-10)
    assert fitted["standard_error"] == pytest.approx(oracle.stderr, rel=1e-10)
    there = np.exp(oracle.intercept + oracle.slope * np.log(10**6))
    assert fitted["beyond"]["seconds"] == pytest.approx(there, rel=1e-10)
    assert fitted["beyond"]["low"] < there < fitted["beyond"]["high"]


def test_other_answers_stop_the_run():
    facts = {"size": 2, "quick": 2, "tiny": 2, "random": False, "tolerance": lambda size: size / 2}
    bench = Bench(name="x", title="x", ways=list, **facts)
    assert run._difference([[1.0, 2.0], [1.5, 2.0]], bench, 2) == 0.5
    for other in (3.5, float("nan")):
        with pytest.raises(RuntimeError, match="do not agree"):
            run._difference([[1.0, 2.0], [1.0, other]], bench, 2)


@pytest.mark.parametrize("name", [name for name in BENCHES if name != "null-200-two"])
def test_the_ways_of_a_task_agree(name):
    """At the smallest sizes and fixed seeds; packages that are not here are left out."""
    bench = BENCHES[name]
    ways = bench.ways(bench.tiny, Peers())
    answers = [way.summary(way.call()) for way in ways if way.answer]
    for other in answers[1:]:
        run._difference([answers[0], other], bench, bench.tiny)
    assert ways[0].kind == "ours"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell the high-water mark so well")
def test_memory_sees_what_is_taken_and_given_back():
    mib = 2**20
    assert memory.peak_mib(lambda: np.ones(64 * mib // 8).sum()) == pytest.approx(64, abs=6)
    assert memory.peak_mib(lambda: None) == pytest.approx(0, abs=2)


def test_seconds_have_three_digits_and_a_unit():
    said = [tables.seconds(x) for x in (1234.5, 12.34, 0.99996, 0.0123, 4.56e-6, 7e-10)]
    assert said == ["1,230 s", "12.3 s", "1 s", "12.3 ms", "4.56 µs", "0.7 ns"]


def test_every_row_of_a_page_has_as_many_cells_as_its_head():
    times = {"median": 0.5, "low": 0.25, "high": 1.0}
    facts = {"kind": "peer", "share": 0.1, "seconds": times, "ratio": times, "pairs": 3}
    other = {"name": "other", "difference": 1e-9, "peak_mib": None} | facts
    rows = [
        {
            "name": "full-1",
            "title": "t",
            "size": 10000,
            "ours": times | {"peak_mib": 1.5},
            "against": [other],
        },
        {"name": "alone", "title": "u", "size": 3, "ours": times | {"peak_mib": None}, "against": []},
    ]
    task = {"title": "svd, in m", "sizes": [1, 2], "exponent": 3.0, "standard_error": 0.1}
    growths = [task | {"beyond": {"size": 10000, "seconds": 100.0, "low": 50.0, "high": 200.0}}]
    run.extrapolate(rows, growths)
    assert rows[0]["against"][1]["ratio"] == {"median": 200.0, "low": 100.0, "high": 400.0}
    environment = {"cores": 2, "processor": "p", "system": "s", "python": "3"}
    environment |= {"packages": {"numpy": "2"}, "scikit_rmt_interpreter": None}
    found = {"quick": False, "environment": environment, "rows": rows, "growths": growths, "left_out": {}}
    page = tables.page(found)
    for block in re.findall(r"(?:^\|.*\n)+", page, flags=re.M):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    assert "svd, extrapolated | 100 s | 200 (100 – 400)" in page
    assert "other, 10 % timed, differs by 1e-09" in page
