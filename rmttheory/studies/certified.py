"""What a certificate with data says: of each layer and sample, and of layers one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, check_interval
from rmttheory.networks import Network
from rmttheory.studies import inspection_rows as words
from rmttheory.studies.layer_tables import LayerSummary, Skipped
from rmttheory.studies.style import number
from rmttheory.theorem.intervals import labels_that_stay

SCHEMA = 1
HEADINGS = (
    ("layer", "n x m"),
    ("rank", "saves"),
    ("certified", "open"),
    ("labels change", "refuted"),
    ("bound over change", "median"),
    ("", ""),
)
STEP_HEADINGS = ("cut together", "numbers", "certified", "certified and right")
READING = (
    "Certified: samples whose label provably stays, whatever share of the bulk is removed; labels change: "
    "samples whose label did change when the model was run without the bulk; open: neither."
)


@dataclass(frozen=True, kw_only=True, eq=False)
class CertifiedLayer:
    """Removing the bulk of one layer, for every sample.

    Attributes
    ----------
    name : str
    shape : tuple of int
        ``(n, m)``.
    rank : int
        What is kept.
    certified : ndarray of bool, shape (samples,)
        Whether the label provably stays.
    changed : ndarray of bool, shape (samples,)
        Whether it changed when the model was run so: removal is refuted.
    bound, realised : ndarray, shape (samples,), or None
        Most that the logit of the label loses on another, proved and seen; None where nothing is proved.
    reason : str
        Why nothing is proved, as a clause; empty otherwise.
    """

    name: str
    shape: tuple[int, int]
    rank: int
    certified: HostArray
    changed: HostArray
    bound: HostArray | None
    realised: HostArray | None
    reason: str

    @property
    def numbers(self) -> int:
        """What two factors of this rank take, if that is less than the matrix."""
        n, m = self.shape
        return min(n * m, self.rank * (n + m))

    @property
    def saved(self) -> int:
        """Numbers that need not be kept."""
        return self.shape[0] * self.shape[1] - self.numbers

    @property
    def tightness(self) -> float | None:
        """Median over samples of the bound over the change that was seen, where there was one."""
        if self.bound is None or self.realised is None or not np.any(self.realised > 0):
            return None
        seen = self.realised > 0
        return float(np.median(self.bound[seen] / self.realised[seen]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            "shape": list(self.shape),
            "rank": self.rank,
            "saved": self.saved,
            "certified": float(np.mean(self.certified)),
            "changed": float(np.mean(self.changed)),
            "open": float(np.mean(~self.certified & ~self.changed)),
            "tightness": self.tightness,
            "reason": self.reason,
            "verdicts": np.where(
                self.certified, "certified", np.where(self.changed, "refuted", "open")
            ).tolist(),
        }


@dataclass(frozen=True, kw_only=True)
class Step:
    """Layers that are cut together.

    Attributes
    ----------
    layers : tuple of str
        In the order in which they were added.
    numbers : int
        What all matrices take then.
    certified : float
        Share of samples whose label provably stays.
    accuracy : float or None
        Share of those that are certified and right, of all; None without labels.
    """

    layers: tuple[str, ...]
    numbers: int
    certified: float
    accuracy: float | None

    @property
    def cells(self) -> tuple[str, ...]:
        """The step in words, as `STEP_HEADINGS`."""
        right = "-" if self.accuracy is None else words.percent(self.accuracy)
        return ", ".join(self.layers) or "none", f"{self.numbers:,}", words.percent(self.certified), right


@dataclass(frozen=True, kw_only=True, eq=False)
class Certificate(LayerSummary[CertifiedLayer]):
    """What removing the bulk of each layer does to the labels of samples.

    Attributes
    ----------
    source : str
    predicted : ndarray of int, shape (samples,)
        The model's labels before.
    labels : ndarray of int or None
        The right ones, if they were given.
    layers : tuple of CertifiedLayer
    skipped : tuple of Skipped
        Layers that are not cut, and why.
    """

    done = "cut"
    headings = HEADINGS
    reading = READING

    source: str
    predicted: HostArray
    labels: HostArray | None
    layers: tuple[CertifiedLayer, ...]
    skipped: tuple[Skipped, ...]
    tail: Network | None
    inputs: HostArray
    removed: Mapping[str, HostArray]
    places: Mapping[str, int]
    unit: float

    @property
    def accuracy(self) -> float | None:
        """Share of samples that the model labels right; None without labels."""
        return None if self.labels is None else float(np.mean(self.predicted == self.labels))

    def together(self, *names: str) -> HostArray:
        """Return whose label provably stays if the bulks of these layers are all removed, shape (samples,).

        Raises
        ------
        InvalidInput
            If a layer was not cut or nothing can be proved of it.
        """
        for name in names:
            if self[name].bound is None:
                msg = f"Nothing can be proved of layer {name!r}: {self[name].reason}."
                raise InvalidInput(msg)
        if not names:
            return np.ones(len(self.predicted), bool)
        assert self.tail is not None
        removed = {self.places[name]: self.removed[name] for name in names}
        bounds, stay = labels_that_stay(self.tail, self.inputs, removed, unit=self.unit)
        together: HostArray = stay & (bounds.labels == self.predicted)
        return together

    def order(self, budget: float = 0.0) -> tuple[Step, ...]:
        """Cut layer after layer, each time the one that costs the fewest certified samples for what it saves.

        Parameters
        ----------
        budget : float
            Share of the numbers of all layers that could be cut at which to stop, in [0, 1); 0 cuts all.

        Returns
        -------
        tuple of Step
            None cut, then one more in every step.
        """
        check_interval(budget, "budget", low=0.0, high=1.0, closed="low")
        left = [layer for layer in self.layers if layer.bound is not None]
        total = numbers = sum(layer.shape[0] * layer.shape[1] for layer in left)
        chosen: tuple[str, ...] = ()
        steps = [self._step(chosen, numbers, self.together())]
        while left and numbers > budget * total:
            trials = {layer.name: self.together(*chosen, layer.name) for layer in left}
            here = steps[-1].certified

            def cost(layer: CertifiedLayer, here: float = here, trials: Any = trials) -> tuple[float, int]:
                return (here - float(np.mean(trials[layer.name]))) / max(1, layer.saved), -layer.saved

            best = min(left, key=cost)
            left.remove(best)
            chosen, numbers = (*chosen, best.name), numbers - best.saved
            steps.append(self._step(chosen, numbers, trials[best.name]))
        return tuple(steps)

    def _step(self, chosen: tuple[str, ...], numbers: int, certified: HostArray) -> Step:
        right = None if self.labels is None else float(np.mean(certified & (self.predicted == self.labels)))
        return Step(layers=chosen, numbers=numbers, certified=float(np.mean(certified)), accuracy=right)

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        proved = [layer for layer in self.layers if layer.bound is not None]
        if not self.layers:
            return f"Of {len(self.predicted):,} samples nothing is said: no layer is cut."
        shares = ", ".join(
            f"{words.percent(float(np.mean(layer.certified)))} for {layer.name}" for layer in proved
        )
        text = f"Of {len(self.predicted):,} samples labels provably stay for " + (shares or "none")
        return text.replace("stay for none", "stay in none") + "."

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "schema": SCHEMA,
            "source": self.source,
            "samples": len(self.predicted),
            "accuracy": self.accuracy,
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
        rows = [layer.to_dict() for layer in self.layers]
        return words.frame([{key: row[key] for key in row if key != "verdicts"} for row in rows])

    @property
    def rows(self) -> list[words.Row]:
        """The table, in words."""
        return [_row(layer) for layer in self.layers]


def _row(layer: CertifiedLayer) -> words.Row:
    n, m = layer.shape
    undecided = float(np.mean(~layer.certified & ~layer.changed))
    proved = layer.bound is not None
    tight = layer.tightness
    return words.Row(
        (
            (layer.name, f"{n:,} x {m:,}"),
            (f"{layer.rank:,}", words.percent(layer.saved / (n * m))),
            (words.percent(float(np.mean(layer.certified))) if proved else "-", words.percent(undecided)),
            (f"{int(layer.changed.sum()):,}", words.percent(float(np.mean(layer.changed)))),
            ("-" if tight is None else number(tight, 2), ""),
            (layer.reason, ""),
        )
    )
