"""The top of the spectrum, counts, and the edge of the bulk."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scikit_rmt import Remote
from spectra import SPIKES, fluctuation, fresh
from timing import Bench, Growth, Way, installed

from rmttheory.arrays import HostArray
from rmttheory.matrices import (
    Spiked,
    count_singular_values,
    fit_edge,
    null_singular_values,
    sample_edge,
    singular_values,
    spike_threshold,
)

TOP = 3
DENSEST = 4000
"""Rows up to which the whole matrix is drawn and decomposed as well."""


def _edge(n: int) -> Way:
    stream = fresh()

    def call() -> Any:
        return sample_edge((n, n // 2), SPIKES, k=TOP, stream=stream())

    return Way(name="rmttheory", call=call, kind="ours", answer=lambda found: found.values[0, 0])


def edge_ways(n: int, peers: Any) -> list[Way]:  # noqa: ARG001
    """Top 3 values with both overlaps, of one matrix with three spikes."""
    if n > DENSEST:
        return [_edge(n)]
    from scipy.sparse.linalg import svds

    rng = np.random.default_rng(1)

    def draw() -> HostArray:
        W = rng.standard_normal((n, n // 2)) / np.sqrt(n)
        W[range(TOP), range(TOP)] += SPIKES
        return W

    kind = {"kind": "dense", "answer": lambda found: np.max(found[1])}
    return [
        _edge(n),
        Way(name="NumPy svd", call=lambda: np.linalg.svd(draw(), full_matrices=False), **kind),
        Way(name="SciPy svds", call=lambda: svds(draw(), TOP), **kind),
    ]


def top_value_ways(n: int, peers: Any) -> list[Way]:
    """The largest singular value of ``n x n`` noise: the task is one of them."""
    stream, many = fresh(), 200

    def top() -> Any:
        return sample_edge((n, n), trials=many, stream=stream())

    def top_of_null() -> Any:
        return null_singular_values((n, n), trials=many, k=1, stream=stream())

    def remote() -> Remote:
        return Remote(interpreter=peers.scikit_rmt(), task="top value", size=n, count=2, share=2)

    kind = {"share": many, "kind": "ours"}
    return [
        Way(name="rmttheory", call=top, answer=lambda x: np.mean(x.values), **kind),
        Way(name="rmttheory, null_singular_values", call=top_of_null, answer=np.mean, **kind),
        *installed((lambda: _dppy_top(n), lambda: _beta_ensembles_top(n), remote)),
    ]


def _dppy_top(n: int) -> Way:
    from dppy.beta_ensembles import LaguerreEnsemble

    rng = np.random.RandomState(1)

    def call() -> float:
        squares = LaguerreEnsemble(1).sample_banded_model(size_N=n, size_M=n, random_state=rng)
        return float(np.sqrt(np.max(squares) / n))

    return Way(name="DPPy", call=call, answer=lambda top: top)


def _beta_ensembles_top(n: int) -> Way:
    from beta_ensembles import laguerre

    rng = np.random.default_rng(1)

    def call() -> float:
        return float(np.sqrt(np.max(laguerre.spectra(1, -0.5, n, 1, rng, verbose=False)) / n))

    return Way(name="beta-ensembles", call=call, answer=lambda top: top)


def krylov_ways(n: int, peers: Any) -> list[Way]:  # noqa: ARG001
    """The top 3 of a given ``n x n`` matrix of noise, whose edge is flat."""
    from scipy.sparse.linalg import svds

    from rmttheory.matrices.krylov import top_singular_values

    W = np.random.default_rng(1).standard_normal((n, n)) / np.sqrt(n)

    def gram() -> HostArray:
        return np.sqrt(np.linalg.eigvalsh(W.T @ W)[-TOP:][::-1])

    def by_svds() -> HostArray:
        return np.sort(svds(W, TOP, return_singular_vectors=False))[::-1]

    answer = {"answer": lambda values: values[:TOP], "kind": "dense"}
    ours = Way(
        name="rmttheory",
        call=lambda: top_singular_values(W, TOP),
        kind="ours",
        answer=lambda found: found.values,
    )
    return [
        ours,
        Way(name="NumPy svd", call=lambda: np.linalg.svd(W, compute_uv=False), **answer),
        Way(name="NumPy Gram + eigvalsh", call=gram, **answer),
        Way(name="SciPy svds", call=by_svds, **answer),
    ]


def _counts(n: int, spikes: tuple[float, ...], points: int) -> Way:
    at, stream = np.linspace(0.29, 1.71, points), fresh()

    def call() -> HostArray:
        return count_singular_values((n, n // 2), at, spikes, stream=stream())

    return Way(name="rmttheory", call=call, kind="ours")


def bema_ways(m: int, peers: Any) -> list[Way]:  # noqa: ARG001
    """Edge of a ``4 m x m`` matrix with five spikes, from its singular values."""
    sys.path.append(str(Path(__file__).parents[2] / "simulations"))
    from edge_speed import slow_bema

    shape = (4 * m, m)
    strengths = np.array([1.15, 1.4, 1.6, 1.8, 2.0]) * spike_threshold(0.25)
    s = singular_values(Spiked(shape, tuple(strengths)).sample(1).W)
    plain = functools.partial(slow_bema, s, shape)
    return [
        Way(name="rmttheory", call=lambda: fit_edge(s, shape), kind="ours", answer=lambda found: found.edge),
        Way(name="one quantile at a time", call=plain, answer=lambda edge: edge),
    ]


BENCHES = (
    *(
        Bench(
            name=f"edge-1e{power}" if power > 4 else "edge-2000",
            title="top 3 values and overlaps, 3 spikes, n = {size}, m = n / 2",
            ways=edge_ways,
            size=10**power if power > 4 else 2000,
            quick=10**power if power > 4 else 400,
            tiny=400,
            tolerance=fluctuation,
        )
        for power in (3, 6, 9, 12)
    ),
    Bench(
        name="top-null",
        title="largest value of noise, n = m = {size}, of 200 drawn together",
        ways=top_value_ways,
        size=2000,
        quick=400,
        tiny=60,
        tolerance=fluctuation,
    ),
    Bench(
        name="krylov",
        title="top 3 of a given matrix of noise, n = m = {size}",
        ways=krylov_ways,
        size=2000,
        quick=400,
        tiny=60,
        tolerance=lambda size: 1e-6,  # noqa: ARG005
        random=False,
        pairs=7,
    ),
    Bench(
        name="counts-null",
        title="empirical distribution of noise at 512 points, n = {size}, m = n / 2",
        ways=lambda n, peers: [_counts(n, (), 512)],  # noqa: ARG005
        size=10**6,
        quick=10**4,
        tiny=60,
        pairs=5,
    ),
    Bench(
        name="counts-3-spikes",
        title="empirical distribution with 3 spikes at 512 points, n = {size}, m = n / 2",
        ways=lambda n, peers: [_counts(n, SPIKES, 512)],  # noqa: ARG005
        size=10**6,
        quick=10**4,
        tiny=60,
        pairs=5,
    ),
    Bench(
        name="bema",
        title="edge (BEMA) of a 4 m x m matrix from its values, 5 spikes, m = {size}",
        ways=bema_ways,
        size=1024,
        quick=128,
        tiny=64,
        tolerance=lambda size: 0.05,  # noqa: ARG005
        random=False,
    ),
)

GROWTHS = (
    Growth(
        name="edge",
        title="top 3 values and overlaps, in n",
        way=_edge,
        sizes=(10**4, 10**6, 10**8, 10**10, 10**12),
        quick=(10**4, 10**6, 10**8),
    ),
    Growth(
        name="counts-null",
        title="counts of noise at 16 points, in n",
        way=lambda n: _counts(n, (), 16),
        sizes=(10**4, 10**5, 10**6),
        quick=(10**3, 10**4, 10**5),
    ),
    Growth(
        name="counts-3-spikes",
        title="counts with 3 spikes at 16 points, in n",
        way=lambda n: _counts(n, SPIKES, 16),
        sizes=(10**4, 10**5, 10**6),
        quick=(10**3, 10**4, 10**5),
    ),
)
