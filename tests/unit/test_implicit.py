"""Networks with noise that is never formed: identities of every draw, and the law against full draws."""

from __future__ import annotations

import dataclasses
import math
import tracemalloc
from functools import cache

import numpy as np
import pytest
from scipy.stats import ks_2samp

from rmttheory import Stream
from rmttheory.arrays import InvalidInput
from rmttheory.networks import Dense, Network, accuracy
from rmttheory.studies.pool import compute
from rmttheory.theorem import find_claim, implicit, planted, verify
from rmttheory.theorem.claims import drawn_by
from rmttheory.theorem.judging import run_trials
from rmttheory.theorem.planted import IID_GAUSSIAN, INDEPENDENT_PATH, INDEPENDENT_SIGNAL, SMALL_SIGNAL

CLAIM = find_claim("scaled_path")


def drawn(*, seed=1, **cell):
    return implicit.draw_network(CLAIM.cell(**cell), Stream(seed))


def signal_images(case):
    p = case.planting
    return (case.v @ p.V * p.theta) @ p.U.T


class TestCase:
    # 8000 neurons are a block and a part of one
    @pytest.mark.parametrize("readout", ["bounded", "standard"])
    def test_logits_are_what_the_rest_of_the_network_makes_of_the_images(self, readout):
        case = drawn(n=8000, readout=readout)
        p = case.planting
        np.testing.assert_allclose(case.v, np.maximum(p.x @ p.first.T, 0), rtol=1e-13, atol=1e-15)
        path = case.along((1.0, 0.25, 0.0))
        for theta, logits in zip((1.0, 0.25, 0.0), path):
            images = signal_images(case) + theta * case.removed_images
            expected = np.maximum(images, 0) @ p.readout.T
            np.testing.assert_allclose(logits, expected, rtol=1e-11, atol=1e-12)
        np.testing.assert_array_equal(case.before, path[0])
        np.testing.assert_array_equal(case.after, path[2])
        np.testing.assert_array_equal(np.argmax(case.after, axis=1), case.labels)
        assert case.lipschitz == pytest.approx(np.abs(p.readout).sum(axis=1).max(), rel=1e-14)
        assert case.change == pytest.approx(np.abs(path[2] - path[0]).max(axis=1), rel=1e-12)
        assert case.width == 8000

    @pytest.mark.parametrize("strength", [0.0, 3.0])
    def test_a_batch_that_spans_everything_tells_the_noise_itself(self, strength):
        # R follows from its images: its norm and its product with S are then no freedom of the draw
        case = drawn(n=40, samples=60, strength=strength)
        R = np.linalg.lstsq(case.v, case.removed_images, rcond=None)[0].T
        np.testing.assert_allclose(case.v @ R.T, case.removed_images, atol=1e-9)
        assert case.noise_energy == pytest.approx(np.sum(R**2), rel=1e-9)
        assert case.cross == pytest.approx(np.sum(case.planting.S * R), rel=1e-9, abs=1e-12)
        assert case.signal_energy == pytest.approx(np.sum(case.planting.S**2), rel=1e-12)

    def test_numbers_do_not_depend_on_the_blocks(self, monkeypatch):
        case = drawn(n=3000)
        monkeypatch.setattr(implicit, "BLOCK", 1)
        again = drawn(n=3000)
        np.testing.assert_allclose(again.removed_images, case.removed_images, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(again.before, case.before, rtol=1e-12, atol=1e-12)
        assert again.noise_energy == pytest.approx(case.noise_energy, rel=1e-12)
        assert again.cross == pytest.approx(case.cross, rel=1e-9)

    def test_inputs_that_repeat_each_other_get_the_same_image(self):
        case = drawn(n=64, samples=6, classes=2)
        p = case.planting
        twice = dataclasses.replace(p, x=np.concatenate([p.x, p.x]), labels=np.tile(p.labels, 2))
        again = implicit.draw_implicit(twice, case.cell, Stream(3))
        # directions of relative size sqrt(eps) are left out
        np.testing.assert_allclose(again.removed_images[6:], again.removed_images[:6], atol=1e-6)
        # 64 x 64 entries of variance 1/64: |R|^2 is 64 up to sqrt(2), as of inputs that differ
        assert again.noise_energy == pytest.approx(64, abs=4 * math.sqrt(2))

    def test_images_do_not_depend_on_the_workers(self):
        cell = CLAIM.cell(n=300)
        tasks = [(run_rows, (start, start + 2)) for start in range(0, 8, 2)]
        for workers in (1, 2):
            parts = dict(compute(tasks, workers=workers))
            rows = np.concatenate([parts[i] for i in range(4)])
            np.testing.assert_array_equal(rows, run_trials(CLAIM, cell, seed=7, start=0, stop=8).left)

    def test_memory_of_a_trial_is_two_batches_and_five_frames(self):
        # at n = 10^6 these are 720 MB for 20 samples of 10 classes; a trial may hold no third batch of images
        cell = CLAIM.cell(n=100_000)
        run_trials(CLAIM, CLAIM.cell(), seed=0, start=0, stop=1)  # modules are loaded
        tracemalloc.start()
        run_trials(CLAIM, cell, seed=0, start=0, stop=1)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 8 * 100_000 * (2 * 20 + 5 * 10)


def run_rows(start, stop):
    return run_trials(CLAIM, CLAIM.cell(n=300), seed=7, start=start, stop=stop).left


class TestWay:
    def test_gaussian_noise_needs_no_matrix_unless_it_is_asked_for(self):
        for cell, way in (
            ({}, implicit.ImplicitCase),
            ({"method": "band"}, implicit.ImplicitCase),
            ({"method": "dense"}, planted.NetworkCase),
            ({"noise": "rademacher"}, planted.NetworkCase),
        ):
            assert isinstance(drawn(n=32, **cell), way)
            assert drawn_by(CLAIM.cell(**cell)) == ("band" if way is implicit.ImplicitCase else "dense")

    def test_more_classes_than_neurons(self):
        with pytest.raises(InvalidInput, match="`classes` must be at most the width n = 16, not 17"):
            drawn(n=16, classes=17)

    def test_verdicts_say_which_way(self):
        assert verify(CLAIM, trials=2).path == "band"
        assert verify(CLAIM, trials=2, method="dense").path == "dense"
        assert verify(CLAIM, trials=2, n=20_000).to_dict()["path"] == "band"
        assert verify("ce_lipschitz", trials=2).path == ""

    @pytest.mark.parametrize(
        "name", ["finite_confidence/aligned noise", "loss_reduction_gaussian/dependent signal"]
    )
    def test_noise_that_is_tampered_with_has_entries(self, name):
        assert verify(name, trials=2).path == "dense"
        with pytest.raises(InvalidInput, match="`method` must be 'dense'"):
            verify(name, trials=2, method="band")


class TestHypotheses:
    def test_hold_of_what_is_drawn(self):
        for seed in range(5):
            case = drawn(n=2000, seed=seed)
            for hypothesis in (IID_GAUSSIAN, INDEPENDENT_PATH, INDEPENDENT_SIGNAL, SMALL_SIGNAL):
                assert hypothesis.check(case).margin >= 0

    def test_see_what_is_broken(self):
        case = drawn(n=2000)
        louder = dataclasses.replace(case, removed_images=1.3 * case.removed_images)
        assert INDEPENDENT_PATH.check(louder).margin < 0
        along = dataclasses.replace(case, cross=-case.noise_energy / 2)
        assert INDEPENDENT_SIGNAL.check(along).margin < 0
        assert SMALL_SIGNAL.check(drawn(n=64)).margin < 0
        assert INDEPENDENT_SIGNAL.check(drawn(strength=0.0)).value == 0.0


# One planting a cell, so that all that differs is how the noise was drawn. Both readouts, strengths below and
# above the noise, a batch of one, and one that takes the basis of the whole space.
CELLS = {
    "bounded": {"classes": 4, "samples": 8, "strength": 1.0, "g": 1.5},
    "standard": {"classes": 3, "samples": 20, "strength": 0.6, "readout": "standard"},
    "one sample": {"classes": 10, "samples": 1, "strength": 3.0, "readout": "standard"},
    "large batch": {"classes": 12, "samples": 36, "strength": 2.0},
}
PLANTINGS = {
    name: planted.plant(CLAIM.cell(n=48, **cell), Stream(11).child(name)) for name, cell in CELLS.items()
}
TRIALS = 1000
LEVEL = 1e-10
"""Of each of some 50 Kolmogorov-Smirnov tests: one of them fails by chance with probability below 1e-8."""


def on_span(case):
    """``R`` and ``S`` on an orthonormal basis of the span of the inputs, from the images."""
    frame, triangle = np.linalg.qr(case.v.T)
    return case.removed_images.T @ np.linalg.inv(triangle), PLANTINGS[case.cell["name"]].S @ frame


def energy_beyond(case):
    return case.noise_energy - float(np.sum(on_span(case)[0] ** 2))


def cross_beyond(case):
    noise, signal = on_span(case)
    return case.cross - float(np.sum(signal * noise))


STATISTICS = {
    "a logit": lambda case: case.before[0, 0] - case.after[0, 0],
    "another": lambda case: case.before[-1, -1] - case.after[-1, -1],
    "half way": lambda case: case.along((0.5,))[0, -1, 0],
    "change": lambda case: float(np.max(case.change)),
    "loss change": lambda case: case.loss_change,
    "accuracy change": lambda case: accuracy(case.after, case.labels) - accuracy(case.before, case.labels),
    "excess": find_claim("loss_reduction_gaussian").left,
    "noise energy": lambda case: case.noise_energy,
    "cross": lambda case: case.cross,
    "first and last image": lambda case: float(case.removed_images[0] @ case.removed_images[-1]),
    "energy beyond": energy_beyond,
    "cross beyond": cross_beyond,
}


def noisy(name, trial, *, method="band"):
    cell = {**CLAIM.cell(n=48, decay=0.1, **CELLS[name]), "name": name}
    planting, stream = PLANTINGS[name], Stream(12).child(name, method, trial)
    if method == "band":
        return implicit.draw_implicit(planting, cell, stream)
    S, R = planting.S, stream.normal((48, 48), scale=math.sqrt(cell["g"] / 48))
    layers = ((planting.first, "relu"), (S + R, "relu"), (planting.readout, "identity"))
    network = Network(tuple(Dense(W, None, kind) for W, kind in layers))
    return planted.NetworkCase(network=network, S=S, R=R, x=planting.x, labels=planting.labels, cell=cell)


@cache
def table(name, method):
    """Every statistic of all trials, a row each."""
    cases = (noisy(name, trial, method=method) for trial in range(TRIALS))
    return np.array([[statistic(case) for statistic in STATISTICS.values()] for case in cases]).T


def p_value(one, other):
    return ks_2samp(one, other, method="asymp").pvalue


class TestLaw:
    """Two-sample tests, full draws against draws without the matrix.

    Null: one law. At level 1e-10 and with 1000 draws of each a largest difference of 0.154 decides, so that
    laws which differ by 0.2 somewhere are told apart with probability 0.97. What that catches is below.
    """

    @pytest.mark.parametrize("name", CELLS)
    def test_is_that_of_full_draws(self, name):
        for statistic, *pair in zip(STATISTICS, table(name, "dense"), table(name, "band")):
            assert p_value(*pair) > LEVEL, statistic

    @pytest.mark.parametrize(
        ("wrong", "name", "statistic"),
        [
            ("images independent of each other", "standard", "first and last image"),
            ("energy of other noise", "large batch", "energy beyond"),
            ("cross of other noise", "large batch", "cross beyond"),
            ("one direction too few", "one sample", "noise energy"),
            ("a tenth more noise", "bounded", "noise energy"),
        ],
    )
    def test_sees_what_is_wrong(self, wrong, name, statistic):
        values = [STATISTICS[statistic](spoilt(name, trial, wrong)) for trial in range(TRIALS)]
        assert p_value(table(name, "dense")[list(STATISTICS).index(statistic)], values) < LEVEL


def spoilt(name, trial, wrong):
    case, other = noisy(name, trial), noisy(name, trial + TRIALS)
    if wrong == "images independent of each other":
        scale = case.norms[:, None] * math.sqrt(case.g / case.width)
        images = Stream(13).child(trial).normal(case.v.shape) * scale
        return dataclasses.replace(case, removed_images=images)
    if wrong == "energy of other noise":
        return dataclasses.replace(case, noise_energy=other.noise_energy)
    if wrong == "cross of other noise":
        return dataclasses.replace(case, cross=other.cross)
    if wrong == "one direction too few":
        seen = float(np.sum(case.removed_images[0] ** 2)) / case.norms[0] ** 2
        return dataclasses.replace(case, noise_energy=case.noise_energy - seen)
    return dataclasses.replace(case, noise_energy=1.1 * case.noise_energy)
