"""RoI pooling against its definition, cell by cell."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrcnn_cv.inference.roi_align import roi_align
from mrcnn_cv.inference.roi_pool import with_roi_pooling
from mrcnn_cv.model.definition import CropSpec, ModelDefinition

Float = NDArray[np.float32]

POOL = CropSpec((3, 2), "roi_pool")


def pool(feature_map: Float, region: Float, size: tuple[int, int], factors: tuple[float, float]) -> Float:
    """RoI pooling of one region of a map (C, H, W), in the words of "Fast R-CNN", section 2.1, and of Caffe's code."""
    result = np.zeros((feature_map.shape[0], *size), np.float32)
    first = [floor(np.float32(region[axis]) * np.float32(factors[axis]) + np.float32(0.5)) for axis in (0, 1)]
    last = [floor(np.float32(region[axis + 2]) * np.float32(factors[axis]) + np.float32(0.5)) for axis in (0, 1)]
    cells = [max(end - start + 1, 1) for start, end in zip(first, last, strict=True)]
    for place in np.ndindex(*size):
        spans: list[Any] = []
        for axis in (0, 1):
            start = first[axis] + floor(place[axis] * cells[axis] / size[axis])
            end = first[axis] + ceil((place[axis] + 1) * cells[axis] / size[axis])
            spans.append(slice(min(start, feature_map.shape[axis + 1]), min(end, feature_map.shape[axis + 1])))
        window = feature_map[:, spans[0], spans[1]]
        if window.size:
            result[(slice(None), *place)] = window.max(axis=(1, 2))
    return result


fractions = st.floats(0, 1, width=32)
regions = st.lists(st.tuples(fractions, fractions, fractions, fractions), min_size=1, max_size=5)


@settings(deadline=None, max_examples=60)
@given(regions, st.integers(1, 4), st.integers(1, 4), st.integers(1, 9), st.booleans())
def test_every_bin_is_the_maximum_of_the_cells_it_touches(
    boxes: list[tuple[float, ...]], rows: int, columns: int, side: int, has_scales: bool
) -> None:
    feature_map = np.random.default_rng(side).normal(size=(3, side, 11)).astype(np.float32)
    corners = np.array(boxes, np.float32).reshape(-1, 2, 2)
    areas = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    spec = replace(POOL, size=(rows, columns), scales=(0.25,) if has_scales else ())
    found = roi_align([feature_map[np.newaxis]], areas, spec, (side * 4, 44))
    # Where the model says how large a cell is, a box ends at the border of the last one; else at its centre.
    factors = (side, 11) if has_scales else (side - 1, 10)
    expected = [pool(feature_map, region, (rows, columns), factors) for region in areas]
    np.testing.assert_array_equal(found, expected)


def test_the_maximum_of_squares_that_follows_is_the_pooling_into_fewer_bins() -> None:
    feature_map = np.random.default_rng(0).normal(size=(1, 4, 20, 30)).astype(np.float32)
    areas = np.array([[0.1, 0.2, 0.8, 0.9], [0.0, 0.0, 1.0, 1.0]], np.float32)
    once = roi_align([feature_map], areas, CropSpec((7, 7), "roi_pool"), (320, 480))
    twice = roi_align([feature_map], areas, CropSpec((14, 14), "roi_pool", pooled=2), (320, 480))
    np.testing.assert_array_equal(once, twice)


def test_both_heads_of_a_model_are_pooled(spec: ModelDefinition) -> None:
    pooled = with_roi_pooling(spec)
    assert pooled.crop == replace(spec.crop, method="roi_pool")
    assert (pooled.mask is None) == (spec.mask is None)
    assert spec.crop.method == "crop_and_resize"
