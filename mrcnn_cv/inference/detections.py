"""From the box head's numbers per region to detections per class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.inference.box_ops import Boxes, apply_deltas, clip, is_nonempty
from mrcnn_cv.inference.coordinates import Geometry
from mrcnn_cv.inference.nms import suppress
from mrcnn_cv.model.definition import ModelDefinition, NmsSpec

Float = NDArray[np.float32]


class Detections(NamedTuple):
    """boxes (N, 4) float32, y1 x1 y2 x2 in pixels of the input; scores (N,) descending; classes (N,) from 0."""

    boxes: Boxes
    scores: Float
    classes: NDArray[np.intp]


def class_scores(logits: Float, spec: ModelDefinition) -> Float:
    """(N, C) float32: scores of the classes from logits (N, C + 1), the background's dropped.

    Scores are finite, or not a number, which is above no threshold.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        scores = logits * np.float32(spec.logit_factor)
        if spec.score_activation == "softmax":
            shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
            scores = shifted / shifted.sum(axis=1, keepdims=True)
        elif spec.score_activation == "sigmoid":
            scores = sigmoid(scores)
    scores[np.isinf(scores)] = np.nan
    return scores[:, 1:]


def sigmoid(values: Float) -> Float:
    """1 / (1 + exp(-x)) in float32, without overflow."""
    with np.errstate(over="ignore"):
        result: Float = np.float32(1) / (np.float32(1) + np.exp(-values))
    return result


def limits(
    nms: NmsSpec, score_threshold: float | None, nms_threshold: float | None, max_instances: int | None
) -> NmsSpec:
    """The model's own limits with those of the user in their place."""
    if score_threshold is not None:
        nms = replace(nms, score_threshold=score_threshold)
    if nms_threshold is not None:
        nms = replace(nms, iou_threshold=nms_threshold)
    if max_instances is not None:
        nms = replace(nms, max_total=max_instances, max_per_class=max(nms.max_per_class, max_instances))
    return nms


def find_detections(
    encodings: Float,
    logits: Float,
    proposals: Boxes,
    spec: ModelDefinition,
    nms: NmsSpec,
    geometry: Geometry,
    wanted: NDArray[np.bool_] | None = None,
) -> Detections:
    """Detections from the head's encodings (N, 4 C or 4) and logits (N, C + 1) for N proposals.

    proposals (N, 4): fractions of the backbone's input. wanted: (C,) bool, the classes to look at. Source:
    core/post_processing.py (multiclass_non_max_suppression): boxes are suppressed per class, sorted over all classes
    (of equal scores the lower class first), clipped, and those left without area go.
    """
    scores = class_scores(logits, spec)
    if nms.argmax_class_only:
        winners = logits.argmax(axis=1)[:, np.newaxis] - 1
        scores = np.where(winners == np.arange(spec.class_count), scores, np.float32(-np.inf))
    anchors = proposals * np.array(geometry.extent * 2, dtype=np.float32)
    boxes_of = encodings.reshape(len(proposals), 1 if spec.class_agnostic_boxes else spec.class_count, 4)
    found: list[tuple[Boxes, Float, NDArray[np.intp]]] = []
    for regions, classes in _candidates(scores, nms, wanted):
        boxes = apply_deltas(boxes_of[regions, classes % boxes_of.shape[1]], anchors[regions], spec.box_coder)
        own_scores = scores[regions, classes]
        if nms.clip_first:
            boxes = clip(boxes, geometry.window)
            boxes = np.rint(boxes) if nms.round_first else boxes
            nonempty = is_nonempty(boxes, nms.min_box_size)
            boxes, own_scores, classes = boxes[nonempty], own_scores[nonempty], classes[nonempty]
        kept = suppress(boxes, own_scores, nms.iou_threshold, nms.score_threshold, nms.max_per_class)
        if wanted is not None:
            kept = kept[wanted[classes[kept]]]
        found.append((boxes[kept], own_scores[kept], classes[kept]))
    return _merge(found, nms, geometry)


def _candidates(
    scores: Float, nms: NmsSpec, wanted: NDArray[np.bool_] | None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """(regions, their classes) of boxes that are suppressed together, each with a score above the threshold."""
    above = scores > np.float32(nms.score_threshold)
    if nms.class_agnostic:
        best = scores.argmax(axis=1)
        regions = np.flatnonzero(above.any(axis=1))
        yield regions, best[regions]
        return
    candidates = above.any(axis=0)
    for index in np.flatnonzero(candidates if wanted is None else candidates & wanted):
        regions = np.flatnonzero(above[:, index])
        yield regions, np.full(len(regions), index, np.intp)


def _merge(found: list[tuple[Boxes, Float, NDArray[np.intp]]], nms: NmsSpec, geometry: Geometry) -> Detections:
    """All classes together: sorted, clipped, cut to the limit."""
    boxes = np.concatenate([boxes for boxes, _, _ in found] or [np.zeros((0, 4), dtype=np.float32)])
    scores = np.concatenate([scores for _, scores, _ in found] or [np.zeros(0, dtype=np.float32)])
    classes = np.concatenate([classes for _, _, classes in found] or [np.zeros(0, np.intp)])
    order = np.argsort(-scores, kind="stable")
    boxes = clip(boxes[order], geometry.window)
    nonempty = np.flatnonzero(is_nonempty(boxes, nms.min_box_size))[: nms.max_total]
    chosen = order[nonempty]
    return Detections(boxes[nonempty], scores[chosen], classes[chosen])
