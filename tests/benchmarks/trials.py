"""Trials of a theorem about networks: drawn, measured, and every hypothesis checked."""

from __future__ import annotations

import itertools
from typing import Any

from timing import Bench, Growth, Way

from rmttheory.theorem.claims import find_claim
from rmttheory.theorem.judging import run_trials

BOTH = 2048
"""Width up to which layers are drawn in full as well."""


def _trial(n: int, method: str) -> Way:
    claim, numbers = find_claim("finite_confidence"), itertools.count()
    cell = claim.cell(n=n, samples=20, classes=10, method=method)

    def call() -> Any:
        trial = next(numbers)
        return run_trials(claim, cell, seed=1, start=trial, stop=trial + 1)

    if method == "dense":
        return Way(name="with the matrix", call=call, kind="dense")
    return Way(name="rmttheory", call=call, kind="ours")


def trial_ways(n: int, peers: Any) -> list[Way]:  # noqa: ARG001
    """One trial of ``finite_confidence`` with 20 samples and 10 classes."""
    return [_trial(n, "band"), *([_trial(n, "dense")] if n <= BOTH else [])]


BENCHES = tuple(
    Bench(
        name=name,
        title="trial of finite_confidence, width {size}, 20 samples, 10 classes",
        ways=trial_ways,
        size=size,
        quick=quick,
        tiny=64,
        pairs=7,
    )
    for name, size, quick in (("trial-2048", 2048, 256), ("trial-1e6", 10**6, 10**4))
)

GROWTHS = (
    Growth(
        name="trial",
        title="trial of finite_confidence, in the width",
        way=lambda n: _trial(n, "band"),
        sizes=(10**4, 10**5, 10**6),
        quick=(10**3, 10**4, 10**5),
    ),
)
