"""An ONNX file that onnxruntime runs with other matrices."""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rmttheory.arrays import HostArray, InvalidInput, Unavailable
from rmttheory.networks import Network, open_weights
from rmttheory.networks.layers import Dense, Layer
from rmttheory.networks.weights import Weights
from rmttheory.studies.running import Tail


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
            return self._outputs(str(self._path), x, None)[0]
        with tempfile.TemporaryDirectory() as folder:
            copied = Path(folder) / self._path.name
            self.weights.write(copied, matrices)
            return self._outputs(str(copied), x, None)[0]

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
        inputs = x
        if place != graph.input[0].name:
            model = copy.deepcopy(self._model)
            model.graph.output.append(self._onnx.ValueInfoProto(name=place))
            inputs = self._outputs(model.SerializeToString(), x, [place])[0]
        if inputs.shape != (len(x), layers[0].shape[1]):
            return Tail(network=None, inputs=np.zeros((len(x), 1)), before="a layer of several places")
        uses = Counter(_read_by(graph))
        shared = {name for name in names if uses[name] > 1}
        layout = {name: index for index, name in enumerate(names) if name not in shared}
        return Tail(
            network=Network(tuple(layers)), inputs=inputs, layers=layout, before=before, shared=shared
        )

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


def _read_by(graph: Any) -> Iterator[str]:
    """Yield the name of what a node reads, for each node, those of graphs within nodes among them."""
    for node in graph.node:
        yield from node.input
        for one in node.attribute:
            for inner in (one.g, *one.graphs):
                yield from _read_by(inner)


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
        scaled = any(one.name in ("alpha", "beta") and one.f != 1.0 for one in node.attribute)
        turned = any(one.name == "transA" and one.i for one in node.attribute)
        if scaled or turned or not _is_dense(node.input[1], weights):
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
