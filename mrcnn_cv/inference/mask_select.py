"""The mask head's input and output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.inference.detections import sigmoid


def select_masks(
    logits: NDArray[np.float32], classes: NDArray[np.intp], mask_block_size: int = 1
) -> NDArray[np.float32]:
    """Probabilities (N, mask_h, mask_w) of each detection's own class, from logits (N, C or 1, mask_h, mask_w).

    mask_block_size: see MaskSpec; the logits then are (N, interleaved ** 2 * C, mask_h / interleaved, ...).
    """
    count, channels, height, width = logits.shape
    blocks = logits.reshape(count, mask_block_size, mask_block_size, channels // mask_block_size**2, height, width)
    own = classes if blocks.shape[3] > 1 else np.zeros_like(classes)
    # (N, rows of a cell, columns of a cell, h, w): each sample goes to its place in its cell.
    cells = blocks[np.arange(count), :, :, own].transpose(0, 3, 1, 4, 2)
    return sigmoid(cells.reshape(count, height * mask_block_size, width * mask_block_size))
