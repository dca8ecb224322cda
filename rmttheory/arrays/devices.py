"""What a device is, what it holds, and which of its linear algebra is to be trusted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import array_api_compat
import numpy as np

from rmttheory.arrays.backend import Array, Placement
from rmttheory.arrays.checks import RmtError, check_choice

DEVICES = ("cpu", "cuda")


def find_placement(device: str = "cpu", *, dtype: str = "float64") -> Placement:
    """Return the placement for a device of this machine.

    Parameters
    ----------
    device : {"cpu", "cuda"}
        ``cuda`` is the NVIDIA GPU that CuPy takes first.
    dtype : {"float64", "float32"}

    Raises
    ------
    InvalidInput
        If there is no such kind of device.
    Unavailable
        If CuPy is missing or finds no GPU.
    """
    if check_choice(device, "device", DEVICES) == "cpu":
        return Placement(dtype=dtype)
    placement = Placement("cupy", dtype=dtype)
    _ = placement.namespace  # says what is missing
    return placement


def describe(placement: Placement) -> dict[str, str]:
    """Return what a report of a fault should say of the device and its libraries."""
    facts = {"library": placement.library, "NumPy": np.__version__}
    if placement.library == "cupy":
        cupy = _cupy()
        runtime, number = cupy.cuda.runtime, cupy.cuda.Device(placement.device).id
        properties = runtime.getDeviceProperties(number)
        facts |= {
            "device": properties["name"].decode(),
            "compute capability": f"{properties['major']}.{properties['minor']}",
            "memory": f"{properties['totalGlobalMem'] / 2**30:.1f} GiB",
            "CuPy": cupy.__version__,
            "CUDA runtime": _version(runtime.runtimeGetVersion()),
            "CUDA of the driver": _version(runtime.driverGetVersion()),
        }
    return facts


def free_memory(x: Array) -> float:
    """Bytes that arrays may still take where ``x`` is; infinite on the host, whose system knows better."""
    if not array_api_compat.is_cupy_array(x):
        return math.inf
    cupy = _cupy()
    with x.device:
        return float(cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes())


@contextmanager
def memory_taken(placement: Placement) -> Iterator[list[int]]:
    """Append to the list the most bytes that the body took of a GPU; nothing on the host."""
    taken: list[int] = []
    if placement.library != "cupy":
        yield taken
        return
    cupy = _cupy()
    cupy.get_default_memory_pool().free_all_blocks()
    pool = cupy.cuda.MemoryPool()  # keeps what it ever held, and holds nothing from before
    with cupy.cuda.using_allocator(pool.malloc):
        yield taken
    taken.append(int(pool.total_bytes()))


@contextmanager
def linear_algebra(x: Array) -> Iterator[None]:
    """Let failures of decompositions be raised in the body: CuPy keeps silent about them unless told.

    Raises
    ------
    RmtError
        If a decomposition fails.
    """
    try:
        if array_api_compat.is_cupy_array(x):
            import cupyx

            with cupyx.errstate(linalg="raise"):
                yield
        else:
            yield
    except (np.linalg.LinAlgError, RuntimeError, MemoryError) as error:  # cuSOLVER's own are RuntimeErrors
        msg = f"The linear algebra library failed: {error}; try the other method or device."
        raise RmtError(msg) from None


def decomposes(x: Array) -> bool:
    """Whether the library's singular value decomposition takes matrices of this size.

    cuSOLVER's counts entries in 32 bits. Its values of some matrices below that limit have been wrong without
    an error, with older versions: what is computed is to be checked.
    """
    return not array_api_compat.is_cupy_array(x) or math.prod(x.shape[-2:]) < 2**31


def _cupy() -> Any:
    import cupy

    return cupy


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"
