"""Text of the command line as numbers."""

from __future__ import annotations

import re

from rmttheory.arrays import InvalidInput, check_shape


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
    """Read whole numbers between commas; an empty text holds none.

    Raises
    ------
    InvalidInput
        If a part is no whole number.
    """
    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError:
        msg = f"`{name}` must be whole numbers between commas, such as 256 or 64,128,256, not {text!r}."
        raise InvalidInput(msg) from None
