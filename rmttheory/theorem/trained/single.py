"""One matrix and nothing else: which hypotheses of the theorem it can speak of, and what it says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rmttheory.arrays import HOST, HostArray, InvalidInput, Placement
from rmttheory.matrices import fit_edge
from rmttheory.matrices.triplets import Triplets, decomposed
from rmttheory.theorem.hypotheses import Checked, Knowable, Measurement, Predicate, at_least, at_most
from rmttheory.theorem.trained import noise, predicates
from rmttheory.theorem.trained.layer import BareLayer
from rmttheory.theorem.trained.nulls import EDGE_LEVEL
from rmttheory.theorem.trained.remainders import Remainder, Spread, spread

LEVEL = 0.01
"""Of each random hypothesis: noise is refused by it with this probability."""
SMALLEST = 16
"""Fewer singular values are no spectrum to fit a bulk to."""
BULK_VECTORS = 16
"""How many singular vectors of the bulk are looked at, evenly spaced over it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoneMatrix(BareLayer):
    """A matrix of which nothing is known but its entries.

    Attributes
    ----------
    matrix : array, shape (n, m)
    bulk : Triplets
        Of a sample of the values below the edge.
    """

    matrix: HostArray
    bulk: Triplets

    @classmethod
    def of(cls, matrix: HostArray, placement: Placement = HOST) -> LoneMatrix:
        """Decompose a finite matrix, where ``placement`` says, and fit its bulk.

        Raises
        ------
        InvalidInput
            If it has no bulk; the message is the reason as a clause, without a full stop.
        """
        n, m = matrix.shape
        p = min(n, m)
        if p < SMALLEST:
            msg = f"it is {n:,} x {m:,}, and a bulk takes {SMALLEST} singular values or more"
            raise InvalidInput(msg)
        low, high = float(matrix.min()), float(matrix.max())
        if low == high:
            msg = "all its entries are 0" if high == 0 else f"all its entries are {high:g}"
            raise InvalidInput(msg)
        found = decomposed(matrix, placement)
        try:  # in the precision of the entries, which says what is zero to rounding
            estimate = fit_edge(found.values.astype(matrix.dtype), (n, m), level=EDGE_LEVEL)
        except InvalidInput:
            msg = "some of its singular values are zero to rounding, and a bulk needs full rank"
            raise InvalidInput(msg) from None
        rank = estimate.spikes
        sample = np.unique(np.linspace(rank, p - 1, min(BULK_VECTORS, p - rank)).astype(int))
        left, right = found.triplets(np.concatenate([np.arange(rank), sample]))
        return cls(
            matrix=matrix,
            left=left[:, :rank],
            values=found.values,
            right=right[:, :rank],
            bulk=Triplets(left[:, rank:], right[:, rank:]),
            rank=rank,
            estimate=estimate,
            level=LEVEL,
        )

    @cached_property
    def remainder(self) -> Remainder:
        """What truncation at the edge removes."""
        scale = math.sqrt(self.matrix.size) / float(np.linalg.norm(self.values))
        kept = Triplets(self.left, self.right)
        return Remainder.of(self.matrix, self.values[: self.rank], kept, scale=scale)

    @cached_property
    def spread(self) -> Spread:
        """Of the singular vectors of the bulk."""
        return spread(Triplets(self.left, self.right), self.bulk)


def examine_matrix(layer: LoneMatrix) -> tuple[Checked, ...]:
    """Read every hypothesis of a trained layer off its matrix alone, in the order of `PREDICATES`."""
    return tuple(_find(predicate, layer) for predicate in predicates.PREDICATES)


def _find(predicate: Predicate, layer: LoneMatrix) -> Checked:
    if predicate.of_noise and layer.rank == len(layer.values):
        how = "No singular value lies below the edge, so there is no noise part to test."
        return Checked(predicate.id, at_most(0.0, 0.0, how), Knowable.UNIDENTIFIABLE)
    if predicate.id in _CHECKS:
        return Checked(predicate.id, _CHECKS[predicate.id](layer), Knowable.FALSIFIABLE)
    how = _REASONS.get(predicate.id) or predicate.check(layer).how
    return Checked(predicate.id, at_most(0.0, 0.0, how), Knowable.UNIDENTIFIABLE)


def _iid_gaussian(layer: LoneMatrix) -> Measurement:
    rest = layer.remainder
    tests = (rest.row_p_value, rest.column_p_value, rest.kurtosis_p_value)
    how = (
        "Three times the least p-value of: rows alike, columns alike, kurtosis of entries, in what is "
        f"left without the spikes: {', '.join(f'{p:.2g}' for p in tests)}; kurtosis {rest.kurtosis:.3f}, "
        "3 if normal."
    )
    return at_least(min(1.0, 3 * min(tests)), layer.level, how)


def _exchangeable(layer: LoneMatrix) -> Measurement:
    tests = (layer.remainder.row_p_value, layer.remainder.column_p_value)
    how = (
        "Twice the lesser p-value of: rows alike, columns alike, by the rank correlation between the "
        f"energies of their halves: {', '.join(f'{p:.2g}' for p in tests)}. Entries may have any law."
    )
    return at_least(min(1.0, 2 * min(tests)), layer.level, how)


def _moments(layer: LoneMatrix) -> Measurement:
    return noise.moments(np.abs(layer.matrix).ravel(), layer.level)


def _biunitary(layer: LoneMatrix) -> Measurement:
    found = layer.spread
    how = (
        f"p-value of N |u|_4^4 over {found.count} singular vectors of the bulk on either side, over "
        f"what uniform ones beside the spikes have: {found.left:.3f} left, {found.right:.3f} right."
    )
    return at_least(found.p_value, layer.level, how)


def _edge(layer: LoneMatrix) -> Measurement:
    value = float(layer.values[layer.rank])
    how = (
        f"p-value of the first singular value below the edge, {value:.4g}, as the largest of noise that was "
        f"fitted in the same way."
    )
    return at_least(layer.estimate.top_p_value(value), layer.level, how)


_CHECKS: dict[str, Callable[[Any], Measurement]] = {
    "iid_gaussian": _iid_gaussian,
    "exchangeable": _exchangeable,
    "moments": _moments,
    "biunitary": _biunitary,
    "noise_level": noise.noise_level,
    "mp_bulk": noise.mp_bulk,
    "edge": _edge,
    "low_rank": predicates.low_rank,
    "supercritical": predicates.supercritical,
    "gap": predicates.gap,
    "distinct": predicates.distinct,
    "delocalised": predicates.delocalised,
    "signal_norm": predicates.signal_norm,
}
_INPUTS = "It takes the inputs of the layer, which a weight file does not hold."
_OTHERS = "It takes the layers around this one, and data."
_REASONS = {
    "subgaussian_rows": _INPUTS,
    "independent_path": _INPUTS,
    "stationary": "It takes the training objective and its data.",
    "outer_scale": _OTHERS,
    "margin": _OTHERS,
    "lipschitz": "It takes the layers after this one, and how they are joined.",
    "finite_samples": "It takes the number of samples that are spoken of.",
    "activation": "A weight file does not say what is applied after the matrix.",
    "mask": "It speaks of a split by entries; this one is by singular values.",
    "entrywise_signal": "It speaks of the entries of S, and only W is known.",
}
