"""Checks at the public door: each names the argument, what was given and what was expected."""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Collection
from typing import Any, Literal, SupportsFloat, SupportsIndex

import array_api_compat


class RmtError(Exception):
    """Base of every error that this package raises on purpose."""


class InvalidInput(RmtError, ValueError):
    """An argument is not what the function can work with; the message says what would be."""


class Unavailable(RmtError, ImportError):
    """Something optional is missing; the message gives the command that gets it."""


def check_interval(
    value: SupportsFloat,
    name: str,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    closed: Literal["neither", "low", "high", "both"] = "neither",
) -> float:
    """Return ``value`` as a float if it lies between ``low`` and ``high``.

    Raises
    ------
    InvalidInput
        If it is not a number, not finite, or outside the interval.
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    above = number >= low if closed in ("low", "both") else number > low
    below = number <= high if closed in ("high", "both") else number < high
    if not (math.isfinite(number) and above and below):
        left, right = "[" if closed in ("low", "both") else "(", "]" if closed in ("high", "both") else ")"
        if high == math.inf:
            wanted = f"a number {'>=' if left == '[' else '>'} {low:g}"
        else:
            wanted = f"a number in {left}{low:g}, {high:g}{right}"
        if low == -math.inf and high == math.inf:
            wanted = "a finite number"
        msg = f"`{name}` must be {wanted}, not {value!r}."
        raise InvalidInput(msg)
    return number


def check_count(value: SupportsIndex, name: str, *, low: int = 1) -> int:
    """Return ``value`` as an integer of at least ``low``.

    Raises
    ------
    InvalidInput
        If it is not a whole number or is too small.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = low - 1
    if number < low or isinstance(value, bool):
        msg = f"`{name}` must be a whole number >= {low}, not {value!r}."
        raise InvalidInput(msg)
    return number


def check_shape(shape: Any, name: str = "shape") -> tuple[int, int]:
    """Return ``shape`` as ``(n, m)``: outputs by inputs, both at least 1.

    Raises
    ------
    InvalidInput
        If it is not a pair of positive whole numbers.
    """
    try:
        n, m = (check_count(size, name) for size in shape)
    except (TypeError, ValueError):
        msg = f"`{name}` must be two whole numbers >= 1, rows and columns, not {shape!r}."
        raise InvalidInput(msg) from None
    return n, m


def check_choice(value: str, name: str, choices: Collection[str]) -> str:
    """Return ``value`` if it is one of ``choices``.

    Raises
    ------
    InvalidInput
        If it is not; the message gives the nearest names.
    """
    if value not in choices:
        near = difflib.get_close_matches(str(value).lower(), choices, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(choices))}."
        msg = f"Unknown {name} {value!r}. {hint}"
        raise InvalidInput(msg)
    return value


def check_matrix(x: Any, name: str) -> None:
    """Check that ``x`` is a non-empty two-dimensional array of finite real floating-point numbers.

    Reads one flag back from the device.

    Raises
    ------
    InvalidInput
        If it is not.
    """
    _check_array(x, name, dimensions=2)


def check_matrices(x: Any, name: str) -> None:
    """Check that ``x`` is a matrix, as `check_matrix` does, or a stack of them along its first axis.

    Raises
    ------
    InvalidInput
        If it is not.
    """
    _check_array(x, name, dimensions=3 if getattr(x, "ndim", 2) == 3 else 2)


def check_vector(x: Any, name: str) -> None:
    """Check that ``x`` is a non-empty one-dimensional array of finite real floating-point numbers.

    Raises
    ------
    InvalidInput
        If it is not.
    """
    _check_array(x, name, dimensions=1)


def _check_array(x: Any, name: str, *, dimensions: int) -> None:
    kind = {1: "vector", 2: "matrix", 3: "stack of matrices"}[dimensions]
    if not array_api_compat.is_array_api_obj(x):
        msg = f"`{name}` must be an array, not {type(x).__name__}; numpy.asarray makes one."
        raise InvalidInput(msg)
    xp = array_api_compat.array_namespace(x)
    if x.ndim != dimensions or 0 in x.shape:
        msg = f"`{name}` must be a non-empty {kind}, not an array of shape {tuple(x.shape)}."
        raise InvalidInput(msg)
    if not xp.isdtype(x.dtype, "real floating"):
        msg = f"`{name}` must hold real floating-point numbers, not {x.dtype}."
        raise InvalidInput(msg)
    if not bool(xp.all(xp.isfinite(x))):
        msg = f"`{name}` holds NaN or infinite entries; every entry must be finite."
        raise InvalidInput(msg)
