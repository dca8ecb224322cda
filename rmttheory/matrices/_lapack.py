"""Three LAPACK routines that ``scipy.linalg`` does not wrap, reached through the capsules it exports."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, RmtError


def bidiagonal_singular_values(diagonal: HostArray, above: HostArray) -> HostArray:
    """Singular values of an upper bidiagonal, descending, each to a few ``p eps`` of itself (``dlasq1``)."""
    p = len(diagonal)
    values, off = np.array(diagonal, dtype=np.float64), np.zeros(p)
    off[: p - 1] = above
    status = _call("dlasq1", p, values, off, np.empty(4 * p), ctypes.c_int())
    _check("dlasq1", status)
    return values


def bidiagonal_of_band(columns: HostArray) -> tuple[HostArray, HostArray]:
    """Reduce an upper band to a bidiagonal with the same singular values (``dgbbrd``).

    ``columns[j]`` holds rows ``j - r ... j`` of column ``j``; the error is a few ``eps s_1``.
    """
    p, width = columns.shape
    band = np.array(columns, dtype=np.float64)  # C order of (p, width) is LAPACK's (width, p)
    diagonal, above, unused, work = np.empty(p), np.empty(p), np.empty(1), np.empty(2 * p)
    vectors = (unused, 1, unused, 1, unused, 1)
    sizes = (p, p, 0, 0, width - 1)
    status = _call("dgbbrd", b"N", *sizes, band, width, diagonal, above, *vectors, work, ctypes.c_int())
    _check("dgbbrd", status)
    return diagonal, above[: p - 1]


def tridiagonal_counts(main: HostArray, off: HostArray, points: HostArray) -> HostArray:
    """How many eigenvalues of a symmetric tridiagonal lie at or below each point (``dlarrc``)."""
    size = len(main)
    counts = np.zeros(len(points), dtype=np.int64)
    if not size:
        return counts
    off = np.append(off, 0.0)
    below, both, upper = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    for i in range(0, len(points), 2):  # it counts at two points in one sweep
        low, high = float(points[i]), float(points[min(i + 1, len(points) - 1)])
        ends = (ctypes.c_double(low), ctypes.c_double(high))
        tail = (ctypes.c_double(0.0), both, below, upper, ctypes.c_int())
        _check("dlarrc", _call("dlarrc", b"T", size, *ends, main, off, *tail))
        counts[i : i + 2] = (below.value, upper.value)[: len(counts[i : i + 2])]
    return counts


def _call(name: str, *arguments: Any) -> int:
    """Call by reference, as Fortran does; the last argument is LAPACK's ``info``, which is returned."""
    _routine(name)(*[_reference(argument) for argument in arguments])
    return int(arguments[-1].value)


def _check(name: str, status: int) -> None:
    if status:
        msg = f"LAPACK's {name} failed with status {status}: the spectrum is not to be trusted."
        raise RmtError(msg)


def _reference(argument: Any) -> Any:
    if isinstance(argument, np.ndarray):
        return argument.ctypes.data
    if isinstance(argument, bytes):
        return ctypes.cast(ctypes.c_char_p(argument), ctypes.c_void_p)
    number = ctypes.c_int(argument) if isinstance(argument, int) else argument
    return ctypes.cast(ctypes.pointer(number), ctypes.c_void_p)


@functools.cache
def _routine(name: str) -> Callable[..., None]:
    from scipy.linalg import cython_lapack

    python = ctypes.pythonapi
    python.PyCapsule_GetName.restype = ctypes.c_char_p
    python.PyCapsule_GetName.argtypes = [ctypes.py_object]
    python.PyCapsule_GetPointer.restype = ctypes.c_void_p
    python.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    capsule = cython_lapack.__pyx_capi__[name]
    signature = python.PyCapsule_GetName(capsule)
    if b" int *" not in signature and b"(int *" not in signature:
        msg = f"This SciPy's {name} does not take 32-bit integers: {signature.decode()}."
        raise RmtError(msg)
    kinds = [ctypes.c_void_p] * (signature.count(b",") + 1)
    return ctypes.CFUNCTYPE(None, *kinds)(python.PyCapsule_GetPointer(capsule, signature))
