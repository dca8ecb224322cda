"""The part of Python's pickle format that weights need, as a machine that can call nothing.

A pickle is a program. This machine knows the few instructions that build numbers, texts, lists and tables,
and the names of the few functions with which PyTorch makes tensors; for those it makes a description of the
tensor. There is no way from it to a Python function, and no instruction that takes more time or memory than
the file has bytes for it.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rmttheory.arrays import InvalidInput
from rmttheory.networks.weights._dtypes import CODES

MOST_INSTRUCTIONS = 2**22

STORAGES = {
    "DoubleStorage": "float64", "FloatStorage": "float32", "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8",
    "ByteStorage": "uint8", "BoolStorage": "bool", "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128", "QInt8Storage": "qint8", "QUInt8Storage": "quint8",
    "QInt32Storage": "qint32",
    "UntypedStorage": "bytes",
}  # fmt: skip
TORCH_DTYPES = frozenset(CODES)
_TYPED_LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist", "restore_type_tag")
_SCRIPT_CLASS = re.compile(r"__torch__(\.\w+)*")


@dataclass(frozen=True)
class Name:
    """A function or class that the pickle names; known, and never called."""

    text: str


@dataclass(frozen=True)
class Stored:
    """Numbers that lie in a part of the archive of their own."""

    dtype: str
    key: str
    count: int


@dataclass(frozen=True)
class View:
    """A tensor: how it lies in stored numbers."""

    stored: Stored
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str


@dataclass(eq=False)
class Record:
    """An object of TorchScript: what its fields hold."""

    kind: str
    fields: dict[Any, Any] = field(default_factory=dict)


def unpickle(data: bytes, *, scripted: bool = False) -> Any:
    """Return what a pickle describes: tables, lists, plain values, `View` and, if ``scripted``, `Record`.

    Raises
    ------
    InvalidInput
        If it asks for anything else.
    """
    machine = _Machine(data, scripted)
    try:
        return machine.run()
    except (
        IndexError,
        KeyError,
        struct.error,
        UnicodeDecodeError,
        TypeError,
        AttributeError,
        ValueError,
    ) as error:
        if isinstance(error, InvalidInput):
            raise
        msg = f"its pickle is damaged near byte {machine.at:,}."
        raise InvalidInput(msg) from None


class _Machine:
    def __init__(self, data: bytes, scripted: bool) -> None:
        self.data, self.scripted, self.at = data, scripted, 0
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        for _ in range(MOST_INSTRUCTIONS):
            code = self.take(1)
            if code == b".":
                (value,) = self.stack
                return value
            step = _STEPS.get(code)
            if step is None:
                msg = f"its pickle uses the instruction {code!r}, which weights do not need."
                raise InvalidInput(msg)
            step(self)
        msg = f"its pickle has more than {MOST_INSTRUCTIONS:,} instructions."
        raise InvalidInput(msg)

    def take(self, count: int) -> bytes:
        taken = self.data[self.at : self.at + count]
        if len(taken) != count:
            msg = "its pickle ends too early."
            raise InvalidInput(msg)
        self.at += count
        return taken

    def number(self, kind: str) -> int:
        return int(struct.unpack(kind, self.take(struct.calcsize(kind)))[0])

    def line(self) -> str:
        end = self.data.index(b"\n", self.at, self.at + 1000)
        text = self.data[self.at : end].decode()
        self.at = end + 1
        return text

    def text(self, kind: str) -> str:
        return self.take(self.number(kind)).decode("utf-8", "surrogatepass")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def tuple_of(self, count: int) -> None:
        if len(self.stack) < count:
            raise IndexError
        items = tuple(self.stack[len(self.stack) - count :])
        del self.stack[len(self.stack) - count :]
        self.push(items)

    def remember(self, key: int) -> None:
        self.memo[key] = self.stack[-1]

    def append(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not list:
            raise TypeError
        target.extend(items)

    def set_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise TypeError
        for key, value in zip(items[::2], items[1::2]):
            if type(key) not in (str, int, bool, float, type(None)):  # others may take for ever to compare
                raise TypeError
            if key in target and type(key) is str:
                msg = f"it names {key[:80]!a} twice."
                raise InvalidInput(msg)
            target[key] = value

    def name(self, module: Any, text: Any) -> None:
        full = (
            f"{module}.{text}" if type(module) is str and type(text) is str else "something that is no name"
        )
        known = full in _KNOWN or (self.scripted and _SCRIPT_CLASS.fullmatch(full))
        if not known:
            msg = (
                f"its pickle asks for {full[:80]!a}, which could run code; only tensors are read. "
                "Saving `model.state_dict()` keeps to them."
            )
            raise InvalidInput(msg)
        self.push(Name(full))

    def call(self) -> None:
        arguments, function = self.stack.pop(), self.stack.pop()
        if type(function) is not Name or type(arguments) is not tuple:
            raise TypeError
        action = _KNOWN.get(function.text)
        self.push(action(*arguments) if action else _record(function.text))

    def make(self) -> None:
        """Make an object of a TorchScript class."""
        arguments, kind = self.stack.pop(), self.stack.pop()
        if type(kind) is not Name or kind.text in _KNOWN or arguments != ():
            raise TypeError
        self.push(_record(kind.text))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if type(target) is Record and type(state) is dict:
            target.fields.update(state)
        elif type(target) is not dict:  # the state of an ordered table is what PyTorch notes of versions
            raise TypeError

    def stored(self) -> None:
        kind, storage, key, _, count = self.stack.pop()
        if kind != "storage" or type(key) is not str or type(storage) is not Name or _integer(count) < 0:
            raise TypeError
        self.push(Stored(STORAGES[storage.text.rpartition(".")[2]], key, count))

    def signed(self) -> None:
        self.push(int.from_bytes(self.take(self.take(1)[0]), "little", signed=True))


def _record(kind: str) -> Record:
    return Record(kind)


def _integer(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _integers(values: Any) -> tuple[int, ...]:
    if type(values) not in (tuple, list) or len(values) > 64:
        raise TypeError
    return tuple(_integer(value) for value in values)


def _tensor(stored: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> View:
    if type(stored) is not Stored:
        raise TypeError
    return View(stored, _integer(offset), _integers(shape), _integers(strides), stored.dtype)


def _typed_tensor(
    stored: Any, offset: Any, shape: Any, strides: Any, _a: Any, _b: Any, dtype: Any, *_: Any
) -> View:
    view = _tensor(stored, offset, shape, strides)
    if type(dtype) is not Name or dtype.text.removeprefix("torch.") not in TORCH_DTYPES:
        raise TypeError
    return View(view.stored, view.offset, view.shape, view.strides, dtype.text.removeprefix("torch."))


def _first(value: Any, *_: Any) -> Any:
    return value


def _table(pairs: Any = ()) -> dict[Any, Any]:
    if len(pairs):
        raise TypeError
    return {}


def _sizes(values: Any = ()) -> tuple[int, ...]:
    return _integers(values)


def _no_function(*_: Any) -> Any:
    raise TypeError


_KNOWN: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _table,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_qtensor": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.Size": _sizes,
    "torch.per_tensor_affine": _no_function,
    "torch.per_channel_affine": _no_function,
    "torch.storage.UntypedStorage": _no_function,
    **{f"torch.{storage}": _no_function for storage in STORAGES},
    **{f"torch.{dtype}": _no_function for dtype in TORCH_DTYPES},
    **{f"torch.jit._pickle.{name}": _first for name in _TYPED_LISTS},
}

_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.take(1),
    b"\x95": lambda m: m.take(8),
    b"(": _Machine.mark,
    b"}": lambda m: m.push({}),
    b"]": lambda m: m.push([]),
    b")": lambda m: m.push(()),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": _Machine.signed,
    b"G": lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    b"X": lambda m: m.push(m.text("<I")),
    b"\x8c": lambda m: m.push(m.text("<B")),
    b"\x8d": lambda m: m.push(m.text("<Q")),
    b"t": lambda m: m.push(tuple(m.since_mark())),
    b"\x85": lambda m: m.tuple_of(1),
    b"\x86": lambda m: m.tuple_of(2),
    b"\x87": lambda m: m.tuple_of(3),
    b"a": lambda m: m.append([m.stack.pop()]),
    b"e": lambda m: m.append(m.since_mark()),
    b"s": lambda m: m.set_items([m.stack.pop(-2), m.stack.pop()]),
    b"u": lambda m: m.set_items(m.since_mark()),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"q": lambda m: m.remember(m.number("<B")),
    b"r": lambda m: m.remember(m.number("<I")),
    b"\x94": lambda m: m.remember(len(m.memo)),
    b"c": lambda m: m.name(m.line(), m.line()),
    b"\x93": lambda m: m.name(m.stack.pop(-2), m.stack.pop()),
    b"R": _Machine.call,
    b"\x81": _Machine.make,
    b"b": _Machine.build,
    b"Q": _Machine.stored,
}
