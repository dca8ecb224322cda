"""Right sides against the formulas of their statements, written out once more from single numbers.

A bound that is loose is held by all trials, also with a constant that is a little wrong; here it is not. Left
sides that are ratios are compared times their bound.
"""

import math

import numpy as np
import pytest

from rmttheory.arrays import Stream
from rmttheory.theorem.claims import find_claim


def drawn(name, **changes):
    claim = find_claim(name)
    cell = claim.cell(**changes)
    return claim, cell, claim.draw(cell, Stream(11).child(name))


def lengths(v):
    return [math.sqrt(sum(float(x) ** 2 for x in row)) for row in np.asarray(v)]


def row_sum(readout):
    return max(sum(abs(float(x)) for x in row) for row in np.asarray(readout))


def gaussian_radii(case, cell, rows, delta):
    n, g = cell["n"], cell["g"]
    stretch = row_sum(case.planting.readout)
    return [stretch * a * (2 * g * math.log(2 * rows / delta) / n) ** 0.5 for a in lengths(case.planting.v)]


def moved(case):
    return np.max(np.abs(np.asarray(case.after) - np.asarray(case.before)), axis=1)


def close(value):
    return pytest.approx(value, rel=1e-12, abs=0)


def test_finite_confidence():
    claim, cell, case = drawn("finite_confidence", g=0.7)
    radii = gaussian_radii(case, cell, cell["n"] * cell["samples"], cell["delta"])
    assert claim.left(case) == close(float(np.max(moved(case) / radii)))


def test_sidaks_radius():
    from scipy.stats import norm

    claim, cell, case = drawn("sidak_confidence", g=0.7)
    events = cell["n"] * cell["samples"]
    u = norm.isf((1 - (1 - cell["delta"]) ** (1 / events)) / 2)
    stretch = row_sum(case.planting.readout)
    radii = [stretch * a * u * (0.7 / cell["n"]) ** 0.5 for a in lengths(case.planting.v)]
    # 1 - (1 - delta) ** (1 / events) loses four digits
    assert claim.left(case) == pytest.approx(float(np.max(moved(case) / radii)), rel=1e-10)
    assert max(radii) < max(gaussian_radii(case, cell, events, cell["delta"]))


@pytest.mark.parametrize(
    "name", ["logit_perturbation_gaussian", "margin_accuracy_gaussian", "ce_perturbation_gaussian"]
)
def test_the_radius_of_the_paper(name):
    claim, cell, case = drawn(name, readout="standard", samples=7)
    n = cell["n"]
    stretch = row_sum(case.planting.readout)
    tau = [2 * 2**0.5 * stretch * a * (math.log(2 * n) / n) ** 0.5 for a in lengths(case.planting.v)]
    if name == "ce_perturbation_gaussian":
        assert claim.right(case) == close(2 * sum(tau) / len(tau))
    elif name == "logit_perturbation_gaussian":
        assert claim.left(case) == close(float(np.max(moved(case) / tau)))
    else:
        logits = np.asarray(case.before)
        lead = [z[k] - max(np.delete(z, k)) for z, k in zip(logits, case.labels)]
        assert claim.right(case) == sum(abs(a) <= 2 * b for a, b in zip(lead, tau)) / len(tau)
        # margins right at 2 tau are told apart: the claim flags what lies a per mille inside, and not outside
        flips = sum(abs(a) <= 2.0 * b * (1 + 1e-3) for a, b in zip(lead, tau)) / len(tau)
        assert flips >= claim.right(case)


@pytest.mark.parametrize("name", ["margin_accuracy_gaussian"])
@pytest.mark.parametrize(("lead", "flagged"), [(2 - 1e-6, 1.0), (2 + 1e-6, 0.0)])
def test_samples_are_flagged_up_to_twice_the_radius(name, lead, flagged):
    from rmttheory.theorem.statements.radii import _extreme

    case = _extreme(0.0, lead=lead)
    assert find_claim(name).right(case) == flagged


def loss_bound(case, cell, sigma):
    n, decay, delta = cell["n"], cell["decay"], cell["delta"]
    rows = n * cell["samples"]
    if hasattr(case, "planting"):
        stretch, norms = row_sum(case.planting.readout), lengths(case.planting.v)
        signal = math.sqrt(sum(float(t) ** 2 for t in case.planting.theta))
    else:
        stretch, norms = row_sum(case.network.layers[2].weight), lengths(case.v)
        signal = math.sqrt(float(np.sum(case.S**2)))
    entropy = [2 * stretch * a * sigma * (2 * math.log(4 * rows / delta) / n) ** 0.5 for a in norms]
    cross = 2 * decay * signal * sigma * (2 * math.log(4 / delta) / n) ** 0.5
    return sum(entropy) / len(entropy) + cross


@pytest.mark.parametrize("name", ["loss_reduction_gaussian", "scaled_path", "stationarity_collapse"])
def test_the_bound_on_the_loss(name):
    claim, cell, case = drawn(name, g=0.7, decay=0.5)
    assert claim.right(case) == close(loss_bound(case, cell, math.sqrt(0.7)))


@pytest.mark.parametrize("name", ["loss_reduction_general", "scaled_path_general"])
@pytest.mark.parametrize(("noise", "factor"), [("rademacher", 1.0), ("haar", 2.0)])
def test_the_bound_on_the_loss_for_other_noise(name, noise, factor):
    claim, cell, case = drawn(name, g=0.7, decay=0.5, noise=noise, n=64)
    assert claim.right(case) == close(loss_bound(case, cell, factor * math.sqrt(0.7)))


def test_the_abstract_radius():
    claim, cell, case = drawn("remove_R_general", g=0.7, noise="haar", n=64)
    n, rows = 64, 64 * cell["samples"]
    stretch = row_sum(case.network.layers[2].weight)
    radii = [
        2 * 0.7**0.5 * stretch * a * (2 * math.log(2 * rows / cell["delta"]) / n) ** 0.5
        for a in lengths(case.v)
    ]
    assert claim.left(case) == close(float(np.max(moved(case) / radii)))


def test_confidence_after_any_number_of_layers():
    claim, cell, case = drawn("confidence_random_removal", samples=3, g=0.7)
    n = cell["n"]
    stretch = math.prod(row_sum(layer.weight) for layer in case.network.layers[2:])
    rows = n * 3
    radii = [stretch * a * (2 * 0.7 * math.log(2 * rows / cell["delta"]) / n) ** 0.5 for a in lengths(case.v)]
    before, after = np.asarray(case.before), np.asarray(case.after)
    lead = [[z[k] - max(np.delete(z, k)) for z, k in zip(logits, case.labels)] for logits in (before, after)]
    fallen = [abs(a - b) / (2 * r) for a, b, r in zip(*lead, radii)]
    assert claim.left(case) == close(max(fallen))


@pytest.mark.parametrize("name", ["data_path_budget_gaussian", "data_path_budget_subgaussian"])
def test_the_budget_of_one_layer(name):
    claim, cell, case = drawn(name, g=0.7)
    n, rows = cell["n"], cell["n"] * cell["samples"]
    size = (2 * 0.7 * math.log(2 * rows / cell["delta"]) / n) ** 0.5
    terms = [2 * float(L) * a * size for L, a in zip(case.stretches, lengths(case.v))]
    assert claim.right(case) == close(sum(terms) / len(terms))
    largest = [max(abs(float(x)) for x in image) for image in case.images[0]]
    taken = [2 * float(L) * a for L, a in zip(case.stretches, largest)]
    assert claim.left(case) == close(sum(taken) / len(taken))


def test_the_budget_from_the_edge():
    claim, cell, case = drawn("mp_edge_budget")
    n, m, rows = cell["n"], cell["m"], cell["n"] * cell["samples"]
    g = (case.edge / (1 + (m / n) ** 0.5)) ** 2 * (1 + 2 * 1.8 / min(n, m))
    size = (2 * g * math.log(2 * rows / cell["delta"]) / n) ** 0.5
    terms = [2 * float(L) * a * size for L, a in zip(case.stretches, lengths(case.v))]
    assert claim.right(case) == close(sum(terms) / len(terms))


def test_the_budget_of_several_layers():
    claim, cell, case = drawn("multilayer_budget", layers=4, g=0.7)
    n, rows, each = cell["n"], cell["n"] * cell["samples"], cell["delta"] / 4
    size = (2 * 0.7 * math.log(2 * rows / each) / n) ** 0.5
    terms = [4 * 2 * float(L) * size for L in case.stretches]
    assert claim.right(case) == close(sum(terms) / len(terms))


def test_the_threshold_on_entries():
    _, cell, case = drawn("entrywise_threshold_support", g=0.7)
    n, m = cell["n"], cell["m"]
    assert case.threshold == close((2 * 0.7 * math.log(2 * n * m / cell["delta"]) / n) ** 0.5)
    assert sorted({round(float(abs(s)) / case.threshold, 9) for s in case.signal}) == [1.9, 2.1]


def test_the_bound_of_the_reconstructed_theorem():
    claim, cell, case = drawn("pruning_theorem_confidence", n=256, classes=3, strength=2.0, samples=6, g=0.7)
    n, rows = 256, 256 * 6
    planting = case.planting
    stretch = row_sum(planting.readout)
    before, after = np.asarray(case.before), np.asarray(case.after)
    ratios = []
    for s, v in enumerate(np.asarray(planting.v)):
        lost = sum(0.7**2 / 2.0**3 * planting.U[:, i] * float(planting.V[:, i] @ v) for i in range(3))
        random = lengths([v])[0] * (2 * 0.7 * math.log(2 * rows / cell["delta"]) / n) ** 0.5
        bound = 2 * stretch * (max(abs(lost)) + random)
        k = case.labels[s]
        lead = [z[s][k] - max(np.delete(z[s], k)) for z in (before, after)]
        ratios.append(abs(lead[0] - lead[1]) / bound)
    assert claim.left(case) == close(max(ratios))


def test_the_exact_quantile():
    from scipy.stats import norm

    claim, cell, case = drawn("row_event_exact", g=0.7)
    u = claim.right(case) / (lengths([case.v])[0] * (0.7 / cell["n"]) ** 0.5)
    assert 1 - (2 * norm.cdf(u) - 1) ** cell["n"] == pytest.approx(cell["probability"], rel=1e-10)


def test_the_stated_failure_is_larger_than_the_exact_one():
    """What is stated is 1/n, what is proved 1/(8 n^3); the exact law of the row event is below both."""
    from scipy.special import log_ndtr

    for n in (16, 128, 1024):
        u = math.sqrt(8 * math.log(2 * n))
        exact = -math.expm1(n * math.log1p(-2 * math.exp(log_ndtr(-u))))
        assert (
            exact < 1 / (8 * n**3) < find_claim("logit_perturbation_gaussian").failure({"n": n}).high == 1 / n
        )


@pytest.mark.parametrize("case_name", ["deterministic_mask_certificate", "weighted_mask_certificate"])
def test_the_stated_decrease_of_a_penalty(case_name):
    claim, _, case = drawn(case_name)
    theta, S, R = case.theta, case.S, case.R
    decrease = (1 - theta**2) * np.sum(case.ridge * R**2) + (1 - theta) * np.sum(case.lasso * np.abs(R))
    penalties = [np.sum(case.ridge * A**2) + np.sum(case.lasso * np.abs(A)) for A in (S + theta * R, S + R)]
    loss = case.losses[1] - case.losses[0]
    assert claim.left(case) == pytest.approx(loss + penalties[0] - penalties[1] + decrease, abs=1e-10)
    weights = [row_sum(layer.weight) for layer in case.network.layers[case.index + 1 :]]
    changes = [max(abs(R @ v)) for v in np.asarray(case.v)]
    budget = (1 - theta) * 2 * math.prod(weights) * sum(changes) / len(changes)
    assert claim.right(case) == close(float(budget))


def test_the_chi_square_level_of_the_energy():
    from scipy.stats import chi2

    _, cell, case = drawn("variance_scale_collapse", g=0.7)
    assert case.level == pytest.approx(0.7 / cell["n"] * chi2.isf(0.2, cell["n"] * cell["m"]), rel=1e-10)


def test_the_factor_of_weight_decay():
    claim, cell, case = drawn("weight_decay_bulk_decay")
    assert claim.right(case) == close((1 - 2 * cell["rate"] * cell["decay"]) ** cell["steps"])


def test_wedins_constant():
    claim, _, case = drawn("subspace_stabilization")
    W, S, R = (np.linalg.svd(A, compute_uv=False) for A in (case.S + case.R, case.S, case.R))
    assert len(W)
    assert claim.right(case) == close(float(4 / 3 * R[0] / (S[case.k - 1] - S[case.k])))
