"""What an inspection found: one matrix, and all of a file."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from rmttheory.arrays import HostArray, check_choice
from rmttheory.matrices import EdgeEstimate
from rmttheory.matrices.tails import TailFit
from rmttheory.studies import inspection_rows as words
from rmttheory.studies.layer_tables import LayerTable, Skipped
from rmttheory.theorem.hypotheses import Checked, Reading
from rmttheory.theorem.trained.remainders import Spread

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rmttheory.studies.figures import Figure

SCHEMA = 1


class Advice(enum.Enum):
    """What one matrix says on removing its bulk."""

    CUT = "The bulk passes for noise: what lies above the edge may be all that the layer does."
    NO_BULK = "The bulk is not noise, so nothing says that it can go: keep the layer whole."
    NO_SPIKE = (
        "All of it passes for noise: there is nothing to keep, and to remove it is to remove the layer."
    )
    NO_GAIN = "Two factors of this rank would take more numbers than the layer."


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerInspection:
    """What one matrix shows of signal and noise.

    Attributes
    ----------
    name, kind : str
    choice : str
        How the tensor was taken to be a matrix.
    shape : tuple of int
        ``(n, m)``: outputs by inputs.
    values : ndarray, shape (min(n, m),)
        Singular values, descending.
    edge : EdgeEstimate
        Fitted noise level, edge, spikes above it, and the p-value of the bulk.
    tail : TailFit
        The power law that the largest squared values follow best.
    noise_exponent : float
        The exponent that the bulk of pure noise of this shape has.
    spread : Spread
        Of a sample of singular vectors of the bulk over coordinates.
    energy : float
        Share of ``|W|_F^2`` above the edge.
    stable_rank, entropy_rank : float
        See `rmttheory.matrices.stable_rank` and `rmttheory.matrices.entropy_rank`.
    hypotheses : tuple of Checked
        Every hypothesis of the theorem, as far as one matrix shows it.
    advice : Advice
    """

    name: str
    kind: str
    choice: str
    shape: tuple[int, int]
    values: HostArray
    edge: EdgeEstimate
    tail: TailFit
    noise_exponent: float
    spread: Spread
    energy: float
    stable_rank: float
    entropy_rank: float
    hypotheses: tuple[Checked, ...]
    advice: Advice

    @property
    def aspect(self) -> float:
        """``m / n``."""
        return self.shape[1] / self.shape[0]

    @property
    def parameters(self) -> int:
        """Entries of the matrix."""
        return self.shape[0] * self.shape[1]

    @property
    def cut_saves(self) -> float:
        """Share of the parameters that two factors of rank ``edge.spikes`` would save; 0 if none."""
        return max(0.0, 1.0 - self.edge.spikes * sum(self.shape) / self.parameters)

    @property
    def recommended_rank(self) -> int:
        """``edge.spikes`` where `advice` is to cut, and full rank otherwise."""
        return self.edge.spikes if self.advice is Advice.CUT else min(self.shape)

    @property
    def saved(self) -> int:
        """Parameters that two factors of the recommended rank save."""
        return max(0, self.parameters - self.recommended_rank * sum(self.shape))

    def read(self, reading: Reading) -> tuple[str, ...]:
        """Return the ids of the hypotheses with this reading."""
        return tuple(found.id for found in self.hypotheses if found.reading is reading)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; singular values are not among them."""
        return {
            "name": self.name,
            "kind": self.kind,
            "choice": self.choice,
            "shape": list(self.shape),
            "aspect": self.aspect,
            "edge": self.edge.to_dict() | {"edge_error": self.edge.edge_error},
            "tail": self.tail.to_dict() | {"noise_exponent": self.noise_exponent},
            "spread": dict(vars(self.spread)),
            "energy": self.energy,
            "stable_rank": self.stable_rank,
            "entropy_rank": self.entropy_rank,
            "hypotheses": [found.to_dict() for found in self.hypotheses],
            "advice": self.advice.name.lower(),
            "recommended_rank": self.recommended_rank,
            "parameters": self.parameters,
            "saved": self.saved,
            "cut_saves": self.cut_saves,
        }

    def plot(self) -> Figure:
        """Return a figure of the spectrum: against the law of noise, and as a tail against a power law."""
        from rmttheory.studies.layer_figures import layer_figure

        return layer_figure(self)

    def __rich__(self) -> RenderableType:
        """Lay it out for a terminal."""
        return words.rich_table([words.layer_row(self)])

    def _repr_html_(self) -> str:
        return words.html_table([words.layer_row(self)])


@dataclass(frozen=True, kw_only=True, eq=False)
class Inspection(LayerTable[LayerInspection]):
    """What the matrices of a file, a module or a set of arrays show of signal and noise.

    Attributes
    ----------
    source : str
        Path, class of the module, or ``arrays``.
    format : str
    layers : tuple of LayerInspection
    skipped : tuple of Skipped
        Tensors that are no matrices, and matrices with nothing to fit a bulk to.
    """

    done = "inspected"

    source: str
    format: str
    layers: tuple[LayerInspection, ...]
    skipped: tuple[Skipped, ...]

    def sorted(self, by: str) -> Inspection:
        """Return the same with its layers in another order.

        Parameters
        ----------
        by : str
            ``file`` or ``name``, ascending; ``size``, ``spikes``, ``energy``, ``fit`` (p-value of the bulk),
            ``tail`` (smallest exponent first), ``spread``, ``rank`` (smallest share of entropy rank in the
            full one first) or ``saved``, what stands out first.

        Raises
        ------
        InvalidInput
            If it is none of these.
        """
        check_choice(by, "sort", words.ORDERS)
        key = words.ORDERS[by]
        return self if key is None else replace(self, layers=tuple(sorted(self.layers, key=key)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, of the schema that the documentation describes."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "format": self.format,
            "layers": [layer.to_dict() for layer in self.layers],
            "skipped": [dict(vars(one)) for one in self.skipped],
        }

    def to_pandas(self) -> Any:
        """Return a ``pandas.DataFrame`` with a row for each layer and a column for each number.

        Raises
        ------
        Unavailable
            If pandas is not installed.
        """
        return words.data_frame(self)

    def plot(self, name: str | None = None) -> Figure:
        """Return a figure of the layer of that name, or of all layers beside each other.

        Raises
        ------
        InvalidInput
            If no layer of that name was inspected.
        """
        from rmttheory.studies.layer_figures import layers_figure

        return layers_figure(self) if name is None else self[name].plot()

    @property
    def rows(self) -> list[words.Row]:
        """The table, in words."""
        return [words.layer_row(layer) for layer in self.layers]

    def __rich__(self) -> RenderableType:
        """Lay it out for a terminal."""
        return words.rich_page(self)

    def _repr_html_(self) -> str:
        return words.html_page(self)


def plain_row(layer: LayerInspection) -> Mapping[str, Any]:
    """Return a layer as one flat row of numbers and words."""
    fit, tail = layer.edge, layer.tail
    return {
        "name": layer.name,
        "kind": layer.kind,
        "n": layer.shape[0],
        "m": layer.shape[1],
        "aspect": layer.aspect,
        "g": fit.g,
        "g_error": fit.g_error,
        "edge": fit.edge,
        "edge_error": fit.edge_error,
        "spikes": fit.spikes,
        "level": fit.level,
        "fit_p_value": fit.p_value,
        "status": fit.status.name.lower(),
        "tail_exponent": tail.exponent,
        "tail_error": tail.exponent_error,
        "tail_p_value": tail.p_value,
        "noise_exponent": layer.noise_exponent,
        "spread_left": layer.spread.left,
        "spread_right": layer.spread.right,
        "spread_p_value": layer.spread.p_value,
        "energy": layer.energy,
        "stable_rank": layer.stable_rank,
        "entropy_rank": layer.entropy_rank,
        "fails": " ".join(layer.read(Reading.FAILS)),
        "advice": layer.advice.name.lower(),
        "recommended_rank": layer.recommended_rank,
        "parameters": layer.parameters,
        "saved": layer.saved,
    }
