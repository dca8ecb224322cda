"""Networks whose signal and noise are known, and the hypotheses of the random claims measured there.

Every statistic here is compared with a limit that the hypothesis, if true, crosses with probability below
1e-9: leaving out trials for missing a hypothesis does not bend the frequencies that a claim is judged by.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices.noise import parse_noise
from rmttheory.networks.layers import Dense
from rmttheory.networks.network import Network
from rmttheory.theorem.certificates import gaussian_radius
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_most
from rmttheory.theorem.removals import SplitCase

RARE = 1e-9


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkCase(SplitCase):
    """A network with random noise in one layer, the middle one of three unless ``index`` says otherwise.

    Attributes
    ----------
    cell : mapping
        The parameters it was drawn with.
    """

    index: int = 1
    cell: Any

    @property
    def g(self) -> float:
        """Stated noise level: entries of ``R`` have variance ``g / n``."""
        return float(self.cell["g"])

    @property
    def change(self) -> HostArray:
        """Largest change of a logit, for each sample."""
        changes: HostArray = np.max(np.abs(self.after - self.before), axis=1)
        return changes

    def radius(self, delta: float) -> HostArray:
        """Certified radius of every sample, simultaneously with probability ``1 - delta``."""
        norms = np.sqrt(np.sum(self.v**2, axis=1))
        size = {"n": len(self.R), "samples": len(self.x)}
        return np.asarray(gaussian_radius(norms, self.lipschitz, g=self.g, delta=delta, **size))


def draw_network(cell: Any, stream: Stream, *, localised: bool = False) -> NetworkCase:
    """Draw a network whose middle layer was given a signal that classifies.

    Each class has one direction among the inputs. The signal sends what the first layer makes of it, the
    features orthogonalised, to the rows of the readout, ``S = strength * U V^T``; so ``S`` depends on both
    neighbours and ``R`` on none. The readout is ``bounded`` (class ``k`` reads neuron ``k``: row sums 1) or
    ``standard`` (independent ``N(0, 1/n)``: row sums grow like ``sqrt(2 n / pi)``).

    Parameters
    ----------
    localised : bool
        Whether each class excites one hidden neuron only, instead of all.
    """
    n, classes, samples = cell["n"], cell["classes"], cell["samples"]
    first = stream.child("first").normal((n, classes), scale=math.sqrt(2 / n))
    readout = stream.child("readout").normal((classes, n), scale=math.sqrt(1 / n))
    if localised:
        first = np.eye(n, classes)
    if cell["readout"] == "bounded":
        readout = np.eye(classes, n)
    features = np.maximum(first, 0.0)
    S = cell["strength"] * polar(readout.T) @ polar(features).T
    R = parse_noise(cell["noise"]).sample((n, n), cell["g"], stream.child("noise"))
    labels = np.arange(samples) % classes
    x = np.eye(classes)[labels] + stream.child("inputs").normal((samples, classes), scale=0.1)
    weights = (first, S + R, readout)
    network = Network(tuple(Dense(W, None, kind) for W, kind in zip(weights, ("relu", "relu", "identity"))))
    return NetworkCase(network=network, S=S, R=R, x=x, labels=labels, cell=cell)


def polar(A: HostArray) -> HostArray:
    """Return the matrix with orthonormal columns nearest to ``A``."""
    U, _, Vt = np.linalg.svd(A, full_matrices=False)
    frame: HostArray = U @ Vt
    return frame


def _iid_gaussian(case: Any) -> Measurement:
    """Kolmogorov distance on a grid; Massart's bound ``2 exp(-2 N t^2)`` holds for the grid as well."""
    from scipy.special import ndtri

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
    n = case.R.shape[0]
    v = np.atleast_2d(case.v)
    energy = np.sum((v @ case.R.T) ** 2, axis=1) / (case.g * np.sum(v**2, axis=1))
    x = math.log(2 * len(v) / RARE)
    return at_most(
        float(np.max(np.abs(energy - 1))),
        2 * math.sqrt(x / n) + 2 * x / n,
        "deviation of |R v|^2 / (g |v|^2) from 1, largest over samples",
    )


def _independent_signal(case: NetworkCase) -> Measurement:
    scale = math.sqrt(case.g / case.R.shape[0] * float(np.sum(case.S**2)))
    return at_most(
        abs(float(np.sum(case.S * case.R))) / scale,
        math.sqrt(2 * math.log(2 / RARE)),
        "|<S, R>_F| in standard deviations sqrt(g/n) ||S||_F",
    )


def _small_signal(case: NetworkCase) -> Measurement:
    n = case.S.shape[0]
    return at_most(math.sqrt(float(np.sum(case.S**2)) / n), 1.0, "||S||_F / sqrt(n)")


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
