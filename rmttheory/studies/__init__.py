"""Floor 5: many trials, and what becomes of them."""

from rmttheory.studies.certified import Certificate, CertifiedLayer
from rmttheory.studies.certifying import certify
from rmttheory.studies.curves import Curve
from rmttheory.studies.edge import EdgeStudy, study_edge
from rmttheory.studies.grid import Job, plan, plan_controls
from rmttheory.studies.inspected import Advice, Inspection, LayerInspection
from rmttheory.studies.inspecting import inspect, inspect_layer
from rmttheory.studies.layer_tables import Skipped
from rmttheory.studies.pruned import PrunedLayer, Pruning
from rmttheory.studies.records import Replayed, Run, replay_file
from rmttheory.studies.runner import Watcher, Work, run
from rmttheory.studies.selftest import SelfTest, self_test
from rmttheory.studies.spectrum import SpectrumStudy, study_spectrum
from rmttheory.studies.trained import NetworkStudy, train_network
from rmttheory.studies.verification import Verification, verify_controls, verify_suite
from rmttheory.studies.weight_pruning import prune

__all__ = [
    "Advice",
    "Certificate",
    "CertifiedLayer",
    "Curve",
    "EdgeStudy",
    "Inspection",
    "Job",
    "LayerInspection",
    "NetworkStudy",
    "PrunedLayer",
    "Pruning",
    "Replayed",
    "Run",
    "SelfTest",
    "Skipped",
    "SpectrumStudy",
    "Verification",
    "Watcher",
    "Work",
    "certify",
    "inspect",
    "inspect_layer",
    "plan",
    "plan_controls",
    "prune",
    "replay_file",
    "run",
    "self_test",
    "study_edge",
    "study_spectrum",
    "train_network",
    "verify_controls",
    "verify_suite",
]
