"""Floor 5: many trials, and what becomes of them; loaded on first use."""

import importlib
from typing import Any

_HOME = {
    "curves": ("Curve",),
    "grid": ("Job", "plan", "plan_controls"),
    "records": ("Replayed", "Run", "replay_file"),
    "runner": ("Watcher", "Work", "run"),
    "spectrum": ("SpectrumStudy", "study_spectrum"),
    "trained": ("NetworkStudy", "train_network"),
    "verification": ("Verification", "verify_controls", "verify_suite"),
}
_MODULE_OF = {name: f"{__name__}.{module}" for module, names in _HOME.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
