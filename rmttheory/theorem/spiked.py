"""Spiked ensembles as cases, and the hypotheses of limit theorems measured there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import Stream
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
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_least

LEAST_SIDE = 4
"""Rounding ``m = c n`` to a whole number of columns then moves ``c`` by an eighth at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SpikedCase:
    """Independent draws of one spiked ensemble; together they are one trial."""

    model: Spiked
    draws: tuple[Draw, ...]

    @property
    def noise(self) -> Noise:
        """The law of ``R``."""
        return self.model.noise  # type: ignore[return-value]

    @property
    def shape(self) -> tuple[int, int]:
        """``(n, m)``."""
        return self.model.shape


def draw_spiked(cell: Any, stream: Stream, *, draws: int) -> SpikedCase:
    """Draw layers with two Haar spikes, ``strength`` and ``1.3 strength`` times the threshold."""
    n, aspect = cell["n"], cell["aspect"]
    shape = (n, max(2, round(aspect * n)))
    weaker = cell["strength"] * spike_threshold(shape[1] / n, cell["g"])
    model = Spiked(shape, spikes=(1.3 * weaker, weaker), noise=cell["noise"], g=cell["g"])
    return SpikedCase(model=model, draws=tuple(model.sample(stream.child("draw", i)) for i in range(draws)))


def _proportional(case: Any) -> Measurement:
    return at_least(float(min(case.shape)), LEAST_SIDE, "rows or columns, whichever are fewer")


def _supercritical(case: SpikedCase) -> Measurement:
    model = case.model
    return at_least(
        min(model.spikes) / model.threshold - 1,
        model.shape[0] ** (-1 / 3),
        "theta / (sqrt(g) c^(1/4)) - 1, weakest spike, against the critical window n^(-1/3)",
    )


def _subcritical(case: SpikedCase) -> Measurement:
    model = case.model
    return at_least(
        1 - max(model.spikes) / model.threshold,
        model.shape[0] ** (-1 / 3),
        "1 - theta / (sqrt(g) c^(1/4)), strongest spike, against the critical window n^(-1/3)",
    )


def _noncritical(case: SpikedCase) -> Measurement:
    return max(_supercritical(case), _subcritical(case), key=lambda found: found.margin)


def _distinct(case: SpikedCase) -> Measurement:
    model = case.model
    gaps = [a - b for a, b in zip(model.spikes, model.spikes[1:])]
    return at_least(
        min(gaps, default=math.inf) / math.sqrt(model.g),
        model.shape[0] ** -0.5,
        "smallest difference of strengths over sqrt(g), against the fluctuations n^(-1/2)",
    )


def _delocalised(case: SpikedCase) -> Measurement:
    if isinstance(case.noise, (Gaussian, HaarRotated)):
        return at_least(math.inf, 0.0, "the noise is rotation invariant: all directions are alike")
    frames = [frame for draw in case.draws for frame in (draw.U, draw.V)]
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


def _moments_or_rotations(case: SpikedCase) -> Measurement:
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
