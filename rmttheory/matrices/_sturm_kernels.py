# mypy: disable-error-code="misc, untyped-decorator"
"""Compiled Sturm sequences at many points at once: eigenvalues and counts of ``B^T B``, with a border or not.

Imported by `_sturm` alone, when there is something to gain: this module needs Numba. A bidiagonal ``B`` is
given by the squares ``q`` of its diagonal and ``e`` of what stands above it, at most 1/4 each, as `padded`
returns them. The pivots of ``B^T B - x`` are ``v'/v`` in

    v' = q v + u,    u' = e u - x v'    (from v = 1, u = -x):

no divisions, and so no chain of them to wait for; points stand side by side in vector registers. With
rounding, the recurrence is that of some ``q`` and ``e`` off by at most 4 units of roundoff relatively: the
number of sign changes of ``v`` is exactly the number of squared singular values below ``x`` of a bidiagonal
whose entries are that close to the given ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from llvmlite import ir
from numba.extending import intrinsic

from rmttheory.arrays import HostArray

WIDTH = 32  # points side by side: enough to hide the latency of the recurrence, few enough for the registers
ROWS = 8  # between two rescalings
TOP = 1.0  # above all eigenvalues: (sqrt(1/4) + sqrt(1/4))^2
_FRONT = 2.0  # a row (q, e) = (2, 0) leaves u/v = -x as it is, with no sign change up to `TOP`


def compiled(function: Callable[..., Any]) -> Any:
    """Compile; keep the machine code on disk where there is a place for it.

    Sums may be contracted to fused operations, which round less; nothing else is rearranged.
    """
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}
    try:
        return numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder to write to
        return numba.njit(**options)(function)


def padded(q: HostArray, e: HostArray) -> tuple[HostArray, HostArray]:
    """Put rows in front, so that their number is a multiple of `ROWS`, and a last ``e = 0``."""
    front = -len(q) % ROWS
    return np.concatenate([np.full(front, _FRONT), q]), np.concatenate([np.zeros(front), e, [0.0]])


def _reinterpreted(given: Any, wanted: Any, kind: Any) -> Any:
    """A compiled function that reads the 64 bits of one kind of number as another."""

    def define(_context, _x):  # type: ignore[no-untyped-def]
        return wanted(given), generate

    def generate(_context, build, _signature, arguments):  # type: ignore[no-untyped-def]
        return build.bitcast(arguments[0], kind)

    return intrinsic(define)


_bits = _reinterpreted(numba.float64, numba.int64, ir.IntType(64))
_double = _reinterpreted(numba.int64, numba.float64, ir.DoubleType())


@compiled
def _sweep(q, e, x, v, counts, exponents):  # type: ignore[no-untyped-def]
    """Run the recurrence at `WIDTH` points: sign changes, and the last ``v`` as ``v 2^exponent``."""
    u = -x
    for lane in range(WIDTH):
        v[lane], counts[lane], exponents[lane] = 1.0, 0, 0
    for i in range(0, len(q), ROWS):
        # Loaded once for all points, as the compiler cannot know that the arrays do not overlap.
        q0, q1, q2, q3 = q[i], q[i + 1], q[i + 2], q[i + 3]
        q4, q5, q6, q7 = q[i + 4], q[i + 5], q[i + 6], q[i + 7]
        e0, e1, e2, e3 = e[i], e[i + 1], e[i + 2], e[i + 3]
        e4, e5, e6, e7 = e[i + 4], e[i + 5], e[i + 6], e[i + 7]
        for lane in range(WIDTH):
            point, a, b, changes = x[lane], v[lane], u[lane], 0
            for qj, ej in ((q0, e0), (q1, e1), (q2, e2), (q3, e3), (q4, e4), (q5, e5), (q6, e6), (q7, e7)):
                c = qj * a + b
                b = ej * b - point * c
                changes += (_bits(c) ^ _bits(a)) >> 63  # -1 where the sign bits differ
                a = c
            exponent = (_bits(max(abs(a), abs(b))) >> 52) - 1023
            scale = _double((1023 - exponent) << 52)
            v[lane], u[lane] = a * scale, b * scale
            counts[lane] -= changes
            exponents[lane] += exponent


@compiled
def evaluate(q, e, points, counts, sizes, exponents):  # type: ignore[no-untyped-def]
    """At each point: how many eigenvalues lie below, and ``|det(B^T B - x)|`` as ``size 2^exponent``."""
    x, v = np.empty(WIDTH), np.empty(WIDTH)
    changes, scales = np.empty(WIDTH, np.int64), np.empty(WIDTH, np.int64)
    for start in range(0, len(points), WIDTH):
        here = min(WIDTH, len(points) - start)
        for lane in range(WIDTH):
            x[lane] = points[start + min(lane, here - 1)]
        _sweep(q, e, x, v, changes, scales)
        for lane in range(here):
            counts[start + lane] = changes[lane]
            sizes[start + lane] = abs(v[lane])
            exponents[start + lane] = scales[lane]


# What is known of an eigenvalue: a row of numbers, and a row of whole numbers.
_X1, _X2, _X3, _F1, _F2, _F3 = range(6)  # brackets are (x1, x2) in either order, x3 an earlier point
_N1, _N2, _E1, _E2 = range(4)  # eigenvalues below x1 and x2; exponents of f1 and f2 while f is unsigned


@compiled
def eigenvalues(q, e, size):  # type: ignore[no-untyped-def]
    """The ``size`` eigenvalues, ascending: middles of brackets ``4 eps`` wide, relatively.

    Both ends of each bracket have been counted: at most ``k`` eigenvalues below the lower one, more than
    ``k`` below the upper one.
    """
    numbers, wholes = _brackets(q, e, size)
    signed = np.zeros(size, np.bool_)
    active = np.arange(size)
    points, sizes = np.empty(size), np.empty(size)
    counts, exponents = np.empty(size, np.int64), np.empty(size, np.int64)
    left, turn = size, 0
    while left:
        kept = 0
        for k in active[:left]:
            known, whole = numbers[k], wholes[k]
            if not signed[k] and whole[_N2] - whole[_N1] == 1:
                signed[k] = True
                _sign(known, whole)
            point = _next_point(known, whole, k, signed[k], turn)
            if min(known[_X1], known[_X2]) < point < max(known[_X1], known[_X2]):
                points[kept], active[kept] = point, k
                kept += 1
        left, turn = kept, turn + 1
        evaluate(q, e, points[:left], counts, sizes, exponents)
        for i in range(left):
            k = active[i]
            known, whole = numbers[k], wholes[k]
            if signed[k]:
                f = sizes[i] * _power(exponents[i] - whole[_E1])
                _narrow(known, points[i], f if counts[i] <= k else -f)
            else:
                end = 0 if counts[i] <= k else 1
                known[_X1 + end], known[_F1 + end] = points[i], sizes[i]
                whole[_N1 + end], whole[_E1 + end] = counts[i], exponents[i]
    return 0.5 * (numbers[:, _X1] + numbers[:, _X2])


@compiled
def largest(q, e, size, k):  # type: ignore[no-untyped-def]
    """The ``k`` largest of ``size`` eigenvalues, descending: middles of brackets, as in `eigenvalues`.

    All points of a sweep go to one eigenvalue: it cuts the bracket to a part in `WIDTH`.
    """
    values, points, sizes = np.empty(k), np.empty(WIDTH - 1), np.empty(WIDTH - 1)
    counts, exponents = np.empty(WIDTH - 1, np.int64), np.empty(WIDTH - 1, np.int64)
    top = TOP
    for j in range(k):
        low, high = 0.0, top
        while high - low > 2.0**-51 * high:
            for i in range(WIDTH - 1):
                points[i] = low + (i + 1) / WIDTH * (high - low)
            evaluate(q, e, points, counts, sizes, exponents)
            for i in range(WIDTH - 1):
                if counts[i] >= size - j:
                    high = points[i]
                    break
                low = points[i]
        values[j], top = 0.5 * (low + high), high
    return values


@compiled
def _brackets(q, e, size):  # type: ignore[no-untyped-def]
    """Count on finer and finer grids, the last with a point between any two eigenvalues as expected.

    Points are put where the counts so far, interpolated in the singular values, reach equal steps.
    """
    x, n = np.array([0.0, TOP]), np.array([0, size])
    f, exponents = np.ones(2), np.zeros(2, np.int64)
    parts = min(WIDTH, size)
    while len(x) <= size:
        points, cell = np.empty(parts - 1), 0
        for i in range(parts - 1):
            level = (i + 1) * size / parts
            while n[cell + 1] < level:
                cell += 1
            low, high = math.sqrt(x[cell]), math.sqrt(x[cell + 1])
            points[i] = (low + (high - low) * (level - n[cell]) / (n[cell + 1] - n[cell])) ** 2
        x, n = np.empty(parts + 1), np.empty(parts + 1, np.int64)
        f, exponents = np.ones(parts + 1), np.zeros(parts + 1, np.int64)
        x[0], x[parts], n[0], n[parts] = 0.0, TOP, 0, size
        x[1:parts] = points
        evaluate(q, e, points, n[1:parts], f[1:parts], exponents[1:parts])
        parts = 8 * parts if 32 * parts < size else size
    numbers, wholes = np.empty((size, 6)), np.empty((size, 4), np.int64)
    cell = 0
    for k in range(size):
        while n[cell + 1] <= k:
            cell += 1
        for end in range(2):
            numbers[k, _X1 + end], numbers[k, _F1 + end] = x[cell + end], f[cell + end]
            wholes[k, _N1 + end], wholes[k, _E1 + end] = n[cell + end], exponents[cell + end]
    return numbers, wholes


@compiled
def _power(exponent):  # type: ignore[no-untyped-def]
    """A power of two; far away ones only have to be far away."""
    return _double((min(max(exponent, -1000), 1000) + 1023) << 52)


@compiled
def _sign(known, whole):  # type: ignore[no-untyped-def]
    """The bracket holds one eigenvalue: from now on ``f`` has a sign and one scale, that of ``e1``."""
    scale = max(whole[_E1], whole[_E2])
    known[_F1] *= _power(whole[_E1] - scale)
    known[_F2] *= -_power(whole[_E2] - scale)
    known[_X3], known[_F3] = known[_X1], known[_F1]
    whole[_E1] = scale


@compiled
def _next_point(known, whole, k, signed, turn):  # type: ignore[no-untyped-def]
    """Where to look next; an end of the bracket if it is narrow enough.

    Among several eigenvalues, in proportion to their number. For one alone: a secant, then inverse quadratic
    interpolation where it is safe and halving where not, and never nearer to an end than the tolerance, so
    that the bracket closes from both sides. (T. R. Chandrupatla, "A new hybrid quadratic/bisection
    algorithm", Adv. Eng. Software 28 (1997).) Halving alone after 60 turns: no input can keep it busy.
    """
    x1, x2, x3, f1, f2, f3 = known
    tolerance = 2.0**-52 * max(x1, x2)
    width = abs(x2 - x1)
    if width <= 2.0 * tolerance:
        return x1
    part = 0.5
    if turn < 60 and not signed:
        part = min(max((k - whole[_N1] + 1.0) / (whole[_N2] - whole[_N1] + 1.0), 0.25), 0.75)
    elif turn < 60 and x3 == x1:
        part = min(max(f1 / (f1 - f2), 0.02), 0.98)
    elif turn < 60:
        xi, phi = (x1 - x2) / (x3 - x2), (f1 - f2) / (f3 - f2)
        if phi * phi < xi and (1.0 - phi) ** 2 < 1.0 - xi:
            part = f1 / (f2 - f1) * f3 / (f2 - f3)
            part += (x3 - x1) / (x2 - x1) * f1 / (f3 - f1) * f2 / (f3 - f2)
        part = min(max(part, tolerance / width), 1.0 - tolerance / width)
    return x1 + (part if part == part else 0.5) * (x2 - x1)


@compiled
def _narrow(known, x, f):  # type: ignore[no-untyped-def]
    """Take a point into the bracket."""
    if (f < 0.0) == (known[_F1] < 0.0):
        known[_X3], known[_F3] = known[_X1], known[_F1]
    else:
        known[_X3], known[_F3] = known[_X2], known[_F2]
        known[_X2], known[_F2] = known[_X1], known[_F1]
    known[_X1], known[_F1] = x, f


_TOGETHER = 2  # rows: state stays in registers between them, and all still fits


@compiled
def eliminate(q, e, border, points, unit, counts, sums, weights):  # type: ignore[no-untyped-def]
    """Eliminate ``T = B^T B - x`` from ``[[., K^T], [K, T]]``.

    Parameters
    ----------
    q, e : arrays, shape (rows,)
        Squares of the bidiagonal ``B``, as `padded` returns them.
    border : array, shape (rows r,)
        ``K``, row after row.
    points : array, shape (count,)
    unit : tuple of r numbers
        Its length tells the compiler the width.
    counts, sums, weights : arrays, shapes (count,), (count, r (r + 1) / 2), (count,)
        Written: how many eigenvalues of ``B^T B`` lie below; the lower triangle of ``K^T T^-1 K``, row after
        row; and the trace of that sum with all terms taken positive, which bounds its rounding errors.
    """
    size = len(unit) * (len(unit) + 1) // 2
    lanes = np.empty((len(unit) + size + 6) * WIDTH)
    for start in range(0, len(points), WIDTH):
        here = min(WIDTH, len(points) - start)
        lanes[:] = 0.0
        for lane in range(WIDTH):
            x = points[start + min(lane, here - 1)]
            lanes[lane], lanes[WIDTH + lane], lanes[2 * WIDTH + lane] = x, 1.0, -x
        for i in range(0, len(q), ROWS):
            for j in range(i, i + ROWS, _TOGETHER):
                _rows(lanes, q[j:], e[j:], border[len(unit) * j :], unit)
            for lane in range(WIDTH):
                v, u = lanes[WIDTH + lane], lanes[2 * WIDTH + lane]
                scale = _double((2046 << 52) - (_bits(max(abs(v), abs(u))) & (2047 << 52)))
                lanes[WIDTH + lane], lanes[2 * WIDTH + lane] = v * scale, u * scale
        for lane in range(here):
            counts[start + lane] = int(lanes[3 * WIDTH + lane])
            weights[start + lane] = lanes[5 * WIDTH + lane]
            for i in range(size):
                sums[start + lane, i] = lanes[(6 + len(unit) + i) * WIDTH + lane]


@compiled
def _rows(lanes, q, e, border, unit):  # type: ignore[no-untyped-def]
    """The next rows, at all points.

    Places of ``lanes``: x, v, u; the count, the last multiplier, the weight; the last row of the eliminated
    border; the sums.
    """
    r = len(unit)
    for lane in range(WIDTH):
        x, v, u = lanes[lane], lanes[WIDTH + lane], lanes[2 * WIDTH + lane]
        count, multiplier, weight = lanes[3 * WIDTH + lane], lanes[4 * WIDTH + lane], lanes[5 * WIDTH + lane]
        for i in range(_TOGETHER):
            w = q[i] * v + u
            u = e[i] * u - x * w
            count += 1.0 if (_bits(w) ^ _bits(v)) < 0 else 0.0
            inverse = v / w
            v = w
            place = (6 + r) * WIDTH + lane
            for a in range(r):
                y = border[i * r + a] - multiplier * lanes[(6 + a) * WIDTH + lane]
                lanes[(6 + a) * WIDTH + lane] = y
                weight += y * y * abs(inverse)
                for b in range(a + 1):
                    lanes[place] += y * inverse * lanes[(6 + b) * WIDTH + lane]
                    place += WIDTH
            multiplier = np.sqrt(q[i] * e[i]) * inverse
        lanes[WIDTH + lane], lanes[2 * WIDTH + lane] = v, u
        lanes[3 * WIDTH + lane], lanes[4 * WIDTH + lane], lanes[5 * WIDTH + lane] = count, multiplier, weight
