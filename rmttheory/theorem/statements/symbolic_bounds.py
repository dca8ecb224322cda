"""Identities behind the certificates, proved by SymPy in symbols that may take any positive value.

A sum over entries is an identity if each of its terms is, so one entry stands for all of them.
"""

from __future__ import annotations

import functools
from typing import Any

from rmttheory.theorem.claims import Claim, Control
from rmttheory.theorem.verdicts import Kind

_PROVED = "An equality: both sides are the same expression."

Expression = Any


def _loss_residuals(*, slope: int = 2) -> tuple[Expression, ...]:
    """Cross-entropy of ``K`` logits moved by at most ``eta``, the right one of confidence ``p``."""
    import sympy

    y, eta = sympy.symbols("y eta", positive=True)
    p = 1 / (1 + y)  # any probability; 1 - p = y / (1 + y)

    def change(sign: int) -> Expression:
        return sympy.log(p + (1 - p) * sympy.exp(2 * sign * eta))

    top, *others = sympy.symbols("z_C z_1 z_2", real=True)

    def loss(moved: Expression) -> Expression:
        """Loss where the right logit falls by ``moved`` and all others rise by it."""
        rest = sum(sympy.exp(z + moved) for z in others)
        return sympy.log(sympy.exp(top - moved) + rest) - (top - moved)

    total = sympy.exp(top) + sum(sympy.exp(z) for z in others)
    share = sympy.exp(top) / total
    extreme = sympy.exp(loss(eta) - loss(0)) - (share + (1 - share) * sympy.exp(2 * eta))
    gradient = [share - 1, *(sympy.exp(z) / total for z in others)]  # softmax minus the unit vector
    return (
        sympy.diff(change(1), eta).subs(eta, 0) - slope * (1 - p),
        sympy.diff(change(-1), eta).subs(eta, 0) + slope * (1 - p),
        # the slope stays below 2 by a positive amount, and the bound starts at 0: it never exceeds 2 eta
        2 - sympy.diff(change(1), eta) - 2 * p / (p + (1 - p) * sympy.exp(2 * eta)),
        change(1).subs(eta, 0),
        extreme,
        -gradient[0] + sum(gradient[1:]) - 2 * (1 - share),
    )


REFINED_LOSS_IDENTITY = Claim(
    id="refined_loss_identity",
    kind=Kind.IDENTITY,
    statement=r"If the right logit falls and all others rise by $\eta$, the loss changes by $\log(p + (1 - "
    r"p) e^{2\eta})$ exactly; its slope is $2(1 - p)$ at $\eta = 0$, as is the $\ell_1$ norm of the "
    r"gradient, and below 2 everywhere.",
    source="Derived here",
    residuals=_loss_residuals,
    loose_because=_PROVED,
    controls={
        "slope 1": Control(
            breaks="The slope at 0 is taken as 1 - p, as if only one logit moved.",
            changes={"residuals": functools.partial(_loss_residuals, slope=1)},
        ),
    },
)


def _objective_residuals(*, cross: int = 2) -> tuple[Expression, ...]:
    """Penalties along ``S + theta R`` of an entry that ``S`` and ``R`` share, and of one of ``R`` alone."""
    import sympy

    s, r, theta = sympy.symbols("s r theta", positive=True)
    residuals = []
    for sign in (1, -1):  # s and r of one sign and of two
        path = (s + sign * theta * r) ** 2 - (s + sign * r) ** 2
        residuals.append(path + (1 - theta**2) * r**2 + cross * (1 - theta) * sign * s * r)
        alone = sympy.Abs(sign * theta * r) - sympy.Abs(sign * r)
        residuals.append(alone + (1 - theta) * r)
    return tuple(residuals)


OBJECTIVE_IDENTITY = Claim(
    id="objective_identity",
    kind=Kind.IDENTITY,
    statement=r"$|S + \theta R|_F^2 - |S + R|_F^2 = -(1 - \theta^2)|R|_F^2 - 2(1 - \theta)\langle S, "
    r"R\rangle_F$ for any split; where the supports are disjoint, $|S + \theta R|_1 - |S + R|_1 = -(1 - "
    r"\theta)|R|_1$ for $\theta \ge 0$.",
    source="arXiv:2606.02608, deterministic certificates",
    residuals=_objective_residuals,
    loose_because=_PROVED,
    controls={
        "half the cross term": Control(
            breaks="The cross term is counted once.",
            changes={"residuals": functools.partial(_objective_residuals, cross=1)},
        ),
    },
)


def _stationarity_residuals(*, factor: int = 2) -> tuple[Expression, ...]:
    """The certificate of a step ``theta = 1 - h`` divided by ``h``, and its limit."""
    import sympy

    h, s, r, decay, lasso = sympy.symbols("h s r lambda_2 lambda_1", positive=True)
    theta = 1 - h
    mask = (decay * (1 - theta**2) * r**2 + lasso * (1 - theta) * r) / h
    both = decay * ((s + theta * r) ** 2 - (s + r) ** 2) / h
    return (
        mask - (factor - h) * decay * r**2 - lasso * r,
        sympy.limit(mask, h, 0) - factor * decay * r**2 - lasso * r,
        sympy.limit(both, h, 0) + factor * decay * (r**2 + s * r),
    )


STATIONARITY_IDENTITY = Claim(
    id="stationarity_identity",
    kind=Kind.IDENTITY,
    statement=r"Per step $h$ of $\theta = 1 - h$, the penalty falls by $(2 - h)\lambda_2|R|_F^2 + "
    r"\lambda_1|R|_1$ for a mask, so by $2\lambda_2|R|_F^2 + \lambda_1|R|_1$ as $h \to 0$; for any split, "
    r"by $2\lambda_2(|R|_F^2 + \langle S, R\rangle_F)$.",
    source="arXiv:2606.02608, stationarity of masks",
    residuals=_stationarity_residuals,
    loose_because=_PROVED,
    controls={
        "no factor 2": Control(
            breaks="The factor 2, the derivative of a square, is left out.",
            changes={"residuals": functools.partial(_stationarity_residuals, factor=1)},
        ),
    },
)

CLAIMS = (REFINED_LOSS_IDENTITY, OBJECTIVE_IDENTITY, STATIONARITY_IDENTITY)
