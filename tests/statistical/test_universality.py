"""What the verdicts of universality rest on: distances, the shift of the edge, the laws they speak of."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import t as student

from rmttheory import Stream, spike_threshold
from rmttheory.matrices.band import null_singular_values
from rmttheory.matrices.noise import parse_noise
from rmttheory.theorem import find_claim, verify
from rmttheory.theorem.statements import universality
from rmttheory.theorem.statements.universality import edge_shift, excess_kurtosis, two_sample_distance

LAWS = ("rademacher", "uniform", "student-t:5")


def test_two_sample_distance_is_the_supremum():
    rng = Stream(1).generator()
    for sizes in ((1, 1), (5, 5), (4, 9)):
        a, b = (rng.standard_normal(size) for size in sizes)
        places = np.concatenate([a, b, a - 1e-9, b - 1e-9])
        brute = max(abs(np.mean(a <= x) - np.mean(b <= x)) for x in places)
        assert two_sample_distance(a, b) == pytest.approx(brute, abs=1e-15)
    assert two_sample_distance(np.zeros(3), np.ones(2)) == 1.0


def test_fourth_cumulants_are_those_of_the_laws():
    uniform = quad(lambda x: x**4 / (2 * math.sqrt(3)), -math.sqrt(3), math.sqrt(3))[0] - 3
    assert excess_kurtosis(parse_noise("uniform")) == pytest.approx(uniform, rel=1e-12)
    for df in (5.0, 8.0):
        fourth = student.moment(4, df) * ((df - 2) / df) ** 2
        assert excess_kurtosis(parse_noise(f"student-t:{df}")) == pytest.approx(fourth - 3, rel=1e-9)
    for name in ("rademacher", "sparse:0.25"):
        entries = parse_noise(name).sample((200, 200), 200.0, Stream(2))  # variance 1
        levels = np.unique(np.abs(entries))[-1]
        fourth = levels**4 * (1.0 if name == "rademacher" else 0.25)
        assert excess_kurtosis(parse_noise(name)) == pytest.approx(fourth - 3, rel=1e-12)
    assert excess_kurtosis(parse_noise("gaussian")) == excess_kurtosis(parse_noise("student-t:3")) == 0.0


@pytest.mark.parametrize("shape", [(100, 100), (100, 25), (25, 100)])
def test_shift_is_the_first_order_move_of_the_stationary_point(shape):
    n, m = shape
    c, moved = m / n, edge_shift(parse_noise("uniform"), shape)
    P = math.sqrt(1 / c) * np.linspace(0.9, 1.1, 20001)
    for scale in (1e-3, 1e-4):
        eps = scale * -1.2 / n
        least = np.min((1 + c * P + c * eps * P**2) * (1 + P + eps * P**2) / P)
        # second order in eps, and the grid of P, squared
        assert least - (1 + math.sqrt(c)) ** 2 == pytest.approx(scale * moved, rel=2e-3, abs=1e-8 * scale)
    # a matrix and its transpose have one spectrum, up to the unit of variance
    assert moved == pytest.approx(edge_shift(parse_noise("uniform"), (m, n)) * c, rel=1e-12)


@pytest.mark.parametrize(("noise", "toward"), [("rademacher", -1), ("student-t:8", 1)])
def test_shift_brings_the_laws_of_the_edge_together(noise, toward):
    # Null: the laws of the shifted edge differ by 0.10 at most. Against 1500 and 10000 draws the sample
    # distance exceeds 0.10 + 0.083 + 0.032 with probability 2e-9 (Dvoretzky, Kiefer, Wolfowitz, Massart).
    # Alternative: the shift of the other sign makes it 0.3 or more, refuted with probability above 0.999.
    # Without a shift, mean values differ by half of it or more: 0.85 and 0.95 of it, 6 standard errors above.
    shape, law = (120, 60), parse_noise(noise)
    found = universality._values_in_full(law, shape, 1500, Stream(3).child(noise))[:, 0] ** 2
    gaussian = null_singular_values(shape, trials=10_000, k=1, stream=Stream(4))[:, 0] ** 2
    shift = edge_shift(law, shape)
    assert toward * shift > 0
    assert two_sample_distance(found - shift, gaussian) < 0.215
    assert two_sample_distance(found + shift, gaussian) > 0.215
    assert toward * (found.mean() - gaussian.mean()) > abs(shift) / 2


@pytest.mark.parametrize("shape", [(12, 7), (7, 12)])
def test_layers_cut_from_a_wide_one_have_its_entries_and_their_own_values(shape, monkeypatch):
    n, m = shape
    monkeypatch.setattr(universality, "_BLOCK", 3 * n * m)
    law, stream = parse_noise("student-t:5"), Stream(6)
    values = universality._values_in_full(law, shape, 5, stream)
    assert values.shape == (5, 7)
    first, second = (law.sample((n, k * m), 1.0, stream.child(i)) for i, k in ((0, 3), (3, 2)))
    layers = [first[:, :m], first[:, m : 2 * m], first[:, 2 * m :], second[:, :m], second[:, m:]]
    for row, layer in zip(values, layers):
        np.testing.assert_allclose(row, np.linalg.svd(layer, compute_uv=False), rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("claim", "noise", "speaks"),
    [
        ("universality_bulk", "student-t:4.5", True),
        ("universality_bulk", "student-t:4", False),
        ("universality_bulk", "column-scaled:0.5", False),
        ("universality_edge", "student-t:5", True),
        ("universality_edge", "student-t:4.9", False),
        ("universality_edge", "gaussian", True),
        ("universality_outlier", "student-t:4.5", True),
        ("universality_outlier", "student-t:3", False),
    ],
)
def test_claims_speak_of_laws_with_enough_moments(claim, noise, speaks):
    verdict = verify(claim, noise=noise, trials=3)
    assert (verdict.outcome.value != "inapplicable") is speaks


def test_samples_grow_so_that_their_errors_decay_with_the_distance():
    cells = {name: find_claim(f"universality_{name}").cell() for name in ("bulk", "edge", "outlier")}
    draw = {name: find_claim(f"universality_{name}").draw for name in cells}
    for n in (16, 40):
        edge = draw["edge"]({**cells["edge"], "n": n}, Stream(1))
        assert edge.found.shape == edge.gaussian.shape == (round(2 * n ** (2 / 3)), 1)
        outlier = draw["outlier"]({**cells["outlier"], "n": n}, Stream(1))
        assert len(outlier.draws) == len(outlier.band.values) == n // 2
        assert outlier.model.spikes == outlier.band.model.spikes == (2 * spike_threshold(0.5),)
        bulk = draw["bulk"]({**cells["bulk"], "n": n}, Stream(1))
        assert bulk.found.shape == bulk.gaussian.shape == (1, n // 2)


@pytest.mark.slow
@pytest.mark.parametrize("noise", LAWS)
@pytest.mark.parametrize("name", ["universality_bulk", "universality_edge"])
def test_laws_with_five_moments_obey(name, noise):
    # 4 times the trials of the claim: slopes scatter by 0.02 at most, at least 8 of these off the line
    claim = find_claim(name)
    verdict = verify(claim, noise=noise, trials=4 * claim.trials)
    assert verdict.outcome.value == "consistent", verdict.why
