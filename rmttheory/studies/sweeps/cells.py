"""What workers do: compute cells, sent as plain values and returned as plain values."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from rmttheory.arrays import HOST
from rmttheory.studies.pool import one_blas_thread
from rmttheory.studies.sweeps.scripts import Script
from rmttheory.theorem.claims import find_claim
from rmttheory.theorem.judging import judge, judge_proof, run_trials
from rmttheory.theorem.verdicts import plain

Document = dict[str, Any]

COMPUTED = "computed"
"""Outcome of a cell of an experiment, which judges nothing."""


def compute_cells(cells: Sequence[Mapping[str, Any]]) -> list[tuple[Document, float]]:
    """Compute cells, given as their ``to_dict`` gives them; return what is kept of each, and its seconds.

    What is kept depends on the cell alone: a verdict without its seconds, the ``result`` of an experiment or,
    where a cell cannot be computed, the cell and a sentence under ``failed``.
    """
    with one_blas_thread():
        return [_timed(cell) for cell in cells]


def failure(cell: Mapping[str, Any], why: str) -> Document:
    """Return what is kept of a cell that cannot be computed."""
    return {**_named(cell), "failed": why}


def _named(cell: Mapping[str, Any]) -> Document:
    kind = "claim" if "claim" in cell else "experiment"
    return {kind: cell[kind], "cell": cell["parameters"], "seed": cell["seed"]}


def _timed(cell: Mapping[str, Any]) -> tuple[Document, float]:
    start = time.perf_counter()
    try:
        document = _judged(**cell) if "claim" in cell else _carried_out(cell)
    except MemoryError:
        document = failure(cell, "There is not enough memory for this cell.")
    except (Exception, SystemExit) as error:  # whatever befalls a cell must not end a night's run
        document = failure(cell, f"{type(error).__name__}: {error}")
    return document, time.perf_counter() - start


def _judged(*, claim: str, parameters: Mapping[str, Any], seed: int, trials: int, alpha: float) -> Document:
    stated = find_claim(claim)
    if stated.residuals is not None:
        verdict = judge_proof(stated, seed=seed, alpha=alpha)
    else:
        cell = stated.cell(**parameters)
        measured = run_trials(stated, cell, seed=seed, start=0, stop=trials)
        verdict = judge(stated, cell, measured, seed=seed, alpha=alpha)
    document = verdict.to_dict()
    del document["seconds"]
    return document


def _carried_out(cell: Mapping[str, Any]) -> Document:
    script = Script(name=cell["experiment"], text=cell["text"])
    result = script.experiment.trial({**cell["parameters"], "seed": cell["seed"]}, HOST)
    return {**_named(cell), "outcome": COMPUTED, "result": plain(result)}
