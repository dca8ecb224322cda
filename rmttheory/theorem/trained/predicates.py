"""Every hypothesis of the theorem as a predicate of a trained layer."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable

import numpy as np

from rmttheory.matrices import spike_threshold
from rmttheory.theorem.certificates import gaussian_radius
from rmttheory.theorem.hypotheses import (
    Checked,
    Knowable,
    Measurement,
    Predicate,
    at_least,
    at_most,
    normal_quantile,
)
from rmttheory.theorem.trained.layer import BareLayer, TrainedLayer, ratio
from rmttheory.theorem.trained.noise import NOISE_PREDICATES


def examine_layer(layer: TrainedLayer) -> tuple[Checked, ...]:
    """Measure every predicate of `PREDICATES` on one layer."""
    return tuple(_find(predicate, layer) for predicate in PREDICATES)


def _find(predicate: Predicate, layer: TrainedLayer) -> Checked:
    if predicate.of_noise and layer.rank == len(layer.values):
        how = "Nothing is removed from this layer, so it has no noise part to test."
        return Checked(predicate.id, at_most(0.0, 0.0, how), Knowable.UNIDENTIFIABLE)
    return Checked(predicate.id, predicate.check(layer), predicate.knowable)


_NO_SPIKE = "No singular value lies above the edge: nothing to check."


def low_rank(layer: BareLayer) -> Measurement:
    """Measure the share of singular values above the edge."""
    share = len(layer.spikes) / len(layer.values)
    how = (
        f"{len(layer.spikes)} of {len(layer.values)} singular values lie above the edge; beyond the "
        "threshold they reach into the window that the edge is fitted on. Energy below the edge is invisible."
    )
    return at_most(share, layer.estimate.alpha, how)


def supercritical(layer: BareLayer) -> Measurement:
    """Measure the weakest detected spike against the threshold."""
    if len(layer.spikes) == 0:
        return at_least(0.0, 0.0, _NO_SPIKE)
    n, m = layer.shape
    how = (
        "Weakest detected spike over the threshold sqrt(g) c^(1/4), from the inverse outlier map; within "
        "min(n, m)^(-1/3) of 1 it cannot be told from the edge. Undetected spikes are invisible."
    )
    weakest = float(layer.strengths.min()) / spike_threshold(m / n, layer.g)
    return at_least(weakest, 1 + min(n, m) ** (-1 / 3), how)


def gap(layer: BareLayer) -> Measurement:
    """Measure the gap below the last spike against the norm of the noise."""
    k = len(layer.spikes)
    if k in (0, len(layer.values)):
        return at_most(0.0, 0.0, _NO_SPIKE if k == 0 else "Every singular value lies above the edge.")
    gap = float(layer.values[k - 1] - layer.values[k])
    how = "Bulk edge over the gap between the last value above the edge and the next; projectors need 1/4."
    return at_most(layer.estimate.bulk_edge / max(gap, sys.float_info.min), 0.25, how)


def distinct(layer: BareLayer) -> Measurement:
    """Measure how far neighbouring spikes are apart."""
    if len(layer.spikes) < 2:
        return at_least(0.0, 0.0, "Fewer than two singular values lie above the edge: nothing to check.")
    gap = float(np.min(layer.spikes[:-1] - layer.spikes[1:]))
    how = "Smallest gap between neighbouring outliers, in standard deviations sqrt(2 g / n) of its noise."
    return at_least(gap / math.sqrt(2 * layer.g / layer.shape[0]), normal_quantile(layer.level / 2), how)


def delocalised(layer: BareLayer) -> Measurement:
    """Measure the largest entry of the leading singular vectors."""
    from scipy.special import betainccinv

    k, sides = len(layer.spikes), (layer.left, layer.right)
    if k == 0:
        return at_most(0.0, 0.0, _NO_SPIKE)
    share = layer.level / (k * sum(layer.shape))
    # a coordinate of a uniform unit vector has squared law Beta(1/2, (N - 1)/2)
    limits = [math.sqrt(betainccinv(0.5, (len(side) - 1) / 2, share)) for side in sides]
    largest = [float(np.abs(side[:, :k]).max()) for side in sides]
    scaled = [a * math.sqrt(len(b) / (2 * math.log(len(b)))) for a, b in zip(largest, sides) if len(b) > 1]
    how = (
        f"Largest entry of the {k} leading singular vectors over what a uniform one reaches at level "
        f"{layer.level:g}; over sqrt(2 log N / N): {', '.join(f'{x:.2f}' for x in scaled)}."
    )
    return at_most(max(a / b for a, b in zip(largest, limits)), 1.0, how)


def signal_norm(layer: BareLayer) -> Measurement:
    """Measure the Frobenius norm of the detected signal."""
    value = math.sqrt(float(np.sum(layer.strengths**2)) / layer.shape[0])
    how = "|S|_F / sqrt(n) from the detected spikes; it must tend to 0 as the width grows, here: lie below 1."
    return at_most(value, 1.0, how)


def _entrywise(layer: TrainedLayer) -> Measurement:
    n, m = layer.shape
    t = math.sqrt(2 * layer.g * math.log(2 * n * m / layer.level) / n)
    count = int(np.sum(np.abs(layer.kept + layer.removed) > t))
    how = (
        f"Entries of W beyond t = {t:.4g}, which noise alone exceeds with probability below {layer.level:g}."
    )
    return at_least(float(count), 0.0, how)


def _mask(layer: TrainedLayer) -> Measurement:
    overlap = float(np.abs(layer.kept * layer.removed).max())
    return at_most(overlap, 0.0, "Largest |S_ij R_ij|; 0 for a mask, and never for a truncation.")


def _outer_scale(layer: TrainedLayer) -> Measurement:
    n = layer.shape[0]
    a = layer.lipschitz * layer.norms * math.sqrt(math.log(2 * n) / n)
    kappa = ratio(4 * math.sqrt(2) * a, np.abs(layer.confidences))
    how = (
        f"Median over the data of 4 sqrt(2) a(N, s) / |confidence|, free of scale; a(N, s) itself, which the "
        f"paper lets tend to 0, has median {np.median(a):.3g}."
    )
    return at_most(float(np.median(kappa)), 1.0, how)


def _margin(layer: TrainedLayer) -> Measurement:
    size = {"n": layer.shape[0], "samples": len(layer.norms)}
    tau = gaussian_radius(layer.norms, layer.lipschitz, g=layer.g, delta=layer.level, **size)
    how = (
        f"Share of samples whose |confidence| exceeds twice the radius of Gaussian noise of level g, "
        f"all at once with probability {1 - layer.level:g}."
    )
    return at_least(float(np.mean(np.abs(layer.confidences) > 2 * tau)), 1.0, how)


def _lipschitz(layer: TrainedLayer) -> Measurement:
    how = "Product of the largest absolute row sums of the later layers; finite is all that is asked."
    return at_most(layer.lipschitz, sys.float_info.max, how)


def _finite_samples(layer: TrainedLayer) -> Measurement:
    n, samples = layer.shape[0], len(layer.norms)
    how = (
        f"|T| / N: beyond 1 the stated probability 1 - |T|/N says nothing. The proof supports "
        f"|T| / (8 N^3) = {samples / (8 * n**3):.1e}."
    )
    return at_most(samples / n, 1.0, how)


def _activation(layer: TrainedLayer) -> Measurement:
    x = np.linspace(-8.0, 8.0, 4097)  # the step is a power of 2, so slopes are exact
    slope = float(np.abs(np.diff(layer.activate(x)) / np.diff(x)).max())
    offset = float(np.abs(layer.activate(np.zeros(1)))[0])
    how = f"Largest slope between neighbours on a grid over [-8, 8]; at 0 it is {offset:g} and must be 0."
    return at_most(slope if offset == 0 else math.inf, 1.0, how)


def _unknowable(reason: str) -> Callable[[TrainedLayer], Measurement]:
    return lambda layer: at_most(0.0, 0.0, reason)  # noqa: ARG005


_V, _F, _U = Knowable.VERIFIABLE, Knowable.FALSIFIABLE, Knowable.UNIDENTIFIABLE

PREDICATES: tuple[Predicate, ...] = (
    *NOISE_PREDICATES,
    Predicate(
        id="low_rank",
        statement=r"$S$ has few singular values beside $\min(n, m)$.",
        check=low_rank,
        knowable=_F,
    ),
    Predicate(
        id="supercritical",
        statement=r"Every spike exceeds $\sqrt g\,c^{1/4}$ by more than the critical window.",
        check=supercritical,
        knowable=_F,
    ),
    Predicate(
        id="gap",
        statement=r"The last spike is separated from the rest by four times $\lVert R\rVert$.",
        check=gap,
        knowable=_F,
    ),
    Predicate(
        id="distinct",
        statement="The strengths of the spikes differ by more than they fluctuate.",
        check=distinct,
        knowable=_F,
    ),
    Predicate(
        id="delocalised",
        statement="The singular vectors of S are spread over all coordinates.",
        check=delocalised,
        knowable=_F,
    ),
    Predicate(id="signal_norm", statement=r"$|S|_F$ is $o(\sqrt n)$.", check=signal_norm, knowable=_F),
    Predicate(
        id="outer_scale",
        statement="The scale $a(N, s)$ of the layers around tends to 0.",
        check=_outer_scale,
        knowable=_V,
    ),
    Predicate(
        id="margin",
        statement="Every confidence exceeds twice the certified radius of Gaussian noise.",
        check=_margin,
        knowable=_V,
    ),
    Predicate(
        id="lipschitz",
        statement="The later layers have a finite Lipschitz constant in the max norm.",
        check=_lipschitz,
        knowable=_V,
    ),
    Predicate(
        id="finite_samples",
        statement="The failure probabilities of all samples add up to less than 1.",
        check=_finite_samples,
        knowable=_V,
    ),
    Predicate(
        id="activation",
        statement="The activation is 1-Lipschitz and vanishes at 0.",
        check=_activation,
        knowable=_V,
    ),
    Predicate(
        id="mask", statement="S and R have disjoint supports.", check=_mask, knowable=_V, of_noise=True
    ),
    Predicate(
        id="entrywise_signal",
        statement="Nonzero entries of S exceed twice the largest of R.",
        check=_entrywise,
        knowable=_U,
    ),
    Predicate(
        id="cross_term",
        statement="<S, R>_F tends to 0.",
        check=_unknowable("Identically 0 for any split by singular vectors, so it says nothing here."),
        knowable=_U,
        of_noise=True,
    ),
    Predicate(
        id="independent_signal",
        statement="R is independent of S.",
        check=_unknowable(
            "One matrix shows one draw of the pair (S, R), and truncation makes <u, R v> = 0 by itself."
        ),
        knowable=_U,
    ),
    Predicate(
        id="settled",
        statement="S and R converge in Frobenius norm as training goes on.",
        check=_unknowable("It takes several checkpoints of one training run."),
        knowable=_U,
    ),
    Predicate(
        id="no_atom",
        statement="The norm of the limit of R takes no single value with positive probability.",
        check=_unknowable("A property of the law of R; it holds for Gaussian noise of positive level."),
        knowable=_U,
    ),
)
