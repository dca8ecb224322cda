"""The theorem for any noise whose action on the inputs is known to be small with high probability.

All that the proofs ask of ``R`` is ``P(|R v|_inf > d_1 |v|_2 | v) <= d_2`` and a tail of ``<S, R>_F``.
Independent sub-Gaussian entries have it, and so has any noise that is invariant under rotations: its images
``R v`` are uniform on a sphere, whose coordinates are sub-Gaussian too.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices.noise import HaarRotated, parse_noise
from rmttheory.matrices.spikes import bulk_edge
from rmttheory.networks import cross_entropy
from rmttheory.networks.losses import margins
from rmttheory.theorem.claims import Cell, Claim, Control, Parameter
from rmttheory.theorem.implicit import draw_network
from rmttheory.theorem.planted import INDEPENDENT_SIGNAL, SMALL_SIGNAL
from rmttheory.theorem.statements.gaussian import FINITE_CONFIDENCE, PAPER, RandomCase, logit_rounding
from rmttheory.theorem.statements.scaled import LOSS_REDUCTION_GAUSSIAN, SCALED_PATH
from rmttheory.theorem.verdicts import Band, Kind


def scale_of_images(case: RandomCase) -> float:
    """What stands for ``sqrt(g)``: the largest singular value, where the noise has nothing but rotations.

    ``|R v|_2 <= |R|_op |v|_2``, and a coordinate of a uniform unit vector exceeds ``t`` with probability at
    most ``2 exp(-n t^2 / 2)``, as that of a normal vector of variance ``1/n`` does.
    """
    rotated = isinstance(parse_noise(case.cell["noise"]), HaarRotated)
    return bulk_edge(1.0, case.g) if rotated else math.sqrt(case.g)


def _radius(case: RandomCase, *, factor: float = 1.0, share: float = 1.0) -> HostArray:
    """``a_phi``, of all samples at once, at a ``share`` of the failure probability."""
    inflation = scale_of_images(case) / math.sqrt(case.g)
    return factor * inflation * case.radius(share * case.cell["delta"])


def _share_of_radius(case: RandomCase, *, factor: float = 1.0) -> float:
    return float(np.max(case.change / _radius(case, factor=factor)))


def _protectable(case: RandomCase) -> float:
    best = np.argmax(case.before, axis=1)
    return float(np.max(margins(case.before, best) / (2 * _radius(case))))


def _bound(case: RandomCase, *, cross: bool = True) -> float:
    """The cross-entropy part and, at the other half of the failure probability, the cross term."""
    total = 2 * float(np.mean(_radius(case, share=0.5)))
    if cross:
        spread = 2 * math.log(4 / case.cell["delta"]) / case.width * case.signal_energy
        total += 2 * float(case.cell["decay"]) * scale_of_images(case) * math.sqrt(spread)
    return total


def _parameters(claim: Claim) -> tuple[Parameter, ...]:
    """Those of a Gaussian claim, drawn in full, with other noise and at a smaller size."""
    typical = {"n": 160, "noise": "rademacher", "delta": 0.1, "samples": 10}
    return tuple(
        replace(p, typical=typical.get(p.name, p.typical), high=4096 if p.name == "n" else p.high)
        for p in claim.parameters
        if p.name != "method"
    )


_GRIDS = {
    "quick": ({}, {"noise": "haar"}),
    "standard": ({}, {"noise": "haar"}, {"noise": "uniform"}, {"noise": "haar", "n": 256}),
    "full": tuple(
        {"noise": law, "n": n} for law in ("rademacher", "uniform", "haar", "gaussian") for n in (64, 256)
    ),
}
_INSTANCES = "independent signs or uniform entries, and noise of Haar-distributed singular vectors"

REMOVE_R_GENERAL = Claim(
    id="remove_R_general",
    kind=Kind.TAIL,
    statement=r"If $P(|R v|_\infty > d_1 |v|_2) \le d_2$ for every $v$ independent of $R$, then with "
    r"probability at least $1 - |T| d_2$: $|X(s, S) - X(s, W)|_\infty \le d_1 L\,|v_s|_2$; here $d_1 = "
    r"\sigma\sqrt{2\log(2 n|T|/\delta)/n}$, $\sigma = \sqrt g$ for sub-Gaussian entries and $|R|_{op}$ for "
    r"rotation-invariant noise.",
    source=f"{PAPER}, abstract lemma on removing R; instances derived here: {_INSTANCES}",
    parameters=_parameters(FINITE_CONFIDENCE),
    draw=draw_network,
    left=_share_of_radius,
    trivial=_protectable,
    rounding=lambda case: 2 * logit_rounding(case) / float(np.min(_radius(case))),
    failure=lambda cell: Band(high=cell["delta"]),
    witness=lambda: _as_signs(FINITE_CONFIDENCE),
    controls={
        "no logarithm": Control(
            breaks="The radius of one row and one sample, claimed for all of them.",
            changes={"left": functools.partial(_share_of_radius, factor=1 / math.sqrt(2 * math.log(32000)))},
        ),
        "entries without moments": Control(
            breaks="Student-t entries with 3 degrees of freedom, met by localised features: d_2 is larger.",
            changes={"draw": functools.partial(draw_network, localised=True)},
            cell={"noise": "student-t:3", "classes": 90, "samples": 90, "n": 96},
        ),
    },
    grids=_GRIDS,
)


def _as_signs(claim: Claim) -> RandomCase:
    """The witness of a Gaussian claim; its noise has no law, so any name of one will do."""
    case: RandomCase = claim.witness()  # type: ignore[misc]
    return replace(case, cell={**case.cell, "noise": "rademacher"})


LOSS_REDUCTION_GENERAL = replace(
    LOSS_REDUCTION_GAUSSIAN,
    id="loss_reduction_general",
    statement=r"For noise as in remove_R_general with $P(|\langle S, R\rangle_F| > \eta) \le \delta/2$, "
    r"with probability at least $1 - \delta$: $\mathcal L(S) \le \mathcal L(W) - \lambda|R|_F^2 + "
    r"\frac{2}{|T|}\sum_s a_\varphi(n, s) + 2\lambda\eta$, where $a_\varphi = \sigma "
    r"L\,|v_s|_2\sqrt{2\log(4n|T|/\delta)/n}$ and $\eta = \sigma|S|_F\sqrt{2\log(4/\delta)/n}$.",
    source=f"{PAPER}, abstract theorem on the reduction of the loss; instances derived here: {_INSTANCES}",
    hypotheses=(INDEPENDENT_SIGNAL, SMALL_SIGNAL),
    parameters=_parameters(LOSS_REDUCTION_GAUSSIAN),
    right=_bound,
    failure=lambda cell: Band(high=cell["delta"]),
    witness=lambda: _as_signs(LOSS_REDUCTION_GAUSSIAN),
    controls={
        "no cross term": Control(
            breaks="The cross term 2 lambda <S, R>_F is left out of the bound.",
            changes={"right": functools.partial(_bound, cross=False)},
            cell={"decay": 10.0},
        ),
        "double credit": replace(LOSS_REDUCTION_GAUSSIAN.controls["double credit"], cell={"decay": 0.1}),
    },
    grids=_GRIDS,
)

SCALED_PATH_GENERAL = replace(
    SCALED_PATH,
    id="scaled_path_general",
    statement=r"For the same noise, for all $\theta \in [0, 1]$ at once: $\mathcal L(S + \theta R) \le "
    r"\mathcal L(W) - \lambda(1 - \theta^2)|R|_F^2 + (1 - \theta)\left(\frac{2}{|T|}\sum_s a_\varphi(n, s) "
    r"+ 2\lambda\eta\right)$, with probability at least $1 - \delta$.",
    source=f"{PAPER}, abstract theorem on scaled noise; instances derived here: {_INSTANCES}",
    hypotheses=(INDEPENDENT_SIGNAL, SMALL_SIGNAL),
    parameters=_parameters(SCALED_PATH),
    right=_bound,
    failure=lambda cell: Band(high=cell["delta"]),
    witness=lambda: _as_signs(SCALED_PATH),
    controls={
        "linear reward": replace(SCALED_PATH.controls["linear reward"], cell={"decay": 0.1}),
        "faster decay": replace(SCALED_PATH.controls["faster decay"], cell={"decay": 10.0, "delta": 0.05}),
    },
    grids=_GRIDS,
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TelescopeCase:
    """A deep network before and after all its hidden layers ``S_l + R_l`` became ``S_l``.

    Attributes
    ----------
    losses : tuple of float
        Cross-entropy before and after.
    cross : float
        ``sum_l <S_l, R_l>_F``.
    decay : float
    """

    losses: tuple[float, float]
    cross: float
    decay: float

    @property
    def deviation(self) -> float:
        """``L_after - L_before + lambda sum_l |R_l|_F^2``."""
        return abs(self.losses[1] - self.losses[0] - 2 * self.decay * self.cross)


def _draw_telescope(cell: Cell, stream: Stream, *, deep: bool = False, wide: bool = False) -> TelescopeCase:
    """Layers that hold up one neuron for each class, with noise that is never formed.

    The noise of a layer is met by the inputs from the layers before it and by the coordinate vectors of the
    signal; in a basis of their span it is normal. ``deep`` takes a depth that grows with the width,
    ``wide`` a readout of all neurons, whose row sums grow.
    """
    n, K = cell["n"], cell["classes"]
    labels = np.arange(cell["samples"]) % K
    x = np.eye(n)[labels] + stream.child("inputs").normal((len(labels), n), scale=0.1 / math.sqrt(n))
    readout = np.eye(K, n)
    if wide:
        readout = readout + stream.child("readout").normal((K, n))
    deviation, theta, cross = math.sqrt(cell["g"] / n), cell["strength"], 0.0
    noisy, clean = x, x
    for layer in range(max(1, n // 16) if deep else cell["depth"]):
        basis, _ = np.linalg.qr(np.concatenate([np.eye(K, n), noisy]).T)
        images = stream.child("noise", layer).normal((n, basis.shape[1]), scale=deviation)
        met = images @ (basis.T @ np.eye(n, K))  # R e_k
        cross += theta * float(np.trace(met[:K]))
        signal = theta * np.eye(n, K)
        noisy = np.maximum(noisy[:, :K] @ signal.T + (noisy @ basis) @ images.T, 0.0)
        clean = np.maximum(clean[:, :K] @ signal.T, 0.0)
    losses = tuple(cross_entropy(v @ readout.T, labels) for v in (noisy, clean))
    return TelescopeCase(losses=(losses[0], losses[1]), cross=cross, decay=cell["decay"])


MULTILAYER_TELESCOPING = Claim(
    id="multilayer_telescoping",
    kind=Kind.LIMIT,
    statement=r"Noise removed from a fixed number of layers: $\mathcal L_{after} - \mathcal L_{before} + "
    r"\lambda\sum_l|R_l|_F^2 \to 0$, with error $O(n^{-1/2})$.",
    source=f"{PAPER}, theorem for several layers",
    parameters=(
        Parameter(name="n", meaning="width, a ladder", typical=(64, 512, 4096), low=32, high=10**6),
        Parameter(name="depth", meaning="hidden layers", typical=3, low=1, high=64),
        Parameter(name="samples", meaning="size of the batch", typical=8, low=1, high=1000),
        Parameter(name="classes", meaning="logits", typical=4, low=2, high=16),
        Parameter(
            name="g", meaning="n times the variance of entries of R", typical=0.25, low=1e-6, high=10.0
        ),
        Parameter(name="strength", meaning="singular values of S", typical=1.0, low=0.0, high=10.0),
        Parameter(name="decay", meaning="weight of the squared norms", typical=1e-3, low=0.0, high=10.0),
    ),
    draw=_draw_telescope,
    left=lambda case: case.deviation,
    trials=360,
    loose_because="A limit has no right side to attain; its controls show that a growing sum is refuted.",
    controls={
        "growing depth": Control(
            breaks="The number of layers grows like n, and the error of each layer stays in the sum.",
            changes={"draw": functools.partial(_draw_telescope, deep=True)},
            cell={"n": (64, 128, 256, 512), "g": 1.5},
        ),
        "wide readout": Control(
            breaks="A layer after them has row sums like sqrt(n): a(N, s) does not tend to 0.",
            changes={"draw": functools.partial(_draw_telescope, wide=True), "trials": 1440},
            cell={"n": (32, 256, 2048)},
        ),
    },
    grids={"standard": ({}, {"depth": 8}), "full": tuple({"depth": d} for d in (2, 4, 8, 16))},
)

CLAIMS = (REMOVE_R_GENERAL, LOSS_REDUCTION_GENERAL, SCALED_PATH_GENERAL, MULTILAYER_TELESCOPING)
