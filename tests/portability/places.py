"""Where every public function of arrays has to run, and how to look at what it returned."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import array_api_compat
import numpy as np
import shadow
import without_data

from rmttheory.arrays import Placement, Stream, backend, to_host

backend._NAMESPACES["shadow"] = "shadow"


@dataclass(frozen=True)
class Place:
    """A library, device and dtype; ``library`` is what must be installed."""

    name: str
    library: str = "numpy"
    device: str | None = None
    dtype: str = "float64"
    read_only: bool = False

    @property
    def placement(self) -> Placement:
        device = self.device
        if self.library == "array_api_strict":
            import array_api_strict

            device = array_api_strict.Device(self.device)
        return Placement(self.library, device, self.dtype)

    @property
    def eps(self) -> float:
        return float(np.finfo(self.dtype).eps)

    @property
    def stream(self) -> Stream:
        return Stream(11).at(self.placement)

    @property
    def needs(self) -> str:
        """What `require` has to find."""
        return {"cupy": "cuda", "shadow": "cupy"}.get(self.library, self.library)

    @property
    def has_data(self) -> bool:
        """Whether arrays hold numbers."""
        return self.device != "meta"

    def rules(self) -> AbstractContextManager[None]:
        """Where it can be seen: nothing waits for the device but through the door of `rmttheory.arrays`."""
        if self.library == "array_api_strict":
            return _never_waiting()
        return shadow.taken_for_cupy() if self.library == "shadow" else nullcontext()

    def call(self, run: Callable[[Place], Any]) -> Any:
        """Return ``run(place)`` under the rules of the place."""
        if self.has_data:
            with self.rules():
                return run(self)
        numbers: list[Any] = []
        with without_data.recorded(numbers):
            run(replace(self, device=None))
        with without_data.replayed(numbers):
            return run(self)

    def put(self, values: Any) -> Any:
        array = self.placement.asarray(np.array(values))
        if self.read_only:
            array.flags.writeable = False
        return array

    def read(self, array: Any) -> np.ndarray:
        with self.rules():
            return to_host(array)

    def holds(self, array: Any) -> bool:
        """Whether ``array`` belongs here: library, device and, for real numbers, dtype."""
        xp = self.placement.namespace
        if array_api_compat.array_namespace(array) is not xp:
            return False
        here = array_api_compat.device(array) == array_api_compat.device(self.put(np.zeros(1)))
        real = xp.isdtype(array.dtype, ("real floating", "complex floating"))
        return here and (not real or array.dtype == getattr(xp, self.dtype))


@contextmanager
def _never_waiting() -> Iterator[None]:
    """Refuse shapes that depend on data, and ``float(x)``, ``bool(x)``, ``if x:`` outside the public checks.

    `to_host` copies the whole array and uses none of these.
    """
    import array_api_strict

    kind = type(array_api_strict.ones(1))
    names = ("__bool__", "__float__", "__int__", "__index__", "__complex__")
    original = {name: getattr(kind, name) for name in names}

    def guarded(name: str) -> Any:
        def convert(array: Any) -> Any:
            caller = Path(sys._getframe(1).f_code.co_filename)
            if "array_api_strict" not in caller.parts and caller.parts[-2:] != ("arrays", "checks.py"):
                msg = f"{caller} waits for a device by {name}; use rmttheory.arrays.scalar or to_host"
                raise AssertionError(msg)
            return original[name](array)

        return convert

    for name in names:
        setattr(kind, name, guarded(name))
    try:
        with array_api_strict.ArrayAPIStrictFlags(boolean_indexing=False, data_dependent_shapes=False):
            yield
    finally:
        for name in names:
            setattr(kind, name, original[name])


REFERENCE = Place("NumPy")
PLACES = [
    REFERENCE,
    Place("NumPy read-only", read_only=True),
    Place("NumPy float32", dtype="float32"),
    Place("strict device1", "array_api_strict", "device1"),
    Place("strict device1 float32", "array_api_strict", "device1", "float32"),
    Place("strict without float64", "array_api_strict", "no_float64", "float32"),
    Place("torch", "torch"),
    Place("torch float32", "torch", dtype="float32"),
    Place("torch without data", "torch", "meta"),
    Place("torch without data float32", "torch", "meta", "float32"),
    Place("CuPy signatures", "shadow"),
    Place("CuPy signatures float32", "shadow", dtype="float32"),
    Place("CuPy", "cupy"),
    Place("CuPy float32", "cupy", dtype="float32"),
]


def leaves(result: Any) -> Iterator[Any]:
    """Arrays, numbers and words in a result, however it is nested."""
    if dataclasses.is_dataclass(result):
        result = [getattr(result, field.name) for field in dataclasses.fields(result)]
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (tuple, list)):
        for part in result:
            yield from leaves(part)
    else:
        yield result
