"""A convolution of maps that were enlarged just before, done on the small maps.

Enlarging and convolving both are linear, so that they can change places: each place of the window is multiplied with
the small maps, and one matrix spreads the products over the large ones. That takes a tenth of the multiplications, and
gives the same numbers but for their last bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from mrcnn_cv.engines.base import Float, Net
from mrcnn_cv.engines.opencv.blas_conv import FOLLOWERS, apply_step, steps_of
from mrcnn_cv.engines.opencv.partition import Chain, Layers, Size, some_of
from mrcnn_cv.engines.opencv.windows import window_of
from mrcnn_cv.graph import ir
from mrcnn_cv.util.parallel import parallel_for

MakeNet = Callable[[ir.NetGraph], Net]
"""Makes a net of cv2.dnn."""

MIN_FACTOR = 2
"""By which multiplications become fewer."""

MAX_SPREAD = 1 << 22
"""Numbers of the matrix that spreads what is known of small maps over large ones."""

COLUMNS_AT_ONCE = 256
"""Pixels of small maps that are multiplied at a time; what comes of them then fits into the processor's cache."""


def find_upsampled(layers: Layers, size: Size) -> list[Chain]:
    """Resizes that one convolution alone takes, and the convolution, for input maps of `size`."""
    sizes = layers.map_sizes(size)
    full = {layer.name for layer in layers.convolutions()}
    found = []
    for layer in layers.net:
        consumers = layers.consumers.get(layer.name, [])
        # Upsample, which repeats whole pixels, has a fast way of its own.
        if not isinstance(layer, ir.Resize) or len(consumers) != 1 or consumers[0] not in full:
            continue
        small = sizes.get(layer.inputs[0])
        if layer.name in layers.outputs or small is None:
            continue
        if _is_worth_it(layers.by_name[consumers[0]], math.prod(small), math.prod(layer.size)):
            convolution = layers.chain("upsampled", consumers[0], FOLLOWERS)
            found.append(Chain("upsampled", (layer.name, *convolution.names), layer.name))
    return found


def _is_worth_it(layer: ir.Layer, small: int, large: int) -> bool:
    """Whether it is a convolution with fewer multiplications on maps of `small` than of `large` pixels."""
    window = window_of(layer)
    if window is None or window.strides != (1, 1) or not isinstance(layer, ir.Conv2d):
        return False
    channels, places = layer.in_channels, math.prod(window.kernel)
    is_less = MIN_FACTOR * small * (channels + large) <= channels * large
    return is_less and places * small * large <= MAX_SPREAD


class UpsampledConv:
    """A piece of the kind "upsampled"."""

    def __init__(self, net: ir.NetGraph, make_net: MakeNet) -> None:
        layers = Layers(net)
        resize = next(layer for layer in net if isinstance(layer, ir.Resize))
        convolution = next(layer for layer in net if isinstance(layer, ir.Conv2d))
        self._source = resize.inputs[0]
        self._resize = make_net(some_of(layers, [resize.name]))
        window = window_of(convolution)
        assert window is not None
        self._window = window
        # Rows: the places of the window, and for each the channels that come out.
        matrix = convolution.folded().transpose(2, 3, 0, 1).reshape(-1, convolution.in_channels)
        self._matrix = np.ascontiguousarray(matrix)
        self._channels = convolution.out_channels
        self._steps = steps_of(layers, convolution)
        self._spread: dict[Size, tuple[Float, Size]] = {}

    def size(self, inputs: Mapping[str, Float]) -> int:
        """How many numbers the result has."""
        maps = inputs[self._source]
        height, width = self._spread_of((maps.shape[2], maps.shape[3]))[1]
        return int(len(maps) * self._channels * height * width)

    def run(self, inputs: Mapping[str, Float], memory: Float) -> list[Float]:
        """The outputs of the stage; they lie in `memory`, an array of one axis that is large enough."""
        maps = inputs[self._source]
        count, channels, *small = maps.shape
        pixels = small[0] * small[1]
        spread, (height, width) = self._spread_of((small[0], small[1]))
        result = memory[: self.size(inputs)].reshape(count, self._channels, height * width)
        at_once = max(1, COLUMNS_AT_ONCE // pixels)

        def work(part: range) -> None:
            for start in range(part.start, part.stop, at_once):
                own = slice(start, min(start + at_once, part.stop))
                columns = maps[own].reshape(-1, channels, pixels).transpose(1, 0, 2).reshape(channels, -1)
                places = (self._matrix @ columns).reshape(-1, self._channels, own.stop - own.start, pixels)
                rows = places.transpose(2, 1, 0, 3).reshape(-1, len(spread))
                np.matmul(rows, spread, out=result[own].reshape(-1, height * width))
                for kind, operand in self._steps:
                    added = inputs[operand][own].reshape(result[own].shape) if kind is ir.Add else operand
                    apply_step(kind, result[own], added)

        parallel_for(work, count, minimum=1)
        return [result.reshape(count, self._channels, height, width)]

    def _spread_of(self, small: Size) -> tuple[Float, Size]:
        """(places in the window * pixels of a small map, pixels of the result), and the size of the result.

        What a place adds to a pixel: by how much each pixel of the small map counts where the place then lies. How
        OpenCV enlarges is seen from maps that are zero but for one pixel.
        """
        if small not in self._spread:
            pixels = small[0] * small[1]
            single = np.eye(pixels, dtype=np.float32).reshape(pixels, 1, *small)
            (enlarged,) = self._resize.run({self._source: single})
            padded = self._window.padded(enlarged[:, 0])
            size = self._window.result_size((enlarged.shape[2], enlarged.shape[3]))
            places = [
                self._window.seen(padded, (row, column), size).reshape(pixels, -1)
                for row, column in np.ndindex(*self._window.kernel)
            ]
            self._spread = {small: (np.ascontiguousarray(np.concatenate(places)), size)}
        return self._spread[small]
