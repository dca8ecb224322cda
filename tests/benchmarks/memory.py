"""How much memory a call takes at its peak, seen by the operating system. Standard library only.

A fresh process loads and compiles what the call needs in calls that are not measured, and reads how far its
resident memory rises above where it stands before the one that is. Unlike tracemalloc this sees what LAPACK
and compiled code take; what was there before, the inputs among it, does not count.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Any


def peak_mib(call: Callable[[], Any]) -> float | None:
    """Return by how many MiB resident memory rises during ``call``; None where the system does not say."""
    gc.collect()
    _give_back()
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as marks:
        marks.write("5")  # the high-water mark starts again from what is resident now
    before = _resident("VmRSS")
    kept = call()
    peak = _resident("VmHWM")
    del kept
    return None if before is None or peak is None else max(0.0, peak - before)


def _give_back() -> None:
    """Let the allocator return what it keeps of earlier calls: this one would take that and not be seen."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # another C library
        ctypes.CDLL(None).malloc_trim(0)


def _resident(field: str) -> float | None:
    try:
        with open("/proc/self/status") as status:
            found = next(line for line in status if line.startswith(field))
    except (OSError, StopIteration):
        return _high_water()
    return int(found.split()[1]) / 1024


def _high_water() -> float | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    units = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / units
