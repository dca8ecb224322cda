"""Networks before training, with independent normal weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from rmttheory.arrays import Array, InvalidInput, Stream, check_choice, check_count, check_interval, namespace
from rmttheory.networks.images import Conv2d, Image, MaxPool2d, Pair, check_image, check_pair
from rmttheory.networks.layers import Dense, Layer
from rmttheory.networks.network import Network
from rmttheory.networks.normalisation import BatchNorm, Dropout

_VARIANCES = {
    "he": lambda outputs, inputs: 2.0 / inputs,  # noqa: ARG005
    "lecun": lambda outputs, inputs: 1.0 / inputs,  # noqa: ARG005
    "glorot": lambda outputs, inputs: 2.0 / (inputs + outputs),
    "1/N": lambda outputs, inputs: 1.0 / outputs,  # noqa: ARG005
    "1/N^2": lambda outputs, inputs: 1.0 / outputs**2,  # noqa: ARG005
}


def initial_network(
    sizes: Sequence[int],
    *,
    stream: Stream,
    activation: str = "relu",
    scale: str | float = "he",
    bias: bool = True,
) -> Network:
    """Draw a dense network with independent normal weights and zero biases.

    The last activation is the identity.

    Parameters
    ----------
    sizes : sequence of int
        Widths from inputs to logits, such as ``(784, 512, 512, 10)``.
    stream : Stream
        What the weights are drawn from, and where they live.
    activation : {"relu", "abs", "identity"}
        Of every layer but the last.
    scale : {"he", "lecun", "glorot", "1/N", "1/N^2"} or float
        Entries have variance ``2 / inputs``, ``1 / inputs`` or ``2 / (inputs + outputs)``; ``1 / N`` or
        ``1 / N^2`` with ``N`` the outputs, the layer's width, as in the numerical examples of the Pruning
        Theorem; or ``scale / outputs``, the package's ``g / n``. What training adds shows above the bulk edge
        only if ``g`` is small: from "he", 2,000 images leave most of it below.
    bias : bool
        Whether layers have one; the Pruning Theorem is stated without.

    Raises
    ------
    InvalidInput
        If there are fewer than two sizes, or an argument is not of the kind above.
    """
    widths = [check_count(size, "sizes") for size in sizes]
    if len(widths) < 2:
        msg = f"`sizes` must give inputs and outputs at least, not {sizes!r}."
        raise InvalidInput(msg)
    layers = []
    for i, shape in enumerate(pairwise(widths)):
        last = i == len(widths) - 2
        draw = _draw(stream.child("weight", i), shape[::-1], scale, bias=bias)
        layers.append(Dense(*draw, "identity" if last else activation))
    return Network(tuple(layers))


def convolutional_network(
    image: Image,
    *,
    channels: Sequence[int] = (32, 64),
    hidden: Sequence[int] = (128,),
    classes: int = 10,
    stream: Stream,
    kernel: int | Pair = 3,
    pool: int | Sequence[int] = 2,
    batch_norm: bool = False,
    dropout: float = 0.0,
    activation: str = "relu",
    scale: str | float = "he",
    bias: bool = True,
) -> Network:
    """Draw a network of convolutions, then dense layers; the last activation is the identity.

    A convolution keeps the size of its image (at odd kernels), and the maximum of windows of ``pool x pool``
    follows it. After each layer but the last comes batch normalisation and then the activation; after each
    hidden dense layer, dropout.

    Parameters
    ----------
    image : tuple of int
        Channels, height and width of the inputs.
    channels, hidden : sequence of int
        Channels of the convolutions and widths of the dense layers after them; either may be empty.
    classes : int
    stream : Stream
        What the weights are drawn from, and where they live.
    kernel : int or pair of int
    pool : int or sequence of int
        For all convolutions, or for each; 1 for none.
    batch_norm : bool
    dropout : float
        Probability to drop, in [0, 1); no such layer at 0.
    activation, scale, bias
        As in `initial_network`. A kernel has ``channels in * kernel`` inputs and its outputs are counted as
        ``channels out * kernel`` in "glorot" and ``channels out`` elsewhere. A layer that is normalised has
        no bias, which would change nothing.

    Raises
    ------
    InvalidInput
        If an argument is not of the kind above, or nothing is left of the image.
    """
    image, kernel = check_image(image), check_pair(kernel, "kernel")
    pools = [pool] * len(channels) if isinstance(pool, int) else list(pool)
    if len(pools) != len(channels):
        msg = f"`pool` must give one number for each of the {len(channels)} convolutions, not {len(pools)}."
        raise InvalidInput(msg)
    layers: list[Layer] = []

    def add(layer: Conv2d | Dense, positions: int) -> None:
        layers.append(layer)
        if batch_norm:
            ones = namespace(layer.weight).ones_like(layer.weight[:, 0])
            zeros = namespace(ones).zeros_like(ones)
            layers.append(BatchNorm(ones, zeros, zeros, ones, activation, positions=positions))

    before: dict[str, Any] = {"activation": "identity" if batch_norm else activation}
    with_bias = bias and not batch_norm
    for i, (count, window) in enumerate(zip(channels, pools)):
        shape = (check_count(count, "channels"), image[0] * kernel[0] * kernel[1])
        area = kernel[0] * kernel[1] if scale == "glorot" else 1
        draw = _draw(stream.child("kernel", i), shape, scale, bias=with_bias, area=area)
        around = (kernel[0] // 2, kernel[1] // 2)
        convolution = Conv2d(*draw, image=image, kernel=kernel, padding=around, **before)
        image = convolution.output_image
        add(convolution, image[1] * image[2])
        if window != 1:
            layers.append(MaxPool2d(image, window))
            image = layers[-1].output_image  # type: ignore[attr-defined]
    widths = [image[0] * image[1] * image[2], *(check_count(width, "hidden") for width in hidden)]
    for i, (m, n) in enumerate(pairwise(widths)):
        add(Dense(*_draw(stream.child("weight", i), (n, m), scale, bias=with_bias), **before), 1)
        if dropout:
            layers.append(Dropout(n, dropout))
    last = (check_count(classes, "classes"), widths[-1])
    layers.append(Dense(*_draw(stream.child("weight", len(hidden)), last, scale, bias=bias), "identity"))
    return Network(tuple(layers))


def _draw(
    stream: Stream, shape: tuple[int, int], scale: str | float, *, bias: bool, area: int = 1
) -> tuple[Array, Array | None]:
    """Draw a matrix of normal entries, and zeros beside it."""
    n, m = shape
    if isinstance(scale, str):
        variance = _VARIANCES[check_choice(scale, "scale", _VARIANCES)](n * area, m)
    else:
        variance = check_interval(scale, "scale", low=0) / n
    weight = stream.normal(shape, scale=math.sqrt(variance))
    return weight, namespace(weight).zeros_like(weight[:, 0]) if bias else None
