"""The Pruning Theorem as the algorithm needs it: ``W`` is truncated at the edge of its bulk.

A reconstruction of the theorems for confidence and for accuracy of arXiv:2310.03165, sections 5.5 and 5.7, of
which only title and contents were at hand: the form is theirs, constants and proofs are derived here.

``W = S + R`` is the middle one of three layers, square, and ``W'`` holds its singular values above
``2 sqrt(g)``. What truncation takes from a sample, ``(W - W') v_s``, has two parts. Beside the left vectors
``U`` of ``S`` it is a vector of uniform direction, no longer than ``R v_s`` in the limit: a union bound over
neurons and samples serves it as it serves ``R v_s``. Along ``U`` it tends to ``b(S) v_s``, since truncation
takes ``b(theta)`` from each spike. How far it is from there, of order ``n^(-1/2)``, no proof bounds here:
that it is less than what the union bound leaves is what the trials test.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.networks.losses import margins
from rmttheory.theorem.certificates import width_where_radius_speaks
from rmttheory.theorem.claims import Cell, Claim, Control, Parameter
from rmttheory.theorem.planted import INDEPENDENT_PATH, Planting
from rmttheory.theorem.spiked import GAUSSIAN_LAW
from rmttheory.theorem.statements.gaussian import logit_rounding, network_parameters
from rmttheory.theorem.truncations import (
    CLEAR_OF_THRESHOLD,
    TruncatedCase,
    draw_truncated,
    lost_at_edge,
)
from rmttheory.theorem.verdicts import Band, Kind

_OURS = "our reconstruction, with constants derived here"
_BOUND = (
    r"$D_s = 2 L\left(|b(S) v_s|_\infty + |v_s|_2 \sqrt{2 g \log(2 n |T|/\delta)/n}\right)$, "
    r"where $b(S)$ has the singular vectors of $S$ and the values $g^2/\theta_i^3$ if $\theta_i > \sqrt g$, "
    r"else $\theta_i$"
)


def _bound(case: TruncatedCase, *, lost: float = 1.0, random: float = 1.0) -> HostArray:
    """``D_s`` of each sample, with what the signal loses and what is random taken so many times."""
    radius = case.radius(case.cell["delta"])
    bound: HostArray = 2 * (lost * case.lipschitz * case.lost_signal + random * radius)
    return bound


def _share_of_bound(case: TruncatedCase, *, lost: float = 1.0, random: float = 1.0) -> float:
    """Change of confidence over its bound, largest over the samples."""
    before, after = case.confidence
    return float(np.max(np.abs(after - before) / _bound(case, lost=lost, random=random)))


def _without_logarithm(case: TruncatedCase) -> float:
    """`_share_of_bound` with one standard deviation for the radius."""
    union = 2 * case.width * len(case.labels) / case.cell["delta"]
    return _share_of_bound(case, random=1 / math.sqrt(2 * math.log(union)))


def _protectable(case: TruncatedCase) -> float:
    """Multiple of the bounds up to which some sample keeps the sign of its confidence."""
    return float(np.max(np.abs(case.confidence[0]) / _bound(case)))


def _width(case: TruncatedCase) -> float:
    """Width at which the bound is below the confidence of some sample, noise apart."""
    if case.cell["readout"] == "standard":  # L grows as fast as the random part falls, or faster
        return math.inf
    p = case.planting
    clear = np.asarray(margins(p.logits(((case.v @ p.V) * p.theta) @ p.U.T), case.labels))
    left = clear - 2 * case.lipschitz * case.lost_signal
    known = {"g": case.g, "samples": len(left), "delta": case.cell["delta"]}
    pairs = zip(case.norms, left)
    widths = [width_where_radius_speaks(case.lipschitz * float(a), float(b), **known) for a, b in pairs]
    return max(min(widths), case.width + 1.0)


def _draw_absorbed(cell: Cell, stream: Stream) -> TruncatedCase:
    """Noise that has absorbed half of the signal: ``R`` is ``-S/2`` and Gaussian noise."""
    case = draw_truncated({**cell, "strength": cell["strength"] / 2}, stream)
    return replace(case, planting=replace(case.planting, theta=2 * case.planting.theta))


def _extreme_case() -> TruncatedCase:
    """A direction whose removal moves the right logit down and the wrong one up by 99.5 % of a radius."""
    n, strength, e = 64, 1000.0, np.eye(64)
    cell = {"n": n, "classes": 2, "samples": 1, "g": 1.0, "delta": 0.05, "readout": "bounded"}
    u = (e[0] + e[1]) / math.sqrt(2)
    planting = Planting(
        first=e[:, :2],
        U=u[:, None],
        theta=np.array([strength]),
        V=e[:, :1],
        readout=e[:2],
        x=np.array([[0.02, 0.98]]),
        labels=np.array([0]),
    )
    signal = (planting.v @ planting.V) * strength * u
    logits, still = planting.logits(signal), np.zeros((1, n))
    parts = {"after": logits, "before": logits, "moved": np.zeros(1), "removed_images": still}
    case = TruncatedCase(cell=cell, planting=planting, **parts)
    # W has this pair of directions beside that of S, with the value 0.7: below the edge
    reach = 0.995 * case.radius(0.05) * (e[0] - e[1])
    moved = np.max(np.abs(reach), keepdims=True)
    return replace(case, before=planting.logits(signal + reach), moved=moved, removed_images=reach[None, :])


_HYPOTHESES = (GAUSSIAN_LAW, INDEPENDENT_PATH, CLEAR_OF_THRESHOLD)
_HIDDEN: Cell = {"n": 4096, "classes": 2, "strength": 0.7}
_ABSORBED = Control(
    breaks="R holds -S/2: what the layer has of the spikes lies below the threshold.",
    changes={"draw": _draw_absorbed, "hypotheses": ()},
    cell={**_HIDDEN, "strength": 1.8},
)
_GRIDS = {
    "quick": (
        {"delta": 0.2},
        {"delta": 0.2, "n": 1024, "classes": 4, "strength": 1.6},
        {"delta": 0.2, "readout": "standard"},
    ),
    "standard": (
        {},
        {"n": 4096, "strength": 1.6},
        {"readout": "standard"},
        {"method": "dense", "n": 128, "strength": 4.0},
        _HIDDEN,
        {"n": 16384, "classes": 4, "strength": 1.5},
        {"g": 0.25, "strength": 1.5, "samples": 200},
    ),
    "full": tuple(
        {"n": n, "readout": kind, "strength": theta, "samples": 50}
        for n in (1024, 16384, 131072)
        for kind in ("bounded", "standard")
        for theta in (1.7, 3.0)
    ),
}


PRUNING_THEOREM_CONFIDENCE = Claim(
    id="pruning_theorem_confidence",
    kind=Kind.TAIL,
    statement=r"Truncation $W'$ of $W = S + R$ at the bulk edge keeps the classification confidence: with "
    r"probability at least $1 - \delta$, for all samples $s$ of a batch $T$ at once, "
    rf"$|\delta X(s, W') - \delta X(s, W)| \le D_s$, {_BOUND}.",
    source=f"arXiv:2310.03165, Section 5.5: {_OURS}",
    hypotheses=_HYPOTHESES,
    parameters=network_parameters(),
    draw=draw_truncated,
    left=_share_of_bound,
    trivial=_protectable,
    rounding=lambda case: 4 * logit_rounding(case) / float(np.min(_bound(case))),
    # trials are planned for no failure: a bound that serves all neurons is not exhausted by those it reads
    failure=lambda cell: Band(high=cell["delta"]),
    witness=_extreme_case,
    speaks_at=_width,
    controls={
        "hidden spikes": Control(
            breaks="Spikes below the threshold, whose whole removal is left out of the bound.",
            changes={"left": functools.partial(_share_of_bound, lost=0.0)},
            cell=_HIDDEN,
        ),
        "turned directions": Control(
            breaks="What truncation takes from the spikes that it keeps is left out of the bound.",
            changes={"left": functools.partial(_share_of_bound, lost=0.0)},
            cell={**_HIDDEN, "strength": 1.5},
        ),
        "no logarithm": Control(
            breaks="The radius of one standard deviation, claimed for all neurons and samples.",
            changes={"left": _without_logarithm},
            cell={"n": 512, "strength": 0.01, "samples": 100},
        ),
        "absorbed signal": _ABSORBED,
    },
    grids=_GRIDS,
    reconstructed=True,
)


def _doubtful(case: TruncatedCase, *, lost: float = 1.0) -> float:
    """Share of samples within their bound, of those right before if accuracy fell, else of the wrong ones."""
    (before, after), confidence, bound = case.accuracies, case.confidence[0], _bound(case, lost=lost)
    rose = after > before
    doubtful = (
        (confidence <= 0) & (confidence >= -bound) if rose else (confidence > 0) & (confidence <= bound)
    )
    return float(np.mean(doubtful))


def _all_doubtful(case: TruncatedCase) -> float:
    """What is known without a bound: all right samples may become wrong, or all wrong ones right."""
    before, after = case.accuracies
    return 1 - before if after > before else before


PRUNING_THEOREM_ACCURACY = Claim(
    id="pruning_theorem_accuracy",
    kind=Kind.TAIL,
    statement=r"Truncation $W'$ of $W = S + R$ at the bulk edge keeps the accuracy: with probability at "
    r"least $1 - \delta$, the share of samples that $W'$ classifies rightly is no less than that of "
    r"$\delta X(s, W) > D_s$, and the share that it does not no less than that of $\delta X(s, W) < -D_s$; "
    rf"here {_BOUND}.",
    source=f"arXiv:2310.03165, Section 5.7: {_OURS}",
    hypotheses=_HYPOTHESES,
    parameters=network_parameters(),
    draw=draw_truncated,
    # both ends at once: on the side to which accuracy moved, it moved by no more than the samples in doubt
    left=lambda case: abs(case.accuracies[1] - case.accuracies[0]),
    right=_doubtful,
    trivial=_all_doubtful,
    rounding=lambda case: 1e-12,  # noqa: ARG005  (of two shares and their difference)
    failure=lambda cell: Band(high=cell["delta"]),
    witness=_extreme_case,
    speaks_at=_width,
    controls={
        "never drops": Control(
            breaks="Every sample that was right is said to stay right, however small its confidence.",
            changes={
                "left": lambda case: case.accuracies[0] - case.accuracies[1],
                "right": lambda case: 0.0,  # noqa: ARG005
            },
            cell=_HIDDEN,
        ),
        "hidden spikes": Control(
            breaks="Spikes below the threshold, whose whole removal is left out of the bound.",
            changes={"right": functools.partial(_doubtful, lost=0.0)},
            cell=_HIDDEN,
        ),
        "absorbed signal": _ABSORBED,
    },
    grids={**_GRIDS, "quick": _GRIDS["quick"][:2]},
    reconstructed=True,
)

_SHARES = {"bounded": 1.0, "standard": 0.5}
"""Share of what a class direction loses that its logit does: a relu passes half of what all neurons carry."""


def _error_of_change(case: TruncatedCase, *, change: float = 1.0, share: float | None = None) -> float:
    """How far confidences are from falling by their limit, taken ``change`` times; largest over samples."""
    p, (before, after) = case.planting, case.confidence
    lost = (case.v @ p.V) * lost_at_edge(p.theta, case.g)
    share = _SHARES[case.cell["readout"]] if share is None else share
    fall = share * np.asarray(margins(lost, case.labels))
    return float(np.max(np.abs(before - after - change * fall)))


_LADDER = Parameter(name="n", meaning="width, a ladder", typical=(256, 1024, 4096, 16384), low=16, high=10**7)

TRUNCATED_CONFIDENCE = Claim(
    id="truncated_confidence",
    kind=Kind.LIMIT,
    statement=r"Truncation $W'$ of $W = S + R$ at the bulk edge lowers the classification confidence by a "
    r"known amount: $\delta X(s, W) - \delta X(s, W') \to "
    r"\rho\,b(\theta)\,(\alpha_C - \max_{j \ne C} \alpha_j)$ with error $O(n^{-1/2})$, where "
    r"$\alpha = V^T v_s$, $b(\theta) = g^2/\theta^3$ if $\theta > \sqrt g$, else $\theta$, and "
    r"$\rho = 1$ if class $k$ reads neuron $k$ alone, $1/2$ if it reads all of them.",
    source="Derived here from Benaych-Georges and Nadakuditi (2012), Theorems 2.8 and 2.9",
    hypotheses=_HYPOTHESES,
    parameters=tuple(
        replace(parameter, typical=4) if parameter.name == "classes" else parameter
        for parameter in (_LADDER, *network_parameters()[1:])
    ),
    draw=draw_truncated,
    left=_error_of_change,
    rate=0.5,
    trials=240,
    loose_because="A limit has no right side to attain; its controls show that a wrong constant is refuted.",
    controls={
        "nothing is lost": Control(
            breaks="Confidence is said to stay as it is: what truncation takes from the spikes is left out.",
            changes={"left": functools.partial(_error_of_change, change=0.0)},
            cell={"strength": 2.0, "n": (1024, 4096, 16384)},
        ),
        "no relu": Control(
            breaks="A logit that reads all neurons is said to lose as much as one that reads its own.",
            changes={"left": functools.partial(_error_of_change, share=1.0)},
            cell={"readout": "standard", "strength": 2.0, "n": (1024, 4096, 16384)},
        ),
    },
    grids={
        "standard": (
            {},
            {"readout": "standard"},
            {"strength": 1.6, "n": (1024, 4096, 16384)},
            {"strength": 0.7, "n": (1024, 4096, 16384)},
        ),
        "full": tuple(
            {"readout": kind, "strength": theta, "n": (4096, 16384, 65536, 262144)}
            for kind in ("bounded", "standard")
            for theta in (0.7, 1.6, 3.0)
        ),
    },
)

CLAIMS = (PRUNING_THEOREM_CONFIDENCE, PRUNING_THEOREM_ACCURACY, TRUNCATED_CONFIDENCE)
