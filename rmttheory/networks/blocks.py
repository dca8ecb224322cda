"""Large arrays on the host are worked on a part at a time, so that each is read from memory once."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rmttheory.arrays import Array

_BLOCK = 2**14
"""Numbers of an array worked on at once: four arrays of them fit in the cache of a core."""


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield rows of arrays of one shape, few enough to stay in the cache: each is read from memory once.

    Arrays that are not on the host come whole.
    """
    first = arrays[0]
    if not isinstance(first, np.ndarray):
        yield arrays
        return
    rows = max(1, _BLOCK * len(first) // max(first.size, 1))
    for start in range(0, len(first), rows):
        yield tuple(array[start : start + rows] for array in arrays)
