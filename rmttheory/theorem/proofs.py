"""Symbolic identities: expressions that must vanish, judged by SymPy."""

from __future__ import annotations

from typing import Any

from rmttheory.arrays import InvalidInput
from rmttheory.theorem.verdicts import Outcome

_POINTS = 6
_DIGITS = 40


def prove(residuals: tuple[Any, ...]) -> tuple[Outcome, str]:
    """Judge whether every SymPy expression of ``residuals`` is identically zero.

    First they are evaluated at rational points: a value other than zero refutes the identity. What vanishes
    at all of them is simplified; if zero does not come out, the simplifier may just be too weak.

    Parameters
    ----------
    residuals : tuple of SymPy expressions
        In symbols that may take any positive value.

    Raises
    ------
    InvalidInput
        If there is no residual: nothing would be proved.
    """
    import sympy

    if not residuals:
        msg = "`residuals` must hold one expression or more; without any, nothing would be proved."
        raise InvalidInput(msg)
    expressions = [sympy.sympify(residual) for residual in residuals]
    for expression in expressions:
        difference = _difference(expression)
        if difference:
            return Outcome.REFUTED, difference
    if all(sympy.simplify(expression) == 0 for expression in expressions):
        count = f"{len(residuals)} identities reduce" if len(residuals) > 1 else "the identity reduces"
        return Outcome.CERTIFIED, f"Proved: {count} to zero."
    return Outcome.UNDECIDED, "SymPy neither proves it nor finds a point where it fails."


def _difference(expression: Any) -> str:
    """Say where ``expression`` is not zero, or return an empty string if it is zero wherever it was tried."""
    import sympy

    symbols = sorted(expression.free_symbols, key=str)
    for shift in range(_POINTS):
        point = {symbol: _coordinate(i, shift) for i, symbol in enumerate(symbols)}
        value = sympy.N(expression.subs(point), _DIGITS)
        # at a pole there is no value; zero comes out exactly or as rounding of intermediate numbers
        if value.is_finite and abs(value) > sympy.Float("1e-25"):
            where = ", ".join(f"{symbol} = {number}" for symbol, number in point.items())
            return f"The two sides differ by {sympy.N(value, 4)} at {where or 'every point'}."
    return ""


def _coordinate(i: int, shift: int) -> Any:
    """A rational number without simple relations to the others, above and below 1 by turns."""
    import sympy

    number = sympy.Rational(7 * (i + 2) + shift, 3 + i)
    return number if (i + shift) % 2 else 1 / number
