"""Networks with Gaussian noise in a layer that is never formed: theorem trials at widths of a million.

Claims ask what the noise ``R`` does to a batch, how large it is and how it meets the signal. All that has a
joint law that needs no matrix, if the noise is Gaussian. From an orthonormal basis of the span of the inputs
``v_s`` it makes independent normal vectors. Of what it does beyond nothing is asked but ``|R|_F^2`` and
``<S, R>_F``: one normal along what ``S`` has there, and a chi-square for the rest.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.networks import cross_entropy
from rmttheory.theorem.claims import drawn_by
from rmttheory.theorem.planted import NetworkCase, NoiseCase, Planting, draw_dense, plant
from rmttheory.theorem.removals import EPS

BLOCK = 2**17
"""Numbers computed at a time: they stay in the cache, and arrays as long as the layer is wide are few."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImplicitCase(NoiseCase):
    """A planted network and what the noise of its middle layer does, without the noise.

    Attributes
    ----------
    planting : Planting
    cell : mapping
        The parameters it was drawn with.
    removed_images : ndarray, shape (samples, n)
        ``R v_s``, one a row.
    noise_energy, cross : float
        ``|R|_F^2`` and ``<S, R>_F``.
    """

    planting: Planting
    cell: Any
    removed_images: HostArray
    noise_energy: float
    cross: float

    @property
    def width(self) -> int:
        """Outputs ``n`` of the layer."""
        return len(self.planting.U)

    @property
    def labels(self) -> HostArray:
        """Class of each sample."""
        return self.planting.labels

    @property
    def v(self) -> HostArray:
        """Inputs of the layer, one a row."""
        return self.planting.v

    @property
    def lipschitz(self) -> float:
        """``L``: largest row sum of the readout."""
        return self.planting.lipschitz

    @property
    def signal_energy(self) -> float:
        """``|S|_F^2``."""
        return float(np.sum(self.planting.theta**2))

    def along(self, thetas: Sequence[float]) -> HostArray:
        """Logits with ``S + theta R`` for each theta, ``(len(thetas), samples, classes)``."""
        planting = self.planting
        # S v_s in coordinates of U
        sent = (self.v @ planting.V) * planting.theta
        logits = np.zeros((len(thetas), len(self.v), len(planting.readout)))
        for neurons in _blocks(self.width, len(self.v)):
            signal, noise = sent @ planting.U[neurons].T, self.removed_images[:, neurons]
            for i, theta in enumerate(thetas):
                logits[i] += planting.logits(signal + theta * noise, neurons)
        return logits

    @functools.cached_property
    def _ends(self) -> HostArray:
        return self.along((1.0, 0.0))

    @property
    def before(self) -> HostArray:
        """Logits with ``W = S + R``."""
        return np.asarray(self._ends[0])

    @property
    def after(self) -> HostArray:
        """Logits with ``S``."""
        return np.asarray(self._ends[1])

    @functools.cached_property
    def losses(self) -> tuple[float, float]:
        """Mean cross-entropy before and after."""
        return cross_entropy(self.before, self.labels), cross_entropy(self.after, self.labels)

    @property
    def loss_change(self) -> float:
        """Mean cross-entropy after minus before."""
        return self.losses[1] - self.losses[0]


def draw_network(cell: Any, stream: Stream, *, localised: bool = False) -> NetworkCase | ImplicitCase:
    """Draw a network that `plant` gives with noise in its middle layer, in the way that `drawn_by` says.

    Arguments and errors as there.
    """
    if drawn_by(cell) == "dense":
        return draw_dense(cell, stream, localised=localised)
    return draw_implicit(plant(cell, stream, localised=localised), cell, stream.child("noise"))


def draw_implicit(planting: Planting, cell: Any, stream: Stream) -> ImplicitCase:
    """Draw what independent Gaussian noise of level ``cell["g"]`` does to a planted network.

    Notes
    -----
    Exact in law; derived here. Of independent inputs ``e_j`` of norm 1 at right angles, ``R e_j`` are
    independent vectors of independent ``N(0, g/n)``, and independent of ``R`` beyond their span.
    """
    n, deviation = len(planting.U), math.sqrt(cell["g"] / len(planting.U))
    inputs, signal = _coordinates(planting)
    images, energy, along = np.empty((len(inputs), n)), 0.0, np.zeros_like(signal)
    rng = stream.generator()
    for neurons in _blocks(n, inputs.shape[1]):
        noise = rng.standard_normal((neurons.stop - neurons.start, inputs.shape[1]))
        noise *= deviation
        np.matmul(inputs, noise.T, out=images[:, neurons])
        energy += float(np.vdot(noise, noise))
        along += planting.U[neurons].T @ noise
    cross = float(np.sum(signal * along))

    rest = n * (n - inputs.shape[1])
    if rest:
        beyond = max(0.0, float(np.sum(planting.theta**2) - np.sum(signal**2)))
        normal = float(rng.standard_normal())
        cross += deviation * math.sqrt(beyond) * normal
        energy += deviation**2 * (normal**2 + float(rng.chisquare(rest - 1)))
    return ImplicitCase(planting=planting, cell=cell, removed_images=images, noise_energy=energy, cross=cross)


def _coordinates(planting: Planting) -> tuple[HostArray, HostArray]:
    """Inputs ``v_s`` and rows ``theta_i v_i`` of the signal, in an orthonormal basis of the span of inputs.

    A batch that fills half of the space takes the basis of all of it: any other costs as much.
    """
    v, signal = planting.v, (planting.V * planting.theta).T
    if 2 * len(v) >= v.shape[1]:
        return v, signal
    squares, B = np.linalg.eigh(v @ v.T)
    # inputs that repeat each other add directions which are rounding of the squares
    real = squares > len(v) * EPS * squares[-1]
    lengths, B = np.sqrt(squares[real]), B[:, real]
    return B * lengths, (signal @ v.T) @ (B / lengths)


def _blocks(n: int, entries: int) -> Iterator[slice]:
    """Cut ``n`` neurons so that ``entries`` numbers for each fill a block."""
    size = max(64, BLOCK // max(1, entries))
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
