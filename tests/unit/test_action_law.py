"""Actions have the law of what dense draws do: two-sample tests, and wrong variants that they refute.

Null: the joint law of ``W x``, ``S x``, ``W' x``, ``|R|_F^2``, ``<S, R>`` and the leading values is that of
dense draws with the same frames and inputs. Each fact, a function of one draw, is compared by a two-sample
Kolmogorov-Smirnov test at level 1e-9 (asymptotic, conservative bound), so all of the some thousand below at
1e-6. With 800 draws against 8,000 the critical distance is 0.121, and laws further apart than 0.121 + 0.08
are told apart with power 0.999; the slow run, with 12,000 against 60,000, sees 0.033 + 0.02. Dependence is
tested by inner products within and across images, by the energy that the inputs do not see, by logits,
losses and accuracies of a network with this layer, and by random projections of all the standardised facts
together.
"""

from __future__ import annotations

import functools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from rmttheory.arrays import Stream
from rmttheory.matrices import actions, edge_sampling, sample_action
from rmttheory.matrices.edge_sampling import TwoSidedBand

DRAWS, DENSE = 800, 8_000
G = 1.5
LARGE = 0.75
SHAPES = {0.25: (24, 6), 1.0: (12, 12), 4.0: (6, 24), 0.8: (5, 4), LARGE: (160, 120)}
STRENGTHS = {0: (), 1: (1.8,), 3: (2.2, 1.6, 1.6)}
CELLS = [(c, r) for c in (0.25, 1.0, 4.0) for r in STRENGTHS]
SMALL = (0.8, 1)


def critical(draws, dense):
    return math.sqrt(math.log(2 / 1e-9) / 2 * (1 / draws + 1 / dense))


def distance(a, b):
    """Two-sample Kolmogorov-Smirnov statistic."""
    both = np.concatenate([a, b])
    counts = [np.searchsorted(np.sort(x), both, side="right") / len(x) for x in (a, b)]
    return float(np.max(np.abs(counts[0] - counts[1])))


def edge(c):
    """Exceeded by some of the values of a small matrix, and by the outlier alone of a large one."""
    return (1.05 if c == LARGE else 0.85) * math.sqrt(G) * (1 + math.sqrt(c))


@functools.cache
def problem(c, r):
    """Frames, strengths, and inputs: generic, large along the signal, within it (or zero), dependent."""
    (n, m), stream = SHAPES[c], Stream(21).child(c, r)
    U, V = stream.child("U").orthonormal(n, r), stream.child("V").orthonormal(m, r)
    theta = math.sqrt(G) * c**0.25 * np.array(STRENGTHS[r])
    x, y = stream.child("x").normal((2, m), scale=1 / math.sqrt(m))
    inside = V @ np.ones(r)
    return U, theta, V, np.stack([x, y + 2 * inside, inside, x - 2 * y])


@functools.cache
def dense(c, r, draws):
    """What dense draws do, by their singular decompositions."""
    U, theta, V, X = problem(c, r)
    n, m = len(U), len(V)
    S = (U * theta) @ V.T
    R = Stream(22).child(c, r).normal((draws, n, m), scale=math.sqrt(G / n))
    u, s, vt = np.linalg.svd(S + R, full_matrices=False)
    pruned = (X @ np.swapaxes(vt, 1, 2) * np.where(s > edge(c), s, 0.0)[:, None]) @ np.swapaxes(u, 1, 2)
    whole, signal = X @ np.swapaxes(S + R, 1, 2), np.broadcast_to(X @ S.T, (draws, len(X), n))
    energies = {"energy": np.sum(R**2, axis=(1, 2)), "cross": np.sum(S * R, axis=(1, 2))}
    return SimpleNamespace(whole=whole, signal=signal, pruned=pruned, values=s[:, :3], **energies)


def drawn(c, r, draws, k):
    """The same from actions."""
    U, theta, V, X = problem(c, r)
    stream = Stream(23).child(c, r, k)
    found = [sample_action(U, theta, V, X, g=G, k=k, stream=stream.child(i)) for i in range(draws)]
    pruned = [one.truncated(edge(c)) for one in found] if k > 1 else np.nan
    return SimpleNamespace(
        whole=np.stack([one.whole for one in found]),
        signal=np.stack([one.signal for one in found]),
        pruned=np.array(pruned),
        values=np.array([one.values[:3] for one in found]),
        energy=np.array([one.noise_energy for one in found]),
        cross=np.array([one.cross for one in found]),
    )


def facts(seen, X, *, triplets):
    """Functions of one draw."""
    noise = seen.whole - seen.signal
    found = {"energy": seen.energy, "cross": seen.cross}
    *_, lengths, basis = np.linalg.svd(X.T, full_matrices=False)
    spans = lengths > 1e-9
    weights = basis[spans] / lengths[spans, None]  # to an orthonormal basis of what the inputs span
    found["unseen energy"] = seen.energy - np.sum((weights @ noise) ** 2, axis=(1, 2))
    found["unseen cross"] = seen.cross - np.sum((weights @ noise) * (weights @ seen.signal), axis=(1, 2))
    images = {"whole": seen.whole, "noise": noise}
    if triplets:
        images |= {"pruned": seen.pruned, "removed": seen.whole - seen.pruned}
        found |= {f"value {j}": seen.values[:, j] for j in range(3)}
    for name, rows in images.items():
        found |= {f"{name} {s} {i}": rows[:, s, i] for s in range(4) for i in (0, 3)}
        gram, along = rows @ np.swapaxes(rows, 1, 2), rows @ np.swapaxes(seen.signal, 1, 2)
        across = rows @ np.swapaxes(seen.whole, 1, 2)
        found |= {f"{name} inner {s} {t}": gram[:, s, t] for s, t in [(0, 0), (1, 1), (2, 2), (0, 1), (1, 2)]}
        found |= {f"{name} with signal {s} {t}": along[:, s, t] for s, t in [(0, 1), (1, 1), (2, 2)]}
        found |= {f"{name} with whole {s} {t}": across[:, s, t] for s, t in [(0, 1), (1, 0), (1, 1), (2, 1)]}
    return found


def network_facts(seen, *, triplets):
    """What the rest of a network, a relu and a readout, makes of the layer before and after a removal."""
    readout = Stream(25).normal((3, seen.whole.shape[2]), scale=1.0)
    labels = np.array([0, 1, 2, 0])
    removals = {"W": seen.whole, "S": seen.signal} | ({"W'": seen.pruned} if triplets else {})
    logits = {name: np.maximum(rows, 0.0) @ readout.T for name, rows in removals.items()}
    right = {name: z[:, np.arange(4), labels] for name, z in logits.items()}
    losses = {name: np.mean(np.log(np.sum(np.exp(z), 2)) - right[name], 1) for name, z in logits.items()}
    hits = {name: np.sum(right[name] >= np.max(z, axis=2), axis=1) for name, z in logits.items()}
    found = {f"logit {j} with {name}": z[:, 1, j] for name, z in logits.items() for j in (0, 2)}
    for name in removals.keys() - {"W"}:
        found[f"change of a logit, {name}"] = (logits[name] - logits["W"])[:, 0, 1]
        found[f"loss change, {name}"] = losses[name] - losses["W"]
        found[f"accuracy change, {name}"] = (hits[name] - hits["W"]).astype(float)
    return found


def distances(seen, c, r, draws=DENSE, *, triplets=True):
    """Distance of each fact from its law, and of random projections of all; 0 or 1 for what is constant."""
    X = problem(c, r)[3]
    law, found = (
        facts(one, X, triplets=triplets) | network_facts(one, triplets=triplets)
        for one in (dense(c, r, draws), seen)
    )
    constant = {name: row[0] for name, row in law.items() if np.std(row) < 1e-9}
    missed = {name: float(np.max(np.abs(found[name] - value)) > 1e-9) for name, value in constant.items()}
    law = {name: row for name, row in law.items() if name not in constant}
    scales = [(np.mean(row), np.std(row)) for row in law.values()]
    tables = [np.stack([(x[name] - a) / b for name, (a, b) in zip(law, scales)]) for x in (found, law)]
    weights = Stream(24).normal((12, len(law)))
    mixed = {f"projection {i}": pair for i, pair in enumerate(zip(*(weights @ table for table in tables)))}
    pairs = {name: (found[name], row) for name, row in law.items()} | mixed
    return missed | {name: distance(*pair) for name, pair in pairs.items()}


def refuted(seen, c, r, draws=DENSE, *, triplets=True):
    limit = critical(len(seen.energy), draws)
    return {name: d for name, d in distances(seen, c, r, draws, triplets=triplets).items() if d > limit}


@pytest.mark.parametrize(("c", "r"), [*CELLS, SMALL])
def test_images_triplets_and_energies(c, r):
    assert refuted(drawn(c, r, DRAWS, min(SHAPES[c])), c, r) == {}


@pytest.mark.parametrize(("c", "r"), [(1.0, 0), (0.25, 1), (4.0, 3)])
def test_images_without_triplets(c, r):
    assert refuted(drawn(c, r, DRAWS, 0), c, r, triplets=False) == {}


@pytest.mark.slow
@pytest.mark.parametrize(("c", "r"), CELLS)
def test_images_triplets_and_energies_closely(c, r):
    assert refuted(drawn(c, r, 12_000, min(SHAPES[c])), c, r, 60_000) == {}


@pytest.mark.slow
@pytest.mark.parametrize("r", [1, 3])
def test_triplets_of_a_corner(r):
    """Where the corner is less than the whole."""
    band = TwoSidedBand(SHAPES[LARGE], np.ones(1), 3, Stream())
    assert 2 * band.corner < 120
    assert refuted(drawn(LARGE, r, 2000, r + 2), LARGE, r, 6000) == {}


def forced_corner(monkeypatch, columns):
    """Take the corner of this many columns, whether or not it holds the triplets."""
    monkeypatch.setattr(actions, "settle", lambda band, drawn, *_: band.top(drawn[:columns]))
    monkeypatch.setattr(TwoSidedBand, "corner", TwoSidedBand.whole)


def with_tail(change):
    """The Haar frame of the inputs with another part beyond the corner, of which it holds one row."""
    real = actions._frame

    def frame(normal):
        rows = real(normal)
        return np.concatenate([rows[:1], change(rows[1:])])

    return frame


def test_images_of_any_corner(monkeypatch):
    """Images and energies are exact whatever the corner. Without the inputs' part beyond it, and with that
    part as long as if none were in the corner, they are not.
    """
    forced_corner(monkeypatch, 2)
    assert refuted(drawn(*SMALL, DRAWS, 1), *SMALL, triplets=False) == {}
    for wrong in (lambda tail: 0 * tail, lambda tail: np.eye(*tail.shape)):
        with monkeypatch.context() as patch:
            patch.setattr(actions, "_frame", with_tail(wrong))
            assert refuted(drawn(*SMALL, DRAWS, 1), *SMALL, triplets=False)


def test_swapped_frames_are_refuted(monkeypatch):
    right = problem(1.0, 1)
    U, theta, V, X = right
    monkeypatch.setitem(globals(), "problem", lambda *_: (V, theta, U, X))
    seen = drawn(1.0, 1, DRAWS, 12)
    monkeypatch.setitem(globals(), "problem", lambda *_: right)
    assert "whole inner 1 1" in refuted(seen, 1.0, 1)


def test_energies_of_another_draw_are_refuted():
    """Alone each has the right law."""
    seen = drawn(*SMALL, DRAWS, 4)
    for name in ("energy", "cross"):
        wrong = SimpleNamespace(**(vars(seen) | {name: np.roll(getattr(seen, name), 1)}))
        found = refuted(wrong, *SMALL)
        assert name not in found
        assert f"unseen {name}" in found


def errors(monkeypatch, draws=1500):
    """Deviations of ``|R|_F^2``, ``|R x|^2`` and a squared coordinate of ``x`` at the corner from their means
    4, 1 and 1/3, in standard errors: ``4 x 4``, one spike, a corner of two columns.
    """
    forced_corner(monkeypatch, 2)
    frames, real = [], actions._frame
    monkeypatch.setattr(actions, "_frame", lambda normal: frames.append(real(normal)) or frames[-1])
    x, stream = np.eye(4)[1:2], Stream(25)
    found = [
        sample_action(np.eye(4, 1), [1.0], np.eye(4, 1), x, k=1, stream=stream.child(i)) for i in range(draws)
    ]
    monkeypatch.setattr(actions, "_frame", real)
    seen = np.array(
        [(one.noise_energy, np.sum(one.whole**2), frame[0, 0] ** 2) for one, frame in zip(found, frames)]
    )
    return (np.mean(seen, axis=0) - [4.0, 1.0, 1 / 3]) / (np.std(seen, axis=0) / math.sqrt(draws))


def test_one_degree_of_freedom_is_seen(monkeypatch):
    """Level 1e-6 for each (4.9 standard errors, and six of one variable). A chi variable with one degree more
    adds 1/4 to the mean of ``|R|_F^2``, whose standard deviation is ``sqrt(2)``: with 1,500 draws that is
    6.8 standard errors; one of the frame takes 1/12 from the squared coordinate, 10 standard errors.
    """
    assert np.all(np.abs(errors(monkeypatch)) <= 4.9)
    for module, place in [(edge_sampling, 2), (edge_sampling, 3), (actions, 2), (actions, 1), (actions, 3)]:
        real = module.chi

        def wrong(rng, degrees, size, real=real, place=place, module=module):
            changed = np.array(degrees, dtype=float)
            if module is actions:
                changed += changed == place  # the frame has 2 degrees, the tail below the band 1, the rest 3
            else:
                changed.reshape(-1)[place] += 1.0
            return real(rng, changed, size)

        with monkeypatch.context() as patch:
            patch.setattr(module, "chi", wrong)
            assert np.max(np.abs(errors(patch))) > 4.9
