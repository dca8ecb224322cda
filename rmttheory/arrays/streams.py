"""Named, stateless, reproducible random numbers.

A `Stream` is a seed and a path of names. What it draws depends on these alone, never on the worker,
the order of calls or the number of processes, so the same stream asked twice gives the same numbers:
take a ``child`` for every quantity that is drawn.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from rmttheory.arrays import kernels
from rmttheory.arrays.backend import Array, HostArray, Placement
from rmttheory.arrays.checks import InvalidInput, check_count

Shape = int | tuple[int, ...]


@dataclass(frozen=True)
class Stream:
    """A reproducible source of random arrays.

    Parameters
    ----------
    seed : int
        Non-negative, of any size.
    key : tuple of int
        Path below the seed, in words below ``2**32``; made by `child`.
    placement : Placement
        Where drawn arrays live. All libraries see the same numbers: they are drawn on the host in float64 and
        moved, or, with CuPy, drawn on the GPU by a kernel that gives the same bits (`uniform`, `signs`).
    portable : bool
        How `normal` draws. By default with NumPy's ziggurat, which is fastest on the host and cannot run
        anywhere else. If true, other numbers of the same law: one quantile of each random word, which a GPU
        draws itself, equal to those of the host but for the rounding of logarithms and square roots, some
        1e-15 relatively. On the host that takes twice as long.
    """

    seed: int = 0
    key: tuple[int, ...] = ()
    placement: Placement = field(default_factory=Placement)
    portable: bool = False

    def __post_init__(self) -> None:
        check_count(self.seed, "seed", low=0)

    def child(self, *path: str | int) -> Stream:
        """Return the stream named ``path`` below this one."""
        words = tuple(word for name in path for word in _words(name))
        return replace(self, key=self.key + words)

    def at(self, placement: Placement) -> Stream:
        """Return the same stream with its arrays elsewhere."""
        return replace(self, placement=placement)

    def generator(self) -> np.random.Generator:
        """Return a fresh NumPy generator at the start of this stream."""
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(self.seed, spawn_key=self.key)))

    def normal(self, shape: Shape, *, scale: float = 1.0) -> Array:
        """Independent normal entries of standard deviation ``scale``."""
        if self.portable and self._on_gpu:
            return kernels.normal(self._key_words(), _sizes(shape), self.placement) * scale
        if self.portable:
            words = self.generator().bit_generator.random_raw(math.prod(_sizes(shape)))
            return self._place(kernels.normal_quantiles(words).reshape(shape) * scale)
        return self._place(self.generator().standard_normal(shape) * scale)

    def uniform(self, shape: Shape, *, low: float = 0.0, high: float = 1.0) -> Array:
        """Independent uniform entries on ``[low, high)``."""
        if self._on_gpu:
            return kernels.uniform(self._key_words(), _sizes(shape), self.placement, low=low, high=high)
        return self._place(self.generator().uniform(low, high, shape))

    def signs(self, shape: Shape) -> Array:
        """Independent entries +1 or -1, equally likely."""
        if self._on_gpu:
            return kernels.signs(self._key_words(), _sizes(shape), self.placement)
        return self._place(2.0 * self.generator().integers(0, 2, shape) - 1.0)

    def orthonormal(self, n: int, k: int) -> Array:
        """A Haar-distributed ``n x k`` frame: orthonormal columns, uniform over all such frames."""
        q, r = np.linalg.qr(self.generator().standard_normal((n, k)))
        return self._place(q * np.where(np.diagonal(r) < 0, -1.0, 1.0))

    @property
    def _on_gpu(self) -> bool:
        return self.placement.library == "cupy"

    def _key_words(self) -> tuple[int, int]:
        """The key of Philox, 128 bits in two words: all that its numbers depend on."""
        first, second = np.random.SeedSequence(self.seed, spawn_key=self.key).generate_state(2, np.uint64)
        return int(first), int(second)

    def _place(self, values: HostArray) -> Array:
        return self.placement.asarray(values)


def as_stream(rng: Any = None) -> Stream:
    """Turn an ``rng=`` argument into a `Stream`.

    Parameters
    ----------
    rng : None, int, numpy.random.SeedSequence, BitGenerator, Generator or Stream
        ``None`` takes fresh entropy; a generator is advanced by one draw of 128 bits.
    """
    if isinstance(rng, Stream):
        return rng
    if isinstance(rng, np.random.SeedSequence):
        words = rng.generate_state(4, np.uint32)
    elif isinstance(rng, (np.random.Generator, np.random.BitGenerator)):
        words = np.random.default_rng(rng).integers(0, 2**32, size=4, dtype=np.uint32)
    elif rng is None:
        words = np.random.SeedSequence().generate_state(4, np.uint32)
    else:
        try:
            seed = int(rng.__index__())
        except (AttributeError, TypeError):
            seed = -1
        if seed < 0 or isinstance(rng, bool):
            msg = f"`rng` must be None, an integer >= 0, a NumPy random object or a Stream, not {rng!r}."
            raise InvalidInput(msg)
        return Stream(seed)
    return Stream(sum(int(word) << (32 * i) for i, word in enumerate(words)))


def _sizes(shape: Shape) -> tuple[int, ...]:
    return tuple(shape) if isinstance(shape, tuple) else (int(shape),)


def _words(name: str | int) -> tuple[int, int]:
    """Two words of 32 bits for one name: longer words would collide inside SeedSequence."""
    digest = hashlib.blake2b(repr(name).encode(), digest_size=8).digest()
    return int.from_bytes(digest[:4], "little"), int.from_bytes(digest[4:], "little")
