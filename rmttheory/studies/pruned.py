"""What became of the matrices of a weight file that was pruned."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from rmttheory.studies import inspection_rows as words
from rmttheory.studies.layer_tables import LayerSummary, Skipped
from rmttheory.studies.style import number

SCHEMA = 1
HEADINGS = (
    ("layer", "kind, n x m"),
    ("rank", "of"),
    ("numbers", "saved"),
    ("energy kept", "change"),
    ("stored", "why"),
)
READING = (
    "Numbers: what two factors of this rank take, or the entries that are not 0. Energy kept: share of the "
    "squared Frobenius norm; change: |W' - W| / |W| by that norm, as stored."
)

Stored = Literal["unchanged", "whole", "factors", "zeros"]


@dataclass(frozen=True, kw_only=True)
class PrunedLayer:
    """What became of one matrix.

    Attributes
    ----------
    name, kind : str
    shape : tuple of int
        ``(n, m)``: outputs by inputs.
    rank : int or None
        What was kept; None for a mask.
    numbers : int
        That it takes: two factors of this rank or the entries that are not 0, if that is less than ``n m``.
    energy : float
        Share of ``|W|_F^2`` that was kept.
    change : float
        ``|W' - W|_F / |W|_F``, with ``W'`` as it is stored.
    stored : {"unchanged", "whole", "factors", "zeros"}
        Untouched; of lower rank and as large as before; two tensors; as large as before, with zeros.
    reason : str
        Why, as a clause.
    """

    name: str
    kind: str
    shape: tuple[int, int]
    rank: int | None
    numbers: int
    energy: float
    change: float
    stored: Stored
    reason: str

    @property
    def parameters(self) -> int:
        """Entries of the matrix."""
        return self.shape[0] * self.shape[1]

    @property
    def saved(self) -> int:
        """Numbers that need not be kept."""
        return self.parameters - self.numbers

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"shape": list(self.shape), "parameters": self.parameters, "saved": self.saved}


@dataclass(frozen=True, kw_only=True)
class Pruning(LayerSummary[PrunedLayer]):
    """What became of the matrices of a model.

    Attributes
    ----------
    source, format, method : str
    out : str or None
        The file that was written, if any.
    layers : tuple of PrunedLayer
    skipped : tuple of Skipped
        Matrices that cannot be judged; they stay as they are.
    """

    done = "judged"
    headings = HEADINGS
    reading = READING

    source: str
    format: str
    method: str
    out: str | None
    layers: tuple[PrunedLayer, ...]
    skipped: tuple[Skipped, ...]

    @property
    def parameters(self) -> int:
        """Entries of all matrices that were judged."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def numbers(self) -> int:
        """What they take now."""
        return sum(layer.numbers for layer in self.layers)

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        changed = sum(layer.stored != "unchanged" for layer in self.layers)
        share = words.percent(self.numbers / self.parameters) if self.parameters else "0 %"
        text = (
            f"{changed} of {len(self.layers)} matrices pruned ({self.method}); {self.numbers:,} of "
            f"{self.parameters:,} numbers are left to keep, {share}."
        )
        if any(layer.stored in ("whole", "zeros") for layer in self.layers):
            text += " Matrices that are stored whole take as much room in the file as before."
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, of the schema that the documentation describes."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "format": self.format,
            "method": self.method,
            "out": self.out,
            "parameters": self.parameters,
            "numbers": self.numbers,
            "layers": [layer.to_dict() for layer in self.layers],
            "skipped": [dict(vars(one)) for one in self.skipped],
        }

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each layer.

        Raises
        ------
        Unavailable
            If pandas is not installed.
        """
        return words.frame([layer.to_dict() | {"shape": layer.shape} for layer in self.layers])

    @property
    def rows(self) -> list[words.Row]:
        """The table, in words."""
        return [_row(layer) for layer in self.layers]


def _row(layer: PrunedLayer) -> words.Row:
    n, m = layer.shape
    return words.Row(
        (
            (layer.name, f"{layer.kind}, {n:,} x {m:,}"),
            ("-" if layer.rank is None else f"{layer.rank:,}", f"{min(n, m):,}"),
            (f"{layer.numbers:,}", words.percent(layer.saved / layer.parameters)),
            (words.percent(layer.energy), number(layer.change, 2)),
            (layer.stored, layer.reason),
        )
    )
