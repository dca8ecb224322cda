"""What removing independent Gaussian noise from one layer can do to the logits.

The claims about networks are stated for three layers without biases and 1-Lipschitz activations that vanish
at 0; ``v`` are the inputs of the middle layer ``W = S + R`` and ``L`` is the largest row sum of the readout.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Stream
from rmttheory.matrices.noise import parse_noise
from rmttheory.networks.layers import Dense
from rmttheory.networks.losses import margins
from rmttheory.networks.network import Network
from rmttheory.theorem.claims import METHOD, Cell, Claim, Control, Parameter
from rmttheory.theorem.implicit import ImplicitCase, draw_network
from rmttheory.theorem.planted import IID_GAUSSIAN, INDEPENDENT_PATH, NetworkCase
from rmttheory.theorem.removals import EPS
from rmttheory.theorem.verdicts import Band, Kind

PAPER = "arXiv:2606.02608"

RandomCase = NetworkCase | ImplicitCase
"""A network with noise in one layer, drawn with the matrix or without."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RowCase:
    """Noise ``R`` that meets one vector ``v``; ``g`` is the stated noise level."""

    R: HostArray
    v: HostArray
    g: float
    probability: float

    @property
    def norms(self) -> HostArray:
        """``|v|_2``, as of a batch of one."""
        return np.asarray(np.linalg.norm(self.v[None, :], axis=1))

    @property
    def removed_images(self) -> HostArray:
        """``R v``, as of a batch of one."""
        return np.asarray(self.R @ self.v)[None, :]

    @property
    def scale(self) -> float:
        """Standard deviation of each coordinate of ``R v``."""
        return math.sqrt(self.g / len(self.R)) * float(self.norms[0])


def _draw_row(cell: Cell, stream: Stream, *, inflation: float = 1.0) -> RowCase:
    n, m, g = cell["n"], cell["m"], cell["g"]
    v = stream.child("v").normal(m)
    if cell["direction"] == "localised":
        v = np.eye(m)[0]
    R = parse_noise(cell["noise"]).sample((n, m), inflation * g, stream.child("noise"))
    return RowCase(R=R, v=v, g=g, probability=cell["probability"])


def _draw_aligned_row(cell: Cell, stream: Stream) -> RowCase:
    """One row of the noise takes the signs of ``v``; its entries keep their variance."""
    case = _draw_row(cell, stream)
    R = case.R.copy()
    R[0] = math.sqrt(case.g / len(R)) * np.sign(case.v)
    return replace(case, R=R)


def _exact_quantile(case: RowCase) -> float:
    """Level that ``|R v|_inf`` exceeds with the stated probability: ``1 - (2 Phi(z) - 1)^n``."""
    from scipy.special import ndtri

    tail = -math.expm1(math.log1p(-case.probability) / len(case.R)) / 2
    return -float(ndtri(tail)) * case.scale


def _union_quantile(case: RowCase) -> float:
    return math.sqrt(2 * math.log(2 * len(case.R) / case.probability)) * case.scale


ROW_EVENT_EXACT = Claim(
    id="row_event_exact",
    kind=Kind.IDENTITY,
    statement=r"$P(|R v|_\infty \le u) = \left(2 \Phi(u \sqrt{n/g}/|v|_2) - 1\right)^n$ for every $v$ "
    r"that is independent of $R$.",
    source="Derived here: coordinates of $R v$ are independent normals",
    hypotheses=(IID_GAUSSIAN, INDEPENDENT_PATH),
    parameters=(
        Parameter(name="n", meaning="rows of R", typical=128, low=2, high=65536),
        Parameter(name="m", meaning="columns of R", typical=32, low=2, high=65536),
        Parameter(name="g", meaning="n times the variance of entries", typical=1.0, low=1e-6, high=1e6),
        Parameter(name="probability", meaning="of exceeding u", typical=0.2, low=0.01, high=0.75),
        Parameter(name="direction", meaning="kind of v", typical="spread", choices=("spread", "localised")),
        Parameter(name="noise", meaning="law of R", typical="gaussian"),
    ),
    draw=_draw_row,
    left=lambda case: float(np.max(np.abs(case.removed_images))),
    right=_exact_quantile,
    # trials are planned to see a quarter more events: at the typical cell, noise 9 % stronger than stated
    failure=lambda cell: Band(
        low=cell["probability"], high=cell["probability"], planned=1.25 * cell["probability"]
    ),
    loose_because="An equality in law: the frequency of exceeding u is itself the sharp statement.",
    controls={
        "aligned row": Control(
            breaks="One row of R has the signs of v: R knows the path.",
            changes={"draw": _draw_aligned_row, "hypotheses": ()},
        ),
        "heavy tails": Control(
            breaks="Student-t entries with 3 degrees of freedom, met by a localised v.",
            changes={"hypotheses": ()},
            cell={"noise": "student-t:3", "direction": "localised"},
        ),
        "stronger noise": Control(
            breaks="The noise has 1.15 times the stated variance.",
            changes={"draw": functools.partial(_draw_row, inflation=1.15)},
        ),
        "union bound": Control(
            breaks="The level that the union bound gives is taken for the exact one.",
            changes={"right": _union_quantile},
        ),
    },
    grids={
        "quick": ({},),
        "standard": ({}, {"n": 300, "probability": 0.05}, {"direction": "localised", "g": 0.25}),
        "full": tuple(
            {"n": n, "probability": p, "direction": kind}
            for n in (16, 128, 512)
            for p in (0.05, 0.2, 0.5)
            for kind in ("spread", "localised")
        ),
    },
)


def _share_of_radius(case: RandomCase, *, radius: Callable[[RandomCase], HostArray] | None = None) -> float:
    """Change of the logits over the certified radius, largest over the samples."""
    return float(np.max(case.change / (radius or _stated_radius)(case)))


def _stated_radius(case: RandomCase) -> HostArray:
    return case.radius(case.cell["delta"])


def _radius_without_logarithm(case: RandomCase) -> HostArray:
    delta = case.cell["delta"]
    return case.radius(delta) / math.sqrt(math.log(2 * case.width * len(case.v) / delta))


def logit_rounding(case: RandomCase) -> float:
    """Bound on the error of a computed logit: ``n`` products of what the layer puts out at most."""
    images = case.removed_images
    removed = max(float(np.max(images)), -float(np.min(images)))
    largest = math.sqrt(case.signal_energy) * float(np.max(case.norms)) + removed
    return 4 * case.width * EPS * case.lipschitz * largest


def _protectable(case: RandomCase) -> float:
    """Multiple of the radius up to which some label is protected: half the margin, best sample."""
    best = np.argmax(case.before, axis=1)
    return float(np.max(margins(case.before, best) / (2 * _stated_radius(case))))


def stretch_at(case: RandomCase, width: float) -> float:
    """Largest row sum of the readout at another width; a standard readout has sums of ``sqrt(2 n / pi)``."""
    if case.cell.get("readout", "bounded") == "bounded":
        return case.lipschitz
    return case.lipschitz + math.sqrt(2 * width / math.pi) - math.sqrt(2 * case.width / math.pi)


def radius_at(case: RandomCase, width: float, delta: float) -> float:
    """Certified radius at another width for an input of the layer of norm 1."""
    samples = case.cell["samples"]
    return stretch_at(case, width) * math.sqrt(2 * case.g * math.log(2 * width * samples / delta) / width)


def _width_for_labels(case: RandomCase) -> float:
    """Width at which the radius protects some label, with norms and margins what they are without ``R``."""
    confidence = margins(case.after, np.argmax(case.after, axis=1))
    best = float(np.max(confidence / case.norms))
    return least_width(lambda n: 2 * radius_at(case, n, case.cell["delta"]) < best, above=case.width)


def least_width(speaks: Callable[[float], bool], *, above: int) -> float:
    """Least width over ``above`` at which a bound speaks that improves with width; inf if it never does."""
    high = 2 * above
    while not speaks(high):
        high *= 2
        if high > 2**1000:
            return math.inf
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if speaks(middle) else (middle, high)
    return float(high)


def draw_entries(cell: Cell, stream: Stream) -> NetworkCase:
    """Draw a network whose noise has entries, to be tampered with.

    Raises
    ------
    InvalidInput
        If the cell asks for noise without entries.
    """
    case = draw_network(cell, stream)
    if isinstance(case, ImplicitCase):
        msg = "This needs the entries of the noise: `method` must be 'dense'."
        raise InvalidInput(msg)
    return case


def _draw_aligned(cell: Cell, stream: Stream) -> NetworkCase:
    """The row of the noise that the first class reads has the signs of the mean input of the layer."""
    case = draw_entries(cell, stream)
    R = case.R.copy()
    R[0] = math.sqrt(case.g / len(R)) * np.where(np.mean(case.v, axis=0) > 0, 1.0, -1.0)
    return replace(case, R=R, network=case.network.replace(1, case.S + R))


def extreme_case(*, share: float = 1.0) -> NetworkCase:
    """Noise that moves the right logit up and the wrong one down by 99.5 % of a radius."""
    n = 64
    cell = {"n": n, "classes": 2, "samples": 1, "g": 1.0, "delta": 0.05, "readout": "bounded", "decay": 0.0}
    e = np.eye(n)
    S = np.outer(5 * e[0] + 25 * e[1], e[0])
    layers = (Dense(e[:, :2], None), Dense(S, None), Dense(e[:2], None, "identity"))
    case = NetworkCase(
        network=Network(layers), S=S, R=0 * S, x=np.eye(2)[:1], labels=np.array([0]), cell=cell
    )
    # NetworkCase caches what it computes, so the radius comes from a case of its own
    R = 0.995 * float(case.radius(0.05 * share)[0]) * np.outer(e[0] - e[1], e[0])
    return replace(case, R=R, network=case.network.replace(1, S + R))


def network_parameters(*more: Parameter) -> tuple[Parameter, ...]:
    """Return the parameters of networks that `draw_network` draws, and ``more``."""
    return (
        Parameter(name="n", meaning="width", typical=256, low=16, high=10**7),
        Parameter(name="delta", meaning="failure probability", typical=0.05, low=1e-3, high=0.9),
        Parameter(name="samples", meaning="size of the batch", typical=20, low=1, high=100_000),
        Parameter(name="classes", meaning="logits", typical=10, low=2, high=1000),
        Parameter(name="g", meaning="n times the variance of entries of R", typical=1.0, low=1e-6, high=1e3),
        Parameter(name="strength", meaning="singular values of S", typical=3.0, low=0.0, high=1e3),
        Parameter(
            name="readout",
            meaning="row sums of the last layer: 1, or growing as those of N(0, 1/n) entries",
            typical="bounded",
            choices=("bounded", "standard"),
        ),
        Parameter(name="noise", meaning="law of R", typical="gaussian"),
        METHOD,
        *more,
    )


def planned(cell: Cell) -> float:
    """Honest guess of the true failure rate: only rows that a logit reads can break a bound for all rows."""
    return float(cell["delta"] * min(1.0, cell["classes"] / cell["n"]))


FINITE_CONFIDENCE = Claim(
    id="finite_confidence",
    kind=Kind.TAIL,
    statement=r"With probability at least $1 - \delta$, for all samples $s$ of a batch $T$ at once: "
    r"$|X(s, S) - X(s, W)|_\infty \le L\,|v_s|_2 \sqrt{2 g \log(2 n |T|/\delta)/n}$.",
    source=f"{PAPER}, theorem with a confidence parameter",
    hypotheses=(IID_GAUSSIAN, INDEPENDENT_PATH),
    parameters=network_parameters(),
    draw=draw_network,
    left=_share_of_radius,
    trivial=_protectable,
    rounding=lambda case: 2 * logit_rounding(case) / float(np.min(_stated_radius(case))),
    failure=lambda cell: Band(high=cell["delta"], planned=planned(cell)),
    witness=lambda: extreme_case(),
    speaks_at=_width_for_labels,
    controls={
        "no logarithm": Control(
            breaks="The radius of one row and one sample, claimed for all of them.",
            changes={"left": functools.partial(_share_of_radius, radius=_radius_without_logarithm)},
        ),
        "half radius": Control(
            breaks="Half of the radius.", changes={"left": lambda case: 2 * _share_of_radius(case)}
        ),
        "heavy tails": Control(
            breaks="Student-t entries with 3 degrees of freedom, met by localised features.",
            changes={"draw": functools.partial(draw_network, localised=True), "hypotheses": ()},
            cell={"noise": "student-t:3"},
        ),
        "aligned noise": Control(
            breaks="One row of R has the signs of the features: R knows the path.",
            changes={"draw": _draw_aligned, "hypotheses": ()},
            cell={"method": "dense"},
        ),
    },
    grids={
        "quick": ({}, {"strength": 0.15}, {"readout": "standard"}),
        "standard": (
            {},
            {"strength": 0.15},
            {"readout": "standard"},
            {"n": 1024},
            {"samples": 200, "delta": 0.01},
            {"g": 0.25, "strength": 1.0},
        ),
        "full": tuple(
            {"n": n, "readout": kind, "strength": theta, "samples": 50}
            for n in (64, 256, 1024)
            for kind in ("bounded", "standard")
            for theta in (0.5, 3.0)
        ),
    },
)


CLAIMS = (ROW_EVENT_EXACT, FINITE_CONFIDENCE)
