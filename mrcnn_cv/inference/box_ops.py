"""Sums on boxes (N, 4) float32, y1 x1 y2 x2 as TensorFlow orders them, in TensorFlow's float32 arithmetic."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.model.definition import BoxCoder

Boxes = NDArray[np.float32]

_TWO = np.float32(2)


def apply_deltas(encodings: NDArray[np.float32], anchors: Boxes, coder: BoxCoder) -> Boxes:
    """Boxes from encodings (N, 4) ty tx th tw relative to `anchors`: Faster R-CNN, section 3.1.2.

    Source: box_coders/faster_rcnn_box_coder.py. An encoding that overflows gives an infinite box, as in TensorFlow.
    """
    y1, x1, y2, x2 = anchors.T
    heights, widths = y2 - y1, x2 - x1
    with np.errstate(over="ignore", invalid="ignore"):
        ty, tx, th, tw = (encodings / np.array(coder.scales, dtype=np.float32)).T
        if coder.bbox_xform_clip is not None:
            th, tw = (np.minimum(growth, np.float32(coder.bbox_xform_clip)) for growth in (th, tw))
        half_heights = np.exp(th) * heights / _TWO
        half_widths = np.exp(tw) * widths / _TWO
        y_centres = ty * heights + (y1 + heights / _TWO)
        x_centres = tx * widths + (x1 + widths / _TWO)
        return np.stack(
            [y_centres - half_heights, x_centres - half_widths, y_centres + half_heights, x_centres + half_widths],
            axis=1,
        )


def clip(boxes: Boxes, window: tuple[float, float, float, float]) -> Boxes:
    """Boxes cut to a window y1 x1 y2 x2; what is not a number ends at its top left corner."""
    y1, x1, y2, x2 = window
    # fmax drops NaN, so that no region ever leaves the feature map.
    least, most = (np.array(corner * 2, dtype=np.float32) for corner in ((y1, x1), (y2, x2)))
    inside: Boxes = np.fmin(np.fmax(boxes, least), most)
    return inside


def areas(boxes: Boxes) -> NDArray[np.float32]:
    """(N,) float32: height times width; zero or less for boxes without inside."""
    result: NDArray[np.float32] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return result


def is_nonempty(boxes: Boxes, min_box_size: float | None) -> NDArray[np.bool_]:
    """(N,) bool: whether a box has an area, and sides of at least `min_box_size`; None: all boxes do."""
    if min_box_size is None:
        return np.ones(len(boxes), dtype=np.bool_)
    shorter = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    result: NDArray[np.bool_] = (areas(boxes) > 0) & (shorter >= np.float32(min_box_size))
    return result
