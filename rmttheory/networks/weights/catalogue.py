"""What a weight file holds, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import InvalidInput
from rmttheory.networks.weights._storage import Inflated
from rmttheory.networks.weights._writing import Change, write_copy
from rmttheory.networks.weights.layers import Layer, find_layers
from rmttheory.networks.weights.tensors import Tensor


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The catalogue of a weight file: nothing is in memory but names and places.

    Attributes
    ----------
    source : str
        Path of the file, or the class of the module.
    format : str
        ``safetensors``, ``sharded``, ``npy``, ``npz``, ``onnx``, ``torch``, ``hdf5``, ``keras`` or
        ``module``.
    tensors : mapping of str to Tensor
        In the order of the file.
    metadata : mapping of str to str
        Texts that the file holds beside them.
    files : tuple of str
        What it consists of, the file that was opened first.
    """

    source: str
    format: str
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    @cached_property
    def layers(self) -> tuple[Layer, ...]:
        """The matrices among the tensors, each with how it was taken to be one."""
        return self._found[0]

    @cached_property
    def skipped(self) -> dict[str, str]:
        """Why each other tensor is no matrix to analyse."""
        return self._found[1]

    @cached_property
    def _by_name(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    @cached_property
    def _found(self) -> tuple[tuple[Layer, ...], dict[str, str]]:
        return find_layers(self.tensors)

    def __getitem__(self, name: str) -> Layer:
        """Return the layer of that name.

        Raises
        ------
        InvalidInput
            If there is none; the message says why a tensor of that name is no layer.
        """
        if name in self._by_name:
            return self._by_name[name]
        why = self.skipped.get(name)
        msg = f"{self.source} has no layer {name!r}" + (f": {why}." if why else ".")
        raise InvalidInput(msg)

    def write(
        self, path: str | Path, changes: Mapping[str, Any] | Iterable[tuple[str | Layer | Tensor, Any]]
    ) -> None:
        """Write a copy in which some layers or tensors have other numbers.

        Format, names, kinds of numbers, metadata and all bytes of what is not changed stay. The copy appears
        whole or not at all; of a file in several parts, the one that was opened appears last.

        Parameters
        ----------
        path : path
            The copy; it may replace the file itself if that is in one part.
        changes : mapping or iterable of pairs
            Each a `Layer`, or its name, with a matrix of its shape; or a `Tensor`, or its name where no layer
            has it, with an array of its shape. An iterable is used up one pair at a time, so that no more
            than one array has to be in memory.

        Raises
        ------
        InvalidInput
            If a name is unknown, a shape differs, a number is too large for the kind of numbers, or the place
            does not allow it.
        """
        pairs = changes.items() if isinstance(changes, Mapping) else changes
        new = (self._change(target, values) for target, values in pairs)
        packed = any(isinstance(tensor.storage, Inflated) for tensor in self.tensors.values())
        write_copy(Path(path), files=self.files, packed=packed, changes=new)

    def _change(self, target: str | Layer | Tensor, values: Any) -> Change:
        if isinstance(target, str):
            found = self._by_name.get(target) or self.tensors.get(target)
            if found is None:
                msg = f"{self.source} has no layer or tensor {target!r}."
                raise InvalidInput(msg)
            target = found
        values = np.asarray(values)
        if values.shape != target.shape or values.dtype.kind not in "fiu":
            msg = (
                f"{target.name!r} needs real numbers of shape {target.shape}, not {values.dtype} of shape "
                f"{values.shape}."
            )
            raise InvalidInput(msg)
        return Change(target=target, values=values)
