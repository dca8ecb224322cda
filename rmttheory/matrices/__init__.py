"""Floor 2: random matrix theory. It knows nothing of networks.

Scale of everything here: ``W``, ``S``, ``R`` are ``n x m``, entries of the noise ``R`` have variance
``g / n``, ``c = m / n``, and ``s`` are singular values. The bulk then ends at ``sqrt(g) (1 + sqrt(c))``.
"""

import importlib
from typing import Any

_HOME = {
    "band": ("null_singular_values",),
    "edges": ("EdgeEstimate", "EdgeStatus", "fit_edge"),
    "ensembles": ("Draw", "Spiked"),
    "laws": ("MarchenkoPastur", "SingularMarchenkoPastur"),
    "noise": (
        "ColumnScaled",
        "Gaussian",
        "HaarRotated",
        "Noise",
        "Rademacher",
        "RowScaled",
        "SparseSigns",
        "StudentT",
        "Uniform",
        "parse_noise",
    ),
    "spectra": ("Spectrum", "kolmogorov_distance", "singular_values", "spacing_ratios", "spectrum"),
    "spikes": (
        "SpikeEstimate",
        "SpikeStatus",
        "bulk_edge",
        "d_transform",
        "hard_threshold",
        "hard_threshold_unknown_noise",
        "lower_edge",
        "outlier",
        "overlaps",
        "shrink",
        "spike_from_outlier",
        "spike_threshold",
    ),
    "tracy_widom": ("TracyWidom", "largest_singular_value_quantile", "tracy_widom_scaling"),
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
