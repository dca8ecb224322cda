"""Where the bulk of a layer ends and whether it is one: a calibrated fit, and that of published code."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import (
    Array,
    InvalidInput,
    check_choice,
    check_interval,
    check_shape,
    to_host,
)
from rmttheory.matrices.edges import fit_edge
from rmttheory.matrices.published import published_fit
from rmttheory.networks.pruning import Method

_STEPS = {"bema-gamma": 200}
_MOST_STEPS = 500
"""A simulated p-value is a multiple of one over this: 199 or 499 spectra of noise, and the one at hand."""


@dataclass(frozen=True, kw_only=True)
class EdgeReading:
    """What a rule says of one spectrum.

    Attributes
    ----------
    edge : float
        Singular values above it count as signal; on their scale.
    misfit : float
        Largest distance of the empirical distribution to the fitted law over the middle of the spectrum.
    p_value : float or None
        Probability that noise of this shape fits as badly; None where it was not asked for.
    accepted : bool
        Whether the bulk passes for noise.
    """

    edge: float
    misfit: float
    p_value: float | None
    accepted: bool


@dataclass(frozen=True, kw_only=True)
class FittedEdge:
    """The edge of `fit_edge`, with a gate of known level.

    Parameters
    ----------
    method, alpha, level
        As for `fit_edge`.
    gate : float
        A bulk whose ``p_value`` is at most this is not taken for noise; so noise is refused with this
        probability. 0 lets every bulk pass and simulates nothing; otherwise at least 0.002, the least
        p-value there is (0.005 for ``bema-gamma``).

    Raises
    ------
    InvalidInput
        If a parameter is out of range.
    """

    method: Method = "bema"
    alpha: float = 0.25
    level: float = 0.1
    gate: float = 0.01

    def __post_init__(self) -> None:
        check_choice(self.method, "method", ("bema", "bema-gamma", "fit", "median"))
        check_interval(self.alpha, "alpha", low=0.0, high=0.5)
        check_interval(self.level, "level", low=0.0, high=1.0)
        check_interval(self.gate, "gate", low=0.0, high=1.0, closed="low")
        least = 1 / _STEPS.get(self.method, _MOST_STEPS)
        if 0 < self.gate < least:
            msg = f"`gate` must be 0 or at least {least:g}, the least p-value there is, not {self.gate!r}."
            raise InvalidInput(msg)

    def read(self, s: Array, shape: tuple[int, int]) -> EdgeReading:
        """Fit all singular values of an ``n x m`` matrix; arguments and errors as for `fit_edge`."""
        fit = fit_edge(s, shape, method=self.method, alpha=self.alpha, level=self.level)
        p_value = fit.p_value if self.gate > 0 else None
        return EdgeReading(
            edge=fit.edge,
            misfit=fit.misfit,
            p_value=p_value,
            accepted=p_value is None or p_value > self.gate,
        )


@dataclass(frozen=True, kw_only=True)
class PublishedEdge:
    """The edge as the public code of the Pruning Theorem computes it, for comparison.

    It differs from `FittedEdge` in that

    * the width of the edge has ``(1 + sqrt(gamma)) ** 4 / 3`` for ``(1 + sqrt(gamma)) ** (4 / 3)``, 2.1 times
      too much for a square layer;
    * order statistics are compared with quantiles at ``i / p``, half a rank too low, and spikes are not
      allowed for, so that the noise level is about ``1.5 / p`` too large for a square layer;
    * in the misfit, the distribution function is 0 beyond the upper edge, where it is 1;
    * a layer is accepted if the misfit is below ``cutoff``, whatever its shape; below 1 it always is.

    Parameters
    ----------
    alpha : float
        Share of the values left out at either end, in (0, 1/2).
    beta : float
        Nominal probability, in (0, 1), that noise alone exceeds the edge; 0.1, 0.8 and 0.9 were used.
    cutoff : float
        1 for dense networks; 0, which accepts nothing, for their controls.

    Raises
    ------
    InvalidInput
        If a parameter is out of range.
    """

    alpha: float = 0.25
    beta: float = 0.1
    cutoff: float = 1.0

    def __post_init__(self) -> None:
        check_interval(self.alpha, "alpha", low=0.0, high=0.5)
        check_interval(self.beta, "beta", low=0.0, high=1.0)
        check_interval(self.cutoff, "cutoff", low=0.0, closed="low")

    def read(self, s: Array, shape: tuple[int, int]) -> EdgeReading:
        """Fit all singular values of an ``n x m`` matrix, as published.

        Raises
        ------
        InvalidInput
            If there are other than ``min(n, m)`` of them, or too few for the window.
        """
        p, larger = sorted(check_shape(shape))
        values = np.sort(to_host(s).astype(np.float64)) ** 2 / larger
        if len(values) != p or int((1 - self.alpha) * p) == int(self.alpha * p):
            msg = f"`s` must hold all {p} singular values, two or more, not {len(values)}."
            raise InvalidInput(msg)
        fit = published_fit(values, p / larger, alpha=self.alpha, level=self.beta)
        accepted = fit.misfit < self.cutoff
        edge = math.sqrt(larger * fit.edge)
        return EdgeReading(edge=edge, misfit=fit.misfit, p_value=None, accepted=accepted)
