"""How many directions a spectrum has in effect, by two measures that do not look for an edge."""

from __future__ import annotations

import math

from rmttheory.arrays import Array, InvalidInput, check_vector, namespace, scalar


def stable_rank(s: Array) -> float:
    """Return ``|W|_F^2 / |W|_2^2``, between 1 and the number of values: what the largest value leaves.

    Parameters
    ----------
    s : array, shape (p,)
        Singular values in any order.

    Raises
    ------
    InvalidInput
        If a value is negative or not finite, or all are 0.

    Source: M. Rudelson and R. Vershynin, J. ACM 54 (2007).
    """
    shares, xp = _shares(s), namespace(s)
    return scalar(xp.sum(shares * shares)) / scalar(xp.max(shares)) ** 2


def entropy_rank(s: Array) -> float:
    """Return the exponential of the entropy of the values as shares of their sum.

    Between 1 and the number of values, which it is where all are equal.

    Parameters
    ----------
    s : array, shape (p,)
        Singular values in any order.

    Raises
    ------
    InvalidInput
        If a value is negative or not finite, or all are 0.

    Source: O. Roy and M. Vetterli, "The effective rank", EUSIPCO 2007.
    """
    shares, xp = _shares(s), namespace(s)
    positive = shares > 0
    logs = xp.log(xp.where(positive, shares, xp.ones_like(shares)))
    return math.exp(-scalar(xp.sum(shares * logs)))


def _shares(s: Array) -> Array:
    check_vector(s, "s")
    xp = namespace(s)
    largest = xp.max(s)
    if scalar(xp.min(s)) < 0 or scalar(largest) <= 0:
        msg = "`s` must hold singular values, which are >= 0, and not all of them 0."
        raise InvalidInput(msg)
    scaled = s / largest  # sums of large values could overflow
    return scaled / xp.sum(scaled)
