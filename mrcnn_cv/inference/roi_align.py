"""Cut regions out of feature maps: CropAndResize and RoIAlign, as two small matrix products for each region.

Both sample bilinearly on a grid, so the rows and the columns of a crop each are weighted sums of rows and columns of
the map: crop = row weights @ map @ column weights.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.inference.box_ops import Boxes, clip
from mrcnn_cv.inference.roi_pool import PooledLevel, bins
from mrcnn_cv.model.definition import CropSpec, PyramidSpec
from mrcnn_cv.util.opencv import cv2
from mrcnn_cv.util.parallel import parallel_for

Float = NDArray[np.float32]


def roi_align(features: list[Float], regions: Boxes, spec: CropSpec, input_size: tuple[int, int]) -> Float:
    """The crops of N regions as a head takes them: (N, C, h, w) float32, (h, w) being `spec.head_size`.

    With `flat` it is (N, h * w * C).

    features: maps (1, C, H, W), finest first. regions (N, 4): y1 x1 y2 x2 as fractions of the backbone's input, of
    `input_size` (height, width) pixels. Source of the sampling: TensorFlow's core/kernels/image/crop_and_resize_op.cc;
    torchvision's ops/cpu/roi_align_kernel.cpp.
    """
    regions = clip(regions, (0, 0, 1, 1))
    chosen = (
        assign_boxes_to_levels(regions, spec.pyramid, input_size) if spec.pyramid else np.zeros(len(regions), np.intp)
    )
    places = np.empty(len(regions), np.intp)
    levels: dict[int, _Level | PooledLevel] = {}
    for level in sorted(set(chosen.tolist())):
        own = np.flatnonzero(chosen == level)
        places[own] = np.arange(len(own))
        levels[level] = _level(features[level], regions[own], level, spec, input_size)
    crops = _Crops(levels, chosen.tolist(), places.tolist(), (*spec.size, features[0].shape[1]), spec.pooled)
    return crops.as_rows() if spec.flat else crops.as_maps()


class _Crops(NamedTuple):
    """Crops that are about to be cut; (height, width, channels) in `shape` before pooling."""

    levels: dict[int, _Level | PooledLevel]
    chosen: list[int]
    places: list[int]
    shape: tuple[int, int, int]
    pooled: int

    @property
    def head_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.shape
        return height // self.pooled, width // self.pooled, channels

    def as_maps(self) -> Float:
        """(N, C, h, w)."""
        height, width, channels = self.head_shape
        result = np.empty((len(self.chosen), channels, height * width), dtype=np.float32)

        def cut(part: range) -> None:
            # Memory that is new costs more than the sums, and what is in the processor's cache is turned quickly.
            own, larger = np.empty(self.head_shape, dtype=np.float32), np.empty(self.shape, dtype=np.float32)
            for index in part:
                self._cut(index, own, larger)
                cv2.transpose(own.reshape(-1, channels), dst=result[index])

        parallel_for(cut, len(result))
        return result.reshape(-1, channels, height, width)

    def as_rows(self) -> Float:
        """(N, h * w * C)."""
        result = np.empty((len(self.chosen), *self.head_shape), dtype=np.float32)

        def cut(part: range) -> None:
            larger = np.empty(self.shape, dtype=np.float32)
            for index in part:
                self._cut(index, result[index], larger)

        parallel_for(cut, len(result))
        return result.reshape(len(result), -1)

    def _cut(self, index: int, out: Float, larger: Float) -> None:
        """Cut one crop into `out` (h, w, C), pooled; larger: memory for one that is not pooled yet."""
        level = self.levels[self.chosen[index]]
        if self.pooled == 1:
            level.cut(self.places[index], out)
            return
        level.cut(self.places[index], larger)
        height, width, channels = out.shape
        squares = larger.reshape(height, self.pooled, width, self.pooled * channels)
        rows = squares.max(axis=1)
        rows.reshape(height, width, self.pooled, channels).max(axis=2, out=out)


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


def _level(
    feature_map: Float, regions: Boxes, level: int, spec: CropSpec, input_size: tuple[int, int]
) -> _Level | PooledLevel:
    turned = np.ascontiguousarray(channels_last(feature_map)[0].transpose(1, 2, 0))
    if spec.method == "roi_pool":
        pooled = (bins(regions[:, axis::2], level, axis, turned.shape[axis], spec, input_size) for axis in (0, 1))
        return PooledLevel(turned, *pooled)
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


def assign_boxes_to_levels(regions: Boxes, spec: PyramidSpec, input_size: tuple[int, int]) -> NDArray[np.intp]:
    """(N,) the level of each region (N, 4), fractions of an input of `input_size` (height, width) pixels; 0: finest."""
    height, width = (np.float32(side) for side in input_size)
    sides = ((regions[:, 2] - regions[:, 0]) * height) * ((regions[:, 3] - regions[:, 1]) * width)
    with np.errstate(divide="ignore", invalid="ignore"):
        level = np.log2(np.sqrt(sides) / np.float32(spec.canonical_size)) + np.float32(spec.epsilon)
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
        # TensorFlow's own order of operations. There a sample that rounding puts beyond the last cell is zero, so that
        # the last digit of a box at the border decides whether it loses a row; here it is moved back.
        last = np.float32(length - 1)
        start, end = spans.T[:, :, np.newaxis]
        step = (end - start) * last / np.float32(count - 1) if count > 1 else np.float32(0.5) * (end - start) * last
        start = start * last
        steps = np.arange(count, dtype=np.float32) if count > 1 else np.ones(1, dtype=np.float32)
        points = (start + steps * step)[..., np.newaxis]
        return points, np.ones_like(points)
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
