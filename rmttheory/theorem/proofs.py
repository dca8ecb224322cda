"""Symbolic identities: expressions that must vanish, judged by SymPy."""

from __future__ import annotations

from typing import Any

from rmttheory.theorem.verdicts import Outcome


def prove(residuals: tuple[Any, ...]) -> tuple[Outcome, str]:
    """Judge whether every SymPy expression of ``residuals`` is identically zero.

    A residual that does not simplify to zero is evaluated at rational points: not zero there refutes the
    identity; zero everywhere tried leaves it undecided, since simplification may just be too weak.
    """
    import sympy

    for residual in residuals:
        if sympy.simplify(residual) == 0:
            continue
        symbols = sorted(residual.free_symbols, key=str)
        for shift in range(5):
            point = {symbol: sympy.Rational(7 * (i + 2) + shift, 3 + i) for i, symbol in enumerate(symbols)}
            value = sympy.N(residual.subs(point), 40)
            if abs(value) > sympy.Float("1e-25"):
                where = ", ".join(f"{symbol} = {number}" for symbol, number in point.items())
                return Outcome.REFUTED, f"The two sides differ by {sympy.N(value, 4)} at {where}."
        return Outcome.UNDECIDED, "SymPy neither proves it nor finds a point where it fails."
    return Outcome.CERTIFIED, f"Proved: {len(residuals)} symbolic identities reduce to zero."
