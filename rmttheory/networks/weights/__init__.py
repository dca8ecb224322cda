"""Weight files of other programs: read without running anything, changed without touching the rest."""

from rmttheory.networks.weights.catalogue import Weights
from rmttheory.networks.weights.layers import Layer
from rmttheory.networks.weights.opening import open_weights
from rmttheory.networks.weights.tensors import Tensor

__all__ = ["Layer", "Tensor", "Weights", "open_weights"]
