"""Every rule by which trials become a verdict, on claims whose truth is known."""
# ruff: noqa: ARG005

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from rmttheory.arrays import InvalidInput
from rmttheory.theorem.claims import Claim, Parameter, find_claim
from rmttheory.theorem.hypotheses import Hypothesis, at_least
from rmttheory.theorem.judging import (
    POWER,
    SUITE_LEVEL,
    Trials,
    judge,
    plan_trials,
    replay,
    run_trials,
    verify,
)
from rmttheory.theorem.verdicts import Band, Kind, Outcome, fit_slope, trials_needed

FLUKE = 1e-9
"""Chance that a simulation below fails although the code is right."""

EXACT = Claim(
    id="toy",
    kind=Kind.EXACT,
    statement="Toy.",
    source="derived here",
    hypotheses=(
        Hypothesis(id="positive", statement="x > 0", check=lambda x: at_least(x, 0.0, "compared")),
        Hypothesis(id="below two", statement="x < 2", check=lambda x: at_least(2 - x, 0.0, "compared")),
    ),
    parameters=(
        Parameter(name="n", meaning="width", typical=8, low=0, high=64),
        Parameter(name="scale", meaning="of x", typical=1.0, low=0.0),
    ),
    draw=lambda cell, stream: cell["scale"] * float(stream.generator().random()),
    left=lambda x: x,
    trials=20,
)
COIN = replace(
    EXACT,
    id="coin",
    kind=Kind.TAIL,
    hypotheses=(),
    parameters=(Parameter(name="p", meaning="P(left > right)", typical=0.2, low=0.0, high=1.0),),
    draw=lambda cell, stream: float(stream.generator().random() < cell["p"]),
    right=lambda x: 0.5,
    failure=lambda cell: Band(high=0.2, planned=0.08),
)
LADDER = replace(
    EXACT,
    id="ladder",
    kind=Kind.LIMIT,
    hypotheses=(),
    parameters=(
        Parameter(name="n", meaning="widths", typical=(16, 64, 256), low=1, high=4096),
        Parameter(name="rate", meaning="of decay", typical=0.5, low=-2.0, high=2.0),
    ),
    draw=lambda cell, stream: cell["n"] ** -cell["rate"] * math.exp(0.3 * stream.generator().normal()),
    left=lambda x: x,
    rate=0.5,
    trials=120,
)


def trials(left, right=1.0, *, trivial=math.inf, slack=0.0, margins=None, speaks_at=math.nan, widths=0.0):
    left = np.asarray(left, dtype=float)

    def column(values):
        return np.broadcast_to(np.asarray(values, dtype=float), left.shape).copy()

    return Trials(
        widths=column(widths),
        left=left,
        right=column(right),
        trivial=column(trivial),
        slack=column(slack),
        speaks_at=column(speaks_at),
        margins=np.zeros((len(left), 0)) if margins is None else np.asarray(margins, dtype=float),
    )


def judged(claim, measured, *, cell=None, alpha=1e-3):
    return judge(claim, claim.cell() if cell is None else cell, measured, seed=3, alpha=alpha)


FREE = replace(EXACT, hypotheses=())


class TestExact:
    def test_no_violation_is_consistent_and_never_certified(self):
        verdict = judged(FREE, trials([0.5, 1.0, 0.25]))
        assert verdict.outcome is Outcome.CONSISTENT
        assert (verdict.trials, verdict.admissible, verdict.informative, verdict.violations) == (3, 3, 3, 0)
        assert (verdict.worst_ratio, verdict.median_ratio, verdict.counterexample) == (1.0, 0.5, None)
        assert (verdict.allowed, verdict.alpha, verdict.seed) == (0.0, 1e-3, 3)

    def test_one_violation_refutes_and_the_first_is_named(self):
        verdict = judged(FREE, trials([0.5, 1.25, 0.25, 7.0]))
        assert verdict.outcome is Outcome.REFUTED
        assert (verdict.violations, verdict.counterexample) == (2, 1)
        assert "1.25" in verdict.why

    def test_slack_forgives_rounding_and_no_more(self):
        assert judged(FREE, trials([1 + 1e-12], slack=1e-12)).outcome is Outcome.CONSISTENT
        assert judged(FREE, trials([1 + 3e-12], slack=1e-12)).outcome is Outcome.REFUTED

    @pytest.mark.parametrize(("left", "right"), [(math.nan, 1), (0, math.nan), (math.inf, 1), (0, -math.inf)])
    def test_a_side_that_is_no_number_is_a_violation(self, left, right):
        verdict = judged(FREE, trials([0.5, left], [1.0, right]))
        assert (verdict.outcome, verdict.counterexample) == (Outcome.REFUTED, 1)

    def test_the_ratio_is_above_one_exactly_where_the_claim_is_violated(self):
        # two sides of the size of rounding: 3 over 1 says nothing if 4 of rounding are allowed
        verdict = judged(FREE, trials([3e-16, 0.5], [1e-16, 1.0], slack=4e-16))
        assert verdict.outcome is Outcome.CONSISTENT
        assert verdict.worst_ratio == pytest.approx(0.6)

    def test_ratios_need_a_positive_finite_bound(self):
        verdict = judged(FREE, trials([-5.0, 0.5, 0.0], [-1.0, math.inf, 0.0]))
        assert verdict.outcome is Outcome.CONSISTENT
        assert verdict.worst_ratio is None
        assert verdict.median_ratio is None


class TestHypotheses:
    def test_trials_that_miss_one_are_left_out_and_counted(self):
        verdict = judged(EXACT, trials([9.0, 0.5, 9.0], margins=[[-1e-9, 1], [0.0, 0.0], [1, math.nan]]))
        assert (verdict.outcome, verdict.trials, verdict.admissible) == (Outcome.CONSISTENT, 3, 1)
        assert verdict.violations == 0
        assert verdict.hypotheses["positive"] == -1e-9

    def test_an_inadmissible_violation_is_not_the_counterexample(self):
        verdict = judged(EXACT, trials([9.0, 0.5, 9.0], margins=[[-1, 1], [0, 0], [1, 1]]))
        assert (verdict.outcome, verdict.counterexample, verdict.violations) == (Outcome.REFUTED, 2, 1)

    def test_none_admissible_is_inapplicable_whatever_the_sides(self):
        for claim in (
            EXACT,
            replace(COIN, hypotheses=EXACT.hypotheses),
            replace(LADDER, hypotheses=EXACT.hypotheses),
        ):
            verdict = judged(claim, trials([9.0, math.nan], margins=[[-1, 1], [1, -1]]))
            assert (verdict.outcome, verdict.admissible) == (Outcome.INAPPLICABLE, 0)

    def test_no_trials_are_inapplicable(self):
        empty = run_trials(EXACT, EXACT.cell(), seed=0, start=4, stop=4)
        assert judged(EXACT, empty).outcome is Outcome.INAPPLICABLE

    def test_margins_are_measured_on_each_case(self):
        verdict = verify(EXACT, scale=4.0, trials=200)
        assert verdict.outcome is Outcome.REFUTED  # 1 < x < 2 is admissible and breaks x <= 1
        assert 50 < verdict.admissible < 150
        assert verdict.hypotheses["below two"] < 0 < verdict.hypotheses["positive"]


class TestVacuous:
    def test_a_bound_above_what_is_known_says_nothing(self):
        verdict = judged(FREE, trials([0.5, 0.5], [1.0, 2.0], trivial=1.0))
        assert (verdict.outcome, verdict.informative, verdict.speaks_at) == (Outcome.VACUOUS, 0, None)

    def test_one_informative_trial_is_enough_to_say_something(self):
        verdict = judged(FREE, trials([0.5, 0.5], [0.9, 2.0], trivial=1.0))
        assert (verdict.outcome, verdict.informative) == (Outcome.CONSISTENT, 1)

    def test_an_inadmissible_trial_does_not_inform(self):
        verdict = judged(EXACT, trials([0.5, 0.5], [0.9, 2.0], trivial=1.0, margins=[[-1, 0], [0, 0]]))
        assert verdict.outcome is Outcome.VACUOUS

    def test_refuted_beats_vacuous(self):
        assert judged(FREE, trials([3.0], [2.0], trivial=1.0)).outcome is Outcome.REFUTED
        assert judged(COIN, trials(np.ones(200), 0.5, trivial=0.1)).outcome is Outcome.REFUTED

    def test_vacuous_beats_certified(self):
        assert judged(COIN, trials(np.zeros(200), 0.5)).outcome is Outcome.CERTIFIED
        assert judged(COIN, trials(np.zeros(200), 0.5, trivial=0.1)).outcome is Outcome.VACUOUS

    @pytest.mark.parametrize(
        ("widths", "width", "words"),
        [
            ([100.0, 300.0, 900.0], 300.0, "from width 300"),
            ([50.0, math.nan, 50.0], 50.0, "from width 50"),
            ([1741.0] * 3, 1741.0, "from width 1,700"),
            ([1.26e9] * 3, 1.26e9, "from width 1.3e+09"),
        ],
    )
    def test_it_names_the_width_at_which_it_would_speak(self, widths, width, words):
        verdict = judged(FREE, trials([0.5] * 3, 2.0, trivial=1.0, speaks_at=widths))
        assert verdict.speaks_at == width
        assert words in verdict.why

    def test_it_says_when_it_never_speaks(self):
        verdict = judged(FREE, trials([0.5] * 4, 2.0, trivial=1.0, speaks_at=math.inf))
        assert verdict.speaks_at == math.inf
        assert "at no width" in verdict.why

    def test_the_width_is_asked_for_only_where_the_bound_is_silent(self):
        asked = []
        claim = replace(
            FREE, trivial=lambda x: 0.5, right=lambda x: x, speaks_at=lambda x: asked.append(x) or 1.0
        )
        measured = run_trials(claim, claim.cell(), seed=0, start=0, stop=50)
        assert len(asked) == np.sum(measured.left >= 0.5) > 5


class TestProbability:
    def test_counts_decide_as_the_band_does(self):
        for k, n in [(0, 10), (0, 60), (4, 60), (20, 60), (40, 60)]:
            verdict = judged(COIN, trials(np.arange(n) < k, 0.5))
            band = Band(high=0.2)
            expected = Outcome.UNDECIDED
            if band.certified(k, n, 1e-3):
                expected = Outcome.CERTIFIED
            if band.refuted(k, n, 1e-3):
                expected = Outcome.REFUTED
            assert verdict.outcome is expected
            assert (verdict.violations, verdict.allowed) == (k, 0.2)
            assert verdict.p_value == pytest.approx(stats.binomtest(k, n, 0.2, "greater").pvalue)
            assert verdict.lower <= k / n <= verdict.upper

    def test_inadmissible_trials_do_not_count(self):
        claim = replace(COIN, hypotheses=EXACT.hypotheses[:1])
        margins = np.where(np.arange(100)[:, None] < 40, -1.0, 1.0)
        verdict = judged(claim, trials(np.arange(100) < 40, 0.5, margins=margins))
        assert (verdict.admissible, verdict.violations, verdict.outcome) == (60, 0, Outcome.CERTIFIED)

    def test_a_known_probability_is_refuted_on_both_sides_and_never_certified(self):
        claim = replace(COIN, kind=Kind.IDENTITY, failure=lambda cell: Band(low=0.2, high=0.2, planned=0.4))
        outcomes = [judged(claim, trials(np.arange(400) < k, 0.5)).outcome for k in (20, 80, 140)]
        assert outcomes == [Outcome.REFUTED, Outcome.CONSISTENT, Outcome.REFUTED]

    def test_a_band_with_two_ends_is_certified_inside_and_refuted_outside(self):
        claim = replace(COIN, failure=lambda cell: Band(low=0.1, high=0.3, planned=0.2))
        outcomes = [judged(claim, trials(np.arange(900) < k, 0.5)).outcome for k in (30, 90, 180, 270, 360)]
        wanted = ["refuted", "undecided", "certified", "undecided", "refuted"]
        assert [outcome.value for outcome in outcomes] == wanted

    def test_a_number_that_is_none_is_a_violation(self):
        assert judged(COIN, trials([math.nan] * 60, 0.5)).violations == 60

    def test_level_end_to_end(self):
        """Null: failure probability at its limit. Level 0.05 a run; 300 runs, counted at level FLUKE."""
        outcomes = [verify(COIN, p=0.2, seed=seed, alpha=0.05).outcome for seed in range(300)]
        for wrong in (Outcome.REFUTED, Outcome.CERTIFIED):
            assert outcomes.count(wrong) <= stats.binom.isf(FLUKE, 300, 0.05)

    def test_power_end_to_end(self):
        """The planned truth 0.08 is certified in 95 % of runs; 300 runs, counted at level FLUKE."""
        outcomes = [verify(COIN, p=0.08, seed=seed, alpha=0.05).outcome for seed in range(300)]
        assert outcomes.count(Outcome.CERTIFIED) >= stats.binom.ppf(FLUKE, 300, POWER)
        assert verify(COIN, p=0.5, alpha=0.05).outcome is Outcome.REFUTED


class TestLimit:
    def measured(self, rate, *, count=120, scatter=0.3):
        widths = np.resize([16.0, 64.0, 256.0], count)
        noise = np.random.default_rng(5).normal(scale=scatter, size=count)
        return trials(widths**-rate * np.exp(noise), widths=widths)

    @pytest.mark.parametrize(
        ("rate", "outcome"),
        [
            (0.5, Outcome.CONSISTENT),
            (0.9, Outcome.CONSISTENT),
            (0.25, Outcome.UNDECIDED),
            (0.0, Outcome.REFUTED),
        ],
    )
    def test_decay_is_told_from_no_decay_half_way_to_the_claimed_rate(self, rate, outcome):
        verdict = judged(LADDER, self.measured(rate))
        assert verdict.outcome is outcome
        assert verdict.slope.low < -rate < verdict.slope.high
        assert (verdict.slope.claimed, verdict.violations, verdict.worst_ratio) == (-0.5, 0, None)

    @pytest.mark.parametrize("count", [2, 3, 5])
    def test_a_trial_a_width_does_not_decide(self, count):
        verdict = judged(LADDER, self.measured(0.5, count=count, scatter=0.0), alpha=0.1)
        assert verdict.outcome is Outcome.UNDECIDED
        assert verdict.slope.low == -math.inf

    def test_one_width_does_not_decide(self):
        verdict = judged(LADDER, trials([0.1, 0.2, 0.3], widths=64.0))
        assert (verdict.outcome, verdict.slope) == (Outcome.UNDECIDED, None)
        assert "one width" in verdict.why

    @pytest.mark.parametrize("error", [math.nan, math.inf])
    def test_an_error_that_is_no_number_refutes(self, error):
        measured = self.measured(0.5)
        measured.left[7] = error
        verdict = judged(LADDER, measured)
        assert verdict.outcome is Outcome.REFUTED
        assert "trial 7" in verdict.why

    def test_widths_take_turns_and_name_their_own_numbers(self):
        measured = run_trials(LADDER, LADDER.cell(), seed=1, start=0, stop=6)
        assert measured.widths.tolist() == [16, 64, 256, 16, 64, 256]
        longer = run_trials(LADDER, LADDER.cell(n=(16, 64, 256, 1024)), seed=1, start=0, stop=3)
        assert longer.left.tolist() == measured.left[:3].tolist()

    @pytest.mark.parametrize(("rate", "outcome"), [(0.5, Outcome.CONSISTENT), (0.0, Outcome.REFUTED)])
    def test_end_to_end(self, rate, outcome):
        assert verify(LADDER, rate=rate).outcome is outcome


class TestSlope:
    def test_it_is_the_least_squares_slope(self):
        rng = np.random.default_rng(0)
        widths = np.repeat([10.0, 40.0, 90.0], 7)
        errors = widths**-0.4 * np.exp(rng.normal(size=21))
        slope = fit_slope(widths, errors, alpha=0.01, claimed=-0.5)
        assert slope.value == pytest.approx(stats.linregress(np.log(widths), np.log(errors)).slope)

    def test_with_two_widths_it_is_welch_with_the_fewest_degrees_of_freedom(self):
        rng = np.random.default_rng(1)
        a, b = rng.normal(size=6), rng.normal(scale=4.0, size=9)
        widths = np.repeat([1.0, math.e], [6, 9])
        slope = fit_slope(widths, np.exp(np.concatenate([a, b])), alpha=0.02, claimed=-0.5)
        deviation = math.sqrt(a.var(ddof=1) / 6 + b.var(ddof=1) / 9)
        assert slope.value == pytest.approx(b.mean() - a.mean())
        assert slope.high - slope.value == pytest.approx(stats.t.ppf(0.98, 5) * deviation)
        assert slope.value - slope.low == pytest.approx(slope.high - slope.value)

    def test_a_tiny_level_reaches_far_but_not_to_infinity(self):
        widths = np.repeat([10.0, 40.0, 90.0], 40)
        errors = np.exp(np.random.default_rng(2).normal(size=120))
        reach = [fit_slope(widths, errors, alpha=a, claimed=-0.5).high for a in (1e-3, 1e-9, 1e-20)]
        assert reach[0] < reach[1] < reach[2] < math.inf

    @pytest.mark.parametrize("counts", [(4, 4, 4), (4, 12, 30), (40, 40, 40)])
    @pytest.mark.parametrize("scatter", [(1, 1, 1), (3, 1, 0.3), (0.3, 1, 3)])
    def test_level(self, counts, scatter):
        """Normal log errors, unlike scatter: each limit errs with at most 0.02; 2000 runs, at FLUKE."""
        rng = np.random.default_rng(3)
        widths = np.repeat([10.0, 40.0, 90.0], counts)
        scale = np.repeat(np.asarray(scatter, dtype=float), counts)
        missed = np.zeros(2)
        for _ in range(2000):
            errors = widths**-0.5 * np.exp(scale * rng.normal(size=len(widths)))
            slope = fit_slope(widths, errors, alpha=0.02, claimed=-0.5)
            missed += (slope.low > -0.5, slope.high < -0.5)
        assert np.all(missed <= stats.binom.isf(FLUKE, 2000, 0.02))

    def test_power(self):
        """With 40 trials a width and equal scatter the reach is at most 1.2 times that of the pooled t."""
        widths = np.repeat([10.0, 40.0, 90.0], 40)
        errors = widths**-0.5 * np.exp(0.3 * np.random.default_rng(4).normal(size=120))
        slope = fit_slope(widths, errors, alpha=1e-8, claimed=-0.5)
        pooled = stats.linregress(np.log(widths), np.log(errors))
        assert slope.high - slope.value < 1.2 * pooled.stderr * stats.t.isf(1e-8, 118)


class TestTrials:
    def test_rows_do_not_depend_on_how_they_are_cut(self):
        for claim in (EXACT, COIN, LADDER):
            whole = run_trials(claim, claim.cell(), seed=9, start=0, stop=30)
            cuts = [(0, 1), (1, 1), (1, 17), (17, 30)]
            parts = [run_trials(claim, claim.cell(), seed=9, start=a, stop=b) for a, b in cuts]
            joined = Trials.concatenate(parts)
            for name in ("widths", "left", "right", "trivial", "slack", "speaks_at", "margins"):
                assert np.array_equal(getattr(joined, name), getattr(whole, name), equal_nan=True)
            verdicts = [judged(claim, measured).to_dict() | {"seconds": 0} for measured in (whole, joined)]
            assert verdicts[0] == verdicts[1]

    def test_seed_claim_cell_and_trial_all_matter(self):
        def first(claim=EXACT, seed=0, start=0, **cell):
            return run_trials(claim, claim.cell(**cell), seed=seed, start=start, stop=start + 1).left[0]

        draws = [first(), first(seed=1), first(start=1), first(n=9), first(replace(EXACT, id="other"))]
        assert len(set(draws)) == len(draws)
        assert first() == first(n=8)

    def test_the_number_of_trials_is_fixed_before_the_run(self):
        assert plan_trials(EXACT, EXACT.cell(), alpha=1e-3, effort=5) == 100
        assert plan_trials(LADDER, LADDER.cell(), alpha=1e-3) == 120
        needed = trials_needed(Band(high=0.2, planned=0.08), 1e-3, power=POWER)
        assert plan_trials(COIN, COIN.cell(), alpha=1e-3, effort=5) == needed
        assert verify(COIN, p=0.0, alpha=1e-3).trials == needed
        assert verify(COIN, p=0.0, trials=7).trials == 7


class TestReplay:
    def test_it_draws_the_trial_again(self):
        claim = find_claim("ce_lipschitz")
        measured = run_trials(claim, claim.cell(classes=3), seed=5, start=0, stop=4)
        case, left, right = replay("ce_lipschitz", cell={"classes": 3}, seed=5, trial=2)
        assert (left, right) == (measured.left[2], measured.right[2])
        assert case.before.shape == (3,)

    def test_a_counterexample_replays_from_what_the_verdict_says(self):
        verdict = verify("ce_lipschitz/one percent less", seed=11)
        assert verdict.outcome is Outcome.REFUTED
        _, left, right = replay(
            verdict.claim, cell=verdict.cell, seed=verdict.seed, trial=verdict.counterexample
        )
        assert left > right
        assert f"{left:.6g}" in verdict.why


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"alpha": 0.0}, "alpha"),
        ({"alpha": 0.5}, "alpha"),
        ({"alpha": math.nan}, "alpha"),
        ({"seed": -1}, "seed"),
        ({"seed": 1.5}, "seed"),
        ({"trials": 0}, "trials"),
        ({"trials": "many"}, "trials"),
    ],
)
def test_settings_that_make_no_run(given, match):
    with pytest.raises(InvalidInput, match=f"`{match}`"):
        verify(EXACT, **given)


def test_the_level_of_the_suite_is_the_default():
    assert verify(EXACT, trials=1).alpha == SUITE_LEVEL == 1e-6
