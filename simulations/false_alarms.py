"""How often the suite refutes what is true: ``python simulations/false_alarms.py [--preset quick|paper]``.

A replica is a suite of its own: every statement on a probability, at its typical cell with a seed of its own,
each at an equal share of one level for the whole suite. That level is 0.2 here, since nobody could wait for
false alarms at 1e-6, and trials are few. All these claims are true, so that whatever is refuted is a false
alarm. Beside what was seen stands what is known exactly: the probability of a refutation if the truth were
the least favourable one that the claim allows. About ten minutes on two cores for 1,000 replicas.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from rmttheory.studies.pool import compute
from rmttheory.theorem import Kind, claims
from rmttheory.theorem.claims import Claim, find_claim
from rmttheory.theorem.judging import judge, run_trials
from rmttheory.theorem.verdicts import Outcome, clopper_pearson

LEVEL, TRIALS = 0.2, 40
PRESETS = {"quick": 50, "paper": 1000}
"""Replicas."""
SMALL = {"n": 48, "m": 32, "samples": 5, "delta": 0.2, "noise": "gaussian"}
"""Sizes at which a trial takes a millisecond."""
AT_THEIR_SIZE = (
    "pruning_theorem_confidence",
    "pruning_theorem_accuracy",
    "bema_level",
    "tw_edge",
    "gof_null",
)
"""What these say holds from a size on, or at a size."""


def suite() -> list[Claim]:
    """Return every claim on a probability."""
    return [one for one in claims() if one.kind in (Kind.TAIL, Kind.IDENTITY) and one.residuals is None]


def cell_of(claim: Claim) -> dict[str, Any]:
    """Return a small cell, with other values where a small one is out of range or breaks a hypothesis."""
    if claim.id in AT_THEIR_SIZE:
        return claim.cell()
    known = {parameter.name: parameter for parameter in claim.parameters}
    given = {name: value for name, value in SMALL.items() if name in known}
    if claim.cell().get("noise") == "rademacher":
        given["noise"] = "rademacher"
    if "signal_norm" in {hypothesis.id for hypothesis in claim.hypotheses}:
        given |= {"strength": 1.0, "classes": 4}
    return claim.cell(**given)


def refuted(name: str, first: int, last: int, share: float) -> list[bool]:
    """Judge one claim in the replicas from ``first`` to ``last``."""
    claim = find_claim(name)
    cell, found = cell_of(claim), []
    for seed in range(first, last):
        trials = run_trials(claim, cell, seed=1000 + seed, start=0, stop=TRIALS)
        verdict = judge(claim, cell, trials, seed=seed, alpha=share)
        found.append(verdict.outcome is Outcome.REFUTED)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    parser.add_argument("--jobs", type=int, default=2)
    given = parser.parse_args()
    replicas = PRESETS[given.preset]
    start, judged = time.perf_counter(), suite()
    share, step = LEVEL / len(judged), 50
    blocks = range(0, replicas, step)
    works = [(one.id, first, min(first + step, replicas), share) for one in judged for first in blocks]
    results = dict(compute([(refuted, work) for work in works], workers=given.jobs))
    alarms: dict[str, list[bool]] = {one.id: [] for one in judged}
    for index, work in enumerate(works):
        alarms[work[0]] += results[index]
    print(f"| claim | allowed | refuted of {replicas} | at the least favourable truth |")
    print("|---|---|---|---|")
    worst = 0.0
    for claim in judged:
        band = claim.failure(cell_of(claim))
        known = max(band.power(end, TRIALS, share) for end in {band.low, band.high} - {0.0})
        worst += known
        print(f"| {claim.id} | {band.high:.3g} | {sum(alarms[claim.id])} | {known:.4f} |")
    suites = sum(any(found) for found in zip(*alarms.values()))
    upper = clopper_pearson(suites, replicas, 0.05)[1]
    count = f"{suites} of {replicas} suites of {len(judged)} claims"
    print(f"\n{count} refuted something, {upper:.3f} at most (95 % confidence).")
    print(f"Stated level {LEVEL}; at the least favourable truths {worst:.3f}.")
    print(f"{time.perf_counter() - start:.0f} seconds.")


if __name__ == "__main__":
    main()
