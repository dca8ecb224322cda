"""Make ``tracy_widom.npz``: ``python -m rmttheory.matrices.tables.make_tracy_widom [OUT]``, a few minutes.

The Hastings-McLeod solution ``q`` of ``q'' = s q + 2 q**3``, ``q(s) ~ Ai(s)``, is continued from ``s = 30``
to the left by Taylor steps with 120 digits: the equation amplifies an initial error (1e-95, by which ``q``
differs from ``Ai``) by about 1e37 down to ``s = -20``, which leaves some 50 digits. With ``J`` the integral
of ``q`` over ``(s, inf)`` and ``log F2 = -integral of (x - s) q(x)**2`` over ``(s, inf)``::

    F1 = sqrt(F2) exp(-J/2)        F4(s / sqrt(2)) = sqrt(F2) cosh(J/2)

(Tracy and Widom, Commun. Math. Phys. 159 (1994) 151 and 177 (1996) 727.) What is stored, as piecewise
polynomials, is the log-odds ``log(F / (1 - F))`` as a function of ``s`` and its inverse: both are smooth and
monotone, and carry the relative accuracy of both tails. Outside ``[-20, 16]`` the log-odds is

    a r**2 + b r + c log|s| + polynomial in 1/r,    r = |s|**(3/2),

on the left the known expansion (Baik, Buckingham and DiFranco, Commun. Math. Phys. 280 (2008) 463; its
coefficients are recomputed here), on the right an interpolant of the law with ``q = Ai``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
from mpmath import mp, mpf

from rmttheory.arrays import HostArray

Number = Any  # mpmath's numbers carry no types
Function = Callable[[Number], Number]

DIGITS = 120
START, RIGHT, LEFT = 30, 16, -20
STEP, ORDER = mpf(1) / 4, 100
DEGREE = 12
LOG_ODDS_LIMIT = 746  # log of the least positive float is -744.4
BETAS = (1, 2, 4)


@dataclass(frozen=True)
class Segment:
    """Taylor coefficients about ``centre``, valid on ``[centre - STEP, centre]``."""

    centre: Number
    integral: list[Number]  # J
    log_f2: list[Number]


def convolve(a: list[Number], b: list[Number], k: int) -> Number:
    """Return coefficient ``k`` of a product of power series."""
    return mpmath.fdot(a[: k + 1], b[k::-1])


def airy_tail(s: Number) -> Number:
    """Integral of ``Ai`` over ``(s, inf)`` by its asymptotic series, for large ``s``."""
    power, airy, tail, total, last = s ** mpf(-1.5), mpf(1), mpf(1), mpf(1), mpf(1)
    for k in range(1, 400):
        airy *= -mpf(6 * k - 5) * (6 * k - 1) / (48 * k)
        tail = airy - (mpf(3 * k) / 2 - mpf(3) / 4) * tail
        term = tail * power**k
        if abs(term) < mpf(10) ** (-DIGITS) or abs(term) > abs(last):
            break
        total += term
        last = term
    return mpmath.exp(-2 * s ** mpf(1.5) / 3) / (2 * mpmath.sqrt(mp.pi) * s ** mpf(0.75)) * total


def airy_start(s: Number) -> tuple[Number, Number, Number, Number]:
    """Return ``q, q', J, log F2`` at large ``s``, where ``q = Ai`` to a relative error near ``Ai(s)**2``."""
    q, slope = mpmath.airyai(s), mpmath.airyai(s, derivative=1)
    return q, slope, airy_tail(s), -(2 * s**2 * q**2 - 2 * s * slope**2 - q * slope) / 3


def expand(s: Number, start: tuple[Number, Number, Number, Number]) -> tuple[Segment, list[Number]]:
    """Expand everything about ``s``, given ``q, q', J, log F2`` there; also return the series of ``q``."""
    q, slope, integral, log_f2 = start
    a, square = [q, slope], []
    for k in range(ORDER):
        square.append(convolve(a, a, k))
        cubic = convolve(square, a, k)
        a.append((2 * cubic + s * a[k] + (a[k - 1] if k else 0)) / ((k + 1) * (k + 2)))
    rate = slope**2 - s * q**2 - q**4  # integral of q**2 over (s, inf)
    series = [log_f2, rate] + [-square[k] / ((k + 1) * (k + 2)) for k in range(ORDER)]
    return Segment(s, [integral] + [-a[k] / (k + 1) for k in range(ORDER)], series), a


def continue_left() -> list[Segment]:
    """March from ``START`` to ``LEFT``, one segment a step."""
    s, state, segments = mpf(START), airy_start(mpf(START)), []
    while s > LEFT:
        segment, q = expand(s, state)
        segments.append(segment)
        s -= STEP
        series = (segment.integral, segment.log_f2)
        state = (*polyval(q, -STEP, derivative=True), *(polyval(part, -STEP) for part in series))
    return segments


def polyval(coefficients: list[Number], t: Number, *, derivative: bool = False) -> Any:
    """Evaluate a polynomial given from its lowest coefficient on."""
    return mpmath.polyval(coefficients[::-1], t, derivative=derivative)


def log_law(beta: int, integral: Number, log_f2: Number) -> Number:
    """Return ``log F`` from ``J`` and ``log F2``, all at the same point of the scale of beta = 2."""
    if beta == 2:
        return log_f2
    if beta == 1:
        return (log_f2 - integral) / 2
    return log_f2 / 2 + mpmath.log1p(2 * mpmath.sinh(integral / 4) ** 2)  # log cosh(J/2)


def log_odds_of(beta: int, segments: list[Segment]) -> Function:
    """Return the log-odds on the whole line, on the scale of beta = 2."""
    left = left_expansion(beta)

    def log_odds(s: Number) -> Number:
        if s < LEFT:
            return evaluate_tail(left, s)
        if s > RIGHT:
            _, _, integral, log_f2 = airy_start(s)
        else:
            segment = segments[min(int((START - s) / STEP), len(segments) - 1)]
            integral = polyval(segment.integral, s - segment.centre)
            log_f2 = polyval(segment.log_f2, s - segment.centre)
        log_f = log_law(beta, integral, log_f2)
        return log_f - mpmath.log(-mpmath.expm1(log_f))

    return log_odds


def evaluate_tail(tail: list[Number], s: Number) -> Number:
    """Evaluate ``tail[0] log|s| + tail[1] r**2 + tail[2] r + tail[3] + tail[4] / r + ...``."""
    r = abs(s) ** mpf(1.5)
    return tail[0] * mpmath.log(abs(s)) + r**2 * polyval(tail[1:], 1 / r)


def left_expansion(beta: int, terms: int = 8) -> list[Number]:
    """Return the coefficients of `evaluate_tail` at minus infinity, where the log-odds is ``log F``.

    With ``y = -s``, ``q = sum_k w[k] y**(1/2 - 3 k)`` solves the equation term by term; ``J`` and ``log F2``
    are its integrals with the known constants.
    """
    w = [mpmath.sqrt(mpf(1) / 2)]
    for k in range(1, terms):
        w.append(mpf(0))
        cubic = convolve([convolve(w, w, j) for j in range(k + 1)], w, k)
        w[k] = (w[k - 1] * (mpf(7) / 2 - 3 * k) * (mpf(5) / 2 - 3 * k) - 2 * cubic) / 2
    square = [convolve(w, w, k) for k in range(terms)]
    slope = [w[k] * (mpf(1) / 2 - 3 * k) for k in range(terms)]
    rate = [square[k] - convolve(square, square, k) for k in range(terms)]  # of y**(2 - 3 k) in d log F2 / ds
    for k in range(1, terms):
        rate[k] += convolve(slope, slope, k - 1)
    integral, log_f2 = [mpf(0)] * (2 * terms + 1), [mpf(0)] * (2 * terms + 1)
    for k in range(terms):
        integral[2 + 2 * k] = w[k] / (mpf(3) / 2 - 3 * k)
        if k != 1:
            log_f2[1 + 2 * k] = rate[k] / (3 * k - 3)
    log_f2[0] = -rate[1]
    log_f2[3] = mpmath.zeta(-1, derivative=1) + mpmath.log(2) / 24
    integral[3] = mpmath.log(2) / 2
    if beta == 2:
        return log_f2
    sign = -1 if beta == 1 else 1
    tail = [(u + sign * j) / 2 for u, j in zip(log_f2, integral)]
    tail[3] -= mpmath.log(2) if beta == 4 else 0
    return tail


def right_expansion(beta: int, log_odds: Function) -> list[Number]:
    """Return the coefficients of `evaluate_tail` at plus infinity, by interpolation in ``1/r``."""
    power, rate = {1: (mpf(3) / 4, mpf(2) / 3), 2: (mpf(3) / 2, mpf(4) / 3), 4: (mpf(3), mpf(4) / 3)}[beta]
    end = mpf(RIGHT) ** mpf(-1.5)

    def rest(x: Number) -> Number:
        s = x ** (-mpf(2) / 3)
        return log_odds(s) - rate / x - power * mpmath.log(s)

    scaled = interpolate(lambda t: rest((t + 1) * end / 2))
    shifted = mpmath.taylor(lambda x: polyval(scaled, 2 * x / end - 1), 0, DEGREE)
    return [power, mpf(0), rate, *shifted]


def rescale(tail: list[Number], factor: Number) -> list[Number]:
    """Return the coefficients of the function that ``tail`` is of ``factor * s``."""
    root = factor ** mpf(1.5)
    scaled = [value * root ** (3 - k) for k, value in enumerate(tail)]
    scaled[0] = tail[0]
    scaled[3] += tail[0] * mpmath.log(factor)
    return scaled


def interpolate(function: Function) -> list[Number]:
    """Return the power coefficients of the interpolant at Chebyshev's points of ``[-1, 1]``."""
    count = DEGREE + 1
    angles = [mp.pi * (2 * j + 1) / (2 * count) for j in range(count)]
    values = [function(mpmath.cos(angle)) for angle in angles]
    total = [mpf(0)] * count
    polynomial, next_one = [mpf(1)], [mpf(0), mpf(1)]
    for k in range(count):
        c = mpmath.fdot(values, [mpmath.cos(k * angle) for angle in angles]) * (2 if k else 1) / count
        total = [t + c * p for t, p in zip(total, polynomial + [mpf(0)] * count)]
        after = [2 * a - b for a, b in zip([mpf(0), *next_one], polynomial + [mpf(0)] * 2)]
        polynomial, next_one = next_one, after
    return total


def piecewise(function: Function, low: float, high: float) -> tuple[list[float], list[list[Number]]]:
    """Cut ``[low, high]`` so that each interpolant is exact to a tenth of a rounding error."""
    ends, rows, width = [low], [], (high - low) / 64
    while ends[-1] < high:
        width = min(1.6 * width, high - ends[-1])
        while True:
            centre, half = mpf(ends[-1]) + mpf(width) / 2, mpf(width) / 2
            row = interpolate(lambda t: function(centre + half * t))  # noqa: B023
            exact = [function(centre + half * k / 8) for k in range(-8, 9)]
            fitted = [polyval(row, mpf(k) / 8) for k in range(-8, 9)]
            if all(abs(a - b) < 2e-17 * max(1, abs(b)) for a, b in zip(fitted, exact)):
                break
            width *= 0.85
        ends.append(ends[-1] + width)
        rows.append(row)
    return ends, rows


def inverse_of(log_odds: Function, low: float, high: float) -> Function:
    """Return the inverse of an increasing function, exact to 30 digits, for values between its ends."""
    grid = [low + (high - low) * k / 2000 for k in range(2001)]
    values = [float(log_odds(mpf(s))) for s in grid]

    def inverse(z: Number) -> Number:
        guess = mpf(np.interp(float(z), values, grid))
        return mpmath.findroot(lambda s: log_odds(s) - z, (guess, guess + mpf("1e-6")), tol=1e-60)

    return inverse


def moments(log_odds: Function) -> tuple[float, float]:
    """Return mean and variance, from integrals of both tails; what they leave out is below 1e-40."""

    def tail(s: Number, sign: int) -> Number:
        return 1 / (1 + mpmath.exp(sign * log_odds(sign * s)))

    def integral(function: Function) -> Number:
        return mpmath.quad(function, list(range(31)), method="gauss-legendre")

    mean = integral(lambda s: tail(s, 1) - tail(s, -1))
    square = integral(lambda s: 2 * s * (tail(s, 1) + tail(s, -1)))
    return float(mean), float(square - mean**2)


def table(beta: int, segments: list[Segment]) -> dict[str, HostArray]:
    """Return what `rmttheory.matrices.tracy_widom` reads for one law, on that law's own scale."""
    factor = mpmath.sqrt(2) if beta == 4 else mpf(1)
    scaled = log_odds_of(beta, segments)

    def log_odds(s: Number) -> Number:
        return scaled(factor * s)

    ends, rows = piecewise(log_odds, float(LEFT / factor), float(RIGHT / factor))
    inverse = inverse_of(log_odds, -40.0, 120.0)
    quantile_ends, quantile_rows = piecewise(inverse, -float(LOG_ODDS_LIMIT), float(LOG_ODDS_LIMIT))
    parts = {
        "ends": ends,
        "rows": rows,
        "left": rescale(left_expansion(beta), factor),
        "right": rescale(right_expansion(beta, scaled), factor),
        "quantile_ends": quantile_ends,
        "quantile_rows": quantile_rows,
        "moments": moments(log_odds),
    }
    return {f"{name}_{beta}": np.array(part, dtype=np.float64) for name, part in parts.items()}


def main(out: Path) -> None:
    """Write the table."""
    mp.dps = DIGITS
    segments = continue_left()
    mp.dps = 40
    arrays: dict[str, HostArray] = {}
    for beta in BETAS:
        arrays |= table(beta, segments)
        print(f"beta {beta}: {len(arrays[f'rows_{beta}'])} + {len(arrays[f'quantile_rows_{beta}'])} pieces")
    np.savez(out, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("tracy_widom.npz"))
