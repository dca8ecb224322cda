"""Hypotheses of the random claims, measured where signal and noise are known."""

import dataclasses

import numpy as np
import pytest

from rmttheory import Spiked, Stream
from rmttheory.theorem import find_claim, planted, spiked, verify
from rmttheory.theorem.statements.gaussian import RowCase
from rmttheory.theorem.statements.scaled import LOSS_REDUCTION_GAUSSIAN


def network_case(*, seed=1, **cell):
    return planted.draw_dense(LOSS_REDUCTION_GAUSSIAN.cell(method="dense", **cell), Stream(seed))


def spiked_case(*, seed=1, shape=(64, 32), **options):
    model = Spiked(shape, **options)
    return spiked.SpikedCase(model=model, draws=(model.sample(seed),))


def row_case(*, noise="gaussian", variance=1.0, shape=(256, 64), seed=1):
    model = Spiked(shape, noise=noise, g=variance)
    return RowCase(R=model.sample(seed).R, v=np.ones(shape[1]), g=1.0, probability=0.2)


class TestNetworkCase:
    @pytest.mark.parametrize("readout", ["bounded", "standard"])
    def test_layer_is_signal_plus_noise_and_the_batch_is_seen_through_it(self, readout):
        case = network_case(readout=readout)
        W = case.network.layers[1].weight
        np.testing.assert_array_equal(W, case.S + case.R)
        first, _, last = (layer.weight for layer in case.network.layers)
        v = np.maximum(case.x @ first.T, 0)
        np.testing.assert_allclose(case.v, v, rtol=1e-13, atol=1e-15)
        np.testing.assert_allclose(case.before, np.maximum(v @ W.T, 0) @ last.T, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(case.after, np.maximum(v @ case.S.T, 0) @ last.T, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(case.lipschitz, np.abs(last).sum(axis=1).max(), rtol=1e-14)

    @pytest.mark.parametrize("readout", ["bounded", "standard"])
    def test_the_signal_classifies(self, readout):
        case = network_case(readout=readout)
        np.testing.assert_array_equal(np.argmax(case.after, axis=1), case.labels)
        np.testing.assert_allclose(np.linalg.svd(case.S)[1][:10], 3.0, rtol=1e-12)

    def test_radius_is_that_of_the_theorem(self):
        case = network_case(g=0.25)
        n, samples = len(case.R), len(case.x)
        expected = np.linalg.norm(case.v, axis=1) * np.sqrt(2 * 0.25 * np.log(2 * n * samples / 0.1) / n)
        np.testing.assert_allclose(case.radius(0.1), expected, rtol=1e-13)

    def test_row_sums_stay_bounded_or_grow_like_the_root_of_the_width(self):
        # |N(0, 1/n)| has mean sqrt(2 / (pi n)) and standard deviation 0.61 / sqrt(n): the largest of ten sums
        # of n lies within six deviations of sqrt(2 n / pi), and above it with probability 1 - 2^-10
        for n in (256, 1024):
            assert network_case(n=n).lipschitz == 1.0
            grown = network_case(n=n, readout="standard").lipschitz
            assert 0 <= grown - np.sqrt(2 * n / np.pi) <= 6 * 0.61

    def test_polar_factor_is_the_nearest_frame(self):
        A = Stream(3).normal((20, 4))
        U = planted.polar(A)
        np.testing.assert_allclose(U.T @ U, np.eye(4), atol=1e-14)
        H = U.T @ A
        np.testing.assert_allclose(H, H.T, atol=1e-13)
        assert np.linalg.eigvalsh(H).min() > 0


class TestGaussianEntries:
    # Massart: a true Gaussian exceeds the limit with probability below 1e-9 a case
    @pytest.mark.parametrize("seed", range(5))
    def test_holds_for_gaussian_noise(self, seed):
        assert planted.IID_GAUSSIAN.check(row_case(seed=seed)).margin > 0

    # 256 x 64 entries: the limit is 0.0256 and the distance fluctuates by 0.004. At the quantiles used signs
    # are off by 0.31, uniforms by 0.056, t_3 by 0.086, sparse signs by 0.45, 1.5 times the variance by 0.049
    @pytest.mark.parametrize("noise", ["rademacher", "uniform", "student-t:3", "sparse:0.1"])
    def test_sees_other_laws(self, noise):
        assert planted.IID_GAUSSIAN.check(row_case(noise=noise)).margin < 0

    def test_sees_a_wrong_noise_level(self):
        assert planted.IID_GAUSSIAN.check(row_case(variance=1.5)).margin < 0

    def test_by_construction(self):
        for noise, margin in (("gaussian", 0.0), ("rademacher", -1.0)):
            assert spiked.GAUSSIAN_LAW.check(spiked_case(noise=noise)).margin == margin


class TestIndependence:
    def test_path(self):
        case = network_case()
        assert planted.INDEPENDENT_PATH.check(case).margin > 0
        aligned = dataclasses.replace(case, R=np.outer(np.ones(len(case.R)), case.v[0]) * 0.1)
        assert planted.INDEPENDENT_PATH.check(aligned).margin < 0

    def test_signal(self):
        case = network_case()
        assert planted.INDEPENDENT_SIGNAL.check(case).margin > 0
        dependent = dataclasses.replace(case, S=case.S - case.R / 2)
        assert planted.INDEPENDENT_SIGNAL.check(dependent).margin < 0

    def test_a_signal_as_large_as_the_noise(self):
        found = planted.SMALL_SIGNAL.check(network_case(n=64, strength=3.0))
        np.testing.assert_allclose(found.value, 3 * np.sqrt(10 / 64), rtol=1e-12)
        assert found.margin < 0 < planted.SMALL_SIGNAL.check(network_case(strength=3.0)).margin


class TestSpikes:
    @pytest.mark.parametrize(
        ("spikes", "above", "below"),
        [
            ((2.0, 1.5), True, False),
            ((0.6, 0.3), False, True),
            ((2.0, 0.3), False, False),
            ((1.1,), False, False),
        ],
    )
    def test_sides_of_the_threshold(self, spikes, above, below):
        # square, n = 64: the critical window is 1/4
        case = spiked_case(shape=(64, 64), spikes=spikes)
        assert (spiked.SUPERCRITICAL.check(case).margin >= 0) is above
        assert (spiked.SUBCRITICAL.check(case).margin >= 0) is below
        assert (spiked.NONCRITICAL.check(case).margin >= 0) is (above or below)

    def test_margins_do_not_depend_on_the_unit(self):
        for hypothesis in (spiked.SUPERCRITICAL, spiked.SUBCRITICAL, spiked.DISTINCT):
            one = hypothesis.check(spiked_case(spikes=(3.0, 2.0)))
            scaled = hypothesis.check(spiked_case(spikes=(1.5, 1.0), g=0.25))
            np.testing.assert_allclose(one.margin, scaled.margin, rtol=1e-12)

    def test_distinct(self):
        assert spiked.DISTINCT.check(spiked_case(spikes=(2.0, 1.5))).margin > 0
        assert spiked.DISTINCT.check(spiked_case(spikes=(2.0, 1.95))).margin < 0
        assert spiked.DISTINCT.check(spiked_case(spikes=(2.0,))).margin == np.inf

    def test_directions_matter_only_without_rotation_invariance(self):
        for noise, margin_positive in (("gaussian", True), ("haar", True), ("rademacher", False)):
            case = spiked_case(
                shape=(128, 128), spikes=(2.0,), noise=noise, left="localised", right="localised"
            )
            assert (spiked.DELOCALISED.check(case).margin > 0) is margin_positive
        # a coordinate of a Haar direction in 32 dimensions or more crosses it with probability below 1e-15
        assert spiked.DELOCALISED.check(spiked_case(spikes=(2.0,), noise="rademacher")).margin > 0

    @pytest.mark.parametrize(
        ("noise", "edge", "spikes"),
        [
            ("gaussian", True, True),
            ("sparse:0.1", True, True),
            ("student-t:5", True, True),
            ("student-t:4", False, False),
            ("row-scaled:0.5", False, False),
            ("column-scaled:0.5", False, False),
            ("haar", False, True),
        ],
    )
    def test_moments(self, noise, edge, spikes):
        case = spiked_case(noise=noise)
        assert (spiked.MOMENTS.check(case).margin >= 0) is edge
        assert (spiked.MOMENTS_OR_ROTATIONS.check(case).margin >= 0) is spikes


@pytest.mark.parametrize(
    ("claim", "cell"),
    [
        ("row_event_exact", {"noise": "rademacher", "m": 256}),
        ("finite_confidence", {"noise": "student-t:3"}),
        ("loss_reduction_gaussian", {"strength": 10.0}),
        ("mp_bulk", {"noise": "column-scaled:0.8"}),
        ("mp_bulk", {"aspect": 0.002}),
        ("bgn_subcritical", {"aspect": 0.001}),
        ("tw_edge", {"noise": "rademacher"}),
        ("bema_level", {"noise": "student-t:8"}),
        ("bgn_outlier", {"strength": 1.0}),
        ("bgn_outlier", {"noise": "student-t:3"}),
        ("bgn_subcritical", {"strength": 2.0}),
        ("bgn_overlap", {"noise": "row-scaled:1"}),
        ("inverse_bbp", {"strength": 0.5}),
        ("truncation_bias", {"strength": 0.9}),
    ],
)
def test_without_its_hypotheses_a_claim_says_nothing(claim, cell):
    verdict = verify(claim, trials=8, **cell)
    assert verdict.outcome.value == "inapplicable"
    assert verdict.admissible == 0


def test_controls_that_break_a_hypothesis_say_so():
    for name in (
        "tw_edge/heavy tails",
        "bgn_outlier/heavy tails",
        "loss_reduction_gaussian/dependent signal",
    ):
        assert find_claim(name).hypotheses == ()
