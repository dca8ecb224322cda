"""Floor 4: the statements, and how they are judged."""

from rmttheory.theorem.claims import Claim, Control, Parameter, claims, find_claim
from rmttheory.theorem.hypotheses import Hypothesis, Measurement
from rmttheory.theorem.judging import judge, replay, run_trials, verify
from rmttheory.theorem.trained.examination import examine
from rmttheory.theorem.trained.findings import Examination
from rmttheory.theorem.verdicts import Band, Kind, Outcome, Slope, Verdict

__all__ = [
    "Band",
    "Claim",
    "Control",
    "Examination",
    "Hypothesis",
    "Kind",
    "Measurement",
    "Outcome",
    "Parameter",
    "Slope",
    "Verdict",
    "claims",
    "examine",
    "find_claim",
    "judge",
    "replay",
    "run_trials",
    "verify",
]
