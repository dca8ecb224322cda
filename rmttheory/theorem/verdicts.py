"""What evidence can say: exact binomial arithmetic, trials needed, fitted slopes, and the verdict."""

from __future__ import annotations

import dataclasses
import enum
import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput


class Kind(enum.Enum):
    """What sort of statement a claim is, and so what a run can show."""

    IDENTITY = "identity"
    """left == right, or an event of exactly known probability: proved, or independent methods agree."""
    EXACT = "exact"
    """left <= right whenever the hypotheses hold: one case refutes it."""
    TAIL = "tail"
    """left > right has at most a stated probability at this size."""
    LIMIT = "limit"
    """left tends to 0 as the width grows, at a stated rate: never certified by a finite run."""


class Outcome(enum.Enum):
    """What the evidence says; `sentence` is what users are shown."""

    CERTIFIED = "certified"
    CONSISTENT = "consistent"
    UNDECIDED = "undecided"
    REFUTED = "refuted"
    VACUOUS = "vacuous"
    INAPPLICABLE = "inapplicable"

    @property
    def sentence(self) -> str:
        """What this outcome means and what to do next."""
        return _SENTENCES[self]


_SENTENCES = {
    Outcome.CERTIFIED: "Shown at the stated level, or proved symbolically.",
    Outcome.CONSISTENT: "No evidence against it; a finite run cannot say more of this kind of statement.",
    Outcome.UNDECIDED: "The evidence does not decide at the stated level; run more trials.",
    Outcome.REFUTED: "Violated beyond what the stated level allows; look at the counterexample.",
    Outcome.VACUOUS: "The bound says nothing at this size: it exceeds what is known without it.",
    Outcome.INAPPLICABLE: "No trial met the hypotheses; nothing was tested.",
}


@dataclass(frozen=True, kw_only=True)
class Band:
    """The claimed range ``[low, high]`` of an event's probability, and the truth that trials are planned for.

    Parameters
    ----------
    low, high : float
        A tail bound has ``low = 0`` and ``high`` equal to the stated failure probability; an event of
        exactly known probability has ``low == high``.
    planned : float
        The true probability under which the number of trials is computed: a value inside the band that
        should be certified or, where ``low == high``, the nearest alternative that should be refuted.
    """

    low: float = 0.0
    high: float
    planned: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.low <= self.high < 1 and 0 <= self.planned <= 1):
            given = f"[{self.low}, {self.high}] planned for {self.planned}"
            msg = f"A probability band needs 0 <= low <= high < 1 and planned in [0, 1], not {given}."
            raise InvalidInput(msg)

    def refuted(self, k: int, n: int, alpha: float) -> bool:
        """Whether ``k`` events in ``n`` trials exclude every probability in the band, at level ``alpha``."""
        return self.p_value(k, n) < alpha

    def certified(self, k: int, n: int, alpha: float) -> bool:
        """Whether ``k`` in ``n`` exclude all outside the band; each end errs at most at ``alpha``."""
        lower, upper = clopper_pearson(k, n, alpha)
        return upper <= self.high and (self.low == 0 or lower >= self.low)

    def power(self, p: float, n: int, alpha: float) -> float:
        """Probability that ``n`` trials refute the band if ``p`` is the truth."""
        counts, tails = range(n + 1), 1 if self.low == 0 else 2
        many = bisect_left(counts, True, key=lambda k: tails * binomial_sf(k, n, self.high) < alpha)
        few = -1
        if self.low > 0:
            few = bisect_left(counts, True, key=lambda k: 2 * binomial_cdf(k, n, self.low) >= alpha) - 1
        return binomial_sf(many, n, p) * (many <= n) + binomial_cdf(few, n, p) * (few >= 0)

    def e_value(self, k: int, n: int) -> float:
        """Evidence against "the probability lies in the band": reaches ``1 / alpha`` with chance ``alpha``.

        Whoever stops the run and when: see `log_mixture`, of which it is the least over the band.
        """
        log = log_mixture(k, n, min(max(k / n, self.low), self.high)) if n else 0.0
        return math.exp(log) if log < 700 else math.inf

    def p_value(self, k: int, n: int) -> float:
        """Exact p-value of "the probability lies in the band", doubled where both ends are tested."""
        above = binomial_sf(k, n, self.high)
        if self.low == 0:
            return above
        return min(1.0, 2 * min(above, binomial_cdf(k, n, self.low)))


def binomial_cdf(k: int, n: int, p: float) -> float:
    """``P(Binom(n, p) <= k)``, exactly; ``p`` itself is used, since ``1 - p`` would round."""
    from scipy.special import betaincc

    return float(k >= n) if not 0 <= k < n else float(betaincc(k + 1, n - k, p))


def binomial_sf(k: int, n: int, p: float) -> float:
    """``P(Binom(n, p) >= k)``, exactly."""
    from scipy.special import betainc

    return float(k <= 0) if not 0 < k <= n else float(betainc(k, n - k + 1, p))


def log_mixture(k: int, n: int, p: float) -> float:
    """Log of the likelihood of ``k`` in ``n``, averaged over all probabilities, over that of ``p``.

    If ``p`` is the truth, its exponential is a martingale in ``n`` that starts at 1, and so ever reaches
    ``1 / alpha`` with probability ``alpha`` at most (Ville 1939; the mixture is that of Robbins 1970). It is
    least at ``p = k / n``.
    """
    from scipy.special import betaln, xlog1py, xlogy

    return float(betaln(k + 1, n - k + 1) - xlogy(k, p) - xlog1py(n - k, -p))


def clopper_pearson(k: int, n: int, alpha: float) -> tuple[float, float]:
    """Lower and upper confidence limits of a probability after ``k`` events in ``n`` trials.

    Each limit errs with probability at most ``alpha``. Source: Clopper and Pearson, Biometrika 1934.
    """
    from scipy.special import betainccinv, betaincinv

    lower = 0.0 if k == 0 else float(betaincinv(k, n - k + 1, alpha))
    upper = 1.0 if k == n else float(betainccinv(k + 1, n - k, alpha))
    return lower, upper


def trials_needed(band: Band, alpha: float, *, power: float = 0.95, most: int = 200_000) -> int:
    """Return how many trials decide the planned truth with probability ``power``.

    Up to a tenth or so more than the least such number, since the power is a sawtooth in it.

    Parameters
    ----------
    band : Band
        ``low == high`` plans to refute ``planned``; otherwise to certify it.
    alpha : float
        Level of the one verdict.
    most : int
        Give up and return this number when even more would be needed.
    """

    def enough(n: int) -> bool:
        return _chance_of_deciding(band, n, alpha) >= power

    high = 16
    while not enough(high):
        high *= 2
        if high >= most:
            return most
    low = high // 2
    while high - low > max(1, low // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _chance_of_deciding(band: Band, n: int, alpha: float) -> float:
    """Probability that ``n`` trials certify (or, for a single value, refute) when the planned truth holds."""
    counts = range(n + 1)
    if band.low == band.high:
        return band.power(band.planned, n, alpha)
    most = bisect_left(counts, True, key=lambda k: binomial_cdf(k, n, band.high) > alpha) - 1
    least = 0
    if band.low > 0:
        least = bisect_left(counts, True, key=lambda k: binomial_sf(k, n, band.low) <= alpha)
    if most < least:
        return 0.0
    return binomial_cdf(most, n, band.planned) - binomial_cdf(least - 1, n, band.planned)


@dataclass(frozen=True, kw_only=True)
class Slope:
    """A fitted exponent ``left ~ n ** value`` with its confidence limits and goal."""

    value: float
    low: float
    high: float
    claimed: float


def fit_slope(widths: HostArray, errors: HostArray, *, alpha: float, claimed: float) -> Slope:
    """Fit ``log errors`` against ``log widths`` by least squares; there must be two widths or more.

    Each limit errs with probability at most ``alpha`` if log errors are normal. The variance of each width
    is estimated apart, since errors of small and large matrices need not scatter alike, and Student's t
    takes the degrees of freedom of the width with the fewest trials: its reach is then never too small
    (Hajek 1962).
    """
    from scipy.special import stdtrit

    x, y = np.log(widths), np.log(np.maximum(errors, np.finfo(float).tiny))
    spread = x - x.mean()
    weights = spread / (spread @ spread)
    value = float(weights @ y)
    groups = [widths == width for width in np.unique(widths)]
    fewest = min(int(group.sum()) for group in groups)
    reach = math.inf
    if fewest > 1:
        variance = sum(float(np.sum(weights[group] ** 2) * np.var(y[group], ddof=1)) for group in groups)
        reach = -math.sqrt(variance) * float(stdtrit(fewest - 1, alpha))
    return Slope(value=value, low=value - reach, high=value + reach, claimed=claimed)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the evidence says about one claim in one cell.

    Attributes
    ----------
    outcome : Outcome
    trials, admissible, informative, violations : int
        How many were run, met the hypotheses, had a bound below what is known without it, broke it.
    allowed : float
        Failure probability that the claim allows (0 for exact statements).
    lower, upper : float or None
        Exact confidence limits of the failure probability.
    p_value : float or None
        Of the claim itself as null hypothesis, at a number of trials fixed before the run.
    e_value : float or None
        Evidence against the claim that may be looked at any time, see `Band.e_value`.
    alpha : float
        This verdict's share of the level of the whole suite.
    worst_ratio, median_ratio : float or None
        Of left over right: 1 is a tight bound, small is a loose one.
    slope : Slope or None
        Fitted exponent of a limit statement.
    speaks_at : float or None
        For a vacuous bound: the width at which it would begin to say something; ``inf`` if never.
    hypotheses : mapping of str to float
        Smallest margin seen of each hypothesis; negative means not met.
    counterexample : int or None
        Index of the first violating trial of an exact statement; `replay` makes it again.
    path : str
        How layers were drawn: ``band`` is without the matrix, ``dense`` in full; empty if there is one way.
    """

    claim: str
    kind: Kind
    cell: Mapping[str, Any]
    outcome: Outcome
    why: str
    trials: int
    admissible: int
    informative: int
    violations: int
    allowed: float
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    e_value: float | None = None
    alpha: float
    worst_ratio: float | None = None
    median_ratio: float | None = None
    slope: Slope | None = None
    speaks_at: float | None = None
    hypotheses: Mapping[str, float]
    counterexample: int | None = None
    seed: int
    seconds: float = 0.0
    path: str = ""

    def __str__(self) -> str:
        return f"{self.claim} {self.outcome.value}: {self.why}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, as `plain` makes them; enumerations in lower case."""
        return {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


def plain(value: Any) -> Any:
    """Return plain values for JSON: infinities as strings, what is not a number as null."""
    if hasattr(value, "to_dict"):
        return plain(value.to_dict())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
