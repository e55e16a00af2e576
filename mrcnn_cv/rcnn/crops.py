"""Cut regions out of a feature pyramid: CropAndResize and RoIAlign, as two small matrix products for each region.

Both sample bilinearly on a grid, so the rows and the columns of a crop each are weighted sums of rows and columns of
the map: crop = row weights @ map @ column weights.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.modelfile.spec import CropSpec, PyramidSpec
from mrcnn_cv.opencv import cv2
from mrcnn_cv.rcnn.boxes import Boxes, clip

Float = NDArray[np.float32]


def crop(features: list[Float], regions: Boxes, spec: CropSpec, input_size: tuple[int, int]) -> Float:
    """The crops of N regions, for a head: (N, C, h, w) float32, or (N, h * w * C) where it takes them flat.

    With `as_pixels` the latter is (1, h * w * C, 1, N).

    features: maps (1, C, H, W), finest first. regions (N, 4): y1 x1 y2 x2 as fractions of the trunk's input, which has
    `input_size` (height, width) pixels. Source of the sampling: TensorFlow's core/kernels/image/crop_and_resize_op.cc;
    torchvision's ops/cpu/roi_align_kernel.cpp.
    """
    regions = clip(regions, (0, 0, 1, 1))
    chosen = level_of(regions, spec.pyramid, input_size) if spec.pyramid else np.zeros(len(regions), np.intp)
    places = np.empty(len(regions), np.intp)
    levels: dict[int, _Level] = {}
    for level in np.unique(chosen):
        own = np.flatnonzero(chosen == level)
        places[own] = np.arange(len(own))
        levels[level] = _level(features[level], regions[own], level, spec, input_size)
    shape = (*spec.size, features[0].shape[1])
    if spec.flat and spec.as_pixels:
        return _as_pixels(levels, chosen, places, shape)
    result = np.empty((len(regions), *shape), dtype=np.float32)
    for index, (level, place) in enumerate(zip(chosen.tolist(), places.tolist(), strict=True)):
        levels[level].cut(place, result[index])
    return result.reshape(len(result), -1) if spec.flat else np.ascontiguousarray(result.transpose(0, 3, 1, 2))


def _as_pixels(
    levels: dict[int, _Level], chosen: NDArray[np.intp], places: NDArray[np.intp], shape: tuple[int, int, int]
) -> Float:
    """The crops as the columns of one matrix, some at a time: memory that is new costs more than the sums."""
    result = np.empty((prod(shape), len(chosen)), dtype=np.float32)
    some = np.empty((CROPS_AT_ONCE, *shape), dtype=np.float32)
    for start in range(0, len(chosen), CROPS_AT_ONCE):
        part = slice(start, start + CROPS_AT_ONCE)
        count = len(chosen[part])
        for index, (level, place) in enumerate(zip(chosen[part].tolist(), places[part].tolist(), strict=True)):
            levels[level].cut(place, some[index])
        result[:, part] = cv2.transpose(some[:count].reshape(count, -1))
    return result[np.newaxis, :, np.newaxis]


CROPS_AT_ONCE = 64
"""Crops that fit into the processor's cache together."""


class _Level(NamedTuple):
    """A map (H, W, C), and what its rows and columns add to the samples of the regions that are cut from it."""

    feature_map: Float
    rows: AxisWeights
    columns: AxisWeights

    def cut(self, place: int, out: Float) -> None:
        """Cut the region with number `place` into `out` (h, w, C)."""
        top, height = self.rows.first[place], self.rows.cells[place]
        left, width = self.columns.first[place], self.columns.cells[place]
        window = self.feature_map[top : top + height, left : left + width]
        # A stack of small products: BLAS takes them one by one, without threads.
        across = np.matmul(self.columns.weights[place, :, :width], window).reshape(height, -1)
        _small_products(self.rows.weights[place, :, :height], across, out.reshape(len(out), -1))


def _level(feature_map: Float, regions: Boxes, level: int, spec: CropSpec, input_size: tuple[int, int]) -> _Level:
    turned = np.ascontiguousarray(channels_last(feature_map)[0].transpose(1, 2, 0))
    rows, columns = (
        axis_weights(
            *_points(regions[:, axis::2], level, axis, turned.shape[axis], spec, input_size), turned.shape[axis]
        )
        for axis in (0, 1)
    )
    return _Level(turned, rows, columns)


def channels_last(feature_map: Float) -> Float:
    """A map (1, C, H, W) whose channels lie side by side in memory, as `crop` needs it; itself if they do."""
    _, channels, height, width = feature_map.shape
    if feature_map.strides[1] == feature_map.itemsize:
        return feature_map
    turned = cv2.transpose(np.ascontiguousarray(feature_map).reshape(channels, -1))
    return np.asarray(turned, dtype=np.float32).reshape(1, height, width, channels).transpose(0, 3, 1, 2)


LARGEST_PRODUCT = 1 << 18
"""Multiplications in a product up to which OpenBLAS takes no threads, which would fight with OpenCV's for the
processors, for ten times the time."""


def _small_products(left: Float, right: Float, out: Float) -> None:
    """left @ right in `out`, in pieces of columns that BLAS takes without threads."""
    columns = max(LARGEST_PRODUCT // max(left.size, 1), 1)
    for start in range(0, right.shape[1], columns):
        piece = slice(start, start + columns)
        np.matmul(left, right[:, piece], out=out[:, piece])


def level_of(regions: Boxes, spec: PyramidSpec, input_size: tuple[int, int]) -> NDArray[np.intp]:
    """(N,) the level of each region (N, 4), fractions of an input of `input_size` (height, width) pixels; 0: finest."""
    height, width = (np.float32(side) for side in input_size)
    sides = ((regions[:, 2] - regions[:, 0]) * height) * ((regions[:, 3] - regions[:, 1]) * width)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log2(np.sqrt(sides) / np.float32(spec.canonical_size)) + np.float32(spec.nudge)
    level = np.clip(np.nan_to_num(level, nan=-np.inf) + np.float32(spec.canonical_level), 0, spec.levels - 1)
    result: NDArray[np.intp] = (np.floor(level) if spec.rounding == "floor" else np.rint(level)).astype(np.intp)
    return result


class AxisWeights(NamedTuple):
    """What the cells of a map's axis add to the samples of N crops.

    first (N,): the first cell that counts for a crop. cells (N,): how many do. weights (N, samples, at least cells).
    """

    first: NDArray[np.intp]
    cells: NDArray[np.intp]
    weights: Float


def axis_weights(points: Float, shares: Float, length: int) -> AxisWeights:
    """Bilinear sampling of `length` cells at points (N, samples, P), each with its share (N, 1 or samples, P)."""
    inside = np.clip(points, 0, length - 1)
    lower = np.minimum(inside.astype(np.intp), max(length - 2, 0))
    upper = np.minimum(lower + 1, length - 1)
    fraction = inside - lower
    first = lower.min(axis=(1, 2))
    cells = upper.max(axis=(1, 2)) - first + 1
    weights = np.zeros((*points.shape[:2], cells.max()), dtype=np.float32)
    crops, samples = np.ogrid[: points.shape[0], : points.shape[1]]
    for point in range(points.shape[2]):
        # Within one point of all samples no cell comes twice.
        far = fraction[..., point] * shares[..., point]
        weights[crops, samples, lower[..., point] - first[:, np.newaxis]] += shares[..., point] - far
        weights[crops, samples, upper[..., point] - first[:, np.newaxis]] += far
    return AxisWeights(first, cells, weights)


def _points(
    spans: Float, level: int, axis: int, length: int, spec: CropSpec, input_size: tuple[int, int]
) -> tuple[Float, Float]:
    """(points, shares), both (N, samples, P): where on an axis of a map the samples lie, and what each point counts.

    spans (N, 2): the regions on this axis, as fractions.
    """
    count = spec.size[axis]
    if spec.method == "crop_and_resize":
        # TensorFlow's own order of operations; what lies outside is zero.
        start, end = (spans * np.float32(length - 1)).T[:, :, np.newaxis]
        step = (end - start) / np.float32(count - 1) if count > 1 else (end - start) / 2
        steps = np.arange(count, dtype=np.float32) if count > 1 else np.ones(1, dtype=np.float32)
        points = (start + steps * step)[..., np.newaxis]
        return points, ((points >= 0) & (points <= length - 1)).astype(np.float32)
    scale = np.float32(spec.scales[level] * input_size[axis])
    start, end = (spans * scale - np.float32(0.5 if spec.aligned else 0)).T
    extent = end - start if spec.aligned else np.maximum(end - start, np.float32(1))
    cell = (extent / np.float32(count))[:, np.newaxis, np.newaxis]
    ratio = np.full(len(spans), spec.sampling_ratio) if spec.sampling_ratio else np.ceil(extent / np.float32(count))
    ratio = np.maximum(ratio, 1).astype(np.float32)[:, np.newaxis, np.newaxis]
    samples = np.arange(count, dtype=np.float32)[:, np.newaxis]
    point = np.arange(int(ratio.max()), dtype=np.float32)
    points = start[:, np.newaxis, np.newaxis] + samples * cell + (point + np.float32(0.5)) * cell / ratio
    counts = (points >= -1) & (points <= length) & (point < ratio)
    # Points beyond those of a region are at a place that counts anyway, so that its window stays small.
    return np.where(counts, points, points[:, :, :1]), counts / ratio
