"""Overlap of masks from a few points, against the masks' pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.tracking.mask_iou import coarse_masks, ious

ROWS, COLUMNS = np.mgrid[-1:1:28j, -1:1:28j]
SHAPES = {
    "disc": 1.3 - np.hypot(ROWS, COLUMNS),
    "ring": 0.8 - 3 * np.abs(np.hypot(ROWS, COLUMNS) - 0.7),
    "cross": 0.8 - np.minimum(np.abs(ROWS), np.abs(COLUMNS)),
    "half": 0.5 - COLUMNS,
}


def found(boxes: NDArray[Any], shape: str | None) -> Instances:
    count = len(boxes)
    masks = None if shape is None else np.tile(SHAPES[shape].clip(0, 1).astype(np.float32), (count, 1, 1))
    return Instances(
        boxes=boxes.astype(np.float32),
        scores=np.full(count, 0.9, dtype=np.float32),
        class_ids=np.ones(count, dtype=np.int32),
        labels=["x"] * count,
        mask_probabilities=masks,
        image_size=(300, 300),
        mask_sampling="centers",
    )


def overlaps(first: Instances, second: Instances) -> NDArray[np.float64]:
    every = (coarse_masks(some, np.arange(len(some))) for some in (first, second))
    return ious(*every)


def by_pixels(first: Instances, second: Instances) -> NDArray[np.float64]:
    one = [first.full_mask(index) for index in range(len(first))]
    two = [second.full_mask(index) for index in range(len(second))]
    return np.array([[(a & b).sum() / (a | b).sum() for b in two] for a in one])


def some_boxes(seed: int, count: int = 12) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    corners = rng.integers(20, 150, (count, 2))
    return np.hstack([corners, corners + rng.integers(25, 110, (count, 2))]).astype(np.float64)


@pytest.mark.parametrize("shape", ["disc", "ring", "cross", "half"])
def test_masks_overlap_as_their_pixels_do(shape: str) -> None:
    one, two = found(some_boxes(1), shape), found(some_boxes(2), "disc")
    difference = np.abs(overlaps(one, two) - by_pixels(one, two))
    assert difference.max() < 0.08
    assert difference.mean() < 0.01
    assert overlaps(one, one).diagonal() == pytest.approx(1, abs=0.06)


def test_boxes_without_masks_overlap_exactly() -> None:
    one, two = found(some_boxes(1), None), found(some_boxes(2), None)
    assert overlaps(one, two) == pytest.approx(by_pixels(one, two), abs=1e-9)


def test_masks_that_miss_each_other_in_boxes_that_meet() -> None:
    left = found(np.array([[0.0, 0, 100, 100]]), "half")
    right = found(np.array([[60.0, 0, 160, 100]]), "half")
    assert overlaps(left, right)[0, 0] == 0
    assert overlaps(found(left.boxes, None), found(right.boxes, None))[0, 0] == pytest.approx(0.25)


def test_a_speck_on_something_large() -> None:
    large, speck = found(np.array([[0.0, 0, 300, 300]]), None), found(np.array([[100.5, 100.5, 101.5, 101.5]]), None)
    assert overlaps(large, speck)[0, 0] == pytest.approx(1 / 90_000)
    assert overlaps(speck, large)[0, 0] == pytest.approx(1 / 90_000)


def test_a_mask_without_any_pixel_counts_as_its_box() -> None:
    empty = found(some_boxes(1, 1), "disc")
    assert empty.mask_probabilities is not None
    empty.mask_probabilities[:] = 0
    assert overlaps(empty, empty)[0, 0] == pytest.approx(1)


def test_crowds_are_compared_in_pieces() -> None:
    crowd = found(np.tile([[10.0, 10, 60, 60]], (80, 1)), "disc")
    assert overlaps(crowd, crowd).min() == overlaps(crowd, crowd).max() > 0.9


def test_nothing_overlaps_nothing() -> None:
    none, some = found(np.zeros((0, 4)), "disc"), found(some_boxes(1), "disc")
    assert overlaps(none, some).shape == (0, 12)
    assert overlaps(some, none).shape == (12, 0)
