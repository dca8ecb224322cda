"""Steps of training in float32, against PyTorch on the same core and against the matrix products alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from timing import Bench, Way, installed

from rmttheory.arrays import HostArray, Placement, Stream
from rmttheory.networks import (
    SGD,
    Conv2d,
    Dataset,
    Dense,
    MaxPool2d,
    Network,
    convolutional_network,
    initial_network,
)
from rmttheory.networks.training import _start, _step

BATCH, CLASSES, RATE, MOMENTUM = 128, 10, 0.01, 0.9
STREAM = Stream(3, placement=Placement(dtype="float32"))


def batch(inputs: int) -> tuple[HostArray, HostArray]:
    """Images of noise, and labels."""
    return STREAM.child("x").uniform((BATCH, inputs)), np.arange(BATCH) % CLASSES


def our_steps(network: Network) -> Callable[[], Network]:
    """A step a call, as `train` takes it."""
    x, labels = batch(network.sizes[0])
    facts = {"name": "noise", "source": "here", "licence": "none", "classes": CLASSES}
    data = Dataset(train_x=x, train_y=labels, test_x=x[:1], test_y=labels[:1], **facts)
    optimiser = SGD(RATE, MOMENTUM)
    state, half, _ = _start(network, data, optimiser)

    def call() -> Network:
        _step(state, half, optimiser, rate=RATE, l1=0.0, l2=0.0, stream=STREAM)
        return state.network

    return call


def torch_steps(network: Network) -> Callable[[], Any]:
    """The same with `torch.nn`, from the same weights."""
    import torch

    torch.set_num_threads(1)
    model = torch.nn.Sequential(*_modules(network))
    with torch.no_grad():
        for p, value in zip(model.parameters(), _parameters(network)):
            p.copy_(torch.tensor(value.reshape(p.shape)))
    optimiser = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    x, labels = (torch.tensor(part) for part in batch(network.sizes[0]))
    x = x.reshape(BATCH, *getattr(network.layers[0], "image", (-1,)))

    def call() -> Any:
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(model(x), labels).backward()
        optimiser.step()
        return model

    return call


def _modules(network: Network) -> Iterator[Any]:
    from torch import nn

    flat = isinstance(network.layers[0], Dense)
    for layer in network.layers:
        if isinstance(layer, MaxPool2d):
            yield nn.MaxPool2d(layer.kernel)
            continue
        if isinstance(layer, Conv2d):
            options = {"padding": layer.padding, "bias": layer.bias is not None}
            yield nn.Conv2d(layer.image[0], layer.output_image[0], layer.kernel, **options)
        else:
            if not flat:
                yield nn.Flatten()
                flat = True
            yield nn.Linear(*layer.shape[::-1], bias=layer.bias is not None)
        if layer.activation == "relu":
            yield nn.ReLU()


def _parameters(network: Network) -> list[HostArray]:
    return [p for layer in network.layers for p in layer.parameters.values()]


def products(network: Network) -> Callable[[], None]:
    """The products of a dense network's step in NumPy, and nothing else."""
    weights = [layer.weight for layer in network.layers]
    inputs = [STREAM.normal((BATCH, W.shape[1])) for W in weights]
    deltas = [STREAM.normal((BATCH, W.shape[0])) for W in weights]

    def call() -> None:
        for i, (W, x, delta) in enumerate(zip(weights, inputs, deltas)):
            x @ W.T
            delta.T @ x
            if i:
                delta @ W

    return call


def _ways(network: Network) -> list[Way]:
    """What three steps from the start make of the parameters is what both must agree on."""

    def after(steps: Callable[[], Any], read: Callable[[Any], list[HostArray]]) -> HostArray:
        for _ in range(3):
            found = steps()
        return np.array([[np.sum(p), np.sum(p * p)] for p in (np.float64(p) for p in read(found))])

    ways = [
        Way(
            name="rmttheory",
            call=our_steps(network),
            kind="ours",
            answer=lambda _: after(our_steps(network), _parameters),
        )
    ]
    ways += installed((lambda: _torch_way(network, after),))
    if all(isinstance(layer, Dense) for layer in network.layers):
        ways.append(Way(name="the matrix products alone", call=products(network), kind="yardstick"))
    return ways


def _torch_way(network: Network, after: Callable[..., HostArray]) -> Way:
    def read(model: Any) -> list[HostArray]:
        return [p.detach().numpy() for p in model.parameters()]

    steps = torch_steps(network)
    return Way(name="PyTorch", call=steps, answer=lambda _: after(torch_steps(network), read))


def _dense_ways(bias: bool) -> Callable[[int, Any], list[Way]]:
    def ways(width: int, peers: Any) -> list[Way]:  # noqa: ARG001
        return _ways(initial_network((784, width, width, CLASSES), stream=STREAM, bias=bias))

    return ways


def _image_ways(width: int, peers: Any) -> list[Way]:  # noqa: ARG001
    channels = (width, 2 * width)
    return _ways(convolutional_network((1, 28, 28), channels=channels, hidden=(4 * width,), stream=STREAM))


_SIZES = {"size": 1000, "quick": 200, "tiny": 20}
BENCHES = (
    Bench(
        name="step-dense",
        title="training step of 784-{size}-{size}-10 with bias, batch 128",
        ways=_dense_ways(bias=True),
        tolerance=lambda size: 1e-3 * size,
        **_SIZES,
    ),
    Bench(
        name="step-without-bias",
        title="training step of 784-{size}-{size}-10 without bias, batch 128",
        ways=_dense_ways(bias=False),
        tolerance=lambda size: 1e-3 * size,
        **_SIZES,
    ),
    Bench(
        name="step-images",
        title="training step of two 3 x 3 convolutions, {size} channels and twice as many, batch 128",
        ways=_image_ways,
        tolerance=lambda size: 1e-2 * size,
        size=32,
        quick=8,
        tiny=2,
    ),
)
