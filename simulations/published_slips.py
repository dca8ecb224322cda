"""What published code and figures did differently: ``python simulations/published_slips.py [NAME]...``.

Each function computes one quantity as published and as it should be. They are facts about formulas, found by
reading the public repositories of both papers and checking against closed forms; most of them change little
in the published experiments. Without a name all of them are run, in about twenty seconds; ``--preset quick``
leaves out the simulated level, which takes half of that.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator

import numpy as np

from rmttheory import MarchenkoPastur, Stream, TracyWidom, fit_edge, outlier, overlaps, singular_values
from rmttheory.matrices import Spiked, hard_threshold, shrink, spike_from_outlier
from rmttheory.networks import Dense, Network, cross_entropy, remove_bulk
from rmttheory.theorem import verify

Row = tuple[str, str, str]
"""What is computed, as published, and corrected."""


def edge_exponent() -> Iterator[Row]:
    """B = (1 + sqrt(gamma)) ** 4 / 3, where (...) ** (4 / 3) is meant: the width of the edge."""
    for gamma in (1.0, 0.5, 0.1, 0.01):
        root = 1 + math.sqrt(gamma)
        yield (
            f"width of the edge at gamma = {gamma:g}, over the right one",
            f"{root**4 / 3 / root ** (4 / 3):.3f}",
            "1",
        )
    n, quantiles = 1000, {beta: float(TracyWidom(1).ppf(1 - beta)) for beta in (0.1, 0.5, 0.9)}
    for beta, t in quantiles.items():
        published, right = (4 + t * n ** (-2 / 3) * width for width in (2**4 / 3, 2 ** (4 / 3)))
        yield f"edge of a square layer of width 1000, beta = {beta:g}", f"{published:.4f}", f"{right:.4f}"


def quantile_index() -> Iterator[Row]:
    """Order statistics are compared with quantiles at (k - 1) / p instead of (k - 1/2) / p."""
    law = MarchenkoPastur(1.0)
    for p in (100, 1000):
        window = slice(p // 4, p - p // 4)
        ideal = law.ppf((np.arange(p) + 0.5) / p)[window]
        wrong = law.ppf(np.arange(p) / p)[window]
        yield (
            f"noise level fitted to ideal values, p = {p}",
            f"{wrong @ ideal / (wrong @ wrong):.4f}",
            "1.0000",
        )


def both_slips_level() -> Iterator[Row]:
    """What the two slips together do to the level of the edge, on noise of 100 x 100."""
    for control, level in (("exponent slip", 0.5), ("index slip", 0.5), ("both slips", 0.9)):
        wrong = verify(f"bema_level/{control}", trials=400, seed=1)
        right = verify("bema_level", trials=400, seed=1, level=level)
        shares = (f"{one.violations / one.admissible:.2f}" for one in (wrong, right))
        yield f"{control}: noise exceeds the edge, stated {level:g}", *shares


def distribution_beyond_edge() -> Iterator[Row]:
    """The distribution function returns 0 beyond the upper edge, where it is 1."""
    values = np.sort(singular_values(Spiked((400, 100), noise="column-scaled:1.5").sample(1).W)) ** 2
    law = MarchenkoPastur(0.25)
    g = float(np.median(values) / law.ppf(0.5))
    window = slice(25, 75)
    empirical, right = (np.arange(100) + 0.5)[window] / 100, law.cdf(values / g)[window]
    wrong = np.where(values[window] / g >= law.support[1], 0.0, right)
    misfits = (f"{np.max(np.abs(one - empirical)):.3f}" for one in (wrong, right))
    yield "misfit of a heavy spectrum, 400 x 100", *misfits


def accepted_fit() -> Iterator[Row]:
    """A layer passes the goodness of fit up to a misfit of 1, which every layer does."""
    model = Spiked((400, 100), noise="column-scaled:1.5")
    fit = fit_edge(singular_values(model.sample(1).W), model.shape)
    calibrated = "yes" if fit.p_value > 0.01 else f"no, p = {fit.p_value:.3f}"
    yield f"heavy spectrum with misfit {fit.misfit:.3f}: accepted", "yes", calibrated


def level_beyond_half() -> Iterator[Row]:
    """At beta = 0.8 and 0.9 the cut stands inside the bulk, the more so with the exponent slip."""
    n = 200
    values = Spiked((n, n)).singular_values(rng=1, trials=200, k=10) ** 2
    for beta in (0.8, 0.9):
        t = float(TracyWidom(1).ppf(1 - beta))
        cuts = (4 + t * n ** (-2 / 3) * width for width in (2**4 / 3, 2 ** (4 / 3)))
        counts = (f"{np.mean(np.sum(values > cut, axis=1)):.2f}" for cut in cuts)
        yield f"values of noise of 200 x 200 that are kept, beta = {beta:g}", *counts


def relu_on_logits() -> Iterator[Row]:
    """ReLU on the logits makes all of them zero for some samples, which then have no label."""
    x = Stream(1).normal((2000, 50))
    weight = Stream(2).normal((10, 50))
    for name, last in (("10 classes", 10), ("2 classes", 2)):
        lost = (
            np.mean(np.max(Network((Dense(weight[:last], None, end),)).logits(x), axis=1) == 0)
            for end in ("relu", "identity")
        )
        yield f"share of samples without a label, {name}", *(f"{share:.3f}" for share in lost)


def softmax_over_batch() -> Iterator[Row]:
    """The softmax is normalised over the batch instead of over the classes."""
    logits = Stream(1).normal((6, 3))

    def share(batch: np.ndarray, axis: int) -> float:
        weights = np.exp(batch)
        return float((weights / weights.sum(axis=axis, keepdims=True))[0, 0])

    for size in (6, 2):
        batch = logits[:size]
        yield (
            f"probability of one class at one sample, batch of {size}",
            f"{share(batch, 0):.3f}",
            f"{share(batch, 1):.3f}",
        )


def inverse_outlier() -> Iterator[Row]:
    """The inverse of the outlier map lacks the 1/2 inside its root, and divides by the variance."""
    for theta in (1.5, 3.0):
        s = outlier(theta, 1.0)
        h = s**2 - 2
        yield (
            f"spike behind the outlier {s:.3f}",
            f"{math.sqrt(h + math.sqrt(h * h - 4)):.3f}",
            f"{spike_from_outlier(s, 1.0).theta:.3f}",
        )


def entry_variance() -> Iterator[Row]:
    """The variance of the entries is divided by n once more, so that a z-score of noise is about sqrt(n)."""
    n = 200
    R = Stream(1).normal((n, n), scale=1 / math.sqrt(n))
    variance = float(np.mean(R**2))
    yield (
        "mean square of standardised entries of noise",
        f"{np.mean(R**2) / (variance / n):.1f}",
        f"{np.mean(R**2) / variance:.1f}",
    )


def fresh_noise() -> Iterator[Row]:
    """To remove noise, fresh noise is drawn, thresholded, and added back."""
    n = 200
    draw = Spiked((n, n), (3.0,)).sample(1)
    fresh = Stream(2).normal((n, n), scale=1 / math.sqrt(n))
    small = np.where(np.abs(fresh) < np.std(fresh), 0.0, fresh)
    published = draw.W - fresh + small
    kept = remove_bulk(draw.W).kept
    errors = (np.linalg.norm(A - draw.S) for A in (draw.W, published, kept))
    before, wrong, right = (f"{error:.2f}" for error in errors)
    yield f"distance to the signal, {before} before", wrong, right


def rank_below_classes() -> Iterator[Row]:
    """The last layer may be cut below the number of classes."""
    W = Stream(1).normal((10, 3000), scale=1 / math.sqrt(3000))
    yield (
        "rank kept of an untrained last layer of 10 classes",
        str(remove_bulk(W).rank),
        str(remove_bulk(W, at_least=10).rank),
    )


def dropped_bias() -> Iterator[Row]:
    """A layer that is factored twice loses its bias."""
    layer = Dense(np.eye(2), np.array([0.0, 5.0]), "identity")
    lost = Dense(np.eye(2), None, "identity")
    x = np.array([[1.0, 0.0]])
    labels = [int(np.argmax(Network((one,)).logits(x))) for one in (lost, layer)]
    yield "label of one sample after a second factorisation", str(labels[0]), str(labels[1])


def dropout_at_test() -> Iterator[Row]:
    """Dropout stays on when accuracy is measured."""
    x = Stream(1).normal((2000, 20)) + 0.4
    rng = Stream(2).generator()
    kept = (rng.random((2000, 20)) < 0.5) * 2.0
    shares = (f"{np.mean(np.sum(one, axis=1) > 0):.3f}" for one in (x * kept, x))
    yield "accuracy of a fixed classifier on 2,000 samples", *shares


def loss_scale() -> Iterator[Row]:
    """A sum of mean losses is divided by samples in one place and by batches in another."""
    logits, labels = Stream(1).normal((1280, 10)), np.zeros(1280, dtype=int)
    losses = [cross_entropy(logits[i : i + 128], labels[i : i + 128]) for i in range(0, 1280, 128)]
    yield (
        "loss printed beside one that is divided by batches",
        f"{sum(losses) / 1280:.4f}",
        f"{sum(losses) / len(losses):.4f}",
    )


def example_indices() -> Iterator[Row]:
    """The example S_ij = tan(pi/2 + 1/(j+1)) + cos(i) log(i+j+1) + sin(j) cos(i/j) with indices from 0."""
    with np.errstate(invalid="ignore"):
        first, second = (np.cos(np.divide(k, k, dtype=float)) for k in (0, 1))
    yield "cos(i / j) at the first entry", f"{first:.3f}", f"{second:.3f}"


def stated_probability() -> Iterator[Row]:
    """The stated probability 1 - |T| / N for a data set, where the proof supports 1 - |T| / (8 N^3)."""
    for n in (3000, 60000):
        yield (
            f"certain for 60,000 samples at width {n:,}",
            f"{max(0.0, 1 - 60000 / n):.3f}",
            f"{1 - 60000 / (8 * n**3):.7f}",
        )


def noise_axis() -> Iterator[Row]:
    """The noise axis reads as a variance and is a deviation: the penalty is quadratic, 74.5 at eps = 0.01."""
    entries, decay, base = 784 * 3000 + 3 * 3000**2 + 3000 * 500, 0.0097, 44.5
    for eps in (0.002, 0.006, 0.01):
        variance, deviation = (base + decay * entries * size for size in (eps, eps**2))
        yield (
            f"penalised loss at eps = {eps:g}",
            f"{variance:.1f}",
            f"{deviation:.1f}",
        )


def operator_shrinker() -> Iterator[Row]:
    """The operator-norm shrinker eta = theta, published for all shapes, is right for square layers."""
    for c, theta in ((1.0, 2.0), (0.4, 1.2), (4.0, 3.0)):
        eta = float(shrink(np.array([outlier(theta, c)]), c, loss="operator")[0])
        yield f"shrunk value at c = {c:g}, theta = {theta:g}", f"{theta:.4f}", f"{eta:.4f}"


def kolmogorov_table() -> Iterator[Row]:
    """Distances of spectra to their law are compared with tables for independent values."""
    law = MarchenkoPastur(1.0)
    values = np.sort(singular_values(Stream(1).normal((400, 400), scale=1 / 20))) ** 2
    ranks = np.arange(1, 401) / 400
    distance = float(np.max(np.abs(law.cdf(values) - ranks + 1 / 800)))
    yield "distance of noise at width 400: the table allows", f"{1.36 / 20:.4f}", f"{distance:.4f} is seen"


def edge_not_threshold() -> Iterator[Row]:
    """Pruning below the edge keeps spikes that the optimal threshold drops."""
    for c in (1.0, 0.25):
        yield f"cut for the least error at c = {c:g}", f"{1 + math.sqrt(c):.3f}", f"{hard_threshold(c):.3f}"


def function_and_estimate() -> Iterator[Row]:
    """Shrinkage is right for denoising S and wrong for keeping what the layer computes."""
    theta = 3.0
    left, right = overlaps(theta, 1.0)
    s = outlier(theta, 1.0)
    eta = float(shrink(np.array([s]), 1.0)[0])
    root = math.sqrt(left * right)
    lost = [theta - value * root for value in (eta, s)]
    error = [math.sqrt(theta**2 - 2 * theta * value * root + value**2) for value in (eta, s)]
    yield "lost of theta = 3 along its data path: shrunk, and truncated", f"{lost[0]:.3f}", f"{lost[1]:.3f}"
    yield "distance to S: shrunk, and truncated", f"{error[0]:.3f}", f"{error[1]:.3f}"


def decay_in_time() -> Iterator[Row]:
    """What weight decay leaves of the bulk as time goes to infinity, and by the end of the schedule."""
    steps = sum(0.02 * 0.96**epoch for epoch in range(400)) * 469 / (1 - 0.9)
    for decay in (5e-6, 1e-6):
        yield (
            f"share of the bulk left by lambda = {decay:g}",
            "0 in the limit",
            f"{math.exp(-2 * decay * steps):.3f}",
        )


SLIPS: tuple[Callable[[], Iterator[Row]], ...] = (
    edge_exponent,
    quantile_index,
    both_slips_level,
    distribution_beyond_edge,
    accepted_fit,
    level_beyond_half,
    relu_on_logits,
    softmax_over_batch,
    inverse_outlier,
    entry_variance,
    fresh_noise,
    rank_below_classes,
    dropped_bias,
    dropout_at_test,
    loss_scale,
    example_indices,
    stated_probability,
    noise_axis,
    operator_shrinker,
    kolmogorov_table,
    edge_not_threshold,
    function_and_estimate,
    decay_in_time,
)


def main() -> None:
    names = {slip.__name__: slip for slip in SLIPS}
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"Any of {', '.join(names)}.")
    parser.add_argument("--preset", choices=("quick", "paper"), default="paper")
    options = parser.parse_args()
    slow = {both_slips_level.__name__} if options.preset == "quick" else set()
    given = options.names or [name for name in names if name not in slow]
    unknown = [name for name in given if name not in names]
    if unknown:
        parser.error(f"unknown name {unknown[0]!r}; choose from {', '.join(names)}")
    for name in given:
        print(f"\n{names[name].__doc__ or ''}\n\n| {name} | published | corrected |\n|---|---|---|")
        for row in names[name]():
            print(f"| {' | '.join(row)} |")


if __name__ == "__main__":
    main()
