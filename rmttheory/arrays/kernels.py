"""What is computed on an NVIDIA GPU by kernels of our own, since CuPy has no such routine.

The source is `kernels.cu`. Everything here takes or makes CuPy arrays.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from importlib import resources
from typing import Any

import numpy as np

from rmttheory.arrays.backend import Array, Placement

OPTIONS = ("--fmad=false",)
"""Of the compiler: what keeps the numbers those of the host."""

_THREADS = 128
_CHUNK = 2**24  # numbers drawn at a time: the words take memory beside what is made of them


def source() -> str:
    """Return the text of the kernels."""
    return resources.files(__package__).joinpath("kernels.cu").read_text(encoding="utf-8")


def uniform(
    key: tuple[int, int], shape: tuple[int, ...], placement: Placement, *, low: float, high: float
) -> Array:
    """Draw what ``Generator(Philox(key=key)).uniform(low, high, shape)`` draws: the same bits."""

    def convert(words: Array) -> Array:
        return low + (high - low) * _unit(words, 11)

    return _filled(shape, placement, key, convert)


def normal(key: tuple[int, int], shape: tuple[int, ...], placement: Placement) -> Array:
    """Draw standard normals as `normal_quantiles` makes them of the words of ``Philox(key=key)``."""
    return _filled(shape, placement, key, normal_quantiles)


def signs(key: tuple[int, int], shape: tuple[int, ...], placement: Placement) -> Array:
    """Draw what ``2 Generator(Philox(key=key)).integers(0, 2, shape) - 1`` draws: the same bits.

    NumPy takes the highest bit of half a word, the lower half first.
    """
    xp = _library()

    def convert(words: Array) -> Array:
        halves = xp.stack([words >> np.uint64(31), words >> np.uint64(63)], axis=1) & np.uint64(1)
        return 2.0 * halves.reshape(-1).astype(np.float64) - 1.0

    return _filled(shape, placement, key, convert, numbers=2)


def normal_quantiles(words: Array) -> Array:
    """Normal quantiles of words of 64 bits, one each: ``ndtri((w // 2^12 + 1/2) / 2^52)``.

    With 53 bits the half would be lost to rounding at the upper end, and the quantile be infinite.
    """
    if isinstance(words, np.ndarray):
        from scipy.special import ndtri
    else:
        from cupyx.scipy.special import ndtri

    return ndtri(_unit(words, 12) + 2.0**-53)


def bidiagonal_singular_values(diagonal: Array, above: Array) -> Array:
    """Singular values of upper bidiagonals, descending, each with a small relative error.

    Parameters
    ----------
    diagonal, above : array, shapes (batch, p) and (batch, p - 1)
        Single or double precision, all on one device. Entries below 1e-150 of the largest, 1e-18 in
        single precision, count as 0: their squares vanish.

    Returns
    -------
    array, shape (batch, p)
        On that device, in that precision; errors below ``4 p eps`` of each value.
    """
    xp = _library()
    batch, size = diagonal.shape
    dtype = diagonal.dtype
    q, e = xp.abs(diagonal), xp.zeros((batch, size), dtype=dtype)
    e[:, : size - 1] = xp.abs(above)
    _, exponents = xp.frexp(xp.maximum(xp.max(q, axis=1), xp.max(e, axis=1)))
    q, e = (xp.ldexp(x, -exponents[:, None]) ** 2 for x in (q, e))  # now below 1
    squares = xp.zeros((batch, size), dtype=dtype)
    _launch("bidiagonal_squares", batch * size, (squares, q, e, np.int64(batch), np.int64(size)), dtype)
    ascending = xp.sort(squares, axis=1)
    return xp.ldexp(xp.sqrt(ascending[:, ::-1]), exponents[:, None])


def bidiagonals_of_bands(columns: Array) -> tuple[Array, Array]:
    """Reduce upper bands to upper bidiagonals with the same singular values.

    Parameters
    ----------
    columns : array, shape (batch, p, r + 1)
        Single or double precision. Entry ``[:, j, q]`` is that of row ``j - r + q`` in column ``j``.

    Returns
    -------
    diagonal, above : arrays, shapes (batch, p) and (batch, p - 1)
        Their values are off by ``20 r p eps s_1`` at most, and by its square root if roundings are as good as
        random: each row and column is turned some ``r p`` times.
    """
    xp = _library()
    batch, size, diagonals = columns.shape
    width, reach = diagonals + 2, min(diagonals, size) - 1
    band = xp.zeros((size, width, batch), dtype=columns.dtype)
    for offset in range(reach + 1):
        band[: size - offset, offset + 1, :] = columns[:, offset:, diagonals - 1 - offset].T
    for now in range(reach, 1, -1):
        for step in range(3 * (size - now - 1) + 1):
            first = max(0, -((size - 1 - (step + 1) * now) // (3 * now - 1)))
            sweeps = min(step // 3, size - now - 1) + 1 - first
            numbers = map(np.int64, (batch, width, now, step, first, sweeps))
            _launch("narrow_bands", batch * sweeps, (band, *numbers), columns.dtype)
    diagonal, above = band[:, 1, :].T, band[: size - 1, 2, :].T
    return xp.ascontiguousarray(diagonal), xp.ascontiguousarray(above)


def _filled(
    shape: tuple[int, ...],
    placement: Placement,
    key: tuple[int, int],
    convert: Callable[[Array], Array],
    *,
    numbers: int = 1,
) -> Array:
    """An array of what ``convert`` makes of the words of a key, ``numbers`` of each."""
    xp = _library()
    with _on(placement.device):
        values = xp.empty(math.prod(shape), dtype=placement.dtype)
        for start, stop in _chunks(len(values)):
            words = _words(key, start // numbers, -(-(stop - start) // numbers))
            values[start:stop] = convert(words)[: stop - start]
        return values.reshape(shape)


def _chunks(count: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))


def _words(key: tuple[int, int], start: int, count: int) -> Array:
    """Words ``start`` to ``start + count`` of ``Philox(key=key)``; ``start`` is a multiple of 4."""
    words = _library().empty(count, dtype=np.uint64)
    first, *keys = (np.uint64(number) for number in (start // 4, *key))
    _launch("philox_words", -(-count // 4), (words, np.int64(count), first, *keys), np.dtype(np.float64))
    return words


def _unit(words: Array, dropped: int) -> Array:
    """The leading bits of words as numbers in [0, 1); exact for ``dropped >= 11``."""
    return (words >> np.uint64(dropped)).astype(np.float64) * 2.0 ** (dropped - 64)


def _launch(name: str, threads: int, arguments: tuple[Any, ...], dtype: Any) -> None:
    blocks = -(-threads // _THREADS)
    _function(name, np.dtype(dtype) == np.float32)((blocks,), (_THREADS,), arguments)


@functools.cache
def _function(name: str, single: bool) -> Any:
    return _module(single).get_function(name)


@functools.cache
def _module(single: bool) -> Any:
    return _library().RawModule(code=source(), options=(*OPTIONS, *(("-DSINGLE",) if single else ())))


def _library() -> Any:
    _ = Placement("cupy").namespace  # says what is missing
    import cupy

    return cupy


def _on(device: Any) -> AbstractContextManager[Any]:
    """Make a device the current one; ``None`` leaves that to CuPy."""
    if device is None:
        return nullcontext()
    context: AbstractContextManager[Any] = _library().cuda.Device(device)
    return context
