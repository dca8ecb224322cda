"""Sharper forms of the papers' bounds: what the same proofs give when nothing is thrown away on the way.

``ce_refined``, ``row_event_exact`` and ``multilayer_upfront_certificate`` are others; the script
``simulations/sharper_bounds.py`` shows how far each of them takes what is certified.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from rmttheory.arrays import HostArray
from rmttheory.theorem.claims import Claim, Control
from rmttheory.theorem.planted import NetworkCase
from rmttheory.theorem.removals import TINY, RemovalCase
from rmttheory.theorem.statements.deterministic import DET_CE_PATH, MARGIN_STABILITY
from rmttheory.theorem.statements.gaussian import (
    FINITE_CONFIDENCE,
    RandomCase,
    extreme_case,
    least_width,
    stretch_at,
)

_LESS = 0.99


def pair_stretch(case: RemovalCase) -> HostArray:
    """How far two logits can move apart if what the layer puts out moves by 1: at most ``2 L``, ``(K, K)``.

    Row sums of the differences of two rows of the last layer, times those of the layers between.
    """
    later = [layer.weight for layer in case.network.layers[case.index + 1 :]]
    if not later:
        return 2.0 - 2.0 * np.eye(case.network.sizes[-1])
    between = math.prod(float(np.max(np.sum(np.abs(W), axis=1))) for W in later[:-1])
    apart = np.sum(np.abs(later[-1][:, None] - later[-1][None]), axis=2)
    return np.asarray(between * apart)


def _largest_pair(case: RemovalCase, *, factor: float = 1.0) -> float:
    """The largest change of a difference of two logits over what it may be, over samples and pairs."""
    best = np.argmax(case.before, axis=1)
    rows = np.arange(len(best))
    change = case.after - case.before
    moved = np.abs(change - change[rows, best][:, None])
    reach = case.radii[:, None] / max(case.lipschitz, TINY) * pair_stretch(case)[best] * factor
    beyond = np.maximum(moved - 4 * case.rounding, 0.0)
    # two equal rows differ by nothing before and after: 0 over 0 is no violation
    return float(np.max(np.where(beyond > 0, beyond / np.maximum(reach, TINY), 0.0)))


PAIRWISE_MARGIN_STABILITY = replace(
    MARGIN_STABILITY,
    id="pairwise_margin_stability",
    statement=r"The lead of the label $C$ over a class $j$ moves by at most $(1-\theta)K_{Cj}|R "
    r"v_s|_\infty$, where $K_{Cj}$ is the largest row sum of the layers between times $|w_C - w_j|_1$ of "
    r"the readout: never more than $2 L$. The label can change to $j$ only if its lead over $j$ is at most "
    r"that; the largest ratio of the two is at most 1.",
    source="Derived here; sharpens the factor 2 L of margin_stability",
    left=_largest_pair,
    right=lambda case: 1.0,  # noqa: ARG005
    # the same with 2 L
    trivial=lambda case: 1.0 + float(np.max(2 * case.lipschitz - pair_stretch(case))),
    witness=DET_CE_PATH.witness,
    controls={
        "one percent less": Control(
            breaks="The stretch of a pair is taken one percent too small.",
            changes={"left": functools.partial(_largest_pair, factor=_LESS)},
        ),
        "one row": Control(
            breaks="The row of one logit stands for the difference of two.",
            changes={"left": functools.partial(_largest_pair, factor=0.5)},
        ),
    },
)


def sidak_quantile(events: float, delta: float) -> float:
    """Return ``u`` with ``(2 Phi(u) - 1)^events = 1 - delta``."""
    from scipy.special import ndtri

    return -float(ndtri(-math.expm1(math.log1p(-delta) / events) / 2))


def _exact_radius(case: RandomCase) -> HostArray:
    events = case.width * len(case.v)
    scale = case.lipschitz * math.sqrt(case.g / case.width)
    return np.asarray(scale * sidak_quantile(events, case.cell["delta"]) * case.norms)


def _share(case: RandomCase, *, events: float | None = None) -> float:
    radius = _exact_radius(case)
    if events is not None:
        delta, all_events = case.cell["delta"], case.width * len(case.v)
        radius = radius * sidak_quantile(events, delta) / sidak_quantile(all_events, delta)
    return float(np.max(case.change / radius))


def _protectable(case: RandomCase) -> float:
    lead = np.sort(case.before, axis=1)
    return float(np.max((lead[:, -1] - lead[:, -2]) / (2 * _exact_radius(case))))


def _width(case: RandomCase) -> float:
    """Width at which the radius protects some label, all else as it is without noise."""
    lead = np.sort(case.after, axis=1)
    best, cell = float(np.max((lead[:, -1] - lead[:, -2]) / case.norms)), case.cell

    def speaks(n: float) -> bool:
        level = sidak_quantile(n * cell["samples"], cell["delta"])
        return 2 * stretch_at(case, n) * level * math.sqrt(case.g / n) < best

    return least_width(speaks, above=case.width)


def _extreme() -> NetworkCase:
    """The witness of the union bound, with noise as much smaller as this radius is."""
    case = extreme_case()
    share = float(_exact_radius(case)[0] / case.radius(0.05)[0])
    R = share * case.R
    return replace(case, R=R, network=case.network.replace(1, case.S + R))


SIDAK_CONFIDENCE = replace(
    FINITE_CONFIDENCE,
    id="sidak_confidence",
    statement=r"With probability at least $1 - \delta$, for all samples $s$ of a batch $T$ at once: $|X(s, "
    r"S) - X(s, W)|_\infty \le L\,|v_s|_2\,u\sqrt{g/n}$ with $(2\Phi(u) - 1)^{n|T|} = 1 - \delta$, which "
    r"is smaller than the radius of finite_confidence at every size.",
    source="Derived here: rows of R are independent, and Sidak (1967) covers correlated samples",
    left=_share,
    trivial=_protectable,
    rounding=lambda case: 2 * FINITE_CONFIDENCE.rounding(case),
    witness=_extreme,
    speaks_at=_width,
    controls={
        "one sample": Control(
            breaks="The law of one row and one sample, claimed for all of them.",
            changes={"left": functools.partial(_share, events=1.0)},
        ),
        "heavy tails": FINITE_CONFIDENCE.controls["heavy tails"],
        "aligned noise": FINITE_CONFIDENCE.controls["aligned noise"],
    },
)

CLAIMS: tuple[Claim, ...] = (PAIRWISE_MARGIN_STABILITY, SIDAK_CONFIDENCE)
