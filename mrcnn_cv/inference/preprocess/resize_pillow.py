"""Resize an image the way Pillow does, bilinearly and smoothed where it shrinks: how Detectron2's models see theirs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PRECISION_BITS = 22
"""Pillow weighs bytes with whole numbers, of which one is as many as this power of two."""

ROWS_AT_ONCE = 32


class _PillowFilter(NamedTuple):
    """For each of n pixels of the result, along one axis: its k source pixels (n, k) and their weights (n, k)."""

    pixels: NDArray[np.intp]
    weights: NDArray[np.int32]


def resize_antialiased(planes: NDArray[np.uint8], size: tuple[int, int], out: NDArray[np.float32]) -> None:
    """Resize (3, H, W) uint8 into `out` (3, height, width) float32, whole numbers, bit for bit.

    As Pillow's `Image.resize((width, height), Image.BILINEAR)` of an image of bytes: a triangle as wide as a pixel of
    the larger grid, along the rows first, rounded to bytes after either pass. Source: libImaging/Resample.c.
    """
    height, width = size
    columns = None if width == planes.shape[2] else _filter_weights(planes.shape[2], width)
    rows = None if height == planes.shape[1] else _filter_weights(planes.shape[1], height)
    for start in range(0, height, ROWS_AT_ONCE):
        chosen = slice(start, min(start + ROWS_AT_ONCE, height))
        first, last = chosen.start, chosen.stop
        if rows is not None:
            first, last = int(rows.pixels[chosen].min()), int(rows.pixels[chosen].max()) + 1
        source = planes[:, first:last]
        if columns is not None:
            source = _weigh(source, columns, axis=2)
        if rows is not None:
            source = _weigh(source, _PillowFilter(rows.pixels[chosen] - first, rows.weights[chosen]), axis=1)
        out[:, chosen] = source


def _filter_weights(length: int, new_length: int) -> _PillowFilter:
    scale = length / new_length
    reach = max(scale, 1.0)
    centres = (np.arange(new_length) + 0.5) * scale
    first = np.maximum(np.trunc(centres - reach + 0.5), 0).astype(np.intp)
    last = np.minimum(np.trunc(centres + reach + 0.5), length).astype(np.intp)
    pixels = first[:, np.newaxis] + np.arange((last - first).max())
    shares = 1.0 - np.abs((pixels - centres[:, np.newaxis] + 0.5) * (1.0 / reach))
    shares[(pixels >= last[:, np.newaxis]) | (shares < 0)] = 0
    total = np.zeros(new_length)
    for share in shares.T:  # From first to last, as Pillow adds them up.
        total += share
    weights = np.trunc(0.5 + shares / total[:, np.newaxis] * (1 << PRECISION_BITS)).astype(np.int32)
    return _PillowFilter(np.minimum(pixels, length - 1), weights)


def _weigh(planes: NDArray[np.uint8], kernel: _PillowFilter, axis: int) -> NDArray[np.uint8]:
    """The weighted mean of the source pixels along one axis, rounded."""
    shape = [-1 if each == axis else 1 for each in range(3)]
    total: NDArray[np.int32] | None = None
    for pixels, weights in zip(kernel.pixels.T, kernel.weights.T, strict=True):
        part = planes.take(pixels, axis).astype(np.int32)
        part *= weights.reshape(shape)
        if total is None:
            total = part
            total += 1 << (PRECISION_BITS - 1)
        else:
            total += part
    assert total is not None
    total >>= PRECISION_BITS
    return np.clip(total, 0, 255, out=total).astype(np.uint8)
