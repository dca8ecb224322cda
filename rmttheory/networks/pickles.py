"""Tables that Python 2 pickled, read without running anything.

A pickle is a program. Here its instructions are interpreted one by one, and only those are known that a
dictionary of texts, numbers, flat lists and arrays of bytes needs; no name in it is ever looked up.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput

_INSTRUCTIONS = 2_000_000
"""Most that one table may need, which bounds time and memory; CIFAR-100 needs about 300,000."""

_RECONSTRUCT, _ARRAY, _DTYPE = "numpy.core.multiarray _reconstruct", "numpy ndarray", "numpy dtype"
_NEW_ARRAY = ((0,), "b")
_BYTE_STATE = (3, "|", None, None, None, -1, -1, 0)


class _Byte:
    """NumPy's type of unsigned bytes."""


class _Table:
    """A matrix, which exists before its content is known."""

    content: HostArray | None = None


_SCALARS = (str, int, type(None))
_MARK = object()


def read_pickle(data: bytes) -> dict[str, Any]:
    """Return a dictionary that Python 2 pickled with protocol 2, as the python version of CIFAR is.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict
        Of texts (bytes read as Latin-1), whole numbers, None, flat lists of these, and matrices of unsigned
        bytes.

    Raises
    ------
    InvalidInput
        If the pickle needs anything else, such as a call, or nests deeper.
    ValueError
        If it is damaged.
    """
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    for i, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        name, number = opcode.name, argument if isinstance(argument, int) else 0
        if i >= _INSTRUCTIONS:
            msg = f"it needs more than {_INSTRUCTIONS:,} instructions."
            raise InvalidInput(msg)
        if name == "STOP":
            break
        if name == "PROTO" and argument == 2:
            continue
        if name in ("BINPUT", "LONG_BINPUT"):
            memo[number] = _top(stack)
        elif name in ("BINGET", "LONG_BINGET") and number in memo:
            stack.append(memo[number])
        elif name in _LITERALS:
            stack.append(argument)
        elif name in _ACTIONS:
            _ACTIONS[name](stack)
        elif name == "GLOBAL" and argument in (_RECONSTRUCT, _ARRAY, _DTYPE):
            stack.append(argument)
        else:
            what = f"{name} {argument!r}" if name in ("GLOBAL", "PROTO") else name
            msg = f"it holds the instruction {what[:80]}, which is never followed."
            raise InvalidInput(msg)
    if len(stack) != 1 or not isinstance(stack[0], dict):
        msg = "it does not hold one dictionary."
        raise InvalidInput(msg)
    return {key: _content(value) for key, value in stack[0].items()}


def _content(value: Any) -> Any:
    return value.content if isinstance(value, _Table) else value


def _top(stack: list[Any]) -> Any:
    if not stack or stack[-1] is _MARK:
        msg = "it takes a value where there is none."
        raise InvalidInput(msg)
    return stack[-1]


def _pop(stack: list[Any]) -> Any:
    _top(stack)
    return stack.pop()


def _since_mark(stack: list[Any]) -> list[Any]:
    """Take what follows the last mark, and the mark."""
    last = next((i for i in range(len(stack) - 1, -1, -1) if stack[i] is _MARK), None)
    if last is None:
        msg = "it takes values since a mark that it did not set."
        raise InvalidInput(msg)
    values = stack[last + 1 :]
    del stack[last:]
    return values


def _tuple(stack: list[Any], values: list[Any]) -> None:
    for value in values:
        inside = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(one, (*_SCALARS, _Byte)) for one in inside):
            _refuse_nesting()
    stack.append(tuple(values))


def _extend(stack: list[Any], values: list[Any]) -> None:
    target = _top(stack)
    if not isinstance(target, list) or not all(isinstance(value, _SCALARS) for value in values):
        _refuse_nesting()
    target.extend(values)


def _update(stack: list[Any], values: list[Any]) -> None:
    target, keys, entries = _top(stack), values[::2], values[1::2]
    if (
        not isinstance(target, dict)
        or len(keys) != len(entries)
        or not all(isinstance(key, str) for key in keys)
        or not all(isinstance(entry, (*_SCALARS, list, _Table)) for entry in entries)
    ):
        _refuse_nesting()
    target.update(zip(keys, entries))


def _refuse_array() -> NoReturn:
    msg = "it makes something other than a matrix of unsigned bytes."
    raise InvalidInput(msg)


def _refuse_nesting() -> NoReturn:
    msg = "its values are not a flat dictionary of texts, numbers, lists and arrays of bytes."
    raise InvalidInput(msg)


def _reduce(stack: list[Any]) -> None:
    """Make what NumPy's two functions would: an array without content, or the type of its entries."""
    arguments, function = _pop(stack), _pop(stack)
    if function == _RECONSTRUCT and arguments == (_ARRAY, *_NEW_ARRAY):
        stack.append(_Table())
    elif function == _DTYPE and arguments in (("u1", 0, 1), ("u1", False, True)):
        stack.append(_Byte())
    else:
        _refuse_array()


def _build(stack: list[Any]) -> None:
    state, target = _pop(stack), _top(stack)
    if isinstance(target, _Byte) and state == _BYTE_STATE:
        return
    if not isinstance(target, _Table) or not isinstance(state, tuple) or len(state) != 5:
        _refuse_array()
    version, shape, dtype, fortran, text = state
    matrix = (
        isinstance(shape, tuple) and len(shape) == 2 and all(isinstance(n, int) and n >= 0 for n in shape)
    )
    if version != 1 or not matrix or not isinstance(dtype, _Byte) or not isinstance(text, str):
        _refuse_array()
    if math.prod(shape) != len(text):
        msg = f"a matrix promises {math.prod(shape):,} bytes, but has {len(text):,}."
        raise InvalidInput(msg)
    flat = np.frombuffer(text.encode("latin-1"), np.uint8)
    target.content = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)


def _set_item(stack: list[Any]) -> None:
    value, key = _pop(stack), _pop(stack)
    _update(stack, [key, value])


_LITERALS = ("BININT", "BININT1", "BININT2", "SHORT_BINSTRING", "BINSTRING")
_ACTIONS: dict[str, Callable[[list[Any]], object]] = {
    "NONE": lambda stack: stack.append(None),
    "NEWTRUE": lambda stack: stack.append(True),
    "NEWFALSE": lambda stack: stack.append(False),
    "MARK": lambda stack: stack.append(_MARK),
    "EMPTY_DICT": lambda stack: stack.append({}),
    "EMPTY_LIST": lambda stack: stack.append([]),
    "TUPLE": lambda stack: _tuple(stack, _since_mark(stack)),
    "TUPLE1": lambda stack: _tuple(stack, [_pop(stack)]),
    "TUPLE2": lambda stack: _tuple(stack, [_pop(stack) for _ in range(2)][::-1]),
    "TUPLE3": lambda stack: _tuple(stack, [_pop(stack) for _ in range(3)][::-1]),
    "APPEND": lambda stack: _extend(stack, [_pop(stack)]),
    "APPENDS": lambda stack: _extend(stack, _since_mark(stack)),
    "SETITEM": _set_item,
    "SETITEMS": lambda stack: _update(stack, _since_mark(stack)),
    "REDUCE": _reduce,
    "BUILD": _build,
}
