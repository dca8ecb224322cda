"""Whole spectra: 200 of them, one large one, and how their cost grows."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from scikit_rmt import Remote
from timing import Bench, Growth, Way, installed

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices import null_singular_values, spiked_singular_values

SPIKES = (1.5, 1.2, 1.1)
SPECTRA = 200


def fresh() -> Callable[[], Stream]:
    """Return a function that names a new stream at every call: no two calls see the same matrix."""
    numbers = itertools.count()
    return lambda: Stream(1).child("call", next(numbers))


def middle_and_top(values: HostArray) -> list[float]:
    """Mean square and mean largest value of spectra, one a row."""
    values = np.atleast_2d(values)
    return [float(np.mean(values**2)), float(np.mean(np.max(values, axis=1)))]


def fluctuation(m: int) -> float:
    """More than the mean top value of a few spectra of this size is ever off."""
    return 8.0 * m ** (-2 / 3)


def dense_way(m: int, *, gram: bool, spikes: tuple[float, ...] = SPIKES, share: float = 1.0) -> Way:
    """Draw a ``2 m x m`` matrix and decompose it with NumPy."""
    rng = np.random.default_rng(1)
    name = "NumPy Gram + eigvalsh" if gram else "NumPy svd"

    def call() -> HostArray:
        W = rng.standard_normal((2 * m, m)) / np.sqrt(2 * m)
        diagonal = np.arange(len(spikes))
        W[diagonal, diagonal] += spikes
        if gram:
            return np.sqrt(np.maximum(np.linalg.eigvalsh(W.T @ W), 0.0))
        return np.linalg.svd(W, compute_uv=False)

    return Way(name=name, call=call, share=share, kind="dense", answer=middle_and_top)


def sterf_way(m: int, *, share: float = 1.0) -> Way:
    """LAPACK's root-free QR method on the tridiagonal of the null case, drawn beforehand."""
    from scipy.linalg import eigvalsh_tridiagonal

    rng, index = np.random.default_rng(1), np.arange(m)
    diagonal, above = rng.chisquare(2 * m - index), rng.chisquare(m - index[1:])
    main, off = diagonal + np.append(0.0, above), np.sqrt(diagonal[:-1] * above)
    solve = functools.partial(eigvalsh_tridiagonal, check_finite=False, lapack_driver="sterf")
    return Way(name="LAPACK sterf alone", call=lambda: solve(main, off), share=share, kind="yardstick")


def numbers_way(m: int, *, normals: int = 0, share: float = 1.0) -> Way:
    """The random numbers of one draw and nothing else."""
    rng, index = np.random.default_rng(1), np.arange(m)
    halves = np.concatenate([2 * m - index, m - index[1:]]) / 2.0

    def call() -> HostArray:
        rng.standard_normal(normals)
        return rng.standard_gamma(halves)

    return Way(name="random numbers alone", call=call, share=share, kind="yardstick")


def _null(m: int, trials: int) -> Way:
    stream = fresh()

    def call() -> HostArray:
        return null_singular_values((2 * m, m), trials=trials, stream=stream())

    return Way(name="rmttheory", call=call, share=trials / SPECTRA, kind="ours", answer=middle_and_top)


def _spiked(m: int, trials: int, whole: int) -> Way:
    stream = fresh()

    def call() -> HostArray:
        return spiked_singular_values((2 * m, m), SPIKES, trials=trials, stream=stream())

    return Way(name="rmttheory", call=call, share=trials / whole, kind="ours", answer=middle_and_top)


def _dppy(m: int, trials: int) -> Way:
    from dppy.beta_ensembles import LaguerreEnsemble

    rng = np.random.RandomState(1)

    def call() -> Any:
        ensemble = LaguerreEnsemble(1)  # it keeps every sample, so it is made anew
        sample = functools.partial(ensemble.sample_banded_model, size_N=m, size_M=2 * m, random_state=rng)
        return [sample() for _ in range(trials)]

    return Way(name="DPPy", call=call, share=trials / SPECTRA, answer=lambda x: _of_squares(x, 2 * m))


def _beta_ensembles(m: int, trials: int) -> Way:
    from beta_ensembles import laguerre

    rng, alpha = np.random.default_rng(1), (m + 1) / 2 - 1

    def call() -> Any:
        return laguerre.spectra(1, alpha, m, trials, rng, verbose=False)

    return Way(
        name="beta-ensembles", call=call, share=trials / SPECTRA, answer=lambda x: _of_squares(x, 2 * m)
    )


def _scikit_rmt(m: int, trials: int, peers: Any) -> Remote:
    return Remote(
        interpreter=peers.scikit_rmt(), task="null spectra", size=m, count=trials, share=trials / SPECTRA
    )


def _of_squares(squares: Any, n: int) -> list[float]:
    return middle_and_top(np.sqrt(np.maximum(squares, 0.0) / n))


def null_ways(m: int, peers: Any) -> list[Way]:
    """Spectra of noise alone, 20 at a time; of dense decompositions one."""
    return [
        _null(m, 20),
        *installed(
            (
                lambda: _dppy(m, 20),
                lambda: _beta_ensembles(m, 20),
                lambda: _scikit_rmt(m, 10, peers),
            )
        ),
        dense_way(m, gram=True, spikes=(), share=1 / SPECTRA),
        dense_way(m, gram=False, spikes=(), share=1 / SPECTRA),
        sterf_way(m, share=1 / SPECTRA),
        numbers_way(m, share=1 / SPECTRA),
    ]


def _part(m: int, trials: int, number: int) -> HostArray:
    return null_singular_values((2 * m, m), trials=trials, stream=Stream(2).child("part", number))


def two_worker_ways(m: int, peers: Any) -> list[Way]:  # noqa: ARG001
    """Spectra by two processes, which are started beforehand, 20 each at a time."""
    pool = concurrent.futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))
    numbers = itertools.count()

    def call() -> HostArray:
        parts = [pool.submit(_part, m, 20, next(numbers)) for _ in range(2)]
        return np.concatenate([part.result() for part in parts])

    two = Way(
        name="rmttheory, two processes",
        call=call,
        share=40 / SPECTRA,
        kind="ours",
        answer=middle_and_top,
        in_process=False,
    )
    one = replace(_null(m, 40), name="rmttheory, one process")
    return [two, one, *installed((lambda: _dppy(m, 20), lambda: _beta_ensembles(m, 20)))]


def spiked_ways(m: int, peers: Any) -> list[Way]:  # noqa: ARG001
    """Spectra with three spikes, which no peer draws."""
    return [
        _spiked(m, 20, SPECTRA),
        dense_way(m, gram=True, share=1 / SPECTRA),
        dense_way(m, gram=False, share=1 / SPECTRA),
        sterf_way(m, share=1 / SPECTRA),
        numbers_way(m, normals=2 * m, share=1 / SPECTRA),
    ]


def one_spectrum_ways(m: int, peers: Any) -> list[Way]:  # noqa: ARG001
    """One spectrum with three spikes."""
    yardsticks = [sterf_way(m), numbers_way(m, normals=2 * m)]
    dense = [dense_way(m, gram=True), dense_way(m, gram=False)]
    return [_spiked(m, 1, 1), *yardsticks, *(dense if m <= 4000 else [])]


BENCHES = (
    Bench(
        name="null-200",
        title="200 spectra of noise, m = {size}, n = 2 m",
        ways=null_ways,
        size=1000,
        quick=200,
        tiny=40,
        tolerance=fluctuation,
    ),
    Bench(
        name="null-200-two",
        title="200 spectra of noise by two processes, m = {size}, n = 2 m",
        ways=two_worker_ways,
        size=1000,
        quick=200,
        tiny=40,
        tolerance=fluctuation,
    ),
    Bench(
        name="spiked-200",
        title="200 spectra with 3 spikes, m = {size}, n = 2 m",
        ways=spiked_ways,
        size=1000,
        quick=200,
        tiny=40,
        tolerance=fluctuation,
    ),
    *(
        Bench(
            name=f"full-{m}",
            title="one spectrum with 3 spikes, m = {size}, n = 2 m",
            ways=one_spectrum_ways,
            size=m,
            quick=quick,
            tiny=40,
            tolerance=fluctuation,
            pairs=7,
        )
        for m, quick in ((2000, 300), (4000, 400), (10000, 4100))
    ),
)

GROWTHS = (
    Growth(
        name="full-3-spikes",
        title="full spectrum with 3 spikes, in m",
        way=lambda m: _spiked(m, 1, 1),
        sizes=(1000, 2000, 4000, 8000),
        quick=(200, 400, 800),
    ),
    Growth(
        name="full-null",
        title="full spectrum of noise, in m",
        way=lambda m: _null(m, 1),
        sizes=(1000, 2000, 4000, 8000),
        quick=(200, 400, 800),
    ),
    Growth(
        name="svd",
        title="NumPy svd, in m",
        way=lambda m: dense_way(m, gram=False),
        sizes=(500, 1000, 2000, 4000),
        quick=(100, 200, 400),
        beyond=10000,
    ),
    Growth(
        name="gram",
        title="NumPy Gram + eigvalsh, in m",
        way=lambda m: dense_way(m, gram=True),
        sizes=(500, 1000, 2000, 4000),
        quick=(100, 200, 400),
        beyond=10000,
    ),
)
