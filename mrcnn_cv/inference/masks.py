"""Masks of detections: their regions through the mask head, in portions, and of each its own class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.engines.base import Net
from mrcnn_cv.graph.ir import CROPS
from mrcnn_cv.graph.shape_inference import ShapeInference
from mrcnn_cv.inference.box_ops import Boxes
from mrcnn_cv.inference.detections import sigmoid
from mrcnn_cv.inference.roi_align import roi_align
from mrcnn_cv.model.definition import MaskSpec
from mrcnn_cv.model.validate import regions_at_once

Float = NDArray[np.float32]


def find_masks(
    head: Net,
    shapes: ShapeInference,
    features: list[Float],
    regions: Boxes,
    classes: NDArray[np.intp],
    spec: MaskSpec,
    input_size: tuple[int, int],
) -> Float:
    """Probabilities (N, mask_h, mask_w) float32 of the masks in N regions; what is not a number is not in the mask.

    features, regions, input_size: as for `roi_align`. shapes: of the head. classes (N,): of the regions, from 0.
    """
    found = [np.zeros((0, *spec.size), np.float32)]
    portion = regions_at_once(shapes, spec.crop, features[0].shape[1])
    for start in range(0, len(regions), portion):
        part = slice(start, start + portion)
        (logits,) = head.run({CROPS: roi_align(features, regions[part], spec.crop, input_size)})
        masks = select_masks(logits, classes[part], spec.mask_block_size)
        found.append(np.nan_to_num(masks, copy=False, nan=0.0))
    return found[-1] if len(found) <= 2 else np.concatenate(found)


def select_masks(logits: Float, classes: NDArray[np.intp], mask_block_size: int = 1) -> Float:
    """Probabilities (N, mask_h, mask_w) of each detection's own class, from logits (N, C or 1, mask_h, mask_w).

    mask_block_size: see MaskSpec; the logits then are (N, mask_block_size ** 2 * C, mask_h / mask_block_size, ...).
    """
    count, channels, height, width = logits.shape
    blocks = logits.reshape(count, mask_block_size, mask_block_size, channels // mask_block_size**2, height, width)
    own = classes if blocks.shape[3] > 1 else np.zeros_like(classes)
    # (N, rows of a cell, columns of a cell, h, w): each sample goes to its place in its cell.
    cells = blocks[np.arange(count), :, :, own].transpose(0, 3, 1, 4, 2)
    return sigmoid(cells.reshape(count, height * mask_block_size, width * mask_block_size))
