"""Laws of the spectrum of pure noise: its bulk, its edge, and the level of an estimated edge."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices.counting import count_singular_values
from rmttheory.matrices.edges import fit_edge
from rmttheory.matrices.ensembles import Spiked
from rmttheory.matrices.laws import MarchenkoPastur
from rmttheory.matrices.noise import Noise
from rmttheory.matrices.tracy_widom import TracyWidom, largest_singular_value_quantile
from rmttheory.theorem.claims import METHOD, Cell, Claim, Control, Parameter, drawn_by
from rmttheory.theorem.spiked import GAUSSIAN_LAW, MOMENTS, PROPORTIONAL, check_fits
from rmttheory.theorem.verdicts import Band, Kind

_NOISE = Parameter(name="noise", meaning="law of R", typical="gaussian")


@dataclass(frozen=True, kw_only=True, eq=False)
class NullCase:
    """Singular values of pure noise, descending: all of them or the largest only."""

    values: HostArray
    shape: tuple[int, int]
    noise: Noise
    level: float = math.nan

    def below(self, points: HostArray) -> HostArray:
        """Share of the singular values at or below each point."""
        shares: HostArray = np.searchsorted(self.values[::-1], points, side="right") / len(self.values)
        return shares


@dataclass(frozen=True, kw_only=True, eq=False)
class CountedCase:
    """Pure Gaussian noise whose singular values are counted and never listed."""

    shape: tuple[int, int]
    noise: Noise
    stream: Stream

    def below(self, points: HostArray) -> HostArray:
        """Share of the singular values at or below each point."""
        counts = count_singular_values(self.shape, points, stream=self.stream)[0]
        shares: HostArray = counts / min(self.shape)
        return shares


def _draw(cell: Cell, stream: Stream, *, k: int | None = None) -> NullCase:
    model, method = _model(cell)
    return NullCase(
        values=model.singular_values(stream, k=k, method=method)[0],
        shape=model.shape,
        noise=model.noise,  # type: ignore[arg-type]
        level=cell.get("level", math.nan),
    )


def _draw_bulk(cell: Cell, stream: Stream) -> NullCase | CountedCase:
    model, method = _model(cell)
    if method == "band" and min(model.shape) > _LISTED:
        return CountedCase(shape=model.shape, noise=model.noise, stream=stream)  # type: ignore[arg-type]
    return _draw(cell, stream)


def _model(cell: Cell) -> tuple[Spiked, Any]:
    n, method = cell["n"], drawn_by(cell)
    model = Spiked((n, cell["m"] if "m" in cell else max(2, round(cell["aspect"] * n))), noise=cell["noise"])
    if method == "dense":
        check_fits(model.shape)
    return model, method


_STEPS = 1024
"""Steps of probability from one quantile of the law to the next, where distances are taken."""

_LISTED = 500
"""Values up to which a list, of cost p^2, takes less time than counts at all points, of cost p each."""


def _distance(case: NullCase | CountedCase, *, transposed: bool = False) -> float:
    """Kolmogorov distance from the law, at most ``1 / _STEPS`` below the true one.

    It is taken at quantiles of the law. Between two of them both distribution functions grow by what they
    grow from the one to the other, the law's by ``1 / _STEPS``. The points are the same at every width, so
    that the slope is that of the distance and not of a grid.
    """
    n, m = case.shape
    points, levels = _quantiles_of_bulk(n / m if transposed else m / n)
    return float(np.max(np.abs(case.below(points) - levels)))


@functools.lru_cache(maxsize=64)
def _quantiles_of_bulk(aspect: float) -> tuple[HostArray, HostArray]:
    levels = np.arange(1, _STEPS) / _STEPS
    return MarchenkoPastur(aspect).singular().ppf(levels), levels


def _bulk_cell(law: str = "gaussian", aspect: float = 0.5, *, decades: int = 3) -> Cell:
    widths = tuple(10 ** (i + 2) for i in range(decades)) if law == "gaussian" else (64, 256, 1024)
    return {"aspect": aspect, "noise": law, "n": widths}


MP_BULK = Claim(
    id="mp_bulk",
    kind=Kind.LIMIT,
    statement=r"The empirical distribution of the singular values of $R$ tends to the Marchenko-Pastur law; "
    rf"its Kolmogorov distance, taken at {_STEPS - 1} quantiles of the law, is $O(1/n)$ up to logarithms.",
    source="Marchenko and Pastur (1967); rate: Pillai and Yin, Ann. Appl. Probab. 24 (2014), rigidity",
    hypotheses=(PROPORTIONAL, MOMENTS),
    parameters=(
        Parameter(name="n", meaning="rows of R, a ladder", typical=(64, 256, 1024), low=8, high=10**9),
        Parameter(name="aspect", meaning="c = m / n", typical=0.5, low=1e-3, high=1e3),
        _NOISE,
        METHOD,
    ),
    draw=_draw_bulk,
    on_device=True,
    left=_distance,
    rate=1.0,
    trials=90,  # the slope of the typical ladder then lies 7 standard deviations or more beyond half the rate
    loose_because="A limit has no right side to attain; its controls show that a wrong law is refuted.",
    controls={
        "unequal columns": Control(
            breaks="Columns of R have log-normal variances.",
            changes={"hypotheses": ()},
            cell={"noise": "column-scaled:0.8"},
        ),
        "wrong aspect": Control(
            breaks="c = n / m instead of m / n.",
            changes={"left": functools.partial(_distance, transposed=True)},
        ),
    },
    grids={
        "quick": (_bulk_cell(),),
        "standard": (
            *(_bulk_cell(aspect=c, decades=4) for c in (0.25, 1.0, 4.0)),
            _bulk_cell("rademacher"),
        ),
        "full": tuple(
            _bulk_cell(law, c, decades=4)
            for c in (0.25, 1.0, 4.0)
            for law in ("gaussian", "rademacher", "uniform", "student-t:8")
        ),
    },
)


def _edge_quantile(case: NullCase) -> float:
    return _largest(case.shape, case.level)


@functools.lru_cache(maxsize=256)
def _largest(shape: tuple[int, int], level: float) -> float:
    return largest_singular_value_quantile(1 - level, shape, 1.0)


def _naive_quantile(case: NullCase) -> float:
    return _naive(case.shape, case.level)


@functools.lru_cache(maxsize=256)
def _naive(shape: tuple[int, int], level: float) -> float:
    """The first-order centring: square roots of the dimensions, without Ma's half."""
    a, b = (math.sqrt(size) for size in shape)
    square = (a + b) ** 2 + (a + b) * (1 / a + 1 / b) ** (1 / 3) * float(TracyWidom(1).ppf(1 - level))
    return math.sqrt(square / shape[0])


def _around(level: float, tolerance: float, *, planned: float) -> Band:
    return Band(low=level - tolerance, high=level + tolerance, planned=planned)


# refuted even with more tolerance, which takes fewer trials
_OTHER_NOISE = {
    "hypotheses": (),
    "failure": lambda cell: _around(cell["level"], 0.05, planned=cell["level"]),
}
_HEAVY = Control(
    breaks="Student-t entries with 3 degrees of freedom: single entries reach past the edge.",
    changes=_OTHER_NOISE,
    cell={"noise": "student-t:3", "n": 40, "m": 20},
)

_SHAPE = (
    Parameter(name="n", meaning="rows of R", typical=200, low=4, high=65536),
    Parameter(name="m", meaning="columns of R", typical=50, low=4, high=65536),
)
_LEVEL = Parameter(name="level", meaning="probability of exceeding", typical=0.1, low=0.05, high=0.95)

TW_EDGE = Claim(
    id="tw_edge",
    kind=Kind.TAIL,
    statement=r"The largest singular value of $R$ exceeds the Tracy-Widom quantile of a level, centred and "
    r"scaled to second order, with that probability up to 0.02.",
    source="Ma, Bernoulli 18 (2012); Johnstone, Ann. Statist. 29 (2001)",
    hypotheses=(GAUSSIAN_LAW,),
    parameters=(*(replace(size, high=10**12) for size in _SHAPE), _LEVEL, _NOISE, METHOD),
    draw=functools.partial(_draw, k=1),
    on_device=True,
    left=lambda case: float(case.values[0]),
    right=_edge_quantile,
    failure=lambda cell: _around(cell["level"], 0.02, planned=cell["level"]),
    loose_because="A two-sided statement of a probability: neither side bounds the other.",
    controls={
        "first-order centring": Control(
            breaks="Centred with sqrt(n) and sqrt(m) instead of sqrt(n - 1/2) and sqrt(m - 1/2).",
            changes={"right": _naive_quantile},
            cell={"n": 40, "m": 4},
        ),
        "signs": Control(
            breaks="Independent signs: their edge is the same in the limit, but far from it at this size.",
            changes=_OTHER_NOISE,
            cell={"noise": "rademacher", "n": 40, "m": 20},
        ),
        "heavy tails": _HEAVY,
    },
    grids={
        "quick": ({},),
        "standard": ({}, {"n": 100, "m": 100}, {"n": 50, "m": 200}, {"level": 0.5}),
        "full": tuple(
            {"n": n, "m": m, "level": level}
            for n, m in ((100, 100), (200, 50), (100, 400), (1000, 500))
            for level in (0.1, 0.5)
        ),
    },
)


def _fitted_edge(case: NullCase) -> float:
    return fit_edge(case.values, case.shape, level=case.level).edge


def _published_edge(case: NullCase, *, exponent_slip: bool, index_slip: bool) -> float:
    """BEMA in one pass with slips of published code: ``x ** 4 / 3`` for ``x ** (4 / 3)``, bare ranks."""
    p, n = min(case.shape), max(case.shape)
    quantiles = _quantiles(p, n, 0.0 if index_slip else 0.5)
    window = slice(math.ceil(p / 4), p - math.ceil(p / 4))
    q, eigenvalues = quantiles[window], case.values[::-1][window] ** 2 * (case.shape[0] / n)
    root = 1 + math.sqrt(p / n)
    width = root**4 / 3 if exponent_slip else root ** (4 / 3)
    reach = _standard_quantile(case.level) * n ** (-2 / 3) * (p / n) ** (-1 / 6) * width
    return math.sqrt(float(q @ eigenvalues) / float(q @ q) * (root**2 + reach) * n / case.shape[0])


@functools.lru_cache(maxsize=16)
def _quantiles(p: int, n: int, shift: float) -> HostArray:
    return MarchenkoPastur(p / n).ppf((np.arange(p) + shift) / p)


@functools.lru_cache(maxsize=16)
def _standard_quantile(level: float) -> float:
    return float(TracyWidom(1).ppf(1 - level))


def _blurred(cell: Cell) -> Band:
    """About an eighth of the event's standard deviation either way: 0.036 at level 0.1, 0.06 at 0.5.

    The error of the fitted noise level blurs the event, which draws its probability to the middle: at 100
    values levels 0.1 and 0.9 are really 0.11 and 0.89.
    """
    level = cell["level"]
    return _around(level, 0.12 * math.sqrt(level * (1 - level)), planned=level + 0.025 * (0.5 - level))


BEMA_LEVEL = Claim(
    id="bema_level",
    kind=Kind.TAIL,
    statement=r"Pure noise of any unknown strength exceeds the edge that is fitted to its own spectrum at "
    r"level $\beta$ with that probability, up to $0.12 \sqrt{\beta(1 - \beta)}$.",
    source="Ke, Ma and Lin, J. Amer. Statist. Assoc. 118 (2023); the tolerance at finite size is ours",
    hypotheses=(GAUSSIAN_LAW,),
    parameters=(*(replace(size, typical=100) for size in _SHAPE), _LEVEL, _NOISE, METHOD),
    draw=_draw,
    on_device=True,
    left=lambda case: float(case.values[0]),
    right=_fitted_edge,
    failure=_blurred,
    loose_because="A two-sided statement of a probability: neither side bounds the other.",
    controls={
        "exponent slip": Control(
            breaks="(1 + sqrt(gamma)) ** 4 / 3 instead of ** (4 / 3), as in published code.",
            changes={"right": functools.partial(_published_edge, exponent_slip=True, index_slip=False)},
            cell={"level": 0.5},
        ),
        "index slip": Control(
            breaks="Quantiles are taken at (k - 1) / p instead of (k - 1/2) / p, as in published code.",
            changes={"right": functools.partial(_published_edge, exponent_slip=False, index_slip=True)},
            cell={"level": 0.5},
        ),
        "both slips": Control(
            breaks="Both slips of published code at once, far out in the tail.",
            changes={"right": functools.partial(_published_edge, exponent_slip=True, index_slip=True)},
            cell={"level": 0.9},
        ),
        "heavy tails": _HEAVY,
    },
    grids={
        "quick": ({}, {"level": 0.5}),
        "standard": ({"level": 0.1}, {"level": 0.5}, {"level": 0.9}, {"m": 300}),
        "full": tuple(
            {"n": n, "m": m, "level": level}
            for n, m in ((100, 100), (300, 100), (100, 300), (300, 300))
            for level in (0.1, 0.5, 0.9)
        ),
    },
)

CLAIMS = (MP_BULK, TW_EDGE, BEMA_LEVEL)
