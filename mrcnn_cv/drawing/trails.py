"""Trails: lines from where the followed instances were to where they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.colors import Bgr
from mrcnn_cv.util.opencv import cv2

_STEPS = 4
_FRACTION_BITS = 3


def paint_trail(image: NDArray[np.uint8], trail: NDArray[np.float32], ink: Bgr, line_width: int) -> None:
    """Paint a line along `trail` (k, 2) float32, x y in pixels, oldest first: the older, the thinner; in place."""
    if len(trail) < 2:
        return
    # Fixed-point coordinates; far beyond any image they would overflow.
    points = np.rint(np.clip(trail, -30_000, 60_000) * (1 << _FRACTION_BITS)).astype(np.int32)
    borders = np.linspace(0, len(points) - 1, _STEPS + 1).round().astype(int)
    for step, (first, last) in enumerate(pairwise(borders), start=1):
        if last > first:
            width = max(1, round((line_width + 1) * step / _STEPS))
            cv2.polylines(image, [points[first : last + 1]], False, ink, width, cv2.LINE_AA, _FRACTION_BITS)
