"""Which convolutions of a head cv2.dnn does slowly because its maps are small, and a way to lay them out for it.

On maps of 12 x 12 and more cv2.dnn computes a 3x3 convolution by Winograd's minimal filtering (Lavin and Gray, 2016),
on smaller ones without it, in several times the time. Heads work on many small maps: laid out on one large sheet, with
a zero between neighbours, which is the border that SAME pads with, they give the same numbers.
"""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.partition import Chain, Layers, Size
from mrcnn_cv.graph import ir

POINTWISE = (*ir.ACTIVATIONS, ir.Affine)
"""What may follow a convolution on a sheet."""

SMALLEST_FAST_SIDE = 12
MOST_PIXELS_OF_TINY = 16
"""Maps of so few pixels have a fast way of their own."""
LEAST_CHANNELS = 32
"""With fewer, laying out the maps takes longer than it saves."""


def on_sheets(layers: Layers, size: Size) -> list[Chain]:
    """The 3x3 convolutions on maps that are too small to be fast, for input maps of `size`."""
    sizes = layers.map_sizes(size)
    return [
        layers.chain("sheet", layer.name, POINTWISE)
        for layer in layers.convolutions()
        if is_small(sizes.get(layer.inputs[0])) and _is_plain(layer)
    ]


def is_small(size: Size | None) -> bool:
    """Whether maps are too small for Winograd's way, and too large for being tiny."""
    return size is not None and min(size) < SMALLEST_FAST_SIDE and size[0] * size[1] > MOST_PIXELS_OF_TINY


def _is_plain(layer: ir.Conv2d) -> bool:
    keeps_size = layer.stride == (1, 1) and layer.padding == (1, 1, 1, 1)
    return keeps_size and layer.kernel == (3, 3) and min(layer.weight.shape[:2]) >= LEAST_CHANNELS


class Sheet:
    """Maps side by side on one, each with a row and a column of zeros behind it."""

    def __init__(self) -> None:
        self._sheet = np.zeros((1, 0, 0, 0), np.float32)

    def lay(self, maps: Float) -> Float:
        """(1, C, H, W) from maps (N, C, h, w); the array is used again for the next ones of that shape."""
        count, channels, height, width = maps.shape
        rows, columns = _grid(count, height, width)
        shape = (1, channels, rows * (height + 1), columns * (width + 1))
        if self._sheet.shape != shape:
            self._sheet = np.zeros(shape, np.float32)
        cells = _cells(self._sheet, (rows, columns), (height, width))
        full, rest = divmod(count, columns)
        cells[:full] = maps[: full * columns].reshape(full, columns, *maps.shape[1:])
        if rest:
            cells[full, :rest] = maps[full * columns :]
        return self._sheet

    def pick(self, sheet: Float, shape: tuple[int, ...]) -> Float:
        """(N, C', h, w) from a result (1, C', H, W), for maps of `shape` that were laid out."""
        count, _, height, width = shape
        rows, columns = _grid(count, height, width)
        cells = _cells(sheet, (rows, columns), (height, width))
        picked = np.ascontiguousarray(cells[: ceil(count / columns)])
        return picked.reshape(-1, *picked.shape[2:])[:count]


def _grid(count: int, height: int, width: int) -> tuple[int, int]:
    """(rows, columns) of a sheet that is about square and large enough to be fast."""
    columns = max(ceil(sqrt(count)), -(-SMALLEST_FAST_SIDE // (width + 1)))
    return max(ceil(count / columns), -(-SMALLEST_FAST_SIDE // (height + 1))), columns


def _cells(sheet: Float, grid: tuple[int, int], size: tuple[int, int]) -> Float:
    """A view (rows, columns, C, h, w) of the maps on a sheet."""
    (rows, columns), (height, width) = grid, size
    cells = sheet.reshape(sheet.shape[1], rows, height + 1, columns, width + 1)
    view: Float = cells[:, :, :height, :, :width].transpose(1, 3, 0, 2, 4)
    return view
