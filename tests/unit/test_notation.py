"""The conversions of docs/notation.md, and that every name on that page exists."""

import importlib
import math
import re
from pathlib import Path

import numpy as np
import pytest

import rmttheory as rt
from rmttheory import matrices, networks
from rmttheory.arrays import Stream
from rmttheory.theorem import certificates

PAGE = Path(__file__).parents[2] / "docs" / "notation.md"
SHAPES = [(60, 40), (40, 60), (50, 50)]
THETAS = np.array([0.3, 0.9, 1.0, 1.4, 2.0, 5.0])
RTOL = 64 * np.finfo(float).eps
"""A few dozen roundings, on either side of an equation between closed forms."""


def close(left, right, rtol=RTOL):
    np.testing.assert_allclose(left, right, rtol=rtol, atol=0)


def names_on_the_page():
    """Dotted names in the last column of the first table."""
    table = PAGE.read_text().partition("## Symbols of the papers")[2].partition("## Other conventions")[0]
    cells = [line.rstrip("| ").rpartition("| ")[2] for line in table.splitlines() if line.startswith("| $")]
    return sorted({name for cell in cells for name in re.findall(r"`(\w+(?:\.\w+)+)`", cell)})


def test_the_page_names_many_things():
    assert len(names_on_the_page()) > 20


@pytest.mark.parametrize("name", names_on_the_page())
def test_every_name_on_the_page_exists(name):
    owner, attribute = name.split(".")
    homes = {"matrices": matrices, "networks": networks, "certificates": certificates}
    if owner not in homes:
        home = next(m for m in (rt, matrices, networks) if hasattr(m, owner))
        homes[owner] = getattr(home, owner)
    fields = getattr(homes[owner], "__dataclass_fields__", {})
    assert hasattr(homes[owner], attribute) or attribute in fields


@pytest.mark.parametrize(("n", "m"), SHAPES)
@pytest.mark.parametrize("sigma_squared", [1.0, 0.013])
def test_edge_is_the_root_of_n_times_the_edge_of_the_covariance(n, m, sigma_squared):
    c, g = m / n, n * sigma_squared
    low, high = rt.MarchenkoPastur(aspect=c, variance=sigma_squared).support
    close(matrices.bulk_edge(c, g), math.sqrt(n * high))
    if n != m:
        close(matrices.lower_edge(c, g), math.sqrt(n * low))
    close(matrices.bulk_edge(c, g), math.sqrt(g) * (1 + math.sqrt(c)))
    close(rt.spike_threshold(c, g), math.sqrt(g) * c**0.25)


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_singular_values_are_roots_of_the_eigenvalues_without_the_atom(n, m):
    c, g = m / n, 0.7
    law, singular = rt.MarchenkoPastur(c, variance=g), rt.MarchenkoPastur(c, variance=g).singular()
    s = np.linspace(matrices.lower_edge(c, g), matrices.bulk_edge(c, g), 9)
    close(
        singular.cdf(s)[1:], (law.cdf(s**2) - law.atom)[1:] / (1 - law.atom), rtol=1e-12
    )  # cdf: 1e-14 absolute
    close(np.asarray(singular.support)[1], matrices.bulk_edge(c, g))


def benaych_georges_nadakuditi(theta, c):
    """Their outlier and overlaps: n x m with n <= m, c = n / m, entries of variance 1 / m."""
    rho = np.sqrt((1 + theta**2) * (c + theta**2)) / theta
    short = 1 - c * (1 + theta**2) / (theta**2 * (theta**2 + c))
    long = 1 - (c + theta**2) / (theta**2 * (theta**2 + 1))
    return rho, short, long


@pytest.mark.parametrize(("n", "m"), SHAPES)
@pytest.mark.parametrize("g", [1.0, 0.3])
def test_benaych_georges_and_nadakuditi(n, m, g):
    c, theirs = m / n, min(n, m) / max(n, m)
    unit = math.sqrt(g * max(1.0, c))  # what W, theta and s are divided by
    theta = unit * theirs**0.25 * THETAS[THETAS > 1]
    rho, short, long = benaych_georges_nadakuditi(theta / unit, theirs)
    close(rt.outlier(theta, c, g), unit * rho)
    left, right = rt.overlaps(theta, c, g)
    close(left, short if n < m else long, rtol=1e-13)  # their differences from 1 cancel, by up to 1 / overlap
    close(right, long if n < m else short, rtol=1e-13)
    close(rt.spike_threshold(c, g), unit * theirs**0.25)


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_gavish_and_donoho(n, m):
    c, g, beta = m / n, 0.4, min(n, m) / max(n, m)
    tau = math.sqrt(2 * (beta + 1) + 8 * beta / (beta + 1 + math.sqrt(beta**2 + 14 * beta + 1)))
    sigma = math.sqrt(g / n)
    close(matrices.hard_threshold(c, g), tau * math.sqrt(max(n, m)) * sigma)
    close(math.sqrt(g * max(1, c)), math.sqrt(max(n, m)) * sigma)


def test_gavish_and_donoho_with_unknown_noise():
    """omega(1), omega(1/2) and omega(1/4), the cut in units of the median, to the third decimal."""
    for (n, m), omega in (((50, 50), 2.858), ((100, 50), 2.171), ((100, 25), 1.837)):
        found = matrices.hard_threshold_unknown_noise(np.ones(min(n, m)), (n, m))
        assert found == pytest.approx(omega, abs=5e-4)


@pytest.mark.parametrize(("n", "m"), [(400, 300), (300, 400), (300, 300)])
def test_bema(n, m):
    """Eigenvalues that are the quantiles of the law with variance sigma^2 have g = n sigma^2, to 1 %."""
    sigma_squared, p, larger = 0.02, min(n, m), max(n, m)
    quantiles = rt.MarchenkoPastur(p / larger, variance=sigma_squared).ppf((np.arange(p) + 0.5) / p)
    fit = rt.fit_edge(np.sqrt(larger * quantiles)[::-1].copy(), (n, m))
    assert fit.g == pytest.approx(n * sigma_squared, rel=1e-2)
    assert fit.bulk_edge == pytest.approx(
        math.sqrt(larger * sigma_squared) * (1 + math.sqrt(p / larger)), rel=5e-3
    )


@pytest.mark.parametrize(("n", "m"), SHAPES)
def test_pytorch_starts_with_a_third_of_one_over_c(n, m, require):
    require("torch")
    torch = importlib.import_module("torch")
    bound = math.sqrt(3 * (1 / (3 * (m / n))) / n)
    W = torch.nn.Linear(m, n).weight.detach().numpy()
    # n m uniform entries: the largest misses the bound by a share x with probability exp(-n m x)
    assert (1 - 20 / (n * m)) * bound < np.abs(W).max() <= bound * (1 + 1e-6)


@pytest.mark.parametrize(("n", "m"), SHAPES)
@pytest.mark.parametrize(("scale", "times_c"), [("he", 2.0), ("lecun", 1.0)])
def test_initial_networks(n, m, scale, times_c):
    drawn = [
        networks.initial_network((m, n), stream=Stream(3), scale=s).layers[0].weight
        for s in (scale, times_c / (m / n))
    ]
    close(*drawn)


def test_mean_square_of_the_noise_is_g_times_m():
    """HaarRotated has the sum of squares that g promises, exactly; so the entry variance is g / n."""
    R = matrices.HaarRotated().sample((40, 60), 0.3, Stream(1))
    close(np.sum(R**2), 0.3 * 60, rtol=1e-12)


def test_kappa_is_free_of_scale():
    budget = {"n": 100, "g": 1.0, "samples": 10, "delta": 0.05}
    radius = certificates.gaussian_radius(3.0, 2.0, **budget)
    close(certificates.gaussian_radius(0.3, 2.0, **budget), radius / 10)
