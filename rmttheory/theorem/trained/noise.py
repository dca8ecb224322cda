"""Hypotheses on the noise of a trained layer, measured on the part that edge truncation removes.

The removed part is not independent noise even if ``R`` is, so random predicates are calibrated by noise that
went through the same extraction (`nulls`).
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace

import numpy as np

from rmttheory.arrays import HostArray
from rmttheory.theorem.hypotheses import Knowable, Measurement, Predicate, at_least, at_most, normal_quantile
from rmttheory.theorem.trained import nulls
from rmttheory.theorem.trained.layer import BareLayer, TrainedLayer

TAIL = 10
"""Least number of entries that make a tail."""

BULK_VECTORS = 64
"""How many singular vectors of the bulk are compared with uniform ones: evenly spaced over the bulk."""

_NO_INPUT = "The kept directions hold every input: the removed part is never reached."


def _entries(layer: TrainedLayer, *, permute: bool) -> Measurement:
    name = "permuted" if permute else "normal"
    test = nulls.entry_test(
        layer.removed,
        layer.extraction,
        permute=permute,
        draws=layer.draws,
        stream=layer.stream.child("entries", name),
    )
    worst = int(np.argmax(np.abs(test.z)))
    how = (
        f"p-value of the entries of the removed part among {layer.draws} {name} draws through the same "
        f"extraction; furthest off: {nulls.ENTRY_STATISTICS[worst]} by {test.z[worst]:+.1f} deviations."
    )
    return at_least(test.p_value, layer.level, how)


def _moments(layer: TrainedLayer) -> Measurement:
    entries = layer.kept + layer.removed
    kurtosis = float(entries.size * np.sum(entries**4) / np.sum(entries**2) ** 2)
    found = moments(np.abs(entries).ravel(), layer.level)
    return replace(found, how=f"{found.how} Kurtosis {kurtosis:.2f} (3 if normal).")


def moments(entries: HostArray, level: float) -> Measurement:
    """Measure the tail of the absolute entries of a layer, by their Hill exponent."""
    from scipy.special import gammainccinv

    entries = entries if entries.all() else entries[entries > 0]
    count = max(TAIL, entries.size // 500)
    if entries.size <= count:
        return at_least(0.0, 0.0, f"At most {TAIL} entries are not 0: too few to see a tail.")
    top = np.partition(entries, entries.size - count - 1)[-count - 1 :].astype(np.float64)
    total = float(np.sum(np.log(top / top.min())))
    hill = count / max(total, count * np.finfo(float).eps)
    # under a Pareto tail of exponent 4, 4 count / hill has the Gamma(count) law
    least = 4 * count / float(gammainccinv(count, level))
    how = (
        f"Hill exponent of the {count} largest entries of W; below the threshold 4 is excluded, "
        "and with it a bulk that ends at its edge."
    )
    return at_least(hill, least, how)


def _subgaussian(layer: TrainedLayer) -> Measurement:
    n = layer.shape[0]
    directions, _ = layer.extraction.unseen(layer.some_inputs())
    if len(directions) == 0:
        return at_most(0.0, 0.0, _NO_INPUT)
    scores = np.sort(np.abs(directions @ layer.removed.T).ravel()) / math.sqrt(layer.g / n)
    t = np.arange(1.25, 8.01, 0.25)
    beyond = 1 - np.searchsorted(scores, t) / scores.size
    evidence = n * _divergence(beyond, 2 * np.exp(-t * t / 2))
    worst = int(np.argmax(evidence))
    how = (
        f"Share of |<r_i, v>| beyond t deviations, against 2 exp(-t^2/2), on {len(directions)} inputs: "
        f"largest log-likelihood against it in nats, at t = {t[worst]:.2f} (Chernoff's bound over the rows)."
    )
    return at_most(float(evidence[worst]), math.log(len(t) / layer.level), how)


def _divergence(f: HostArray, p: HostArray) -> HostArray:
    """Relative entropy of a coin ``f`` to a coin ``p`` where ``f > p``, else 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ones = np.where(f > 0, f * np.log(f / p), 0.0)
        rest = np.where(f < 1, (1 - f) * np.log((1 - f) / (1 - p)), 0.0)
    return np.where(f > p, ones + rest, 0.0)


def _biunitary(layer: TrainedLayer) -> Measurement:
    p = len(layer.values)
    chosen = np.unique(np.linspace(layer.rank, p - 1, min(BULK_VECTORS, p - layer.rank)).astype(int))
    left, right = layer.left[:, chosen], layer.right[:, chosen]
    test = nulls.frame_test(
        left, right, layer.extraction, draws=layer.draws, stream=layer.stream.child("frames")
    )
    how = (
        f"p-value of N |u|_4^4 over {len(chosen)} singular vectors of the bulk among {layer.draws} uniform "
        f"frames: {nulls.participation(left):.3f} left ({test.z[0]:+.1f} deviations), "
        f"{nulls.participation(right):.3f} right ({test.z[1]:+.1f}); 3 if uniform."
    )
    return at_least(test.p_value, layer.level, how)


def noise_level(layer: BareLayer) -> Measurement:
    """Measure the noise level of the fitted bulk against 1."""
    slack = normal_quantile(layer.level) * layer.estimate.g_error
    return at_most(
        layer.g, 1 + slack, "Noise level g of the fitted bulk; the threshold is 1 and its sampling error."
    )


def mp_bulk(layer: BareLayer) -> Measurement:
    """Measure how well the bulk fits the Marchenko-Pastur law."""
    how = (
        f"p-value of the largest distance between the bulk and its fitted law, {layer.estimate.misfit:.4f}, "
        "among pure noise of this shape fitted in the same way."
    )
    return at_least(layer.estimate.p_value, layer.level, how)


def _edge(layer: TrainedLayer) -> Measurement:
    score = nulls.edge_score(float(layer.values[layer.rank]), layer.shape, layer.g)
    low, high = nulls.edge_limits(layer.shape, layer.rank, level=layer.level, draws=layer.draws)
    how = (
        f"Tracy-Widom score of the first singular value below the edge; {layer.draws} draws of pure noise "
        f"through the same fit span [{low:.2f}, {high:.2f}] at level {layer.level:g}."
    )
    return at_least(score, low, how) if score - low < high - score else at_most(score, high, how)


def _independent_path(layer: TrainedLayer) -> Measurement:
    inputs = layer.some_inputs()
    if len(layer.extraction.unseen(inputs)[0]) == 0:
        return at_least(1.0, 1.0, _NO_INPUT)
    test, ratio, plain = nulls.response_test(
        layer.removed, inputs, layer.extraction, draws=layer.draws, stream=layer.stream.child("responses")
    )
    how = (
        f"p-value of the responses R v to {len(inputs)} inputs among {layer.draws} random R of equal "
        f"Frobenius norm; |R v|_inf is {ratio:.2f} times that of random R through the same "
        f"extraction, {plain:.2f} times that of random R as it is; above 1, Gaussian radii are too small."
    )
    return at_least(test.p_value, layer.level, how)


def _stationary(layer: TrainedLayer) -> Measurement:
    gain = max(0.0, float(layer.slopes.mean()))
    error = float(layer.slopes.std()) / math.sqrt(len(layer.slopes))
    how = (
        f"First-order fall of the training objective when the removed part is scaled down, over "
        f"{len(layer.slopes)} samples; the threshold is its sampling error at level {layer.level:g}."
    )
    return at_most(gain, normal_quantile(layer.level) * error, how)


_V, _F = Knowable.VERIFIABLE, Knowable.FALSIFIABLE
NOISE_PREDICATES: tuple[Predicate, ...] = (
    Predicate(
        id="iid_gaussian",
        statement="Entries of $R$ are iid $N(0, g/n)$.",
        check=functools.partial(_entries, permute=False),
        knowable=_F,
        of_noise=True,
    ),
    Predicate(
        id="exchangeable",
        statement="Entries of R are iid of some law: their order carries nothing.",
        check=functools.partial(_entries, permute=True),
        knowable=_F,
        of_noise=True,
    ),
    Predicate(
        id="moments", statement="Entries of R have a finite fourth moment.", check=_moments, knowable=_F
    ),
    Predicate(
        id="subgaussian_rows",
        statement=(
            r"$P(|\langle r_i, v\rangle| > t\,|v|\sqrt{g/n}) \le 2\,e^{-t^2/2}$ for inputs $v$ and rows"
            " $r_i$ of $R$."
        ),
        check=_subgaussian,
        knowable=_F,
        of_noise=True,
    ),
    Predicate(
        id="biunitary",
        statement="The law of R does not change under rotations of inputs or outputs.",
        check=_biunitary,
        knowable=_F,
        of_noise=True,
    ),
    Predicate(id="noise_level", statement="The noise level g is at most 1.", check=noise_level, knowable=_F),
    Predicate(
        id="mp_bulk",
        statement="The singular values of R follow the Marchenko-Pastur law.",
        check=mp_bulk,
        knowable=_F,
    ),
    Predicate(
        id="edge",
        statement="The largest singular value of R sits at the edge of the bulk.",
        check=_edge,
        knowable=_F,
        of_noise=True,
    ),
    Predicate(
        id="independent_path",
        statement="R is independent of the inputs v of its layer.",
        check=_independent_path,
        knowable=_F,
        of_noise=True,
    ),
    Predicate(
        id="stationary",
        statement="Scaling R down does not lower the training objective, to first order.",
        check=_stationary,
        knowable=_V,
        of_noise=True,
    ),
)
