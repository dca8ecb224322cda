"""Hypothesis strategies for random matrices and networks: search your own statement for counterexamples.

What is drawn shrinks to something that can be read: few rows, whole entries, singular vectors along the
axes, one layer, no bias. Draws are ordinary values, so a test that fails fails again; chance has no place
inside ``@given`` (judge it with `rmttheory.verify`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from rmttheory.arrays import HostArray, Stream, Unavailable, check_choice, check_count
from rmttheory.matrices.ensembles import Draw, Spiked
from rmttheory.networks.layers import Dense
from rmttheory.networks.network import Network

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
    from hypothesis.strategies import SearchStrategy
except ImportError:
    msg = "rmttheory.strategies needs Hypothesis; install it with: pip install 'rmttheory[testing]'."
    raise Unavailable(msg) from None

__all__ = [
    "Parts",
    "batches",
    "draws",
    "entries",
    "frames",
    "matrices",
    "networks",
    "noise_laws",
    "shapes",
    "spectra",
    "spiked",
    "splits",
]

ACTIVATIONS = ("identity", "relu", "abs")


class Parts(NamedTuple):
    """A layer ``W = S + R`` in its parts, each ``n x m``."""

    S: HostArray
    R: HostArray


def entries(largest: float = 4.0) -> SearchStrategy[float]:
    """Numbers up to ``largest`` in size; they shrink to whole ones, and those to 0."""
    whole = int(largest)
    small = st.integers(-whole, whole).map(float)
    return small | st.floats(-largest, largest, allow_subnormal=False)


@st.composite
def shapes(
    draw: Any, most: int = 8, orientation: Literal["any", "tall", "wide", "square"] = "any"
) -> tuple[int, int]:
    """Shapes ``(n, m)`` of up to ``most`` rows and columns; ``tall`` ones have no more columns than rows."""
    check_choice(orientation, "orientation", ("any", "tall", "wide", "square"))
    sizes = st.integers(1, check_count(most, "most"))
    n, m = draw(sizes), draw(sizes)
    low, high = sorted((n, m))
    return {"any": (n, m), "tall": (high, low), "wide": (low, high), "square": (n, n)}[orientation]


def spectra(
    count: int, *, low: float = 0.0, high: float = 10.0, spikes: Sequence[float] = ()
) -> SearchStrategy[HostArray]:
    """``count`` singular values, descending: the ``spikes``, and others between ``low`` and ``high``."""
    check_count(count - len(spikes), "count", low=0)
    whole = st.integers(int(np.ceil(low)), max(int(high), int(np.ceil(low)))).map(float)
    value = st.floats(low, high, allow_subnormal=False)
    values = (whole | value) if int(high) >= np.ceil(low) else value
    rest = st.lists(values, min_size=count - len(spikes), max_size=count - len(spikes))
    return rest.map(lambda drawn: np.sort(np.array([*spikes, *drawn], dtype=float))[::-1].copy())


@st.composite
def frames(draw: Any, length: int, count: int) -> HostArray:
    """``count`` orthonormal columns of ``length``: coordinate vectors, mirrored at up to two planes."""
    frame = np.eye(length, check_count(count, "count", low=0))
    for _ in range(draw(st.integers(0, 2))):
        normal = np.array(draw(st.lists(st.integers(-3, 3), min_size=length, max_size=length)), dtype=float)
        if normal.any():
            frame = frame - np.outer(normal, (2 / (normal @ normal)) * (normal @ frame))
    return frame


@st.composite
def matrices(
    draw: Any, shape: tuple[int, int] | None = None, *, values: HostArray | None = None, largest: float = 4.0
) -> HostArray:
    """Matrices of ``shape`` (any of `shapes` if omitted), of any entries or of singular values ``values``."""
    n, m = draw(shapes()) if shape is None else shape
    if values is None:
        return np.asarray(draw(hnp.arrays(float, (n, m), elements=entries(largest), fill=st.nothing())))
    left, right = draw(frames(n, len(values))), draw(frames(m, len(values)))
    return np.asarray((left * values) @ right.T)


def noise_laws(*, fourth_moment: bool = True) -> SearchStrategy[str]:
    """Names of laws of noise, of which those without a fourth moment only where asked for."""
    names = ["gaussian", "rademacher", "uniform", "student-t:5", "haar"]
    return st.sampled_from(names if fourth_moment else [*names, "student-t:3"])


@st.composite
def spiked(draw: Any, most: int = 8, *, rank: int = 2) -> Spiked:
    """Spiked ensembles of up to ``most`` rows and columns, and up to ``rank`` spikes, weak or strong."""
    shape = draw(shapes(most))
    count = draw(st.integers(0, min(rank, *shape)))
    g = draw(st.sampled_from([1.0, 0.25]) | st.floats(0.01, 4.0))
    empty = Spiked(shape, (), g=g)
    excess = draw(spectra(count, low=0.25, high=4.0))
    return Spiked(
        shape,
        tuple(empty.threshold * excess),
        noise=draw(noise_laws()),
        g=g,
        left=draw(st.sampled_from(["localised", "haar"])),
        right=draw(st.sampled_from(["localised", "haar"])),
    )


@st.composite
def draws(draw: Any, ensemble: Spiked | None = None) -> Draw:
    """Layers drawn from ``ensemble``, or from any of `spiked`, each named by a seed."""
    model = draw(spiked()) if ensemble is None else ensemble
    return model.sample(Stream(draw(st.integers(0, 2**32 - 1))))


@st.composite
def splits(draw: Any, shape: tuple[int, int], *, how: Literal["any", "mask", "spectral"] = "any") -> Parts:
    """Parts of a layer of ``shape``: any two matrices, disjoint supports, or orthogonal singular vectors."""
    check_choice(how, "how", ("any", "mask", "spectral"))
    n, m = shape
    if how == "spectral":
        count = min(n, m)
        values, cut = draw(spectra(count)), draw(st.integers(0, count))
        left, right = draw(frames(n, count)), draw(frames(m, count))
        parts = (
            (left[:, :cut] * values[:cut]) @ right[:, :cut].T,
            (left[:, cut:] * values[cut:]) @ right[:, cut:].T,
        )
        return Parts(*parts)
    if how == "mask":
        W, kept = draw(matrices(shape)), draw(hnp.arrays(bool, shape))
        return Parts(np.where(kept, W, 0.0), np.where(kept, 0.0, W))
    return Parts(draw(matrices(shape)), draw(matrices(shape)))


@st.composite
def networks(draw: Any, *, depth: int = 3, width: int = 3, classes: int = 3, biases: bool = True) -> Network:
    """Networks of up to ``depth`` layers, ``width`` neurons and ``classes`` logits, the last layer linear."""
    check_count(width, "width")
    hidden = check_count(depth, "depth") - 1
    shift = st.just(0.0) | st.floats(-30, 30, allow_subnormal=False) if biases else st.just(0.0)

    # all are drawn at full size and then cut, so that a smaller network is one of the same draws
    def parts(n: int) -> tuple[HostArray, HostArray]:
        return draw(matrices((n, width))), np.array(draw(st.lists(shift, min_size=n, max_size=n)))

    kind = draw(st.sampled_from(ACTIVATIONS))
    whole = [parts(width) for _ in range(hidden)]
    last = parts(max(classes, 2))
    used = draw(st.integers(0, hidden))
    widths = [draw(st.integers(1, width)) for _ in range(hidden)][:used]
    outputs = [*widths, draw(st.integers(2, len(last[1])))]
    inputs = [draw(st.integers(1, width)), *widths]
    kinds = [kind] * used + ["identity"]
    layers = zip([*whole[:used], last], inputs, outputs, kinds)
    return Network(tuple(Dense(weight[:n, :m], bias[:n], kind) for (weight, bias), m, n, kind in layers))


@st.composite
def batches(draw: Any, network: Network, *, samples: int = 3) -> tuple[HostArray, HostArray]:
    """Inputs ``(samples, m)`` and labels of up to ``samples`` samples that ``network`` takes."""
    count = draw(st.integers(1, check_count(samples, "samples")))
    sizes = network.sizes
    x = draw(matrices((samples, sizes[0])))[:count]
    labels = draw(st.lists(st.integers(0, sizes[-1] - 1), min_size=count, max_size=count))
    return x, np.array(labels)
