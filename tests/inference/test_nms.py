"""Non-maximum suppression: which boxes TensorFlow keeps."""

from __future__ import annotations

import math
import warnings
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mrcnn_cv.inference.nms import CANDIDATES_AT_ONCE, best, suppress

Boxes = NDArray[np.float32]


def overlap(first: Boxes, second: Boxes) -> np.float32:
    """TensorFlow's IoU: corners in any order, 0 where one of the two has no area."""
    f = np.float32
    (y1, y2), (x1, x2) = sorted(first[0::2]), sorted(first[1::2])
    (v1, v2), (u1, u2) = sorted(second[0::2]), sorted(second[1::2])
    own, other = f(f(y2 - y1) * f(x2 - x1)), f(f(v2 - v1) * f(u2 - u1))
    if own <= 0 or other <= 0:
        return f(0)
    shared = f(max(f(min(y2, v2) - max(y1, v1)), f(0))) * f(max(f(min(x2, u2) - max(x1, u1)), f(0)))
    return f(shared / f(f(own + other) - shared))


def greedy(boxes: Boxes, scores: Boxes, iou: float, score: float, most: int) -> list[int]:
    """TensorFlow's algorithm, one box at a time."""
    order = sorted((i for i in range(len(scores)) if scores[i] > np.float32(score)), key=lambda i: (-scores[i], i))
    kept: list[int] = []
    for index in order:
        if len(kept) < most and all(overlap(boxes[index], boxes[other]) <= np.float32(iou) for other in kept):
            kept.append(index)
    return kept


coordinate = st.integers(0, 6).map(float)
box = st.tuples(coordinate, coordinate, coordinate, coordinate)
score = st.sampled_from([0.0, 0.25, 0.5, 0.5, 0.75, 1.0, float("nan")])
threshold = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(box, score), max_size=25), threshold, threshold, st.integers(0, 30))
def test_keeps_what_a_slow_reference_keeps(
    items: list[tuple[tuple[float, ...], float]], iou: float, score: float, most: int
) -> None:
    """Ties, boxes without area, boxes inside out and scores that are no numbers among them."""
    boxes = np.array([box for box, _ in items], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in items], np.float32)
    assert suppress(boxes, scores, iou, score, most).tolist() == greedy(boxes, scores, iou, score, most)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(box, score), max_size=25), threshold, st.integers(1, 30))
def test_what_is_kept_is_kept_again(items: list[tuple[tuple[float, ...], float]], iou: float, most: int) -> None:
    boxes = np.array([box for box, _ in items], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in items], np.float32)
    kept = suppress(boxes, scores, iou, -1.0, most)
    again = suppress(boxes[kept], scores[kept], iou, -1.0, most)
    assert again.tolist() == list(range(len(kept)))


anything = st.floats(width=32)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.tuples(anything, anything, anything, anything), anything), max_size=12), threshold)
def test_no_numbers_break_it(items: list[tuple[tuple[float, ...], float]], iou: float) -> None:
    boxes = np.array([box for box, _ in items], np.float32).reshape(-1, 4)
    scores = np.array([score for _, score in items], np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = suppress(boxes, scores, iou, 0.0, 5)
    assert len(set(kept.tolist())) == len(kept) <= 5
    assert (scores[kept] > 0).all()
    assert (scores[kept][1:] <= scores[kept][:-1]).all()


@settings(deadline=None)
@given(st.lists(st.one_of(score, anything), max_size=12), st.one_of(st.none(), st.integers(1, 6)))
def test_the_best_are_those_that_sorting_puts_first(scores: list[float], count: int | None) -> None:
    def key(index: int) -> tuple[float, int]:
        return (math.inf if math.isnan(scores[index]) else -scores[index]), index

    expected = sorted(sorted(range(len(scores)), key=key)[:count])
    assert best(np.array(scores, np.float32), count).tolist() == expected


@pytest.mark.parametrize("index", range(4))
def test_keeps_what_tensorflow_keeps(answers: dict[str, NDArray[Any]], index: int) -> None:
    boxes, scores, iou, kept = (answers[f"nms_{index}_{name}"] for name in ("boxes", "scores", "threshold", "kept"))
    np.testing.assert_array_equal(suppress(boxes, scores, float(iou), 0.1, 1000), kept)


@pytest.mark.parametrize("count", [CANDIDATES_AT_ONCE - 1, CANDIDATES_AT_ONCE, CANDIDATES_AT_ONCE + 1, 1300])
def test_a_box_is_suppressed_by_one_of_another_block(count: int) -> None:
    """Candidates are compared in blocks: box i overlaps only box i + half, of a later block."""
    half = count // 2
    left = np.tile(np.arange(half, dtype=np.float32) * 10, 2)
    boxes = np.stack([np.zeros_like(left), left, np.full_like(left, 9), left + 9], axis=1)
    scores = np.linspace(1, 0.5, len(boxes), dtype=np.float32)
    np.testing.assert_array_equal(suppress(boxes, scores, 0.5, 0, count), np.arange(half))


def test_stops_at_the_limit_in_the_middle_of_a_later_block() -> None:
    left = np.arange(1300, dtype=np.float32) * 10
    boxes = np.stack([np.zeros_like(left), left, np.full_like(left, 9), left + 9], axis=1)
    scores = np.linspace(0, 1, 1300, dtype=np.float32)
    np.testing.assert_array_equal(suppress(boxes, scores, 0.5, 0, 700), np.arange(1299, 599, -1))


def test_boxes_that_are_no_numbers_overlap_nothing() -> None:
    boxes = np.array([[0, 0, 5, 5], [np.nan] * 4, [np.nan] * 4, [0, 0, 5, 5]], np.float32)
    assert suppress(boxes, np.array([0.9, 0.8, 0.7, 0.6], np.float32), 0.5, 0, 10).tolist() == [0, 1, 2]


def test_opencvs_own_suppression_would_lose_boxes_without_area() -> None:
    """Why there is one of our own: TensorFlow keeps these three boxes, cv2.dnn.NMSBoxes only the first."""
    boxes = np.array([[2, 3, 2, 9]] * 3, np.float32)
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    assert suppress(boxes, scores, 0.5, 0.0, 10).tolist() == [0, 1, 2]
    as_x_y_width_height = [(3, 2, 6, 0)] * 3
    assert np.ravel(cv2.dnn.NMSBoxes(as_x_y_width_height, scores.tolist(), 0.0, 0.5)).tolist() == [0]
