"""A live ``torch.nn.Module``, known by what it can do: PyTorch itself is never imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rmttheory.arrays import HostArray, InvalidInput
from rmttheory.networks.weights._dtypes import encode
from rmttheory.networks.weights.tensors import Tensor, tensor

_ROLES = {
    "Linear": "out_in", "Bilinear": "none", "Conv1D": "in_out",
    "Embedding": "embedding", "EmbeddingBag": "embedding",
    **{f"Conv{d}d": "convolution" for d in (1, 2, 3)},
    **{f"ConvTranspose{d}d": "transposed convolution" for d in (1, 2, 3)},
    **{cell: "recurrent" for cell in ("LSTM", "GRU", "RNN", "LSTMCell", "GRUCell", "RNNCell")},
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Live:
    """A tensor of PyTorch, on any device."""

    tensor: Any
    dtype: str

    def raw(self) -> HostArray:
        host = self.tensor.detach().cpu()
        if self.dtype == "bfloat16" or self.dtype.startswith("float8"):  # NumPy has no type for them
            return encode(host.float().numpy(), self.dtype)
        values: HostArray = host.numpy()
        return values


def read(module: Any) -> list[Tensor]:
    """Return the entries of ``module.state_dict()`` with the class of the module that each belongs to.

    Raises
    ------
    InvalidInput
        If it has no such method, or what it returns are no tensors.
    """
    try:
        state = dict(module.state_dict())
        classes = {name: type(part).__name__ for name, part in module.named_modules()}
    except (AttributeError, TypeError):
        msg = f"`source` must be a path or a torch.nn.Module, not {type(module).__name__}."
        raise InvalidInput(msg) from None
    found = []
    for name, value in state.items():
        if not hasattr(value, "detach"):
            continue  # what a module keeps beside its tensors
        dtype = str(value.dtype).removeprefix("torch.")
        kind = classes.get(name.rpartition(".")[0], "")
        found.append(
            tensor(
                name,
                tuple(value.shape),
                dtype,
                nbytes=value.numel() * value.element_size(),
                where=type(module).__name__,
                storage=Live(tensor=value, dtype=dtype),
                role=_ROLES.get(kind, ""),
                evidence=kind,
            )
        )
    return found
