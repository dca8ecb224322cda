"""Make ``edge_null.npz``: ``python -m rmttheory.matrices.tables.make_edge_null``, a few minutes.

It holds what `fit_edge` finds in noise of 256 values. Of 20,000 spectra at each of nine aspect ratios, fitted
with the default method, window and level, 499 quantiles are kept at multiples of 1/500. They stand for 499
draws, with a seventh of their sampling error.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rmttheory.arrays import HostArray, Stream
from rmttheory.matrices import edges
from rmttheory.matrices._bulks import NULL_DRAWS, equal_variances
from rmttheory.matrices.band import null_singular_values

ROOTS = np.linspace(0.0, 1.0, 9)
"""Square roots of the aspect ratio; 0 stands for a million rows."""
BATCHES, BATCH = 40, 500


def quantiles(root: float) -> tuple[HostArray, HostArray]:
    """Return quantiles of misfits and of scores at one aspect ratio."""
    m = edges.NULL_SIZE
    n = round(m / root**2) if root > 0 else 1_000_000
    bulk, nulls = equal_variances(n, m), []
    for i in range(BATCHES):
        draws = null_singular_values((n, m), trials=BATCH, stream=Stream(2).child("edge null", n, i))
        nulls.append(edges.fit_noise(draws[:, ::-1], bulk, *edges.TABULATED))
    at = np.arange(1, NULL_DRAWS + 1) / (NULL_DRAWS + 1)
    misfits, scores = (
        np.concatenate([getattr(null, name) for null in nulls]) for name in ("misfits", "scores")
    )
    return np.quantile(misfits, at), np.quantile(scores, at)


def main() -> None:
    """Write the table beside this file."""
    found = [quantiles(float(root)) for root in ROOTS]
    misfits, scores = (np.stack(one).astype(np.float32) for one in zip(*found))
    target = Path(__file__).with_name("edge_null.npz")
    np.savez_compressed(target, roots=ROOTS, misfits=misfits, scores=scores)
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
