"""What the symbolic judge can and cannot be talked into."""

import pytest
import sympy

from rmttheory.arrays import InvalidInput
from rmttheory.theorem.proofs import prove
from rmttheory.theorem.verdicts import Outcome

x, y = sympy.symbols("x y", positive=True)


@pytest.mark.parametrize(
    "residual",
    [
        0,
        sympy.Integer(0),
        (x + y) ** 2 - x**2 - 2 * x * y - y**2,
        sympy.sin(x) ** 2 + sympy.cos(x) ** 2 - 1,
        sympy.sqrt(x**2 * y) - x * sympy.sqrt(y),
        (x**2 - y**2) / (x - y) - x - y,
        sympy.diff(sympy.atan(x), x) - 1 / (1 + x**2),
    ],
)
def test_identities_are_proved(residual):
    outcome, why = prove((residual,))
    assert outcome is Outcome.CERTIFIED
    assert why == "Proved: the identity reduces to zero."


@pytest.mark.parametrize(
    "residual",
    [
        1,
        x - y,
        sympy.sqrt((x - 1) ** 2) - (x - 1),  # holds for x > 1 only
        sympy.sqrt((x - 1) ** 2) - (1 - x),  # holds for x < 1 only
        sympy.Rational(1, 10**20) * x,  # small, but not zero
        x / y - sympy.exp(sympy.log(x) - sympy.log(y)) + sympy.Rational(1, 10**15),
    ],
)
def test_what_fails_somewhere_is_refuted_there(residual):
    outcome, why = prove((residual,))
    assert outcome is Outcome.REFUTED
    assert why.startswith("The two sides differ by ")
    assert ("x = " in why) == (x in sympy.sympify(residual).free_symbols)


def test_the_point_named_is_one_where_it_fails():
    _, why = prove((x - y,))
    point = dict(part.split(" = ") for part in why.split(" at ")[1].rstrip(".").split(", "))
    difference = sympy.Rational(point["x"]) - sympy.Rational(point["y"])
    assert float(difference) == pytest.approx(float(why.split()[5]), rel=1e-3)


def test_one_false_identity_among_true_ones_refutes():
    assert prove((x - x, x + 1 - x, 0))[0] is Outcome.REFUTED
    assert prove((x - x, 0, 0)) == (Outcome.CERTIFIED, "Proved: 3 identities reduce to zero.")


def test_what_sympy_can_neither_prove_nor_refute_is_undecided():
    # zero at every point tried, but no identity; and a residual without a value anywhere
    roots = sympy.Integer(1)
    for shift in range(6):
        number = sympy.Rational(14 + shift, 3)
        roots *= x - (number if shift % 2 else 1 / number)
    assert prove((roots,))[0] is Outcome.UNDECIDED
    assert prove((1 / (sympy.sin(x) ** 2 + sympy.cos(x) ** 2 - 1),))[0] is not Outcome.CERTIFIED


def test_a_pole_at_a_point_is_not_a_difference():
    first = sympy.Rational(3, 14)  # the first point tried for one symbol
    assert prove(((x - first) ** 2 / (x - first) - (x - first),))[0] is Outcome.CERTIFIED
    assert prove((1 / (x - first) - 1 / (x - first - 1),))[0] is Outcome.REFUTED


def test_nothing_proves_nothing():
    with pytest.raises(InvalidInput, match="nothing would be proved"):
        prove(())
