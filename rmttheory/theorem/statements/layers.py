"""Removing parts of several layers, one after the other, and removing small singular values: deterministic.

``B_j`` is the data-path budget of the removal from layer ``j``, ``eta_(j,s)`` its radius at a sample ``s``,
both in the network that the removals before it left.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.networks import Dense, Network, margins
from rmttheory.theorem.claims import Cell, Claim, Control
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_most
from rmttheory.theorem.removals import EPS, TINY, SplitCase, layer_sizes
from rmttheory.theorem.sequences import (
    SequenceCase,
    balanced_layers,
    draw_growing,
    draw_masks,
    draw_stationary_layers,
)
from rmttheory.theorem.statements.deterministic import DET_CE_PATH
from rmttheory.theorem.verdicts import Kind

_PAPER = "arXiv:2606.02608"
_LESS = 0.99
_PARAMETERS = tuple(replace(p, low=2) if p.name == "depth" else p for p in DET_CE_PATH.parameters)
_GRIDS = {
    "standard": ({}, {"depth": 2}, {"depth": 6}),
    "full": tuple({"n": n, "depth": depth} for n in (6, 24, 96) for depth in (2, 3, 6)),
}


def _splits(case: SequenceCase) -> Measurement:
    weights = [(case.network.layers[index].weight, S + R) for index, S, R in case.parts]
    gap = max(float(np.max(np.abs(W - sums)) / max(float(np.max(np.abs(W))), TINY)) for W, sums in weights)
    return at_most(gap, EPS, "Largest entry of W_j - S_j - R_j over that of W_j; the threshold is rounding.")


def _overlap(case: SequenceCase) -> Measurement:
    return at_most(max(float(np.max(np.abs(S * R))) for _, S, R in case.parts), 0.0, "Largest |S_ij R_ij|.")


_SPLIT = Hypothesis(id="split", statement="Each pruned layer is W_j = S_j + R_j.", check=_splits)
_MASK = Hypothesis(id="mask", statement="S_j and R_j have disjoint supports in each layer.", check=_overlap)


def _change(case: SequenceCase) -> float:
    """Change of the objective plus the stated decrease of its penalty."""
    return case.losses[1] - case.losses[0] + case.penalty(0.0) - case.penalty(1.0) + case.mass()


def _two_layers(share: float = 1.0) -> SequenceCase:
    """Two hidden numbers in a row, of which a column leaves; one logit loses what the other gains."""
    layers = (
        Dense(np.array([[1.0, share]] * 2), None, "relu"),
        Dense(np.array([[0.5, 1.5 * share]] * 2), None, "relu"),
        Dense(np.array([[1.0, 1.0], [-1.0, -1.0]]), np.array([-40.0, 0.0]), "identity"),
    )
    kept = np.array([[1.0, 0.0]])
    parts = tuple((i, layers[i].weight * kept, layers[i].weight * (1 - kept)) for i in (0, 1))
    x, labels = np.ones((1, 2)), np.zeros(1, dtype=int)
    return SequenceCase(network=Network(layers), parts=parts, x=x, labels=labels, ridge=0.2, lasso=0.1)


MULTILAYER_MASK_CERTIFICATE = Claim(
    id="multilayer_mask_certificate",
    kind=Kind.EXACT,
    statement=r"Masks $R_1, \dots, R_M$ removed in this order: $J_M - J_0 + \sum_j\lambda_2|R_j|_F^2 + "
    r"\sum_j\lambda_1|R_j|_1 \le \sum_j B_j(R_j)$, $B_j$ in the network that is pruned up to $j - 1$.",
    source=f"{_PAPER}, ordered certificate for several layers",
    hypotheses=(_SPLIT, _MASK),
    parameters=_PARAMETERS,
    draw=draw_masks,
    left=_change,
    right=lambda case: case.budget,
    # the loss before is not negative
    trivial=lambda case: case.losses[1],
    rounding=lambda case: case.loss_rounding,
    trials=300,
    witness=_two_layers,
    controls={
        "one percent less": Control(
            breaks="The budgets are taken one percent too small.",
            changes={"right": lambda case: _LESS * case.budget},
        ),
        "one layer forgotten": Control(
            breaks="The budget of the last removal stands for all of them.",
            changes={"right": lambda case: case.steps[-1].budget()},
        ),
    },
    grids=_GRIDS,
)

MULTILAYER_UPFRONT_CERTIFICATE = replace(
    MULTILAYER_MASK_CERTIFICATE,
    id="multilayer_upfront_certificate",
    statement=r"For masks the budgets may all be computed in advance: $J_M - J_0 + "
    r"\sum_j\lambda_2|R_j|_F^2 + \sum_j\lambda_1|R_j|_1 \le \sum_j B_j(R_j)$ with every $B_j$ in the "
    r"network before pruning.",
    source="Derived here: from the last layer to the first, inputs are those of the first network, and masks "
    "raise no row sum",
    right=lambda case: case.upfront_budget,
    witness=functools.partial(_two_layers, 0.003),
    controls={
        "one percent less": Control(
            breaks="The budgets are taken one percent too small.",
            changes={"right": lambda case: _LESS * case.upfront_budget},
        ),
        "no masks": Control(
            breaks="The parts are any, and what is kept may weigh more than the layer did.",
            changes={
                "draw": draw_growing,
                "hypotheses": (),
                "left": lambda case: case.losses[1] - case.losses[0],
            },
        ),
    },
)


def _largest_changed(case: SequenceCase, *, upfront: bool = False) -> float:
    """The largest margin that was lost, and the largest change of a loss, over the radii; 2 is claimed."""
    radii = np.asarray(sum(step.radii for step in case.upfront)) if upfront else case.radii
    ratios, changed = case.relative_margins(radii)
    loss = max(abs(case.losses[1] - case.losses[0]) - case.loss_rounding, 0.0)
    return max(float(np.max(ratios, where=changed, initial=0.0)), loss / max(float(np.mean(radii)), TINY))


MULTILAYER_MARGIN_STABILITY = Claim(
    id="multilayer_margin_stability",
    kind=Kind.EXACT,
    statement=r"With $\eta(s) = \sum_j \eta_{j,s}$ over all removals, the label of $s$ can change only if "
    r"its margin is at most $2\eta(s)$, and the cross-entropy moves by at most "
    r"$\frac{2}{|T|}\sum_s\eta(s)$.",
    source=f"{_PAPER}, ordered margin stability",
    hypotheses=(_SPLIT,),
    parameters=_PARAMETERS,
    draw=draw_growing,
    left=_largest_changed,
    right=lambda case: 2.0,  # noqa: ARG005
    # no margin is larger than the largest: if that is below 2, every sample may change
    trivial=lambda case: max(2.0, float(np.max(case.relative_margins(case.radii)[0]))) + TINY,
    trials=300,
    witness=_two_layers,
    controls={
        "one percent less": Control(
            breaks="The factor is 1.98 instead of 2.",
            changes={"right": lambda case: _LESS * 2},  # noqa: ARG005
        ),
        "original network": Control(
            breaks="All radii are computed in the network before pruning.",
            changes={"left": functools.partial(_largest_changed, upfront=True)},
        ),
    },
    grids=_GRIDS,
)

MULTILAYER_STATIONARITY = Claim(
    id="multilayer_stationarity",
    kind=Kind.EXACT,
    statement=r"If along $(S_j + \theta R_j)_j$ the objective gains at most $\varepsilon$ per unit of $1 - "
    r"\theta$, then $(1 + \theta)\lambda_2\sum_j|R_j|_F^2 + \lambda_1\sum_j|R_j|_1 \le \sum_j B_j(R_j) + "
    r"\varepsilon$ for masks and every $\theta \le 1$, with $B_j$ in the network itself.",
    source=f"{_PAPER}, stationarity for several layers; that B_j need not be uniform on the path is derived "
    "here",
    hypotheses=(_SPLIT, _MASK),
    parameters=tuple(p for p in _PARAMETERS if p.name in ("n", "classes")),
    draw=draw_stationary_layers,
    left=lambda case: case.largest_surplus,
    right=lambda case: case.upfront_budget,
    # a penalty is at most the objective
    trivial=lambda case: 2 * (case.losses[0] + case.penalty(1.0)),
    rounding=lambda case: case.surplus_rounding,
    trials=200,
    witness=lambda: balanced_layers(np.ones(3), np.array([1, 0, 0]), np.random.default_rng(0)),
    controls={
        "one percent less": Control(
            breaks="The budgets are taken one percent too small.",
            changes={"right": lambda case: _LESS * case.upfront_budget},
        ),
        "budget of one layer": Control(
            breaks="The budget of the first layer stands for both.",
            changes={"right": lambda case: case.upfront[0].budget()},
        ),
    },
    grids={"standard": ({}, {"n": 48}), "full": ({}, {"n": 48}, {"classes": 3})},
)


@dataclass(frozen=True, kw_only=True, eq=False)
class CutCase(SplitCase):
    """A layer ``W`` of which the singular values up to ``cut`` are removed; ``S`` is what stays."""

    cut: float

    @functools.cached_property
    def stretch(self) -> float:
        """Product of the operator norms of the later layers."""
        return math.prod(
            float(np.linalg.norm(layer.weight, 2)) for layer in self.network.layers[self.index + 1 :]
        )

    def ratio(self, *, confidence: float = math.sqrt(2), share: float = 1.0) -> float:
        """The larger of the two left sides over their right sides, over all samples."""
        moved = np.linalg.norm(self.after - self.before, axis=1)
        bound = share * self.stretch * self.cut * np.linalg.norm(self.v, axis=1)
        fallen = margins(self.before, self.labels) - margins(self.after, self.labels)
        slack = 8 * EPS * (np.max(np.abs(self.before)) + np.max(np.abs(self.after)))
        first = np.maximum(moved - self.rounding, 0.0) / np.maximum(bound, TINY)
        second = np.maximum(fallen - slack, 0.0) / np.maximum(confidence * moved, TINY)
        return float(max(np.max(first), np.max(second)))

    @functools.cached_property
    def rounding(self) -> float:
        """Error of the norm of a difference of computed logits: products of 2-norms, each with ``p eps``."""
        sizes = self.network.sizes[self.index :]
        largest = float(np.max(np.linalg.norm(self.v, axis=1))) * float(np.linalg.norm(self.S + self.R)) + 1
        for layer in self.network.layers[self.index + 1 :]:
            bias = 0.0 if layer.bias is None else float(np.linalg.norm(layer.bias))
            largest = largest * float(np.linalg.norm(layer.weight)) + bias
        return 4 * EPS * sum(sizes) * largest


def _draw_cut(cell: Cell, stream: Stream) -> CutCase:
    """Normal weights; or linear ones, where the strongest direction that is cut moves two logits apart."""
    rng, sizes = stream.generator(), layer_sizes(cell)
    index = int(rng.integers(cell["depth"]))
    if index == cell["depth"] - 1 or rng.random() < 0.5:
        weights = [rng.standard_normal((n, m)) / math.sqrt(m) for m, n in itertools.pairwise(sizes)]
        kinds = ["relu"] * (len(weights) - 1) + ["identity"]
        network = Network(tuple(Dense(W, None, kind) for W, kind in zip(weights, kinds)))
        x = rng.standard_normal((cell["samples"], sizes[0]))
        return _cut(network, index, x, rng)
    return _aligned(sizes, index, cell["samples"], rng)


def _cut(network: Network, index: int, x: HostArray, rng: np.random.Generator) -> CutCase:
    U, s, Vt = np.linalg.svd(network.layers[index].weight, full_matrices=False)
    k = int(rng.integers(len(s)))
    S = (U[:, :k] * s[:k]) @ Vt[:k]
    R = network.layers[index].weight - S
    labels = np.argmax(network.logits(x), axis=1)
    return CutCase(
        network=network.replace(index, S + R), index=index, S=S, R=R, x=x, labels=labels, cut=float(s[k])
    )


def _aligned(sizes: tuple[int, ...], index: int, samples: int, rng: np.random.Generator) -> CutCase:
    n, classes = sizes[0], sizes[-1]
    k, values = int(rng.integers(n)), np.sort(rng.uniform(0.1, 3, n))[::-1]

    def turn() -> HostArray:
        return np.asarray(np.linalg.qr(rng.standard_normal((n, n)))[0])

    U, V = turn(), turn()
    turns = [turn() for _ in range(len(sizes) - 2)]
    turns[index] = (U * values) @ V.T
    image, source = U[:, k], V[:, k]
    for Q in turns[index + 1 :]:
        image = Q @ image
    for Q in turns[:index][::-1]:
        source = Q.T @ source
    label, rival = rng.choice(classes, size=2, replace=False)
    apart = (np.arange(classes) == label) * 1.0 - (np.arange(classes) == rival)
    bias = np.where((np.arange(classes) == label) | (np.arange(classes) == rival), 0.0, -50.0)
    layers = [Dense(Q, None, "identity") for Q in turns]
    layers.append(Dense(np.outer(apart, image) / math.sqrt(2), bias, "identity"))
    S = (U[:, :k] * values[:k]) @ V[:, :k].T
    R = turns[index] - S
    network = Network(tuple(layers)).replace(index, S + R)
    x = rng.uniform(0.1, 2, (samples, 1)) * source
    labels = np.full(samples, label)
    return CutCase(network=network, index=index, S=S, R=R, x=x, labels=labels, cut=float(values[k]))


def _plain_cut() -> CutCase:
    """The strongest value that is cut, of a diagonal layer, before two logits that it moves apart."""
    apart = np.array([[0.0, 1.0], [0.0, -1.0]]) / math.sqrt(2)
    S, R = np.diag([3.0, 0.0]), np.diag([0.0, 1.0])
    network = Network((Dense(S + R, None, "identity"), Dense(apart, None, "identity")))
    return CutCase(
        network=network, index=0, S=S, R=R, x=np.array([[0.0, 1.0]]), labels=np.zeros(1, dtype=int), cut=1.0
    )


SVD_TRUNCATION_CONFIDENCE_DET = Claim(
    id="svd_truncation_confidence_det",
    kind=Kind.EXACT,
    statement=r"Without the singular values up to $\tau$ of one layer, $|X(W) - X(W')|_2 \le \prod_{l\ "
    r"later}|W_l|_{op}\,\tau\,|v_s|_2$ and $\delta X(W') \ge \delta X(W) - \sqrt2\,|X(W) - X(W')|_2$; the "
    r"larger ratio of the sides is at most 1.",
    source="Reconstructed from section 5.2 of arXiv:2310.03165; proved here",
    reconstructed=True,
    hypotheses=DET_CE_PATH.hypotheses,
    parameters=_PARAMETERS,
    draw=_draw_cut,
    left=CutCase.ratio,
    trials=200,
    witness=_plain_cut,
    controls={
        "constant 1": Control(
            breaks="The confidence is said to fall by no more than the logits move, without the factor "
            "sqrt(2).",
            changes={"left": functools.partial(CutCase.ratio, confidence=1.0)},
        ),
        "one percent less": Control(
            breaks="The bound on the logits is taken one percent too small.",
            changes={"left": functools.partial(CutCase.ratio, share=_LESS)},
        ),
    },
    grids=_GRIDS,
)

CLAIMS = (
    MULTILAYER_MASK_CERTIFICATE,
    MULTILAYER_UPFRONT_CERTIFICATE,
    MULTILAYER_MARGIN_STABILITY,
    MULTILAYER_STATIONARITY,
    SVD_TRUNCATION_CONFIDENCE_DET,
)
