"""Pruning a weight file: matrices are cut at the edge of their bulk, shrunk or masked; the rest stays."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, RmtError, check_choice, check_interval
from rmttheory.matrices.spikes import shrink
from rmttheory.matrices.triplets import Decomposition
from rmttheory.networks.budgets import Curve, share_out
from rmttheory.networks.pruning import keep_largest
from rmttheory.networks.weights import Layer, Weights
from rmttheory.networks.weights._dtypes import decode, encode
from rmttheory.networks.weights._storage import Inflated, Region
from rmttheory.networks.weights.factored import can_be_factored, write_factored
from rmttheory.studies.inspected import Advice
from rmttheory.studies.inspecting import advise, clause, find_weights, no_layer
from rmttheory.studies.layer_tables import Skipped
from rmttheory.studies.pool import one_blas_thread
from rmttheory.studies.pruned import PrunedLayer, Pruning
from rmttheory.studies.runner import Watcher
from rmttheory.theorem.trained.single import LoneMatrix

METHODS = ("edge", "shrink", "mask")
_POINTS = 1000
"""Sizes of a mask that a budget chooses from."""
_WHY = {
    Advice.NO_BULK: "its bulk is no noise",
    Advice.NO_SPIKE: "all of it passes for noise",
    Advice.NO_GAIN: "factors would take more",
}


def prune(
    source: Any,
    out: str | Path | None = None,
    *,
    method: str = "edge",
    layers: str = "*",
    budget: float | None = None,
    factor: bool = False,
    watcher: Watcher | None = None,
) -> Pruning:
    """Prune the matrices of a model, and write a copy of its file.

    Without a budget a matrix is pruned if `inspect` says that it speaks for it: its bulk passes for noise,
    spikes stand out, and two factors of that rank take fewer numbers. Others stay as they are. The copy keeps
    format, names, kinds of numbers and every byte of what is not pruned, and appears whole or not at all. One
    matrix is in memory at a time.

    Parameters
    ----------
    source : path, torch.nn.Module, array, mapping of names to arrays, or Weights
        What `inspect` takes; to write a copy, a file.
    out : path, optional
        The copy, which must not be there yet; nothing is written if omitted.
    method : {"edge", "shrink", "mask"}
        Keep the singular values above the fitted edge; these, shrunk to estimate the signal best by Frobenius
        norm; or the largest entries, as many as two factors of that rank would take.
    layers : str
        Only layers whose name matches this pattern.
    budget : float, optional
        Share of the entries of these layers that may be kept, in (0, 1), whatever their bulk. It is spent
        where it keeps most: of all singular values (entries, for a mask), relative to the norm of their
        matrix, those go first that lose least energy for each number saved; see `share_out`.
    factor : bool
        Store pruned matrices as two factors, in safetensors and ``.npz`` files; see
        `rmttheory.networks.weights.factored` for their names. Only dense layers that are stored outputs first
        can be; others stay as they are.
    watcher : Watcher, optional
        Told of every layer that is done.

    Returns
    -------
    Pruning

    Raises
    ------
    InvalidInput
        If the source cannot be opened or holds no such matrix, a parameter is out of range, or ``out`` is
        there already, has no folder or cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> noise = rng.standard_normal((200, 100)) / 200**0.5
    >>> spike = 4 * np.outer(np.ones(200) / 200**0.5, np.ones(100) / 10)
    >>> prune({"layer": noise + spike})["layer"].rank
    1
    """
    check_choice(method, "method", METHODS)
    if budget is not None:
        check_interval(budget, "budget", low=0.0, high=1.0)
    if factor and method == "mask":
        msg = "A mask has no two factors: leave out `factor`, or choose another method."
        raise InvalidInput(msg)
    weights, watcher = find_weights(source), watcher or Watcher()
    target = _target(weights, out)
    chosen = [layer for layer in weights.layers if fnmatchcase(layer.name, layers)]
    if not chosen:
        raise InvalidInput(no_layer(weights, layers))
    tied = _tied(chosen)
    seen: list[Judged] = []
    skipped: list[Skipped] = []
    with one_blas_thread():
        watcher.start(len(chosen))
        for layer in chosen:
            if layer.name in tied:
                seen.append(Judged.whole(layer, f"shares its numbers with {tied[layer.name]}"))
            elif factor and not can_be_factored(weights, layer):
                seen.append(Judged.whole(layer, "no dense layer, or stored inputs first"))
            else:
                try:
                    seen.append(judge(layer, method))
                except (RmtError, np.linalg.LinAlgError) as error:
                    skipped.append(Skipped(name=layer.name, reason=clause(error)))
                    seen.append(Judged.whole(layer, "it cannot be judged"))
            watcher.step()
        if budget is not None:
            spend(seen, budget)
        unjudged = {one.name for one in skipped}
        results = {one.layer.name: _untouched(one) for one in seen if one.layer.name not in unjudged}
        pruned = {one.layer.name: one for one in seen if one.size is not None}
        watcher.start(len(pruned))

        def factors(layer: Layer) -> tuple[HostArray, HostArray]:
            second, first = factors_of(layer.read(), pruned[layer.name], method)
            results[layer.name] = _result(pruned[layer.name], second @ first, "factors")
            watcher.step()
            return first, second

        def whole(layer: Layer) -> HostArray:
            one, W = pruned[layer.name], layer.read()
            new = _masked(W, one) if method == "mask" else np.matmul(*factors_of(W, one, method))
            results[layer.name] = _result(one, new, "zeros" if method == "mask" else "whole")
            watcher.step()
            return new

        if target and factor:
            write_factored(weights, target, {name: one.kept for name, one in pruned.items()}, factors)
        elif target:
            weights.write(target, ((layer, whole(layer)) for layer in chosen if layer.name in pruned))
        else:
            for one in pruned.values():
                _ = factors(one.layer) if factor else whole(one.layer)
    return Pruning(
        source=weights.source,
        format=weights.format,
        method=method,
        out=str(target) if target else None,
        layers=tuple(results[layer.name] for layer in chosen if layer.name in results),
        skipped=tuple(skipped),
    )


@dataclass
class Judged:
    """A matrix, the sizes that it can be cut to, and the one that is chosen.

    ``sizes`` are ranks, or numbers of entries for a mask, at the points of ``curve`` after the first, which
    is the whole of it.
    """

    layer: Layer
    curve: Curve
    sizes: HostArray
    size: int | None
    reason: str
    g: float = 1.0
    spikes: int = 0

    @classmethod
    def whole(cls, layer: Layer, reason: str) -> Judged:
        """Return a matrix that stays as it is."""
        full = np.array([float(layer.shape[0] * layer.shape[1])])
        return cls(layer, Curve(full, np.zeros(1)), np.zeros(0, int), None, reason)

    @property
    def kept(self) -> int:
        """The size that was chosen, where one was."""
        assert self.size is not None
        return self.size


def judge(layer: Layer, method: str) -> Judged:
    """Fit the bulk of a matrix and list the sizes that it can have."""
    matrix = layer.read()
    lone = LoneMatrix.of(matrix)
    (n, m), s, fit = layer.shape, lone.values, lone.estimate
    advice = advise(lone)
    size, reason = (fit.spikes, "its bulk passes for noise") if advice is Advice.CUT else (None, _WHY[advice])
    if method == "mask":
        squares = np.sort(np.square(matrix, dtype=np.float64), axis=None)
        sizes = np.unique(np.linspace(1, n * m - 1, _POINTS).astype(int))[::-1]
        lost = np.concatenate([[0.0], np.cumsum(squares)])[n * m - sizes]
        size = None if size is None else size * (n + m)
        curve = _curve(n * m, sizes, lost, squares.sum())
        return Judged(layer, curve, sizes, size, reason, fit.g, fit.spikes)
    most = min(len(s), (n * m - 1) // (n + m))
    if method == "shrink":
        most = min(most, int(np.count_nonzero(shrink(s, m / n, fit.g))))
    ranks = np.arange(most, 0, -1)
    lost = np.concatenate([np.cumsum(s[::-1] ** 2)[::-1], [0.0]])[ranks]
    curve = _curve(n * m, ranks * (n + m), lost, np.sum(s**2))
    return Judged(layer, curve, ranks, size, reason, fit.g, fit.spikes)


def _curve(full: int, costs: HostArray, lost: HostArray, energy: float) -> Curve:
    return Curve(np.concatenate([[full], costs]).astype(float), np.concatenate([[0.0], lost / energy]))


def spend(seen: list[Judged], budget: float) -> None:
    """Choose sizes anew, so that all matrices together keep a share of their entries."""
    total = sum(one.curve.costs[0] for one in seen)
    for one, point in zip(seen, share_out([one.curve for one in seen], budget * total)):
        one.size = None if point == 0 else int(one.sizes[point - 1])
        if len(one.sizes):
            one.reason = "the budget" if point else "the budget leaves it whole"


def factors_of(matrix: HostArray, one: Judged, method: str) -> tuple[HostArray, HostArray]:
    """Return what is kept as a product, outputs by rank and rank by inputs, with the values shared evenly."""
    W = matrix.astype(np.float64)
    found = Decomposition(W)
    chosen = np.arange(one.kept)
    left, right = found.triplets(chosen)
    values = found.values[chosen]
    kept = shrink(values, W.shape[1] / W.shape[0], one.g) if method == "shrink" else values
    root = np.sqrt(kept)
    return left * root, root[:, None] * right.T


def _masked(matrix: HostArray, one: Judged) -> HostArray:
    kept: HostArray = keep_largest(matrix, one.kept / matrix.size).kept
    return kept


def _untouched(one: Judged) -> PrunedLayer:
    n, m = one.layer.shape
    return PrunedLayer(
        name=one.layer.name, kind=one.layer.kind, shape=(n, m), rank=min(n, m), numbers=n * m,
        energy=1.0, change=0.0, stored="unchanged", reason=one.reason,
    )  # fmt: skip


def _result(one: Judged, new: HostArray, stored: Literal["whole", "factors", "zeros"]) -> PrunedLayer:
    """Compare a matrix with what is stored of it."""
    layer, old = one.layer, one.layer.read().astype(np.float64)
    kept = decode(encode(new, layer.tensor.dtype), layer.tensor.dtype).astype(np.float64)
    norm = np.linalg.norm(old)
    return PrunedLayer(
        name=layer.name,
        kind=layer.kind,
        shape=layer.shape,
        rank=None if stored == "zeros" else one.kept,
        numbers=one.kept if stored == "zeros" else one.kept * sum(layer.shape),
        energy=float((np.linalg.norm(kept) / norm) ** 2),
        change=float(np.linalg.norm(kept - old) / norm),
        stored=stored,
        reason=one.reason,
    )


def _tied(layers: list[Layer]) -> dict[str, str]:
    """Return for each layer whose numbers are, in part, those of an earlier tensor the name of that."""
    spans: dict[tuple[str, str], list[tuple[int, int, str]]] = {}
    tied = {}
    for layer in layers:
        storage = layer.tensor.storage
        if not isinstance(storage, (Region, Inflated)):
            continue
        steps = storage.strides or (0,) * len(storage.shape)
        reach = sum((size - 1) * step for size, step in zip(storage.shape, steps)) + 1
        count = layer.tensor.size if storage.strides is None else reach
        size = np.dtype(storage.code).itemsize
        begin = (storage.start if isinstance(storage, Region) else storage.within) + storage.offset * size
        end, name = begin + count * size, layer.tensor.name
        there = spans.setdefault((storage.path, storage.member), [])
        other = next((who for a, b, who in there if a < end and begin < b and who != name), None)
        if other:
            tied[layer.name] = other
        there.append((begin, end, name))
    return tied


def _target(weights: Weights, out: str | Path | None) -> Path | None:
    if out is None:
        return None
    target = Path(out).expanduser()
    if not weights.files:
        msg = f"{weights.source} is no file, so there is none to copy: leave out `out`, or save it first."
        raise InvalidInput(msg)
    if target.exists():
        msg = f"{target} is there already: name a file that is not, or remove it."
        raise InvalidInput(msg)
    if not target.parent.is_dir():
        msg = f"There is no folder {target.parent} to write {target.name} in: make it, or name another one."
        raise InvalidInput(msg)
    return target
