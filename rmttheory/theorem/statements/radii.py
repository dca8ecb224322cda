"""The asymptotic statements on removing Gaussian noise, with the paper's constants, and what they come to.

``tau_N(s) = 2 sqrt(2) L |v_s|_2 sqrt(log(2n)/n)`` is the paper's radius for ``g <= 1``; otherwise networks
and letters are those of `gaussian`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices.noise import parse_noise
from rmttheory.networks import accuracy
from rmttheory.networks.layers import Dense
from rmttheory.networks.losses import margins
from rmttheory.networks.network import Network
from rmttheory.theorem.claims import METHOD, Cell, Claim, Control, Parameter
from rmttheory.theorem.implicit import draw_network
from rmttheory.theorem.planted import IID_GAUSSIAN, INDEPENDENT_PATH, NetworkCase, Planting, plant
from rmttheory.theorem.removals import EPS
from rmttheory.theorem.statements.gaussian import (
    PAPER,
    RandomCase,
    draw_entries,
    extreme_case,
    least_width,
    logit_rounding,
    network_parameters,
    stretch_at,
)
from rmttheory.theorem.truncations import TruncatedCase, truncate
from rmttheory.theorem.verdicts import Band, Kind

_PROVED = (
    "Stated is $|T|/n$; the proof gives $|T|/(8 n^3)$, which `row_event_identity` proves and no run can see."
)


def _tau(case: RandomCase) -> HostArray:
    """The paper's radius of each sample."""
    n = case.width
    return 2 * math.sqrt(2) * case.lipschitz * case.norms * math.sqrt(math.log(2 * n) / n)


def _without_logarithm(case: RandomCase) -> HostArray:
    return _tau(case) / math.sqrt(8 * math.log(2 * case.width))


def _width(case: RandomCase) -> float:
    """Width at which ``2 tau`` falls below some margin, all else as it is here."""
    best = float(np.max(margins(case.after, np.argmax(case.after, axis=1)) / case.norms))

    def speaks(n: float) -> bool:
        return 4 * math.sqrt(2 * math.log(2 * n) / n) * stretch_at(case, n) < best

    return least_width(speaks, above=case.width)


def _parameters(samples: int) -> tuple[Parameter, ...]:
    """Those of planted networks, without a failure probability: it follows from the width."""
    known = {p.name: p for p in network_parameters()}
    del known["delta"]
    known["n"] = replace(known["n"], typical=128)
    known["samples"] = replace(known["samples"], typical=samples)
    known["g"] = replace(known["g"], high=1.0)
    return tuple(known.values())


def _stated(cell: Cell) -> Band:
    """Failure with probability ``|T| / n``, where that says anything."""
    return Band(high=min(cell["samples"] / cell["n"], 0.999))


def _towards(v: HostArray, g: float) -> HostArray:
    """A row of entries of twice their standard deviation, with the signs of the mean input."""
    return 2 * math.sqrt(g / v.shape[1]) * np.where(np.mean(v, axis=0) > 0, 1.0, -1.0)


def _draw_aligned(cell: Cell, stream: Stream) -> NetworkCase:
    """The row that the first class reads has the signs of the mean input, whose features are spread."""
    case = draw_entries(cell, stream)
    R = case.R.copy()
    R[0] = _towards(case.v, case.g)
    return replace(case, R=R, network=case.network.replace(1, case.S + R))


_ALIGNED = Control(
    breaks="One row of R has the signs of the features: R knows the path.",
    changes={"draw": _draw_aligned, "hypotheses": ()},
    cell={"method": "dense"},
)
_HYPOTHESES = (IID_GAUSSIAN, INDEPENDENT_PATH)


def _extreme(share: float, lead: float = 0.0) -> NetworkCase:
    """Noise that moves the right logit down and the wrong one up by ``share`` of the paper's radius.

    The right one leads by ``lead`` radii without it, and by twice ``share`` less with it.
    """
    n = 64
    cell = {"n": n, "classes": 2, "samples": 1, "g": 1.0, "delta": 0.05, "readout": "bounded", "decay": 0.0}
    e = np.eye(n)
    tau = 2 * math.sqrt(2 * math.log(2 * n) / n)
    S = np.outer((40 + lead * tau) * e[0] + 40 * e[1], e[0])
    R = -share * tau * np.outer(e[0] - e[1], e[0])
    layers = (Dense(e[:, :2], None), Dense(S + R, None), Dense(e[:2], None, "identity"))
    return NetworkCase(network=Network(layers), S=S, R=R, x=np.eye(2)[:1], labels=np.array([0]), cell=cell)


_GRIDS = {
    "standard": ({}, {"n": 64}, {"n": 1024, "samples": 4}, {"readout": "standard"}),
    "full": tuple({"n": n, "readout": kind} for n in (64, 256, 1024) for kind in ("bounded", "standard")),
}

LOGIT_PERTURBATION_GAUSSIAN = Claim(
    id="logit_perturbation_gaussian",
    kind=Kind.TAIL,
    statement=r"For $g \le 1$ and each sample, with probability at least $1 - 1/n$: $|X(s, S) - X(s, "
    r"W)|_\infty \le \tau_N(s) = 2\sqrt2\,L\,|v_s|_2\sqrt{\log(2n)/n}$.",
    source=f"{PAPER}, lemma on removing R",
    proved="Stated is $1/n$; the proof gives $1/(8 n^3)$, proved by `row_event_identity`; no run can see it.",
    hypotheses=_HYPOTHESES,
    parameters=_parameters(1),
    draw=draw_network,
    left=lambda case: float(np.max(case.change / _tau(case))),
    trivial=lambda case: float(
        np.max(margins(case.before, np.argmax(case.before, axis=1)) / (2 * _tau(case)))
    ),
    rounding=lambda case: 2 * logit_rounding(case) / float(np.min(_tau(case))),
    failure=lambda cell: Band(high=1 / cell["n"]),
    witness=lambda: _extreme(0.995, lead=10.0),
    speaks_at=_width,
    controls={
        "no logarithm": Control(
            breaks="The radius of one neuron, claimed for all of them.",
            changes={"left": lambda case: float(np.max(case.change / _without_logarithm(case)))},
        ),
        "heavy tails": Control(
            breaks="Student-t entries with 3 degrees of freedom, met by localised features.",
            changes={"draw": functools.partial(draw_network, localised=True), "hypotheses": ()},
            cell={"noise": "student-t:3", "classes": 100, "n": 100},
        ),
        "aligned noise": _ALIGNED,
    },
    grids=_GRIDS,
)


def _accuracy_change(case: RandomCase) -> float:
    return abs(accuracy(case.after, case.labels) - accuracy(case.before, case.labels))


def _flagged(case: RandomCase, *, factor: float = 2.0) -> float:
    """Share of samples whose confidence with ``W`` is within ``factor`` radii of 0."""
    return float(np.mean(np.abs(margins(case.before, case.labels)) <= factor * _tau(case)))


MARGIN_ACCURACY_GAUSSIAN = Claim(
    id="margin_accuracy_gaussian",
    kind=Kind.TAIL,
    statement=r"With probability at least $1 - |T|/n$: $|acc(W) - acc(S)| \le \#\{s: |\delta X(s, W)| \le "
    r"2\tau_N(s)\}/|T|$.",
    source=f"{PAPER}, margin theorem for Gaussian R",
    proved=_PROVED,
    hypotheses=_HYPOTHESES,
    parameters=_parameters(4),
    draw=draw_network,
    left=_accuracy_change,
    right=_flagged,
    # if all samples are flagged, nothing is said
    trivial=lambda case: 1.0,  # noqa: ARG005
    rounding=lambda case: 1e-12,  # noqa: ARG005  (of shares of a batch)
    failure=_stated,
    witness=lambda: _extreme(0.995, lead=1.9),
    speaks_at=_width,
    controls={
        "nothing changes": Control(
            breaks="No sample is said to be in doubt, however small its confidence.",
            changes={"right": lambda case: 0.0},  # noqa: ARG005
            cell={"strength": 0.0, "classes": 2},
        ),
        "aligned noise": replace(
            _ALIGNED, cell={"method": "dense", "strength": 0.7, "n": 512, "samples": 64}
        ),
    },
    grids=_GRIDS,
)


def _loss_bound(case: RandomCase) -> float:
    return 2 * float(np.mean(_tau(case)))


def _draw_strong(cell: Cell, stream: Stream) -> RandomCase:
    return draw_network({**cell, "g": 400.0}, stream)


CE_PERTURBATION_GAUSSIAN = Claim(
    id="ce_perturbation_gaussian",
    kind=Kind.TAIL,
    statement=r"With probability at least $1 - |T|/n$: $|L_{CE}(S) - L_{CE}(W)| \le "
    r"\frac{4\sqrt2}{|T|}\sum_s a(N, s)$, $a(N, s) = L\,|v_s|_2\sqrt{\log(2n)/n}$.",
    source=f"{PAPER}, theorem on the cross-entropy; its condition $N \\ge N_0$ is not needed",
    proved=_PROVED,
    hypotheses=_HYPOTHESES,
    parameters=_parameters(4),
    draw=draw_network,
    left=lambda case: abs(case.loss_change),
    right=_loss_bound,
    # neither loss is negative
    trivial=lambda case: max(max(case.losses), math.log(case.cell["classes"])),
    rounding=lambda case: 4 * logit_rounding(case) + 64 * EPS * max(case.losses),
    failure=_stated,
    witness=lambda: _extreme(0.995, lead=-30.0),
    speaks_at=_width,
    controls={
        "mean input": Control(
            breaks="The logarithm is left out, and the length of an input with it.",
            changes={"right": lambda case: _loss_bound(case) / (8 * math.log(2 * case.width))},
            cell={"strength": 0.5, "classes": 2},
        ),
        "strong noise": Control(
            breaks="Noise of g = 400 is let in, where the radius is stated for g of 1 at most.",
            changes={"draw": _draw_strong, "hypotheses": ()},
        ),
    },
    grids=_GRIDS,
)


def _draw_growing(cell: Cell, stream: Stream) -> RandomCase:
    return draw_network({**cell, "samples": cell["n"] ** 2}, stream)


def _over_all_inputs(case: NetworkCase) -> float:
    """The largest change over all inputs of the mean length: one of them is along the longest row of R."""
    rows = np.linalg.norm(case.R[: case.cell["classes"]], axis=1)
    return float(np.max(rows) * np.mean(case.norms))


_LADDER = Parameter(name="n", meaning="width, a ladder", typical=(16, 32, 64, 128), low=16, high=512)

GROWING_SET = Claim(
    id="growing_set",
    kind=Kind.LIMIT,
    statement=r"For sets $T_n$ that grow, here $|T_n| = n^2$ and $\delta_n = 1/n$, the largest change of a "
    r"logit still tends to 0: the bound $L\,|v_s|_2\sqrt{2 g\log(2 n |T_n|/\delta_n)/n}$ does, at the rate "
    r"$n^{-1/2}$ up to a logarithm.",
    source=f"{PAPER}, theorem for growing sets",
    hypotheses=_HYPOTHESES,
    parameters=tuple(
        p
        for p in (_LADDER, *_parameters(1))
        if p.name not in ("samples",) and (p is _LADDER or p.name != "n")
    ),
    draw=_draw_growing,
    left=lambda case: float(np.max(case.change)),
    trials=120,
    loose_because="A limit has no right side to attain; its control shows that too large a set is refuted.",
    controls={
        "all inputs": Control(
            breaks="The set grows like exp(n) and covers the sphere: some input lies along a row of R.",
            changes={"left": _over_all_inputs},
            cell={"method": "dense"},
        ),
    },
    grids={"standard": ({}, {"readout": "standard"}), "full": ({}, {"n": (32, 64, 128, 256)})},
)


@dataclass(frozen=True, kw_only=True, eq=False)
class DeepCase(NetworkCase):
    """A network of any depth, the middle layer of which carries the noise."""

    @property
    def fallen(self) -> HostArray:
        """Change of the classification confidence of each sample."""
        change: HostArray = np.abs(margins(self.after, self.labels) - margins(self.before, self.labels))
        return change


def _draw_deep(cell: Cell, stream: Stream, *, aligned: bool = False) -> DeepCase:
    """A planted network with more layers after the noisy one, each of which permutes neurons."""
    p = plant({**cell, "readout": "bounded"}, stream)
    n, rng = len(p.U), stream.child("layers").generator()
    R = np.asarray(parse_noise(cell["noise"]).sample((n, n), cell["g"], stream.child("noise")))
    if aligned:
        R[0] = _towards(p.v, cell["g"])
    layers, readout = [Dense(p.first, None), Dense(p.S + R, None)], p.readout
    for _ in range(cell["depth"] - 3):
        order = rng.permutation(n)
        layers.append(Dense(np.eye(n)[order], None))
        readout = readout[:, order]
    network = Network((*layers, Dense(readout, None, "identity")))
    return DeepCase(network=network, S=p.S, R=R, x=p.x, labels=p.labels, cell=cell)


CONFIDENCE_RANDOM_REMOVAL = Claim(
    id="confidence_random_removal",
    kind=Kind.TAIL,
    statement=r"Noise removed from layer $b$ of a network of any depth: with probability at least $1 - "
    r"\delta$, $|\delta X(s, S) - \delta X(s, W)| \le 2\prod_{l > b}|W_l|_\infty\,|v_s|_2\sqrt{2 "
    r"g\log(2n/\delta)/n}$.",
    source="Reconstructed from section 5.4 of arXiv:2310.03165, whose text was not at hand; proved here",
    reconstructed=True,
    hypotheses=_HYPOTHESES,
    parameters=(
        Parameter(name="n", meaning="width", typical=96, low=16, high=2048),
        Parameter(name="depth", meaning="layers", typical=5, low=3, high=50),
        *(
            replace(p, typical=1) if p.name == "samples" else p
            for p in network_parameters()
            if p.name in ("delta", "samples", "classes", "g", "strength", "noise")
        ),
    ),
    draw=_draw_deep,
    left=lambda case: float(np.max(case.fallen / (2 * case.radius(case.cell["delta"])))),
    trivial=lambda case: float(
        np.max(np.abs(margins(case.before, case.labels)) / (2 * case.radius(case.cell["delta"])))
    ),
    rounding=lambda case: 4 * logit_rounding(case) / float(np.min(case.radius(case.cell["delta"]))),
    failure=lambda cell: Band(high=cell["delta"]),
    witness=lambda: _deep(extreme_case()),
    speaks_at=_width,
    controls={
        "no logarithm": Control(
            breaks="The radius of one neuron, claimed for all of them.",
            changes={
                "left": lambda case: float(np.max(case.fallen / case.norms)) * math.sqrt(case.width / case.g)
            },
            cell={"n": 128, "classes": 100},
        ),
        "aligned noise": Control(
            breaks="One row of R has the signs of the features: R knows the path.",
            changes={"draw": functools.partial(_draw_deep, aligned=True), "hypotheses": ()},
        ),
    },
    grids={
        "standard": ({}, {"depth": 3}, {"depth": 12}, {"delta": 0.2}),
        "full": tuple({"n": n, "depth": depth} for n in (32, 96, 256) for depth in (3, 5, 12)),
    },
)


def _deep(case: NetworkCase) -> DeepCase:
    return DeepCase(network=case.network, S=case.S, R=case.R, x=case.x, labels=case.labels, cell=case.cell)


def _draw_example(cell: Cell, stream: Stream, *, localised: bool = False) -> TruncatedCase:
    """Two logits that average 32 neurons each, of a layer with one spike; inputs lie partly along it."""
    n, read = cell["n"], 32
    readout = np.repeat(np.eye(2), read, axis=1) / read
    readout = np.pad(readout, ((0, 0), (0, n - 2 * read)))
    U = np.where(readout[1] > 0, -1.0, 1.0) * (np.arange(n) < 2 * read if localised else 1.0)
    inputs = np.abs(stream.child("inputs").normal((_INPUTS + 1, n)))
    inputs /= np.linalg.norm(inputs, axis=1, keepdims=True)
    planting = Planting(
        first=inputs[1:].T,
        U=(U / np.linalg.norm(U))[:, None],
        theta=np.array([cell["strength"]]),
        V=inputs[:1].T,
        readout=readout,
        x=np.eye(_INPUTS),
        labels=np.zeros(_INPUTS, dtype=int),
    )
    return truncate(planting, cell, stream.child("noise"))


_INPUTS = 8


def _fall(case: TruncatedCase) -> float:
    """Root mean square of the change of the confidence."""
    before, after = case.confidence
    return math.sqrt(float(np.mean((before - after) ** 2)))


ONE_HIDDEN_LAYER_EXAMPLE = Claim(
    id="one_hidden_layer_example",
    kind=Kind.LIMIT,
    statement=r"$X(s) = W_2\,\mathrm{relu}(W s)$ with $W = \theta u v^T + R$ truncated at the edge: where "
    r"$u$ is spread over all neurons, the classification confidence changes by $O(n^{-1/2})$.",
    source="Reconstructed from section 5.6 of arXiv:2310.03165; the hypothesis that $u$ is spread is ours",
    reconstructed=True,
    parameters=(
        Parameter(name="n", meaning="width, a ladder", typical=(256, 1024, 4096, 16384), low=64, high=10**7),
        Parameter(name="g", meaning="n times the variance of entries of R", typical=1.0, low=1e-6, high=1e3),
        Parameter(name="strength", meaning="singular value of S", typical=1.5, low=0.0, high=1e3),
        Parameter(name="noise", meaning="law of R", typical="gaussian"),
        METHOD,
    ),
    draw=_draw_example,
    left=_fall,
    trials=200,
    loose_because="A limit has no right side to attain; its control shows that a localised spike is refuted.",
    controls={
        "localised": Control(
            breaks="u is on the 64 neurons that are read: they lose c g^2 / theta^3 of the spike at any "
            "width.",
            changes={"draw": functools.partial(_draw_example, localised=True)},
        ),
    },
    grids={"standard": ({}, {"strength": 0.7}), "full": ({}, {"strength": 0.7}, {"strength": 3.0})},
)

CLAIMS = (
    LOGIT_PERTURBATION_GAUSSIAN,
    MARGIN_ACCURACY_GAUSSIAN,
    CE_PERTURBATION_GAUSSIAN,
    GROWING_SET,
    CONFIDENCE_RANDOM_REMOVAL,
    ONE_HIDDEN_LAYER_EXAMPLE,
)
