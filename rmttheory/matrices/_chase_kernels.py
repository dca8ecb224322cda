# mypy: disable-error-code="misc, untyped-decorator"
"""Compiled reduction of upper bands to bidiagonals, eight rows at a time.

Imported by `_sturm` alone: this module needs Numba. Row after row is cleared right of its second entry, by
Householder reflections of ``r`` columns and ``r`` rows in turn, which chase what they fill in down the band.
The sweep of the next row may start when the one before is three steps ahead. So eight sweeps run side by
side, one in each lane of a vector register, and pass the band on from lane to lane like workers in a row.

The band travels as a stream of blocks: for ``t = 0, 1, ...`` the columns ``c + t r ... c + t r + r - 1``
hold ``U`` (their rows one block up) and ``D`` (their own rows), ``r x r`` each, with ``c`` one larger after
each sweep. Between sweeps the first column of ``D`` is zero under the diagonal, and so is the first row of
``U`` beside its first entry; the rest is filled in and stays so, until its turn comes.
"""

from __future__ import annotations

import math

import numpy as np

from rmttheory.matrices._sturm_kernels import compiled

LANES = 8
_LAG = 3  # steps between neighbouring lanes
_TINY = 1e-280  # squares of what is left as it is, for entries near 1


@compiled
def bidiagonalise(stream, p, unit, diagonal, above):  # type: ignore[no-untyped-def]
    """Reduce a ``p x p`` band with entries at most 1.

    Parameters
    ----------
    stream : array, shape (blocks, 2 r r)
        ``U`` and ``D`` of each block, for ``c = 0`` and from block ``-1`` on; at least 3 blocks of zeros at
        the end. Overwritten.
    unit : tuple of r numbers
        Its length tells the compiler the width.
    diagonal, above : arrays, shapes (p,), (p - 1,)
        Written.
    """
    r = len(unit)
    block = 2 * r * r
    lanes = np.zeros((9 * r * r + 1) * LANES)
    diagonal[0] = stream[1, r * r]
    for row in range(0, p - 1, LANES):
        lanes[:] = 0.0
        for ahead in range(3):
            _feed(lanes, stream[ahead], (7 - 2 * ahead) * r * r)
        for turn in range((p - row) // r + 3 + _LAG * (LANES - 1)):
            lane, step = turn // _LAG, turn % _LAG - 1  # who is at its first steps
            if lane < LANES:
                _enter(lanes, unit, lane, step)
            _from_right(lanes, unit)
            _from_left(lanes, unit)
            if step == 0 and lane < min(LANES, p - 1 - row):
                above[row + lane] = lanes[r * r * LANES + lane]
                diagonal[row + lane + 1] = lanes[2 * r * r * LANES + lane]
            done = turn - _LAG * (LANES - 1)
            if 0 <= done < len(stream):
                for i in range(block):
                    stream[done, i] = lanes[(r * r + i) * LANES + LANES - 1]
            _pass_on(lanes, unit)
            _feed(lanes, stream[min(turn + 3, len(stream) - 1)], 3 * r * r)
    return diagonal, above


# Places of ``lanes``, each of `LANES` numbers, in units of r r: 0 U at work; 1, 2 U and D as they leave;
# 3, 4 the blocks U, D that the lane before has just done, 5, 6 the ones before, 7, 8 those before again.


@compiled
def _feed(lanes, block, place):  # type: ignore[no-untyped-def]
    """A block for the first lane."""
    for i in range(len(block)):
        lanes[(place + i) * LANES] = block[i]


@compiled
def _enter(lanes, unit, lane, step):  # type: ignore[no-untyped-def]
    """A lane begins: nothing above its first block but its row, which comes as the last one."""
    r = len(unit)
    for j in range(r):
        if step == -1:
            for a in range(r):
                lanes[(a * r + j) * LANES + lane] = 0.0
        if step == 0:
            lanes[j * LANES + lane] = lanes[((r - 1) * r + j) * LANES + lane]
            lanes[((r - 1) * r + j) * LANES + lane] = 0.0


@compiled
def _pass_on(lanes, unit):  # type: ignore[no-untyped-def]
    """Blocks grow a step older, and what a lane has done comes to the next one."""
    size = len(unit) * len(unit) * LANES
    for i in range(2 * size):
        lanes[7 * size + i] = lanes[5 * size + i]
    for i in range(2 * size):
        lanes[5 * size + i] = lanes[3 * size + i]
    for i in range(2 * size):
        lanes[3 * size + i + 1] = lanes[size + i]


@compiled
def _reflection(first, rest):  # type: ignore[no-untyped-def]
    """``I - w v v^T`` that clears a vector but for its first entry; ``rest`` sums the squares of the others.

    Returns the new first entry, the first one of ``v`` (the others are those of the vector), and ``w``.
    """
    norm = -math.copysign(math.sqrt(first * first + rest), first)
    if rest > _TINY:
        return norm, first - norm, 1.0 / (norm * (norm - first))
    return first, first - norm, 0.0


@compiled
def _own(lanes, a, j, r, lane):  # type: ignore[no-untyped-def]
    """Entry ``a, j`` of ``D``: one further on than in the sweep before."""
    square = r * r
    if a < r - 1:
        place = 8 * square + (a + 1) * r + j + 1 if j < r - 1 else 5 * square + (a + 1) * r
    elif j < r - 1:
        return 0.0
    else:
        place = 6 * square
    return lanes[place * LANES + lane]


@compiled
def _beside(lanes, a, j, r, lane):  # type: ignore[no-untyped-def]
    """Entry ``a, j`` of the next block's ``U``, likewise."""
    square = r * r
    if a < r - 1:
        if j == r - 1:
            return 0.0
        place = 5 * square + (a + 1) * r + j + 1
    else:
        place = 6 * square + j + 1 if j < r - 1 else 3 * square
    return lanes[place * LANES + lane]


@compiled
def _from_right(lanes, unit):  # type: ignore[no-untyped-def]
    """Clear the first row of ``U`` by a reflection of columns, which fills ``D``."""
    r = len(unit)
    out = r * r * LANES
    for lane in range(LANES):
        rest = 0.0
        for j in range(1, r):
            rest += lanes[j * LANES + lane] ** 2
        norm, v0, w = _reflection(lanes[lane], rest)
        for a in range(1, r):
            t = lanes[a * r * LANES + lane] * v0
            for j in range(1, r):
                t += lanes[(a * r + j) * LANES + lane] * lanes[j * LANES + lane]
            t *= w
            lanes[out + a * r * LANES + lane] = lanes[a * r * LANES + lane] - t * v0
            for j in range(1, r):
                reflected = lanes[(a * r + j) * LANES + lane] - t * lanes[j * LANES + lane]
                lanes[out + (a * r + j) * LANES + lane] = reflected
        for a in range(r):
            t = _own(lanes, a, 0, r, lane) * v0
            for j in range(1, r):
                t += _own(lanes, a, j, r, lane) * lanes[j * LANES + lane]
            t *= w
            lanes[2 * out + a * r * LANES + lane] = _own(lanes, a, 0, r, lane) - t * v0
            for j in range(1, r):
                reflected = _own(lanes, a, j, r, lane) - t * lanes[j * LANES + lane]
                lanes[2 * out + (a * r + j) * LANES + lane] = reflected
        lanes[out + lane] = norm
        for j in range(1, r):
            lanes[out + j * LANES + lane] = 0.0


@compiled
def _from_left(lanes, unit):  # type: ignore[no-untyped-def]
    """Clear the first column of ``D`` by a reflection of rows, which fills the ``U`` of the next block."""
    r = len(unit)
    out = 2 * r * r * LANES
    for lane in range(LANES):
        rest = 0.0
        for a in range(1, r):
            rest += lanes[out + a * r * LANES + lane] ** 2
        norm, v0, w = _reflection(lanes[out + lane], rest)
        for j in range(1, r):
            t = lanes[out + j * LANES + lane] * v0
            for a in range(1, r):
                t += lanes[out + (a * r + j) * LANES + lane] * lanes[out + a * r * LANES + lane]
            t *= w
            lanes[out + j * LANES + lane] -= t * v0
            for a in range(1, r):
                lanes[out + (a * r + j) * LANES + lane] -= t * lanes[out + a * r * LANES + lane]
        for j in range(r):
            t = _beside(lanes, 0, j, r, lane) * v0
            for a in range(1, r):
                t += _beside(lanes, a, j, r, lane) * lanes[out + a * r * LANES + lane]
            t *= w
            lanes[j * LANES + lane] = _beside(lanes, 0, j, r, lane) - t * v0
            for a in range(1, r):
                reflected = _beside(lanes, a, j, r, lane) - t * lanes[out + a * r * LANES + lane]
                lanes[(a * r + j) * LANES + lane] = reflected
        lanes[out + lane] = norm
        for a in range(1, r):
            lanes[out + a * r * LANES + lane] = 0.0
