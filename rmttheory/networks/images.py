"""Windows that slide over images, and the two layers made of them: convolution and pooling."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rmttheory.arrays import Array, InvalidInput, Stream, check_count, device, namespace
from rmttheory.networks.layers import Layer, Linear, Memory

_SEEN = 2**18
"""Numbers that windows see at once on the host: they fit in the cache of a core."""

Pair = tuple[int, int]
"""Along the height and along the width."""

Image = tuple[int, int, int]
"""Channels, height and width."""


@dataclass(frozen=True)
class Windows:
    """All places of a window on an image, in reading order."""

    image: Image
    kernel: Pair
    stride: Pair
    padding: Pair

    @cached_property
    def places(self) -> Pair:
        """How many places there are along the height and along the width."""
        sides = zip(self.image[1:], self.kernel, self.stride, self.padding)
        rows, columns = ((size + 2 * pad - k) // step + 1 for size, k, step, pad in sides)
        return rows, columns

    def views(self, images: Array) -> Iterator[Array]:
        """Yield, for each entry of the window, what it sees at all places: ``(batch, channels, *places)``.

        These are views: what is written to them is written to ``images``, which `padded` or `blank` made.
        """
        (down, right), (rows, columns) = self.stride, self.places
        for i in range(self.kernel[0]):
            for j in range(self.kernel[1]):
                yield images[
                    :, :, i : i + down * (rows - 1) + 1 : down, j : j + right * (columns - 1) + 1 : right
                ]

    def samples(self, x: Array) -> Iterator[slice]:
        """Yield so many samples of ``x`` at once that what all windows see stays in the cache.

        Where ``x`` is not on the host these are all of them.
        """
        count = x.shape[0]
        if isinstance(x, np.ndarray):
            count = max(1, _SEEN // (math.prod(self.kernel) * self.image[0] * math.prod(self.places)))
        for start in range(0, x.shape[0], count):
            yield slice(start, start + count)

    def padded(self, x: Array) -> Array:
        """Return rows as images with zeros around them."""
        images = namespace(x).reshape(x, (x.shape[0], *self.image))
        if self.padding == (0, 0):
            return images
        around = self.blank(x)
        self._inside(around)[...] = images
        return around

    def blank(self, x: Array) -> Array:
        """Return as many zero images, padding included, as ``x`` has rows."""
        channels, height, width = self.image
        shape = (x.shape[0], channels, height + 2 * self.padding[0], width + 2 * self.padding[1])
        return namespace(x).zeros(shape, dtype=x.dtype, device=device(x))

    def cropped(self, images: Array) -> Array:
        """Return images without their padding, as rows."""
        return namespace(images).reshape(self._inside(images), (images.shape[0], -1))

    def _inside(self, images: Array) -> Array:
        (_, height, width), (top, left) = self.image, self.padding
        return images[:, :, top : top + height, left : left + width]


@dataclass(frozen=True, eq=False)
class Conv2d(Linear):
    """A convolution ``x -> activation(W * x + b)``, without flipping the kernels.

    Parameters
    ----------
    weight : array, shape (channels out, channels in * kernel height * kernel width)
        The kernels, one a row: of each channel in turn, row by row. It acts as this matrix on every window.
    bias : array, shape (channels out,), optional
        On the device and in the dtype of ``weight``.
    activation : {"relu", "abs", "identity"}
    image : tuple of int
        Channels, height and width of the inputs, which are rows of ``channels * height * width`` numbers.
    kernel : int or pair of int
        Height and width.
    stride, padding : int or pair of int
        Steps between windows, and how many zeros are set around each side of an image: fewer than the kernel
        is wide, so that every window sees a part of it.

    Raises
    ------
    InvalidInput
        As for `Dense`, or if the kernel does not fit the image, or the weight not the kernel.
    """

    image: Image = ()  # type: ignore[assignment]
    kernel: Any = 3
    stride: Any = 1
    padding: Any = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        _settle(self, padding=check_pair(self.padding, "padding", low=0))
        entries = self.image[0] * self.kernel[0] * self.kernel[1]
        if self.weight.shape[1] != entries:
            sizes = " x ".join(map(str, (self.image[0], *self.kernel)))
            msg = f"`weight` must have {entries} columns for {sizes} kernels, not {self.weight.shape[1]}."
            raise InvalidInput(msg)

    @property
    def windows(self) -> Windows:
        """Where the kernels are applied."""
        return Windows(self.image, self.kernel, self.stride, self.padding)

    @property
    def output_image(self) -> Image:
        """Channels, height and width of the outputs."""
        return (self.weight.shape[0], *self.windows.places)

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs, as numbers in a row; the matrix itself is smaller."""
        return _count(self.output_image), _count(self.image)

    def linear(self, x: Array) -> Array:
        """Return the rows before the activation, bias included."""
        xp, windows = namespace(x), self.windows
        z = xp.empty((x.shape[0], self.shape[0]), dtype=x.dtype, device=device(x))
        for some in windows.samples(x):
            part = self.weight @ self._columns(x[some, :])
            if self.bias is not None:
                part += self.bias[:, None]
            z[some, :] = xp.reshape(part, (part.shape[0], -1))
        return z

    def pull(self, delta: Array) -> Array:
        """Return the gradient in the inputs, from that in `linear`."""
        xp, windows = namespace(delta), self.windows
        gradient = xp.empty((delta.shape[0], self.shape[1]), dtype=delta.dtype, device=device(delta))
        for some in windows.samples(delta):
            part = self._by_channel(delta[some, :])
            columns = xp.reshape(self.weight.T @ part, (part.shape[0], self.image[0], -1, *windows.places))
            images = windows.blank(part)
            for k, view in enumerate(windows.views(images)):
                view += columns[:, :, k, :, :]
            gradient[some, :] = windows.cropped(images)
        return gradient

    def weight_gradient(self, delta: Array, x: Array) -> Array:
        """Return the gradient in ``weight``, from that in `linear` and the inputs."""
        xp = namespace(delta)
        total = xp.zeros_like(self.weight)
        for some in self.windows.samples(x):
            columns = xp.matrix_transpose(self._columns(x[some, :]))
            total += xp.sum(self._by_channel(delta[some, :]) @ columns, axis=0)
        return total

    def bias_gradient(self, delta: Array) -> Array:
        """Return the gradient in ``bias``: the sum over samples and places."""
        return namespace(delta).sum(self._by_channel(delta), axis=(0, 2))

    def _columns(self, x: Array) -> Array:
        """What the kernels see, a column for each place: ``(batch, columns of weight, places)``."""
        xp = namespace(x)
        seen = xp.stack(list(self.windows.views(self.windows.padded(x))), axis=2)
        return xp.reshape(seen, (x.shape[0], self.weight.shape[1], -1))

    def _by_channel(self, delta: Array) -> Array:
        return namespace(delta).reshape(delta, (delta.shape[0], self.weight.shape[0], -1))


@dataclass(frozen=True, eq=False)
class MaxPool2d(Layer):
    """The largest entry of each window, channel by channel; gradients go to the first of equals.

    Parameters
    ----------
    image : tuple of int
        Channels, height and width of the inputs.
    kernel : int or pair of int
        Height and width of the window; what is left over at the lower and right edge is dropped.
    stride : int or pair of int, optional
        Steps between windows; that of the window itself if omitted.

    Raises
    ------
    InvalidInput
        If the window does not fit the image.
    """

    image: Image
    kernel: Any = 2
    stride: Any = None

    def __post_init__(self) -> None:
        if self.stride is None:
            object.__setattr__(self, "stride", self.kernel)
        _settle(self, padding=None)

    @property
    def windows(self) -> Windows:
        """Where the maximum is taken."""
        return Windows(self.image, self.kernel, self.stride, (0, 0))

    @property
    def output_image(self) -> Image:
        """Channels, height and width of the outputs."""
        return (self.image[0], *self.windows.places)

    @property
    def shape(self) -> tuple[int, int]:
        """Outputs and inputs, as numbers in a row."""
        return _count(self.output_image), _count(self.image)

    def forward(self, x: Array, stream: Stream | None = None) -> tuple[Array, Memory]:  # noqa: ARG002
        """Return the largest entries, and which of its window each was; see `Layer.forward`."""
        xp, windows = namespace(x), self.windows
        tops = xp.empty((x.shape[0], *self.output_image), dtype=x.dtype, device=device(x))
        winners = xp.empty(tops.shape, dtype=xp.int16, device=device(x))
        for some in windows.samples(x):
            views = windows.views(windows.padded(x[some, :]))
            top = next(views)
            winner = xp.zeros(top.shape, dtype=xp.int16, device=device(x))
            for k, view in enumerate(views, start=1):
                winner = xp.maximum(winner, xp.astype(view > top, xp.int16) * k)
                top = xp.maximum(top, view)
            tops[some, ...], winners[some, ...] = top, winner
        return xp.reshape(tops, (x.shape[0], -1)), winners

    def backward(
        self,
        delta: Array,
        memory: Memory,
        *,
        inputs: bool = True,  # noqa: ARG002
    ) -> tuple[Array | None, dict[str, Array]]:
        """Return the gradient in the inputs; see `Layer.backward`."""
        xp, windows = namespace(delta), self.windows
        gradient = xp.empty((delta.shape[0], self.shape[1]), dtype=delta.dtype, device=device(delta))
        for some in windows.samples(delta):
            winner = memory[some, ...]
            part = xp.reshape(delta[some, :], winner.shape)
            images = windows.blank(part)
            for k, view in enumerate(windows.views(images)):
                view += part * xp.astype(winner == k, part.dtype)
            gradient[some, :] = windows.cropped(images)
        return gradient, {}

    def push(self, change: Array, memory: Memory) -> Array:
        """Return how the outputs change with the inputs, where `forward` kept ``memory``."""
        xp = namespace(change)
        total = xp.zeros(memory.shape, dtype=change.dtype, device=device(change))
        for k, view in enumerate(self.windows.views(self.windows.padded(change))):
            total += view * xp.astype(memory == k, view.dtype)
        return xp.reshape(total, (change.shape[0], -1))


def check_pair(value: Any, name: str, *, low: int = 1) -> Pair:
    """Return one or two whole numbers as a pair.

    Raises
    ------
    InvalidInput
        If they are not whole numbers of at least ``low``.
    """
    try:
        first, second = value if isinstance(value, (tuple, list)) else (value, value)
    except ValueError:
        msg = f"`{name}` must be one or two whole numbers, not {value!r}."
        raise InvalidInput(msg) from None
    return check_count(first, name, low=low), check_count(second, name, low=low)


def check_image(image: Any) -> Image:
    """Return ``image`` as channels, height and width.

    Raises
    ------
    InvalidInput
        If it is not three whole numbers of at least 1.
    """
    try:
        channels, height, width = (check_count(size, "image") for size in image)
    except (TypeError, ValueError):
        msg = f"`image` must be three whole numbers >= 1, channels, height and width, not {image!r}."
        raise InvalidInput(msg) from None
    return channels, height, width


def _settle(layer: Conv2d | MaxPool2d, *, padding: Pair | None) -> None:
    """Set the checked image and pairs of a fresh layer."""
    image = check_image(layer.image)
    kernel, stride = check_pair(layer.kernel, "kernel"), check_pair(layer.stride, "stride")
    settled = {"image": image, "kernel": kernel, "stride": stride}
    if padding is not None:
        settled["padding"] = padding
    for name, value in settled.items():
        object.__setattr__(layer, name, value)
    if padding is not None and (padding[0] >= kernel[0] or padding[1] >= kernel[1]):
        msg = f"`padding` must be smaller than the kernel, {kernel[0]} x {kernel[1]}, not {padding!r}."
        raise InvalidInput(msg)
    if min(Windows(image, kernel, stride, padding or (0, 0)).places) < 1:
        sides = [f"{size + 2 * pad}" for size, pad in zip(image[1:], padding or (0, 0))]
        msg = (
            f"`kernel` {kernel[0]} x {kernel[1]} must fit the image of {' x '.join(sides)}, padding included."
        )
        raise InvalidInput(msg)


def _count(image: Image) -> int:
    return image[0] * image[1] * image[2]
