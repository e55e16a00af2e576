"""The anchor grid over a feature map."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.inference.box_ops import clip
from mrcnn_cv.model.definition import AnchorSpec


@lru_cache(maxsize=16)
def anchor_grid(spec: AnchorSpec, rows: int, columns: int, extent: tuple[float, float]) -> NDArray[np.float32]:
    """Anchors (rows * columns * A, 4) float32: y1 x1 y2 x2 in pixels of the trunk's input, read-only.

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
