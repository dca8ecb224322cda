"""What `inspect` finds in real layers, and in matrices of the same shapes whose truth is known.

    python tests/benchmarks/planted_layers.py FILE [FILE ...] [--draws 5]

Every layer is drawn again as Gaussian noise at the level that was fitted, with a planted spike for each one
that was found, as strong as theory says that it was; a crowded fit, which vouches for no count, is left out.
The edge of a copy is known, since its noise level is, and so is how many of its values are above that edge:
where spikes are many they repel each other, and the lowest of them sink into the bulk. Counts and edges of
`inspect`, which is told neither the level nor the number of spikes, are compared with these.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Any

if __name__ == "__main__":
    for library in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{library}_NUM_THREADS"] = "1"

import numpy as np

import rmttheory as rt
from rmttheory.arrays import Stream
from rmttheory.matrices import EdgeStatus, Spiked, spike_from_outlier

HEADINGS = (
    "file",
    "layers, crowded",
    "values above the edge",
    "found",
    "copies with the exact count, off by one",
    "edge over the true one, mean, sd",
)


@dataclass(frozen=True)
class Copy:
    """Values above the true edge of a planted matrix, how many were found, and the edge over the true one."""

    true: int
    found: int
    edge: float


def copy(layer: Any, stream: Stream) -> Copy:
    """Plant the spikes of one layer in fresh noise, and look at it."""
    (n, m), fit = layer.shape, layer.edge
    thetas = tuple(spike_from_outlier(float(s), m / n, fit.g).theta for s in layer.values[: fit.spikes])
    look = rt.inspect_layer(Spiked(shape=(n, m), spikes=thetas, g=fit.g).sample(rng=stream).W)
    return Copy(int(np.sum(look.values > fit.edge)), look.edge.spikes, look.edge.edge / fit.edge)


def main() -> None:
    """Print a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--draws", type=int, default=5, help="copies of each layer")
    options = parser.parse_args()
    print(f"| {' | '.join(HEADINGS)} |")
    print("|---|---|---|---|---|---|")
    for number, file in enumerate(options.files):
        layers = rt.inspect(file).layers
        settled = [layer for layer in layers if layer.edge.status is not EdgeStatus.CROWDED]
        stream = Stream(0).child("planted", number)
        copies = [
            copy(one, stream.child(i, j)) for i, one in enumerate(settled) for j in range(options.draws)
        ]
        errors = np.array([abs(one.found - one.true) for one in copies])
        edges = np.array([one.edge for one in copies])
        print(
            f"| {os.path.basename(file)} | {len(layers)}, {len(layers) - len(settled)} "
            f"| {sum(one.true for one in copies)} | {sum(one.found for one in copies)} "
            f"| {np.mean(errors == 0):.0%}, {np.mean(errors == 1):.0%} "
            f"| {edges.mean():.4f}, {edges.std():.4f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
