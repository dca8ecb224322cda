"""How fast the top of the spectrum of a matrix in hand is found, and how exactly.

Block Krylov (``top_singular_values``) against ``numpy.linalg.svd`` and the eigenvalues of the Gram matrix,
for noise: its edge is flat, which is the hardest case. Ratios are medians over rounds in which the three run
one after the other, in processor time of one BLAS thread, so that other work on the machine matters little.
Then the accuracy of four ways to find three values, SciPy's ``svds`` and scikit-learn's ``randomized_svd``
among them, against a full decomposition.

Run ``python simulations/dense_speed.py [--preset quick|paper]``: two shapes once, or four shapes three times.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np
from scipy.sparse import random_array
from scipy.sparse.linalg import svds

from rmttheory.matrices import Factored, Spiked, spectrum, top_singular_values
from rmttheory.studies.pool import one_blas_thread

SHAPES = ((1000, 1000), (2000, 2000), (3000, 3000), (4096, 1024))
PRESETS = {"quick": (SHAPES[:2], 1), "paper": (SHAPES, 3)}
"""Shapes, and rounds of each."""
COUNTS = (1, 3, 10)


def seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


def ratios(W: np.ndarray, rounds: int) -> None:
    """Print the time of each method beside that of the new one, and what ``auto`` takes."""
    pairs: dict[int, list[tuple[float, float, float]]] = {k: [] for k in COUNTS}
    for _ in range(rounds):
        dense = seconds(lambda: np.linalg.svd(W, compute_uv=False))
        gram = seconds(lambda: spectrum(W, method="gram"))
        for k in COUNTS:
            krylov = seconds(lambda k=k: top_singular_values(W, k))
            pairs[k].append((krylov, dense / krylov, gram / krylov))
    for k, rows in pairs.items():
        krylov, against_svd, against_gram = (statistics.median(column) for column in zip(*rows))
        shape = f"{W.shape[0]:6} x {W.shape[1]:<5} k = {k:<3}"
        print(
            f"{shape} {krylov:8.3f} s {against_svd:9.1f}x {against_gram:9.1f}x"
            f"   {top_singular_values(W, k).blocks:4} blocks   {spectrum(W, k).method}"
        )


def accuracy(W: np.ndarray) -> None:
    """Print the largest relative error of three values, by four ways to find them."""
    from sklearn.utils.extmath import randomized_svd

    exact = np.linalg.svd(W)[1][:3]
    found = top_singular_values(W, 3)
    rows = {
        f"block Krylov (claims {np.max(found.errors) / exact[0]:.0e})": found.values,
        "Gram matrix": spectrum(W, 3, method="gram").values,
        "scipy svds": np.sort(svds(W, 3, return_singular_vectors=False, random_state=1))[::-1],
        "sklearn randomized_svd": randomized_svd(W, 3, random_state=1)[1],
    }
    for name, values in rows.items():
        print(f"  {name:34} {np.max(np.abs(values / exact - 1)):9.1e}")


def beyond() -> None:
    """Print times for matrices that are never formed."""
    rng = np.random.default_rng(1)
    sparse = random_array((40_000, 20_000), density=1e-3, rng=rng, format="csr")
    factored = Factored(rng.standard_normal((100_000, 20)), rng.standard_normal((20, 50_000)))
    for name, W in (("sparse, 800 000 entries", sparse), ("factored, rank 20", factored)):
        start = time.process_time()
        found = top_singular_values(W, 3)
        elapsed = time.process_time() - start
        error = np.max(found.errors) / found.values[0]
        shape = f"{W.shape[0]} x {W.shape[1]}"
        print(f"  {name:26} {shape:15} {elapsed:7.2f} s, {found.blocks:4} blocks, error {error:.0e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    shapes, rounds = PRESETS[parser.parse_args().preset]
    with one_blas_thread():
        print(f"Block Krylov; how many times as long the others take (medians of {rounds}); what auto takes")
        print(f"{'':22} {'seconds':>9} {'svd':>10} {'Gram':>10}")
        for shape in shapes:
            ratios(Spiked(shape).sample(1).W, rounds)
        print("Relative error of three values of noise, 1000 x 1000")
        accuracy(Spiked((1000, 1000)).sample(1).W)
        print("Three values of matrices that are never formed")
        beyond()


if __name__ == "__main__":
    main()
