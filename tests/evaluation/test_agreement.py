"""Two lists of instances against each other, and the sheet that shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mrcnn_cv.evaluation.agreement import agree, box_ious, mask_iou, spread
from mrcnn_cv.evaluation.side_by_side import ALONE, side_by_side
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.structures.masks import LocalMask

BOXES = [(2, 2, 12, 12), (20, 2, 40, 22), (20, 4, 40, 24)]


def found(boxes: Any, labels: list[str], masks: bool = True) -> Instances:
    count = len(labels)
    return Instances(
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        scores=np.linspace(0.9, 0.6, count, dtype=np.float32),
        class_ids=np.ones(count, np.int32),
        labels=labels,
        mask_probabilities=np.ones((count, 3, 3), np.float32) if masks else None,
        image_size=(40, 60),
        mask_sampling="centers",
    )


def test_equal_lists_agree_wholly() -> None:
    both = agree(found(BOXES, ["cup"] * 3), found(BOXES, ["cup"] * 3), 0.5)
    assert [(pair.first, pair.second) for pair in sorted(both.pairs, key=lambda pair: pair.first)] == [
        (0, 0),
        (1, 1),
        (2, 2),
    ]
    assert both.share == 1
    assert both.disagreement == (0, 0, 0)


def test_differences_are_measured() -> None:
    first, second = found(BOXES[:1], ["cup"]), found([(2, 2, 12, 17)], ["cup"])
    second.scores[0] = 0.85
    (pair,) = agree(first, second, 0.5).pairs
    assert pair.box_iou == pytest.approx(100 / 150)
    # A pixel more or less at the border.
    assert pair.mask_iou == pytest.approx(100 / 150, abs=0.02)
    assert pair.box_shift == 5
    assert pair.score_shift == pytest.approx(-0.05)


def test_what_one_alone_found_and_other_labels() -> None:
    both = agree(found(BOXES[:2], ["cup", "cup"]), found(BOXES[:2], ["cup", "plate"]), 0.5)
    assert len(both.pairs) == 1
    assert (both.only_first, both.only_second) == ((1,), (1,))
    assert both.share == pytest.approx(1 / 3)


def test_nothing_on_both_sides_is_agreement() -> None:
    nothing = found([], [])
    assert agree(nothing, nothing, 0.5).share == 1
    assert agree(nothing, found(BOXES, ["cup"] * 3), 0.5).share == 0


def test_without_a_least_overlap_boxes_still_have_to_touch() -> None:
    assert not agree(found(BOXES[:1], ["cup"]), found(BOXES[1:2], ["cup"]), 0.0).pairs


def test_models_without_masks_are_compared_by_boxes() -> None:
    both = agree(found(BOXES, ["cup"] * 3), found(BOXES, ["cup"] * 3, masks=False), 0.5)
    assert [pair.mask_iou for pair in both.pairs] == [None] * 3


def test_overlaps() -> None:
    boxes = np.array([(0, 0, 2, 2), (5, 5, 5, 9)], np.float32)
    assert box_ious(boxes, boxes).tolist() == [[1, 0], [0, 0]]
    square, empty = LocalMask(0, 0, np.ones((2, 2), np.bool_)), LocalMask(0, 0, np.zeros((0, 0), np.bool_))
    assert mask_iou(square, LocalMask(1, 1, np.ones((2, 2), np.bool_))) == pytest.approx(1 / 7)
    assert mask_iou(square, LocalMask(9, 9, np.ones((2, 2), np.bool_))) == 0
    assert mask_iou(empty, empty) == 1
    assert mask_iou(square, empty) == 0


def test_spread_is_median_and_extremes() -> None:
    found = spread([float(value) for value in range(101)])
    assert found is not None
    assert (found.median, found.p95, found.worst) == (50, 95, 100)
    assert spread([]) is None


@pytest.mark.parametrize("size", [(40, 60), (4000, 6000)])
def test_the_sheet_frames_what_one_alone_found(size: tuple[int, int]) -> None:
    scale = size[0] / 40
    first = found(np.array(BOXES[:2]) * scale, ["cup", "杯子"])
    second = found(np.array(BOXES[:1]) * scale, ["cup"])
    first.image_size = second.image_size = size
    image = np.full((*size, 3), 90, np.uint8)
    sheet = side_by_side(image, (first, second), agree(first, second, 0.5), ("cpu", "cuda"), "photo.jpg: a title")
    assert max(sheet.shape) < 3500
    red = (sheet == ALONE).all(axis=2)
    middle = sheet.shape[1] // 2
    below = red[sheet.shape[0] // 4 :]
    assert below[:, :middle].any()
    assert not below[:, middle:].any()
    assert (image == 90).all()
