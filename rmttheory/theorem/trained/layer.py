"""A layer of a trained network, where signal and noise are not known: only ``W = kept + removed`` is.

``removed`` stands in for the noise ``R``: the part of ``W`` below the edge of its bulk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices import EdgeEstimate, spike_from_outlier, spike_threshold
from rmttheory.networks import Split
from rmttheory.theorem.trained import nulls

ENOUGH = 1e300
"""Stands for infinity where numbers are averaged and written to JSON."""
RESPONSES = 100
"""Number of inputs on which the response of the removed part is looked at."""


def ratio(a: HostArray, b: HostArray) -> HostArray:
    """Return ``a / b`` of numbers >= 0, at most `ENOUGH`; 0 where both vanish."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(a == 0, 0.0, np.minimum(a / b, ENOUGH))


@dataclass(frozen=True, kw_only=True, eq=False)
class BareLayer:
    """A matrix with its fitted bulk, in double precision: all that a weight file shows of a layer.

    Attributes
    ----------
    left, values, right : arrays, shapes (n, q), (p,), (m, q)
        Singular values of ``W``, descending, and the vectors of the first ``q``, all that are kept or more.
    rank : int
        How many singular values were kept.
    estimate : EdgeEstimate
    level : float
        Of each random predicate.
    """

    left: HostArray
    values: HostArray
    right: HostArray
    rank: int
    estimate: EdgeEstimate
    level: float

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs, ``(n, m)``."""
        return self.estimate.shape

    @property
    def g(self) -> float:
        """Fitted noise level."""
        return self.estimate.g

    @cached_property
    def spikes(self) -> HostArray:
        """Singular values above the edge."""
        return self.values[: self.estimate.spikes]

    @cached_property
    def strengths(self) -> HostArray:
        """Spikes behind `spikes`, by the inverse of the outlier map."""
        n, m = self.shape
        found = [spike_from_outlier(float(s), m / n, self.g).theta for s in self.spikes]
        return np.asarray(np.nan_to_num(found, nan=spike_threshold(m / n, self.g)))


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedLayer(BareLayer):
    """A trained layer, its split and its data.

    Attributes
    ----------
    kept, removed : array, shape (n, m)
    inputs : array, shape (samples, m)
        What reaches the layer, one sample a row.
    confidences : array, shape (samples,)
        ``X_C - max_{j != C} X_j`` of the whole network.
    lipschitz : float
        Max-norm Lipschitz bound of the layers after this one.
    activate : callable
        The activation of the layer.
    slopes : array, shape (training samples,)
        Derivative of each sample's training objective along ``removed``.
    stream : Stream
        Null draws.
    """

    kept: HostArray
    removed: HostArray
    inputs: HostArray
    confidences: HostArray
    lipschitz: float
    activate: Callable[[HostArray], HostArray]
    slopes: HostArray
    stream: Stream

    @classmethod
    def of(cls, weight: HostArray, split: Split, **facts: Any) -> TrainedLayer:
        """Return the layer ``weight`` with its truncation ``split``; ``facts`` are the other attributes."""
        left, values, right = np.linalg.svd(weight, full_matrices=False)
        assert split.rank is not None
        assert split.estimate is not None
        return cls(
            kept=split.kept,
            removed=split.removed,
            left=left,
            values=values,
            right=right.T,
            rank=split.rank,
            estimate=split.estimate,
            **facts,
        )

    @cached_property
    def extraction(self) -> nulls.Extraction:
        """What truncation does to noise."""
        return nulls.Extraction(left=self.left[:, : self.rank], right=self.right[:, : self.rank])

    @cached_property
    def norms(self) -> HostArray:
        """Euclidean norms of the inputs."""
        return np.asarray(np.sqrt(np.sum(self.inputs**2, axis=1)))

    @property
    def draws(self) -> int:
        """Null draws of each calibrated predicate."""
        return nulls.draws_for(self.level)

    def some_inputs(self) -> HostArray:
        """At most `RESPONSES` inputs, evenly spaced."""
        return self.inputs[:: max(1, len(self.inputs) // RESPONSES)][:RESPONSES]
