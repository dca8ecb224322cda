"""Estimators of spikes and of the quality of a fit: consistent, calibrated, and best where they say so."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from rmttheory.arrays import Array, HostArray, Stream, namespace, to_host
from rmttheory.matrices.edges import EdgeEstimate, fit_edge
from rmttheory.matrices.ensembles import Spiked
from rmttheory.matrices.spikes import (
    bulk_edge,
    d_transform,
    hard_threshold,
    outlier,
    overlaps,
    shrink,
    spike_threshold,
)
from rmttheory.theorem.claims import Cell, Claim, Control, Parameter
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_least
from rmttheory.theorem.removals import EPS
from rmttheory.theorem.verdicts import Band, Kind

_LOOSE = "A limit has no right side to attain; its controls show that a wrong constant is refuted."


@dataclass(frozen=True, kw_only=True, eq=False)
class SpectrumCase:
    """All singular values of several layers with spikes, descending, one a row; the top of their noise."""

    values: HostArray
    noise: HostArray
    theta: HostArray
    shape: tuple[int, int]
    g: float


def _draw_spectra(cell: Cell, stream: Stream) -> SpectrumCase:
    """Four layers with spikes of 1.3 and 1 times ``strength`` thresholds of the noise."""
    n, g = cell["n"], cell["g"]
    shape = (n, max(4, round(cell["aspect"] * n)))
    weaker = cell["strength"] * spike_threshold(shape[1] / n, g)
    model = Spiked(shape, (1.3 * weaker, weaker), noise=cell["noise"], g=g)
    draws = [model.sample(stream.child("draw", i)) for i in range(4)]
    values = np.stack([_values(draw.W) for draw in draws])
    noise = np.array([_values(draw.R)[0] for draw in draws])
    return SpectrumCase(values=values, noise=noise, theta=np.asarray(model.spikes), shape=shape, g=g)


def _values(W: Array) -> HostArray:
    return to_host(namespace(W).linalg.svdvals(W))


def _separated(case: SpectrumCase) -> Measurement:
    ratio = float(np.min(case.values[:, 1] / case.noise))
    how = "Weaker outlier over the largest singular value of the noise alone, against the critical window."
    return at_least(ratio, 1 + 0.25 * min(case.shape) ** (-1 / 3), how)


def empirical_d_transform(z: float, bulk: HostArray, shape: tuple[int, int]) -> float:
    """D-transform at ``z`` of a bulk that is known by its singular values only.

    Parameters
    ----------
    z : float
        Above all of ``bulk``.
    bulk : ndarray, shape (p - r,)
        Singular values without those of spikes.
    shape : tuple of int
        ``(n, m)`` of the layer.

    Notes
    -----
    Source: F. Benaych-Georges and R. R. Nadakuditi (2012); as an estimator, R. R. Nadakuditi, "OptShrink",
    IEEE Trans. Inf. Theory 60 (2014).
    """
    n, m = shape

    def mean(size: int) -> float:  # over all singular values on a side of that size, zeros included
        total = float(np.sum(z / (z * z - bulk**2))) + (size - len(bulk)) / z
        return total / size

    return mean(m) * mean(n)


def _inverse_error(case: SpectrumCase, *, beyond: int = 2, law: bool = False) -> float:
    """Root mean square error of the strengths that the D-transform of the bulk gives back."""
    c, errors = case.shape[1] / case.shape[0], []
    for values in case.values:
        bulk = values[beyond:]
        for z, theta in zip(values[:2], case.theta):
            if law:
                found = 1 / d_transform(float(z), c, case.g) if z > bulk_edge(c, case.g) else 0.0
            else:
                with np.errstate(divide="ignore"):
                    found = 1 / empirical_d_transform(float(z), bulk, case.shape)
            errors.append(math.sqrt(max(found, 0.0)) - theta)
    return math.sqrt(float(np.mean(np.square(errors))))


INVERSE_D = Claim(
    id="inverse_D",
    kind=Kind.LIMIT,
    statement=r"For noise with any bulk, $\hat\theta = D_n(s)^{-1/2}$, $D_n$ being the D-transform of the "
    r"empirical bulk without the outliers, tends to the strength $\theta$ of a supercritical spike, with "
    r"error $O(n^{-1/2})$.",
    source="Benaych-Georges and Nadakuditi, J. Multivariate Anal. 111 (2012); Nadakuditi (2014)",
    hypotheses=(Hypothesis(id="separated", statement="Spikes stand out of their noise.", check=_separated),),
    parameters=(
        Parameter(name="n", meaning="rows of W, a ladder", typical=(32, 64, 128, 256), low=8, high=4096),
        Parameter(name="aspect", meaning="c = m / n", typical=0.5, low=0.01, high=100.0),
        Parameter(
            name="strength", meaning="weaker spike over the threshold", typical=3.0, low=1.2, high=100.0
        ),
        Parameter(name="g", meaning="n times the variance of entries of R", typical=1.0, low=1e-6, high=1e6),
        Parameter(name="noise", meaning="law of R", typical="row-scaled:0.4"),
    ),
    draw=_draw_spectra,
    on_device=True,
    left=_inverse_error,
    trials=320,
    loose_because=_LOOSE,
    controls={
        "spike included": Control(
            breaks="The bulk still holds the outlier itself, where the transform has its pole.",
            changes={"left": functools.partial(_inverse_error, beyond=0)},
        ),
        "other bulk": Control(
            breaks="The D-transform of the Marchenko-Pastur law serves a bulk of unequal variances.",
            changes={"left": functools.partial(_inverse_error, law=True), "hypotheses": ()},
            cell={"noise": "row-scaled:2", "strength": 2.0},
        ),
    },
    grids={
        "quick": ({},),
        "standard": ({}, {"noise": "haar"}, {"aspect": 2.0}, {"noise": "column-scaled:0.4"}),
        "full": tuple(
            {"noise": law, "aspect": c} for law in ("gaussian", "haar", "row-scaled:0.4") for c in (0.25, 4)
        ),
    },
)


def _draw_fit(cell: Cell, stream: Stream) -> EdgeEstimate:
    model = Spiked((cell["n"], cell["m"]), noise=cell["noise"])
    return fit_edge(model.singular_values(stream)[0], model.shape)


def _published_cutoff(fit: EdgeEstimate, *, cutoff: float) -> float:
    """1 if the fit is worse than a fixed cutoff, in place of a small p-value."""
    return float(fit.misfit > cutoff)


GOF_NULL = Claim(
    id="gof_null",
    kind=Kind.TAIL,
    statement=r"The largest difference between the empirical and the fitted law over the window, ranked "
    r"among nulls that were fitted in the same way, has a uniform p-value: $P(p \le u) = u$ up to 0.04 at "
    r"$u = 0.1$.",
    source="Derived here; the tolerance is three standard deviations of a null of 499",
    parameters=(
        Parameter(name="n", meaning="rows of R", typical=100, low=16, high=4096),
        Parameter(name="m", meaning="columns of R", typical=50, low=16, high=4096),
        Parameter(name="noise", meaning="law of R", typical="gaussian"),
    ),
    draw=_draw_fit,
    on_device=True,
    left=lambda fit: float(fit.p_value <= 0.1),
    right=lambda fit: 0.0,  # noqa: ARG005
    trivial=lambda fit: 1.0,  # noqa: ARG005
    failure=lambda cell: Band(low=0.06, high=0.14, planned=0.1),  # noqa: ARG005
    loose_because="A two-sided statement of a probability: neither side bounds the other.",
    controls={
        "unequal columns": Control(
            breaks="Columns have log-normal variances: the bulk is not one Marchenko-Pastur law.",
            cell={"noise": "column-scaled:0.8"},
        ),
        "published cutoff": Control(
            breaks="A fit is called bad beyond a fixed difference of 0.05, as in published code.",
            changes={"left": functools.partial(_published_cutoff, cutoff=0.05)},
        ),
        "Kolmogorov table": Control(
            breaks="A fit is called bad beyond 1.22 / sqrt(p), the 10 % point for independent values.",
            changes={"left": functools.partial(_published_cutoff, cutoff=1.22 / math.sqrt(50))},
        ),
    },
    grids={
        "quick": ({},),
        "standard": ({}, {"m": 100}),
        "full": tuple({"n": n, "m": m} for n, m in ((100, 100), (100, 300), (300, 100))),
    },
)


@dataclass(frozen=True, kw_only=True)
class LimitCase:
    """A spike of strength ``theta`` in a layer of aspect ratio ``c`` and noise level 1, in the limit."""

    c: float
    theta: float

    @property
    def y(self) -> float:
        """Where its outlier is."""
        return float(outlier(self.theta, self.c))

    def error(self, eta: float, loss: str) -> float:
        """Norm of ``theta u v^T - eta u_hat v_hat^T``, whose planes on both sides the overlaps give."""
        left, right = overlaps(self.theta, self.c)
        u, v = ([math.sqrt(overlap), math.sqrt(1 - overlap)] for overlap in (left, right))
        A = np.outer([self.theta, 0.0], [1.0, 0.0]) - eta * np.outer(u, v)
        a, b = np.linalg.svd(A, compute_uv=False)
        return float({"frobenius": math.hypot(a, b), "operator": a, "nuclear": a + b}[loss])

    def least_error(self, loss: str) -> float:
        """The least of it over all ``eta``, found without a formula: it is convex in ``eta``."""
        low, high = 0.0, 2 * self.y
        ratio = (math.sqrt(5) - 1) / 2
        for _ in range(80):
            a, b = high - ratio * (high - low), low + ratio * (high - low)
            if self.error(a, loss) < self.error(b, loss):
                high = b
            else:
                low = a
        return self.error((low + high) / 2, loss)


def _draw_limit(cell: Cell, stream: Stream) -> LimitCase:
    """Any aspect ratio up to ``aspect`` or down to its inverse, and a spike from the threshold on."""
    rng = stream.generator()
    c = float(np.exp(rng.uniform(-1, 1) * math.log(cell["aspect"])))
    excess = 1 + 10 ** rng.uniform(-2, 0.7)
    return LimitCase(c=c, theta=float(excess * spike_threshold(c)))


def _cost_of_rule(case: LimitCase, *, threshold: float | None = None, edge: bool = False) -> float:
    """Squared Frobenius error of keeping the outlier if it exceeds a threshold, and dropping it otherwise."""
    cut = bulk_edge(case.c) if edge else hard_threshold(case.c) if threshold is None else threshold
    return case.error(case.y if case.y > cut else 0.0, "frobenius") ** 2


def _least_cost(case: LimitCase) -> float:
    return min(case.error(case.y, "frobenius"), case.error(0.0, "frobenius")) ** 2


_ASPECT = (Parameter(name="aspect", meaning="largest of c and 1 / c", typical=10.0, low=1.0, high=1e3),)

HARD_THRESHOLD_OPTIMAL = Claim(
    id="hard_threshold_optimal",
    kind=Kind.EXACT,
    statement=r"Keeping the singular values above $\sqrt g\,\tau(c)$, $\tau^2 = 2(c + 1) + 8c/(c + 1 + "
    r"\sqrt{c^2 + 14c + 1})$, has the least asymptotic error $|\hat S - S|_F^2$ of all rules that keep or "
    r"drop: for each spike that of the better choice.",
    source="Gavish and Donoho, IEEE Trans. Inf. Theory 60 (2014)",
    parameters=_ASPECT,
    draw=_draw_limit,
    left=_cost_of_rule,
    right=_least_cost,
    # a few dozen roundings of numbers up to y^2, and a tie within rounding costs as little
    rounding=lambda case: 100 * EPS * case.y**2,
    trials=400,
    witness=lambda: LimitCase(c=0.5, theta=3.0),
    controls={
        "edge": Control(
            breaks="All outliers are kept, also those between the edge and the threshold.",
            changes={"left": functools.partial(_cost_of_rule, edge=True)},
        ),
        "square threshold": Control(
            breaks="4 / sqrt(3), the threshold of square layers, serves all of them.",
            changes={"left": functools.partial(_cost_of_rule, threshold=4 / math.sqrt(3))},
        ),
    },
)

_LOSSES: tuple[Literal["frobenius", "operator", "nuclear"], ...] = ("frobenius", "operator", "nuclear")


def _worst_shrinker(case: LimitCase, *, square: bool = False, keep: bool = False) -> float:
    """Error of the shrinkers over the least that any value in their place has, the largest of three norms."""
    ratios = []
    for loss in _LOSSES:
        eta = float(shrink(np.array([case.y]), case.c, loss=loss)[0])
        if loss == "operator" and square:
            eta = case.theta
        ratios.append(case.error(case.y if keep else eta, loss) / case.least_error(loss))
    return max(ratios)


SHRINKER_OPTIMAL = Claim(
    id="shrinker_optimal",
    kind=Kind.EXACT,
    statement=r"In Frobenius, operator and nuclear norm, the shrunk value of an outlier has the least "
    r"asymptotic error $|\eta\,\hat u\hat v^T - \theta u v^T|$ of all values $\eta$; the largest ratio to "
    r"the least is 1.",
    source="Gavish and Donoho, IEEE Trans. Inf. Theory 63 (2017); operator norm: Leeb (2022)",
    parameters=_ASPECT,
    draw=_draw_limit,
    left=_worst_shrinker,
    # the search ends within 2 y 0.62^80 of the least, and singular values carry a few dozen roundings
    rounding=lambda case: 1e-9,  # noqa: ARG005
    trials=120,
    witness=lambda: LimitCase(c=0.5, theta=3.0),
    controls={
        "operator formula of square layers": Control(
            breaks="eta = theta in the operator norm, as first published for all shapes.",
            changes={"left": functools.partial(_worst_shrinker, square=True)},
        ),
        "no shrinkage": Control(
            breaks="The outlier is kept as it is.",
            changes={"left": functools.partial(_worst_shrinker, keep=True)},
        ),
    },
)

CLAIMS = (INVERSE_D, GOF_NULL, HARD_THRESHOLD_OPTIMAL, SHRINKER_OPTIMAL)
