"""What convolutions and pools see of a map for each pixel of their result."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mrcnn_cv.engines.base import Float
from mrcnn_cv.graph import ir


class Window(NamedTuple):
    """kernel, strides: (vertical, horizontal). padding: as of the layer."""

    kernel: ir.Pair
    strides: ir.Pair
    padding: ir.Padding

    @property
    def is_point(self) -> bool:
        """Whether it is a single pixel."""
        return self.kernel == (1, 1) and (self.padding == "same" or not any(self.padding))

    def result_size(self, size: ir.Pair) -> ir.Pair:
        """(height, width) of what comes of a map of `size`."""
        height, width = (
            (side + sum(pads) - length) // stride + 1
            for side, pads, length, stride in zip(size, self.pads(size), self.kernel, self.strides, strict=True)
        )
        return height, width

    def pads(self, size: ir.Pair) -> tuple[ir.Pair, ir.Pair]:
        """(before, behind) on the vertical and the horizontal axis."""
        if self.padding != "same":
            top, left, bottom, right = self.padding
            return (top, bottom), (left, right)
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

    def seen(self, padded: Float, place: ir.Pair, size: ir.Pair) -> Float:
        """(..., h, w): what lies at one place of the window, for each pixel of a result of `size`; a view."""
        rows, columns = (
            slice(first, first + (side - 1) * stride + 1, stride)
            for first, side, stride in zip(place, size, self.strides, strict=True)
        )
        return padded[..., rows, columns]


def window_of(layer: ir.Layer) -> Window | None:
    """Of a convolution without dilation or a pool; None for other layers."""
    if isinstance(layer, ir.Conv2d) and layer.dilation != (1, 1) and layer.kernel != (1, 1):
        return None
    if isinstance(layer, (ir.Conv2d, ir.MaxPool2d, ir.AvgPool2d)):
        return Window(layer.kernel, layer.stride, layer.padding)
    return None
