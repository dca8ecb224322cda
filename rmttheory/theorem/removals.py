"""Cases of a removal, ``W = S + R`` to ``S + theta R``, and of what it does to logits and losses.

Half of the cases that are drawn are built so that every inequality on the way is nearly an equality: on
generic networks the bounds are ten to a hundred times too large, and a bound ten times too small would pass.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.networks import Dense, Network, cross_entropy, margins, per_sample_cross_entropy
from rmttheory.theorem.certificates import data_path_budget, sup_change
from rmttheory.theorem.claims import Cell

EPS = float(np.finfo(float).eps)
TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True, kw_only=True, eq=False)
class LogitCase:
    """Logits of one sample of class ``label``, before and after they moved."""

    before: HostArray
    after: HostArray
    label: int

    @functools.cached_property
    def losses(self) -> HostArray:
        """Cross-entropy before and after."""
        logits = np.stack([self.before, self.after])
        return np.asarray(per_sample_cross_entropy(logits, np.full(2, self.label)))

    @functools.cached_property
    def change(self) -> float:
        """Largest move of a logit."""
        return float(np.max(np.abs(self.after - self.before)))

    @property
    def loss_change(self) -> float:
        """Cross-entropy after minus before."""
        return float(self.losses[1] - self.losses[0])

    @property
    def rounding(self) -> float:
        """Bound on the error of a difference of two computed losses, and of what it is compared with.

        With ``M`` the largest ``|z_j|`` and ``u = eps / 2``, a loss of ``K`` logits is off by at most
        ``(3.4 K + 11 M + 7 log K + 4) u``: ``exp`` of rounded differences and their sum, then four
        operations on numbers up to ``2 M + log K``.
        """
        largest = max(float(np.max(np.abs(z))) for z in (self.before, self.after))
        return 16 * EPS * (len(self.before) + largest)


def draw_logits(cell: Cell, stream: Stream) -> LogitCase:
    """Logits from 1e-3 to 1e3 moved at random, or the right one against all others, at any confidence."""
    rng, classes = stream.generator(), cell["classes"]
    label = int(rng.integers(classes))
    before = rng.standard_normal((classes,)) * 10 ** rng.uniform(-3, 3)
    move = rng.uniform(-1, 1, (classes,))
    if rng.random() < 0.5:
        before = rng.standard_normal((classes,))
        before[label] = np.max(before) + rng.uniform(-40, 40)
        move = rng.choice([-1.0, 1.0]) * np.where(np.arange(classes) == label, -1.0, 1.0)
    after = before + move * 10 ** rng.uniform(-3, 1.5)
    return LogitCase(before=before, after=after, label=label)


@dataclass(frozen=True, kw_only=True, eq=False)
class SplitCase:
    """A network whose layer ``index`` is ``W = S + R``, a batch, and what becomes of it without ``R``.

    Attributes
    ----------
    network : Network
        With ``W`` in its place.
    index : int
    S, R : ndarray, shape (n, m)
    x, labels : ndarray, shapes (samples, inputs) and (samples,)
    """

    network: Network
    index: int
    S: HostArray
    R: HostArray
    x: HostArray
    labels: HostArray

    @property
    def kept(self) -> HostArray:
        """What takes the place of ``W``."""
        return self.S

    @functools.cached_property
    def v(self) -> HostArray:
        """Inputs of the layer, one a row."""
        return np.asarray(self.network.activations(self.x)[self.index])

    @functools.cached_property
    def before(self) -> HostArray:
        """Logits with ``W``."""
        return np.asarray(self.network.logits(self.v, start=self.index))

    @functools.cached_property
    def after(self) -> HostArray:
        """Logits with `kept` in its place."""
        return np.asarray(self.network.replace(self.index, self.kept).logits(self.v, start=self.index))

    @functools.cached_property
    def losses(self) -> tuple[float, float]:
        """Mean cross-entropy before and after."""
        return cross_entropy(self.before, self.labels), cross_entropy(self.after, self.labels)

    @property
    def loss_change(self) -> float:
        """Mean cross-entropy after minus before."""
        return self.losses[1] - self.losses[0]

    @functools.cached_property
    def lipschitz(self) -> float:
        """``L``: largest stretch of a change of ``W v`` by the layers after it, in the max norm."""
        return self.network.tail_lipschitz(self.index)


@dataclass(frozen=True, kw_only=True, eq=False)
class RemovalCase(SplitCase):
    """A split of which part of ``R`` may stay: ``A_1 = W`` becomes ``A_theta``.

    Attributes
    ----------
    theta : float
        How much of ``R`` stays, in [0, 1).
    decay : float
        Weight of ``|A|_F^2`` in the objective.
    """

    theta: float = 0.0
    decay: float = 0.0

    @property
    def kept(self) -> HostArray:
        """``A_theta``."""
        return self.S + self.theta * self.R

    def budget(self, lipschitz: float | None = None) -> float:
        """Bound on the change of the mean cross-entropy, with ``L`` or another constant in its place."""
        stretch = self.lipschitz if lipschitz is None else lipschitz
        return float((1 - self.theta) * data_path_budget(self.R, self.v, stretch))

    @functools.cached_property
    def radii(self) -> HostArray:
        """Bound on the change of the logits, for each sample."""
        return (1 - self.theta) * self.lipschitz * np.asarray(sup_change(self.R, self.v))

    @functools.cached_property
    def relative_margins(self) -> tuple[HostArray, HostArray]:
        """Margins over the radius of their sample, and which were lost: of the label, then of right answers.

        Two margins and the radius carry the rounding of six logits at most; it is taken off the margin.
        """
        best, confidence = np.argmax(self.before, axis=1), margins(self.before, self.labels)
        sizes = np.concatenate([margins(self.before, best), np.abs(confidence)])
        label = best != np.argmax(self.after, axis=1)
        right = (confidence > 0) != (margins(self.after, self.labels) > 0)
        beyond = np.maximum(sizes - 6 * self.rounding, 0.0)
        with np.errstate(over="ignore"):  # nothing was removed: every margin is safe, infinitely so
            ratios = beyond / np.maximum(np.tile(self.radii, 2), TINY)
        return ratios, np.concatenate([label, right])

    @functools.cached_property
    def rounding(self) -> float:
        """Bound on the error of a computed logit, by running error analysis from the layer on.

        A product of ``m`` terms is off by at most ``(m + 2) u`` times the row sum times the largest input;
        three more operations make ``A_theta`` and add the bias. Errors then grow by the row sum of a layer.
        """
        size, error = float(np.max(np.abs(self.v))), 0.0
        for i, layer in enumerate(self.network.layers[self.index :]):
            W = np.abs(self.S) + np.abs(self.R) if i == 0 else np.abs(layer.weight)
            rows = float(np.max(np.sum(W, axis=1)))
            bias = 0.0 if layer.bias is None else float(np.max(np.abs(layer.bias)))
            error = rows * error + (W.shape[1] + 5) * EPS * (rows * size + bias)
            size = rows * size + bias
        return float(error + 16 * EPS * (self.before.shape[1] + size))

    @property
    def loss_rounding(self) -> float:
        """Bound on the error of a difference of mean losses (twice 2-Lipschitz) and of the budget."""
        return 6 * self.rounding + len(self.x) * EPS * max(self.losses)


def draw_removal(cell: Cell, stream: Stream) -> RemovalCase:
    """A generic or a nearly extremal removal; all of ``R`` goes, or part of it."""
    rng = stream.generator()
    draw = _extremal if rng.random() < 0.5 else _generic
    theta = float(rng.choice([0.0, rng.random()]))
    return replace(draw(cell, rng, theta), decay=float(10 ** rng.uniform(-4, 1)))


def _generic(cell: Cell, rng: np.random.Generator, theta: float) -> RemovalCase:
    """Normal weights, one layer of which is split by a mask, by its singular values, or at random."""
    sizes = layer_sizes(cell)
    index = int(rng.integers(cell["depth"]))
    weights = [rng.standard_normal((n, m)) / math.sqrt(m) for m, n in itertools.pairwise(sizes)]
    biases = [rng.standard_normal(n) for n in sizes[1:]]
    S = _part(weights[index], rng)
    R = weights[index] - S
    weights[index] = S + R
    x = rng.standard_normal((cell["samples"], sizes[0]))
    network = hidden_network(weights, biases, rng)
    labels = np.argmax(network.logits(x), axis=1)
    if rng.random() < 0.5:
        labels = rng.integers(cell["classes"], size=cell["samples"])
    return RemovalCase(network=network, index=index, S=S, R=R, x=x, labels=labels, theta=theta)


def _part(W: HostArray, rng: np.random.Generator) -> HostArray:
    kind = rng.integers(3)
    if kind == 0:
        return W * (rng.random(W.shape) < rng.uniform(0.1, 0.99))
    if kind == 1:
        U, s, V = np.linalg.svd(W, full_matrices=False)
        k = int(rng.integers(len(s)))
        return np.asarray((U[:, :k] * s[:k]) @ V[:k])
    noise = rng.standard_normal(W.shape) / math.sqrt(W.shape[1])
    return np.asarray(rng.uniform(0, 2) * W + 10 ** rng.uniform(-3, 0) * noise)


def _extremal(cell: Cell, rng: np.random.Generator, theta: float) -> RemovalCase:
    """Every hidden number is positive and all move together: one logit one way, the others the other way.

    The samples are of the class of that logit. It has next to no probability, or it trades places with a
    rival whose lead, or whose lag, at one of the samples is just what the removal can bridge.
    """
    sizes, samples, classes = layer_sizes(cell), cell["samples"], cell["classes"]
    index = int(rng.integers(cell["depth"]))
    label, rival = rng.choice(classes, size=2, replace=False)
    weights = [averages((n, m), rng) for m, n in itertools.pairwise(sizes)]
    weights[-1] = np.where(np.arange(classes) == label, -1.0, 1.0)[:, None] * weights[-1][:1]
    S = np.sign(weights[index]) * np.abs(weights[index][:1])
    share = rng.uniform(-0.9, 0.9)
    R = share * S * rng.random(S.shape[1])
    weights[index] = S + R
    biases = [np.zeros(n) for n in sizes[1:]]
    biases[-1] = np.where(np.arange(classes) == rival, 0.0, -rng.uniform(0.5, 5))
    biases[-1][label] = -40.0
    case = RemovalCase(
        network=hidden_network(weights, biases, rng),
        index=index,
        S=S,
        R=R,
        x=rng.random((samples, sizes[0])),
        labels=np.full(samples, label),
        theta=theta,
    )
    if rng.random() < 0.5:
        return case
    s = rng.integers(samples)
    lead = case.before[s, rival] - case.before[s, label]
    # without R, with share < 0, the logit of the class is lower: then it is the class that leads at first
    biases[-1][label] += lead - np.sign(share) * (2 - 10 ** rng.uniform(-4, 0.3)) * case.radii[s]
    return replace(case, network=hidden_network(weights, biases, rng))


def layer_sizes(cell: Cell) -> tuple[int, ...]:
    """Return the widths of a network of one width, from its inputs to its logits."""
    return (*[cell["n"]] * cell["depth"], cell["classes"])


def averages(shape: tuple[int, int], rng: np.random.Generator) -> HostArray:
    """Positive rows, all with the same sum."""
    A = rng.random(shape)
    return np.asarray(rng.uniform(0.5, 2) * A / np.sum(A, axis=1, keepdims=True))


def hidden_network(weights: list[HostArray], biases: list[HostArray], rng: np.random.Generator) -> Network:
    """Return a network whose hidden layers all have one activation; its logits have none."""
    kinds = [str(rng.choice(["relu", "abs", "identity"]))] * (len(weights) - 1)
    return Network(tuple(map(Dense, weights, biases, [*kinds, "identity"])))
