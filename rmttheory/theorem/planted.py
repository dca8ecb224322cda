"""Networks whose signal and noise are known, and the hypotheses of the random claims measured there.

Every statistic here is compared with a limit that the hypothesis, if true, crosses with probability below
1e-9: leaving out trials for missing a hypothesis does not bend the frequencies that a claim is judged by.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Stream
from rmttheory.matrices.noise import parse_noise
from rmttheory.networks.layers import Dense
from rmttheory.networks.network import Network
from rmttheory.theorem.certificates import gaussian_radius
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_least, at_most
from rmttheory.theorem.removals import SplitCase

RARE = 1e-9


class NoiseCase:
    """What cases of Gaussian noise in one layer answer alike, however they were drawn."""

    @property
    def g(self: Any) -> float:
        """Stated noise level: entries of ``R`` have variance ``g / n``."""
        return float(self.cell["g"])

    @functools.cached_property
    def norms(self: Any) -> HostArray:
        """``|v_s|_2``, for each sample."""
        return np.asarray(np.sqrt(row_squares(self.v)))

    @property
    def change(self: Any) -> HostArray:
        """Largest change of a logit, for each sample."""
        changes: HostArray = np.max(np.abs(self.after - self.before), axis=1)
        return changes

    def radius(self: Any, delta: float) -> HostArray:
        """Certified radius of every sample, simultaneously with probability ``1 - delta``."""
        size = {"n": self.width, "samples": len(self.v)}
        return np.asarray(gaussian_radius(self.norms, self.lipschitz, g=self.g, delta=delta, **size))


def row_squares(A: HostArray) -> HostArray:
    """Return the sum of the squares of each row, without an array of the squares."""
    return np.asarray(np.einsum("ij,ij->i", A, A))


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkCase(SplitCase, NoiseCase):
    """A network with random noise in one layer, the middle one of three unless ``index`` says otherwise.

    Attributes
    ----------
    cell : mapping
        The parameters it was drawn with.
    """

    index: int = 1
    cell: Any

    @property
    def width(self) -> int:
        """Outputs ``n`` of the layer."""
        return len(self.R)

    @functools.cached_property
    def removed_images(self) -> HostArray:
        """``R v_s``, one a row."""
        return np.asarray(self.v @ self.R.T)

    @functools.cached_property
    def noise_energy(self) -> float:
        """``|R|_F^2``."""
        return float(np.sum(self.R**2))

    @functools.cached_property
    def signal_energy(self) -> float:
        """``|S|_F^2``."""
        return float(np.sum(self.S**2))

    @functools.cached_property
    def cross(self) -> float:
        """``<S, R>_F``."""
        return float(np.sum(self.S * self.R))

    def along(self, thetas: Sequence[float]) -> HostArray:
        """Logits with ``S + theta R`` for each theta, ``(len(thetas), samples, classes)``."""
        layers = (self.network.replace(self.index, self.S + theta * self.R) for theta in thetas)
        return np.stack([network.logits(self.v, start=self.index) for network in layers])


@dataclass(frozen=True, kw_only=True, eq=False)
class Planting:
    """A network of three layers and a batch: all but the noise of the middle layer, ``n x n``.

    Attributes
    ----------
    first : ndarray, shape (n, classes)
        First layer; a relu follows.
    U, V : ndarray, shape (n, classes)
        Orthonormal frames of the signal of the middle layer, ``S = U diag(theta) V^T``; a relu follows.
    theta : ndarray, shape (classes,)
    readout : ndarray, shape (classes, n)
        Last layer: it gives the logits.
    x, labels : ndarray, shapes (samples, classes) and (samples,)
    """

    first: HostArray
    U: HostArray
    theta: HostArray
    V: HostArray
    readout: HostArray
    x: HostArray
    labels: HostArray

    @functools.cached_property
    def v(self) -> HostArray:
        """Inputs of the middle layer, one a row: ``(samples, n)``."""
        v: HostArray = self.x @ self.first.T
        return np.maximum(v, 0.0, out=v)

    @property
    def S(self) -> HostArray:  # noqa: N802
        """The signal as a matrix, ``(n, n)``."""
        return np.asarray((self.U * self.theta) @ self.V.T)

    def logits(self, images: HostArray, neurons: slice = slice(None)) -> HostArray:
        """Logits from what the middle layer puts out before its relu, ``(samples, n)``.

        Of some of its neurons only, they are the part of the logits that these contribute.
        """
        return np.asarray(np.maximum(images, 0.0) @ self.readout[:, neurons].T)

    @functools.cached_property
    def lipschitz(self) -> float:
        """``L``: largest row sum of the readout."""
        return max(float(np.sum(np.abs(row))) for row in self.readout)


def plant(cell: Any, stream: Stream, *, localised: bool = False) -> Planting:
    """Draw a network whose middle layer was given a signal that classifies.

    Each class has one direction among the inputs. The signal sends what the first layer makes of it, the
    features orthogonalised, to the rows of the readout, ``S = strength * U V^T``; so ``S`` depends on both
    neighbours and the noise on none. The readout is ``bounded`` (class ``k`` reads neuron ``k``: row sums 1)
    or ``standard`` (independent ``N(0, 1/n)``: row sums grow like ``sqrt(2 n / pi)``).

    Parameters
    ----------
    localised : bool
        Whether each class excites one hidden neuron only, instead of all.

    Raises
    ------
    InvalidInput
        If there are more classes than neurons.
    """
    n, classes, samples = cell["n"], cell["classes"], cell["samples"]
    if classes > n:
        msg = f"`classes` must be at most the width n = {n}, not {classes}."
        raise InvalidInput(msg)
    if localised:
        first = V = np.eye(n, classes)
    else:
        first = stream.child("first").normal((n, classes), scale=math.sqrt(2 / n))
        V = polar(np.maximum(first, 0.0))
    if cell["readout"] == "bounded":
        readout = np.eye(classes, n)
        U = readout.T
    else:
        readout = stream.child("readout").normal((classes, n), scale=math.sqrt(1 / n))
        U = polar(readout.T)
    labels = np.arange(samples) % classes
    x = np.eye(classes)[labels] + stream.child("inputs").normal((samples, classes), scale=0.1)
    theta = np.full(classes, float(cell["strength"]))
    return Planting(first=first, U=U, theta=theta, V=V, readout=readout, x=x, labels=labels)


def draw_dense(cell: Any, stream: Stream, *, localised: bool = False) -> NetworkCase:
    """Draw a network that `plant` gives, with noise in its middle layer; arguments and errors as there."""
    planting = plant(cell, stream, localised=localised)
    S = planting.S
    R = parse_noise(cell["noise"]).sample(S.shape, cell["g"], stream.child("noise"))
    weights = (planting.first, S + R, planting.readout)
    network = Network(tuple(Dense(W, None, kind) for W, kind in zip(weights, ("relu", "relu", "identity"))))
    return NetworkCase(network=network, S=S, R=R, x=planting.x, labels=planting.labels, cell=cell)


def polar(A: HostArray) -> HostArray:
    """Return the matrix with orthonormal columns nearest to ``A``, orthonormal to ``1e-12``."""
    squares, B = np.linalg.eigh(A.T @ A)
    if squares[0] > 1e-3 * squares[-1]:  # ten times faster than by singular values, and squares lose little
        return np.asarray(A @ ((B / np.sqrt(squares)) @ B.T))
    U, _, Vt = np.linalg.svd(A, full_matrices=False)
    return np.asarray(U @ Vt)


def _iid_gaussian(case: Any) -> Measurement:
    """Kolmogorov distance on a grid; Massart's bound ``2 exp(-2 N t^2)`` holds for the grid as well."""
    from scipy.special import ndtri

    if not hasattr(case, "R"):
        return at_least(1.0, 1.0, "by construction: the noise has no entries, all that it does was drawn")
    n, m = case.R.shape
    levels = np.arange(1, 16) / 16
    quantiles = ndtri(levels) * math.sqrt(case.g / n)
    seen = np.array([np.count_nonzero(x >= case.R) for x in quantiles]) / (n * m)
    return at_most(
        float(np.max(np.abs(seen - levels))),
        math.sqrt(math.log(2 / RARE) / (2 * n * m)),
        "Kolmogorov distance of the entries from N(0, g/n), on 15 quantiles",
    )


def _independent_path(case: Any) -> Measurement:
    """Energies ``n |R v|^2 / (g |v|^2)`` are chi-square; limit of Laurent and Massart for all at once."""
    samples, n = case.removed_images.shape
    met = case.norms > 0  # an input that is zero meets no noise
    energy = row_squares(case.removed_images)[met] / (case.g * case.norms[met] ** 2)
    x = math.log(2 * samples / RARE)
    return at_most(
        float(np.max(np.abs(energy - 1), initial=0.0)),
        2 * math.sqrt(x / n) + 2 * x / n,
        "deviation of |R v|^2 / (g |v|^2) from 1, largest over samples",
    )


def _independent_signal(case: Any) -> Measurement:
    scale = math.sqrt(case.g / case.width * case.signal_energy)
    return at_most(
        abs(case.cross) / scale if scale else 0.0,
        math.sqrt(2 * math.log(2 / RARE)),
        "|<S, R>_F| in standard deviations sqrt(g/n) ||S||_F",
    )


def _small_signal(case: Any) -> Measurement:
    return at_most(math.sqrt(case.signal_energy / case.width), 1.0, "||S||_F / sqrt(n)")


IID_GAUSSIAN = Hypothesis(id="iid_gaussian", statement="Entries of R are iid N(0, g/n).", check=_iid_gaussian)
INDEPENDENT_PATH = Hypothesis(
    id="independent_path", statement="R is independent of the inputs v of its layer.", check=_independent_path
)
INDEPENDENT_SIGNAL = Hypothesis(
    id="independent_signal", statement="R is independent of S.", check=_independent_signal
)
SMALL_SIGNAL = Hypothesis(
    id="signal_norm", statement="||S||_F is below sqrt(n): the signal is o(sqrt n).", check=_small_signal
)
