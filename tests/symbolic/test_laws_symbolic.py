"""Identities behind the closed forms of the laws, by computer algebra."""

from __future__ import annotations

import pytest
import sympy as sp

from rmttheory.matrices.laws import MarchenkoPastur

phi, q = sp.symbols("phi q", positive=True)


def test_the_angle_turns_the_density_into_the_derivative_of_the_closed_form():
    """``d sf / d phi`` is the density at ``x(phi)`` times ``-dx / dphi``."""
    x = 1 + q**2 + 2 * q * sp.cos(phi)
    density = 2 * q * sp.sin(phi) / (2 * sp.pi * q**2 * x)  # the root of (l+ - x)(x - l-) is 2 q sin(phi)
    tilt = sp.atan(q * sp.sin(phi) / (1 + q * sp.cos(phi)))
    closed = (phi + (1 - q**2) * tilt / q**2 - sp.sin(phi) / q) / sp.pi
    assert sp.simplify(sp.diff(closed, phi) + density * sp.diff(x, phi)) == 0
    assert closed.subs(phi, 0) == 0
    assert sp.limit(closed.subs(q, sp.Rational(1, 3)), phi, sp.pi) == 1
    lower, upper = (1 - q) ** 2, (1 + q) ** 2
    assert sp.simplify((upper - x) * (x - lower) - (2 * q * sp.sin(phi)) ** 2) == 0


def test_small_aspect_ratios_use_the_same_function_rearranged():
    slope, cosine, cubic = sp.symbols("slope cosine cubic")
    tilt = q * slope - cubic * q**3  # arctan(q slope), cubic standing for what its series leaves
    sine = slope * (1 + q * cosine)
    closed = phi + (1 - q**2) * tilt / q**2 - sine / q
    rearranged = phi - slope * (q + cosine) - cubic * q * (1 - q**2)
    assert sp.expand(closed - rearranged) == 0


@pytest.mark.parametrize("k", range(1, 7))
def test_narayana_polynomials_are_terminating_hypergeometric_series(k):
    c = sp.Symbol("c")
    series = sum(sp.rf(-k, r) * sp.rf(1 - k, r) / (sp.rf(2, r) * sp.factorial(r)) * c**r for r in range(k))
    narayana = sum(sp.binomial(k, r) * sp.binomial(k - 1, r) / (r + 1) * c**r for r in range(k))
    assert sp.expand(series - narayana) == 0
    assert float(narayana.subs(c, sp.Rational(3, 4))) == MarchenkoPastur(0.75).moment(k)  # exact in binary
