"""What the random part ``R`` of a layer is drawn from.

Every law here gives an ``n x m`` matrix whose entries have mean 0 and variance exactly ``g / n``, so that
they differ in shape and dependence only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rmttheory.arrays import Array, InvalidInput, Stream, check_choice, check_interval, check_shape


@runtime_checkable
class Noise(Protocol):
    """A law of ``R``: a name that `parse_noise` understands, and draws."""

    @property
    def name(self) -> str:
        """Name as written on the command line."""
        ...

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw an ``n x m`` matrix with entries of variance ``g / n``, where ``stream`` places it."""
        ...


@dataclass(frozen=True)
class Gaussian:
    """Independent normal entries: the law of the theorems, invariant under rotations of both sides."""

    name = "gaussian"

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw ``R``; see `Noise`."""
        return stream.normal(shape, scale=_deviation(shape, g))


@dataclass(frozen=True)
class Rademacher:
    """Independent signs."""

    name = "rademacher"

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw ``R``; see `Noise`."""
        scale = _deviation(shape, g)
        return stream.signs(shape) * scale


@dataclass(frozen=True)
class Uniform:
    """Independent uniform entries, as most layers are initialised."""

    name = "uniform"

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw ``R``; see `Noise`."""
        half_width = math.sqrt(3.0) * _deviation(shape, g)
        return stream.uniform(shape, low=-half_width, high=half_width)


@dataclass(frozen=True)
class StudentT:
    """Independent Student-t entries scaled to the wanted variance: heavy tails.

    The edge of the bulk needs a finite fourth moment, so it fails for ``df <= 4``.

    Parameters
    ----------
    df : float
        Degrees of freedom, > 2: the variance is infinite below.
    """

    df: float

    def __post_init__(self) -> None:
        check_interval(self.df, "df", low=2.0)

    @property
    def name(self) -> str:
        """Name as written on the command line."""
        return f"student-t:{_plain(self.df)}"

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw ``R``; see `Noise`."""
        scale = _deviation(shape, g) * math.sqrt((self.df - 2.0) / self.df)
        return stream.placement.asarray(stream.generator().standard_t(self.df, shape) * scale)


@dataclass(frozen=True)
class SparseSigns:
    """Independent entries that are zero except for a sign with probability ``density``.

    Parameters
    ----------
    density : float
        Share of nonzero entries, in (0, 1]; each is ``+-1 / sqrt(density)`` standard deviations.
    """

    density: float

    def __post_init__(self) -> None:
        check_interval(self.density, "density", low=0.0, high=1.0, closed="high")

    @property
    def name(self) -> str:
        """Name as written on the command line."""
        return f"sparse:{_plain(self.density)}"

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw ``R``; see `Noise`."""
        scale = _deviation(shape, g) / math.sqrt(self.density)
        u = stream.generator().random(shape)
        signs = (u < 0.5 * self.density).astype(np.float64) - (u >= 1.0 - 0.5 * self.density)
        return stream.placement.asarray(signs * scale)


@dataclass(frozen=True)
class _Scaled:
    """Normal entries whose rows or columns have log-normal variances of mean 1.

    Parameters
    ----------
    spread : float
        Standard deviation of the logarithm of the variances, >= 0; 0 gives back the Gaussian law.
    """

    spread: float

    def __post_init__(self) -> None:
        check_interval(self.spread, "spread", low=0.0, closed="low")

    def _scales(self, count: int, stream: Stream) -> Array:
        """Standard deviations: ``exp((tau x - tau^2 / 2) / 2)`` for normal ``x``."""
        logs = self.spread * stream.child("scales").generator().standard_normal(count)
        return stream.placement.asarray(np.exp(0.5 * (logs - 0.5 * self.spread**2)))


class RowScaled(_Scaled):
    """Normal entries; the variances of the rows are log-normal with mean 1.

    Parameters
    ----------
    spread : float
        Standard deviation of the logarithm of the variances, >= 0; 0 gives back the Gaussian law.
    """

    @property
    def name(self) -> str:
        """Name as written on the command line."""
        return f"row-scaled:{_plain(self.spread)}"

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw ``R``; see `Noise`."""
        return stream.normal(shape, scale=_deviation(shape, g)) * self._scales(shape[0], stream)[:, None]


class ColumnScaled(_Scaled):
    """Normal entries; the variances of the columns are log-normal with mean 1.

    Parameters
    ----------
    spread : float
        Standard deviation of the logarithm of the variances, >= 0; 0 gives back the Gaussian law.
    """

    @property
    def name(self) -> str:
        """Name as written on the command line."""
        return f"column-scaled:{_plain(self.spread)}"

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw ``R``; see `Noise`."""
        return stream.normal(shape, scale=_deviation(shape, g)) * self._scales(shape[1], stream)[None, :]


@dataclass(frozen=True)
class HaarRotated:
    """Haar-distributed singular vectors and the quantiles of the limit law as singular values.

    Invariant under rotations of both sides like the Gaussian law, with nothing random in the spectrum.
    """

    name = "haar"

    def sample(self, shape: tuple[int, int], g: float, stream: Stream) -> Array:
        """Draw ``R``; see `Noise`. The squares of its entries sum to ``g m`` in every draw."""
        from rmttheory.matrices.laws import MarchenkoPastur

        n, m = check_shape(shape)
        count = min(n, m)
        s = MarchenkoPastur(aspect=m / n).singular().ppf((np.arange(count) + 0.5) / count)
        s = s * math.sqrt(check_interval(g, "g", low=0.0) * m / float(np.dot(s, s)))
        left = stream.child("left").orthonormal(n, count)
        right = stream.child("right").orthonormal(m, count)
        return (left * stream.placement.asarray(s)[None, :]) @ right.T


_PLAIN: dict[str, Callable[[], Noise]] = {
    "gaussian": Gaussian,
    "rademacher": Rademacher,
    "uniform": Uniform,
    "haar": HaarRotated,
}
_WITH_NUMBER: dict[str, tuple[Callable[[float], Noise], str]] = {
    "student-t": (StudentT, "student-t:5"),
    "sparse": (SparseSigns, "sparse:0.1"),
    "row-scaled": (RowScaled, "row-scaled:0.8"),
    "column-scaled": (ColumnScaled, "column-scaled:0.8"),
}


def parse_noise(noise: str | Noise) -> Noise:
    """Turn the name of a noise into the noise; a noise is returned as it is.

    Parameters
    ----------
    noise : str or Noise
        ``gaussian``, ``rademacher``, ``uniform``, ``haar``, or one with its number after a colon:
        ``student-t:5``, ``sparse:0.1``, ``row-scaled:0.8``, ``column-scaled:0.8``.

    Raises
    ------
    InvalidInput
        If the name is unknown (the message gives the nearest), or its number missing, superfluous or
        out of range.
    """
    if not isinstance(noise, str):
        if isinstance(noise, Noise) and not isinstance(noise, type):
            return noise
        msg = f"`noise` must be the name of a noise or a Noise, not {noise!r}."
        raise InvalidInput(msg)
    name, colon, number = noise.strip().partition(":")
    check_choice(name, "noise", {**_PLAIN, **_WITH_NUMBER})
    if name in _PLAIN:
        if colon:
            msg = f"Noise {name!r} takes no number: write {name!r}, not {noise!r}."
            raise InvalidInput(msg)
        return _PLAIN[name]()
    make, example = _WITH_NUMBER[name]
    try:
        parameter = float(number)
    except ValueError:
        msg = f"Noise {name!r} needs a number after a colon, for example {example!r}, not {noise!r}."
        raise InvalidInput(msg) from None
    return make(parameter)


def _deviation(shape: tuple[int, int], g: float) -> float:
    n, _ = check_shape(shape)
    return math.sqrt(check_interval(g, "g", low=0.0) / n)


def _plain(number: float) -> str:
    """Every digit of a number, and no more: ``5`` for 5.0."""
    return repr(float(number)).removesuffix(".0")
