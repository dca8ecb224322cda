"""What theory says of the top of the spectrum: regimes, laws of fluctuations, the formula derived here."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rmttheory.arrays import InvalidInput
from rmttheory.matrices import outlier, sample_edge, spike_threshold
from rmttheory.studies.predictions import Regime, groups, outlier_sd, predict_top, regimes


@pytest.mark.parametrize("z", [1.01, 1.5, 4.0, 100.0])
def test_spread_of_an_outlier_of_a_square_matrix(z):
    """There it is ``sqrt((1 - g / theta^2) g / n)``."""
    g, n = 0.3, 1000
    assert outlier_sd(math.sqrt(z * g), 1.0, g, n=n) == pytest.approx(math.sqrt((1 - 1 / z) * g / n))


@pytest.mark.parametrize("c", [1e-3, 0.3, 5.0])
def test_spread_of_an_outlier_does_not_know_which_side_is_called_rows(c):
    """Entries of variance ``g / n`` are entries of variance ``(c g) / m``."""
    n = 10**6
    theta, g = 1.7 * spike_threshold(c, 2.0), 2.0
    m = round(c * n)
    assert outlier_sd(theta, m / n, g, n=n) == pytest.approx(outlier_sd(theta, n / m, g * m / n, n=m))


def test_spread_of_a_strong_spike_is_that_of_one_entry():
    """``u^T R v`` has variance ``g / n``; also where squares of numbers would overflow."""
    for theta in (1e6, 1e120):
        assert outlier_sd(theta, 0.5, 3.0, n=300) == pytest.approx(0.1, rel=1e-6)


def test_a_hidden_spike_has_no_outlier_whose_spread_could_be_asked_for():
    with pytest.raises(InvalidInput, match="`theta` must be above the threshold 1"):
        outlier_sd(1.0, 1.0, 1.0, n=100)


@pytest.mark.parametrize("c", [0.25, 1.0, 4.0])
def test_spread_of_outliers_agrees_with_draws(c):
    """Null: the sd is the formula's. At 99.9 %, each of two spikes: chi^2 limits of 400 draws, +- 12 %.

    The formula of square matrices, used for c = 1/4 or 4, is off by more than 25 % for the weaker spike.
    """
    n, trials, g = 10**5, 400, 1.7
    spikes = tuple(r * spike_threshold(c, g) for r in (2.2, 1.4))
    found = sample_edge((n, round(c * n)), spikes, k=2, g=g, trials=trials, stream=5).values
    for j, theta in enumerate(spikes):
        ratio = float(np.var(found[:, j], ddof=1)) / outlier_sd(theta, c, g, n=n) ** 2
        assert abs(ratio - 1.0) < 3.3 * math.sqrt(2.0 / trials)
        square = 1.0 - g / theta**2
        if c != 1.0 and j == 1:
            assert abs(ratio * outlier_sd(theta, c, g, n=n) ** 2 / (square * g / n) - 1.0) > 0.25


def test_first_two_values_of_noise_follow_their_laws():
    """Means within 3.3 standard errors, sd within 12 %: level 0.001 each; the bias is of order p^(-2/3)."""
    shape, trials = (10**5, 3 * 10**4), 400
    found = sample_edge(shape, (), k=3, trials=trials, stream=9).values
    first, second, third = predict_top(shape, (), 1.0, 3)
    for j, one in enumerate((first, second)):
        assert abs(found[:, j].mean() - one.mean) < 3.3 * one.sd / math.sqrt(trials)
        assert float(np.std(found[:, j], ddof=1)) == pytest.approx(one.sd, rel=0.12)
    assert (third.mean, third.sd, third.law) == (None, None, "edge of the bulk")
    assert first.mean - second.mean > first.sd  # so that one law is not the other


def test_regimes_of_spikes_and_what_is_predicted():
    shape = (1000, 1000)  # the critical window is 0.1 of the threshold 1
    spikes = (2.0, 1.15, 1.05, 0.95, 0.85)
    sup, crit, sub = Regime.SUPERCRITICAL, Regime.CRITICAL, Regime.SUBCRITICAL
    assert regimes(shape, spikes, 1.0) == (sup, sup, crit, crit, sub)
    one, two, three, four, five = predict_top(shape, spikes, 1.0, 5)
    assert (one.mean, one.limit) == (pytest.approx(2.5), pytest.approx(2.5))
    assert two.sd == outlier_sd(1.15, 1.0, n=1000)
    assert (three.mean, three.limit, three.law) == (None, outlier(1.05, 1.0), "spike 1.05, critical")
    assert four.limit == 2.0
    assert (five.mean, five.limit) == (None, 2.0)  # no law is known beside a critical spike
    assert predict_top(shape, (0.5,), 1.0, 1)[0].law == "Tracy-Widom"
    assert len(predict_top(shape, (2.0, 1.5), 1.0, 1)) == 1


def test_spikes_too_near_to_be_told_apart_are_one_group():
    shape = (10_000, 5_000)  # values fluctuate by 0.01
    assert groups(shape, (3.0, 2.995, 2.99, 2.0), 1.0) == ((0, 1, 2), (3,))
    assert groups(shape, (3.0, 2.9), 1.0) == ((0,), (1,))
    assert groups(shape, (3.0, 2.9), 400.0) == ((0, 1),)
    assert [one.sd is None for one in predict_top(shape, (3.0, 3.0, 2.0), 1.0, 3)] == [True, True, False]


def test_outliers_take_their_rows_and_columns_with_them():
    """With two strong spikes the rest is noise of two rows and columns less."""
    alone, shared = predict_top((200, 100), (), 1.0, 1)[0], predict_top((200, 100), (90.0, 80.0), 1.0, 3)[2]
    smaller = predict_top((198, 98), (), 198 / 200, 1)[0]
    assert shared.mean == pytest.approx(smaller.mean, rel=1e-12)
    assert shared.mean < alone.mean


def test_a_law_that_ends_below_zero_is_no_prediction():
    (one,) = predict_top((1, 1), (), 1.0, 1)
    assert (one.mean, one.limit) == (None, 2.0)
