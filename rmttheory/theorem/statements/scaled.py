"""What removing independent Gaussian noise from one layer, all or part of it, can do to the loss.

Networks and letters are those of the claims about logits; ``lambda`` is the weight of the squared norm of the
layer in the loss. For every ``theta``, ``|S + theta R|_F^2 - |S + R|_F^2`` is
``-(1 - theta^2) |R|_F^2 - 2 (1 - theta) <S, R>_F``.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from rmttheory.arrays import Stream
from rmttheory.networks import cross_entropy
from rmttheory.theorem.claims import Cell, Claim, Control, Parameter
from rmttheory.theorem.implicit import draw_network
from rmttheory.theorem.planted import (
    IID_GAUSSIAN,
    INDEPENDENT_PATH,
    INDEPENDENT_SIGNAL,
    SMALL_SIGNAL,
    NetworkCase,
)
from rmttheory.theorem.removals import EPS
from rmttheory.theorem.statements.gaussian import (
    PAPER,
    RandomCase,
    draw_entries,
    extreme_case,
    least_width,
    logit_rounding,
    network_parameters,
    planned,
    radius_at,
)
from rmttheory.theorem.verdicts import Band, Kind

THETAS = tuple(i / 8 for i in range(8))
"""How much of the noise stays: from none to most of it."""
_PARAMETERS = network_parameters(
    Parameter(name="decay", meaning="weight of the squared norm", typical=0.01, low=0.0, high=1e3)
)


def _draw_dependent(cell: Cell, stream: Stream) -> NetworkCase:
    """The signal has absorbed half of the noise with the opposite sign."""
    case = draw_entries(cell, stream)
    S = case.S - case.R / 2
    return replace(case, S=S, network=case.network.replace(1, S + case.R))


def _excess(case: RandomCase, *, credit: float = 1.0) -> float:
    """``L(S) - L(W) + lambda |R|_F^2``; the loss ``L`` has ``lambda`` times the squared norm of the layer."""
    decay = float(case.cell["decay"])
    return case.loss_change + decay * ((credit - 1) * case.noise_energy - 2 * case.cross)


def _loss_bound(case: RandomCase) -> float:
    """Cross-entropy part and cross term, each with half of the failure probability."""
    return _cross_entropy_bound(case) + _cross_term_bound(case)


def _cross_entropy_bound(case: RandomCase) -> float:
    return 2 * float(np.mean(case.radius(case.cell["delta"] / 2)))


def _cross_term_bound(case: RandomCase) -> float:
    spread = 2 * case.g * math.log(4 / case.cell["delta"]) / case.width * case.signal_energy
    return 2 * float(case.cell["decay"]) * math.sqrt(spread)


def _loss_rounding(case: RandomCase) -> float:
    """Two losses, each 2-Lipschitz in the logits, and a cross term that adds up ``n^2`` products in pairs."""
    cross = 64 * EPS * math.sqrt(case.signal_energy * case.noise_energy)
    return 4 * logit_rounding(case) + 2 * float(case.cell["decay"]) * cross + 64 * EPS * max(case.losses)


def _reward(case: RandomCase) -> float:
    """``lambda |R|_F^2``: a larger bound certifies no decrease of the loss."""
    return float(case.cell["decay"]) * case.noise_energy


def _width_for_decrease(case: RandomCase) -> float:
    """Width at which a decrease would be certified, with ``|R|_F^2 = g n`` and ``|S|_F`` what it is here."""
    decay, delta = float(case.cell["decay"]), case.cell["delta"]
    norm, cross = float(np.mean(case.norms)), _cross_term_bound(case)

    def speaks(n: float) -> bool:
        bound = 2 * norm * radius_at(case, n, delta / 2) + cross * math.sqrt(case.width / n)
        return bound < decay * case.g * n

    return least_width(speaks, above=case.width)


LOSS_REDUCTION_GAUSSIAN = Claim(
    id="loss_reduction_gaussian",
    kind=Kind.TAIL,
    statement=r"With probability at least $1 - \delta$: $\mathcal L(S) \le \mathcal L(W) - \lambda |R|_F^2 + "
    r"\frac{2}{|T|}\sum_s L |v_s|_2 \sqrt{2 g \log(4 n |T|/\delta)/n} "
    r"+ 2 \lambda |S|_F \sqrt{2 g \log(4/\delta)/n}$, $\mathcal L$ being "
    r"the cross-entropy plus $\lambda$ times the squared norm of the layer.",
    source=f"{PAPER}, theorem on the reduction of the loss, with explicit constants derived here",
    hypotheses=(IID_GAUSSIAN, INDEPENDENT_PATH, INDEPENDENT_SIGNAL, SMALL_SIGNAL),
    parameters=_PARAMETERS,
    draw=draw_network,
    left=_excess,
    right=_loss_bound,
    trivial=_reward,
    rounding=_loss_rounding,
    failure=lambda cell: Band(high=cell["delta"], planned=planned(cell)),
    witness=lambda: extreme_case(share=0.5),
    speaks_at=_width_for_decrease,
    controls={
        "dependent signal": Control(
            breaks="S holds -R/2: removing R adds as much norm as it takes away.",
            changes={"draw": _draw_dependent, "hypotheses": ()},
            cell={"method": "dense"},
        ),
        "no cross term": Control(
            breaks="The cross term 2 lambda <S, R>_F is left out of the bound.",
            changes={"right": _cross_entropy_bound},
            cell={"decay": 10.0},
        ),
        "no change of loss": Control(
            breaks="The change of the cross-entropy is left out of the bound.",
            changes={"right": _cross_term_bound},
            cell={"decay": 0.0},
        ),
        "double credit": Control(
            breaks="The norm of R is credited twice.",
            changes={"left": functools.partial(_excess, credit=2.0)},
        ),
    },
    grids={
        "quick": ({}, {"decay": 1e-4}),
        "standard": ({}, {"decay": 1e-4}, {"decay": 10.0}, {"n": 1024}, {"readout": "standard"}),
        "full": tuple(
            {"n": n, "decay": decay, "readout": kind}
            for n in (128, 256, 1024)
            for decay in (1e-4, 1e-3, 1e-2)
            for kind in ("bounded", "standard")
        ),
    },
)


def _worst_on_path(
    case: RandomCase,
    *,
    thetas: Sequence[float] = THETAS,
    reward: Callable[[float], float] = lambda theta: 1 - theta**2,
    power: float = 1.0,
) -> float:
    """Largest ``(L(S + theta R) - L(W) + lambda (1 - theta^2) |R|_F^2) / |1 - theta|`` over ``thetas``."""
    decay = float(case.cell["decay"])
    shares: list[float] = []
    for theta, logits in zip(thetas, case.along(thetas)):
        change = cross_entropy(logits, case.labels) - case.losses[0]
        overpaid = (reward(theta) - (1 - theta**2)) * case.noise_energy
        excess = change + decay * (overpaid - 2 * (1 - theta) * case.cross)
        shares.append(float(excess) / abs(1 - theta) ** power)
    return max(shares)


SCALED_PATH = Claim(
    id="scaled_path",
    kind=Kind.TAIL,
    statement=r"With probability at least $1 - \delta$, for all $\theta \in [0, 1]$ at once: "
    r"$\mathcal L(S + \theta R) \le \mathcal L(W) - \lambda (1 - \theta^2) |R|_F^2 + (1 - \theta) \left("
    r"\frac{2}{|T|}\sum_s L |v_s|_2 \sqrt{2 g \log(4 n |T|/\delta)/n} "
    r"+ 2 \lambda |S|_F \sqrt{2 g \log(4/\delta)/n}\right)$, $\mathcal L$ being "
    r"the cross-entropy plus $\lambda$ times the squared norm of the layer.",
    source=f"{PAPER}, theorem on scaled noise, with explicit constants derived here",
    hypotheses=(IID_GAUSSIAN, INDEPENDENT_PATH, INDEPENDENT_SIGNAL, SMALL_SIGNAL),
    parameters=_PARAMETERS,
    draw=draw_network,
    left=_worst_on_path,
    right=_loss_bound,
    # a decrease is certified for every theta < 1 if the bound stays below the reward of theta = 0
    trivial=_reward,
    rounding=lambda case: _loss_rounding(case) / (1 - THETAS[-1]),
    failure=lambda cell: Band(high=cell["delta"], planned=planned(cell)),
    witness=lambda: extreme_case(share=0.5),
    speaks_at=_width_for_decrease,
    controls={
        "more noise": Control(
            breaks="The same is claimed of theta = 3/2 and 2: more noise, not less.",
            changes={
                "left": functools.partial(_worst_on_path, thetas=(1.5, 2.0)),
                "right": lambda case: -_loss_bound(case),
            },
        ),
        "linear reward": Control(
            breaks="The norm of R is credited 2 (1 - theta) times instead of 1 - theta^2.",
            changes={"left": functools.partial(_worst_on_path, reward=lambda theta: 2 * (1 - theta))},
        ),
        "faster decay": Control(
            breaks="The errors are claimed to fall like (1 - theta)^2.",
            changes={"left": functools.partial(_worst_on_path, power=2.0)},
            cell={"decay": 10.0},
        ),
        "dependent signal": Control(
            breaks="S holds -R/2: removing R adds as much norm as it takes away.",
            changes={"draw": _draw_dependent, "hypotheses": ()},
            cell={"method": "dense"},
        ),
    },
    grids={
        "quick": ({},),
        "standard": ({}, {"decay": 1e-4}, {"decay": 10.0}, {"n": 16384}),
        "full": tuple(
            {"n": n, "decay": decay, "readout": kind}
            for n in (256, 4096, 65536)
            for decay in (1e-4, 1e-2)
            for kind in ("bounded", "standard")
        ),
    },
)

CLAIMS = (LOSS_REDUCTION_GAUSSIAN, SCALED_PATH)
