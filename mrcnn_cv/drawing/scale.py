"""How thick lines and how high texts are on images of any size."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

MIN_TEXT_HEIGHT = 6


def line_width(image: Image) -> int:
    """1 pixel on a thumbnail, 2 on 600 x 400, 8 on 12 megapixels."""
    return max(1, round(0.9 + _side(image) / 480))


def text_height(image: Image) -> int:
    """10 pixels on a thumbnail, 18 on 600 x 400, 65 on 12 megapixels."""
    return round(9.5 + 0.016 * _side(image))


def _side(image: Image) -> float:
    """Side of the square with as many pixels."""
    return math.sqrt(image.shape[0] * image.shape[1])
