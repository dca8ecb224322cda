"""What removing part of one layer can do at most to logits, labels and losses; nothing here is random.

``A_theta = S + theta R`` leads from the layer ``W = A_1`` to ``S = A_0``, for any split. ``v_s`` are the
inputs of the layer and ``L`` is the product of the largest row sums of the layers after it.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from rmttheory.networks import Dense, Network
from rmttheory.theorem.certificates import loss_change_bounds
from rmttheory.theorem.claims import Claim, Control, Parameter
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_most
from rmttheory.theorem.removals import EPS, TINY, LogitCase, RemovalCase, draw_logits, draw_removal
from rmttheory.theorem.verdicts import Kind

_PAPER = "arXiv:2606.02608"
_LESS = 0.99
"""Factor of the controls that take a constant one percent too small."""


def _refined_bound(case: LogitCase, *, shrink: float = 1.0, moved: bool = False) -> float:
    """Bound on the size of the loss change, on the side to which the loss moved."""
    low, high = loss_change_bounds(case.losses[int(moved) :][:1], shrink * case.change)
    return float(high[0] if case.loss_change > 0 else -low[0])


_CLASSES = Parameter(name="classes", meaning="logits", typical=5, low=2, high=10_000)

CE_LIPSCHITZ = Claim(
    id="ce_lipschitz",
    kind=Kind.EXACT,
    statement=r"Cross-entropy is 2-Lipschitz in the max norm: $|\ell(z') - \ell(z)| \le 2\,|z' - z|_\infty$.",
    source=f"{_PAPER}, deterministic bound on the cross-entropy path",
    parameters=(_CLASSES,),
    draw=draw_logits,
    left=lambda case: abs(case.loss_change),
    right=lambda case: 2 * case.change,
    # neither loss is negative
    trivial=lambda case: float(np.max(case.losses)),
    rounding=lambda case: case.rounding,
    trials=400,
    witness=lambda: LogitCase(before=np.array([-40.0, 0.0]), after=np.array([-41.0, 1.0]), label=0),
    controls={
        "one percent less": Control(
            breaks="The constant is 1.98 instead of 2.",
            changes={"right": lambda case: _LESS * 2 * case.change},
        ),
        "mean move": Control(
            breaks="The mean move of a logit stands for the largest.",
            changes={"right": lambda case: 2 * float(np.mean(np.abs(case.after - case.before)))},
        ),
    },
    grids={"standard": ({}, {"classes": 2}, {"classes": 1000}), "full": ({"classes": 2}, {"classes": 1000})},
)

CE_REFINED = Claim(
    id="ce_refined",
    kind=Kind.EXACT,
    statement=r"If no logit moves by more than $\eta$ and the right class had probability $p$, then "
    r"$\log(p + (1-p) e^{-2\eta}) \le \ell(z') - \ell(z) \le \log(p + (1-p) e^{2\eta})$.",
    source="Derived here; sharpens the factor 2 of ce_lipschitz",
    parameters=(_CLASSES,),
    draw=draw_logits,
    left=lambda case: abs(case.loss_change),
    right=_refined_bound,
    trivial=lambda case: min(2 * case.change, float(np.max(case.losses))),
    # the slope of a loss in the logits, and so its error, is at most the loss; below TINY, digits are lost
    rounding=lambda case: TINY + case.rounding * min(1.0, float(case.losses[0]) + _refined_bound(case)),
    trials=400,
    witness=lambda: LogitCase(before=np.array([1.0, 0.0]), after=np.array([0.5, 0.5]), label=0),
    controls={
        "one percent less": Control(
            breaks="The move of the logits is taken one percent too small.",
            changes={"right": functools.partial(_refined_bound, shrink=_LESS)},
        ),
        "moved confidence": Control(
            breaks="p is read off the logits after they moved.",
            changes={"right": functools.partial(_refined_bound, moved=True)},
        ),
    },
    grids=CE_LIPSCHITZ.grids,
)


def _adds_up(case: RemovalCase) -> Measurement:
    W = case.network.layers[case.index].weight
    gap = float(np.max(np.abs(W - (case.S + case.R))))
    return at_most(
        gap, EPS * float(np.max(np.abs(W))), "Largest entry of W - S - R; the threshold is rounding."
    )


def _one_lipschitz(case: RemovalCase) -> Measurement:
    points = np.linspace(-3.0, 3.0, 25)
    steepest = max(
        float(np.max(np.abs(np.diff(layer.activate(points)) / np.diff(points))))
        for layer in case.network.layers[case.index :]
    )
    return at_most(
        steepest, 1 + 64 * EPS, "Steepest secant of the activations from the layer on, on [-3, 3]."
    )


_HYPOTHESES = (
    Hypothesis(id="split", statement="The layer is W = S + R.", check=_adds_up),
    Hypothesis(
        id="activation",
        statement="Activations from the layer on are 1-Lipschitz: L is a Lipschitz constant of the rest.",
        check=_one_lipschitz,
    ),
)


def _two_logits(bias: float) -> RemovalCase:
    """One hidden number, from 1 to 2 times the input, that one logit loses and the other gains."""
    layers = (
        Dense(np.array([[1.0]]), None),
        Dense(np.array([[-1.0], [1.0]]), np.array([bias, 0.0]), "identity"),
    )
    one, x = np.ones((1, 1)), np.array([[1.0], [0.01]])
    return RemovalCase(
        network=Network(layers), index=0, S=2 * one, R=-one, x=x, labels=np.zeros(2, dtype=int)
    )


def _product_of_operator_norms(case: RemovalCase) -> float:
    return math.prod(
        float(np.linalg.norm(layer.weight, 2)) for layer in case.network.layers[case.index :][1:]
    )


def _sampled_stretch(case: RemovalCase) -> float:
    """Largest stretch of 20 random moves of what the layer puts out."""
    layer, start = case.network.layers[case.index], case.index + 1
    if start == len(case.network.layers):
        return 1.0
    output = layer.linear(case.v)
    before = case.network.logits(layer.activate(output), start=start)
    rng, stretches = np.random.default_rng(0), []
    for _ in range(20):
        move = 1e-3 * rng.standard_normal(output.shape)
        after = case.network.logits(layer.activate(output + move), start=start)
        stretches.append(np.max(np.abs(after - before)) / np.max(np.abs(move)))
    return float(max(stretches))


_REMOVAL_PARAMETERS = (
    Parameter(name="n", meaning="width of inputs and hidden layers", typical=24, low=1, high=2048),
    Parameter(name="depth", meaning="layers", typical=3, low=1, high=20),
    Parameter(name="classes", meaning="logits", typical=5, low=2, high=1000),
    Parameter(name="samples", meaning="size of the batch", typical=16, low=1, high=10_000),
)
_REMOVAL_GRIDS = {
    "standard": ({}, {"depth": 1}, {"depth": 5}, {"n": 96}),
    "full": tuple({"n": n, "depth": depth} for n in (6, 24, 96) for depth in (1, 2, 3, 5)),
}

DET_CE_PATH = Claim(
    id="det_ce_path",
    kind=Kind.EXACT,
    statement=r"Along $A_\theta = S + \theta R$ the mean cross-entropy moves by at most "
    r"$(1-\theta)\,\frac{2}{|T|}\sum_s L\,|R v_s|_\infty$.",
    source=f"{_PAPER}, deterministic bound on the cross-entropy path",
    hypotheses=_HYPOTHESES,
    parameters=_REMOVAL_PARAMETERS,
    draw=draw_removal,
    left=lambda case: abs(case.loss_change),
    right=RemovalCase.budget,
    # neither loss is negative
    trivial=lambda case: max(case.losses),
    rounding=lambda case: case.loss_rounding,
    trials=300,
    witness=lambda: _two_logits(-40.0),
    controls={
        "one percent less": Control(
            breaks="The budget is taken one percent too small.",
            changes={"right": lambda case: _LESS * case.budget()},
        ),
        "operator norms": Control(
            breaks="L is the product of operator norms: another pair of norms.",
            changes={"right": lambda case: case.budget(_product_of_operator_norms(case))},
        ),
        "sampled stretch": Control(
            breaks="L is the largest stretch seen in 20 random directions: a lower bound of it.",
            changes={"right": lambda case: case.budget(_sampled_stretch(case))},
        ),
    },
    grids=_REMOVAL_GRIDS,
)


def _largest_changed(case: RemovalCase) -> float:
    ratios, changed = case.relative_margins
    return float(np.max(ratios, where=changed, initial=0.0))


MARGIN_STABILITY = Claim(
    id="margin_stability",
    kind=Kind.EXACT,
    statement=r"With $\eta_s = (1-\theta) L\,|R v_s|_\infty$, the label of $s$ can change only if its margin "
    r"is at most $2\eta_s$, and whether it is right only if $|\delta X(s)| \le 2\eta_s$; so accuracy moves "
    r"by at most the share of such samples.",
    source=f"{_PAPER}, deterministic margin stability",
    hypotheses=_HYPOTHESES,
    parameters=_REMOVAL_PARAMETERS,
    draw=draw_removal,
    # the largest margin that was lost, in units of eta_s
    left=_largest_changed,
    right=lambda case: 2.0,  # noqa: ARG005
    # no margin is larger than the largest: if that is below 2, every sample may change
    trivial=lambda case: float(np.max(case.relative_margins[0])),
    trials=300,
    witness=lambda: _two_logits(4 - 1e-3),
    controls={
        "one percent less": Control(
            breaks="The factor is 1.98 instead of 2.",
            changes={"right": lambda case: _LESS * 2},  # noqa: ARG005
        ),
        "no factor two": Control(
            breaks="A margin is compared with the move of one logit, not of two.",
            changes={"right": lambda case: 1.0},  # noqa: ARG005
        ),
    },
    grids=_REMOVAL_GRIDS,
)


def _penalised_change(case: RemovalCase, *, cross: float = 2.0) -> float:
    """Change of the objective plus the stated decrease of its penalty."""
    theta, W = case.theta, case.network.layers[case.index].weight
    penalty = float(np.sum(case.kept**2) - np.sum(W**2))
    stated = (1 - theta**2) * float(np.sum(case.R**2)) + cross * (1 - theta) * float(np.sum(case.S * case.R))
    return case.loss_change + case.decay * (penalty + stated)


def _penalty_rounding(case: RemovalCase) -> float:
    """Four sums of ``n m`` squares, each off by ``(n m + 6) u`` of at most ``(|S|_F + |R|_F)^2``."""
    norms = math.sqrt(float(np.sum(case.S**2))) + math.sqrt(float(np.sum(case.R**2)))
    return case.loss_rounding + 2 * EPS * (case.R.size + 6) * case.decay * norms**2


FROBENIUS_CERTIFICATE = Claim(
    id="frobenius_certificate",
    kind=Kind.EXACT,
    statement=r"For $J = L_{CE} + \lambda |A|_F^2$: $J(A_\theta) - J(A_1) + \lambda(1-\theta^2)|R|_F^2 + "
    r"2\lambda(1-\theta)\langle S, R\rangle_F \le (1-\theta)\,\frac{2}{|T|}\sum_s L\,|R v_s|_\infty$.",
    source=f"{_PAPER}, deterministic additive Frobenius certificate",
    hypotheses=_HYPOTHESES,
    parameters=_REMOVAL_PARAMETERS,
    draw=draw_removal,
    left=_penalised_change,
    right=RemovalCase.budget,
    # the loss before is not negative
    trivial=lambda case: case.losses[1],
    rounding=_penalty_rounding,
    trials=300,
    witness=lambda: replace(_two_logits(-40.0), decay=0.1),
    controls={
        "one percent less": Control(
            breaks="The budget is taken one percent too small.",
            changes={"right": lambda case: _LESS * case.budget()},
        ),
        "no cross term": Control(
            breaks="S and R are taken to be orthogonal, which only some splits are.",
            changes={"left": functools.partial(_penalised_change, cross=0.0)},
        ),
    },
    grids=_REMOVAL_GRIDS,
)

CLAIMS = (CE_LIPSCHITZ, CE_REFINED, DET_CE_PATH, MARGIN_STABILITY, FROBENIUS_CERTIFICATE)
