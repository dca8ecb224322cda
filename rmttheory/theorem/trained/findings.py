"""What the examination of a trained network finds, as values."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray
from rmttheory.matrices import EdgeEstimate
from rmttheory.theorem.hypotheses import Checked
from rmttheory.theorem.trained.layer import ratio
from rmttheory.theorem.verdicts import Verdict

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, kw_only=True, eq=False)
class Removal:
    """What removing the bulk of one layer, or of all, does to the network on test samples.

    Attributes
    ----------
    certified : array, shape (samples,)
        Radius ``eta_s`` that no logit can move beyond: ``L |R v_s|_inf``, added up over the layers.
    realised : array, shape (samples,)
        Largest change of a logit.
    confidences : array, shape (samples,)
        ``X_C - max_{j != C} X_j`` before.
    flips : int
        Samples whose predicted class changes.
    accuracy, cross_entropy : tuple of float
        Before and after.
    parameters : tuple of int
        Weights before, and after with each truncated layer stored as it takes fewest numbers.
    """

    certified: HostArray
    realised: HostArray
    confidences: HostArray
    flips: int
    accuracy: tuple[float, float]
    cross_entropy: tuple[float, float]
    parameters: tuple[int, int]

    @cached_property
    def kappa(self) -> HostArray:
        """``2 eta_s / |confidence|``: a label is certified where it is below 1, at any scale."""
        return ratio(2 * self.certified, np.abs(self.confidences))

    @cached_property
    def tight_kappa(self) -> HostArray:
        """`kappa` with the realised change in place of the certified one."""
        return ratio(2 * self.realised, np.abs(self.confidences))

    @property
    def certified_share(self) -> float:
        """Share of samples whose ``kappa`` is below 1."""
        return float(np.mean(self.kappa < 1))

    @property
    def tight_share(self) -> float:
        """Share of samples whose ``tight_kappa`` is below 1."""
        return float(np.mean(self.tight_kappa < 1))

    @property
    def tightness(self) -> float:
        """Median of realised over certified change; 0 where nothing is removed."""
        return float(np.median(ratio(self.realised, self.certified)))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with quantiles in place of samples."""
        before_after = ("accuracy", "cross_entropy", "parameters")
        return {
            "samples": len(self.certified),
            "flips": self.flips,
            **{name: list(getattr(self, name)) for name in before_after},
            "certified_share": self.certified_share,
            "tight_share": self.tight_share,
            "tightness": self.tightness,
            "quantiles": list(QUANTILES),
            **{
                name: np.quantile(getattr(self, name), QUANTILES).tolist()
                for name in ("certified", "realised", "kappa", "tight_kappa")
            },
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class LayerExamination:
    """One layer of a trained network under the hypotheses and the conclusion of the theorem.

    Attributes
    ----------
    index : int
    shape : tuple of int
        Outputs and inputs, ``(n, m)``.
    singular_values : array
        Descending, on the host.
    edge : EdgeEstimate
    rank : int
        Singular values kept: those above the edge, and in the last layer no fewer than there are classes.
    removed_energy : float
        Share of ``|W|_F^2`` that is removed.
    hypotheses : tuple of Checked
    removal : Removal
        Of the bulk of this layer alone.
    """

    index: int
    shape: tuple[int, int]
    singular_values: HostArray
    edge: EdgeEstimate
    rank: int
    removed_energy: float
    hypotheses: tuple[Checked, ...]
    removal: Removal

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "index": self.index,
            "shape": list(self.shape),
            "singular_values": self.singular_values.tolist(),
            "edge": self.edge.to_dict(),
            "rank": self.rank,
            "removed_energy": self.removed_energy,
            "hypotheses": [finding.to_dict() for finding in self.hypotheses],
            "removal": self.removal.to_dict(),
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """A trained network, layer by layer and with the bulk of all layers removed.

    Attributes
    ----------
    layers : tuple of LayerExamination
    together : Removal
        Of the bulk of all layers, first to last; certified by the sum of radii along the way.
    verdicts : tuple of Verdict
        On `margin_stability` and `finite_confidence`, for each layer from which something is removed.
    data : str
    samples : int
        Test samples.
    sizes : tuple of int
        Widths of the network, from inputs to logits.
    level : float
        Of each random predicate.
    """

    layers: tuple[LayerExamination, ...]
    together: Removal
    verdicts: tuple[Verdict, ...]
    data: str
    samples: int
    sizes: tuple[int, ...]
    level: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "data": self.data,
            "samples": self.samples,
            "sizes": list(self.sizes),
            "level": self.level,
            "layers": [layer.to_dict() for layer in self.layers],
            "together": self.together.to_dict(),
            "verdicts": [verdict.to_dict() for verdict in self.verdicts],
        }
