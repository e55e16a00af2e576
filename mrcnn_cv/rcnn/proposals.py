"""From the region proposal network's maps to the regions worth a closer look."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.modelfile.spec import ModelSpec
from mrcnn_cv.rcnn.anchors import anchor_grid
from mrcnn_cv.rcnn.boxes import Boxes, areas, clip, decode
from mrcnn_cv.rcnn.nms import suppress

Float = NDArray[np.float32]


def objectness(logits: Float) -> Float:
    """(N,) float32 in [0, 1]: softmax of (N, 2) logits, background first; the share of the foreground."""
    with np.errstate(invalid="ignore"):
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        result: Float = shifted[:, 1] / (shifted[:, 0] + shifted[:, 1])
    return result


def find_proposals(
    encodings: Float, logits: Float, spec: ModelSpec, image_size: tuple[int, int], padded_size: tuple[int, int]
) -> Boxes:
    """Proposals (N, 4) float32, y1 x1 y2 x2 as fractions of the trunk's padded input, best first.

    encodings (1, 4 A, h, w) and logits (1, 2 A, h, w): the network's maps. Sizes are (height, width) in pixels of the
    trunk's input: of the image in it, and of all of it. Source: meta_architectures/faster_rcnn_meta_arch.py
    (_postprocess_rpn) and core/post_processing.py.
    """
    nms = spec.proposal_nms
    rows, columns = encodings.shape[2:]
    anchors = anchor_grid(spec.anchors, rows, columns, padded_size)
    scores = objectness(np.ascontiguousarray(logits[0].transpose(1, 2, 0)).reshape(-1, 2))
    boxes = decode(encodings[0].transpose(1, 2, 0).reshape(-1, 4), anchors, spec.proposal_coder)
    if nms.clip_first:
        boxes = clip(boxes, image_size)
        scores = np.where(areas(boxes) > 0, scores, np.float32(-np.inf))
    kept = suppress(boxes, scores, nms.iou_threshold, nms.score_threshold, nms.max_per_class)
    chosen = clip(boxes[kept], image_size)
    chosen = chosen[areas(chosen) > 0][: nms.max_total]
    return chosen * _reciprocal(padded_size)


def _reciprocal(size: tuple[int, int]) -> Float:
    """TensorFlow multiplies with 1 / size, which is not quite a division by size."""
    y, x = (np.float32(1) / np.float32(side) for side in size)
    return np.array([y, x, y, x], dtype=np.float32)
