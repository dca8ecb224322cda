"""What removing a mask does at most to a penalised loss, and what a minimum says about every mask.

``A_theta = S + theta R`` with disjoint supports of ``S`` and ``R``; ``B(R)`` is the data-path budget
``(2/|T|) sum_s L |R v_s|_inf`` and the objective is ``J(A) = L_CE + sum ridge A^2 + sum lasso |A|``.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np

from rmttheory.arrays import Stream
from rmttheory.networks import Dense, Network
from rmttheory.theorem.claims import Cell, Claim, Control
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_most
from rmttheory.theorem.masks import THETAS, MaskCase, balanced, draw_mask, draw_stationary
from rmttheory.theorem.removals import EPS
from rmttheory.theorem.statements.deterministic import DET_CE_PATH
from rmttheory.theorem.verdicts import Kind

_PAPER = "arXiv:2606.02608"
_LESS = 0.99
_GRIDS = {
    "standard": ({}, {"depth": 1}, {"n": 96}),
    "full": tuple({"n": n, "depth": depth} for n in (6, 24, 96) for depth in (1, 2, 3, 5)),
}


def _overlap(case: MaskCase) -> Measurement:
    return at_most(float(np.max(np.abs(case.S * case.R))), 0.0, "Largest |S_ij R_ij|.")


_MASK = Hypothesis(id="mask", statement="S and R have disjoint supports.", check=_overlap)
_HYPOTHESES = (*DET_CE_PATH.hypotheses, _MASK)


def _change(case: MaskCase, *, spread: bool = True) -> float:
    """Change of the objective plus the stated decrease of its penalty, or that with the mean weight."""
    stated = case if spread else replace(case, ridge=_mean(case.ridge), lasso=_mean(case.lasso))
    return case.objective_change + (1 - case.theta) * stated.mass()


def _mean(weights: np.ndarray) -> np.ndarray:
    return np.full(weights.shape, float(np.mean(weights)))


def _witness(*, restored: bool = False) -> MaskCase:
    """One hidden number that falls from 2 to 1, from which the right logit gains and the other loses."""
    readout = Dense(np.array([[1.0], [-1.0]]), np.array([-40.0, 0.0]), "identity")
    W = np.array([[1.0, 0.7, 1.0]])
    kept = np.array([[1.0, 0.7, 0.0]])
    return MaskCase(
        network=Network((Dense(W, None, "relu"), readout)),
        index=0,
        S=kept,
        R=W - kept,
        x=np.ones((1, 3)),
        labels=np.zeros(1, dtype=int),
        ridge=np.full(W.shape, 0.3),
        lasso=np.full(W.shape, 0.2),
        restored=np.array([[0.0, 0.7, 0.0]]) if restored else None,
    )


def _draw_overlapping(cell: Cell, stream: Stream) -> MaskCase:
    """One entry is in both parts, with two signs: without ``R`` it grows instead of leaving."""
    case = draw_mask(cell, stream)
    S, R = case.S.copy(), case.R.copy()
    S[0, 0], R[0, 0] = 2.0, -1.0
    network = case.network.replace(case.index, S + R)
    return replace(case, network=network, S=S, R=R, ridge=100 * case.ridge)


_LESS_BUDGET = Control(
    breaks="The budget is taken one percent too small.", changes={"right": lambda case: _LESS * case.budget()}
)
_OVERLAP = Control(
    breaks="One entry belongs to both parts.", changes={"draw": _draw_overlapping, "hypotheses": ()}
)

DETERMINISTIC_MASK_CERTIFICATE = Claim(
    id="deterministic_mask_certificate",
    kind=Kind.EXACT,
    statement=r"For $J = L_{CE} + \lambda_2|A|_F^2 + \lambda_1|A|_1$ and disjoint supports: $J(A_\theta) - "
    r"J(A_1) + \lambda_2(1-\theta^2)|R|_F^2 + \lambda_1(1-\theta)|R|_1 \le (1-\theta)\,B(R)$.",
    source=f"{_PAPER}, deterministic certificate for masks",
    hypotheses=_HYPOTHESES,
    parameters=DET_CE_PATH.parameters,
    draw=draw_mask,
    left=_change,
    right=MaskCase.budget,
    # the loss before is not negative
    trivial=lambda case: case.losses[1],
    rounding=lambda case: case.penalty_rounding,
    trials=300,
    witness=_witness,
    controls={"one percent less": _LESS_BUDGET, "overlap": _OVERLAP},
    grids=_GRIDS,
)

WEIGHTED_MASK_CERTIFICATE = replace(
    DETERMINISTIC_MASK_CERTIFICATE,
    id="weighted_mask_certificate",
    statement=r"With weights $\gamma^{(2)}_{ij}, \gamma^{(1)}_{ij}$ of single entries: $J(A_\theta) - "
    r"J(A_1) + (1-\theta^2)\sum\gamma^{(2)}_{ij}R_{ij}^2 + (1-\theta)\sum\gamma^{(1)}_{ij}|R_{ij}| \le "
    r"(1-\theta)\,B(R)$.",
    source=f"{_PAPER}, weighted certificate for masks",
    draw=functools.partial(draw_mask, weighted=True),
    controls={
        "one percent less": _LESS_BUDGET,
        "mean weight": Control(
            breaks="What leaves is weighed with the mean weight of the layer.",
            changes={"left": functools.partial(_change, spread=False)},
        ),
        "overlap": _OVERLAP,
    },
)


def _draw_restored(cell: Cell, stream: Stream, *, both: bool = False) -> MaskCase:
    """A mask of which some entries were put back; ``both`` leaves one of them in either part."""
    case = draw_mask(cell, stream)
    rng = stream.child("back").generator()
    rows = 1 if rng.random() < 0.5 else len(case.R)  # whole columns leave an extremal case extremal
    back = np.broadcast_to(rng.random((rows, case.R.shape[1])) < 0.5, case.R.shape)
    restored = np.where(back, case.R, 0.0)
    kept = case.S + restored
    R = np.where(back, 0.0, case.R)
    if both:
        R = np.where(back, 0.5 * case.R, R)
    network = case.network.replace(case.index, kept + R)
    return replace(case, network=network, S=kept, R=R, restored=restored)


PRUNE_RESTORE_CERTIFICATE = replace(
    DETERMINISTIC_MASK_CERTIFICATE,
    id="prune_restore_certificate",
    statement=r"$W = S + Q + P$ in disjoint supports, $Q + P$ removed and $Q$ restored: $J(S + Q + \theta "
    r"P) - J(W) + \lambda_2(1-\theta^2)|P|_F^2 + \lambda_1(1-\theta)|P|_1 \le (1-\theta)\,B(P)$.",
    source=f"{_PAPER}, certificate for pruning with restoration",
    draw=_draw_restored,
    witness=functools.partial(_witness, restored=True),
    controls={
        "one percent less": _LESS_BUDGET,
        "restored twice": Control(
            breaks="The penalty of what was restored is counted as if it had left.",
            changes={"left": lambda case: _change(case) + case.penalty(_restored(case))},
        ),
    },
)


def _restored(case: MaskCase) -> np.ndarray:
    return np.zeros_like(case.R) if case.restored is None else case.restored


def _gain(case: MaskCase, *, lasso: bool = True) -> float:
    """By how much restoring lowers the bound, minus what the criterion says it does."""
    Q = _restored(case)
    lowered = case.bound(case.R + Q) - case.bound(case.R)
    cost = case.penalty(Q) if lasso else float(np.sum(case.ridge * Q**2))
    both, one = replace(case, R=case.R + Q, theta=0.0), replace(case, theta=0.0)
    return abs(lowered - (both.budget() - one.budget() - cost))


def _gain_rounding(case: MaskCase) -> float:
    """Four budgets, whose errors are as long as their rows, and four penalties."""
    Q = np.abs(_restored(case)) + np.abs(case.R)
    scale = replace(case, R=Q, theta=0.0).bound(Q) + 2 * case.penalty(Q)
    return 8 * EPS * (case.R.size + len(case.x) + 8) * scale


RESTORATION_GAIN = Claim(
    id="restoration_gain",
    kind=Kind.EXACT,
    statement=r"Restoring $Q$ lowers the certified bound by $B(Q + P) - B(P) - \lambda_2|Q|_F^2 - "
    r"\lambda_1|Q|_1$ exactly, so it pays if and only if $B(Q + P) - B(P) > \lambda_2|Q|_F^2 + "
    r"\lambda_1|Q|_1$.",
    source=f"{_PAPER}, when restoration pays",
    hypotheses=(_MASK,),
    parameters=DET_CE_PATH.parameters,
    draw=_draw_restored,
    left=_gain,
    right=lambda case: 0.0,  # noqa: ARG005
    rounding=_gain_rounding,
    trials=300,
    loose_because="An equality: the left side is the difference of its two sides.",
    controls={
        "no lasso": Control(
            breaks="The criterion leaves out the lasso penalty.",
            changes={"left": functools.partial(_gain, lasso=False)},
        ),
        "overlap": Control(
            breaks="What is restored and what stays out share entries, so that their penalties do not add "
            "up.",
            changes={"draw": functools.partial(_draw_restored, both=True), "hypotheses": ()},
        ),
    },
    grids=_GRIDS,
)


def _surplus(case: MaskCase, *, factor: float = 1.0, ignore_slope: bool = False) -> float:
    """Mass of the mask beyond the gain of the objective, the largest along the path and at its start."""
    if ignore_slope:
        return case.mass(1.0)
    return factor * max(case.surplus(theta) for theta in (*THETAS, 1.0))


def _draw_unfinished(cell: Cell, stream: Stream) -> MaskCase:
    """Far from a minimum: the penalty is a thousand times what the network was trained with."""
    case = draw_stationary(cell, stream)
    return replace(case, ridge=1000 * case.ridge)


MASK_STATIONARITY = Claim(
    id="mask_stationarity",
    kind=Kind.EXACT,
    statement=r"If along $A_\theta$ the objective gains at most $\varepsilon$ per unit of $1 - \theta$, "
    r"then $\lambda_2(1 + \theta)|R|_F^2 + \lambda_1|R|_1 \le B(R) + \varepsilon$ for every $\theta < 1$, "
    r"and $2\lambda_2|R|_F^2 + \lambda_1|R|_1 \le B(R) + \varepsilon$ with $\varepsilon$ the slope at "
    r"$\theta = 1$.",
    source=f"{_PAPER}, stationarity of masks",
    hypotheses=_HYPOTHESES,
    parameters=tuple(p for p in DET_CE_PATH.parameters if p.name in ("n", "classes")),
    draw=draw_stationary,
    left=_surplus,
    right=lambda case: case.budget() / (1 - case.theta),
    # a penalty is at most the objective, and that what a network without weights has
    trivial=lambda case: 2 * (case.losses[0] + case.penalty(case.S + case.R)),
    rounding=lambda case: case.surplus_rounding,
    trials=200,
    witness=lambda: balanced(np.ones(3), np.array([1, 0, 0]), np.random.default_rng(0), 0.1),
    controls={
        "one percent less": Control(
            breaks="The budget is taken one percent too small.",
            changes={"right": lambda case: _LESS * case.budget() / (1 - case.theta)},
        ),
        "far from a minimum": Control(
            breaks="The slope is taken as 0 where the objective still falls.",
            changes={"left": functools.partial(_surplus, ignore_slope=True), "draw": _draw_unfinished},
        ),
    },
    grids={"standard": ({}, {"n": 48}), "full": ({}, {"n": 48}, {"classes": 3})},
)

CLAIMS = (
    DETERMINISTIC_MASK_CERTIFICATE,
    WEIGHTED_MASK_CERTIFICATE,
    PRUNE_RESTORE_CERTIFICATE,
    RESTORATION_GAIN,
    MASK_STATIONARITY,
)
