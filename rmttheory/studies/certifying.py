"""Certificates with data: what removing the bulk of each layer does to the labels of given samples."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HOST, HostArray, InvalidInput, RmtError, check_interval, to_host
from rmttheory.networks import Network, load_dataset
from rmttheory.networks.files import read_npz
from rmttheory.networks.layers import Dense
from rmttheory.networks.weights._dtypes import decode, encode
from rmttheory.studies.certified import Certificate, CertifiedLayer
from rmttheory.studies.inspecting import clause, no_layer
from rmttheory.studies.layer_tables import Skipped
from rmttheory.studies.pool import one_blas_thread
from rmttheory.studies.runner import Watcher
from rmttheory.studies.running import Tail, find_model
from rmttheory.studies.weight_pruning import Judged, factors_of, judge, spend
from rmttheory.theorem.intervals import labels_that_stay

_UNITS = {"float64": 2.0**-53, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
_CLOSE = 1e-3
"""Largest relative difference of what a tail and its model compute, in single precision, to be the same."""


def certify(
    model: Any,
    inputs: Any,
    labels: Any = None,
    *,
    layers: str = "*",
    everywhere: bool = False,
    budget: float | None = None,
    watcher: Watcher | None = None,
) -> Certificate:
    """Say for every sample and layer whether removing the bulk of the layer can change the label.

    A label is *certified* if it provably stays, whatever share of the bulk is removed; *refuted* if it did
    change when the model was run without the bulk; *open* otherwise. What is proved takes the layers behind
    to be dense ones, convolutions, normalisations, ReLU, pooling or dropout, one after the other; of layers
    before anything else only what was seen is said. Rounding of the model's arithmetic is allowed for.

    Parameters
    ----------
    model : Network, torch.nn.Module or path
        A path names a network that `Network.save` wrote, or an ONNX file, which onnxruntime runs.
    inputs : array, shape (samples, ...)
        As the model takes them.
    labels : array of int, shape (samples,), optional
        The right ones, for the accuracy.
    layers : str
        Only layers whose name matches this pattern.
    everywhere : bool
        Cut every layer at the edge of its bulk. Otherwise those of which `inspect` says so.
    budget : float, optional
        Cut instead as `prune` does with this budget, a share of the entries in (0, 1).
    watcher : Watcher, optional
        Told of every layer that is done.

    Returns
    -------
    Certificate

    Raises
    ------
    InvalidInput
        If the model cannot be run on the inputs, or no layer matches.
    Unavailable
        If the model needs a package that is not installed.

    Examples
    --------
    >>> import rmttheory as rt
    >>> data = rt.load_dataset("fashion-mnist-3000")
    >>> found = rt.certify(network, data.test_x, data.test_y)  # doctest: +SKIP
    >>> found["layers.0.weight"].certified.mean()  # doctest: +SKIP
    """
    runnable, watcher = find_model(model), watcher or Watcher()
    if budget is not None:
        check_interval(budget, "budget", low=0.0, high=1.0)
    x = to_host(inputs) if hasattr(inputs, "__array_namespace__") else np.asarray(inputs)
    right = None if labels is None else np.asarray(labels)
    if x.ndim < 2 or len(x) == 0 or (right is not None and right.shape != (len(x),)):
        msg = "`inputs` must hold a sample a row, at least one, and `labels` a whole number for each."
        raise InvalidInput(msg)
    chosen = [layer for layer in runnable.weights.layers if fnmatchcase(layer.name, layers)]
    if not chosen:
        raise InvalidInput(no_layer(runnable.weights, layers))
    with one_blas_thread():
        watcher.start(len(chosen))
        outputs = runnable.run(x, {})
        if outputs.ndim != 2 or len(outputs) != len(x) or not np.isfinite(outputs).all():
            msg = (
                f"The model must give a finite number for each sample and class, not an array of shape "
                f"{outputs.shape} for {len(x)} samples{'' if np.isfinite(outputs).all() else ' with NaN'}."
            )
            raise InvalidInput(msg)
        predicted = np.argmax(outputs, axis=1)
        tail = _checked(runnable.tail(x), outputs)
        unit = max(_UNITS.get(layer.tensor.dtype, 2.0**-24) for layer in runnable.weights.layers)
        found: list[CertifiedLayer] = []
        skipped: list[Skipped] = []
        removed: dict[str, HostArray] = {}
        seen: list[Judged] = []
        for layer in chosen:
            try:
                seen.append(judge(layer, "edge"))
            except (RmtError, np.linalg.LinAlgError) as error:
                seen.append(Judged.whole(layer, clause(error)))
        if budget is not None:
            spend(seen, budget)
        for one in seen:
            layer = one.layer
            if budget is None and everywhere and 0 < one.spikes < min(layer.shape):
                one.size = one.spikes
            if one.size is None:
                skipped.append(Skipped(name=layer.name, reason=one.reason))
                watcher.step()
                continue
            W, dtype = layer.read(), layer.tensor.dtype
            kept = decode(encode(np.matmul(*factors_of(W, one, "edge")), dtype), dtype)
            R = W.astype(np.float64) - kept
            after = np.argmax(runnable.run(x, {layer.name: kept}), axis=1)
            changed = after != predicted
            proof = _proved(tail, layer.name, R, unit, predicted)
            removed[layer.name] = R
            found.append(
                CertifiedLayer(
                    name=layer.name,
                    shape=layer.shape,
                    rank=one.size,
                    certified=proof[0],
                    changed=changed,
                    bound=proof[1],
                    realised=proof[2],
                    reason=proof[3],
                )
            )
            watcher.step()
    return Certificate(
        source=runnable.weights.source if not isinstance(model, Network) else "Network",
        predicted=predicted,
        labels=right,
        layers=tuple(found),
        skipped=tuple(skipped),
        tail=tail.network,
        inputs=tail.inputs,
        removed=removed,
        places=tail.layers,
        unit=unit,
    )


def find_samples(data: str | Path) -> tuple[HostArray, HostArray | None]:
    """Return samples and their labels, if there are any.

    Parameters
    ----------
    data : str or path
        A ``.npz`` file with an array ``x`` of samples, as the model takes them, and perhaps ``y`` of labels;
        or what `load_dataset` takes, whose test samples are meant.

    Raises
    ------
    InvalidInput
        If it is neither.
    """
    path = Path(data).expanduser()
    if path.suffix == ".npz":
        arrays = read_npz(path)
        if "x" in arrays:
            return arrays["x"], arrays.get("y")
    found = load_dataset(data)
    return found.test_x, found.test_y


def _proved(
    tail: Tail, name: str, R: HostArray, unit: float, predicted: HostArray
) -> tuple[HostArray, HostArray | None, HostArray | None, str]:
    """Return whose label stays, bound and change of the logits, and why there is none of these."""
    if tail.network is None or name not in tail.layers:
        behind = f"nothing is proved of {tail.before}, which comes behind it"
        reason = "the model uses it in several places" if name in tail.shared else behind
        return np.zeros(len(predicted), bool), None, None, reason
    index = tail.layers[name]
    found, stay = labels_that_stay(tail.network, tail.inputs, {index: R}, unit=unit)
    certified = stay & (found.labels == predicted)
    whole = tail.network.at(HOST)
    pruned = whole.replace(index, np.asarray(whole.layers[index].matrix) - R)
    rows = np.arange(len(predicted)), found.labels
    moved = np.asarray(pruned.logits(tail.inputs)) - np.asarray(whole.logits(tail.inputs))
    realised = np.max(moved - moved[rows][:, None], axis=1)
    return certified, found.change, realised, ""


def _checked(tail: Tail, outputs: HostArray) -> Tail:
    """Return the tail if it computes what the model does, or the softmax of that."""
    if tail.network is None:
        return tail
    last = tail.network.layers[-1]
    if not isinstance(last, Dense) or last.activation != "identity":
        return Tail(network=None, inputs=tail.inputs, before="what its last layer does")
    logits = np.asarray(tail.network.logits(tail.inputs), np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    sizes = [logits, powers / powers.sum(axis=1, keepdims=True)]
    same = any(
        mine.shape == outputs.shape
        and np.abs(mine - outputs).max() <= _CLOSE * max(1.0, np.abs(outputs).max())
        for mine in sizes
    )
    if same:
        return tail
    return Tail(network=None, inputs=tail.inputs, before="something that is not understood")
