"""Every public function of arrays, on every library, device and dtype: same place out, same numbers."""

from __future__ import annotations

import enum
import functools
import importlib
import inspect
import math

import array_api_compat
import numpy as np
import pytest
from cases import CASES, HOST_ONLY, VALUES
from places import PLACES, REFERENCE, leaves

FLOORS = ("arrays", "matrices", "networks", "theorem.certificates", "theorem.trained.examination")


@functools.cache
def in_numpy(name):
    return list(leaves(CASES[name].run(REFERENCE)))


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name.replace(" ", "-"))
@pytest.mark.parametrize("name", CASES)
def test_runs_there_and_agrees_with_numpy(name, place, require, record_property):
    require(place.needs)
    case = CASES[name]
    found = list(leaves(place.call(case.run)))
    expected = in_numpy(name)
    assert len(found) == len(expected)
    for mine, reference in zip(found, expected):
        if array_api_compat.is_array_api_obj(mine):
            assert case.on_host or place.holds(mine)
            assert tuple(mine.shape) == reference.shape
            if not place.has_data and not isinstance(mine, np.ndarray):
                continue
            mine = place.read(mine)
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
    """Functions and methods that the floors offer, but for those of laws: they take host numbers."""
    for floor in FLOORS:
        module = importlib.import_module(f"rmttheory.{floor}")
        for name in getattr(module, "__all__", None) or vars(module):
            value = getattr(module, name)
            if name.startswith("_") or not getattr(value, "__module__", "").startswith(module.__name__):
                continue
            label = f"{floor.rpartition('.')[2]}.{name}"
            if inspect.isfunction(value):
                yield label
            elif inspect.isclass(value) and not hasattr(value, "cdf"):
                yield from (f"{label}.{method}" for method in methods(value))


def methods(kind):
    """Public methods of a class with instances of its own; turning a result into plain values is none."""
    if issubclass(kind, (Exception, enum.Enum)) or getattr(kind, "_is_protocol", False):
        return []
    found = inspect.getmembers(kind, lambda m: inspect.isfunction(m) or inspect.ismethod(m))
    return [
        name for name, _ in found if name == "__call__" or not (name.startswith("_") or name == "to_dict")
    ]


def test_no_public_function_is_forgotten():
    known = {name.partition("/")[0] for name in CASES} | set(" ".join(HOST_ONLY.values()).split())
    public = set(public_functions())
    assert sorted(public - known) == []
    assert sorted(known - public) == []
