"""The Tracy-Widom laws a second way: Fredholm determinants in high precision, to check the table against.

``python -m rmttheory.matrices.tables.fredholm [OUT]`` makes ``tracy_widom_reference.json``, 40 points a law,
in ten minutes. Nothing is shared with the script that makes the table: no equation, no expansion.

Bornemann, Math. Comp. 79 (2010) 871: replacing the integral of an analytic kernel by a Gauss-Legendre rule
gives a matrix whose determinant converges exponentially. Kernels on ``(s, inf)``: Airy's for beta 2, and
``V(x, y) = Ai((x + y) / 2) / 2`` for the others, ``F1(s) = det(1 - V)`` and
``F4(s / sqrt(2)) = (det(1 - V) + det(1 + V)) / 2`` (Ferrari and Spohn, J. Phys. A 38 (2005) L557).
"""

from __future__ import annotations

import functools
import json
import sys
from pathlib import Path
from typing import Any

import mpmath
from mpmath import mp, mpf
from mpmath.calculus.quadrature import GaussLegendre

Number = Any  # mpmath's numbers carry no types
Rule = list[tuple[Number, Number]]  # nodes and weights

PATH = Path(__file__).with_name("tracy_widom_reference.json")
CENTRAL = [k / 2 for k in range(-20, 13)]
FAR = {
    1: (-24, -20, -14, 12, 25, 50, 100),
    2: (-20, -17, -13, 10, 20, 40, 60),
    4: (-18, -15, -12, 8, 16, 30, 44),
}
LEFT_RATE = {1: 0.021, 2: 0.037, 4: 0.052}  # -log10 F is about this times |s|**3
RIGHT_RATE = {1: 0.3, 2: 0.6, 4: 1.0}  # -log10 (1 - F) is about this times s**(3/2)


def determinant(beta: int, s: float, *, digits: int = 30, level: int = 5) -> Number:
    """Return ``F(s)`` from ``3 * 2**(level - 1)`` nodes.

    ``digits`` counts the digits of ``1 - F`` for ``s > 0``, the digits of ``F`` after the point otherwise.
    """
    with mp.workdps(digits + 10 + int(RIGHT_RATE[beta] * max(s, 0.0) ** 1.5)):
        scaled = mpf(s) * (mpmath.sqrt(2) if beta == 4 else 1)
        reach = (max(scaled, mpf(0)) ** mpf(1.5) + 1.5 * digits * mpmath.log(10)) ** (mpf(2) / 3)
        rule = GaussLegendre(mp).get_nodes(scaled, reach, level, mp.prec)
        kernel = airy_kernel(rule) if beta == 2 else half_kernel(rule)
        value = determinant_of_one_plus(kernel, -1)
        return (value + determinant_of_one_plus(kernel, 1)) / 2 if beta == 4 else value


def determinant_of_one_plus(kernel: list[list[Number]], sign: int) -> Number:
    """Return ``det(1 + sign * kernel)`` by Cholesky's method; ``kernel`` holds rows of the lower half."""
    factor: list[list[Number]] = []
    value = mpf(1)
    for i, row in enumerate(kernel):
        new: list[Number] = []
        for j in range(i):
            new.append((sign * row[j] - mpmath.fdot(new, factor[j][:j])) / factor[j][j])
        pivot = 1 + sign * row[i] - mpmath.fdot(new, new)
        factor.append([*new, mpmath.sqrt(pivot)])
        value *= pivot
    return value


def airy_kernel(rule: Rule) -> list[list[Number]]:
    """Return ``(Ai(x) Ai'(y) - Ai'(x) Ai(y)) / (x - y)``, symmetrised by the weights."""
    points = [(x, mpmath.airyai(x), mpmath.airyai(x, derivative=1), mpmath.sqrt(w)) for x, w in rule]
    rows = []
    for i, (x, ai, slope, wi) in enumerate(points):
        row = [wi * wj * (ai * dj - slope * aj) / (x - y) for y, aj, dj, wj in points[:i]]
        rows.append([*row, wi**2 * (slope**2 - x * ai**2)])
    return rows


def half_kernel(rule: Rule) -> list[list[Number]]:
    """Return ``Ai((x + y) / 2) / 2``, symmetrised by the weights."""
    roots = [mpmath.sqrt(w / 2) for _, w in rule]
    series = functools.cache(lambda k: airy_series(mpf(k) / 2))

    def airy(x: Number) -> Number:
        k = int(mpmath.nint(2 * x))
        return mpmath.polyval(series(k), x - mpf(k) / 2)

    return [
        [roots[i] * roots[j] * airy((rule[i][0] + rule[j][0]) / 2) for j in range(i + 1)]
        for i in range(len(rule))
    ]


def airy_series(x: Number) -> list[Number]:
    """Return the Taylor coefficients of ``Ai``, highest first, for distances up to 1/4 from ``x``."""
    a = [mpmath.airyai(x), mpmath.airyai(x, derivative=1), x * mpmath.airyai(x) / 2]
    while len(a) < 20 or abs(a[-1]) + abs(a[-2]) > mpmath.eps * abs(a[0]) * mpf(4) ** len(a):
        a.append((x * a[-2] + a[-3]) / (len(a) * (len(a) - 1)))  # from Ai'' = x Ai
    return a[::-1]


def settled(beta: int, s: float) -> tuple[str, str]:
    """Return ``F`` and ``1 - F`` to 20 digits: doubling the nodes squares the error, until below 1e-20."""
    digits = 30 + int(LEFT_RATE[beta] * max(-s, 0.0) ** 3)
    level = 4 if s > 0 else 5
    value = determinant(beta, s, digits=digits, level=level)
    with mp.workdps(digits + 1000):
        while True:
            level += 1
            before, value = value, determinant(beta, s, digits=digits, level=level)
            change = max(abs(value / before - 1), abs((1 - value) / (1 - before) - 1))
            if change < 1e-10:
                return mpmath.nstr(value, 20), mpmath.nstr(1 - value, 20)


def reference_values() -> list[dict[str, Any]]:
    """Return the stored values: ``beta``, ``s``, and ``cdf`` and ``sf`` as text of 20 digits."""
    rows: list[dict[str, Any]] = json.loads(PATH.read_text())
    return rows


def main(out: Path) -> None:
    """Write the reference values."""
    rows = []
    for beta, far in FAR.items():
        for s in sorted([*CENTRAL, *far]):
            cdf, sf = settled(beta, s)
            rows.append({"beta": beta, "s": s, "cdf": cdf, "sf": sf})
            print(rows[-1], flush=True)
    out.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else PATH)
