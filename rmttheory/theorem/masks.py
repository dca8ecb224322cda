"""Cases of a mask, ``W = S + R`` with disjoint supports, under penalties of single entries.

Removing a mask lowers ``sum ridge A^2 + sum lasso |A|`` by what ``R`` weighs in it, exactly. Networks at
which no mask gains are made in two ways: by training, and in closed form where the bound is attained.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass, replace

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.networks import Dense, Network, loss_and_gradients
from rmttheory.theorem.certificates import data_path_budget, sup_change
from rmttheory.theorem.claims import Cell
from rmttheory.theorem.removals import EPS, RemovalCase, averages, hidden_network, layer_sizes

THETAS = (0.0, 0.5, 0.9)
"""How much of ``R`` stays, where a statement is made along the path."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MaskCase(RemovalCase):
    """A mask under the objective ``mean cross-entropy + sum ridge A^2 + sum lasso |A|`` of one layer ``A``.

    Attributes
    ----------
    ridge, lasso : ndarray, shape (n, m)
        Weights of the entries, >= 0.
    restored : ndarray, shape (n, m), or None
        Part of ``S`` that was removed with ``R`` at first and then put back.
    """

    ridge: HostArray
    lasso: HostArray
    restored: HostArray | None = None

    def penalty(self, A: HostArray) -> float:
        """Penalty of the layer ``A``."""
        return float(np.sum(self.ridge * A**2) + np.sum(self.lasso * np.abs(A)))

    @property
    def objective_change(self) -> float:
        """Objective with ``A_theta`` minus objective with ``W``."""
        return self.loss_change + self.penalty(self.kept) - self.penalty(self.S + self.R)

    def mass(self, theta: float | None = None) -> float:
        """What the penalty falls by, over ``1 - theta``: ``(1 + theta) sum ridge R^2 + sum lasso |R|``."""
        share = 1 + (self.theta if theta is None else theta)
        return float(share * np.sum(self.ridge * self.R**2) + np.sum(self.lasso * np.abs(self.R)))

    def bound(self, R: HostArray) -> float:
        """Bound on the change of the objective when the mask ``R`` goes as a whole."""
        return data_path_budget(R, self.v, self.lipschitz) - self.penalty(R)

    def surplus(self, theta: float) -> float:
        """Mass along the path beyond what the objective gains by it: at most the budget, ``theta = 1`` too.

        The gain over ``1 - theta`` is how far the network is from a minimum along ``R``; at ``theta = 1`` it
        is the slope there.
        """
        if theta < 1:
            here = replace(self, theta=theta)
            return self.mass(theta) - max(0.0, -here.objective_change / (1 - theta))
        _, gradients = loss_and_gradients(self.network, self.x, self.labels)
        slope = float(np.sum(gradients[self.index].weight * self.R))  # of the cross-entropy, along R
        return self.mass(1.0) - max(0.0, slope + self.mass(1.0))

    @property
    def penalty_rounding(self) -> float:
        """Error of the loss and of three sums of ``n m`` penalties, each at most that of ``|S| + |R|``."""
        largest = self.penalty(np.abs(self.S) + np.abs(self.R))
        return self.loss_rounding + 6 * EPS * (self.R.size + 6) * largest

    @property
    def surplus_rounding(self) -> float:
        """Errors of `surplus`: of a difference over ``1 - theta >= 0.1``, and of a slope.

        The slope is a sum over products along the paths of the network, whose absolute values add up to the
        budget with ``|R|`` and ``|v|`` in place of ``R v``.
        """
        paths = 2 * self.lipschitz * float(np.mean(sup_change(np.abs(self.R), np.abs(self.v))))
        return 10 * self.penalty_rounding + 4 * EPS * (sum(self.network.sizes) + self.R.size) * paths


def draw_mask(cell: Cell, stream: Stream, *, weighted: bool = False) -> MaskCase:
    """A generic or a nearly extremal mask; penalties are one number each, or differ from entry to entry."""
    rng = stream.generator()
    theta = float(rng.choice([0.0, rng.random()]))
    network, index, kept, x, labels = (_extremal if rng.random() < 0.5 else _generic)(cell, rng)
    W = network.layers[index].weight
    ridge, lasso = 10 ** rng.uniform(-4, 1, 2)
    spread = rng.exponential(size=(2, *W.shape)) if weighted else np.ones((2, *W.shape))
    return MaskCase(
        network=network,
        index=index,
        S=np.where(kept, W, 0.0),
        R=np.where(kept, 0.0, W),
        x=x,
        labels=labels,
        theta=theta,
        ridge=ridge * spread[0],
        lasso=lasso * spread[1],
    )


Parts = tuple[Network, int, HostArray, HostArray, HostArray]


def _generic(cell: Cell, rng: np.random.Generator) -> Parts:
    """Normal weights, of which a random mask, the smallest entries, or two of four in a row are removed."""
    sizes = layer_sizes(cell)
    weights = [rng.standard_normal((n, m)) / math.sqrt(m) for m, n in itertools.pairwise(sizes)]
    network = hidden_network(weights, [rng.standard_normal(n) for n in sizes[1:]], rng)
    index = int(rng.integers(cell["depth"]))
    W = network.layers[index].weight
    kind = rng.integers(3)
    if kind == 0:
        kept = rng.random(W.shape) < rng.uniform(0.1, 0.99)
    elif kind == 1:
        kept = np.abs(W) >= np.quantile(np.abs(W), rng.uniform(0.1, 0.9))
    else:
        rank = np.argsort(np.argsort(-np.abs(_in_fours(W)), axis=2), axis=2)
        kept = (rank < 2).reshape(len(W), -1)[:, : W.shape[1]]
    x = rng.standard_normal((cell["samples"], sizes[0]))
    labels = np.argmax(network.logits(x), axis=1)
    if rng.random() < 0.5:
        labels = rng.integers(cell["classes"], size=cell["samples"])
    return network, index, kept, x, labels


def _in_fours(W: HostArray) -> HostArray:
    """``(n, groups, 4)``, filled up with zeros."""
    return np.asarray(np.pad(W, ((0, 0), (0, -W.shape[1] % 4))).reshape(len(W), -1, 4))


def _extremal(cell: Cell, rng: np.random.Generator) -> Parts:
    """Every number on the way is positive; without the mask the right logit falls and all others rise."""
    sizes = layer_sizes(cell)
    label, index = int(rng.integers(cell["classes"])), int(rng.integers(cell["depth"]))
    weights = [averages((n, m), rng) for m, n in itertools.pairwise(sizes)]
    weights[-1] = np.where(np.arange(sizes[-1]) == label, 1.0, -1.0)[:, None] * weights[-1][:1]
    weights[index] = np.sign(weights[index]) * np.abs(weights[index][:1])
    biases = [np.zeros(n) for n in sizes[1:]]
    biases[-1][label] = -40.0
    columns = rng.random(sizes[index]) < rng.uniform(0.1, 0.9)
    kept = np.broadcast_to(columns, weights[index].shape)
    x = rng.random((cell["samples"], sizes[0]))
    return hidden_network(weights, biases, rng), index, kept, x, np.full(len(x), label)


def draw_stationary(cell: Cell, stream: Stream) -> MaskCase:
    """A network at a minimum of its objective, trained or in closed form, and a mask of one of its layers."""
    rng = stream.generator()
    if rng.random() < 0.5:
        x, kept = rng.random((cell["n"],)) + 0.1, rng.random((cell["n"],)) < rng.uniform(0.1, 0.9)
        return balanced(x, kept, rng)
    network, x, labels, ridge, lasso = trained_network(cell["n"], cell["classes"], rng)
    index = int(rng.integers(len(network.layers)))
    W = network.layers[index].weight
    kept = rng.random(W.shape) < rng.uniform(0.05, 0.95)
    return MaskCase(
        network=network,
        index=index,
        S=np.where(kept, W, 0.0),
        R=np.where(kept, 0.0, W),
        x=x,
        labels=labels,
        ridge=np.full(W.shape, ridge),
        lasso=np.full(W.shape, lasso),
    )


def balanced(x: HostArray, kept: HostArray, rng: np.random.Generator, decay: float | None = None) -> MaskCase:
    """One sample of next to no probability, whose loss pulls at every weight just as its penalty does.

    The only hidden number is ``w x``; the right logit gains ``a`` times it and the other loses as much. With
    the loss of slope ``2 a (1 - p)`` in it, ``w = (1 - p) a x / ridge`` is stationary.
    """
    a, energy = float(rng.uniform(0.5, 2)), float(np.sum(x**2))
    ridge = float(10 ** rng.uniform(-2, 0)) if decay is None else decay
    bias = -40.0 - 2 * a**2 * energy / ridge  # p stays below exp(-40)
    W = (a * x / ridge)[None, :]
    readout = Dense(np.array([[a], [-a]]), np.array([bias, 0.0]), "identity")
    return MaskCase(
        network=Network((Dense(W, None, "relu"), readout)),
        index=0,
        S=np.where(kept, W, 0.0),
        R=np.where(kept, 0.0, W),
        x=x[None, :],
        labels=np.zeros(1, dtype=int),
        ridge=np.full(W.shape, ridge),
        lasso=np.zeros(W.shape),
    )


_NETWORKS = 4
_STEPS = 600

Minimum = tuple[Network, HostArray, HostArray, float, float]
"""A network, inputs, labels, and the weights of its penalties."""


def trained_network(n: int, classes: int, rng: np.random.Generator) -> Minimum:
    """One of four trained networks; they are trained once, since trials are to differ in masks."""
    return _trained(n, classes, int(rng.integers(_NETWORKS)))


@functools.cache
def _trained(n: int, classes: int, which: int) -> Minimum:
    """A network of one hidden layer of ``n``, after proximal gradient steps that leave little slope.

    Half of them have a lasso penalty, of which the proximal map takes entries to 0 exactly.
    """
    rng = np.random.default_rng([n, classes, which])
    ridge, lasso = (0.01, 0.0) if which % 2 else (0.002, 0.003)
    x = rng.standard_normal((24, 6))
    labels = np.argmax(x @ rng.standard_normal((6, classes)), axis=1)
    sizes = (6, n, classes)
    weights = [rng.standard_normal((a, b)) / math.sqrt(b) for b, a in itertools.pairwise(sizes)]
    biases = [0.1 * rng.standard_normal(a) for a in sizes[1:]]
    kinds, rate = ("relu", "identity"), 0.2
    for _ in range(_STEPS):
        _, gradients = loss_and_gradients(
            Network(tuple(map(Dense, weights, biases, kinds))), x, labels, l2=ridge
        )
        moved = [W - rate * one.weight for W, one in zip(weights, gradients)]
        weights = [np.sign(W) * np.maximum(np.abs(W) - rate * lasso, 0.0) for W in moved]
        biases = [b - rate * np.asarray(one.bias) for b, one in zip(biases, gradients)]
    return Network(tuple(map(Dense, weights, biases, kinds))), x, labels, ridge, lasso
