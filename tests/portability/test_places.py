"""Every public function of arrays, on every library, device and dtype: same place out, same numbers."""

from __future__ import annotations

import enum
import importlib
import inspect
import math

import array_api_compat
import numpy as np
import pytest
from cases import CASES, HOST_ONLY, VALUES
from places import PLACES, REFERENCE, leaves

from rmttheory.arrays import to_host

FLOORS = ("arrays", "matrices", "networks", "theorem.certificates")


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name.replace(" ", "-"))
@pytest.mark.parametrize("name", CASES)
def test_runs_there_and_agrees_with_numpy(name, place, require, record_property):
    require(place.library)
    case = CASES[name]
    with place.rules():
        found = list(leaves(case.run(place)))
    expected = list(leaves(case.run(REFERENCE)))
    assert len(found) == len(expected)
    for mine, reference in zip(found, expected):
        if array_api_compat.is_array_api_obj(mine):
            assert case.on_host or place.holds(mine)
            mine, reference = to_host(mine), to_host(reference)
            assert mine.shape == reference.shape
        if isinstance(reference, (float, np.ndarray)):
            np.testing.assert_allclose(mine, reference, rtol=0, atol=case.slack * place.eps)
        else:
            assert mine == reference
    record_property("pair", f"{name.partition('/')[0]} on {place.name}")


@pytest.mark.parametrize("wait", [float, bool, int, math.sqrt, lambda x: 1 if x > 0 else 2])
def test_hidden_waiting_for_a_device_is_seen(wait, require):
    require("array_api_strict")
    place = next(place for place in PLACES if place.library == "array_api_strict")
    number = place.put(VALUES)[1]
    with place.rules(), pytest.raises(AssertionError, match="waits for a device"):
        wait(number)
    assert wait(number) == wait(VALUES[1])


def public_functions():
    """Functions and methods, but for those of laws, that the lower floors and the certificates offer."""
    for floor in FLOORS:
        module = importlib.import_module(f"rmttheory.{floor}")
        floor = floor.rpartition(".")[2]
        for name in getattr(module, "__all__", None) or _defined_in(module):
            value = getattr(module, name)
            if inspect.isclass(value) and issubclass(value, (Exception, enum.Enum)):
                continue
            if not inspect.isclass(value):
                if inspect.isfunction(value):
                    yield f"{floor}.{name}"
            elif not getattr(value, "_is_protocol", False) and not hasattr(value, "cdf"):
                methods = inspect.getmembers(value, lambda m: inspect.isfunction(m) or inspect.ismethod(m))
                yield from (
                    f"{floor}.{name}.{m}" for m, _ in methods if m == "__call__" or not m.startswith("_")
                )


def _defined_in(module):
    return [
        n
        for n, value in vars(module).items()
        if n[0] != "_" and getattr(value, "__module__", 0) == module.__name__
    ]


def test_no_public_function_is_forgotten():
    known = {name.partition("/")[0] for name in CASES} | set(" ".join(HOST_ONLY.values()).split())
    public = set(public_functions())
    assert sorted(public - known) == []
    assert sorted(known - public) == []
