"""Spiked ensembles as cases, and the hypotheses of limit theorems measured there."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import Array, HostArray, InvalidInput, RmtError, Stream, namespace, to_host
from rmttheory.matrices.edge_sampling import EdgeSample, sample_edge
from rmttheory.matrices.ensembles import Draw, Spiked
from rmttheory.matrices.noise import (
    ColumnScaled,
    Gaussian,
    HaarRotated,
    Noise,
    RowScaled,
    StudentT,
)
from rmttheory.matrices.spikes import spike_threshold
from rmttheory.networks.pruning import remove_bulk
from rmttheory.theorem.claims import WIDEST_DENSE, drawn_by
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_least

LEAST_SIDE = 4
"""Rounding ``m = c n`` to a whole number of columns then moves ``c`` by an eighth at most."""

_BEYOND = 4
"""Values of noise, beyond those of the spikes, that may exceed the edge at once: one does so with probability
0.15, a second as well with 0.001, and each further one is rarer by a larger factor (levels repel)."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ensemble:
    model: Spiked

    @property
    def noise(self) -> Noise:
        """The law of ``R``."""
        return self.model.noise  # type: ignore[return-value]

    @property
    def shape(self) -> tuple[int, int]:
        """``(n, m)``."""
        return self.model.shape

    @property
    def theta(self) -> HostArray:
        """Strengths of the spikes, descending."""
        return np.asarray(self.model.spikes)


@dataclass(frozen=True, kw_only=True, eq=False)
class SpikedCase(_Ensemble):
    """Independent layers of one spiked ensemble, drawn in full; together they are one trial.

    What claims ask of a case, here and in `BandCase`, has one row for each layer and one column for each
    spike: the leading ``values`` of ``W``; ``left`` and ``right``, the squared overlaps of their vectors with
    those of the spike of the same rank; and ``removed``, what truncation at the edge takes of ``u^T W v``.
    """

    draws: tuple[Draw, ...]

    @property
    def values(self) -> HostArray:
        """Leading singular values of ``W``."""
        return np.stack([to_host(s) for _, s, _ in self._leading])

    @property
    def left(self) -> HostArray:
        """Squared overlaps on the output side."""
        return np.stack([_products(d.U, U) ** 2 for d, (U, _, _) in zip(self.draws, self._leading)])

    @property
    def right(self) -> HostArray:
        """Squared overlaps on the input side."""
        return np.stack([_products(d.V, V) ** 2 for d, (_, _, V) in zip(self.draws, self._leading)])

    @property
    def removed(self) -> HostArray:
        """``u^T (W - W') v`` of each spike, ``W'`` the truncation of ``W`` at the edge of the bulk."""
        splits = ((d, remove_bulk(d.W, edge=self.model.edge)) for d in self.draws)
        return np.stack([_products(d.U, split.removed @ d.V) for d, split in splits])

    @functools.cached_property
    def _leading(self) -> list[tuple[Array, Array, Array]]:
        return [leading_triples(draw.W, len(draw.theta)) for draw in self.draws]


@dataclass(frozen=True, kw_only=True, eq=False)
class BandCase(_Ensemble):
    """The same without the layers: Gaussian noise of any width; see `SpikedCase`."""

    edge: EdgeSample

    @property
    def values(self) -> HostArray:
        """Leading singular values of ``W``."""
        return self.edge.values[:, : len(self.theta)]

    @property
    def left(self) -> HostArray:
        """Squared overlaps on the output side."""
        return np.diagonal(self.edge.left, axis1=1, axis2=2)

    @property
    def right(self) -> HostArray:
        """Squared overlaps on the input side."""
        return np.diagonal(self.edge.right, axis1=1, axis2=2)

    @property
    def removed(self) -> HostArray:
        """``u^T (W - W') v`` of each spike, ``W'`` the truncation of ``W`` at the edge of the bulk.

        Raises
        ------
        RmtError
            If more values exceed the edge than were drawn.
        """
        s = self.edge.values
        if s.shape[1] < min(self.shape) and np.any(s[:, -1] > self.model.edge):
            msg = f"All {s.shape[1]} leading values exceed the edge: more are needed to truncate there."
            raise RmtError(msg)
        kept = np.where(s > self.model.edge, s, 0.0)
        removed: HostArray = self.edge.path - np.sum(kept[:, None, :] * self.edge.coupling, axis=2)
        return removed


def leading_triples(W: Array, k: int) -> tuple[Array, Array, Array]:
    """Return the ``k`` leading singular values and vectors, as columns, through the smaller Gram matrix.

    An outlier is separated from the rest, so squaring costs no digit that matters here.
    """
    n, m = W.shape
    if n < m:
        V, s, U = leading_triples(W.T, k)
        return U, s, V
    xp, gram = namespace(W), W.T @ W
    if isinstance(W, np.ndarray):
        from scipy.linalg import eigh  # NumPy's has no way to leave out the rest

        squares, V = eigh(gram, subset_by_index=[m - k, m - 1])
    else:
        squares, V = xp.linalg.eigh(gram)
    s, V = xp.sqrt(xp.flip(squares[-k:])), xp.flip(V[:, -k:], axis=1)
    return W @ V / s, s, V


def _products(a: Array, b: Array) -> HostArray:
    """Inner products of columns."""
    return to_host(namespace(a).sum(a * b, axis=0))


def draw_spiked(cell: Any, stream: Stream, *, draws: int, truncated: bool = False) -> SpikedCase | BandCase:
    """Draw layers with two Haar spikes, ``strength`` and ``1.3 strength`` times the threshold.

    Without the layers unless the cell asks for them; ``truncated`` says that `BandCase.removed` is wanted.
    """
    n, aspect = cell["n"], cell["aspect"]
    shape = (n, max(2, round(aspect * n)))
    weaker = cell["strength"] * spike_threshold(shape[1] / n, cell["g"])
    model = Spiked(shape, spikes=(1.3 * weaker, weaker), noise=cell["noise"], g=cell["g"])
    if drawn_by(cell) == "band":
        k = min(2 + _BEYOND * truncated, min(shape))
        edge = sample_edge(shape, model.spikes, k=k, g=model.g, trials=draws, stream=stream)
        return BandCase(model=model, edge=edge)
    check_fits(shape)
    return SpikedCase(model=model, draws=tuple(model.sample(stream.child("draw", i)) for i in range(draws)))


def check_fits(shape: tuple[int, int]) -> None:
    """Check that a layer of this shape can be drawn in full.

    Raises
    ------
    InvalidInput
        If it has more entries than a square layer of width `WIDEST_DENSE`.
    """
    n, m = shape
    if n * m > WIDEST_DENSE**2:
        msg = f"A layer of {n} x {m} takes {n * m / 2**27:.3g} GiB in full, and 2 are allowed."
        raise InvalidInput(msg)


def _proportional(case: Any) -> Measurement:
    return at_least(float(min(case.shape)), LEAST_SIDE, "rows or columns, whichever are fewer")


def _supercritical(case: SpikedCase | BandCase) -> Measurement:
    model = case.model
    return at_least(
        min(model.spikes) / model.threshold - 1,
        model.shape[0] ** (-1 / 3),
        "theta / (sqrt(g) c^(1/4)) - 1, weakest spike, against the critical window n^(-1/3)",
    )


def _subcritical(case: SpikedCase | BandCase) -> Measurement:
    model = case.model
    return at_least(
        1 - max(model.spikes) / model.threshold,
        model.shape[0] ** (-1 / 3),
        "1 - theta / (sqrt(g) c^(1/4)), strongest spike, against the critical window n^(-1/3)",
    )


def _noncritical(case: SpikedCase | BandCase) -> Measurement:
    return max(_supercritical(case), _subcritical(case), key=lambda found: found.margin)


def _distinct(case: SpikedCase | BandCase) -> Measurement:
    model = case.model
    gaps = [a - b for a, b in zip(model.spikes, model.spikes[1:])]
    return at_least(
        min(gaps, default=math.inf) / math.sqrt(model.g),
        model.shape[0] ** -0.5,
        "smallest difference of strengths over sqrt(g), against the fluctuations n^(-1/2)",
    )


def _delocalised(case: Any) -> Measurement:
    if isinstance(case.noise, (Gaussian, HaarRotated)):
        return at_least(math.inf, 0.0, "the noise is rotation invariant: all directions are alike")
    frames = [to_host(frame) for draw in case.draws for frame in (draw.U, draw.V)]
    worst = max(
        float(np.max(np.abs(f), initial=0.0)) * math.sqrt(len(f) / (2 * math.log(2 * len(f)))) for f in frames
    )
    return at_least(-worst, -3.0, "minus sqrt(n / (2 log 2n)) |u|_inf, largest over singular vectors of S")


def _moments(case: Any) -> Measurement:
    finite = {StudentT: getattr(case.noise, "df", 0.0), RowScaled: 0.0, ColumnScaled: 0.0, HaarRotated: 0.0}
    return at_least(
        finite.get(type(case.noise), math.inf),
        math.nextafter(4.0, 5.0),
        "order below which moments are finite, by construction; 0 if entries are not iid",
    )


def _gaussian_law(case: Any) -> Measurement:
    return at_least(
        float(isinstance(case.noise, Gaussian)),
        1.0,
        "by construction: the law that the entries are drawn from",
    )


def _moments_or_rotations(case: Any) -> Measurement:
    if isinstance(case.noise, HaarRotated):
        return at_least(math.inf, 0.0, "rotation invariant by construction")
    return _moments(case)


PROPORTIONAL = Hypothesis(
    id="proportional",
    statement="Rows and columns grow in proportion, and there are four of each or more.",
    check=_proportional,
)
SUPERCRITICAL = Hypothesis(
    id="supercritical",
    statement="Every spike exceeds sqrt(g) c^(1/4) by more than the critical window.",
    check=_supercritical,
)
SUBCRITICAL = Hypothesis(
    id="subcritical",
    statement="Every spike stays below sqrt(g) c^(1/4) by more than the critical window.",
    check=_subcritical,
)
NONCRITICAL = Hypothesis(
    id="noncritical",
    statement="All spikes lie on one side of sqrt(g) c^(1/4), outside the critical window.",
    check=_noncritical,
)
DISTINCT = Hypothesis(
    id="distinct",
    statement="The strengths of the spikes differ by more than they fluctuate.",
    check=_distinct,
)
DELOCALISED = Hypothesis(
    id="delocalised",
    statement="The noise is rotation invariant, or singular vectors of S are spread over all coordinates.",
    check=_delocalised,
)
MOMENTS = Hypothesis(
    id="moments", statement="Entries of R are iid with a finite fourth moment.", check=_moments
)
MOMENTS_OR_ROTATIONS = Hypothesis(
    id="moments",
    statement="Entries of R are iid with a finite fourth moment, or R is rotation invariant.",
    check=_moments_or_rotations,
)
GAUSSIAN_LAW = Hypothesis(
    id="iid_gaussian", statement="Entries of R are iid normal, by construction.", check=_gaussian_law
)
