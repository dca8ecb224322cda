"""Verify the Pruning Theorem of random matrix theory on ensembles and on trained networks.

Everything here is loaded when it is first used, so ``import rmttheory`` stays light.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rmttheory.arrays import InvalidInput, Placement, RmtError, Stream, Unavailable
    from rmttheory.matrices import (
        MarchenkoPastur,
        QuarterCircle,
        Spiked,
        TracyWidom,
        fit_edge,
        outlier,
        overlaps,
        singular_values,
        spike_from_outlier,
        spike_threshold,
    )
    from rmttheory.networks import Network, Split, load_dataset, remove_bulk, train
    from rmttheory.studies import certify, inspect, inspect_layer, prune
    from rmttheory.theorem import Claim, Verdict, claims, examine, verify

__version__ = "0.1.0"

__all__ = [
    "Claim",
    "InvalidInput",
    "MarchenkoPastur",
    "Network",
    "Placement",
    "QuarterCircle",
    "RmtError",
    "Spiked",
    "Split",
    "Stream",
    "TracyWidom",
    "Unavailable",
    "Verdict",
    "__version__",
    "certify",
    "claims",
    "examine",
    "fit_edge",
    "inspect",
    "inspect_layer",
    "load_dataset",
    "outlier",
    "overlaps",
    "prune",
    "remove_bulk",
    "singular_values",
    "spike_from_outlier",
    "spike_threshold",
    "train",
    "verify",
]


if not TYPE_CHECKING:  # type checkers would take every name for granted

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for floor in (
                "arrays",
                "matrices",
                "networks",
                "theorem",
                "studies",
            ):  # each loads those before it anyway
                module = importlib.import_module(f"{__name__}.{floor}")
                if name in module.__all__:
                    return getattr(module, name)
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted(__all__)
