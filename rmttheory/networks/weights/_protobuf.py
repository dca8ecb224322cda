"""The wire format of Protocol Buffers: numbered fields, one after another.

Only what ONNX uses: nothing is decoded before it is asked for, and no length is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from rmttheory.arrays import InvalidInput

MOST_FIELDS = 2**20
"""Models of thousands of layers have a fifth of this."""


@dataclass
class Budget:
    """How many fields may still be read: a file of empty fields is not worth a minute."""

    left: int = field(default=MOST_FIELDS)


@dataclass(frozen=True)
class Message:
    """A stretch of a buffer that holds fields."""

    buffer: Any
    start: int
    end: int
    budget: Budget = field(default_factory=Budget)

    def fields(self) -> Iterator[tuple[int, int | Message]]:
        """Go through the fields: a number, and its value or the stretch that it takes."""
        at = self.start
        while at < self.end:
            self.budget.left -= 1
            if self.budget.left < 0:
                msg = f"it has more than {MOST_FIELDS:,} fields."
                raise InvalidInput(msg)
            key, at = self._varint(at)
            number, kind = key >> 3, key & 7
            value: int | Message
            if kind == 0:
                value, at = self._varint(at)
            elif kind in (1, 5):
                length = 8 if kind == 1 else 4
                value = Message(self.buffer, at, at + length, self.budget)
                at += length
            elif kind == 2:
                length, at = self._varint(at)
                value = Message(self.buffer, at, at + length, self.budget)
                at += length
            else:
                msg = f"it has a field of the unknown kind {kind} at byte {at:,}."
                raise InvalidInput(msg)
            if at > self.end:
                msg = f"a field of it goes beyond byte {self.end:,}."
                raise InvalidInput(msg)
            yield number, value

    def varints(self) -> Iterator[int]:
        """Go through packed whole numbers."""
        at = self.start
        while at < self.end:
            self.budget.left -= 1
            if self.budget.left < 0:
                msg = f"it has more than {MOST_FIELDS:,} fields."
                raise InvalidInput(msg)
            value, at = self._varint(at)
            yield value

    def text(self) -> str:
        """Return the field as text.

        Raises
        ------
        InvalidInput
        """
        try:
            return bytes(self.buffer[self.start : self.end]).decode("utf-8")
        except UnicodeDecodeError:
            msg = f"its text at byte {self.start:,} is not UTF-8."
            raise InvalidInput(msg) from None

    @property
    def length(self) -> int:
        """Bytes that it takes."""
        return self.end - self.start

    def _varint(self, at: int) -> tuple[int, int]:
        if at < self.end and self.buffer[at] < 0x80:  # nearly always
            return self.buffer[at], at + 1
        value = 0
        for shift in range(0, 70, 7):
            if at >= self.end:
                break
            byte = self.buffer[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF, at
        msg = f"a number of it at byte {at:,} does not end."
        raise InvalidInput(msg)
