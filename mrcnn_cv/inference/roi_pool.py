"""RoI pooling, which Mask R-CNN replaced by RoI align: regions are rounded to cells of the map, each bin is a maximum.

No model of the supported families was trained with it; it is here to measure what the rounding costs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.model.definition import CropSpec, ModelDefinition

Float = NDArray[np.float32]
Bins = NDArray[np.intp]


class PooledLevel(NamedTuple):
    """A map (H, W, C), and the bins of the regions that are cut from it: (N, h, 2) and (N, w, 2), see `bins`."""

    feature_map: Float
    rows: Bins
    columns: Bins

    def cut(self, place: int, out: Float) -> None:
        """Cut the region with number `place` into `out` (h, w, C); a bin without a cell is 0."""
        rows, columns = self.rows[place].tolist(), self.columns[place].tolist()
        out[:] = 0
        left, right = columns[0][0], columns[-1][1]
        for row, (top, bottom) in enumerate(rows):
            if bottom <= top:
                continue
            highest = self.feature_map[top:bottom, left:right].max(axis=0)
            for column, (start, end) in enumerate(columns):
                if end > start:
                    highest[start - left : end - left].max(axis=0, out=out[row, column])


def bins(spans: Float, level: int, axis: int, length: int, spec: CropSpec, input_size: tuple[int, int]) -> Bins:
    """(N, samples, 2): first cell and the one behind the last of each bin, on an axis of a map with `length` cells.

    spans (N, 2): the regions on this axis, as fractions. Their ends are rounded to cells, of which at least one belongs
    to a region; a bin has every cell that it touches. Cells lie where the model's own method has them. Source: "Fast
    R-CNN", section 2.1; Caffe's roi_pooling_layer.cpp.
    """
    count = spec.size[axis]
    factor = np.float32(spec.scales[level] * input_size[axis] if spec.scales else length - 1)
    first, last = np.floor(spans * factor + np.float32(0.5)).astype(np.intp).T[:, :, np.newaxis]
    cells = np.maximum(last - first + 1, 1)
    steps = np.arange(count)
    ends = np.stack([first + steps * cells // count, first - (-(steps + 1) * cells // count)], axis=-1)
    clipped: Bins = np.clip(ends, 0, length)
    return clipped


def with_roi_pooling(spec: ModelDefinition) -> ModelDefinition:
    """The same model with its regions pooled; the maximum of squares that follows in some models stays."""
    mask = spec.mask and replace(spec.mask, crop=replace(spec.mask.crop, method="roi_pool"))
    return replace(spec, crop=replace(spec.crop, method="roi_pool"), mask=mask)
