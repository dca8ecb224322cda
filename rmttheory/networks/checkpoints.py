"""A training run on disk: written whole or not at all, and taken up again bit for bit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rmttheory.arrays import Array, HostArray, InvalidInput, device, like, namespace, to_host
from rmttheory.networks.files import read_arrays, write_arrays
from rmttheory.networks.network import Network
from rmttheory.networks.optimisers import Memories, Optimiser, at_rest


@dataclass
class State:
    """All that a run changes.

    Attributes
    ----------
    network : Network
        Its arrays are written to.
    memories : list of dict
        What the optimiser remembers of each parameter.
    masks : dict
        For layers whose matrix is masked, 1 where an entry is free and 0 where it stays 0.
    history : list of dict
        One for each epoch done.
    """

    network: Network
    memories: Memories
    masks: dict[int, Array]
    history: list[dict[str, Any]]


def write_state(path: str | Path, state: State, run: dict[str, Any], prune: Any) -> None:
    """Write a run: its state, what makes it this run and no other, and what ``prune`` remembers.

    Raises
    ------
    InvalidInput
        If the file cannot be written, or what ``prune`` remembers is not plain values.
    """
    arrays, texts = state.network.to_arrays()
    for i, named in enumerate(state.memories):
        for name, moments in named.items():
            arrays |= {f"moments.{i}.{name}.{k}": to_host(a) for k, a in enumerate(moments.arrays)}
    arrays |= {f"mask.{i}": to_host(mask) for i, mask in state.masks.items()}
    steps = [{name: moments.steps for name, moments in named.items()} for named in state.memories]
    facts = {"run": run, "history": state.history, "steps": steps}
    try:
        remembered = json.dumps(prune.state() if hasattr(prune, "state") else None)
    except (TypeError, ValueError) as error:
        msg = f"`prune.state()` must return numbers, words, lists and dicts of them: {error}."
        raise InvalidInput(msg) from None
    write_arrays(path, arrays, texts | {"facts": json.dumps(facts), "prune": remembered})


def read_state(
    path: str | Path, run: dict[str, Any], prune: Any, beside: Array, optimiser: Optimiser
) -> tuple[State, dict[str, Any]]:
    """Read what `write_state` wrote, to where ``beside`` lives, and let ``prune`` restore what it knew.

    Returns the state and the facts of the run that wrote it, those of ``run`` among them.

    Raises
    ------
    InvalidInput
        If the file is missing, damaged, something else, or of another run.
    """
    arrays, texts = read_arrays(path)
    try:
        facts, remembered = json.loads(texts["facts"]), json.loads(texts["prune"])
        wrote = dict(facts["run"])
        if not (differing := sorted(key for key in run if wrote.get(key) != run[key])):
            state = _state(arrays, texts, facts, beside, optimiser)
    except (
        KeyError,
        TypeError,
        ValueError,
        IndexError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        msg = f"{path} is not a checkpoint of `train`: {reason}."
        raise InvalidInput(msg) from None
    if differing:
        key = differing[0]
        msg = f"{path} is a checkpoint of another run: its {key} is {wrote.get(key)!r}, not {run[key]!r}."
        raise InvalidInput(msg)
    if hasattr(prune, "restore"):
        prune.restore(remembered)
    return state, wrote


def _state(
    arrays: dict[str, HostArray], texts: dict[str, str], facts: Any, beside: Array, optimiser: Optimiser
) -> State:
    own = {name: array for name, array in arrays.items() if name.startswith("layers.")}
    network = Network.from_arrays(own, {"layers": texts["layers"]}).mapped(lambda x: written(like(x, beside)))
    memories = at_rest(network, optimiser)
    for i, named in enumerate(memories):
        for name, moments in named.items():
            moments.steps = int(facts["steps"][i][name])
            for k, array in enumerate(moments.arrays):
                array[...] = like(arrays[f"moments.{i}.{name}.{k}"], beside)
    masks = {
        int(name.removeprefix("mask.")): like(array, beside)
        for name, array in arrays.items()
        if name.startswith("mask.")
    }
    return State(network, memories, masks, list(facts["history"]))


def written(x: Array) -> Array:
    """Return a copy of ``x`` that may be written to, row by row in memory wherever it came from."""
    copy = namespace(x).empty(x.shape, dtype=x.dtype, device=device(x))
    copy[...] = x
    return copy
