"""Identities between the formulas for spikes that the package computes with, proved by SymPy.

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
    least = X**2 - F * X + D
    on_square = (least.subs(q, 0), (squared - z).subs(q, 0))  # there eta = theta
    return least, X - c * (z + 1) / (z + c), X - D, *on_square


OPERATOR_SHRINKER_IDENTITY = Claim(
    id="operator_shrinker_identity",
    kind=Kind.IDENTITY,
    statement=r"For $c > 1$ the norm of $\theta u v^T - \eta\,\hat u \hat v^T$ is stationary at "
    r"$\eta = \theta\sqrt{(\theta^2 + g)/(\theta^2 + c\,g)}$, where its square is "
    r"$c\,g\,(\theta^2 + g)/(\theta^2 + c\,g)$; for $c < 1$ transpose, for $c = 1$ it is $\eta = \theta$.",
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


def _transposed_residuals(*, same_variance: bool = False) -> tuple[Expression, ...]:
    """What scaling by ``sqrt(g)`` and exchanging rows and columns do to formulas stated at ``(g, c)``.

    Entries of variance ``g / n`` are those of variance ``g' / m`` with ``g' = c g``; and ``c' = 1 / c``.
    """
    import sympy

    q, x, g, w = sympy.symbols("q x g w", positive=True)
    c, z = q**2, g * q * (1 + x)  # theta^2 above the threshold g sqrt(c)

    def outlier_squared(z: Expression, g: Expression, c: Expression) -> Expression:
        return (g + z) * (c * g + z) / z

    def edge(g: Expression, c: Expression) -> Expression:
        return _root(g) * (1 + _root(c))

    def threshold_squared(g: Expression, c: Expression) -> Expression:
        return g * _root(c)

    def transform(y: Expression, g: Expression, c: Expression) -> Expression:
        h = y - (1 + c) * g
        return (h - _root(h**2 - 4 * c * g**2)) / (2 * c * g**2)

    def operator_squared(z: Expression, g: Expression, small: Expression, large: Expression) -> Expression:
        return z * (z + small * g) / (z + large * g)

    def density_squared(w: Expression, g: Expression, c: Expression) -> Expression:
        """Square of the density of the eigenvalues of ``W^T W``; a polynomial over one, so valid anywhere."""
        top, bottom = g * (1 + _root(c)) ** 2, g * (1 - _root(c)) ** 2
        return (top - w) * (w - bottom) / (2 * sympy.pi * c * g * w) ** 2

    other, swapped = (g if same_variance else c * g), 1 / c
    y = outlier_squared(z, g, c)
    left, right = _overlaps(z / g, c)
    left_swapped, right_swapped = _overlaps(z / other, swapped)
    return (
        outlier_squared(z, g, c) - g * _outlier_squared(z / g, c),
        transform(y, g, c) - 1 / z,
        edge(other, swapped) - edge(g, c),
        threshold_squared(other, swapped) - threshold_squared(g, c),
        outlier_squared(z, other, swapped) - y,
        transform(y, other, swapped) - transform(y, g, c),
        left_swapped - right,
        right_swapped - left,
        operator_squared(z, other, swapped, sympy.Integer(1)) - operator_squared(z, g, sympy.Integer(1), c),
        density_squared(w, other, swapped) - c**2 * density_squared(w, g, c),  # m values of W^T W, n of W W^T
    )


TRANSPOSE_IDENTITY = Claim(
    id="transpose_identity",
    kind=Kind.IDENTITY,
    statement=r"Edge, threshold, outlier, D-transform, both overlaps, operator shrinker and density at "
    r"$(g, c)$ are those at $(1, c)$ scaled by $\sqrt g$, and those of the transposed layer, at $(c g, "
    r"1/c)$, with the sides of the overlaps exchanged.",
    source=f"Derived here from {_BGN}",
    residuals=_transposed_residuals,
    loose_because=_PROVED,
    controls={
        "same variance": Control(
            breaks="The transposed layer keeps g, as if its entries had variance g over its own rows.",
            changes={"residuals": functools.partial(_transposed_residuals, same_variance=True)},
        ),
    },
)


def _threshold_residuals(*, factor: int = 4) -> tuple[Expression, ...]:
    """A spike for which keeping costs as much as dropping, ``|s u_hat v_hat^T - theta u v^T|_F = theta``.

    That is ``s = 2 theta sqrt(C_u C_v)``. In ``z = t^2 > 1`` it says ``c = z (z - 1) / (z + 3)``, so every
    ``c`` is reached, and the root in the published formulas is ``2 z - c - 1``.
    """
    import sympy

    x = sympy.symbols("x", positive=True)
    z = 1 + x
    c = z * (z - 1) / (z + 3)
    left, right = _overlaps(z, c)
    y, root = _outlier_squared(z, c), _root(c**2 + 14 * c + 1)
    published = 2 * (c + 1) + 8 * c / (c + 1 + root)
    square = published.subs(x, 2)  # z = 3, c = 1
    return (
        z - (c + 1 + root) / 2,
        y - factor * z * left * right,
        y - published,
        square - sympy.Rational(16, 3),
    )


HARD_THRESHOLD_IDENTITY = Claim(
    id="hard_threshold_identity",
    kind=Kind.IDENTITY,
    statement=r"Keeping a singular value and dropping it cost the same in Frobenius norm, $\rho = "
    r"2\theta\sqrt{C_u C_v}$, at $\theta^2 = g(c + 1 + \sqrt{c^2 + 14 c + 1})/2$, where $\rho^2 = g(2(c+1) "
    r"+ 8c/(c + 1 + \sqrt{c^2 + 14 c + 1}))$; that is $16 g/3$ for square layers.",
    source="Gavish and Donoho, IEEE Trans. Inf. Theory 60 (2014)",
    residuals=_threshold_residuals,
    loose_because=_PROVED,
    controls={
        "nuclear balance": Control(
            breaks="The two costs are balanced without the factor 2 of the cross term.",
            changes={"residuals": functools.partial(_threshold_residuals, factor=1)},
        ),
    },
)

CLAIMS = (
    INVERSE_BBP_IDENTITY,
    EFFECTIVE_COEFFICIENT_IDENTITY,
    OPERATOR_SHRINKER_IDENTITY,
    TRANSPOSE_IDENTITY,
    HARD_THRESHOLD_IDENTITY,
)
