"""Verify the Pruning Theorem of random matrix theory on ensembles and on trained networks.

Everything here is loaded when it is first used, so ``import rmttheory`` stays light.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "rmttheory.arrays": ("InvalidInput", "Placement", "RmtError", "Stream", "Unavailable"),
    "rmttheory.matrices": (
        "MarchenkoPastur",
        "Spiked",
        "TracyWidom",
        "fit_edge",
        "outlier",
        "overlaps",
        "singular_values",
        "spike_from_outlier",
        "spike_threshold",
    ),
    "rmttheory.networks": ("Network", "Split", "load_dataset", "remove_bulk", "train"),
    "rmttheory.theorem": ("Claim", "Verdict", "claims", "verify"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = ["__version__", *sorted(_MODULE_OF)]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        msg = f"module 'rmttheory' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
