"""PyTorch's device ``meta``: arrays with a shape and a dtype and no data, so that nothing can look at them.

What the package reads from a device it reads through `to_host`. A run on the CPU is recorded there, and its
numbers are handed out again, in their order, when the same call runs without data.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock


@contextmanager
def recorded(numbers: list[Any]) -> Iterator[None]:
    """Append what passes the door to the host."""
    import torch

    original = torch.Tensor.cpu

    def cpu(tensor: Any, *arguments: Any) -> Any:
        numbers.append(original(tensor, *arguments).clone())
        return original(tensor, *arguments)

    with mock.patch.object(torch.Tensor, "cpu", cpu):
        yield


@contextmanager
def replayed(numbers: list[Any]) -> Iterator[None]:
    """Hand out recorded numbers at the door; a check of an argument is told that all is well."""
    import torch

    original: Callable[[Any], bool] = torch.Tensor.__bool__
    left = iter(numbers)

    def cpu(tensor: Any) -> Any:
        value = next(left, None)
        assert value is not None, "more is read from the device than with data"
        assert value.shape == tensor.shape
        assert value.dtype == tensor.dtype
        return value

    def flag(tensor: Any) -> bool:
        caller = Path(sys._getframe(1).f_code.co_filename)
        return caller.parts[-2:] == ("arrays", "checks.py") or original(tensor)

    with mock.patch.object(torch.Tensor, "cpu", cpu), mock.patch.object(torch.Tensor, "__bool__", flag):
        yield
    assert next(left, None) is None, "less is read from the device than with data"
