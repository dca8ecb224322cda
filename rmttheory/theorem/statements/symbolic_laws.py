"""Identities of the laws that the package computes with, proved by SymPy; entries of noise have variance 1/n.

Stated as in `symbolic_spikes`: in symbols that may take any positive value.
"""

from __future__ import annotations

import functools
from typing import Any

from rmttheory.theorem.claims import Claim, Control
from rmttheory.theorem.verdicts import Kind

_PROVED = "An equality: both sides are the same expression."

Expression = Any


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
    catalan = (moment(k).subs(c, 1) - sympy.catalan(k) for k in range(1, order + 1))
    return (*(series.coeff(w, k) for k in range(order + 1)), *catalan)


MP_LAW_IDENTITY = Claim(
    id="mp_law_identity",
    kind=Kind.IDENTITY,
    statement=r"The closed form of the Marchenko-Pastur distribution function has the density as its "
    r"derivative and the right atom at 0 for every $c \ne 1$; up to the sixth, the moments "
    r"$\sum_{r<k} \frac{c^r}{r+1}\binom{k}{r}\binom{k-1}{r}$ solve $c w M^2 + ((1 - c) w - 1) M + 1 = 0$, "
    r"and are the Catalan numbers at $c = 1$.",
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


def _transform_residuals(*, sign: int = -1) -> tuple[Expression, ...]:
    """``G(w)``, the integral of ``1 / (w - x)``, and the D-transform of ``z = sqrt(w)`` that it gives.

    Above the edge, ``w = (1 + t^2)(c + t^2) / t^2`` for one ``t^2 = q (1 + x)``, ``c = q^2``; both roots are
    rational there. ``G`` is the one with ``w G -> 1`` far out.
    """
    import sympy

    q, x = sympy.symbols("q x", positive=True)
    c, z = q**2, q * (1 + x)
    w = (1 + z) * (c + z) / z
    root = sympy.sqrt(sympy.factor((w + c - 1) ** 2 - 4 * c * w))
    G = (w + c - 1 + sign * root) / (2 * c * w)
    phi = sympy.sqrt(w) * G
    closed = (w - c - 1 - sympy.sqrt(sympy.factor((w - c - 1) ** 2 - 4 * c))) / (2 * c)
    far = sympy.limit(sympy.cancel(w * G), x, sympy.oo)
    return c * w * G**2 - (w + c - 1) * G + 1, far - 1, phi * (c * phi + (1 - c) / sympy.sqrt(w)) - closed


D_TRANSFORM_IDENTITY = Claim(
    id="d_transform_identity",
    kind=Kind.IDENTITY,
    statement=r"For Marchenko-Pastur noise with $g = 1$ the D-transform $D(z) = \varphi(z)(c\,\varphi(z) + "
    r"(1 - c)/z)$, $\varphi(z) = \int \frac{z}{z^2 - s^2}\,d\mu(s)$, is $(z^2 - c - 1 - \sqrt{(z^2 - c - "
    r"1)^2 - 4c})/(2c)$: $G = \varphi(z)/z$ is the root of $c z^2 G^2 - (z^2 + c - 1) G + 1 = 0$ with $z^2 "
    r"G \to 1$.",
    source="Benaych-Georges and Nadakuditi, J. Multivariate Anal. 111 (2012), section 2",
    residuals=_transform_residuals,
    loose_because=_PROVED,
    controls={
        "other root": Control(
            breaks="The other root of the quadratic, which is no transform of a probability law, is taken.",
            changes={"residuals": functools.partial(_transform_residuals, sign=1)},
        ),
    },
)


def _event_residuals(*, constant: int = 8) -> tuple[Expression, ...]:
    """The law of the largest of ``N`` absolute normals, and the union bound over it."""
    import sympy

    N, u, x = sympy.symbols("N u x", positive=True)
    inside = sympy.erf(u / sympy.sqrt(2))  # P(|z| <= u) = 2 Phi(u) - 1
    density = sympy.sqrt(2 / sympy.pi) * sympy.exp(-(u**2) / 2)
    level = sympy.sqrt(constant * sympy.log(2 * N))  # 2 sqrt(2) sqrt(log 2N)
    union = 2 * N * sympy.exp(-(level**2) / 2)
    gaps = []
    for count in range(2, 9):  # N x - (1 - (1 - x)^N) vanishes at 0 and rises: its slope is a sum of squares
        gap = count * x - (1 - (1 - x) ** count)
        slope = count * x * sum((1 - x) ** k for k in range(count - 1))
        gaps += [gap.subs(x, 0), sympy.diff(gap, x) - slope]
    return (
        sympy.diff(inside**N, u) - N * inside ** (N - 1) * density,
        sympy.diff(inside, u) - density,
        union - 1 / (8 * N**3),
        *gaps,
    )


ROW_EVENT_IDENTITY = Claim(
    id="row_event_identity",
    kind=Kind.IDENTITY,
    statement=r"The largest of $N$ absolute normals has density $N(2\Phi - "
    r"1)^{N-1}\sqrt{2/\pi}\,e^{-u^2/2}$; its tail $1 - (1 - x)^N$, $x = 2 - 2\Phi$, lies below the union "
    r"bound $N x$, shown for $N \le 8$; and with $x \le 2 e^{-u^2/2}$ the radius $u = 2\sqrt{2 \log 2N}$ "
    r"fails with probability at most $2N(2N)^{-4} = 1/(8N^3)$, not $1/N$.",
    source="Derived here, from the proof of arXiv:2606.02608's lemma on removing R",
    residuals=_event_residuals,
    loose_because=_PROVED,
    controls={
        "half the exponent": Control(
            breaks="The radius is taken as 2 sqrt(log 2N), for which the union bound is 2N (2N)^-2.",
            changes={"residuals": functools.partial(_event_residuals, constant=4)},
        ),
    },
)

CLAIMS = (MP_LAW_IDENTITY, D_TRANSFORM_IDENTITY, ROW_EVENT_IDENTITY)
