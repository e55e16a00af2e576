"""What convolutions and pools see of a map for each pixel of their result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.engines.opencv.partition import Layers, Size


class Window(NamedTuple):
    """kernel, strides: (vertical, horizontal). is_same: maps are padded as TensorFlow's SAME does, else not at all."""

    kernel: Size
    strides: Size
    is_same: bool

    @property
    def is_point(self) -> bool:
        """Whether it is a single pixel."""
        return self.kernel == (1, 1)

    def result_size(self, size: Size) -> Size:
        """(height, width) of what comes of a map of `size`."""
        height, width = (
            (side + sum(pads) - length) // stride + 1
            for side, pads, length, stride in zip(size, self.pads(size), self.kernel, self.strides, strict=True)
        )
        return height, width

    def pads(self, size: Size) -> tuple[Size, Size]:
        """(before, behind) on the vertical and the horizontal axis."""
        if not self.is_same:
            return (0, 0), (0, 0)
        totals = [
            max((-(-side // stride) - 1) * stride + length - side, 0)
            for side, stride, length in zip(size, self.strides, self.kernel, strict=True)
        ]
        return (totals[0] // 2, -(-totals[0] // 2)), (totals[1] // 2, -(-totals[1] // 2))

    def padded(self, maps: Float, value: float = 0.0) -> Float:
        """Maps (..., H, W) with their pads; themselves where there are none."""
        pads = self.pads((maps.shape[-2], maps.shape[-1]))
        if pads == ((0, 0), (0, 0)):
            return maps
        (top, bottom), (left, right) = pads
        height, width = maps.shape[-2:]
        shape = (*maps.shape[:-2], top + height + bottom, left + width + right)
        result = np.full(shape, value, np.float32)
        result[..., top : top + height, left : left + width] = maps
        return result

    def seen(self, padded: Float, place: Size, size: Size) -> Float:
        """(..., h, w): what lies at one place of the window, for each pixel of a result of `size`; a view."""
        rows, columns = (
            slice(first, first + (side - 1) * stride + 1, stride)
            for first, side, stride in zip(place, size, self.strides, strict=True)
        )
        return padded[..., rows, columns]


def window_of(layers: Layers, name: str) -> Window | None:
    """Of a Conv2D or a MaxPool of maps; None for other nodes, and for those with paddings of their own."""
    node = layers.nodes[name]
    padding, strides = node.attr["padding"].s, list(node.attr["strides"].list.i)
    if padding not in (b"SAME", b"VALID") or len(strides) != 4 or len(layers.sources[name]) != 1:
        return None
    if node.op == "Conv2D":
        kernel = layers.shape(name)[:2]
    elif node.op == "MaxPool":
        kernel = tuple(node.attr["ksize"].list.i)[1:3]
    else:
        return None
    return Window((kernel[0], kernel[1]), (strides[1], strides[2]), padding == b"SAME")
