"""Non-maximum suppression with TensorFlow's semantics."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.inference.box_ops import Boxes, areas

CANDIDATES_AT_ONCE = 128
"""Candidates compared at a time: few are needed until enough are kept, and the arrays stay in the cache."""

SORTED_FIRST = 20
"""Candidates sorted at once, for each box that may be kept; a net has tens of thousands, of which few are looked at."""


def suppress(
    boxes: Boxes, scores: NDArray[np.float32], iou_threshold: float, score_threshold: float, max_kept: int
) -> NDArray[np.intp]:
    """Indices of the boxes that are kept, best score first.

    As TensorFlow's NonMaxSuppressionV5 without soft suppression (core/kernels/image/non_max_suppression_op.cc): scores
    must be above the threshold, of equal scores the lower index wins, a box goes when its IoU with a kept one is above
    the threshold, boxes without area overlap nothing, corners may come in any order. cv2.dnn.NMSBoxes differs in the
    last two points.
    """
    candidates = np.flatnonzero(scores > np.float32(score_threshold))
    corners = boxes[:, :2], boxes[:, 2:]
    boxes = np.concatenate([np.minimum(*corners), np.maximum(*corners)], axis=1)
    kept = np.empty(0, dtype=np.intp)
    for ordered in _by_score(candidates, scores, SORTED_FIRST * max_kept):
        for start in range(0, len(ordered), CANDIDATES_AT_ONCE):
            if len(kept) >= max_kept:
                return kept
            batch = ordered[start : start + CANDIDATES_AT_ONCE]
            alive = ~_overlaps(boxes[batch], boxes[kept], iou_threshold).any(axis=1)
            batch = batch[alive]
            chosen = _greedy(boxes[batch], iou_threshold, max_kept - len(kept))
            kept = np.concatenate([kept, batch[chosen]])
    return kept


def _by_score(candidates: NDArray[np.intp], scores: NDArray[np.float32], first: int) -> Iterator[NDArray[np.intp]]:
    """The candidates, best score first, in two parts: what comes after the `first` best is sorted when it is needed."""
    chosen = np.zeros(len(candidates), dtype=np.bool_)
    chosen[best(scores[candidates], first)] = True
    for part in (candidates[chosen], candidates[~chosen]):
        yield part[np.argsort(-scores[part], kind="stable")]


def best(scores: NDArray[np.float32], count: int | None) -> NDArray[np.intp]:
    """Indices, in ascending order, of the `count` best scores; of equal scores the lower index wins; None: all."""
    if count is None or len(scores) <= count:
        return np.arange(len(scores))
    # What is not a number is worse than all numbers.
    scores = np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    last = np.partition(scores, -count)[-count]
    better = np.flatnonzero(scores > last)
    return np.sort(np.concatenate([better, np.flatnonzero(scores == last)[: count - len(better)]]))


def _greedy(boxes: Boxes, iou_threshold: float, max_kept: int) -> NDArray[np.intp]:
    """Positions of the boxes that stay when each one kept removes what overlaps it further down."""
    chosen: list[int] = []
    removed = np.zeros(len(boxes), dtype=np.bool_)
    overlapping = _overlaps(boxes, boxes, iou_threshold)
    for index in range(len(boxes)):
        if len(chosen) == max_kept:
            break
        if not removed[index]:
            chosen.append(index)
            removed |= overlapping[index]
    return np.array(chosen, dtype=np.intp)


def _overlaps(boxes: Boxes, others: Boxes, iou_threshold: float) -> NDArray[np.bool_]:
    """(N, M) bool: whether the intersection over union is above the threshold; boxes without area overlap nothing."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        first, second = boxes[:, np.newaxis], others[np.newaxis]
        height = np.minimum(first[..., 2], second[..., 2]) - np.maximum(first[..., 0], second[..., 0])
        width = np.minimum(first[..., 3], second[..., 3]) - np.maximum(first[..., 1], second[..., 1])
        shared = np.maximum(height, 0) * np.maximum(width, 0)
        own, other = areas(boxes)[:, np.newaxis], areas(others)[np.newaxis]
        iou = shared / (own + other - shared)
        result: NDArray[np.bool_] = (iou > np.float32(iou_threshold)) & (own > 0) & (other > 0)
    return result
