"""Programs, data sets and libraries that a test may ask for. No conftest: there are two of that name."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from pathlib import Path

_LOOK = {
    "cc": lambda: shutil.which("cc") is not None,
    "openssl": lambda: shutil.which("openssl") is not None,
    "cuda": lambda: is_here("cupy") and importlib.import_module("cupy").is_available(),
    "nvrtc": lambda: is_here("nvidia") and is_here("nvidia.cu13"),
    "chromium": lambda: any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")),
    "fashion-mnist": lambda: Path("/usr/share/datasets/fashion-mnist").is_dir(),
}


def is_here(name: str) -> bool:
    """Whether an optional program, data set or library is installed."""
    return _LOOK[name]() if name in _LOOK else importlib.util.find_spec(name) is not None
