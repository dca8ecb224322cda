"""Finding the support of a sparse signal by a threshold on single entries.

Only entries count, and they are independent: where the signal is zero, what exceeds the threshold is a
binomial number of entries, and all that is drawn is that number and the entries of the signal.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices.noise import Gaussian, parse_noise
from rmttheory.theorem.claims import Cell, Claim, Control, Parameter
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_least
from rmttheory.theorem.verdicts import Band, Kind

_PAPER = "arXiv:2606.02608"


@dataclass(frozen=True, kw_only=True, eq=False)
class SupportCase:
    """What a threshold finds in ``W = S + R``.

    Attributes
    ----------
    signal : ndarray, shape (k,)
        The nonzero entries of ``S``.
    found : ndarray of bool, shape (k,)
        Which of them exceed the threshold in ``W``.
    false : int
        How many entries of ``W`` do where ``S`` is zero.
    threshold : float
        ``t``.
    """

    signal: HostArray
    found: HostArray
    false: int
    threshold: float

    def mistakes(self, *, certain: float = 2.0) -> float:
        """False entries, and missed ones that exceed ``certain`` thresholds in ``S``."""
        strong = np.abs(self.signal) > certain * self.threshold
        return float(self.false + np.count_nonzero(strong & ~self.found))


def threshold(cell: Cell) -> float:
    """``t = sqrt(2 g log(2 n m / delta) / n)``."""
    n, m = cell["n"], cell["m"]
    return math.sqrt(2 * cell["g"] * math.log(2 * n * m / cell["delta"]) / n)


def _chance_of_false(cell: Cell) -> float:
    """Probability that some entry of the noise exceeds the threshold, if it is Gaussian."""
    from scipy.special import ndtr

    tail = 2 * float(ndtr(-threshold(cell) * math.sqrt(cell["n"] / cell["g"])))
    return -math.expm1(cell["n"] * cell["m"] * math.log1p(-tail))


def _draw(cell: Cell, stream: Stream, *, share: float = 1.0) -> SupportCase:
    """Half of the signal is just above two thresholds and half just below; ``share`` scales the threshold."""
    from scipy.special import ndtr

    n, m, k = cell["n"], cell["m"], cell["entries"]
    t, scale = share * threshold(cell), math.sqrt(cell["g"] / n)
    rng = stream.generator()
    signal = 2 * t * np.where(np.arange(k) % 2, 1 + cell["excess"], 1 - cell["excess"])
    signal *= rng.choice([-1.0, 1.0], size=k)
    noise = parse_noise(cell["noise"])
    if isinstance(noise, Gaussian):
        met: HostArray = scale * rng.standard_normal((k,))
        false = int(rng.binomial(n * m - k, 2 * float(ndtr(-t / scale))))
    else:
        entries = np.asarray(noise.sample((n, m), cell["g"], stream.child("noise"))).ravel()
        met, false = entries[:k], int(np.count_nonzero(np.abs(entries[k:]) > t))
    return SupportCase(signal=signal, found=np.abs(signal + met) > t, false=false, threshold=t)


def _draw_recovered(cell: Cell, stream: Stream) -> SupportCase:
    case = _draw(cell, stream)
    strong = np.abs(case.signal) > 2 * case.threshold
    return SupportCase(
        signal=case.signal[strong], found=case.found[strong], false=case.false, threshold=case.threshold
    )


def _beta_min(case: SupportCase) -> Measurement:
    value = float(np.min(np.abs(case.signal), initial=math.inf)) / (2 * case.threshold)
    return at_least(value, 1.0, "Smallest nonzero entry of S over 2 t.")


_PARAMETERS = (
    Parameter(name="n", meaning="rows", typical=300, low=1, high=10**6),
    Parameter(name="m", meaning="columns", typical=200, low=1, high=10**6),
    Parameter(name="delta", meaning="failure probability", typical=0.05, low=1e-3, high=0.9),
    Parameter(name="g", meaning="n times the variance of entries of R", typical=1.0, low=1e-6, high=1e3),
    Parameter(name="entries", meaning="nonzero entries of S", typical=40, low=2, high=10_000),
    Parameter(name="excess", meaning="of the signal over, or under, 2 t", typical=0.05, low=0.0, high=1.0),
    Parameter(name="noise", meaning="law of R", typical="gaussian"),
)
_GRIDS = {
    "standard": ({}, {"delta": 0.2}, {"n": 3000, "m": 3000}),
    "full": tuple(
        {"n": n, "m": m, "delta": d} for n, m in ((30, 20), (300, 200), (10**5, 10**5)) for d in (0.05, 0.5)
    ),
}
_LOOSE = (
    "The union bound counts two tails of every entry by 2 exp(-t^2/2), four times their probability or more "
    "at this size; of an event that has just this probability there is no worst case."
)
_HEAVY = Control(
    breaks="Student-t entries with 3 degrees of freedom.",
    cell={"noise": "student-t:3"},
)

ENTRYWISE_THRESHOLD_SUPPORT = Claim(
    id="entrywise_threshold_support",
    kind=Kind.TAIL,
    statement=r"With $t = \sqrt{2 g\log(2 n m/\delta)/n}$ and probability at least $1 - \delta$: "
    r"$\{|S_{ij}| > 2t\} \subseteq \{|W_{ij}| > t\} \subseteq \mathrm{supp}\,S$.",
    source=f"{_PAPER}, theorem on the support",
    parameters=_PARAMETERS,
    draw=_draw,
    left=SupportCase.mistakes,
    right=lambda case: 0.0,  # noqa: ARG005
    # no layer has more entries to be mistaken about than those of the signal and of the noise
    trivial=lambda case: 1.0,  # noqa: ARG005
    failure=lambda cell: Band(high=cell["delta"], planned=_chance_of_false(cell)),
    loose_because=_LOOSE,
    controls={
        "lower threshold": Control(
            breaks="The threshold is 0.7 of what it must be.",
            changes={"draw": functools.partial(_draw, share=0.7)},
        ),
        "all of the signal": Control(
            breaks="All entries above one threshold in S are said to be found.",
            changes={"left": functools.partial(SupportCase.mistakes, certain=1.0)},
            cell={"excess": 0.45, "entries": 400},
        ),
        "heavy tails": _HEAVY,
    },
    grids=_GRIDS,
)

SUPPORT_RECOVERY = Claim(
    id="support_recovery",
    kind=Kind.TAIL,
    statement=r"If every nonzero entry of $S$ exceeds $2t$, then with probability at least $1 - \delta$ "
    r"the support is found exactly: $\{|W_{ij}| > t\} = \mathrm{supp}\,S$.",
    source=f"{_PAPER}, exact recovery of the support",
    hypotheses=(Hypothesis(id="beta_min", statement="Nonzero entries of S exceed 2 t.", check=_beta_min),),
    parameters=_PARAMETERS,
    draw=_draw_recovered,
    left=lambda case: case.mistakes(certain=0.0),
    right=lambda case: 0.0,  # noqa: ARG005
    trivial=lambda case: 1.0,  # noqa: ARG005
    failure=lambda cell: Band(high=cell["delta"], planned=_chance_of_false(cell)),
    loose_because=_LOOSE,
    controls={
        "weak entries": Control(
            breaks="Entries of S as small as 0.95 thresholds are let in.",
            changes={"draw": _draw, "hypotheses": ()},
            cell={"excess": 0.525},
        ),
        "heavy tails": _HEAVY,
    },
    grids=_GRIDS,
)

CLAIMS = (ENTRYWISE_THRESHOLD_SUPPORT, SUPPORT_RECOVERY)
