"""What the laws share: numbers in, numbers out; draws by inversion."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, as_stream

Values = TypeVar("Values", float, HostArray)
_Self = TypeVar("_Self")

_BLOCK = 2**15  # values at a time: their temporaries stay in the cache


class Law:
    """A probability law on the real line."""

    def ppf(self, q: Values) -> Values:
        """Quantile."""
        raise NotImplementedError

    def rvs(self, size: int | tuple[int, ...], rng: Any = None) -> HostArray:
        """Draw independent values, by inverting the distribution function.

        Parameters
        ----------
        size : int or tuple of int
        rng : None, int, SeedSequence, BitGenerator, Generator or Stream
            See `rmttheory.arrays.as_stream`.
        """
        uniform = as_stream(rng).generator().random(size)
        return self.ppf(np.maximum(uniform, 2.0**-54))  # a zero would be an infinite draw of some laws


def elementwise(function: Callable[[_Self, HostArray], HostArray]) -> Callable[[_Self, Values], Values]:
    """Let a method of flat float64 arrays take numbers (giving floats) and arrays of any shape."""

    @functools.wraps(function)
    def method(self: Any, values: Any) -> Any:
        try:
            x = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError):
            msg = f"`{function.__name__}` needs real numbers, not {values!r}."
            raise InvalidInput(msg) from None
        blocks = np.split(x.reshape(-1), range(_BLOCK, x.size, _BLOCK))
        with np.errstate(divide="ignore", over="ignore", under="ignore"):
            result = np.concatenate([function(self, block) for block in blocks])
        return result.reshape(x.shape) if x.ndim else float(result[0])

    return method


def check_probabilities(q: HostArray) -> HostArray:
    """Return ``q`` if every entry is a probability.

    Raises
    ------
    InvalidInput
        If an entry is outside ``[0, 1]`` or NaN.
    """
    outside = ~((q >= 0) & (q <= 1))
    if outside.any():
        msg = f"A probability must be a number in [0, 1], not {q[outside][0]:g}."
        raise InvalidInput(msg)
    return q
