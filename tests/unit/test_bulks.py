import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import betaln, gammaln

from rmttheory.arrays import InvalidInput, Stream
from rmttheory.matrices import Spiked, TracyWidom, fit_edge, null_singular_values, singular_values
from rmttheory.networks.bulks import FittedEdge, PublishedEdge

SHAPE = (48, 32)
HEAVY = "column-scaled:1.5"


# the calibrated gate


def beta_binomial_tails(count, trials, a, b):
    """P(K <= count) and P(K >= count) of a binomial whose probability is Beta(a, b)."""
    k = np.arange(trials + 1)
    choose = gammaln(trials + 1) - gammaln(k + 1) - gammaln(trials - k + 1)
    weights = np.exp(choose + betaln(k + a, trials - k + b) - betaln(a, b))
    return weights[: count + 1].sum(), weights[count:].sum()


def refused(gate, draws):
    rule = FittedEdge(gate=gate)
    return sum(not rule.read(s, SHAPE).accepted for s in draws)


def test_the_gate_refuses_noise_with_its_level():
    """Null: a new draw of noise is exchangeable with the 499 simulated ones.

    Then the number refused of 1500 at gate 0.3 is beta-binomial with Beta(150, 350), exactly: 150 of the 500
    ranks are refused. Level 1e-6, two-sided. Power: against true levels of 0.15 and 0.5, with as much spread,
    above 0.9; shown below from the same law.
    """
    draws = null_singular_values(SHAPE, trials=1500, stream=Stream(77))
    assert min(beta_binomial_tails(refused(0.3, draws), 1500, 150, 350)) > 5e-7
    rejected = [k for k in range(1501) if min(beta_binomial_tails(k, 1500, 150, 350)) <= 5e-7]
    below, above = max(k for k in rejected if k < 450), min(k for k in rejected if k > 450)
    assert beta_binomial_tails(below, 1500, 75, 425)[0] > 0.9
    assert beta_binomial_tails(above, 1500, 250, 250)[1] > 0.9


def test_a_p_value_at_the_gate_is_refused_and_above_it_accepted():
    s = null_singular_values(SHAPE, trials=1, stream=Stream(3))[0]
    p_value = FittedEdge(gate=0.5).read(s, SHAPE).p_value
    assert 0.01 < p_value < 0.99
    assert not FittedEdge(gate=p_value).read(s, SHAPE).accepted
    assert FittedEdge(gate=p_value - 0.001).read(s, SHAPE).accepted


def test_the_gate_keeps_its_level_beside_spikes_and_refuses_what_is_no_noise():
    """Null: at most 0.1 of bulks with spikes are refused; 300 draws, level below 1e-6 at 60 of them.

    Alternative: rows of unequal variance, of which nearly all are refused; at least half is asked for.
    """
    draws = Spiked(SHAPE, (4.0, 3.0, 2.5)).singular_values(rng=3, trials=300)
    assert refused(0.1, draws) < 60
    heavy = Spiked(SHAPE, noise=HEAVY)
    assert refused(0.1, [singular_values(heavy.sample(seed).W) for seed in range(40)]) > 20


def test_without_a_gate_nothing_is_simulated_and_all_pass():
    heavy = singular_values(Spiked(SHAPE, noise=HEAVY).sample(1).W)
    reading = FittedEdge(gate=0).read(heavy, SHAPE)
    assert (reading.accepted, reading.p_value) == (True, None)


def test_the_edge_is_that_of_the_fit():
    s = singular_values(Spiked(SHAPE, (3.0,)).sample(2).W)
    for method in ("bema", "fit", "median"):
        reading = FittedEdge(method=method, alpha=0.2, level=0.3).read(s, SHAPE)
        fit = fit_edge(s, SHAPE, method=method, alpha=0.2, level=0.3)
        assert (reading.edge, reading.misfit, reading.p_value) == (fit.edge, fit.misfit, fit.p_value)


# the published rule


def published(s, shape, alpha, beta):
    """Written out from the public code, with its own quadrature of the law."""
    p, n = sorted(shape)
    gamma = p / n
    low, high = (1 - math.sqrt(gamma)) ** 2, (1 + math.sqrt(gamma)) ** 2

    def cdf(x):
        density = lambda t: math.sqrt(max((high - t) * (t - low), 0)) / (2 * math.pi * gamma * t)  # noqa: E731
        return quad(density, low, x)[0]

    def quantile(q):
        a, b = low, high
        for _ in range(60):
            middle = (a + b) / 2
            a, b = (middle, b) if cdf(middle) < q else (a, middle)
        return (a + b) / 2

    values = np.sort(s) ** 2 / n
    ind = list(range(int(alpha * p), int((1 - alpha) * p)))
    q = np.array([quantile(i / p) for i in ind])
    variance = (q @ values[ind]) / (q @ q)
    t = TracyWidom(1).ppf(1 - beta)
    top = (1 + np.sqrt(gamma)) ** 2 + t * n ** (-2 / 3) * gamma ** (-1 / 6) * (1 + np.sqrt(gamma)) ** 4 / 3
    fitted = np.array([0.0 if x >= variance * high else cdf(x / variance) for x in values[ind]])
    empirical = alpha + (1 - 2 * alpha) * np.arange(len(ind)) / len(ind)
    return math.sqrt(n * variance * top), np.max(np.abs(fitted - empirical))


@pytest.mark.parametrize(
    ("shape", "noise", "alpha", "beta"),
    [((24, 16), "gaussian", 0.25, 0.1), ((16, 40), "gaussian", 0.2, 0.9), ((32, 16), HEAVY, 0.1, 0.1)],
)
def test_the_published_edge_and_misfit_are_those_of_the_public_code(shape, noise, alpha, beta):
    """The quadrature is good to 1e-8, the law to rounding."""
    s = singular_values(Spiked(shape, (3.0,), noise=noise).sample(5).W)
    edge, misfit = published(s, shape, alpha, beta)
    reading = PublishedEdge(alpha=alpha, beta=beta).read(s, shape)
    assert reading.edge == pytest.approx(edge, rel=1e-6, abs=0)
    assert reading.misfit == pytest.approx(misfit, rel=0, abs=1e-6)
    assert reading.p_value is None
    if noise == HEAVY:  # values in the window lie beyond the edge, where the published distribution is 0
        assert misfit > 0.8


def test_the_published_cutoffs_accept_everything_or_nothing():
    heavy = singular_values(Spiked(SHAPE, noise=HEAVY).sample(1).W)
    assert PublishedEdge().read(heavy, SHAPE).accepted
    assert not PublishedEdge(cutoff=0).read(heavy, SHAPE).accepted
    assert not FittedEdge().read(heavy, SHAPE).accepted


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: FittedEdge(method="bma"), "bema"),
        (lambda: FittedEdge(alpha=0.5), "`alpha`"),
        (lambda: FittedEdge(level=0), "`level`"),
        (lambda: FittedEdge(gate=1), "`gate`"),
        (lambda: FittedEdge(gate=0.001), "`gate` must be 0 or at least 0.002"),
        (lambda: FittedEdge(gate=0.004, method="bema-gamma"), "at least 0.005"),
        (lambda: FittedEdge().read(np.ones(3), SHAPE), "all 32 singular values"),
        (lambda: PublishedEdge(alpha=0), "`alpha`"),
        (lambda: PublishedEdge(beta=1), "`beta`"),
        (lambda: PublishedEdge(cutoff=-1), "`cutoff`"),
        (lambda: PublishedEdge().read(np.ones(3), SHAPE), "all 32 singular values"),
        (lambda: PublishedEdge().read(np.ones(1), (1, 5)), "two or more"),
    ],
)
def test_bad_rules_and_spectra_are_refused(call, words):
    with pytest.raises(InvalidInput, match=words):
        call()
