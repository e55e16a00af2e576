"""TensorFlow's other three ways of resizing an image: nearest neighbour, bicubic and area."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]

CUBIC_STEPS = 1024
"""TensorFlow takes the weights of its bicubic rule from a table with this many positions between two pixels."""


class _SamplingFilter(NamedTuple):
    """For each of n pixels of the result, along one axis: its k source pixels (n, k) and their weights (n, k)."""

    pixels: NDArray[np.intp]
    weights: Float


def step(length: int, new_length: int, align_corners: bool) -> np.float32:
    """Source pixels per pixel of the result. Source: core/util/image_resizer_state.h (CalculateResizeScale)."""
    if align_corners and length > 1 and new_length > 1:
        return np.float32(length - 1) / np.float32(new_length - 1)
    return np.float32(length) / np.float32(new_length)


def resample(planes: NDArray[np.uint8], method: str, align_corners: bool, out: Float) -> None:
    """Resize (3, H, W) uint8 into `out` (3, height, width) float32 with TensorFlow 1's pixel centres, bit for bit.

    method: "nearest", "bicubic" or "area". Source: core/kernels/image/resize_{nearest_neighbor,bicubic,area}_op.cc.
    """
    lengths = list(zip(planes.shape[1:], out.shape[1:], strict=True))
    rows, columns = (_FILTERS[method](*both, align_corners) for both in lengths)
    # The order in which TensorFlow adds up decides how the sums are rounded.
    if method == "area":
        out[:] = _weigh(_weigh(planes, columns, axis=2), rows, axis=1)
        height, width = (step(*both, align_corners) for both in lengths)
        out *= np.float32(1) / (height * width)
    else:
        out[:] = _weigh(_weigh(planes, rows, axis=1), columns, axis=2)


def _nearest_weights(length: int, new_length: int, align_corners: bool) -> _SamplingFilter:
    places = np.arange(new_length, dtype=np.float32) * step(length, new_length, align_corners)
    whole = np.floor(places + np.float32(0.5)) if align_corners else np.floor(places)
    pixels = np.minimum(whole.astype(np.intp), length - 1)[:, np.newaxis]
    return _SamplingFilter(pixels, np.ones(pixels.shape, np.float32))


def _cubic_weights(length: int, new_length: int, align_corners: bool) -> _SamplingFilter:
    places = np.arange(new_length, dtype=np.float32) * step(length, new_length, align_corners)
    whole = np.floor(places)
    offset = np.rint((places - whole) * np.float32(CUBIC_STEPS)).astype(np.intp)
    near, far = _cubic_table()
    weights = np.stack([far[offset], near[offset], near[CUBIC_STEPS - offset], far[CUBIC_STEPS - offset]], axis=1)
    pixels = whole.astype(np.intp)[:, np.newaxis] + np.arange(-1, 3)
    return _SamplingFilter(np.clip(pixels, 0, length - 1), weights)


def _cubic_table() -> tuple[Float, Float]:
    """Weights of pixels less than one and less than two away, by distance: Keys' cubic with a = -0.75."""
    a = -0.75
    x = np.arange(CUBIC_STEPS + 1) / CUBIC_STEPS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    x += 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return near.astype(np.float32), far.astype(np.float32)


def _area_weights(length: int, new_length: int, align_corners: bool) -> _SamplingFilter:
    """Every source pixel counts with the length of it that a pixel of the result covers."""
    each, one = step(length, new_length, align_corners), np.float32(1)
    bounds = np.arange(new_length + 1, dtype=np.float32) * each
    start, end = bounds[:-1, np.newaxis], bounds[1:, np.newaxis]
    first = np.floor(start)
    pixels = first + np.arange((np.ceil(end) - first).max(), dtype=np.float32)
    after = pixels + one
    cut_before = np.where(after > end, each, after - start)
    not_cut_before = np.where(after > end, end - pixels, one)
    weights = np.where(pixels < start, cut_before, not_cut_before)
    weights[pixels >= np.ceil(end)] = 0
    return _SamplingFilter(np.clip(pixels, 0, length - 1).astype(np.intp), weights.astype(np.float32))


def _weigh(planes: NDArray[np.generic], kernel: _SamplingFilter, axis: int) -> Float:
    """The weighted sum of the source pixels along one axis, added up from first to last."""
    shape = [-1 if each == axis else 1 for each in range(3)]
    total = np.zeros(1, np.float32)
    for pixels, weights in zip(kernel.pixels.T, kernel.weights.T, strict=True):
        total = total + planes.take(pixels, axis).astype(np.float32) * weights.reshape(shape)
    return total


_FILTERS: dict[str, Callable[[int, int, bool], _SamplingFilter]] = {
    "nearest": _nearest_weights,
    "bicubic": _cubic_weights,
    "area": _area_weights,
}
