"""Results with a row for each layer: found by name, laid out for a terminal and a notebook."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from rmttheory.arrays import InvalidInput
from rmttheory.studies import inspection_rows as words

if TYPE_CHECKING:
    from rich.console import RenderableType

Named = TypeVar("Named")


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """What has no row, and why: the reason is a clause."""

    name: str
    reason: str


class LayerTable(Generic[Named]):
    """Layers by name; ``done`` says what befell those that are here."""

    done: ClassVar[str]
    layers: tuple[Named, ...]
    skipped: tuple[Skipped, ...]

    def __getitem__(self, name: str) -> Named:
        """Return the layer of that name.

        Raises
        ------
        InvalidInput
            If there is none; the message says why it was skipped, if it was.
        """
        for layer in self.layers:
            if layer.name == name:  # type: ignore[attr-defined]
                return layer
        why = next((f": {one.reason}" for one in self.skipped if one.name == name), "")
        msg = f"No layer {name!r} was {self.done}{why}."
        raise InvalidInput(msg)

    def __iter__(self) -> Iterator[Named]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)


class LayerSummary(LayerTable[Named]):
    """A table with a reading below it, what was left alone and why, and all of it in one sentence."""

    headings: ClassVar[Sequence[tuple[str, str]]]
    reading: ClassVar[str]

    @property
    def rows(self) -> list[words.Row]:
        """The table, in words."""
        raise NotImplementedError

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        raise NotImplementedError

    @property
    def below(self) -> list[str]:
        """What stands below the table."""
        return [self.reading, *(f"Left as it is, {one.reason}: {one.name}." for one in self.skipped)]

    def __rich__(self) -> RenderableType:
        """Lay it out for a terminal."""
        from rich.console import Group
        from rich.text import Text

        return Group(
            words.rich_table(self.rows, self.headings),
            Text(""),
            *(Text(line, style="dim") for line in self.below),
            Text(f"\n{self.sentence}", style="bold"),
        )

    def _repr_html_(self) -> str:
        below = "".join(f"<p><small>{html.escape(line)}</small></p>" for line in self.below)
        table = words.html_table(self.rows, headings=self.headings)
        return f"<p><b>{html.escape(self.sentence)}</b></p>{table}{below}"
