"""Cases in which parts of several layers are removed, one after the other."""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.networks import Dense, Network, cross_entropy, loss_and_gradients, margins
from rmttheory.theorem.certificates import sup_change
from rmttheory.theorem.claims import Cell
from rmttheory.theorem.masks import THETAS, trained_network
from rmttheory.theorem.removals import EPS, TINY, RemovalCase, averages, hidden_network, layer_sizes


@dataclass(frozen=True, kw_only=True, eq=False)
class SequenceCase:
    """A network some of whose layers are ``W_j = S_j + R_j``, and the order in which ``R_j`` is removed.

    Attributes
    ----------
    network : Network
        With every ``W_j`` in its place.
    parts : tuple of (index, S, R)
        In the order of removal.
    x, labels : ndarray, shapes (samples, inputs) and (samples,)
    ridge, lasso : float
        Weights of ``|A|_F^2`` and ``|A|_1`` of each layer that is pruned.
    """

    network: Network
    parts: tuple[tuple[int, HostArray, HostArray], ...]
    x: HostArray
    labels: HostArray
    ridge: float = 0.0
    lasso: float = 0.0

    @functools.cached_property
    def steps(self) -> tuple[RemovalCase, ...]:
        """One removal after the other, each in the network that the ones before it left."""
        network, found = self.network, []
        for index, S, R in self.parts:
            found.append(RemovalCase(network=network, index=index, S=S, R=R, x=self.x, labels=self.labels))
            network = network.replace(index, S)
        return tuple(found)

    @functools.cached_property
    def upfront(self) -> tuple[RemovalCase, ...]:
        """Each removal in the network as it was at first."""
        return tuple(
            RemovalCase(network=self.network, index=index, S=S, R=R, x=self.x, labels=self.labels)
            for index, S, R in self.parts
        )

    def along(self, theta: float) -> Network:
        """The network with ``S_j + theta R_j`` in all pruned layers at once."""
        network = self.network
        for index, S, R in self.parts:
            network = network.replace(index, S + theta * R)
        return network

    @functools.cached_property
    def logits(self) -> tuple[HostArray, HostArray]:
        """Logits before the first and after the last removal."""
        return np.asarray(self.network.logits(self.x)), np.asarray(self.along(0.0).logits(self.x))

    @functools.cached_property
    def losses(self) -> tuple[float, float]:
        """Mean cross-entropy before and after."""
        before, after = self.logits
        return cross_entropy(before, self.labels), cross_entropy(after, self.labels)

    def penalty(self, theta: float) -> float:
        """Penalty of all pruned layers with ``S_j + theta R_j`` in their place."""
        layers = [S + theta * R for _, S, R in self.parts]
        squares, sizes = (
            sum(float(np.sum(A**2)) for A in layers),
            sum(float(np.sum(np.abs(A))) for A in layers),
        )
        return self.ridge * squares + self.lasso * sizes

    def mass(self, theta: float = 0.0) -> float:
        """``sum_j (1 + theta) ridge |R_j|_F^2 + lasso |R_j|_1``."""
        squares = sum(float(np.sum(R**2)) for _, _, R in self.parts)
        return (1 + theta) * self.ridge * squares + self.lasso * sum(
            float(np.sum(np.abs(R))) for *_, R in self.parts
        )

    @property
    def radii(self) -> HostArray:
        """``eta_tot``: the radii of all steps added up, for each sample."""
        return np.asarray(sum(step.radii for step in self.steps))

    @property
    def budget(self) -> float:
        """The budgets of all steps added up."""
        return sum(step.budget() for step in self.steps)

    @property
    def upfront_budget(self) -> float:
        """The budgets of all removals in the network as it was at first, added up."""
        return sum(step.budget() for step in self.upfront)

    def relative_margins(self, radii: HostArray) -> tuple[HostArray, HostArray]:
        """Margins of labels over the radius of their sample, and which labels changed."""
        before, after = self.logits
        best = np.argmax(before, axis=1)
        beyond = np.maximum(margins(before, best) - 6 * self.rounding, 0.0)
        with np.errstate(over="ignore"):
            return beyond / np.maximum(radii, TINY), best != np.argmax(after, axis=1)

    def surplus(self, theta: float) -> float:
        """Mass along the joint path beyond what the objective gains by it; at ``theta = 1``, by its slope."""
        if theta < 1:
            change = cross_entropy(self.along(theta).logits(self.x), self.labels) - self.losses[0]
            change += self.penalty(theta) - self.penalty(1.0)
            return self.mass(theta) - max(0.0, -change / (1 - theta))
        _, gradients = loss_and_gradients(self.network, self.x, self.labels)
        slope = sum(float(np.sum(gradients[index].weight * R)) for index, _, R in self.parts)
        return self.mass(1.0) - max(0.0, slope + self.mass(1.0))

    @property
    def largest_surplus(self) -> float:
        """The largest of `surplus` along the path and at its start."""
        return max(self.surplus(theta) for theta in (*THETAS, 1.0))

    @functools.cached_property
    def rounding(self) -> float:
        """Bound on the error of a computed logit, as `RemovalCase.rounding` derives it, from the inputs."""
        pruned = {index: np.abs(S) + np.abs(R) for index, S, R in self.parts}
        size, error = float(np.max(np.abs(self.x))), 0.0
        for i, layer in enumerate(self.network.layers):
            W = pruned[i] if i in pruned else np.abs(layer.weight)
            rows = float(np.max(np.sum(W, axis=1)))
            bias = 0.0 if layer.bias is None else float(np.max(np.abs(layer.bias)))
            error = rows * error + (W.shape[1] + 5) * EPS * (rows * size + bias)
            size = rows * size + bias
        return error + 16 * EPS * (self.network.sizes[-1] + size)

    @property
    def loss_rounding(self) -> float:
        """Bound on the error of a difference of losses, of budgets and of penalties."""
        entries = sum(R.size for *_, R in self.parts)
        size = self.penalty(0.0) + self.penalty(1.0) + self.mass()
        terms = 6 * self.rounding + len(self.x) * EPS * max(self.losses)
        return 2 * len(self.parts) * terms + 6 * EPS * (entries + 6) * size

    @property
    def surplus_rounding(self) -> float:
        """Errors of `surplus`: of a difference over ``1 - theta >= 0.1``, and of a slope."""
        sizes = sum(self.network.sizes)
        paths = sum(
            2 * step.lipschitz * float(np.mean(sup_change(np.abs(step.R), np.abs(step.v))))
            for step in self.upfront
        )
        return 10 * self.loss_rounding + 4 * EPS * (sizes + sum(R.size for *_, R in self.parts)) * paths


Part = tuple[int, HostArray, HostArray]


def _chosen(count: int, rng: np.random.Generator) -> list[int]:
    """Two layers or more, where there are two, from the first to the last or the other way round."""
    chosen = sorted(rng.choice(count, size=min(count, int(rng.integers(2, 4))), replace=False).tolist())
    return chosen[:: rng.choice([1, -1])]


def draw_masks(cell: Cell, stream: Stream) -> SequenceCase:
    """Masks of several layers: of normal weights, or of positive ones that all pull the same way."""
    rng = stream.generator()
    sizes = layer_sizes(cell)
    chosen, extremal = _chosen(cell["depth"], rng), rng.random() < 0.5
    weights, biases, x, labels = (_uniform if extremal else _normal)(sizes, cell["samples"], rng)
    parts = []
    for index in chosen:
        W = weights[index]
        if extremal:
            W = weights[index] = np.sign(W) * np.abs(W[:1])
        rows = 1 if extremal else len(W)  # whole columns move every number of a layer alike
        kept = rng.random((rows, W.shape[1])) < 1 - 10 ** rng.uniform(-2, -0.05)
        parts.append((index, np.where(kept, W, 0.0), np.where(kept, 0.0, W)))
    network = hidden_network(weights, biases, rng)
    ridge, lasso = 10 ** rng.uniform(-4, 1, 2)
    return SequenceCase(network=network, parts=tuple(parts), x=x, labels=labels, ridge=ridge, lasso=lasso)


def draw_growing(cell: Cell, stream: Stream) -> SequenceCase:
    """Any parts of several layers; in half of the cases removing one makes the next weigh more.

    There ``S_j`` is larger than ``W_j`` and all numbers grow together, against a label of next to no
    probability, or against one that leads by what the radii can just bridge.
    """
    rng = stream.generator()
    sizes = layer_sizes(cell)
    chosen, extremal = _chosen(cell["depth"], rng), rng.random() < 0.5
    weights, biases, x, labels = (_uniform if extremal else _normal)(sizes, cell["samples"], rng)
    if extremal:
        weights[-1] = -weights[-1]  # what grows speaks against the label
    parts: list[Part] = []
    for index in chosen:
        W = weights[index]
        if extremal:
            W = np.sign(W) * np.abs(W[:1])
            S = W * (1 + rng.uniform(0.05, 1) * rng.random((1, W.shape[1])))
        else:
            S = W + 10 ** rng.uniform(-3, 0) * rng.standard_normal(W.shape) / math.sqrt(W.shape[1])
        R = W - S
        weights[index] = S + R
        parts.append((index, S, R))
    network = hidden_network(weights, biases, rng)
    case = SequenceCase(network=network, parts=tuple(parts), x=x, labels=labels)
    if not extremal or rng.random() < 0.5:
        return case
    s, label = int(rng.integers(len(x))), int(labels[0])
    lead = case.logits[0][s, label] - np.max(np.delete(case.logits[0][s], label))
    biases[-1][label] += (2 - 10 ** rng.uniform(-4, 0.3)) * case.radii[s] - lead
    kinds = [layer.activation for layer in network.layers]
    moved = Network(tuple(map(Dense, weights, biases, kinds)))
    return SequenceCase(network=moved, parts=case.parts, x=x, labels=labels)


Drawn = tuple[list[HostArray], list[HostArray], HostArray, HostArray]


def _normal(sizes: tuple[int, ...], samples: int, rng: np.random.Generator) -> Drawn:
    weights = [rng.standard_normal((n, m)) / math.sqrt(m) for m, n in itertools.pairwise(sizes)]
    biases = [rng.standard_normal(n) for n in sizes[1:]]
    return weights, biases, rng.standard_normal((samples, sizes[0])), rng.integers(sizes[-1], size=samples)


def _uniform(sizes: tuple[int, ...], samples: int, rng: np.random.Generator) -> Drawn:
    """Positive weights of equal row sums; one logit, of next to no probability, has the other sign."""
    label = int(rng.integers(sizes[-1]))
    weights = [averages((n, m), rng) for m, n in itertools.pairwise(sizes)]
    weights[-1] = np.where(np.arange(sizes[-1]) == label, 1.0, -1.0)[:, None] * weights[-1][:1]
    biases = [np.zeros(n) for n in sizes[1:]]
    biases[-1][label] = -40.0
    return weights, biases, rng.random((samples, sizes[0])), np.full(samples, label)


def draw_stationary_layers(cell: Cell, stream: Stream) -> SequenceCase:
    """A network at a minimum of its objective, trained or in closed form, with masks of both its layers."""
    rng = stream.generator()
    if rng.random() < 0.5:
        x, kept = rng.random((cell["n"],)) + 0.1, rng.random((cell["n"],)) < rng.uniform(0.1, 0.9)
        return balanced_layers(x, kept, rng)
    network, x, labels, ridge, lasso = trained_network(cell["n"], cell["classes"], rng)
    parts = []
    for index, layer in enumerate(network.layers):
        kept = rng.random(layer.weight.shape) < rng.uniform(0.05, 0.95)
        parts.append((index, np.where(kept, layer.weight, 0.0), np.where(kept, 0.0, layer.weight)))
    return SequenceCase(network=network, parts=tuple(parts), x=x, labels=labels, ridge=ridge, lasso=lasso)


def balanced_layers(x: HostArray, kept: HostArray, rng: np.random.Generator) -> SequenceCase:
    """One sample of next to no probability, at whose loss two layers pull just as their penalties do.

    ``w x`` is multiplied by ``u``, the right logit gains ``a`` times that and the other loses as much:
    ``w = b x``, ``u = b |x|`` are stationary for ``ridge = a |x|``.
    """
    a, b, norm = rng.uniform(0.5, 2), rng.uniform(0.5, 2), float(np.linalg.norm(x))
    bias = -40.0 - 2 * a * b**2 * norm**3  # p stays below exp(-40)
    layers = (
        Dense(b * x[None, :], None, "relu"),
        Dense(np.array([[b * norm]]), None, "relu"),
        Dense(np.array([[a], [-a]]), np.array([bias, 0.0]), "identity"),
    )
    W, u = layers[0].weight, layers[1].weight
    first = (0, np.where(kept, W, 0.0), np.where(kept, 0.0, W))
    share = float(rng.choice([0.0, 1.0]))
    return SequenceCase(
        network=Network(layers),
        parts=(first, (1, share * u, (1 - share) * u)),
        x=x[None, :],
        labels=np.zeros(1, dtype=int),
        ridge=a * norm,
    )
