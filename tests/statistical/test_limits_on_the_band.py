"""The left sides of limit statements have the same law with layers and without them.

Null of each test: both ways of drawing give one law. Two samples of `TRIALS` each; a distance of the
empirical distribution functions beyond `LIMIT` then has probability below 1e-6 (Smirnov's bound,
2 exp(-N d^2)). Alternative: the laws differ by 0.27 somewhere, as normal laws do whose means are 0.7 standard
deviations apart: seen with probability 0.98.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from rmttheory import MarchenkoPastur, Spiked, Stream
from rmttheory.matrices import count_singular_values, kolmogorov_distance
from rmttheory.theorem import find_claim, verify
from rmttheory.theorem.spiked import BandCase
from rmttheory.theorem.statements import spectra
from rmttheory.theorem.statements.universality import two_sample_distance

TRIALS = 600
LIMIT = math.sqrt(math.log(2 / 1e-6) / TRIALS)
CASES = [
    ("bgn_outlier", {"aspect": 0.25, "n": 16}),
    ("bgn_subcritical", {"aspect": 1.0, "n": 12, "g": 0.25}),
    ("bgn_overlap", {"aspect": 0.25, "n": 16}),
    ("bgn_overlap", {"aspect": 4.0, "n": 8}),
    ("inverse_bbp", {"aspect": 4.0, "n": 8}),
    ("truncation_bias", {"aspect": 1.0, "n": 12}),
    ("truncation_bias", {"aspect": 0.25, "n": 16, "strength": 0.4}),
    ("truncation_bias", {"aspect": 0.5, "n": 16, "strength": 1.1, "g": 4.0}),
    ("mp_bulk", {"aspect": 0.25, "n": 32}),
    ("mp_bulk", {"aspect": 4.0, "n": 16}),
]


def lefts(claim, cell, method, *, left=None):
    """Left sides of independent cases, drawn in full or not."""
    whole = {**claim.cell(method=method), **cell}
    stream = Stream(20260611).child(claim.id, method)
    return np.array([(left or claim.left)(claim.draw(whole, stream.child(i))) for i in range(TRIALS)])


@pytest.mark.parametrize(("name", "cell"), CASES, ids=str)
def test_left_sides_have_one_law(name, cell):
    claim = find_claim(name)
    assert two_sample_distance(lefts(claim, cell, "band"), lefts(claim, cell, "dense")) < LIMIT


def swapped(case):
    """The case with the two sides of the layer exchanged where it says how spikes are seen."""
    edge = replace(case.edge, left=case.edge.right, right=case.edge.left)
    return BandCase(model=case.model, edge=edge)


def silent(case):
    """The case with a signal alone on the paths of the spikes, where noise should add to it."""
    path = np.broadcast_to(case.theta, case.edge.path.shape)
    return BandCase(model=case.model, edge=replace(case.edge, path=path))


@pytest.mark.parametrize(
    ("name", "cell", "spoil"),
    [
        ("bgn_overlap", {"aspect": 0.25, "n": 16}, swapped),
        ("truncation_bias", {"aspect": 1.0, "n": 12}, silent),
    ],
    ids=["swapped directions", "a path without noise"],
)
def test_a_spoiled_case_has_another_law(name, cell, spoil):
    claim = find_claim(name)
    spoiled = lefts(claim, cell, "band", left=lambda case: claim.left(spoil(case)))
    assert two_sample_distance(spoiled, lefts(claim, cell, "dense")) > LIMIT


@pytest.mark.parametrize("shape", [(300, 150), (100, 400)])
def test_distance_on_a_grid_is_the_true_one_up_to_a_step(shape):
    # exact: a theorem about two distribution functions, whatever the values
    law = MarchenkoPastur(shape[1] / shape[0]).singular()
    for seed in range(5):
        case = spectra.NullCase(values=Spiked(shape).singular_values(seed)[0], shape=shape, noise=None)
        true = kolmogorov_distance(case.values, law)
        assert true - 1 / spectra._STEPS - 1e-12 <= spectra._distance(case) <= true + 1e-12


def test_counts_and_lists_have_one_distance(monkeypatch):
    # 15 points keep 600 counts of a small matrix short
    levels = np.arange(1, 16) / 16
    points = MarchenkoPastur(0.5).singular().ppf(levels)
    monkeypatch.setattr(spectra, "_quantiles_of_bulk", lambda _: (points, levels))
    streams = [Stream(20260612).child(i) for i in range(TRIALS)]
    counted = [spectra.CountedCase(shape=(64, 32), noise=None, stream=stream) for stream in streams]
    cell = {"n": 64, "aspect": 0.5, "noise": "gaussian", "method": "dense"}
    listed = [spectra._draw_bulk(cell, stream) for stream in streams]
    found, expected = (np.array([spectra._distance(case) for case in cases]) for cases in (counted, listed))
    # an offset of one value in the count of 32, as of points taken on the wrong side, moves the distance
    assert two_sample_distance(found, expected) < LIMIT
    assert two_sample_distance(found + 1 / 32, expected) > LIMIT


def test_counts_answer_as_the_list_does():
    case = spectra.CountedCase(shape=(60, 40), noise=None, stream=Stream(4))
    points = np.array([0.3, 1.0, 1.2, 1.5])
    counts = count_singular_values((60, 40), points, stream=Stream(4))[0]
    np.testing.assert_array_equal(case.below(points), counts / 40)
    listed = spectra.NullCase(values=np.array([3.0, 2.0, 1.0]), shape=(9, 3), noise=None)
    np.testing.assert_allclose(listed.below(np.array([0.5, 1.0, 2.5, 4.0])), [0, 1 / 3, 2 / 3, 1])


def test_slopes_at_widths_that_no_memory_holds():
    # four widths over six decades: slopes scatter by 0.02 around -1/2, the line is at -1/4
    ladder = (10**2, 10**4, 10**6, 10**8)
    verdict = verify("bgn_overlap", n=ladder, trials=40, alpha=1e-4)
    assert (verdict.outcome.value, verdict.path) == ("consistent", "band")
    assert verdict.slope.high - verdict.slope.low < 0.3
