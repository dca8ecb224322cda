"""What a minimum of the penalised loss says about noise in it: there is next to none.

At a minimum over how much of ``R`` is in ``S + theta R``, the penalty of what is left is at most what the
data can pay for it. Then ``|R|_F`` falls, and with it everything that the bulk does.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices.noise import parse_noise
from rmttheory.matrices.spikes import spike_from_outlier, spike_threshold
from rmttheory.networks import Dense, Network, cross_entropy, loss_and_gradients
from rmttheory.theorem.claims import METHOD, Cell, Claim, Control, Parameter
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_least
from rmttheory.theorem.removals import EPS
from rmttheory.theorem.spiked import BandCase, SpikedCase, draw_spiked
from rmttheory.theorem.statements.gaussian import PAPER, RandomCase, draw_entries
from rmttheory.theorem.statements.scaled import LOSS_REDUCTION_GAUSSIAN
from rmttheory.theorem.verdicts import Band, Kind


def best_share(case: RandomCase, decay: float) -> float:
    """Share ``theta`` in [0, 1] of the noise at which the penalised loss of ``S + theta R`` is least."""
    from scipy.optimize import minimize_scalar

    def objective(theta: float) -> float:
        penalty = decay * (theta**2 * case.noise_energy + 2 * theta * case.cross)
        return cross_entropy(case.along([theta])[0], case.labels) + penalty

    found = minimize_scalar(objective, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-9})
    ends = [(objective(theta), theta) for theta in (0.0, 1.0)]
    return float(min([*ends, (found.fun, float(found.x))])[1])


def _mass(case: RandomCase, *, decay: float = 1.0, stays: bool = False) -> float:
    """``2 lambda theta |R|_F^2`` at the minimum; ``decay`` multiplies the penalty that it is a minimum of."""
    weight = float(case.cell["decay"])
    share = 1.0 if stays else best_share(case, decay * weight)
    return 2 * weight * share * case.noise_energy


def _draw_gradient(cell: Cell, stream: Stream) -> RandomCase:
    """Noise replaced by a step along which the data gain, of the same energy."""
    case = draw_entries(cell, stream)
    base = case.network.replace(1, case.S)
    _, gradients = loss_and_gradients(base, case.x, case.labels)
    G = -np.asarray(gradients[1].weight)
    R = G * (np.linalg.norm(case.R) / np.linalg.norm(G))
    return replace(case, R=R, network=base.replace(1, case.S + R))


STATIONARITY_COLLAPSE = replace(
    LOSS_REDUCTION_GAUSSIAN,
    id="stationarity_collapse",
    statement=r"If $S + \theta R$ has the least penalised loss of all $\theta \in [0, 1]$, then with "
    r"probability at least $1 - \delta$: $2\lambda\theta|R|_F^2 \le \frac{2}{|T|}\sum_s L\,|v_s|_2\sqrt{2 "
    r"g\log(4n|T|/\delta)/n} + 2\lambda|S|_F\sqrt{2 g\log(4/\delta)/n}$, so that $\theta|R|_F \to 0$ where "
    r"$\lambda > 0$ is fixed.",
    source=f"{PAPER}, collapse at stationary points, at finite size",
    parameters=tuple(
        replace(p, typical={"delta": 0.2, "samples": 10}.get(p.name, p.typical))
        for p in LOSS_REDUCTION_GAUSSIAN.parameters
    ),
    left=_mass,
    # theta is at most 1
    trivial=functools.partial(_mass, stays=True),
    # the minimum is found within 1e-8: where it is flat, an error eps of the loss moves it by sqrt(eps)
    rounding=lambda case: 2e-7 * float(case.cell["decay"]) * case.noise_energy,
    failure=lambda cell: Band(high=cell["delta"]),
    witness=None,
    loose_because="Noise that is independent of the data moves the loss by far less than the sum over the "
    "largest coordinates: no draw of it comes near. Where it may know the data, `mask_stationarity` "
    "attains its bound.",
    controls={
        "stopped early": Control(
            breaks="All of the noise is still there: no minimum was looked for.",
            changes={"left": functools.partial(_mass, stays=True)},
        ),
        "no decay": Control(
            breaks="The minimum is one of the loss without a penalty.",
            changes={"left": functools.partial(_mass, decay=0.0)},
            cell={"strength": 0.1, "classes": 2, "samples": 4, "delta": 0.1},
        ),
        "gradient for noise": Control(
            breaks="R is a step along which the data gain: it knows the path.",
            changes={"draw": _draw_gradient, "hypotheses": ()},
            cell={"method": "dense", "strength": 0.1, "decay": 0.002},
        ),
    },
    grids={
        "quick": ({},),
        "standard": ({}, {"n": 1024}, {"decay": 0.1}),
        "full": tuple({"n": n, "decay": decay} for n in (256, 1024, 4096) for decay in (0.01, 0.1)),
    },
)


@dataclass(frozen=True, kw_only=True)
class EnergyCase:
    """``|R|_F^2`` of an ``n x m`` layer and the level that it exceeds with the stated probability."""

    energy: float
    level: float


def _draw_energy(cell: Cell, stream: Stream, *, inflation: float = 1.0) -> EnergyCase:
    from scipy.special import chdtri

    n, m, g = cell["n"], cell["m"], cell["g"]
    R = parse_noise(cell["noise"]).sample((n, m), inflation * g, stream)
    level = g / n * float(chdtri(n * m, cell["probability"]))
    return EnergyCase(energy=float(np.sum(np.asarray(R) ** 2)), level=level)


VARIANCE_SCALE_COLLAPSE = Claim(
    id="variance_scale_collapse",
    kind=Kind.IDENTITY,
    statement=r"$n|R|_F^2/g$ is chi-square with $n m$ degrees of freedom, so $|R|_F^2/(g m) \to 1$: where "
    r"$|R_*|_F \to 0$, also $g_* m \to 0$ and the edge $\sqrt{g_*}(1 + \sqrt c) \to 0$.",
    source=f"{PAPER}, collapse of the variance scale; the exact law is derived here",
    parameters=(
        Parameter(name="n", meaning="rows of R", typical=24, low=1, high=65536),
        Parameter(name="m", meaning="columns of R", typical=16, low=1, high=65536),
        Parameter(name="g", meaning="n times the variance of entries of R", typical=1.0, low=1e-6, high=1e6),
        Parameter(name="probability", meaning="of exceeding the level", typical=0.2, low=0.01, high=0.75),
        Parameter(name="noise", meaning="law of R", typical="gaussian"),
    ),
    draw=_draw_energy,
    left=lambda case: case.energy,
    right=lambda case: case.level,
    # trials are planned to see a quarter more events: noise 1.5 % stronger than stated, at the typical cell
    failure=lambda cell: Band(
        low=cell["probability"], high=cell["probability"], planned=1.25 * cell["probability"]
    ),
    loose_because="An equality in law: the frequency of exceeding the level is itself the sharp statement.",
    controls={
        "stronger noise": Control(
            breaks="The noise has 1.05 times the stated variance.",
            changes={"draw": functools.partial(_draw_energy, inflation=1.05)},
        ),
        "signs": Control(
            breaks="Independent signs, whose energy does not fluctuate.", cell={"noise": "rademacher"}
        ),
        "heavy tails": Control(
            breaks="Student-t entries with 5 degrees of freedom, whose energy fluctuates more.",
            cell={"noise": "student-t:5", "probability": 0.05},
        ),
    },
    grids={
        "quick": ({},),
        "standard": ({}, {"n": 100, "m": 30, "probability": 0.05}),
        "full": tuple({"n": n, "m": m, "probability": q} for n, m in ((4, 4), (64, 32)) for q in (0.05, 0.5)),
    },
)


def _draw_persistent(cell: Cell, stream: Stream, *, constant: bool = False) -> SpikedCase | BandCase:
    """Spikes of fixed strength in noise whose level falls like ``1 / n``."""
    g = cell["g"] if constant else cell["g"] / cell["n"]
    # draw_spiked takes strengths in thresholds of the noise
    strength = cell["strength"] / spike_threshold(cell["aspect"], g)
    return draw_spiked({**cell, "g": g, "strength": strength}, stream, draws=2)


def _unsettled(case: SpikedCase | BandCase) -> float:
    """The largest of what must vanish: errors of values and of inverse estimates, and turned directions."""
    theta, c, g = case.theta, case.model.aspect, case.model.g
    found = np.array([[spike_from_outlier(s, c, g).theta for s in row] for row in case.values.tolist()])
    inverse = np.nan_to_num(found, nan=0.0)
    turned = [np.sqrt(np.maximum(1 - overlap, 0.0)) for overlap in (case.left, case.right)]
    errors = [np.abs(case.values - theta), np.abs(inverse - theta), *turned]
    return float(max(np.max(error) for error in errors))


def _above(case: SpikedCase | BandCase) -> Measurement:
    value = float(np.min(case.theta)) / case.model.threshold
    return at_least(value, 1.0, "Weakest spike over the threshold of the noise, which falls.")


PERSISTENT_SPIKES = Claim(
    id="persistent_spikes",
    kind=Kind.LIMIT,
    statement=r"Where $g_n \to 0$, here like $1/n$, spikes of fixed strength rise above the threshold, "
    r"singular values and their inverse estimates tend to $\theta_i$, and their directions to those of "
    r"$S$, with error $O(\sqrt{g_n})$.",
    source=f"{PAPER}, persistence of spikes; it follows from Weyl's and Wedin's theorems alone",
    hypotheses=(Hypothesis(id="supercritical", statement="Spikes exceed the threshold.", check=_above),),
    parameters=(
        Parameter(
            name="n", meaning="rows of W, a ladder", typical=(100, 1000, 10_000, 100_000), low=8, high=10**9
        ),
        Parameter(name="aspect", meaning="c = m / n", typical=0.5, low=1e-3, high=1e3),
        Parameter(name="strength", meaning="weaker of two spikes", typical=1.0, low=0.01, high=100.0),
        Parameter(name="g", meaning="noise level at width 1", typical=1.0, low=1e-6, high=1e6),
        Parameter(name="noise", meaning="law of R", typical="gaussian"),
        METHOD,
    ),
    draw=_draw_persistent,
    on_device=True,
    left=_unsettled,
    trials=80,
    loose_because="A limit has no right side to attain; its control shows that noise of fixed level is "
    "refuted.",
    controls={
        "fixed level": Control(
            breaks="The noise level does not fall: directions stay turned.",
            changes={"draw": functools.partial(_draw_persistent, constant=True)},
            cell={"strength": 2.0},
        ),
    },
    grids={"standard": ({}, {"aspect": 2.0}), "full": tuple({"aspect": c} for c in (0.1, 1.0, 10.0))},
)


@dataclass(frozen=True, kw_only=True, eq=False)
class DecayCase:
    """The first layer of a network before and after full-batch training with weight decay.

    Attributes
    ----------
    before, after : ndarray, shape (n, m)
    directions : int
        Dimension ``d`` of the span of the inputs.
    factor : float
        ``(1 - 2 rate lambda)^steps``.
    """

    before: HostArray
    after: HostArray
    directions: int
    factor: float

    def ratio(self, *, directions: int | None = None) -> float:
        """Largest ``s_(i+d)(after) / s_i(before)``."""
        d = self.directions if directions is None else directions
        s0, s = (np.linalg.svd(W, compute_uv=False) for W in (self.before, self.after))
        return float(np.max(s[d:] / s0[: len(s) - d]))


def _draw_decay(cell: Cell, stream: Stream, *, trained_with: float = 1.0) -> DecayCase:
    """Gradient descent on the cross-entropy plus ``lambda |W|_F^2``, on data in ``d`` directions of ``m``."""
    n, m, d, classes = cell["n"], cell["m"], cell["directions"], 3
    rng = stream.generator()
    frame = np.linalg.qr(rng.standard_normal((m, d)))[0] if d else np.zeros((m, 1))
    x = rng.standard_normal((4 * max(d, 1), frame.shape[1])) @ frame.T
    labels = rng.integers(classes, size=len(x))
    W, readout = rng.standard_normal((n, m)) / math.sqrt(m), rng.standard_normal((classes, n)) / math.sqrt(n)
    before, decay = W, trained_with * cell["decay"]
    for _ in range(cell["steps"]):
        network = Network((Dense(W, None, "relu"), Dense(readout, None, "identity")))
        _, gradients = loss_and_gradients(network, x, labels, l2=decay)
        W = W - cell["rate"] * np.asarray(gradients[0].weight)
        readout = readout - cell["rate"] * np.asarray(gradients[1].weight)
    factor = (1 - 2 * cell["rate"] * cell["decay"]) ** cell["steps"]
    return DecayCase(before=before, after=W, directions=d, factor=factor)


_NO_DATA = {"n": 12, "m": 16, "directions": 0, "steps": 50, "rate": 0.1, "decay": 0.05}

WEIGHT_DECAY_BULK_DECAY = Claim(
    id="weight_decay_bulk_decay",
    kind=Kind.EXACT,
    statement=r"Full-batch gradient descent on $L_{CE} + \lambda|W|_F^2$ with rate $\eta$ and inputs in "
    r"$d$ directions: after $t$ steps $s_{i+d}(W_t) \le (1 - 2\eta\lambda)^t s_i(W_0)$ for all $i$; off "
    r"the data the layer is exactly $(1 - 2\eta\lambda)^t$ times what it was.",
    source="Derived here: the gradient of the data lives on their span, and the rest interlaces",
    parameters=(
        Parameter(name="n", meaning="outputs of the layer", typical=12, low=2, high=512),
        Parameter(name="m", meaning="inputs of the layer", typical=16, low=2, high=512),
        Parameter(name="directions", meaning="directions of the data", typical=4, low=0, high=256),
        Parameter(name="steps", meaning="steps of training", typical=50, low=1, high=100_000),
        Parameter(name="rate", meaning="learning rate", typical=0.1, low=1e-6, high=1.0),
        Parameter(name="decay", meaning="weight of the squared norm", typical=0.05, low=0.0, high=1.0),
    ),
    draw=_draw_decay,
    left=DecayCase.ratio,
    right=lambda case: case.factor,
    # singular values that grew with training are no larger than they were
    trivial=lambda case: 1.0,  # noqa: ARG005
    # every step rounds every entry once or twice, and singular values carry their own rounding
    rounding=lambda case: 100 * EPS * sum(case.before.shape),
    trials=60,
    witness=lambda: _draw_decay(_NO_DATA, Stream(0)),
    controls={
        "no decay": Control(
            breaks="The layer was trained without weight decay.",
            changes={"draw": functools.partial(_draw_decay, trained_with=0.0)},
        ),
        "data everywhere": Control(
            breaks="All singular values are said to shrink, those that the data hold up as well.",
            changes={"left": functools.partial(DecayCase.ratio, directions=0)},
            cell={"steps": 200},
        ),
        "one percent less decay": Control(
            breaks="The weight of the penalty is 0.99 of what is stated, and the data have no say.",
            changes={"draw": functools.partial(_draw_decay, trained_with=0.99)},
            cell={"directions": 0},
        ),
    },
    grids={
        "standard": ({}, {"directions": 1}),
        "full": tuple({"directions": d, "steps": 400} for d in (0, 1, 4, 8)),
    },
)

CLAIMS = (STATIONARITY_COLLAPSE, VARIANCE_SCALE_COLLAPSE, PERSISTENT_SPIKES, WEIGHT_DECAY_BULK_DECAY)
