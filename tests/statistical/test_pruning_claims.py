"""What the verdicts of the pruning claims rest on: their bound, its reach, and where its hypotheses end."""

import math
from dataclasses import replace

import numpy as np
import pytest

from rmttheory import Stream
from rmttheory.theorem import find_claim, truncations, verify
from rmttheory.theorem.statements import pruning
from rmttheory.theorem.verdicts import clopper_pearson

CONFIDENCE, ACCURACY = pruning.PRUNING_THEOREM_CONFIDENCE, pruning.PRUNING_THEOREM_ACCURACY
FLUKE = 1e-9
"""Level of each frequency below: the chance that a true statement fails its test."""


def draw(seed=1, **cell):
    return truncations.draw_truncated(CONFIDENCE.cell(**cell), Stream(seed))


def share_of_layer(case):
    """``|(W - W') v_s|_inf`` over its bound, largest over the samples: the random half of the theorem."""
    radius = case.radius(case.cell["delta"]) / case.lipschitz
    return float(np.max(case.moved / (case.lost_signal + radius)))


class TestBound:
    @pytest.mark.parametrize("readout", ["bounded", "standard"])
    def test_is_that_of_the_statement(self, readout):
        case = draw(n=200, classes=2, g=0.25, strength=2.0, readout=readout, delta=0.1)
        p = case.planting
        B = p.U @ np.diag([0.25**2 / 8] * 2) @ p.V.T
        radius = np.linalg.norm(p.v, axis=1) * math.sqrt(2 * 0.25 * math.log(2 * 200 * 20 / 0.1) / 200)
        L = np.abs(p.readout).sum(axis=1).max()
        expected = 2 * L * (np.abs(p.v @ B.T).max(axis=1) + radius)
        np.testing.assert_allclose(pruning._bound(case), expected, rtol=1e-12)

    def test_users_read_that_it_is_a_reconstruction(self):
        for claim in (CONFIDENCE, ACCURACY):
            assert claim.reconstructed
            assert "our reconstruction, with constants derived here" in claim.source

    def test_one_percent_less_would_not_hold_in_the_extreme_case(self):
        case = CONFIDENCE.witness()
        assert pruning._share_of_bound(case) == pytest.approx(0.995, abs=1e-6)
        assert case.accuracies == (1.0, 0.0)
        assert pruning._doubtful(case) == 1.0
        assert case.confidence[0][0] > 0.99 * pruning._bound(case)[0]

    def test_the_extreme_case_is_a_truncation(self):
        # the direction that moves is a singular pair of W = S + R below the edge
        case = CONFIDENCE.witness()
        p, v = case.planting, case.v[0]
        R = np.outer(case.removed_images[0], [0, 1, *[0] * 62]) / v[1]
        U, s, V = np.linalg.svd(p.S + R)
        kept = (U[:, s > 2] * s[s > 2]) @ V[s > 2]
        assert sum(s > 1e-9) == 2
        np.testing.assert_allclose(case.before[0], np.maximum((p.S + R) @ v, 0)[:2], rtol=1e-10)
        np.testing.assert_allclose(case.after[0], np.maximum(kept @ v, 0)[:2], rtol=1e-10)


class TestLayer:
    # Null: P(some |(W - W') v_s|_inf exceeds its bound) <= 0.05. 120 draws without one give an upper limit of
    # 0.16 at level 1e-9; the alternative, 0.25 or more, shows at least one with probability above 1 - 1e-15
    @pytest.mark.parametrize(
        "cell", [{"strength": 0.01, "n": 512}, {"strength": 2.1}, {"strength": 2.8, "n": 64}]
    )
    def test_union_bound_holds_for_all_neurons(self, cell):
        broken = sum(share_of_layer(draw(seed, **cell)) > 1 for seed in range(120))
        assert clopper_pearson(broken, 120, FLUKE)[0] <= 0.05

    def test_two_thirds_of_the_bound_would_not(self):
        # Null: P <= 0.05. Measured 0.98 (ratio 0.75 on average): 40 draws refute with probability above 0.99
        broken = sum(
            share_of_layer(draw(seed, strength=0.01, n=512, samples=100)) > 2 / 3 for seed in range(40)
        )
        assert clopper_pearson(broken, 40, FLUKE)[0] > 0.05

    def test_it_fails_inside_the_critical_window(self):
        # ten spikes of 1.4 sqrt(g) at n = 256: whether one is kept is chance, and a lost one costs 1.4
        # where the bound has 0.36 + 0.31. Null: P <= 0.05; measured 0.87
        broken = sum(share_of_layer(draw(seed, strength=1.4)) > 1 for seed in range(40))
        assert clopper_pearson(broken, 40, FLUKE)[0] > 0.05
        assert verify(CONFIDENCE, strength=1.4, trials=4).outcome.value == "inapplicable"

    def test_it_is_sharp_at_large_widths(self):
        # what the signal loses is all that remains, and it is lost: the radius is 2 % of it
        case = draw(n=200_000, strength=0.7, classes=3)
        assert share_of_layer(case) == pytest.approx(1, abs=0.03)


class TestVerdicts:
    def test_vacuous_bounds_say_where_they_would_speak(self):
        cell = {"n": 16, "classes": 2, "strength": 2.6, "delta": 0.001, "samples": 50}
        case = draw(**cell)
        alpha = (case.v @ case.planting.V) * 2.6
        own = alpha[np.arange(50), case.labels] - alpha[np.arange(50), 1 - case.labels]

        def speaks(n):
            radius = case.norms * math.sqrt(2 * math.log(2 * n * 50 / 0.001) / n)
            return bool(np.any(own > 2 * (case.lost_signal + radius)))

        width = CONFIDENCE.speaks_at(case)
        assert width == ACCURACY.speaks_at(case)
        assert speaks(width)
        assert not speaks(width - 1)
        # noise may lift a confidence above the bound at a width that is too small for the signal alone
        assert verify(CONFIDENCE, trials=30, **cell).informative < 30

    @pytest.mark.parametrize("cell", [{"readout": "standard"}, {"n": 16384, "strength": 0.7, "classes": 2}])
    def test_it_never_speaks_of_loud_readouts_and_hidden_spikes(self, cell):
        # a hidden spike takes all of its confidence with it; the readout's L grows as sqrt(n)
        verdict = verify(CONFIDENCE, trials=6, delta=0.5, **cell)
        assert (verdict.outcome.value, verdict.speaks_at) == ("vacuous", math.inf)

    @pytest.mark.parametrize("cell", [{"noise": "rademacher", "n": 64, "strength": 4.0}, {"strength": 1.2}])
    def test_without_hypotheses_nothing_is_tested(self, cell):
        assert verify(ACCURACY, trials=3, **cell).outcome.value == "inapplicable"

    def test_both_ways_to_draw_are_judged(self):
        for method in ("band", "dense"):
            verdict = verify(CONFIDENCE, n=128, strength=4.0, delta=0.5, method=method)
            assert (verdict.outcome.value, verdict.path) == ("certified", method)


@pytest.mark.parametrize(("readout", "share"), [("bounded", 1.0), ("standard", 0.5)])
@pytest.mark.parametrize(("strength", "lost"), [(0.7, 0.7), (1.6, 1.6**-3), (3.0, 1 / 27)])
def test_limit_of_the_change_of_confidence(readout, share, strength, lost):
    # n = 10^5: deviations of sqrt(1/n) = 0.003 a logit or less, two logits; six of them allowed
    case = draw(n=100_000, classes=3, samples=3, strength=strength, readout=readout)
    alpha = case.v @ case.planting.V
    own = alpha[np.arange(3), case.labels]
    others = np.max(np.where(np.eye(3)[case.labels] > 0, -np.inf, alpha), axis=1)
    before, after = case.confidence
    noise = 6 * math.sqrt(2e-5)
    np.testing.assert_allclose(before - after, share * lost * (own - others), atol=noise)
    assert pruning._error_of_change(case) < noise


def test_a_limit_too_large_by_a_third_is_refuted():
    # a third too much at the ladder of the controls: an error that does not decay
    claim = find_claim("truncated_confidence/nothing is lost")
    wrong = replace(claim, left=lambda case: pruning._error_of_change(case, change=4 / 3))
    assert verify(wrong, trials=60, alpha=1e-3).outcome.value == "refuted"
