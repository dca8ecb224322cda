"""Ways to split a layer, ``W = kept + removed``.

Four operations that must not be confused: *oracle* removal keeps the known signal (what the theorems speak
of); *truncation* keeps the singular values above the bulk edge (what the algorithm does); *shrinkage* also
corrects them for the noise; a *mask* keeps single entries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmttheory.arrays import (
    Array,
    check_count,
    check_interval,
    check_matrix,
    like,
    namespace,
    scalar,
    to_host,
)
from rmttheory.matrices.edges import EdgeEstimate, fit_edge
from rmttheory.matrices.ensembles import Draw
from rmttheory.matrices.spikes import bulk_edge, shrink

Method = Literal["bema", "bema-gamma", "fit", "median"]
"""How `fit_edge` may fit."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """A layer as ``W = kept + removed``, both where ``W`` lives and in its dtype.

    Attributes
    ----------
    kept, removed : array, shape (n, m)
    method : {"oracle", "truncation", "shrinkage", "mask", "triplets", "projection"}
    rank : int or None
        Rank of ``kept``; None for a mask.
    edge : float or None
        Singular values above it were kept.
    estimate : EdgeEstimate or None
        Where the edge came from, if it was fitted.
    parameters : int
        Numbers that store ``kept``: its entries, two factors of rank ``rank`` if these are fewer, or the
        nonzero entries of a mask.
    """

    kept: Array
    removed: Array
    method: Literal["oracle", "truncation", "shrinkage", "mask", "triplets", "projection"]
    rank: int | None
    edge: float | None
    estimate: EdgeEstimate | None = None
    parameters: int

    @property
    def cross(self) -> float:
        """``<kept, removed>_F``: 0 up to rounding for truncation and exactly 0 for a mask."""
        return scalar(namespace(self.kept).sum(self.kept * self.removed))


def remove_bulk(
    W: Array, edge: float | None = None, *, method: Method = "bema", level: float = 0.1, at_least: int = 0
) -> Split:
    """Keep the singular values of ``W`` above the edge of its bulk, and their singular vectors.

    Parameters
    ----------
    W : array, shape (n, m)
    edge : float, optional
        On the scale of the singular values of ``W``; fitted by `fit_edge` if omitted.
    method, level : str, float
        How `fit_edge` fits, and with what false-positive level.
    at_least : int
        Keep so many singular values even if they lie below the edge. A last layer of rank below its number of
        classes cannot give every class a logit of its own.

    Returns
    -------
    Split

    Raises
    ------
    InvalidInput
        If ``W`` is not a finite matrix, the edge is negative, or none can be fitted.

    Notes
    -----
    This is not oracle removal: a kept spike ``theta`` loses ``c g^2 / theta^3`` along its own data path.
    """
    check_count(at_least, "at_least", low=0)
    U, s, V = decompose(W)
    estimate = None
    if edge is None:
        estimate = fit_edge(s, W.shape, method=method, level=level)
        edge = estimate.edge
    check_interval(edge, "edge", low=0, closed="low")
    rank = max(int(np.sum(to_host(s) > edge)), min(at_least, s.shape[0]))
    return _split(W, U, s, V, rank=rank, method="truncation", edge=edge, estimate=estimate)


def shrink_bulk(
    W: Array,
    edge: float | None = None,
    *,
    loss: Literal["frobenius", "operator", "nuclear"] = "frobenius",
    method: Method = "bema",
) -> Split:
    """Shrink the singular values of ``W`` to estimate its signal best in a given norm; the bulk goes to 0.

    Best for denoising, not for keeping what the network computes: a shrunken spike acts more weakly on its
    own data path than a truncated one.

    Parameters
    ----------
    W : array, shape (n, m)
    edge : float, optional
        Asymptotic bulk edge ``sqrt(g) (1 + sqrt c)``, ``c = m / n``; fitted by `fit_edge` if omitted.
    loss : {"frobenius", "operator", "nuclear"}
        Norm of ``kept - S`` whose limit is least (Gavish and Donoho 2017; Leeb 2022 for the operator norm).
    method : str
        How `fit_edge` fits.

    Returns
    -------
    Split

    Raises
    ------
    InvalidInput
        If ``W`` is not a finite matrix, the edge is not positive, or none can be fitted.
    """
    U, s, V = decompose(W)
    c = W.shape[1] / W.shape[0]
    estimate = None
    if edge is None:
        estimate = fit_edge(s, W.shape, method=method)
        edge = estimate.bulk_edge
    g = (check_interval(edge, "edge", low=0) / bulk_edge(c)) ** 2
    shrunk = shrink(to_host(s), c, g, loss=loss)
    rank = int(np.sum(shrunk > 0))
    return _split(W, U, like(shrunk, s), V, rank=rank, method="shrinkage", edge=edge, estimate=estimate)


def keep_largest(W: Array, fraction: float) -> Split:
    """Keep the entries of largest magnitude; ``kept`` and ``removed`` have disjoint supports.

    Parameters
    ----------
    W : array, shape (n, m)
    fraction : float
        Share of the ``n m`` entries to keep, in [0, 1], rounded to a whole number of them; of equal entries
        the first in row order stay.

    Raises
    ------
    InvalidInput
        If ``W`` is not a finite matrix or the fraction is outside [0, 1].
    """
    check_matrix(W, "W")
    check_interval(fraction, "fraction", low=0, high=1, closed="both")
    xp = namespace(W)
    count = round(fraction * W.shape[0] * W.shape[1])
    order = xp.argsort(xp.reshape(xp.abs(W), (-1,)), descending=True)
    mask = xp.reshape(xp.argsort(order) < count, W.shape)
    zeros = xp.zeros_like(W)
    return Split(
        kept=xp.where(mask, W, zeros),
        removed=xp.where(mask, zeros, W),
        method="mask",
        rank=None,
        edge=None,
        parameters=count,
    )


def oracle(draw: Draw) -> Split:
    """Split a draw ``W = S + R`` of a spiked ensemble into its signal and its noise."""
    rank = len(draw.theta)
    return Split(
        kept=draw.S,
        removed=draw.R,
        method="oracle",
        rank=rank,
        edge=None,
        parameters=_factored(draw.S.shape, rank),
    )


def decompose(W: Array) -> tuple[Array, Array, Array]:
    """Return ``U, s, V`` with ``W = U diag(s) V``, the values in descending order."""
    check_matrix(W, "W")
    U, s, V = namespace(W).linalg.svd(W, full_matrices=False)
    return U, s, V


def low_rank(U: Array, s: Array, V: Array, rank: int) -> Array:
    """Return what the first ``rank`` singular triplets make up."""
    product: Array = (U[:, :rank] * s[None, :rank]) @ V[:rank, :]
    return product


def _split(
    W: Array,
    U: Array,
    s: Array,
    V: Array,
    *,
    rank: int,
    method: Literal["truncation", "shrinkage"],
    edge: float,
    estimate: EdgeEstimate | None,
) -> Split:
    kept = low_rank(U, s, V, rank)
    return Split(
        kept=kept,
        removed=W - kept,
        method=method,
        rank=rank,
        edge=edge,
        estimate=estimate,
        parameters=_factored(W.shape, rank),
    )


def _factored(shape: tuple[int, int], rank: int) -> int:
    n, m = shape
    return min(n * m, rank * (n + m))
