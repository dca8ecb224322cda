"""A `PruningSchedule` carried out: what is done to each layer at each event, and what is remembered of it.

Why a run has a memory: a bulk can be fitted once. Truncation takes the values that the fit reads, and what
training puts in their place is gradients, not noise; fitted as if it were noise it gives an edge of almost 0,
and everything stands above that. So a layer is fitted afresh only while all that was removed from it lies
below the window of the fit, which leaves out the share ``alpha`` at either end and does not look there. After
that the last edge stays: it was the noise of this layer, and cutting there again takes away what grew back
without reaching it. A layer that is stored as two factors has no more values than its rank and cannot grow
any; it can only lose those that fall below the edge. `PublishedEdge` is fitted afresh every time, as in the
published code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from rmttheory.arrays import Array, HostArray, InvalidInput, check_count, namespace, to_host
from rmttheory.networks.bulks import PublishedEdge
from rmttheory.networks.factors import Form, layer_parameters, nonzero_mask, two_layers
from rmttheory.networks.layers import Layer, Linear
from rmttheory.networks.network import Network
from rmttheory.networks.pruning import decompose, keep_largest, low_rank
from rmttheory.networks.schedules import PruningSchedule

_PASSED = "The bulk passes for noise."
_REFUSED = "The bulk is not that of noise."


@dataclass(frozen=True, kw_only=True)
class PruningEvent:
    """What was done to one layer after one epoch.

    Attributes
    ----------
    epoch, layer : int
        Epochs done, and the layer, counted as in the network at the start.
    shape : tuple of int
        Outputs and inputs of its matrix.
    action : {"none", "truncated", "factored"}
        What became of its singular values; a factored layer that is cut again is truncated.
    reason : str
        Why, in a sentence.
    edge : float or None
        On the scale of singular values; None if none was ever fitted.
    edge_epoch : int or None
        When it was fitted. If that was earlier, ``misfit`` and ``p_value`` are None.
    misfit, p_value : float or None
        Of the fit. The schedule may do without p-values.
    share : float
        Share of the values below the edge that the schedule keeps.
    above : int or None
        Values above the edge.
    rank_before, rank_after : int
        Singular values that are not 0 to rounding, before and after truncation.
    parameters_before, parameters_after : int
        As by `stored_parameters`, biases included.
    """

    epoch: int
    layer: int
    shape: tuple[int, int]
    action: Literal["none", "truncated", "factored"]
    reason: str
    edge: float | None
    edge_epoch: int | None
    misfit: float | None
    p_value: float | None
    share: float
    above: int | None
    rank_before: int
    rank_after: int
    parameters_before: int
    parameters_after: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self) | {"shape": list(self.shape)}


@dataclass
class _Memory:
    """The last edge of a layer and when it was fitted, how many values were kept, and in how many layers."""

    edge: float | None = None
    edge_epoch: int | None = None
    kept: int | None = None
    parts: int = 1


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """The edge to cut at, if any; with the fit, if there was one now."""

    edge: float | None
    edge_epoch: int | None
    accepted: bool
    reason: str
    misfit: float | None = None
    p_value: float | None = None


class PruningRun:
    """One run of a `PruningSchedule`: the ``prune=`` argument of `train`.

    Parameters
    ----------
    schedule : PruningSchedule
    always : bool
        Return the network at every event, changed or not, so that ``reset_at_pruning`` of `train` resets
        there in a control as well.
    """

    def __init__(self, schedule: PruningSchedule, *, always: bool = False) -> None:
        self.schedule, self.always = schedule, always
        self._epoch, self._memory, self._events = 0, list[_Memory](), list[PruningEvent]()

    @property
    def events(self) -> tuple[PruningEvent, ...]:
        """What was done so far, in order."""
        return tuple(self._events)

    def state(self) -> dict[str, Any]:
        """Return all that the run knows, as plain values for JSON; see `restore`."""
        return {
            "schedule": self.schedule.to_dict(),
            "epoch": self._epoch,
            "layers": [asdict(memory) for memory in self._memory],
            "events": [event.to_dict() for event in self._events],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` of a run of the same schedule returned.

        Raises
        ------
        InvalidInput
            If it is something else, or of another schedule.
        """
        try:
            schedule = dict(state["schedule"])
            epoch = check_count(state["epoch"], "epoch", low=0)
            memory = [_Memory(**layer) for layer in state["layers"]]
            events = [PruningEvent(**{**event, "shape": tuple(event["shape"])}) for event in state["events"]]
        except (TypeError, KeyError, ValueError) as error:
            msg = f"`state` must be what `PruningRun.state` returned, but {error!r} is wrong with it."
            raise InvalidInput(msg) from None
        for name, value in self.schedule.to_dict().items():
            if schedule.get(name) != value:
                msg = (
                    f"`state` is of a schedule with {name} {schedule.get(name)!r}, where this has {value!r}."
                )
                raise InvalidInput(msg)
        self._epoch, self._memory, self._events = epoch, memory, events

    def __call__(self, network: Network, epoch: int) -> Network | tuple[Network, dict[int, Array]] | None:
        """Prune ``network`` if it is time to, after ``epoch`` epochs.

        Returns
        -------
        Network, pair or None
            The pruned network, with masks of its zeros if the schedule holds them; None if nothing changed.

        Raises
        ------
        InvalidInput
            If the epoch is not later than the last one, the network is not the one of this run, or the
            schedule names a layer that is not there or has no matrix.
        """
        if check_count(epoch, "epoch") <= self._epoch:
            msg = f"Epoch {epoch} does not come after epoch {self._epoch}: take a new `PruningRun`."
            raise InvalidInput(msg)
        if not self._memory:
            self._memory = [_Memory() for _ in network.layers]
        parts = self._parts(network)
        chosen = self._chosen(parts)
        self._epoch = epoch
        if not self.schedule.due(epoch):
            return None
        last = max(index for index, part in enumerate(parts) if _form(part))
        after = {
            index: self._prune(index, form, epoch, is_last=index == last) for index, form in chosen.items()
        }
        if not self.always and all(after[index] is form for index, form in chosen.items()):
            return None
        layers: list[Layer] = []
        masks: dict[int, Array] = {}
        for index, part in enumerate(parts):
            for layer in after.get(index, part):
                if self.schedule.hold and index in after:
                    masks[len(layers)] = nonzero_mask(layer.weight)
                layers.append(layer)
        pruned = replace(network, layers=tuple(layers))
        return (pruned, masks) if masks else pruned

    def _parts(self, network: Network) -> list[tuple[Layer, ...]]:
        """Return for each layer of the network at the start what it is now."""
        sizes = [memory.parts for memory in self._memory]
        if len(network.layers) != sum(sizes):
            msg = f"This run left a network of {sum(sizes)} layers and is given one of {len(network.layers)}."
            raise InvalidInput(msg)
        ends = np.cumsum(sizes).tolist()
        return [network.layers[end - size : end] for end, size in zip(ends, sizes)]

    def _chosen(self, parts: list[tuple[Layer, ...]]) -> dict[int, Form]:
        """Return those that the schedule names."""
        depth, layers = len(parts), self.schedule.layers
        forms = {index: form for index, part in enumerate(parts) if (form := _form(part))}
        if layers is None:
            return forms
        for index in layers:
            if not -depth <= index < depth or index % depth not in forms:
                known = ", ".join(map(str, forms))
                msg = f"`layers` must name some of the layers with a matrix, {known}, not {index}."
                raise InvalidInput(msg)
        return {index: forms[index] for index in sorted({index % depth for index in layers})}

    def _prune(self, index: int, form: Form, epoch: int, *, is_last: bool) -> Form:
        plan, memory, after = self.schedule, self._memory[index], form
        n, m = shape = (form[-1].weight.shape[0], form[0].weight.shape[1])
        U, s, V = decompose(_product(form))
        values, share = to_host(s), plan.share(epoch)
        finding = self._find(memory, values, shape, epoch)
        above = None if finding.edge is None else int(np.count_nonzero(values > finding.edge))
        rank = target = _rank(values, shape)
        action: Literal["none", "truncated", "factored"] = "none"
        if above is not None and finding.accepted and plan.removes:
            wanted = above + _kept(share, len(values) - above)
            target = min(rank, max(wanted, self._least(n if is_last else None)))
            if plan.factor and len(form) == 1 and 0 < target * (n + m) < n * m:
                action, after = "factored", two_layers(form, U, s, V, target)
            elif target < rank and len(form) == 2:
                target = max(target, 1)  # two layers need something between them
                action, after = "truncated", two_layers(form, U, s, V, target)
            elif target < rank:
                action, after = "truncated", (replace(form[0], weight=low_rank(U, s, V, target)),)
        if action != "none":
            memory.kept, memory.parts = target, len(after)
        if plan.removes and plan.sets_zeros:
            after = tuple(_sparser(layer, plan.small, plan.sparsity) for layer in after)
        self._events.append(
            PruningEvent(
                epoch=epoch,
                layer=index,
                shape=shape,
                action=action,
                reason=finding.reason,
                edge=finding.edge,
                edge_epoch=finding.edge_epoch,
                misfit=finding.misfit,
                p_value=finding.p_value,
                share=share,
                above=above,
                rank_before=rank,
                rank_after=target,
                parameters_before=sum(map(layer_parameters, form)),
                parameters_after=sum(map(layer_parameters, after)),
            )
        )
        return after

    def _find(self, memory: _Memory, values: HostArray, shape: tuple[int, int], epoch: int) -> _Finding:
        """Fit the spectrum if it can be fitted, see the head of this module; otherwise take the last edge."""
        rule, p = self.schedule.edge, len(values)
        removed = 0 if memory.kept is None else p - memory.kept
        if isinstance(rule, PublishedEdge) or removed <= max(0.0, rule.alpha * p - 0.5):
            try:
                reading = rule.read(values, shape)
            except InvalidInput as error:
                why = str(error)
            else:
                if reading.accepted:
                    memory.edge, memory.edge_epoch = reading.edge, epoch
                return _Finding(
                    edge=reading.edge,
                    edge_epoch=epoch,
                    accepted=reading.accepted,
                    reason=_PASSED if reading.accepted else _REFUSED,
                    misfit=reading.misfit,
                    p_value=reading.p_value,
                )
        else:
            why = f"{removed} of {p} values were removed, and what grew back is no bulk to fit."
        if memory.edge is not None:
            why += f" The edge is that of epoch {memory.edge_epoch}."
        known = memory.edge is not None
        return _Finding(edge=memory.edge, edge_epoch=memory.edge_epoch, accepted=known, reason=why)

    def _least(self, classes: int | None) -> int:
        least, last = self.schedule.at_least, self.schedule.last_at_least
        if classes is None:
            return least
        return max(least, classes if last is None else last)


def _form(part: tuple[Layer, ...]) -> Form:
    """Return ``part`` if it has a matrix, and nothing otherwise."""
    return tuple(layer for layer in part if isinstance(layer, Linear))


def _kept(share: float, below: int) -> int:
    """Round ``share * below`` down, but for the rounding of a share near 1: 1 - 4 / 200 of 100 is 98."""
    return int(below * (share + 2 * np.finfo(np.float64).eps))


def _rank(values: HostArray, shape: tuple[int, int]) -> int:
    return int(np.count_nonzero(values > max(shape) * np.finfo(values.dtype).eps * values[0]))


def _product(form: Form) -> Array:
    return form[0].weight if len(form) == 1 else form[1].weight @ form[0].weight


def _sparser(layer: Linear, small: float, sparsity: float) -> Linear:
    W = layer.weight
    if sparsity > 0:
        W = keep_largest(W, 1 - sparsity).kept
    xp = namespace(W)
    return replace(layer, weight=xp.where(xp.abs(W) > small, W, xp.zeros_like(W)))
