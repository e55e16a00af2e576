"""Crops of a feature pyramid, against the same sampling written as a loop over points."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrcnn_cv.inference.roi_align import assign_boxes_to_levels, channels_last, roi_align
from mrcnn_cv.model.definition import CropSpec, PyramidSpec
from mrcnn_cv.util.opencv import cv2

Float = NDArray[np.float32]

ALIGN = CropSpec((3, 2), "roi_align", sampling_ratio=2, scales=(0.25,))


def bilinear(feature_map: Float, y: float, x: float) -> Any:
    """(C,) of a map (C, H, W) at a point, which is moved inside."""
    height, width = feature_map.shape[1:]
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = feature_map[:, top, left] * (1 - (x - left)) + feature_map[:, top, right] * (x - left)
    lower = feature_map[:, bottom, left] * (1 - (x - left)) + feature_map[:, bottom, right] * (x - left)
    return upper * (1 - (y - top)) + lower * (y - top)


def align(feature_map: Float, region: Float, spec: CropSpec, input_size: tuple[int, int]) -> Float:
    """RoIAlign of one region in the most literal way: "Mask R-CNN", section 3, and torchvision's documentation."""
    offset = 0.5 if spec.aligned else 0.0
    starts = [region[axis] * input_size[axis] * spec.scales[0] - offset for axis in (0, 1)]
    ends = [region[axis + 2] * input_size[axis] * spec.scales[0] - offset for axis in (0, 1)]
    sides = [end - start if spec.aligned else max(end - start, 1) for start, end in zip(starts, ends, strict=True)]
    cells = [side / count for side, count in zip(sides, spec.size, strict=True)]
    counts = [spec.sampling_ratio or max(int(np.ceil(cell)), 1) for cell in cells]
    result = np.zeros((feature_map.shape[0], *spec.size), np.float32)
    for row, column in np.ndindex(*spec.size):
        for i, j in np.ndindex(*counts):
            y = starts[0] + row * cells[0] + (i + 0.5) * cells[0] / counts[0]
            x = starts[1] + column * cells[1] + (j + 0.5) * cells[1] / counts[1]
            if -1 <= y <= feature_map.shape[1] and -1 <= x <= feature_map.shape[2]:
                result[:, row, column] += bilinear(feature_map, y, x) / (counts[0] * counts[1])
    return result


def crop_and_resize(feature_map: Float, region: Float, size: tuple[int, int]) -> Float:
    """TensorFlow's CropAndResize of one region: corners on corners, zero outside of the map."""
    result = np.zeros((feature_map.shape[0], *size), np.float32)
    places = []
    for axis in (0, 1):
        length, (start, end) = feature_map.shape[axis + 1] - 1, region[axis::2]
        count = size[axis]
        places.append(np.linspace(start, end, count) * length if count > 1 else np.array([(start + end) / 2 * length]))
    for row, column in np.ndindex(*size):
        result[:, row, column] = bilinear(feature_map, float(places[0][row]), float(places[1][column]))
    return result


fractions = st.floats(0, 1, width=32)
regions = st.lists(st.tuples(fractions, fractions, fractions, fractions), min_size=1, max_size=5)


def ordered(boxes: list[tuple[float, ...]]) -> Float:
    corners = np.array(boxes, np.float32).reshape(-1, 2, 2)
    return np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)


@settings(deadline=None, max_examples=60)
@given(regions, st.booleans(), st.integers(0, 3), st.integers(1, 4), st.integers(1, 4), st.integers(1, 9))
def test_roi_align_is_the_mean_of_its_points(
    boxes: list[tuple[float, ...]], aligned: bool, ratio: int, rows: int, columns: int, side: int
) -> None:
    feature_map = np.random.default_rng(side).normal(size=(3, side, 11)).astype(np.float32)
    spec = replace(ALIGN, size=(rows, columns), sampling_ratio=ratio, aligned=aligned)
    areas, input_size = ordered(boxes), (side * 4, 44)
    found = roi_align([feature_map[np.newaxis]], areas, spec, input_size)
    expected = [align(feature_map, region, spec, input_size) for region in areas]
    np.testing.assert_allclose(found, expected, atol=1e-4)


@settings(deadline=None, max_examples=60)
@given(regions, st.integers(1, 4), st.integers(1, 4), st.integers(1, 9))
def test_crop_and_resize_puts_corners_on_corners(
    boxes: list[tuple[float, ...]], rows: int, columns: int, side: int
) -> None:
    feature_map = np.random.default_rng(side).normal(size=(3, side, 11)).astype(np.float32)
    areas = ordered(boxes)
    found = roi_align([feature_map[np.newaxis]], areas, CropSpec((rows, columns), "crop_and_resize"), (64, 64))
    # At the very border rounding may put a sample outside, as it does in TensorFlow.
    inner = np.flatnonzero(areas[:, 2:].max(axis=1) < 1 - 1e-5)
    expected = np.array([crop_and_resize(feature_map, region, (rows, columns)) for region in areas[inner]])
    np.testing.assert_allclose(found[inner], expected.reshape(found[inner].shape), atol=1e-4)


def test_each_region_is_cut_from_the_level_of_its_size() -> None:
    maps = [np.full((1, 2, 64 >> level, 64 >> level), level, np.float32) for level in range(4)]
    pyramid = PyramidSpec(levels=4, canonical_level=2)
    sides = [20, 111, 113, 223, 225, 447, 449, 1000]
    areas = np.array([(0, 0, side, side) for side in sides], np.float32) / np.float32(1024)
    assert assign_boxes_to_levels(areas, pyramid, (1024, 1024)).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    nearest = replace(pyramid, rounding="nearest")
    assert assign_boxes_to_levels(areas, nearest, (1024, 1024)).tolist() == [0, 1, 1, 2, 2, 3, 3, 3]
    spec = replace(ALIGN, scales=(1 / 16, 1 / 32, 1 / 64, 1 / 128), pyramid=pyramid)
    np.testing.assert_allclose(roi_align(maps, areas, spec, (1024, 1024))[:, 0, 0, 0], [0, 0, 1, 1, 2, 2, 3, 3])


def test_regions_without_area_belong_to_the_finest_level_and_no_region_is_no_crop() -> None:
    pyramid = PyramidSpec(levels=4, canonical_level=2)
    assert assign_boxes_to_levels(np.zeros((1, 4), np.float32), pyramid, (64, 64)).tolist() == [0]
    assert roi_align([np.zeros((1, 5, 8, 8), np.float32)], np.zeros((0, 4), np.float32), ALIGN, (32, 32)).shape == (
        0,
        5,
        3,
        2,
    )


@pytest.mark.parametrize("count", [1, 64, 2 * 64 + 3])
def test_flat_crops_have_their_channels_last(count: int) -> None:
    rng = np.random.default_rng(0)
    feature_map = rng.normal(size=(1, 2, 8, 8)).astype(np.float32)
    areas = ordered([tuple(corners) for corners in rng.uniform(size=(count, 4))])
    as_map = roi_align([feature_map], areas, ALIGN, (32, 32))
    flat = roi_align([feature_map], areas, replace(ALIGN, flat=True), (32, 32))
    np.testing.assert_array_equal(flat, as_map.transpose(0, 2, 3, 1).reshape(count, -1))


@pytest.mark.parametrize("pooled", [2, 3])
def test_of_a_square_of_samples_the_largest_is_kept(pooled: int) -> None:
    rng = np.random.default_rng(0)
    feature_map = rng.normal(size=(1, 5, 9, 11)).astype(np.float32)
    areas = ordered([tuple(corners) for corners in rng.uniform(size=(7, 4))])
    spec = CropSpec((6, 12))
    every = roi_align([feature_map], areas, spec, (32, 32))
    found = roi_align([feature_map], areas, replace(spec, pooled=pooled), (32, 32))
    squares = every.reshape(7, 5, 6 // pooled, pooled, 12 // pooled, pooled)
    np.testing.assert_array_equal(found, squares.max(axis=(3, 5)))


@pytest.mark.parametrize("flat", [False, True])
def test_crops_are_the_same_whatever_the_number_of_threads(flat: bool) -> None:
    rng = np.random.default_rng(0)
    maps = [rng.normal(size=(1, 3, side, side)).astype(np.float32) for side in (16, 8)]
    areas = ordered([tuple(corners) for corners in rng.uniform(size=(101, 4))])
    spec = replace(ALIGN, flat=flat, scales=(0.5, 0.25), pyramid=PyramidSpec(2, 0, 16.0))
    before, found = cv2.getNumThreads(), []
    try:
        for threads in (1, 3):
            cv2.setNumThreads(threads)
            found.append(roi_align(maps, areas, spec, (32, 32)))
    finally:
        cv2.setNumThreads(before)
    np.testing.assert_array_equal(found[0], found[1])


def test_a_map_whose_channels_lie_side_by_side_is_not_copied() -> None:
    feature_map = np.random.default_rng(0).normal(size=(1, 5, 6, 7)).astype(np.float32)
    turned = channels_last(feature_map)
    np.testing.assert_array_equal(turned, feature_map)
    assert turned.strides[1] == 4
    assert channels_last(turned) is turned


@pytest.mark.parametrize("method", ["roi_align", "crop_and_resize"])
def test_regions_that_are_no_numbers_stay_inside(method: Any) -> None:
    area = np.full((1, 4), np.nan, np.float32)
    found = roi_align([np.ones((1, 1, 8, 8), np.float32)], area, replace(ALIGN, method=method), (32, 32))
    assert np.isfinite(found).all()
