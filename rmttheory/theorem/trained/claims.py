"""Claims of the registry judged on a layer of a trained network: only what is drawn is replaced."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from rmttheory.arrays import Stream
from rmttheory.networks import margins
from rmttheory.theorem.certificates import width_where_radius_speaks
from rmttheory.theorem.claims import Cell, Claim, find_claim
from rmttheory.theorem.judging import judge, plan_trials, run_trials
from rmttheory.theorem.planted import NetworkCase
from rmttheory.theorem.removals import EPS, TINY, RemovalCase
from rmttheory.theorem.verdicts import Verdict

DELTA = 0.2
"""Failure probability of the radius on redrawn noise: the radius hardly depends on it, the number of trials
does."""
BATCH = 100
"""At most so many samples, evenly spaced, for which that radius is to hold at once."""
VERDICTS = 2
"""Verdicts on each layer from which something is removed."""


def judge_removal(case: RemovalCase, cell: Cell, *, seed: int, alpha: float) -> Verdict:
    """Judge `margin_stability` on the removal that the algorithm does, over all samples of ``case`` at once.

    Parameters
    ----------
    case : RemovalCase
        The layers from the one in question on, and what reaches it.
    cell : mapping
        Names the data and the layer.
    """
    claim = replace(
        find_claim("margin_stability"),
        draw=lambda cell, stream: case,  # noqa: ARG005
        trials=1,
        speaks_at=_width_for_margins,
    )
    return _judge(claim, {**cell, "samples": len(case.x)}, seed=seed, alpha=alpha)


def _width_for_margins(case: RemovalCase) -> float:
    """Width at which some label would be certified if ``|R v|_inf`` fell like that of noise, all else equal.

    That is like ``sqrt(log(2 n) / n)``; labels are certified where margins exceed twice the radius.
    """
    n = len(case.R)
    best = float(np.max(case.relative_margins[0]))
    if best == 0:
        return math.inf
    now = math.sqrt(n / math.log(2 * n))
    return width_where_radius_speaks(now, best, g=0.5, samples=1, delta=1 - EPS)


def judge_redrawn(case: RemovalCase, g: float, cell: Cell, *, seed: int, alpha: float) -> Verdict:
    """Judge `finite_confidence` on the layer with Gaussian noise of level ``g`` in place of what is removed.

    Parameters
    ----------
    case, cell
        As for `judge_removal`.
    g : float
        Fitted noise level.
    """
    reached = np.flatnonzero(np.any(case.x != 0, axis=1))  # noise moves nothing else
    chosen = reached[:: max(1, math.ceil(len(reached) / BATCH))]
    x, labels = case.x[chosen], case.labels[chosen]
    sizes = {"n": len(case.S), "samples": len(x), "classes": case.network.sizes[-1]}

    def draw(cell: Cell, stream: Stream) -> NetworkCase:
        R = stream.normal(case.S.shape, scale=math.sqrt(g / len(case.S)))
        return NetworkCase(
            network=case.network.replace(0, case.S + R), index=0, S=case.S, R=R, x=x, labels=labels, cell=cell
        )

    claim = replace(find_claim("finite_confidence"), draw=draw, speaks_at=_width_for_labels)
    cell = {**cell, **sizes, "delta": DELTA, "g": g}
    return _judge(claim, cell, seed=seed, alpha=alpha)


def _width_for_labels(case: NetworkCase) -> float:
    """Width at which the radius would certify some label, with norms and margins what they are here."""
    confidence = margins(case.before, np.argmax(case.before, axis=1))
    stretch = case.lipschitz * np.sqrt(np.sum(case.v**2, axis=1))
    best = int(np.argmax(confidence / np.maximum(stretch, TINY)))
    if confidence[best] == 0:
        return math.inf
    cell = case.cell
    return width_where_radius_speaks(
        float(stretch[best]), float(confidence[best]), g=case.g, samples=cell["samples"], delta=cell["delta"]
    )


def judge_layer(case: RemovalCase, g: float, cell: Cell, *, seed: int, alpha: float) -> tuple[Verdict, ...]:
    """Return the verdicts on one layer, each at level ``alpha``; arguments as for `judge_redrawn`.

    There are `VERDICTS` of them; of a layer that no sample reaches, only the first.
    """
    first = judge_removal(case, cell, seed=seed, alpha=alpha)
    if not np.any(case.x):
        return (first,)
    return first, judge_redrawn(case, g, cell, seed=seed, alpha=alpha)


def _judge(claim: Claim, cell: Cell, *, seed: int, alpha: float) -> Verdict:
    trials = run_trials(claim, cell, seed=seed, start=0, stop=plan_trials(claim, cell, alpha=alpha))
    return judge(claim, cell, trials, seed=seed, alpha=alpha)
