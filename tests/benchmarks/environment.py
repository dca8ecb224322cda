"""What the measurements were made on: nothing that names the machine or its user."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import threadpoolctl

_PACKAGES = ("rmttheory", "numpy", "scipy", "numba", "dppy", "beta-ensembles", "TracyWidom")


def describe(peers: Any) -> dict[str, Any]:
    """Processor, versions and threads, for JSON."""
    pools = threadpoolctl.threadpool_info()
    kept = ("user_api", "internal_api", "version", "architecture", "num_threads")
    try:
        other = peers.scikit_rmt().versions
    except ImportError:
        other = None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "scikit_rmt_interpreter": other,
        "threads": [{key: pool.get(key) for key in kept} for pool in pools],
    }


def load() -> float | None:
    """Processes that want a core, averaged over the last minute: 1 is this one."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor()


def _memory() -> float | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
