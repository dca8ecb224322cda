"""Limits of the strongest singular values and vectors of a layer with spikes.

Benaych-Georges and Nadakuditi's limits, in this package's scale (``R`` is ``n x m`` with entries of variance
``g / n``, ``c = m / n``), and what they mean for pruning at the edge. One trial is the root mean square
error of several independent layers, which tames the scatter of its logarithm.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray
from rmttheory.matrices.ensembles import Draw
from rmttheory.matrices.spikes import outlier, overlaps, spike_from_outlier, spike_threshold
from rmttheory.theorem.claims import METHOD, Cell, Claim, Control, Parameter
from rmttheory.theorem.spiked import (
    DELOCALISED,
    DISTINCT,
    MOMENTS_OR_ROTATIONS,
    NONCRITICAL,
    PROPORTIONAL,
    SUBCRITICAL,
    SUPERCRITICAL,
    BandCase,
    SpikedCase,
    draw_spiked,
)
from rmttheory.theorem.verdicts import Kind

Error = Callable[[SpikedCase | BandCase], HostArray]
"""One row for each layer of a case."""
Prediction = Callable[[HostArray, float, float], Any]
"""From the strengths of the spikes, the aspect ratio and ``g``."""

_PAPER = "Benaych-Georges and Nadakuditi, J. Multivariate Anal. 111 (2012)"
_LOOSE = "A limit has no right side to attain; its controls show that a wrong constant is refuted."

# A slope over three decades scatters a third as much, and is nearer to its limit, than over one. Without the
# matrix it costs no more; layers drawn in full cost n^3.
_LADDER = (32, 128, 512)
_WIDE = (100, 1000, 10_000, 100_000)
_DRAWS = 4


def _rms(error: Error) -> Callable[[SpikedCase | BandCase], float]:
    """Return the left side: root mean square of ``error`` over spikes and layers."""
    return lambda case: math.sqrt(float(np.mean(error(case) ** 2)))


def _outlier_error(case: SpikedCase | BandCase, *, predicted: Prediction = outlier) -> HostArray:
    error: HostArray = case.values - predicted(case.theta, case.model.aspect, case.model.g)
    return error


def _overlap_error(case: SpikedCase | BandCase, *, predicted: Prediction = overlaps) -> HostArray:
    left, right = predicted(case.theta, case.model.aspect, case.model.g)
    return np.concatenate([case.left - left, case.right - right], axis=1)


def _inverse_error(case: SpikedCase | BandCase, *, transposed: bool = False) -> HostArray:
    """Error of the estimated strength; a spike that is not seen counts as one of strength 0."""
    c = 1 / case.model.aspect if transposed else case.model.aspect
    found = [[spike_from_outlier(s, c, case.model.g).theta for s in row] for row in case.values.tolist()]
    return np.nan_to_num(found) - case.theta


def _loss_at_edge(theta: HostArray, c: float, g: float) -> HostArray:
    return np.where(theta > spike_threshold(c, g), c * g * g / theta**3, theta)


def _truncation_error(case: SpikedCase | BandCase, *, predicted: Prediction = _loss_at_edge) -> HostArray:
    """Error of the predicted loss ``u^T (W - W') v`` of each spike along its own data path."""
    error: HostArray = case.removed - predicted(case.theta, case.model.aspect, case.model.g)
    return error


def _replacing(error: Callable[..., HostArray], predicted: Prediction) -> dict[str, Any]:
    """Change of a claim that replaces its prediction."""
    return {"left": _rms(functools.partial(error, predicted=predicted))}


def _transposed(predicted: Prediction) -> Prediction:
    return lambda theta, c, g: predicted(theta, 1 / c, g)


def _swapped(theta: HostArray, c: float, g: float) -> tuple[HostArray, HostArray]:
    left, right = overlaps(theta, c, g)
    return right, left


def _without_threshold(theta: HostArray, c: float, g: float) -> HostArray:
    return np.sqrt((g + theta**2) * (c * g + theta**2)) / theta


_draw = functools.partial(draw_spiked, draws=_DRAWS)


def _dependent(cell: Any, stream: Any) -> SpikedCase:
    """Noise that has already absorbed half of the signal, in layers that are drawn in full."""
    case = _draw(cell, stream)
    assert isinstance(case, SpikedCase)
    spoiled = (
        Draw(W=d.W - 0.5 * d.S, S=d.S, R=d.R - 0.5 * d.S, U=d.U, theta=d.theta, V=d.V) for d in case.draws
    )
    return SpikedCase(model=case.model, draws=tuple(spoiled))


def _parameters(*, n: tuple[int, ...] = _LADDER, strength: float = 2.0) -> tuple[Parameter, ...]:
    return (
        Parameter(name="n", meaning="rows of W, a ladder", typical=n, low=8, high=10**12),
        Parameter(name="aspect", meaning="c = m / n", typical=0.5, low=1e-3, high=1e3),
        Parameter(
            name="strength",
            meaning="weaker of two spikes over sqrt(g) c^(1/4); the other is 1.3 times stronger",
            typical=strength,
            low=0.01,
            high=100.0,
        ),
        Parameter(name="g", meaning="n times the variance of entries of R", typical=1.0, low=1e-6, high=1e6),
        Parameter(name="noise", meaning="law of R", typical="gaussian"),
        METHOD,
    )


_HEAVY = Control(
    breaks="Entries of R without a fourth moment: the strongest entries make outliers of their own.",
    changes={"hypotheses": (), "trials": 1200},  # the logarithm of a heavy-tailed error scatters widely
    cell={"noise": "student-t:2.1", "n": (16, 32, 64, 128)},
)
_DEPENDENT = Control(
    breaks="R holds -0.5 S: it is not independent of the signal.",
    changes={"draw": _dependent},
    cell={"method": "dense"},
)
_TRIALS = 120  # slopes at the typical cells then lie 4 standard deviations or more beyond half the rate


def _noise(law: str = "gaussian") -> Cell:
    return {"noise": law, "n": _WIDE if law == "gaussian" else _LADDER}


_GRIDS: dict[str, tuple[Cell, ...]] = {
    "quick": (_noise(),),
    "standard": (
        {"aspect": 0.25, **_noise()},
        {"aspect": 1.0, **_noise()},
        {"aspect": 4.0, **_noise()},
        {"g": 0.25, **_noise("rademacher")},
        {"strength": 1.5, **_noise()},
    ),
    "full": tuple(
        {"aspect": c, "strength": a, **_noise(law)}
        for c in (0.25, 1.0, 4.0)
        for a in (1.5, 3.0)
        for law in ("gaussian", "rademacher", "haar", "student-t:8")
    ),
}
# the edge needs vectors of the bulk, which live in a larger corner than outliers
_BELOW: dict[str, tuple[Cell, ...]] = {
    "quick": ({"n": _WIDE[:3]},),
    "standard": tuple({"aspect": c, "n": _WIDE} for c in (0.25, 1.0, 4.0)),
    "full": tuple({"aspect": c, **_noise(law)} for c in (0.25, 1.0, 4.0) for law in ("gaussian", "haar")),
}

BGN_OUTLIER = Claim(
    id="bgn_outlier",
    kind=Kind.LIMIT,
    statement=r"For $\theta_i > \sqrt g\,c^{1/4}$: $s_i(W) \to "
    r"\sqrt{(g + \theta_i^2)(c g + \theta_i^2)}/\theta_i$, with error $O(n^{-1/2})$.",
    source=f"{_PAPER}, Theorem 2.8; rate: their Gaussian fluctuations",
    hypotheses=(PROPORTIONAL, SUPERCRITICAL, MOMENTS_OR_ROTATIONS, DELOCALISED),
    parameters=_parameters(),
    draw=_draw,
    on_device=True,
    left=_rms(_outlier_error),
    rate=0.5,
    trials=_TRIALS,
    loose_because=_LOOSE,
    controls={
        "wrong aspect": Control(
            breaks="c = n / m instead of m / n.",
            changes=_replacing(_outlier_error, _transposed(outlier)),
        ),
        "no inflation": Control(
            breaks="The spike itself is taken for the outlier that it makes.",
            changes=_replacing(_outlier_error, lambda theta, c, g: theta),  # noqa: ARG005
        ),
        "dependent noise": _DEPENDENT,
        "heavy tails": _HEAVY,
    },
    grids=_GRIDS,
)

BGN_SUBCRITICAL = Claim(
    id="bgn_subcritical",
    kind=Kind.LIMIT,
    statement=r"For $\theta_i < \sqrt g\,c^{1/4}$ a spike stays hidden: $s_i(W) \to \sqrt g(1 + \sqrt c)$, "
    r"with error $O(n^{-2/3})$.",
    source=f"{_PAPER}, Theorem 2.8; rate: Tracy-Widom scale of the edge",
    hypotheses=(PROPORTIONAL, SUBCRITICAL, MOMENTS_OR_ROTATIONS, DELOCALISED),
    parameters=_parameters(strength=0.4),
    draw=_draw,
    on_device=True,
    left=_rms(_outlier_error),
    rate=2 / 3,
    trials=_TRIALS,
    loose_because=_LOOSE,
    controls={
        "no threshold": Control(
            breaks="The map for strong spikes is used below its threshold.",
            changes=_replacing(_outlier_error, _without_threshold),
        ),
        "heavy tails": _HEAVY,
    },
    grids=_BELOW,
)

BGN_OVERLAP = Claim(
    id="bgn_overlap",
    kind=Kind.LIMIT,
    statement=r"With $t = \theta_i/\sqrt g > c^{1/4}$: "
    r"$\langle \hat u_i, u_i\rangle^2 \to (t^4 - c)/(t^4 + t^2)$ and "
    r"$\langle \hat v_i, v_i\rangle^2 \to (t^4 - c)/(t^4 + c t^2)$, with error $O(n^{-1/2})$.",
    source=f"{_PAPER}, Theorem 2.9; rate: Bao, Ding and Wang, Ann. Statist. 49 (2021)",
    hypotheses=(PROPORTIONAL, SUPERCRITICAL, DISTINCT, MOMENTS_OR_ROTATIONS, DELOCALISED),
    parameters=_parameters(),
    draw=_draw,
    on_device=True,
    left=_rms(_overlap_error),
    rate=0.5,
    trials=_TRIALS,
    loose_because=_LOOSE,
    controls={
        "swapped sides": Control(
            breaks="The overlaps of the input and the output side are exchanged.",
            changes=_replacing(_overlap_error, _swapped),
            cell={"aspect": 0.25},
        ),
        "wrong aspect": Control(
            breaks="c = n / m instead of m / n.",
            changes=_replacing(_overlap_error, _transposed(overlaps)),
            cell={"aspect": 0.25},
        ),
        "dependent noise": _DEPENDENT,
        "heavy tails": _HEAVY,
    },
    grids=_GRIDS,
)

INVERSE_BBP = Claim(
    id="inverse_bbp",
    kind=Kind.LIMIT,
    statement=r"For $\theta_i > \sqrt g\,c^{1/4}$: $\hat\theta(s_i(W)) \to \theta_i$, where $\hat\theta$ "
    r"inverts the outlier map, with error $O(n^{-1/2})$.",
    source=f"{_PAPER}, Theorem 2.8, inverted",
    hypotheses=(PROPORTIONAL, SUPERCRITICAL, MOMENTS_OR_ROTATIONS, DELOCALISED),
    parameters=_parameters(),
    draw=_draw,
    on_device=True,
    left=_rms(_inverse_error),
    rate=0.5,
    trials=_TRIALS,
    loose_because=_LOOSE,
    controls={
        "hidden spikes": Control(
            breaks="Spikes below the threshold: their strength cannot be read off.",
            changes={"hypotheses": ()},
            cell={"strength": 0.5},
        ),
        "wrong aspect": Control(
            breaks="c = n / m instead of m / n.",
            changes={"left": _rms(functools.partial(_inverse_error, transposed=True))},
        ),
        "dependent noise": _DEPENDENT,
        "heavy tails": _HEAVY,
    },
    grids=_GRIDS,
)

TRUNCATION_BIAS = Claim(
    id="truncation_bias",
    kind=Kind.LIMIT,
    statement=r"Truncation $W'$ of $W$ at the bulk edge moves what the layer computes on its own spikes: "
    r"$u_i^T (W - W') v_i \to c g^2/\theta_i^3$ if $\theta_i > \sqrt g\,c^{1/4}$ and $\to \theta_i$ below, "
    r"with error $O(n^{-1/2})$.",
    source="Derived here from Benaych-Georges and Nadakuditi (2012), Theorems 2.8 and 2.9",
    hypotheses=(PROPORTIONAL, NONCRITICAL, MOMENTS_OR_ROTATIONS, DELOCALISED),
    parameters=_parameters(),
    draw=functools.partial(draw_spiked, draws=_DRAWS, truncated=True),
    on_device=True,
    left=_rms(_truncation_error),
    rate=0.5,
    trials=_TRIALS,
    loose_because=_LOOSE,
    controls={
        "overlaps ignored": Control(
            breaks="A kept spike is said to act with the inflated value s, as if its vectors had not turned.",
            changes=_replacing(_truncation_error, lambda theta, c, g: theta - outlier(theta, c, g)),
        ),
        "hidden spikes kept": Control(
            breaks="Truncation is said to lose nothing of a spike below the threshold.",
            changes=_replacing(_truncation_error, lambda theta, c, g: 0 * theta),  # noqa: ARG005
            cell={"strength": 0.4},
        ),
        "wrong aspect": Control(
            breaks="c = n / m instead of m / n.",
            changes=_replacing(_truncation_error, _transposed(_loss_at_edge)),
        ),
        "dependent noise": _DEPENDENT,
    },
    grids={**_GRIDS, "quick": (_noise(), {"strength": 0.4, **_noise()})},
)

CLAIMS = (BGN_OUTLIER, BGN_SUBCRITICAL, BGN_OVERLAP, INVERSE_BBP, TRUNCATION_BIAS)
