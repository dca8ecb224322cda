"""Networks one layer of which is truncated at the edge of its bulk: ``W`` becomes ``W'``.

That is what the pruning algorithm does, and not the same as removing the noise ``R`` of ``W = S + R``: ``W'``
keeps the noise that lies along the spikes it keeps, turns their directions, and loses hidden spikes whole.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices.actions import sample_action
from rmttheory.matrices.noise import Noise, parse_noise
from rmttheory.matrices.spikes import bulk_edge, spike_threshold
from rmttheory.networks.losses import cross_entropy, margins
from rmttheory.networks.pruning import remove_bulk
from rmttheory.theorem.claims import drawn_by
from rmttheory.theorem.hypotheses import Hypothesis, Measurement, at_least
from rmttheory.theorem.planted import NoiseCase, Planting, plant

_SPARE = 5
"""Values drawn beyond one for each spike: that many of pure noise above its edge are rarer than 1e-9."""
_STEADY = 1.5
"""From this many thresholds on, what truncation takes from a spike scatters no more than ``u^T R v``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TruncatedCase(NoiseCase):
    """A planted network before and after its middle layer is truncated.

    Attributes
    ----------
    cell : mapping
        The parameters it was drawn with.
    planting : Planting
        All of the network but its noise.
    before, after : ndarray, shape (samples, classes)
        Logits with ``W`` and with ``W'``.
    moved : ndarray, shape (samples,)
        ``|(W - W') v_s|_inf``.
    removed_images : ndarray, shape (samples, n)
        ``R v_s``, one a row.
    """

    cell: Any
    planting: Planting
    before: HostArray
    after: HostArray
    moved: HostArray
    removed_images: HostArray

    @property
    def width(self) -> int:
        """Outputs ``n`` of the layer."""
        return len(self.planting.U)

    @property
    def noise(self) -> Noise:
        """The law of ``R``."""
        return parse_noise(self.cell["noise"])

    @property
    def v(self) -> HostArray:
        """Inputs of the layer, one a row."""
        return self.planting.v

    @property
    def labels(self) -> HostArray:
        """Class of each sample."""
        return self.planting.labels

    @property
    def lipschitz(self) -> float:
        """``L``: largest row sum of the readout."""
        return self.planting.lipschitz

    @property
    def signal_energy(self) -> float:
        """``|S|_F^2``."""
        return float(np.sum(self.planting.theta**2))

    @functools.cached_property
    def confidence(self) -> tuple[HostArray, HostArray]:
        """Classification confidence of each sample, before and after."""
        return np.asarray(margins(self.before, self.labels)), np.asarray(margins(self.after, self.labels))

    @functools.cached_property
    def accuracies(self) -> tuple[float, float]:
        """Share of samples with positive confidence, before and after."""
        before, after = (float(np.mean(confidence > 0)) for confidence in self.confidence)
        return before, after

    @property
    def loss_change(self) -> float:
        """Mean cross-entropy after minus before."""
        return cross_entropy(self.after, self.labels) - cross_entropy(self.before, self.labels)

    @functools.cached_property
    def lost_signal(self) -> HostArray:
        """``|b(S) v_s|_inf`` of each sample: what truncation takes from the signal, noise apart."""
        p = self.planting
        along = (self.v @ p.V) * lost_at_edge(p.theta, self.g)
        return np.array([np.max(np.abs(p.U @ row)) for row in along])


def lost_at_edge(theta: HostArray, g: float) -> HostArray:
    """Return ``b(theta)``, what truncation of a square layer takes from a spike along its own data path.

    ``u^T (W - W') v`` tends to ``g^2 / theta^3`` above the threshold ``sqrt(g)``, and to ``theta`` below it.

    Parameters
    ----------
    theta : ndarray
        Singular values of ``S``.
    g : float
        Entries of ``R`` have variance ``g / n``.

    Notes
    -----
    Derived here from F. Benaych-Georges and R. R. Nadakuditi, J. Multivariate Anal. 111 (2012).
    """
    threshold = spike_threshold(1.0, g)
    return np.where(theta > threshold, g * g / np.maximum(theta, threshold) ** 3, theta)


def draw_truncated(cell: Any, stream: Stream) -> TruncatedCase:
    """Draw a planted network and truncate its middle layer at ``2 sqrt(g)``, the edge of the bulk.

    Parameters
    ----------
    cell : mapping
        As for `plant`, with ``g``, ``noise`` and ``method``: without the matrix where `drawn_by` says so.
    stream : Stream

    Raises
    ------
    InvalidInput
        If there are more classes than neurons.
    """
    return truncate(plant(cell, stream), cell, stream)


def truncate(planting: Planting, cell: Any, stream: Stream) -> TruncatedCase:
    """Draw the noise of a planted network and truncate its middle layer; otherwise as `draw_truncated`."""
    draw = _without_matrix if drawn_by(cell) == "band" else _in_full
    whole, truncated, signal = draw(planting, cell, stream.child("noise"))
    moved = [float(np.max(np.abs(a - b))) for a, b in zip(whole, truncated)]
    return TruncatedCase(
        cell=cell,
        planting=planting,
        before=planting.logits(whole),
        after=planting.logits(truncated),
        moved=np.array(moved),
        removed_images=whole - signal,
    )


def _without_matrix(p: Planting, cell: Any, stream: Stream) -> tuple[HostArray, HostArray, HostArray]:
    k = min(cell["n"], len(p.theta) + _SPARE)
    action = sample_action(p.U, p.theta, p.V, p.v, g=cell["g"], k=k, stream=stream)
    return action.whole, action.truncated(bulk_edge(1.0, cell["g"])), action.signal


def _in_full(p: Planting, cell: Any, stream: Stream) -> tuple[HostArray, HostArray, HostArray]:
    S = p.S
    W = S + parse_noise(cell["noise"]).sample(S.shape, cell["g"], stream)
    kept = remove_bulk(W, edge=bulk_edge(1.0, cell["g"])).kept
    return p.v @ W.T, p.v @ kept.T, p.v @ S.T


def _clear_of_threshold(case: TruncatedCase) -> Measurement:
    """Equal spikes repel each other, so the critical window grows with their number."""
    ratios = case.planting.theta / spike_threshold(1.0, case.g)
    window = 3 * (len(ratios) / case.width) ** (1 / 3)
    clear = np.where(ratios > 1, ratios - max(1 + window, _STEADY), 1 - window - ratios)
    return at_least(
        float(np.min(clear)),
        0.0,
        "distance of theta / sqrt(g) from the nearest that is allowed: below 1 - w, or above 1 + w and 1.5, "
        "where w = 3 (r / n)^(1/3) is the critical window",
    )


CLEAR_OF_THRESHOLD = Hypothesis(
    id="clear_of_threshold",
    statement="Spikes exceed 1.5 sqrt(g) or lie below sqrt(g), outside the critical window: none can be cut "
    "or kept by chance.",
    check=_clear_of_threshold,
)
