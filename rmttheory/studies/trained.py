"""The half of the theorem that data decide: train a small network on real images and examine it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmttheory.arrays import Placement, Stream
from rmttheory.networks.datasets import load_dataset
from rmttheory.networks.network import initial_network
from rmttheory.networks.training import decay, train
from rmttheory.studies.pool import Task
from rmttheory.theorem.examination import Examination, examine

HIDDEN = (512, 512)
EPOCHS = 40
RATE = 0.02
L2 = 1e-3
"""Strong enough that the bulk visibly decays in these epochs, weak enough to cost no accuracy."""


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
        examination.pop("verdicts", None)
        return {"training": self.training, "examination": examination}


@dataclass(frozen=True, kw_only=True)
class NetworkWork:
    """Training and examining a network on the data set ``data``, as one task."""

    data: str
    seed: int
    alpha: float

    def pieces(self) -> tuple[Task, ...]:
        """Return the one task."""
        return ((study_network, (self.data, self.seed, self.alpha)),)

    def join(self, results: list[Any]) -> NetworkStudy:
        """Return its result."""
        study: NetworkStudy = results[0]
        return study


def study_network(data: str, seed: int, alpha: float) -> NetworkStudy:
    """Train a network of two hidden layers without biases on ``data`` and examine every layer."""
    images = load_dataset(data)
    stream = Stream(seed, placement=Placement(dtype="float32")).child("trained network", data)
    sizes = (images.train_x.shape[1], *HIDDEN, images.classes)
    start = initial_network(sizes, stream=stream.child("initial"), bias=False)
    trained = train(
        start, images, epochs=EPOCHS, rate=RATE, l2=L2, schedule=decay(0.96), rng=stream.child("training")
    )
    examination = examine(trained.network, images, stream=stream.child("examination"), level=alpha)
    return NetworkStudy(training=trained.to_dict(), examination=examination)
