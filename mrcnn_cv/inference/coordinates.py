"""Where the image lies in the backbone's input, in the units in which a model counts its boxes."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.inference.box_ops import Boxes

Window = tuple[float, float, float, float]


class Geometry(NamedTuple):
    """extent: (height, width) of a box of the whole input. window: y1 x1 y2 x2 of the image in it."""

    extent: tuple[float, float]
    window: Window

    def fractions(self, boxes: Boxes) -> Boxes:
        """Boxes (N, 4) as fractions of the whole input; TensorFlow multiplies with 1 / size, not quite a division."""
        return boxes * _reciprocals(*self.extent)

    def fractions_of_image(self, boxes: Boxes) -> Boxes:
        """Boxes (N, 4) as fractions of the image."""
        y1, x1, y2, x2 = self.window
        if y1 or x1:
            boxes = boxes - np.array([y1, x1, y1, x1], dtype=np.float32)
        return boxes * _reciprocals(y2 - y1, x2 - x1)


def geometry(
    size: tuple[int, int], offset: tuple[int, int], padded: tuple[int, int], edges: Literal["pixels", "centers"]
) -> Geometry:
    """The geometry of an image of `size` at `offset` in an input of `padded` pixels, all (height, width)."""
    less = 0 if edges == "pixels" else 1
    (height, width), (top, left) = size, offset
    # One pixel between centres has no length; its boxes have none either, but nothing may be divided by it.
    extent = (max(padded[0] - less, 1), max(padded[1] - less, 1))
    return Geometry(extent, (top, left, top + max(height - less, 1), left + max(width - less, 1)))


def detector_postprocess(
    fractions: Boxes, size: tuple[int, int], edges: Literal["pixels", "centers"]
) -> NDArray[np.float32]:
    """Boxes (N, 4) x1 y1 x2 y2 in pixels of an image of `size` (height, width), from y1 x1 y2 x2 as its fractions."""
    less = 0 if edges == "pixels" else 1
    height, width = (side - less for side in size)
    boxes: NDArray[np.float32] = fractions[:, [1, 0, 3, 2]] * np.array([width, height, width, height], dtype=np.float32)
    # From the middle of the last pixel to its end.
    boxes[:, 2:] += np.float32(less)
    return boxes


def _reciprocals(height: float, width: float) -> NDArray[np.float32]:
    y, x = (np.float32(1) / np.float32(side) for side in (height, width))
    return np.array([y, x, y, x], dtype=np.float32)
