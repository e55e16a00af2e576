"""The mask head's input and output."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.rcnn.detections import sigmoid


def select_masks(logits: NDArray[np.float32], classes: NDArray[np.intp]) -> NDArray[np.float32]:
    """Probabilities (N, mask_h, mask_w) of each detection's own class, from logits (N, C or 1, mask_h, mask_w)."""
    channels = classes if logits.shape[1] > 1 else np.zeros_like(classes)
    return sigmoid(logits[np.arange(len(classes)), channels])
