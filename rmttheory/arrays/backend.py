"""Which library and device an array belongs to, and the one door between device and host.

Functions of arrays infer (`namespace`, `device`); functions that make arrays are told (`Placement`).
Only this folder imports cupy or torch, and only when a caller asks for them.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from rmttheory.arrays.checks import InvalidInput, Unavailable, check_choice

Array = Any
"""Any array of the array-API standard: NumPy, CuPy, PyTorch, array-api-strict."""

HostArray = np.ndarray[Any, Any]

_NAMESPACES = {
    "numpy": "array_api_compat.numpy",
    "cupy": "array_api_compat.cupy",
    "torch": "array_api_compat.torch",
    "array_api_strict": "array_api_strict",
}
_INSTALL = {
    "cupy": "pip install 'rmttheory[cuda12]' (or [cuda13])",
    "torch": "pip install 'rmttheory[torch]'",
    "array_api_strict": "pip install array-api-strict",
}


def namespace(*arrays: Array) -> Any:
    """Return the array-API namespace that all ``arrays`` share.

    Raises
    ------
    InvalidInput
        If an argument is not an array, or they come from different libraries.
    """
    try:
        return array_api_compat.array_namespace(*arrays)
    except TypeError:
        kinds = ", ".join(sorted({type(x).__module__.split(".")[0] + "." + type(x).__name__ for x in arrays}))
        msg = f"Arguments must be arrays of one library, not {kinds}."
        raise InvalidInput(msg) from None


def device(x: Array) -> Any:
    """Return the device on which ``x`` lives, as its library names it."""
    return array_api_compat.device(x)


def to_host(x: Array) -> HostArray:
    """Return ``x`` as a NumPy array. This is the only door from a device; it synchronises."""
    if isinstance(x, np.ndarray):
        return x
    if array_api_compat.is_cupy_array(x):
        return np.asarray(x.get())
    if array_api_compat.is_torch_array(x):
        return np.asarray(x.detach().cpu().numpy())
    if array_api_compat.is_array_api_strict_namespace(namespace(x)):
        return np.asarray(x.to_device(namespace(x).Device("CPU_DEVICE")))
    return np.asarray(x)


def scalar(x: Array) -> float:
    """Return a zero-dimensional array as a Python float, through the same door."""
    return float(to_host(x))


def like(values: HostArray, x: Array) -> Array:
    """Move host ``values`` to the library, device and dtype of ``x``."""
    return _move(values, namespace(x), dtype=x.dtype, target=device(x))


@dataclass(frozen=True)
class Placement:
    """Library, device and dtype of arrays to be made: the only place where a backend is chosen.

    Parameters
    ----------
    library : {"numpy", "cupy", "torch", "array_api_strict"}
    device : object, optional
        As the library names it; its default if omitted.
    dtype : {"float64", "float32"}
    """

    library: str = "numpy"
    device: Any = None
    dtype: str = "float64"

    def __post_init__(self) -> None:
        check_choice(self.library, "array library", _NAMESPACES)
        check_choice(self.dtype, "dtype", ("float32", "float64"))

    @property
    def namespace(self) -> Any:
        """The array-API namespace of the library.

        Raises
        ------
        Unavailable
            If the library is not installed, and the message gives the command that installs it; or if CuPy
            finds no GPU.
        """
        try:
            xp = importlib.import_module(_NAMESPACES[self.library])
        except ImportError:
            msg = f"{self.library} is not installed: {_INSTALL[self.library]}."
            raise Unavailable(msg) from None
        if self.library == "cupy" and not xp.is_available():
            msg = "No NVIDIA GPU with a driver was found on this machine; device 'cpu' needs none."
            raise Unavailable(msg)
        return xp

    def asarray(self, values: HostArray) -> Array:
        """Move host ``values`` here; floating-point values take this placement's dtype."""
        xp = self.namespace
        dtype = getattr(xp, self.dtype) if values.dtype.kind == "f" else None
        return _move(values, xp, dtype=dtype, target=self.device)


HOST = Placement()
"""NumPy in double precision."""


def _move(values: HostArray, xp: Any, *, dtype: Any, target: Any) -> Array:
    if dtype is not None:  # cast before the move: the other side may have no float64
        values = values.astype(np.float32 if dtype == xp.float32 else np.float64, copy=False)
        if not values.flags.writeable and not array_api_compat.is_numpy_namespace(xp):
            values = values.copy()
    return xp.asarray(values, dtype=dtype, device=target)
