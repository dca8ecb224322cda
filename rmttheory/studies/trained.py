"""The half of the theorem that data decide: train a small network on real images and examine it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rmttheory.arrays import Stream, find_placement
from rmttheory.networks import (
    Epoch,
    FittedEdge,
    PruningRun,
    PruningSchedule,
    Trained,
    decay,
    initial_network,
    load_dataset,
)
from rmttheory.networks import train as train_from
from rmttheory.studies.pool import Task
from rmttheory.theorem.trained.examination import examine
from rmttheory.theorem.trained.findings import Examination

HIDDEN = (384, 384)
EPOCHS = 40
RATE = 0.03
L2 = 3e-3
"""Strong enough that most of the bulk decays in these epochs, weak enough to cost no accuracy."""

PRUNED_EVERY = 5
"""Epochs between prunings of a network that is pruned as it trains; the last epoch prunes too."""


@dataclass(frozen=True, kw_only=True, eq=False)
class NetworkStudy:
    """A network that was just trained, and what the theorem says of it.

    Attributes
    ----------
    training : mapping
        Sizes, settings, data and the history of the training.
    examination : Examination
    """

    training: dict[str, Any]
    examination: Examination

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the verdicts are with those of the claims."""
        examination = self.examination.to_dict()
        examination.pop("verdicts")
        return {"training": self.training, "examination": examination}


@dataclass(frozen=True, kw_only=True)
class NetworkWork:
    """Training and examining a network on the data set ``data``, as one task."""

    data: str
    seed: int
    alpha: float
    device: str = "cpu"

    def pieces(self) -> tuple[Task, ...]:
        """Return the one task."""
        return ((_study, (self.data, self.seed, self.alpha, self.device)),)

    def join(self, results: list[Any]) -> NetworkStudy:
        """Return its result."""
        study: NetworkStudy = results[0]
        return study


def train_network(
    data: str,
    hidden: Sequence[int],
    *,
    seed: int,
    epochs: int,
    rate: float,
    l1: float = 0.0,
    l2: float = 0.0,
    prune: bool = False,
    device: str = "cpu",
    say: Callable[[str], object] | None = None,
) -> Trained:
    """Train a ReLU network without biases, as the theorem has it, on a named data set.

    Parameters
    ----------
    data : str
        As `load_dataset` takes it.
    hidden : sequence of int
        Widths of the hidden layers.
    seed, epochs, rate, l1, l2
        As for `train`.
    prune : bool
        Remove the bulk of every layer but the last every few epochs and after the last.
    device : {"cpu", "cuda"}
        Where it is trained, from the same numbers in the same order.
    say : callable, optional
        Told in a sentence what was loaded, and how each epoch ended.

    Raises
    ------
    InvalidInput
        If an argument cannot be used.
    Unavailable
        If ``device`` is a GPU that is not there.
    """
    placement = find_placement(device, dtype="float32")
    images = load_dataset(data)
    if say:
        say(images.describe())
    stream = Stream(seed, placement=placement).child("trained network")
    sizes = (images.train_x.shape[1], *hidden, images.classes)
    plan = PruningSchedule(
        every=PRUNED_EVERY,
        epochs=(epochs,),
        layers=tuple(range(len(hidden))),
        edge=FittedEdge(gate=0),
    )
    return train_from(
        initial_network(sizes, stream=stream.child("initial"), bias=False),
        images,
        epochs=epochs,
        rate=rate,
        l1=l1,
        l2=l2,
        schedule=decay(0.96),
        rng=stream.child("order"),
        prune=PruningRun(plan) if prune else None,
        progress=(lambda epoch: say(_line(epoch))) if say else None,
    )


def _line(epoch: Epoch) -> str:
    accuracies = f"{100 * epoch.train_accuracy:.1f} % in training, {100 * epoch.test_accuracy:.1f} % in test"
    pruned = ", pruned" if epoch.pruned else ""
    return f"epoch {epoch.epoch:>3}: loss {epoch.train_loss:.4f}, accuracy {accuracies}{pruned}"


def _study(data: str, seed: int, alpha: float, device: str) -> NetworkStudy:
    trained = train_network(data, HIDDEN, seed=seed, epochs=EPOCHS, rate=RATE, l2=L2, device=device)
    stream = Stream(seed).child("examination")
    examination = examine(trained.network, load_dataset(data), stream=stream, level=alpha, l2=L2)
    study = NetworkStudy(training=trained.to_dict(), examination=examination)
    study.to_dict()  # simulates the p-values here, in the worker, where they are kept with the result
    return study
