"""When to prune a network during training, where the edge of a bulk is, and how much of the bulk stays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from rmttheory.arrays import InvalidInput, check_count, check_interval
from rmttheory.networks.bulks import FittedEdge, PublishedEdge


@dataclass(frozen=True, kw_only=True)
class Fading:
    """The share ``f(epoch) = max(0, start - epoch / span)`` of the values below the edge that are kept.

    ``Fading(span=200)`` is ``1 - epoch / 200``, as in the papers' experiments.
    """

    span: float
    start: float = 1.0

    def __post_init__(self) -> None:
        check_interval(self.span, "span", low=0.0)
        check_interval(self.start, "start", low=0.0, high=1.0, closed="both")

    def __call__(self, epoch: int) -> float:
        """Return ``f(epoch)``."""
        return max(0.0, self.start - epoch / self.span)


@dataclass(frozen=True, kw_only=True)
class PruningSchedule:
    """A plan for pruning a network while it is trained; `PruningRun` carries it out.

    At each event every chosen layer is decomposed and the edge of its bulk found; if the bulk passes for
    noise, the values above the edge and the largest of those below stay.

    Parameters
    ----------
    every : int, optional
        Prune after every so many epochs.
    epochs : tuple of int
        Prune after these as well; so ``(20,)`` prunes after the last of 20. One of both is needed.
    keep : float or callable
        Share of the values below the edge that stays, in [0, 1]; largest first, rounded down. A callable maps
        the number of epochs done to it, such as `Fading`.
    edge : FittedEdge or PublishedEdge
        Where the edge is and which bulk is taken for noise. Other layers are left alone.
    layers : tuple of int, optional
        Which layers, from 0 or, if negative, from the end; all that have a matrix if omitted.
    at_least : int
        Singular values that every layer keeps: without any, nothing would pass.
    last_at_least : int, optional
        The same for the last matrix; its number of rows if omitted, since classes need a logit each.
    factor : bool
        Store a layer as two factors once that saves parameters; see `factor_layer`.
    small : float
        Set entries of size up to this to 0, at each event, in chosen layers, whatever their bulk. Training
        may move them again.
    sparsity : float
        Set this share of the entries to 0, smallest first, likewise.
    hold : bool
        Keep what ``small`` and ``sparsity`` set to 0 at 0 until the next event.
    removes : bool
        Without, a run measures and records the same, and changes nothing: the control.

    Raises
    ------
    InvalidInput
        If a parameter is out of range.
    """

    every: int | None = None
    epochs: tuple[int, ...] = ()
    keep: float | Callable[[int], float] = 0.0
    edge: FittedEdge | PublishedEdge = field(default_factory=FittedEdge)
    layers: tuple[int, ...] | None = None
    at_least: int = 1
    last_at_least: int | None = None
    factor: bool = False
    small: float = 0.0
    sparsity: float = 0.0
    hold: bool = False
    removes: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "epochs", tuple(check_count(epoch, "epochs") for epoch in self.epochs))
        if self.every is not None:
            check_count(self.every, "every")
        elif not self.epochs:
            msg = "A schedule needs `every` or `epochs`: it would never prune."
            raise InvalidInput(msg)
        if not callable(self.keep):
            check_interval(self.keep, "keep", low=0.0, high=1.0, closed="both")
        if self.layers is not None:
            object.__setattr__(self, "layers", tuple(self.layers))
        check_count(self.at_least, "at_least", low=0)
        if self.last_at_least is not None:
            check_count(self.last_at_least, "last_at_least", low=0)
        check_interval(self.small, "small", low=0.0, closed="low")
        check_interval(self.sparsity, "sparsity", low=0.0, high=1.0, closed="both")
        if self.hold and not self.sets_zeros:
            msg = "`hold` needs `small` or `sparsity`: there are no zeros to hold."
            raise InvalidInput(msg)

    def due(self, epoch: int) -> bool:
        """Whether to prune when so many epochs are done."""
        return epoch in self.epochs or (self.every is not None and epoch > 0 and epoch % self.every == 0)

    @property
    def sets_zeros(self) -> bool:
        """Whether single entries are set to 0."""
        return self.small > 0 or self.sparsity > 0

    def share(self, epoch: int) -> float:
        """Share of the values below the edge that stays then.

        Raises
        ------
        InvalidInput
            If ``keep`` is a callable and returns anything outside [0, 1].
        """
        share = self.keep(epoch) if callable(self.keep) else self.keep
        return check_interval(share, "keep(epoch)", low=0.0, high=1.0, closed="both")

    def control(self) -> PruningSchedule:
        """Return the schedule that measures at the same epochs and removes nothing."""
        return replace(self, removes=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON; a callable ``keep`` by its text or name."""
        keep = getattr(self.keep, "__qualname__", repr(self.keep)) if callable(self.keep) else self.keep
        return asdict(replace(self, keep=0.0)) | {
            "keep": keep,
            "edge": {"rule": type(self.edge).__name__, **asdict(self.edge)},
            "epochs": list(self.epochs),
            "layers": None if self.layers is None else list(self.layers),
        }
