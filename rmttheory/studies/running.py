"""Models that can be run with other matrices: our networks, modules of PyTorch, and ONNX files.

Of each, the layers from some point to the logits are also had as a `Network`, the longest such *tail* that is
understood; what enters it is collected from the model itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, to_host
from rmttheory.networks import Network
from rmttheory.networks.weights import Weights
from rmttheory.studies.inspecting import find_weights


@dataclass(frozen=True, kw_only=True, eq=False)
class Tail:
    """The last layers of a model.

    Attributes
    ----------
    network : Network or None
        None if not even the last layer is understood.
    inputs : ndarray, shape (samples, width)
        What enters it.
    layers : mapping of str to int
        Which layer of the model is which of the network.
    before : str
        What comes before it and is not understood, in words; empty if nothing does.
    shared : collection of str
        Layers that the model uses in several places; none of them is among ``layers``.
    """

    network: Network | None
    inputs: HostArray
    layers: Mapping[str, int] = field(default_factory=dict)
    before: str = ""
    shared: Collection[str] = ()


class Model(Protocol):
    """Something with named matrices that maps samples to a number for each class."""

    weights: Weights

    def run(self, x: HostArray, matrices: Mapping[str, HostArray]) -> HostArray:
        """Return what it computes, with some of its matrices replaced; raises `InvalidInput` if it cannot."""

    def tail(self, x: HostArray) -> Tail:
        """Return its last layers, and what enters them."""


def find_model(source: Any) -> Model:
    """Return what can be run of a network of ours, a module, or a file.

    Raises
    ------
    InvalidInput
        If it is none of these.
    Unavailable
        If it is an ONNX file, and onnx or onnxruntime is not installed.
    """
    from rmttheory.studies.running_onnx import OnnxModel  # they take `Tail` from here
    from rmttheory.studies.running_torch import TorchModel

    if isinstance(source, Network):
        return OurModel(source)
    if hasattr(source, "state_dict"):
        return TorchModel(source)
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        return OnnxModel(path) if path.suffix == ".onnx" else OurModel(Network.load(path))
    msg = f"`model` must be a Network, a torch.nn.Module or a file, not {type(source).__name__}."
    raise InvalidInput(msg)


class OurModel:
    """A `Network`, all of which is understood."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._layers = {f"layers.{index}.weight": index for index in network.weighted}
        self.weights = find_weights(
            {name: network.layers[index].matrix for name, index in self._layers.items()}
        )

    def run(self, x: HostArray, matrices: Mapping[str, HostArray]) -> HostArray:
        """See `Model.run`."""
        network = self._network
        for name, W in matrices.items():
            old = network.layers[self._layers[name]].weight
            network = network.replace(self._layers[name], np.asarray(W, to_host(old).dtype))
        return to_host(network.logits(x))

    def tail(self, x: HostArray) -> Tail:
        """See `Model.tail`."""
        return Tail(network=self._network, inputs=to_host(self._network.inputs(x)), layers=self._layers)
