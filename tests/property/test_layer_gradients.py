"""The gradient of a network of any kinds of layers, against differences of its loss."""

import dataclasses

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from rmttheory.arrays import Stream
from rmttheory.networks import BatchNorm, Conv2d, Dense, Dropout, MaxPool2d, Network, loss_and_gradients
from rmttheory.networks.gradients import forward
from rmttheory.networks.layers import Activated

EPS = 2.0**-52
ACTIVATIONS = st.sampled_from(("relu", "abs", "identity"))
KINDS = st.lists(st.sampled_from(("conv", "norm", "pool", "dropout", "dense")), min_size=1, max_size=4)


@st.composite
def image_networks(draw):
    """Up to four layers of drawn kinds and sizes on images of up to 2 x 6 x 6, and a dense one after them."""
    stream = Stream(draw(st.integers(0, 2**32)))
    image = tuple(draw(st.tuples(st.integers(1, 2), st.integers(3, 6), st.integers(3, 6))))
    layers, width = [], int(np.prod(image))
    for i, kind in enumerate(draw(KINDS)):
        normal = stream.child(i).normal
        if kind in ("conv", "pool") and image is None:
            kind = "dense"
        if kind in ("conv", "pool"):
            kernel = tuple(draw(st.integers(1, min(3, side))) for side in image[1:])
            stride = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
        if kind == "conv":
            weight = normal((draw(st.integers(1, 3)), image[0] * kernel[0] * kernel[1]))
            padding = tuple(draw(st.integers(0, k - 1)) for k in kernel)
            layer = Conv2d(
                weight,
                weight[:, 0].copy() if draw(st.booleans()) else None,
                draw(ACTIVATIONS),
                image=image,
                kernel=kernel,
                stride=stride,
                padding=padding,
            )
        elif kind == "pool":
            layer = MaxPool2d(image, kernel, stride)
        elif kind == "norm":
            positions = 1 if image is None else image[1] * image[2]
            arrays = [normal(width // positions) for _ in range(3)]
            variance = np.ones(width // positions)
            layer = BatchNorm(*arrays, variance, draw(ACTIVATIONS), positions=positions, epsilon=0.1)
        elif kind == "dropout":
            layer = Dropout(width, draw(st.sampled_from((0.0, 0.3))))
        else:
            n = draw(st.integers(1, 6))
            weight = normal((n, width), scale=width**-0.5)
            layer = Dense(weight, weight[:, 0].copy() if draw(st.booleans()) else None, draw(ACTIVATIONS))
            image = None
        layers.append(layer)
        width = layer.shape[0]
        image = getattr(layer, "output_image", image)
    weight = stream.child("last").normal((3, width), scale=width**-0.5)
    return Network((*layers, Dense(weight, weight[:, 0].copy(), "identity")))


def moved(network, directions, t):
    """The network with every parameter moved along its direction."""
    layers = (
        dataclasses.replace(layer, **{name: p + t * d[name] for name, p in layer.parameters.items()})
        for layer, d in zip(network.layers, directions)
    )
    return Network(tuple(layers))


def piece(network, x, stream):
    """Which side of every kink each unit is on, and the signs of the penalised entries."""
    _, memories = forward(network, x, stream)
    found = [np.sign(network.layers[i].weight) for i in network.weighted]
    for layer, memory in zip(network.layers, memories):
        if isinstance(layer, Activated) and layer.activation != "identity":
            found.append(memory[0] > 0)
        elif isinstance(layer, MaxPool2d):
            found.append(memory)
    return found


@given(image_networks(), st.integers(2, 5), st.booleans(), st.integers(0, 2**32))
def test_gradients_agree_with_differences_of_the_loss(network, samples, training, seed):
    """Along random directions in all parameters at once, within one smooth piece.

    The error of a central difference is ``C h^2`` and rounding: that at ``2 h`` differs from it by three
    times as much, so twice their distance bounds it, whatever ``C`` is. A wrong gradient is off at both.
    """
    x = Stream(seed).child("x").normal((samples, network.sizes[0]))
    labels = np.arange(samples) % 3
    stream = Stream(seed).child("step") if training else None
    directions = [
        {name: Stream(seed).child(i, name).normal(p.shape) for name, p in layer.parameters.items()}
        for i, layer in enumerate(network.layers)
    ]
    options = {"l1": 0.01, "l2": 0.02, "training": stream}
    _, gradients = loss_and_gradients(network, x, labels, **options)
    slope = sum(
        float(np.sum(getattr(found, name) * direction))
        for found, along in zip(gradients, directions)
        for name, direction in along.items()
    )
    h, pieces, losses = 1e-5, [], []
    for t in (-2 * h, -h, h, 2 * h):
        at = moved(network, directions, t)
        pieces.append(piece(at, x, stream))
        losses.append(loss_and_gradients(at, x, labels, **options)[0])
    assume(all(np.array_equal(a, b) for other in pieces[1:] for a, b in zip(pieces[0], other)))
    far, near = (losses[3] - losses[0]) / (4 * h), (losses[2] - losses[1]) / (2 * h)
    logits, _ = forward(network, x, stream)
    rounding = 1e3 * EPS * (1 + np.max(np.abs(logits)) + abs(losses[0])) / h
    assert abs(near - slope) <= 2 * abs(far - near) + rounding
