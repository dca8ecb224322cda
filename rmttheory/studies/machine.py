"""What the machine has, and how long anybody waits for it."""

from __future__ import annotations

import contextlib
import math
import os
from pathlib import Path

DAY = 24 * 3600.0
"""Seconds after which one command is rather a mistake in what was asked for."""

_LIMIT = Path("/sys/fs/cgroup/memory.max")


def memory() -> float:
    """Return the bytes of memory that this process may use, infinite where nobody says."""
    found = math.inf
    if "SC_PHYS_PAGES" in os.sysconf_names:
        found = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    with contextlib.suppress(OSError, ValueError):  # no such file, or "max"
        found = min(found, float(_LIMIT.read_text()))
    return found
