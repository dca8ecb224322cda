"""The power that is reported for a control is no more than what runs of its length show.

Each toy is judged under many seeds. Power is a lower 95 % limit of the run at hand; the share of runs that
refute is its truth. Null: that share is at least the median of the limits; alternative: a limit that forgets
its doubt. 200 runs see a share that is smaller by .15 with probability above .99.
"""

import dataclasses

import numpy as np
import pytest
from toy_claims import EXACT, LIMIT, TAIL

from rmttheory.theorem.claims import find_claim
from rmttheory.theorem.judging import verify
from rmttheory.theorem.power import power
from rmttheory.theorem.verdicts import Band, Outcome, binomial_cdf

RUNS = 200
WEAK = {
    "exact": (dataclasses.replace(EXACT, right=lambda _: 0.98), {"trials": 60}),
    "tail": (dataclasses.replace(TAIL, right=lambda _: 0.9), {"trials": 150, "alpha": 0.01}),
    "limit": (
        dataclasses.replace(LIMIT, left=lambda case: case**0.5 * 0.5, rate=1.0),
        {"trials": 8, "alpha": 0.01},
    ),
}


@pytest.mark.parametrize("name", WEAK)
def test_power_is_what_other_runs_show_or_less(name):
    claim, options = WEAK[name]
    verdicts = [verify(claim, seed=seed, **options) for seed in range(RUNS)]
    refuted = sum(verdict.outcome is Outcome.REFUTED for verdict in verdicts)
    claimed = float(np.median([power(claim, verdict) for verdict in verdicts]))
    assert binomial_cdf(refuted, RUNS, claimed) > 1e-3
    assert refuted > 0


@pytest.mark.parametrize(("band", "p"), [(Band(high=0.05), 0.2), (Band(low=0.3, high=0.3), 0.1)])
def test_power_of_a_band_is_the_chance_of_the_counts_that_refute_it(band, p):
    n, alpha = 40, 0.01
    weights = [binomial_cdf(k, n, p) - (binomial_cdf(k - 1, n, p) if k else 0) for k in range(n + 1)]
    chance = sum(weight for k, weight in enumerate(weights) if band.refuted(k, n, alpha))
    assert band.power(p, n, alpha) == pytest.approx(chance, rel=1e-12, abs=0)


def test_a_proof_leaves_nothing_to_chance():
    claim = find_claim("transpose_identity/same variance")
    assert power(claim, verify(claim)) == 1


def test_nothing_admissible_has_no_power():
    claim = dataclasses.replace(
        EXACT, hypotheses=(dataclasses.replace(EXACT.hypotheses[0], check=lambda case: _missed(case)),)
    )
    assert power(claim, verify(claim, trials=5)) == 0


def _missed(case):
    return dataclasses.replace(EXACT.hypotheses[0].check(case), margin=-1.0)
