"""Make ``fashion-mnist-3000.npz`` from the four files of Fashion-MNIST.

    python make_fashion_mnist_3000.py [FOLDER]

The first 200 images of each class of the training file and the first 100 of each class of the test file, in
the order of the files. Prints the SHA-256 of the content, which `rmttheory.networks.datasets` checks.
"""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

import numpy as np

from rmttheory.arrays import HostArray
from rmttheory.networks.files import read_bytes, read_idx


def main() -> None:
    """Write the file beside this script."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/datasets/fashion-mnist")
    arrays = {}
    for half, stem, count in (("train", "train", 200), ("test", "t10k", 100)):
        images = read_idx(read_bytes(folder / f"{stem}-images-idx3-ubyte.gz"), dimensions=3)
        labels = read_idx(read_bytes(folder / f"{stem}-labels-idx1-ubyte.gz"), dimensions=1)
        chosen = first_of_each_class(labels, count)
        arrays[f"{half}_x"] = images[chosen].reshape(len(chosen), -1)
        arrays[f"{half}_y"] = labels[chosen]
    np.savez_compressed(Path(__file__).with_name("fashion-mnist-3000.npz"), **arrays)  # type: ignore[arg-type]
    print(sha256(b"".join(array.tobytes() for array in arrays.values())).hexdigest())


def first_of_each_class(labels: HostArray, count: int) -> HostArray:
    """Return the indices of the first ``count`` samples of every class, ascending."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in np.unique(labels)]))


if __name__ == "__main__":
    main()
