"""Identities between the formulas that the package computes with, proved by SymPy.

They are stated in symbols that may take any positive value: ``c = q^2`` and ``z = t^2 = q (1 + x)`` reach
every aspect ratio and every spike above its threshold, so no square root has a choice of branch. Noise has
``g = 1``: other levels scale ``theta = t sqrt(g)`` and all singular values alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rmttheory.theorem.claims import Claim, Control
from rmttheory.theorem.verdicts import Kind

_BGN = "Benaych-Georges and Nadakuditi, J. Multivariate Anal. 111 (2012)"
_PROVED = "An equality: both sides are the same expression."

Expression = Any


def _spike() -> tuple[Expression, Expression]:
    """Return ``c`` and ``t^2`` of a spike above the threshold ``t^4 = c``."""
    import sympy

    q, x = sympy.symbols("q x", positive=True)
    return q**2, q * (1 + x)


def _outlier_squared(z: Expression, c: Expression) -> Expression:
    return (1 + z) * (c + z) / z


def _overlaps(z: Expression, c: Expression) -> tuple[Expression, Expression]:
    """Squared overlaps on the output and on the input side."""
    return (z**2 - c) / (z**2 + z), (z**2 - c) / (z**2 + c * z)


def _root(expression: Expression) -> Expression:
    """Square root of a rational function, factored first: SymPy then sees what is positive."""
    import sympy

    return sympy.sqrt(sympy.factor(expression))


def _inverse_squared(y_squared: Expression, c: Expression) -> Expression:
    """``t^2`` of the spike whose outlier is at ``y``."""
    h = y_squared - c - 1
    return (h + _root(h**2 - 4 * c)) / 2


def _inverse_residuals(
    inverse: Callable[[Expression, Expression], Expression] = _inverse_squared,
) -> tuple[Expression, ...]:
    c, z = _spike()
    y = _outlier_squared(z, c)
    h = y - c - 1

    def transform(y_squared: Expression) -> Expression:
        h = y_squared - c - 1
        return (h - _root(h**2 - 4 * c)) / (2 * c)

    edge = (1 + _root(c)) ** 2
    return (
        h**2 - 4 * c - (z - c / z) ** 2,
        inverse(y, c) - z,
        transform(y) - 1 / z,
        transform(edge) - 1 / _root(c),
    )


INVERSE_BBP_IDENTITY = Claim(
    id="inverse_bbp_identity",
    kind=Kind.IDENTITY,
    statement=r"Above the threshold, $\theta^4 > c\,g^2$, the outlier map $\rho$ is inverted by "
    r"$\hat\theta^2 = (h + \sqrt{h^2 - 4 c g^2})/2$, $h = \rho^2 - (1 + c) g$; the D-transform is "
    r"$\theta^{-2}$ at $\rho$ and $1/(g \sqrt c)$ at the edge.",
    source=f"{_BGN}, equation (2) and Theorem 2.8; the inverse is derived here",
    residuals=_inverse_residuals,
    loose_because=_PROVED,
    controls={
        "missing half": Control(
            breaks="The half inside the outer root is missing, as in published code.",
            changes={
                "residuals": functools.partial(_inverse_residuals, lambda y, c: 2 * _inverse_squared(y, c))
            },
        ),
        "transposed": Control(
            breaks="c = n / m instead of m / n in the inverse.",
            changes={
                "residuals": functools.partial(_inverse_residuals, lambda y, c: _inverse_squared(y, 1 / c))
            },
        ),
    },
)


def _coefficient_residuals(*, power: int = 3) -> tuple[Expression, ...]:
    c, z = _spike()
    left, right = _overlaps(z, c)
    t, y, both = _root(z), _root(_outlier_squared(z, c)), _root(left * right)
    h = y**2 - c - 1
    return (
        y * both - (t - c / t**power),
        t * both - _root(h**2 - 4 * c) / y,
        right / left - (z + 1) / (z + c),
    )


EFFECTIVE_COEFFICIENT_IDENTITY = Claim(
    id="effective_coefficient_identity",
    kind=Kind.IDENTITY,
    statement=r"What truncation keeps of a spike along its own data path is $\rho\sqrt{C_u C_v} = "
    r"\theta - c\,g^2/\theta^3$, and the Frobenius shrinker is $\theta\sqrt{C_u C_v} = "
    r"\sqrt{(\rho^2 - (1 + c) g)^2 - 4 c g^2}/\rho$.",
    source=f"Derived here from {_BGN}, Theorems 2.8 and 2.9; shrinker: Gavish and Donoho (2017)",
    residuals=_coefficient_residuals,
    loose_because=_PROVED,
    controls={
        "wrong power": Control(
            breaks="The loss of a spike is taken as c g / theta.",
            changes={"residuals": functools.partial(_coefficient_residuals, power=1)},
        ),
    },
)


def _leeb(z: Expression, c: Expression) -> Expression:
    """Squared operator-norm shrinker for ``c >= 1``, where min(1, c) = 1."""
    return z * (z + 1) / (z + c)


def _operator_residuals(
    shrinker_squared: Callable[[Expression, Expression], Expression] = _leeb,
) -> tuple[Expression, ...]:
    """Stationarity of the norm of ``theta u v^T - eta u_hat v_hat^T``, a matrix of rank two.

    Its squared singular values are the roots of ``X^2 - F X + D``: ``F`` is the squared Frobenius norm and
    ``D`` the squared product of both. At the least norm, ``F' X = D'`` in ``eta``. With ``X = D``
    the other root is 1, and that is the smaller one: ``c > 1`` makes ``X = c (z + 1) / (z + c)`` exceed 1.
    """
    import sympy

    q, x = sympy.symbols("q x", positive=True)
    c = (1 + q) ** 2
    z = (1 + q) * (1 + x)
    left, right = _overlaps(z, c)
    squared = shrinker_squared(z, c)
    cross = _root(z * left * right * squared)  # eta theta sqrt(C_u C_v)
    F = z - 2 * cross + squared
    D = z * squared * (1 - left) * (1 - right)
    X = D / (squared - cross)
    return X**2 - F * X + D, X - c * (z + 1) / (z + c), X - D


OPERATOR_SHRINKER_IDENTITY = Claim(
    id="operator_shrinker_identity",
    kind=Kind.IDENTITY,
    statement=r"For $c > 1$ the norm of $\theta u v^T - \eta\,\hat u \hat v^T$ is stationary at "
    r"$\eta = \theta\sqrt{(\theta^2 + g)/(\theta^2 + c\,g)}$, where its square is "
    r"$c\,g\,(\theta^2 + g)/(\theta^2 + c\,g)$ (for $c < 1$ transpose).",
    source="Leeb (2022), optimal shrinkage for operator norm loss",
    residuals=_operator_residuals,
    loose_because=_PROVED,
    controls={
        "square formula": Control(
            breaks="The shrinker of square layers, eta = theta, is used off-square, as first published.",
            changes={"residuals": functools.partial(_operator_residuals, lambda z, c: z)},  # noqa: ARG005
        ),
    },
)


def _law_residuals(*, narayana: bool = True) -> tuple[Expression, ...]:
    """The law in ``x = 1 + c + 2 sqrt(c) cos(phi)``, with ``u = tan(phi / 2)``, then its moments."""
    import sympy

    u, y = sympy.symbols("u y", positive=True)
    sine, cosine, phi = 2 * u / (1 + u**2), (1 - u**2) / (1 + u**2), 2 * sympy.atan(u)
    below, above = 1 / (1 + y), 1 + y
    residuals = []
    for q, gap, continuous in ((below, y / (1 + y), 1), (above, y, 1 / above**2)):  # gap = |1 - q|
        c = q**2
        corner = gap * (1 + q) / (2 * c) * sympy.atan(gap / (1 + q) * u)
        tail = 2 / sympy.pi * (-sine / (2 * q) + (1 + c) * phi / (4 * c) - corner)
        density = q * sine / (sympy.pi * c * (1 + c + 2 * q * cosine))
        residuals.append(sympy.diff(tail, u) - density * 2 * q * sine * sympy.diff(phi, u))
        residuals.append(sympy.limit(tail, u, sympy.oo) - continuous)
    return (*residuals, *_moment_residuals(narayana))


def _moment_residuals(narayana: bool) -> tuple[Expression, ...]:
    """Coefficients of ``c w M^2 + ((1 - c) w - 1) M + 1`` for the power series ``M`` of the moments."""
    import sympy

    c, w = sympy.symbols("c w", positive=True)
    order = 6

    def moment(k: int) -> Expression:
        terms = (
            sympy.binomial(k, r) * sympy.binomial(k - 1, r) * c**r / (r + 1 if narayana else 1)
            for r in range(k)
        )
        return sum(terms) if k else sympy.Integer(1)

    M = sum(moment(k) * w**k for k in range(order + 1))
    series = sympy.expand(c * w * M**2 + ((1 - c) * w - 1) * M + 1)
    return tuple(series.coeff(w, k) for k in range(order + 1))


MP_LAW_IDENTITY = Claim(
    id="mp_law_identity",
    kind=Kind.IDENTITY,
    statement=r"The closed form of the Marchenko-Pastur distribution function has the density as its "
    r"derivative and the right atom at 0 for every $c \ne 1$; up to the sixth, the moments "
    r"$\sum_{r<k} \frac{c^r}{r+1}\binom{k}{r}\binom{k-1}{r}$ solve $c w M^2 + ((1 - c) w - 1) M + 1 = 0$.",
    source="Marchenko and Pastur (1967); the closed form is derived here",
    residuals=_law_residuals,
    loose_because=_PROVED,
    controls={
        "not Narayana": Control(
            breaks="The moments lack the factor 1 / (r + 1).",
            changes={"residuals": functools.partial(_law_residuals, narayana=False)},
        ),
    },
)

CLAIMS = (
    INVERSE_BBP_IDENTITY,
    EFFECTIVE_COEFFICIENT_IDENTITY,
    OPERATOR_SHRINKER_IDENTITY,
    MP_LAW_IDENTITY,
)
