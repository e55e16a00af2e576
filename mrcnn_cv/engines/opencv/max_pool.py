"""MaxPools of tiny maps, for which cv2.dnn takes several times as long as for as many pixels of one map."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.partition import Chain, Layers, Size
from mrcnn_cv.engines.opencv.windows import window_of
from mrcnn_cv.graph import ir
from mrcnn_cv.util.parallel import parallel_for

MAX_PIXELS = 64
"""Of a map that is tiny."""

NUMBERS_AT_ONCE = 1 << 16
"""Of the maps that are looked at together; they fit into the processor's cache."""

MIN_MAPS = 256
"""For a thread of their own."""


def on_tiny_maps(layers: Layers, size: Size) -> list[Chain]:
    """The MaxPools of maps of few pixels, for input maps of `size`."""
    sizes = layers.map_sizes(size)
    found = []
    for layer in layers.net:
        known = sizes.get(layer.inputs[0]) if isinstance(layer, ir.MaxPool2d) else None
        if known is not None and known[0] * known[1] <= MAX_PIXELS:
            found.append(Chain("pool", (layer.name,), layer.name))
    return found


class Pool:
    """A piece of the kind "pool"."""

    def __init__(self, net: ir.NetGraph) -> None:
        self._source = net.inputs[0]
        window = window_of(net.layers[0])
        assert window is not None
        self._window = window

    def size(self, inputs: Mapping[str, Float]) -> int:
        """How many numbers the result has."""
        count, channels, rows, columns = inputs[self._source].shape
        height, width = self._window.result_size((rows, columns))
        return int(count * channels * height * width)

    def run(self, inputs: Mapping[str, Float], memory: Float) -> list[Float]:
        """The output of the piece; it lies in `memory`, an array of one axis that is large enough."""
        maps = inputs[self._source]
        count, channels, rows, columns = maps.shape
        height, width = self._window.result_size((rows, columns))
        result = memory[: self.size(inputs)].reshape(count * channels, height, width)
        flat = maps.reshape(count * channels, rows, columns)
        at_once = max(1, NUMBERS_AT_ONCE // (rows * columns))
        # Along the columns first, then along the rows of what is left.
        down = self._window._replace(strides=(self._window.strides[0], 1))
        across = self._window._replace(strides=(1, self._window.strides[1]))

        def work(part: range) -> None:
            for start in range(part.start, part.stop, at_once):
                own = slice(start, min(start + at_once, part.stop))
                padded = self._window.padded(flat[own], -np.inf)
                tallest = down.seen(padded, (0, 0), (height, padded.shape[2])).copy()
                for row in range(1, self._window.kernel[0]):
                    np.maximum(tallest, down.seen(padded, (row, 0), (height, padded.shape[2])), out=tallest)
                result[own] = across.seen(tallest, (0, 0), (height, width))
                for column in range(1, self._window.kernel[1]):
                    np.maximum(result[own], across.seen(tallest, (0, column), (height, width)), out=result[own])

        parallel_for(work, len(flat), minimum=MIN_MAPS)
        return [result.reshape(count, channels, height, width)]
