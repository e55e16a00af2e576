"""The mask head's input and output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.inference.detections import sigmoid


def select_masks(logits: NDArray[np.float32], classes: NDArray[np.intp], interleaved: int = 1) -> NDArray[np.float32]:
    """Probabilities (N, mask_h, mask_w) of each detection's own class, from logits (N, C or 1, mask_h, mask_w).

    interleaved: see MaskSpec; the logits then are (N, interleaved ** 2 * C, mask_h / interleaved, ...).
    """
    count, channels, height, width = logits.shape
    blocks = logits.reshape(count, interleaved, interleaved, channels // interleaved**2, height, width)
    own = classes if blocks.shape[3] > 1 else np.zeros_like(classes)
    # (N, rows of a cell, columns of a cell, h, w): each sample goes to its place in its cell.
    cells = blocks[np.arange(count), :, :, own].transpose(0, 3, 1, 4, 2)
    return sigmoid(cells.reshape(count, height * interleaved, width * interleaved))
