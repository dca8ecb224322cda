"""Floor 3: small networks, real data to train them on, and ways to prune them; loaded on first use."""

import importlib
from typing import Any

_HOME = {
    "datasets": ("Dataset", "load_dataset"),
    "gradients": ("Gradient", "loss_and_gradients"),
    "layers": ("Dense",),
    "losses": ("accuracy", "argmax_accuracy", "cross_entropy", "margins", "per_sample_cross_entropy"),
    "network": ("Network", "initial_network"),
    "pruning": ("Split", "keep_largest", "oracle", "prune_every", "remove_bulk", "shrink_bulk"),
    "training": ("Epoch", "Trained", "decay", "train"),
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
