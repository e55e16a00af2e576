"""Anchors, and from the region proposal network's maps to the proposals for the box head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.inference.box_ops import Boxes, apply_deltas, clip, is_nonempty
from mrcnn_cv.inference.coordinates import Geometry
from mrcnn_cv.inference.detections import sigmoid
from mrcnn_cv.inference.nms import best, suppress
from mrcnn_cv.model.definition import AnchorSpec, ModelDefinition

Float = NDArray[np.float32]

FAST_SHARE = 1 / 3
"""Of the proposals, which fast mode keeps: the box head takes a third to two thirds of most models' time."""

FAST_MINIMUM = 20


@lru_cache(maxsize=16)
def anchor_grid(spec: AnchorSpec, rows: int, columns: int, extent: tuple[float, float]) -> NDArray[np.float32]:
    """Anchors (rows * columns * A, 4) float32: y1 x1 y2 x2 in pixels of the backbone's input, read-only.

    Cells by row, then by column, then the A anchors of a cell; clipped to `extent` (height, width), that of the whole
    input, where the model does so. Source: anchor_generators/grid_anchor_generator.py.
    """
    stride = spec.stride or (extent[0] // rows, extent[1] // columns)
    y_centres = np.arange(rows, dtype=np.float32) * np.float32(stride[0]) + np.float32(spec.offset[0])
    x_centres = np.arange(columns, dtype=np.float32) * np.float32(stride[1]) + np.float32(spec.offset[1])
    half_sizes = np.float32(0.5) * np.array(spec.sizes, dtype=np.float32)
    centres = np.stack(np.meshgrid(y_centres, x_centres, indexing="ij"), axis=-1)[:, :, np.newaxis]
    corners = np.concatenate([centres - half_sizes, centres + half_sizes], axis=-1).reshape(-1, 4)
    anchors = clip(corners, (0, 0, *extent)) if spec.clip_to_image else corners
    anchors.flags.writeable = False
    return anchors


def foreground(logits: Float) -> Float:
    """(N,) float32 in [0, 1]: softmax of (N, 2) logits, background first; the share of the foreground."""
    with np.errstate(over="ignore", invalid="ignore"):
        # Of two columns the larger one: a maximum over such a short axis takes ten times as long.
        shifted = np.exp(logits - np.maximum(logits[:, :1], logits[:, 1:]))
        result: Float = shifted[:, 1] / (shifted[:, 0] + shifted[:, 1])
    return result


def find_proposals(
    encodings: Sequence[Float], logits: Sequence[Float], spec: ModelDefinition, geometry: Geometry
) -> Boxes:
    """Proposals (N, 4) float32, y1 x1 y2 x2 as fractions of the backbone's padded input, best first.

    encodings (1, 4 A, h, w) and logits (1, 2 A or A, h, w): the network's maps, one for each level of anchors. Source:
    meta_architectures/faster_rcnn_meta_arch.py (_postprocess_rpn) and core/post_processing.py; with candidates per
    level: "Feature Pyramid Networks", section 4.1.
    """
    nms = spec.proposal_nms
    window = (0.0, 0.0, *geometry.extent) if nms.clip_to_input else geometry.window
    levels = zip(encodings, logits, spec.anchors, strict=True)
    found = [_candidates(*level, spec.objectness, geometry) for level in levels]
    if len(found) > 1 and not nms.per_level:
        one, two, three = (np.concatenate(part) for part in zip(*found, strict=True))
        found = [(one, two, three)]
    kept_boxes, kept_scores = [], []
    for level_encodings, scores, anchors in found:
        chosen = best(scores, nms.pre_nms_top_n)
        if spec.objectness != "softmax":
            # Where two of them round to the same score, the logits still tell which is the better.
            chosen = chosen[np.argsort(-scores[chosen], kind="stable")]
        boxes, scores = apply_deltas(level_encodings[chosen], anchors[chosen], spec.proposal_coder), scores[chosen]
        scores = sigmoid(scores) if spec.objectness == "sigmoid" else scores
        if nms.clip_first:
            boxes = clip(boxes, window)
            scores = np.where(is_nonempty(boxes, nms.min_box_size), scores, np.float32(-np.inf))
        kept = suppress(boxes, scores, nms.iou_threshold, nms.score_threshold, nms.max_per_class)
        kept_boxes.append(boxes[kept])
        kept_scores.append(scores[kept])
    boxes = np.concatenate(kept_boxes)
    if len(found) > 1:
        boxes = boxes[np.argsort(-np.concatenate(kept_scores), kind="stable")]
    boxes = clip(boxes, window)
    return geometry.fractions(boxes[is_nonempty(boxes, nms.min_box_size)][: nms.max_total])


def _candidates(
    encodings: Float,
    logits: Float,
    spec: AnchorSpec,
    objectness: Literal["softmax", "sigmoid", "logits"],
    geometry: Geometry,
) -> tuple[Float, Float, Boxes]:
    """(encodings (M, 4), scores (M,), anchors (M, 4)) of a level, by anchor; logits for scores but for "softmax"."""
    rows, columns = encodings.shape[2:]
    numbers = np.ascontiguousarray(logits[0].transpose(1, 2, 0))
    scores = foreground(numbers.reshape(-1, 2)) if objectness == "softmax" else numbers.ravel()
    anchors = anchor_grid(spec, rows, columns, geometry.extent)
    return encodings[0].transpose(1, 2, 0).reshape(-1, 4), scores, anchors


def with_fewer_proposals(spec: ModelDefinition) -> ModelDefinition:
    """The same model with a third of its proposals, the best ones; with FAST_MINIMUM or fewer it stays as it is.

    A smaller input would save more, and cost far more: at three quarters of each side the demo model loses 0.12 of its
    mask AP, with a third of its proposals 0.011 (docs/performance.md).
    """
    nms = spec.proposal_nms
    count = max(round(nms.max_total * FAST_SHARE), FAST_MINIMUM)
    if count >= nms.max_total:
        return spec
    note = (
        f"fast mode uses {count} proposals instead of {nms.max_total}, which may miss instances: an evaluation in"
        " fast mode tells how many"
    )
    return replace(spec, proposal_nms=replace(nms, max_total=count), warnings=(*spec.warnings, note))
