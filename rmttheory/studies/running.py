"""Models that can be run with other matrices: our networks, modules of PyTorch, and ONNX files.

Of each, the layers from some point to the logits are also had as a `Network`, the longest such *tail* that is
understood; what enters it is collected from the model itself.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Unavailable, to_host
from rmttheory.networks import BatchNorm, Conv2d, MaxPool2d, Network, open_weights
from rmttheory.networks.layers import Dense, Layer
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
    """

    network: Network | None
    inputs: HostArray
    layers: Mapping[str, int] = field(default_factory=dict)
    before: str = ""


class Model(Protocol):
    """Something with named matrices that maps samples to a number for each class."""

    weights: Weights

    def run(self, x: HostArray, matrices: Mapping[str, HostArray]) -> HostArray:
        """Return what it computes, with some of its matrices replaced, ``(samples, classes)``."""

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
    if isinstance(source, Network):
        return OurModel(source)
    if hasattr(source, "state_dict"):
        return TorchModel(source)
    if isinstance(source, (str, Path)):
        path = Path(source).expanduser()
        if path.suffix == ".onnx":
            return OnnxModel(path)
        return OurModel(Network.load(path))
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


class TorchModel:
    """A module on the host, in its mode of evaluation; a copy of it is changed, never itself."""

    def __init__(self, module: Any) -> None:
        if any(value.device.type != "cpu" for value in module.state_dict().values()):
            msg = "The module is not on the CPU: give `module.cpu()`."
            raise InvalidInput(msg)
        self._module = copy.deepcopy(module).eval().requires_grad_(False)
        self.weights = open_weights(self._module)

    def run(self, x: HostArray, matrices: Mapping[str, HostArray]) -> HostArray:
        """See `Model.run`."""
        module = copy.deepcopy(self._module)
        state = module.state_dict()
        for name, W in matrices.items():
            layer = self.weights[name]
            part = layer.piece(state[layer.tensor.name].numpy())  # it shares its memory with the module
            part[...] = W.reshape(part.shape)
        return _rows(module(self._tensor(x)).numpy())

    def tail(self, x: HostArray) -> Tail:
        """Only a Sequential says in which order its parts are applied."""
        parts = _parts(self._module)
        names = {id(part): name for name, part in self._module.named_modules()}
        values = [self._tensor(x)]
        for part in parts[:-1]:
            values.append(part(values[-1]))
        before = "the order of its parts" if len(parts) == 1 else ""
        for start in range(len(parts)):
            shape = tuple(values[start].shape[1:])
            try:
                network, found = _translated(parts[start:], shape)
            except NotUnderstoodError as error:
                before = str(error)
                continue
            layers = {_weight_name(names[id(part)]): index for part, index in found}
            return Tail(
                network=network,
                inputs=_rows(values[start].numpy()),
                layers=layers,
                before=before if start else "",
            )
        return Tail(network=None, inputs=np.zeros((len(x), 1)), before=before)

    def _tensor(self, x: HostArray) -> Any:
        like = next((p for p in self._module.parameters() if p.is_floating_point()), None)
        if like is None:
            msg = "The module has no parameters."
            raise InvalidInput(msg)
        return like.new_tensor(np.asarray(x))


class NotUnderstoodError(Exception):
    """The kind of a part that is not carried over."""


def _parts(module: Any) -> list[Any]:
    if type(module).__name__ != "Sequential":
        return [module]
    return [part for child in module for part in _parts(child)]


def _translated(parts: list[Any], shape: tuple[int, ...]) -> tuple[Network, list[tuple[Any, int]]]:
    """Carry parts of a Sequential over to a network; inputs have this shape."""
    layers: list[Layer] = []
    found = []
    for part in parts:
        kind = type(part).__name__
        if kind in ("Identity", "Dropout", "Dropout1d", "Dropout2d", "Flatten") and shape:
            if kind == "Flatten":
                if (part.start_dim, part.end_dim) not in ((1, -1), (1, len(shape))):
                    raise NotUnderstoodError(kind)
                shape = (int(np.prod(shape)),)
        elif kind == "ReLU" and layers and getattr(layers[-1], "activation", "") == "identity":
            layers[-1] = _with_relu(layers[-1])
        elif kind == "Linear" and len(shape) == 1:
            weight, bias = _numbers(part.weight, part.bias)
            layers.append(Dense(weight, bias, "identity"))
            found.append((part, len(layers) - 1))
            shape = (part.out_features,)
        elif kind == "Conv2d" and len(shape) == 3 and _plain(part):
            weight, bias = _numbers(part.weight, part.bias)
            layer = Conv2d(
                weight.reshape(len(weight), -1), bias, "identity", image=shape, kernel=part.kernel_size,
                stride=part.stride, padding=part.padding,
            )  # fmt: skip
            layers.append(layer)
            found.append((part, len(layers) - 1))
            shape = layer.output_image
        elif kind == "MaxPool2d" and len(shape) == 3 and _plain_pool(part):
            pool = MaxPool2d(image=shape, kernel=part.kernel_size, stride=part.stride)
            layers.append(pool)
            shape = pool.output_image
        elif kind in ("BatchNorm1d", "BatchNorm2d") and part.affine and part.track_running_stats:
            scale, shift, mean, variance = _numbers(
                part.weight, part.bias, part.running_mean, part.running_var
            )
            positions = int(np.prod(shape[1:]))
            layers.append(BatchNorm(scale, shift, mean, variance, positions=positions, epsilon=part.eps))
        else:
            raise NotUnderstoodError(kind)
    if not layers or not isinstance(layers[-1], Dense) or layers[-1].activation != "identity":
        raise NotUnderstoodError(type(parts[-1]).__name__)
    return Network(tuple(layers)), found


def _plain(part: Any) -> bool:
    zeros = part.padding_mode == "zeros" and not isinstance(part.padding, str)
    return bool(part.groups == 1 and tuple(part.dilation) == (1, 1) and zeros)


def _plain_pool(part: Any) -> bool:
    return bool(part.padding in (0, (0, 0)) and part.dilation in (1, (1, 1)) and not part.ceil_mode)


def _with_relu(layer: Layer) -> Layer:
    return replace(layer, activation="relu")  # type: ignore[type-var]


def _numbers(*tensors: Any) -> tuple[Any, ...]:
    return tuple(None if one is None else one.detach().numpy().copy() for one in tensors)


def _weight_name(module: str) -> str:
    return f"{module}.weight" if module else "weight"


def _rows(values: HostArray) -> HostArray:
    return np.asarray(values).reshape(len(values), -1)


class OnnxModel:
    """An ONNX file with one input and one output that counts, run by onnxruntime."""

    def __init__(self, path: Path) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError:
            msg = "Running ONNX files needs onnx and onnxruntime: pip install 'rmttheory[onnx]'."
            raise Unavailable(msg) from None
        self.weights = open_weights(path)
        self._path, self._runtime = path, onnxruntime
        self._onnx: Any = onnx
        self._model: Any = onnx.load(str(path))

    def run(self, x: HostArray, matrices: Mapping[str, HostArray]) -> HostArray:
        """See `Model.run`."""
        if not matrices:
            return _rows(self._outputs(str(self._path), x, None)[0])
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / self._path.name
            self.weights.write(copied, matrices)
            return _rows(self._outputs(str(copied), x, None)[0])

    def tail(self, x: HostArray) -> Tail:
        """Go back from the output as long as each operation is one of a few."""
        graph = self._model.graph
        by_output = {name: node for node in graph.node for name in node.output}
        constants = {one.name: self._onnx.numpy_helper.to_array(one) for one in graph.initializer}
        constants |= {
            node.output[0]: self._onnx.numpy_helper.to_array(node.attribute[0].t)
            for node in graph.node
            if node.op_type == "Constant" and node.attribute[0].name == "value"
        }
        place = _before_softmax(graph.output[0].name, by_output)
        layers: list[Layer] = []
        names: list[str] = []
        activation, before = "identity", ""
        while place in by_output:
            node = by_output[place]
            kind = node.op_type
            if kind in ("Identity", "Dropout"):
                place = node.input[0]
                continue
            if kind == "Relu" and layers and activation == "identity":
                inner = by_output.get(node.input[0])
                if inner is not None and inner.op_type in ("Add", "MatMul", "Gemm"):
                    activation, place = "relu", node.input[0]
                    continue
            step = _dense_step(node, by_output, constants, self.weights)
            if step is None:
                before = kind
                break
            name, bias, after = step
            layers.insert(0, Dense(self.weights[name].read(), bias, activation))
            names.insert(0, name)
            activation, place = "identity", after
        if activation == "relu" and place in by_output:
            before = before or "an activation"
        if not layers:
            return Tail(network=None, inputs=np.zeros((len(x), 1)), before=before or "its operations")
        if place == graph.input[0].name:
            inputs = _rows(x)
        else:
            model = copy.deepcopy(self._model)
            model.graph.output.append(self._onnx.ValueInfoProto(name=place))
            inputs = _rows(self._outputs(model.SerializeToString(), x, [place])[0])
        layout = {name: index for index, name in enumerate(names)}
        return Tail(network=Network(tuple(layers)), inputs=inputs, layers=layout, before=before)

    def _outputs(self, model: str | bytes, x: HostArray, names: list[str] | None) -> list[HostArray]:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        try:
            session = self._runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            taken = session.get_inputs()[0]
            kind = taken.type.removeprefix("tensor(").removesuffix(")").replace("float", "float32")
            kind = {"float3216": "float16", "double": "float64"}.get(kind, kind)
            found: list[HostArray] = session.run(names, {taken.name: np.asarray(x).astype(kind)})
        except Exception as error:  # onnxruntime raises classes of its own
            first = str(error).strip().splitlines()[0].rstrip(".")
            msg = f"{self._path} cannot be run on inputs of shape {np.shape(x)}: {first}."
            raise InvalidInput(msg) from None
        return found


def _before_softmax(place: str, by_output: Mapping[str, Any]) -> str:
    """Go back over a softmax, in one operation or in its parts, which changes no label."""
    node = by_output.get(place)
    while node is not None and node.op_type in ("Softmax", "LogSoftmax", "Identity"):
        place = node.input[0]
        node = by_output.get(place)
    if node is not None and node.op_type == "Div":
        inner = by_output.get(node.input[0])
        if inner is not None and inner.op_type == "Exp":
            shifted = by_output.get(inner.input[0])
            if shifted is not None and shifted.op_type == "Sub":
                return str(shifted.input[0])
    return place


def _dense_step(
    node: Any, by_output: Mapping[str, Any], constants: Mapping[str, HostArray], weights: Weights
) -> tuple[str, HostArray | None, str] | None:
    """Return the layer that a node ends, its biases and what it is given; None if it is no dense layer."""
    bias = None
    if node.op_type == "Gemm":
        plain = all(
            (one.name, one.f if one.name in ("alpha", "beta") else 1.0) in ((one.name, 1.0),)
            for one in node.attribute
            if one.name in ("alpha", "beta")
        ) and not any(one.name == "transA" and one.i for one in node.attribute)
        if not plain or not _is_dense(node.input[1], weights):
            return None
        if len(node.input) > 2:
            bias = constants.get(node.input[2])
            if bias is None:
                return None
        return node.input[1], _vector(bias, weights[node.input[1]].shape[0]), node.input[0]
    if node.op_type == "Add":
        sides = [name for name in node.input if name not in constants]
        if len(sides) != 1 or by_output.get(sides[0]) is None or by_output[sides[0]].op_type != "MatMul":
            return None
        bias = constants[next(name for name in node.input if name in constants)]
        node = by_output[sides[0]]
    if node.op_type != "MatMul" or not _is_dense(node.input[1], weights):
        return None
    outputs = weights[node.input[1]].shape[0]
    if bias is not None and np.size(bias) not in (1, outputs):
        return None
    return node.input[1], _vector(bias, outputs), node.input[0]


def _is_dense(name: str, weights: Weights) -> bool:
    try:
        layer = weights[name]
    except InvalidInput:
        return False
    return layer.kind == "dense" and len(layer.tensor.shape) == 2


def _vector(bias: HostArray | None, outputs: int) -> HostArray | None:
    if bias is None:
        return None
    return np.ascontiguousarray(np.broadcast_to(np.ravel(bias), (outputs,)))
