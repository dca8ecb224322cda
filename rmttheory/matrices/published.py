"""What the published code of both papers computed, and the example that its figures show.

Facts about formulas, found by reading the public repositories and checked against closed forms. They are here
so that figures of the papers can be recomputed as they were and as they should be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import HostArray
from rmttheory.matrices.laws import MarchenkoPastur
from rmttheory.matrices.tracy_widom import TracyWidom


def example_signal(n: int) -> HostArray:
    """Return ``S_ij = tan(pi/2 + 1/(j+1)) + cos(i) log(i+j+1) + sin(j) cos(i/j)``, ``n x n``, indices from 1.

    From index 0, where the paper starts, the last term is not defined.

    Notes
    -----
    Source: arXiv:2503.01922, example of the spectrum of ``R + S``, whose noise has entries of variance 1.
    """
    i, j = np.arange(1.0, n + 1)[:, None], np.arange(1.0, n + 1)[None, :]
    S: HostArray = (
        np.tan(math.pi / 2 + 1 / (j + 1)) + np.cos(i) * np.log(i + j + 1) + np.sin(j) * np.cos(i / j)
    )
    return S


@dataclass(frozen=True, kw_only=True)
class PublishedFit:
    """A bulk as the published code fits it, on the scale of squared singular values over the larger side.

    Attributes
    ----------
    variance : float
        Of the entries.
    edge : float
        Values above it are kept.
    misfit : float
        Largest difference between the fitted distribution function and the empirical one in the window.
    """

    variance: float
    edge: float
    misfit: float


def published_fit(
    values: HostArray,
    aspect: float,
    *,
    alpha: float = 0.25,
    level: float = 0.1,
    index_slip: bool = True,
    exponent_slip: bool = True,
    distribution_slip: bool = True,
) -> PublishedFit:
    """Fit a bulk as the published code does, each of its three slips on its own.

    Without slips this is BEMA as its authors state it; `fit_edge` also allows for the spikes and the size.

    Parameters
    ----------
    values : ndarray, shape (p,)
        All squared singular values over the larger side of the matrix, ascending.
    aspect : float
        Smaller side over larger side.
    alpha : float
        The window leaves out this share of the values at either end.
    level : float
        Probability that noise alone shows a spike, were there no slips.
    index_slip : bool
        The ``k``-th value is compared with the quantile at ``(k - 1) / p`` instead of ``(k - 1/2) / p``.
    exponent_slip : bool
        The width of the edge is ``(1 + sqrt(aspect))**4 / 3``, where ``(...)**(4/3)`` is meant.
    distribution_slip : bool
        The distribution function is 0 beyond the edge, where it is 1.
    """
    p, law = len(values), MarchenkoPastur(aspect)
    window = slice(int(alpha * p), int((1 - alpha) * p))
    ranks = np.arange(p) + (0.0 if index_slip else 0.5)
    quantiles = law.ppf(ranks / p)[window]
    variance = float(quantiles @ values[window] / (quantiles @ quantiles))
    root = 1 + math.sqrt(aspect)
    width = (
        (root**4 / 3 if exponent_slip else root ** (4 / 3)) * (p / aspect) ** (-2 / 3) * aspect ** (-1 / 6)
    )
    if variance == 0:
        return PublishedFit(variance=0.0, edge=0.0, misfit=1.0)
    inside = values[window] / variance
    cdf = law.cdf(inside)
    if distribution_slip:
        cdf = np.where(inside >= root**2, 0.0, cdf)
    empirical = ranks[window] / p
    if index_slip:  # the published code spreads the ranks over the window, which ends between two of them
        empirical = alpha + (1 - 2 * alpha) * np.arange(len(inside)) / len(inside)
    return PublishedFit(
        variance=variance,
        edge=variance * max(0.0, root**2 + float(TracyWidom(1).ppf(1 - level)) * width),
        misfit=float(np.max(np.abs(cdf - empirical))),
    )
