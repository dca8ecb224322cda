"""Data that are drawn here, so that their truth is known: the best accuracy, the teacher, the linear map."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Stream, check_count, check_interval
from rmttheory.matrices.ensembles import Draw, Spiked
from rmttheory.networks.datasets import Dataset
from rmttheory.networks.layers import Dense
from rmttheory.networks.network import Network

_SOURCE, _LICENCE = "drawn by rmttheory", "no licence needed"


@dataclass(frozen=True, kw_only=True, eq=False)
class Taught:
    """Samples that a network with planted spikes has labelled.

    Attributes
    ----------
    data : Dataset
    teacher : Network
        Whose labels they are; its first layer is ``draw.W = S + R``.
    draw : Draw
        That layer and its parts.
    """

    data: Dataset
    teacher: Network
    draw: Draw


def taught(model: Spiked, *, train: int, test: int, stream: Stream, classes: int = 10) -> Taught:
    """Draw a teacher ``x -> A relu(W x)`` with ``W = S + R`` of a spiked ensemble, and samples it labels.

    Inputs are independent standard normal, ``A`` has independent normal entries of variance ``1 / n``, and
    the label is the largest logit, so a student can reach accuracy 1. What the labels owe to ``S`` alone is
    seen by ``teacher.replace(0, draw.S)``.

    Parameters
    ----------
    model : Spiked
        Law of ``W``, ``n x m``: ``m`` inputs and ``n`` hidden units.
    train, test : int
        Samples of either half.
    stream : Stream
        What everything is drawn from; the teacher lives where it places arrays, the data on the host.
    classes : int
        Logits, 2 or more; a class may be without samples.

    Returns
    -------
    Taught

    Raises
    ------
    InvalidInput
        If a number is out of range.
    """
    check_count(classes, "classes", low=2)
    n, m = model.shape
    draw = model.sample(stream.child("layer"))
    readout = stream.child("readout").normal((classes, n), scale=1 / math.sqrt(n))
    teacher = Network((Dense(draw.W, None, "relu"), Dense(readout, None, "identity")))
    host = teacher.at(Stream().placement)
    halves = {}
    for half, count in (("train", train), ("test", test)):
        x = stream.child(half).generator().standard_normal((check_count(count, half), m))
        halves[half] = (x, np.argmax(host.logits(x), axis=1))
    spikes = ", ".join(f"{theta:g}" for theta in model.spikes) or "none"
    data = _dataset(
        halves,
        classes,
        name=f"taught by {n} x {m}",
        note=f"labelled by a teacher with spikes {spikes} at noise level {model.g:g} (seed {stream.seed})",
    )
    return Taught(data=data, teacher=teacher, draw=draw)


def spiked_features(
    inputs: int, *, train: int, test: int, stream: Stream, classes: int = 4, strength: float = 3.0
) -> Dataset:
    """Draw classes of normal samples around orthogonal means: a matrix of few strong directions and noise.

    A sample of class ``k`` is ``strength * u_k`` plus independent standard normal entries, with orthonormal
    ``u_k`` and equally likely classes. No classifier is right more often than `best_accuracy`, which the note
    gives.

    Parameters
    ----------
    inputs : int
        At least ``classes``.
    train, test : int
        Samples of either half.
    stream : Stream
    classes : int
        2 or more.
    strength : float
        Length of the means, > 0, in standard deviations of the noise.

    Returns
    -------
    Dataset

    Raises
    ------
    InvalidInput
        If a number is out of range.
    """
    best = best_accuracy(strength, classes)
    means = strength * stream.child("means").orthonormal(check_count(inputs, "inputs", low=classes), classes)
    halves = {}
    for half, count in (("train", train), ("test", test)):
        rng = stream.child(half).generator()
        y = rng.integers(classes, size=check_count(count, half))
        halves[half] = (means.T[y] + rng.standard_normal((count, inputs)), y)
    note = f"means of length {strength:g} in noise, best accuracy {best:.4f} (seed {stream.seed})"
    return _dataset(halves, classes, name="spiked features", note=note)


def best_accuracy(strength: float, classes: int) -> float:
    """Return how often the best classifier of `spiked_features` is right.

    It takes the largest of the products with the means, and is right with probability
    ``E Phi(z + strength)^(classes - 1)`` for standard normal ``z``. By the trapezoidal rule, which is exact
    to rounding for such integrands.

    Raises
    ------
    InvalidInput
        If the strength is not positive or there are fewer than two classes.
    """
    from scipy.special import ndtr

    check_interval(strength, "strength", low=0)
    check_count(classes, "classes", low=2)
    z, step = np.linspace(-12.0, 12.0, 1201, retstep=True)
    weights = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    return float(np.sum(weights * ndtr(z + strength) ** (classes - 1)) * step)


@dataclass(frozen=True, kw_only=True, eq=False)
class Regression:
    """A linear map of low rank seen through noisy targets: ``targets = features @ truth.T + noise``.

    Attributes
    ----------
    features : ndarray, shape (samples, m)
        With ``features.T @ features = samples * I``.
    targets : ndarray, shape (samples, n)
    truth : ndarray, shape (n, m)
        The map, of rank ``modes``.
    modes : int
    noise : float
        Standard deviation of the noise of a target.
    """

    features: HostArray
    targets: HostArray
    truth: HostArray
    modes: int
    noise: float

    @property
    def g(self) -> float:
        """Noise level of `least_squares`, whose error has independent entries of variance ``g / n``."""
        samples, n = self.targets.shape
        return float(self.noise**2 * n / samples)

    def least_squares(self) -> HostArray:
        """Return the least-squares estimate of ``truth``: exactly ``W = S + R`` with Gaussian ``R``."""
        return self.targets.T @ self.features / len(self.features)

    def excess(self, W: HostArray) -> float:
        """Return the mean square error of the predictions of ``W``, beyond the noise of new targets.

        A sum over the targets, a mean over the design: ``||W - truth||_F^2``.
        """
        return float(np.sum((W - self.truth) ** 2))


def fourier_regression(
    *,
    stream: Stream,
    outputs: int = 400,
    inputs: int = 400,
    modes: int = 17,
    samples: int = 1600,
    noise: float = 0.5,
    strengths: tuple[float, float] = (4.0, 0.8),
    rotate: bool = True,
) -> Regression:
    """Draw targets that are mixtures of few Fourier modes, seen through fixed features of all of them.

    The ``samples`` points are equally spaced on a circle and the features are the first ``inputs`` functions
    ``1, cos, sin, cos 2, ...``, of mean square 1, rotated at random. Each target is a mixture of the first
    ``modes`` of them plus normal noise.

    Parameters
    ----------
    stream : Stream
        What rotation, mixtures and noise are drawn from.
    outputs, inputs : int
        ``n`` targets and ``m`` features.
    modes : int
        Rank of the map, at most ``min(n, m)``.
    samples : int
        More than ``m``.
    noise : float
        Standard deviation, > 0.
    strengths : pair of float
        First and last singular value of the map, geometrically spaced, in units of the edge of the bulk that
        the error of least squares has; the threshold of a square map is at 1/2.
    rotate : bool
        Whether features are mixed. If not, the map has ``modes`` columns that are not zero, as a lasso wants.

    Returns
    -------
    Regression

    Raises
    ------
    InvalidInput
        If a number is out of range.
    """
    n, m = check_count(outputs, "outputs"), check_count(inputs, "inputs")
    check_interval(noise, "noise", low=0)
    check_count(samples, "samples", low=m + 1)  # so that no two waves agree on the points
    if check_count(modes, "modes") > min(n, m):
        msg = f"`modes` must be at most {min(n, m)}, the smaller side of the map, not {modes}."
        raise InvalidInput(msg)
    first, last = (check_interval(value, "strengths", low=0) for value in strengths)
    angles = 2 * math.pi * np.outer(np.arange(samples), (np.arange(m) + 1) // 2) / samples
    waves = np.where(np.arange(m) % 2, np.cos(angles), np.sin(angles)) * math.sqrt(2)
    waves[:, 0] = 1.0
    rotation = stream.child("rotation").orthonormal(m, m) if rotate else np.eye(m)
    edge = noise * (math.sqrt(n) + math.sqrt(m)) / math.sqrt(samples)
    values = edge * np.geomspace(first, last, modes)
    mixture = stream.child("mixture").orthonormal(n, modes) * values
    truth = mixture @ rotation[:modes]
    features = waves @ rotation
    errors = stream.child("noise").normal((samples, n), scale=noise)
    targets = features @ truth.T + errors
    return Regression(features=features, targets=targets, truth=truth, modes=modes, noise=noise)


def _dataset(
    halves: dict[str, tuple[HostArray, HostArray]], classes: int, *, name: str, note: str
) -> Dataset:
    arrays = {}
    for half, (x, y) in halves.items():
        arrays[f"{half}_x"], arrays[f"{half}_y"] = x.astype(np.float32), y.astype(np.int64)
    for array in arrays.values():
        array.flags.writeable = False
    facts = {"name": name, "note": note, "source": _SOURCE, "licence": _LICENCE, "classes": classes}
    return Dataset(**arrays, **facts)  # type: ignore[arg-type]
