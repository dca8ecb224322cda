"""A stand-in for CuPy where there is no GPU: calls are bound to CuPy's real signatures and run by NumPy.

It is a module in place of ``array_api_compat.cupy``. Like CuPy it takes no NumPy array for one of its own;
what makes the host wait for a GPU is refused outside the two doors of `rmttheory.arrays`, and counted there.
"""

from __future__ import annotations

import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import array_api_compat
import array_api_compat.numpy as numpy_namespace
import numpy as np

DEVICE = "<a GPU>"
WAITING = ("nonzero", "argwhere", "unique_all", "unique_counts", "unique_inverse", "unique_values")

waits = SimpleNamespace(door=0, checks=0)
"""How often the host waited: for an array, at the door; for one flag, in a check of an argument."""


class ShadowArray:
    """An array on the pretended GPU."""

    __array_ufunc__ = None  # NumPy must not compute with it, nor take it over

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    shape = property(lambda self: self._values.shape)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    dtype = property(lambda self: self._values.dtype)
    device = property(lambda _: DEVICE)
    T = property(lambda self: ShadowArray(self._values.T))
    mT = property(lambda self: ShadowArray(self._values.mT))  # noqa: N815

    def __array_namespace__(self, api_version: str | None = None) -> Any:
        return sys.modules[__name__]

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def get(self) -> np.ndarray:
        _only("backend.py", "get")
        waits.door += 1
        return self._values.copy()

    def item(self) -> Any:
        raise AssertionError("item() waits for the device")

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, index: Any) -> ShadowArray:
        if any(isinstance(i, ShadowArray) and i.dtype == bool for i in _parts(index)):
            raise AssertionError("A boolean mask waits for the device: the shape depends on data.")
        return ShadowArray(np.asarray(self._values[_unwrap(index)]))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._values[_unwrap(index)] = _unwrap(value)


def _parts(index: Any) -> tuple[Any, ...]:
    return index if isinstance(index, tuple) else (index,)


def _only(module: str, what: str) -> None:
    """Allow what waits for the device in one module of `rmttheory.arrays` alone."""
    caller = Path(sys._getframe(2).f_code.co_filename)
    if caller.parts[-2:] != ("arrays", module):
        msg = f"{caller} waits for the device by {what}; use rmttheory.arrays.scalar or to_host"
        raise AssertionError(msg)


def _converter(name: str) -> Callable[[ShadowArray], Any]:
    def convert(self: ShadowArray) -> Any:
        _only("checks.py", name)
        waits.checks += 1
        return getattr(self._values, name)()

    return convert


def _operator(name: str) -> Callable[..., Any]:
    def operate(self: ShadowArray, *others: Any) -> ShadowArray:
        if name.startswith("__i") and name != "__invert__":
            self._values = getattr(operator, name)(self._values, *_unwrap(others))
            return self
        return ShadowArray(np.asarray(getattr(self._values, name)(*_unwrap(others))))

    return operate


for _name in ("bool", "float", "int", "index", "complex"):
    setattr(ShadowArray, f"__{_name}__", _converter(f"__{_name}__"))
_BINARY = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and", "or", "xor")
for _name in [*_BINARY, *(f"r{name}" for name in _BINARY), *(f"i{name}" for name in _BINARY)]:
    setattr(ShadowArray, f"__{_name}__", _operator(f"__{_name}__"))
for _name in ("lt", "le", "gt", "ge", "eq", "ne", "neg", "pos", "abs", "invert"):
    setattr(ShadowArray, f"__{_name}__", _operator(f"__{_name}__"))


def _unwrap(value: Any) -> Any:
    """What NumPy gets; an array of NumPy among the arguments is what CuPy refuses."""
    if isinstance(value, ShadowArray):
        return value._values
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {np.ndarray}")
    if isinstance(value, (tuple, list)):
        return type(value)(_unwrap(part) for part in value)
    return value


def _wrap(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        return ShadowArray(np.asarray(value))
    if isinstance(value, tuple):
        parts = [_wrap(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return [_wrap(part) for part in value] if isinstance(value, list) else value


_signature = functools.cache(inspect.signature)


def _bind(function: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
    """Raise TypeError where CuPy would."""
    if hasattr(function, "nin"):  # a ufunc has no signature
        unknown = set(keywords) - {"out", "dtype", "casting"}
        if unknown or not function.nin <= len(arguments) <= function.nargs:
            raise TypeError(f"{function} takes {function.nin} arrays and no {sorted(unknown)}")
    else:
        _signature(function).bind(*arguments, **keywords)


def _shadow(name: str, real: Any, stand_in: Any) -> Callable[..., Any]:
    def call(*arguments: Any, **keywords: Any) -> Any:
        _bind(real, arguments, keywords)
        if name in WAITING:
            raise AssertionError(f"{name} waits for the device: its shape depends on data.")
        if keywords.pop("device", None) not in (None, DEVICE):
            raise ValueError("not this device")
        if name == "asarray" and isinstance(arguments[0], np.ndarray):
            return ShadowArray(np.array(*arguments, **keywords))
        return _wrap(
            stand_in(*_unwrap(arguments), **{key: _unwrap(value) for key, value in keywords.items()})
        )

    return call


class _Namespace:
    def __init__(self, real: Any, stand_in: Any) -> None:
        self.real, self.stand_in = real, stand_in

    def __getattr__(self, name: str) -> Any:
        real, stand_in = getattr(self.real, name), getattr(self.stand_in, name)
        if isinstance(stand_in, type) or name in ("finfo", "iinfo", "isdtype", "can_cast", "result_type"):
            return stand_in  # of dtypes, which are NumPy's
        return _shadow(name, real, stand_in) if callable(real) else stand_in


def __array_namespace_info__() -> Any:  # noqa: N807
    info = numpy_namespace.__array_namespace_info__()
    return SimpleNamespace(dtypes=lambda *, device=None, kind=None: info.dtypes(kind=kind))  # noqa: ARG005


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    try:
        import array_api_compat.cupy as real
    except ModuleNotFoundError:  # a pickler asks every module that is loaded, and takes no other answer
        raise AttributeError(name) from None

    if name == "linalg":
        import array_api_compat.cupy.linalg as real_linalg
        import array_api_compat.numpy.linalg as numpy_linalg

        return _Namespace(real_linalg, numpy_linalg)
    return getattr(_Namespace(real, numpy_namespace), name)


@contextmanager
def taken_for_cupy() -> Iterator[None]:
    """Let the package take the arrays here for CuPy's, and count its waiting from 0."""
    waits.door = waits.checks = 0
    with (
        mock.patch.object(array_api_compat, "is_cupy_array", lambda x: isinstance(x, ShadowArray)),
        mock.patch("rmttheory.matrices.spectra.free_memory", return_value=float("inf")),
    ):
        yield
