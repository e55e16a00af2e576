"""Resize an image the way scikit-image does, with black beyond its border: how matterport's models saw theirs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ROWS_AT_ONCE = 32


def resize_zero_border(
    planes: NDArray[np.uint8], size: tuple[int, int], truncate_pixels: bool, out: NDArray[np.float32]
) -> None:
    """Resize (3, H, W) uint8 into `out` (3, height, width) float32, bit for bit.

    As `skimage.transform.resize(image, size, order=1, mode="constant", anti_aliasing=False, preserve_range=True)`; with
    `truncate_pixels` what is behind the point is cut off. Source of the order of operations: SciPy's
    ndimage/src/ni_interpolation.c (NI_ZoomShift).
    """
    if planes.shape[1:] == size:
        out[:] = planes
        return
    top, y_weights = _filter_weights(planes.shape[1], size[0])
    left, x_weights = _filter_weights(planes.shape[2], size[1])
    # scikit-image keeps to the range of the image where nothing black is in sight.
    darkest = planes.min()
    for start in range(0, size[0], ROWS_AT_ONCE):
        rows = slice(start, min(start + ROWS_AT_ONCE, size[0]))
        upper, lower = (
            planes.take(top[tap, rows], axis=1) * y_weights[tap, rows, np.newaxis]  # float64, as in SciPy
            for tap in (0, 1)
        )
        total = upper.take(left[0], axis=2) * x_weights[0]
        total += upper.take(left[1], axis=2) * x_weights[1]
        total += lower.take(left[0], axis=2) * x_weights[0]
        total += lower.take(left[1], axis=2) * x_weights[1]
        np.maximum(total, darkest, out=total)
        out[:, rows] = np.trunc(total) if truncate_pixels else total


def _filter_weights(length: int, new_length: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """For each pixel of the result the two source pixels around its centre and their weights, both (2, new_length)."""
    places = (np.arange(new_length) + 0.5) * (length / new_length) - 0.5
    first = np.floor(places)
    near = 1.0 - (places - first)
    pixels = np.stack([first, first + 1]).astype(np.intp)
    weights = np.stack([near, 1.0 - near])
    weights[(pixels < 0) | (pixels >= length)] = 0
    return np.clip(pixels, 0, length - 1), weights
