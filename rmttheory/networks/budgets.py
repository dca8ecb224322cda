"""Sharing out a budget between things that each can be had smaller at a loss."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput


class Curve(NamedTuple):
    """What one thing costs, descending from its full size, and what is lost at each size, from 0."""

    costs: HostArray
    losses: HostArray


def share_out(curves: Sequence[Curve], budget: float) -> list[int]:
    """Choose a point on every curve so that the costs add up to no more than ``budget``.

    Steps are taken along the lower convex hulls of loss against what is saved, always the one that loses
    least for each number it saves, until the budget is met: no other choice that costs as little loses less.
    What the last step saves too much is given back to the thing that took it.

    Parameters
    ----------
    curves : sequence of Curve
    budget : float
        In the unit of the costs.

    Returns
    -------
    list of int
        Index into each curve.

    Raises
    ------
    InvalidInput
        If even the smallest sizes cost more.
    """
    least = float(sum(curve.costs[-1] for curve in curves))
    if least > budget:
        msg = f"The least that can be kept is {least:,.0f} numbers, more than the {budget:,.0f} of `budget`."
        raise InvalidInput(msg)
    chosen, last = along_hulls(curves, budget)
    if last is not None:
        costs = curves[last].costs
        total = sum(float(curve.costs[point]) for curve, point in zip(curves, chosen))
        chosen[last] = int(np.argmax(costs <= costs[chosen[last]] + budget - total))
    return chosen


def along_hulls(curves: Sequence[Curve], budget: float) -> tuple[list[int], int | None]:
    """Return what steps along the hulls alone choose, and which curve took the last one."""
    chosen, last = [0] * len(curves), None
    total = float(sum(curve.costs[0] for curve in curves))
    steps = sorted(
        ((curve.losses[b] - curve.losses[a]) / (curve.costs[a] - curve.costs[b]), which, b)
        for which, curve in enumerate(curves)
        for a, b in _hull(curve)
    )
    for _, which, point in steps:
        if total <= budget:
            break
        total -= float(curves[which].costs[chosen[which]] - curves[which].costs[point])
        chosen[which], last = point, which
    return chosen, last


def _hull(curve: Curve) -> list[tuple[int, int]]:
    """Return the edges of the lower convex hull, as pairs of points, with growing slopes."""
    saved, lost = curve.costs[0] - curve.costs, curve.losses
    hull: list[int] = []
    for point in range(len(saved)):
        while len(hull) > 1 and _above(saved, lost, hull[-2], hull[-1], point):
            hull.pop()
        hull.append(point)
    return list(itertools.pairwise(hull))


def _above(x: HostArray, y: HostArray, a: int, b: int, c: int) -> bool:
    """Whether point ``b`` lies on or above the line from ``a`` to ``c``."""
    return bool((y[b] - y[a]) * (x[c] - x[a]) >= (y[c] - y[a]) * (x[b] - x[a]))
