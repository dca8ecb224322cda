"""Every matrix of a weight file, a module or a set of arrays, one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import (
    Array,
    HostArray,
    InvalidInput,
    Placement,
    RmtError,
    check_count,
    check_matrix,
    find_placement,
    to_host,
)
from rmttheory.matrices import EdgeStatus, entropy_rank, fit_tail, noise_exponent, stable_rank
from rmttheory.matrices.krylov import is_array
from rmttheory.networks.weights import Layer, Weights, open_weights
from rmttheory.networks.weights.tensors import Tensor, by_name, tensor
from rmttheory.studies.inspected import Advice, Inspection, LayerInspection
from rmttheory.studies.layer_tables import Skipped
from rmttheory.studies.pool import Task, compute, one_blas_thread
from rmttheory.studies.runner import Watcher
from rmttheory.theorem.trained.single import LEVEL, LoneMatrix, examine_matrix


def inspect(
    source: Any, *, layers: str = "*", jobs: int = 1, device: str = "cpu", watcher: Watcher | None = None
) -> Inspection:
    """Look at every matrix of a model: which are signal and noise, and what could be removed.

    One layer is in memory at a time, and nothing that a file holds is executed.

    Parameters
    ----------
    source : path, torch.nn.Module, array, mapping of names to arrays, or Weights
        What `open_weights` opens; a mapping is taken as a file with these tensors.
    layers : str
        Only layers whose name matches this pattern, such as ``*attention*``.
    jobs : int
        Processes. With more than one, a script needs ``if __name__ == "__main__":``.
    device : {"cpu", "cuda"}
        Where matrices are decomposed.
    watcher : Watcher, optional
        Told of every layer that is done.

    Returns
    -------
    Inspection

    Raises
    ------
    InvalidInput
        If the source cannot be opened, holds no matrix, or none whose name matches.
    Unavailable
        If ``device`` is a GPU that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).standard_normal((60, 40))
    >>> found = inspect({"noise": noise})
    >>> found["noise"].edge.spikes
    0
    """
    check_count(jobs, "jobs")
    placement = find_placement(device)
    weights, watcher = find_weights(source), watcher or Watcher()
    chosen = [layer for layer in weights.layers if fnmatchcase(layer.name, layers)]
    if not chosen:
        raise InvalidInput(no_layer(weights, layers))
    tasks: list[Task] = [(_inspect_layer, (layer, placement)) for layer in chosen]
    found: list[LayerInspection | Skipped | None] = [None] * len(tasks)
    watcher.start(len(tasks))
    for index, result in _results(tasks, jobs, watcher):
        found[index] = result
        watcher.step()
    others = [
        Skipped(name=name, reason=reason)
        for name, reason in weights.skipped.items()
        if fnmatchcase(name, layers)
    ]
    return Inspection(
        source=weights.source,
        format=weights.format,
        layers=tuple(one for one in found if isinstance(one, LayerInspection)),
        skipped=(*(one for one in found if isinstance(one, Skipped)), *others),
    )


def inspect_layer(W: Array, *, name: str = "W", device: str = "cpu") -> LayerInspection:
    """Look at one matrix: where its bulk ends, whether it is noise, and what stands out of it.

    Parameters
    ----------
    W : array, shape (n, m)
        Outputs by inputs, on any device.
    name : str
        What to call it.
    device : {"cpu", "cuda"}
        Where it is decomposed.

    Raises
    ------
    InvalidInput
        If it is no finite matrix, has fewer than 16 rows or columns, is constant, or is not of full rank.
    Unavailable
        If ``device`` is a GPU that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> layer = inspect_layer(np.random.default_rng(0).standard_normal((60, 40)))
    >>> layer.edge.spikes, layer.advice.name
    (0, 'NO_SPIKE')
    """
    check_matrix(W, "W")
    placement, choice = find_placement(device), "as it is, rows taken for outputs"
    try:
        with one_blas_thread():
            return _look(_precise(to_host(W)), name, "array", choice, placement)
    except InvalidInput as error:
        msg = f"`W` has no bulk to inspect: {clause(error)}."
        raise InvalidInput(msg) from None


def _results(tasks: list[Task], jobs: int, watcher: Watcher) -> Iterator[tuple[int, Any]]:
    if jobs > 1:
        yield from compute(tasks, workers=jobs, note=watcher.note)
        return
    with one_blas_thread():  # once: it takes as long as a small layer
        for index, (function, arguments) in enumerate(tasks):
            yield index, function(*arguments)


def _inspect_layer(layer: Layer, placement: Placement) -> LayerInspection | Skipped:
    try:
        return _look(layer.read(), layer.name, layer.kind, layer.choice, placement)
    except (RmtError, np.linalg.LinAlgError) as error:
        return Skipped(name=layer.name, reason=clause(error))
    except MemoryError:
        return Skipped(name=layer.name, reason="it does not fit into memory")


def _look(matrix: HostArray, name: str, kind: str, choice: str, placement: Placement) -> LayerInspection:
    layer = LoneMatrix.of(matrix, placement)
    values, fit = layer.values, layer.estimate
    energy = float(np.sum((values[: fit.spikes] / values[0]) ** 2) / np.sum((values / values[0]) ** 2))
    return LayerInspection(
        name=name,
        kind=kind,
        choice=choice,
        shape=layer.shape,
        values=values,
        edge=fit,
        tail=fit_tail(values),
        noise_exponent=noise_exponent((max(layer.shape), min(layer.shape))),
        spread=layer.spread,
        energy=energy,
        stable_rank=stable_rank(values),
        entropy_rank=entropy_rank(values),
        hypotheses=examine_matrix(layer),
        advice=advise(layer),
    )


def advise(layer: LoneMatrix) -> Advice:
    """Say what a matrix speaks for."""
    fit, (n, m) = layer.estimate, layer.shape
    if fit.p_value <= LEVEL or fit.status is EdgeStatus.CROWDED:
        return Advice.NO_BULK
    if fit.spikes == 0:
        return Advice.NO_SPIKE
    return Advice.CUT if fit.spikes * (n + m) < n * m else Advice.NO_GAIN


@dataclass(frozen=True)
class _Held:
    """Numbers of a tensor that are in memory already."""

    numbers: HostArray

    def raw(self) -> HostArray:
        return self.numbers


def find_weights(source: Any) -> Weights:
    """Return what `inspect` is given as a catalogue of tensors.

    Raises
    ------
    InvalidInput
    """
    if isinstance(source, Weights):
        return source
    if isinstance(source, (str, Path)) or hasattr(source, "state_dict"):
        return open_weights(source)
    if is_array(source):
        source = {"W": source}
    if not isinstance(source, Mapping) or not all(map(is_array, source.values())):
        msg = (
            "`source` must be a path, a torch.nn.Module, an array or a mapping of names to arrays, not "
            f"{type(source).__name__}."
        )
        raise InvalidInput(msg)
    tensors = [_tensor(str(name), values) for name, values in source.items()]
    return Weights(source="arrays", format="arrays", tensors=by_name(tensors))


def _tensor(name: str, values: Array) -> Tensor:
    numbers = to_host(values)
    dtype = numbers.dtype.name
    if dtype == "longdouble" or dtype == "float128":
        numbers, dtype = numbers.astype(np.float64), "float64"
    return tensor(name, numbers.shape, dtype, nbytes=numbers.nbytes, where="memory", storage=_Held(numbers))


def _precise(matrix: HostArray) -> HostArray:
    return matrix if matrix.dtype in (np.float32, np.float64) else matrix.astype(np.float32)


def no_layer(weights: Weights, layers: str) -> str:
    """Say why no layer was chosen."""
    if not weights.layers:
        why = "; ".join(f"{name!r}: {reason}" for name, reason in list(weights.skipped.items())[:3])
        return f"{weights.source} holds no matrix to inspect{f' ({why})' if why else ''}."
    names = ", ".join(repr(layer.name) for layer in weights.layers[:3])
    count = len(weights.layers)
    return f"`layers` {layers!r} matches none of the {count} layers of {weights.source}: {names}, ..."


def clause(error: BaseException) -> str:
    """Make the sentence of an error one clause, to stand after a name."""
    return str(error).rstrip(".").replace(". ", "; ")
