"""Text of the command line as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation

from rmttheory.arrays import InvalidInput, check_count, check_interval, check_shape


def parse_shape(text: str) -> tuple[int, int]:
    """Read ``NxM``: rows and columns.

    Raises
    ------
    InvalidInput
        If it is anything but two positive whole numbers.
    """
    found = re.fullmatch(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*", text)
    if not found:
        msg = f"`shape` must be rows x columns in whole numbers, such as 4000x2000, not {text!r}."
        raise InvalidInput(msg)
    return check_shape((int(found[1]), int(found[2])))


def parse_size(rows: str, columns: str | None, aspect: float | None) -> tuple[int, int]:
    """Read rows and either columns or their ratio; a square if neither is given.

    Raises
    ------
    InvalidInput
        If a number is out of range, both are given, or the ratio leaves no column.
    """
    n = check_count(parse_count(rows, "rows"), "rows")
    if columns is None:
        ratio = 1.0 if aspect is None else check_interval(aspect, "aspect", low=0.0, high=1e30)
        m = round(ratio * n)
        if m == 0:
            msg = f"`aspect` must leave a column or more of {n:,} rows, not {aspect!r}."
            raise InvalidInput(msg)
        return n, m
    if aspect is not None:
        msg = "Give `columns` or `aspect`, not both."
        raise InvalidInput(msg)
    return n, check_count(parse_count(columns, "columns"), "columns")


def parse_numbers(text: str, name: str) -> tuple[float, ...]:
    """Read numbers between commas; an empty text holds none.

    Raises
    ------
    InvalidInput
        If a part is no number.
    """
    try:
        return tuple(float(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        msg = f"`{name}` must be numbers between commas, such as 1.5,1.2, not {text!r}."
        raise InvalidInput(msg) from None


def parse_counts(text: str, name: str) -> tuple[int, ...]:
    """Read whole numbers between commas, as `parse_count` does; an empty text holds none.

    Raises
    ------
    InvalidInput
        If a part is no whole number.
    """
    try:
        return tuple(_whole(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        msg = f"`{name}` must be whole numbers between commas, such as 256 or 64,128,256, not {text!r}."
        raise InvalidInput(msg) from None


def parse_count(text: str, name: str) -> int:
    """Read one whole number, such as 1000000, 1_000_000 or 1e6.

    Raises
    ------
    InvalidInput
        If it is none, or has more than 30 digits.
    """
    try:
        return _whole(text)
    except ValueError:
        msg = f"`{name}` must be a whole number of 30 digits at most, such as 1000000 or 1e6, not {text!r}."
        raise InvalidInput(msg) from None


def parse_settings(settings: Sequence[str]) -> dict[str, int | float | str]:
    """Read ``NAME=VALUE`` parts: numbers where a value is one, text elsewhere.

    Raises
    ------
    InvalidInput
        If a part has no name or no value, or a name comes twice.
    """
    found: dict[str, int | float | str] = {}
    for setting in settings:
        name, _, value = (part.strip() for part in setting.partition("="))
        if not (name and value) or name in found:
            msg = f"`set` must be NAME=VALUE, such as n=256, each name once, not {setting!r}."
            raise InvalidInput(msg)
        found[name] = _number(value)
    return found


def parse_ids(ids: Sequence[str]) -> tuple[str, ...]:
    """Return claim ids; ``all`` alone, like none at all, means every claim."""
    return () if tuple(ids) == ("all",) else tuple(ids)


def _number(text: str) -> int | float | str:
    try:
        return _whole(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text


def _whole(text: str) -> int:
    try:
        value = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError from None
    if not value.is_finite() or value.adjusted() > 29 or value != int(value):
        raise ValueError
    return int(value)
