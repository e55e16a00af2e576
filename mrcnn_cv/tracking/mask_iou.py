"""How much masks overlap, without painting any of them: only where two boxes meet, and only on a few points there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.structures.instances import Instances

Boxes = NDArray[np.float64]

SIDE = 16
"""Cells per side of a silhouette."""

_POINTS = 12
"""Per side, on which two silhouettes are compared where their boxes meet."""
_PAIRS = 4096
"""Compared at a time, so that crowds take no more memory."""


@dataclass(frozen=True)
class CoarseMasks:
    """The masks of N boxes on SIDE x SIDE cells of each.

    boxes  (N, 4) float64: x1 y1 x2 y2, with a size
    cells  (N, SIDE, SIDE) bool
    """

    boxes: Boxes
    cells: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.boxes)

    def areas(self) -> NDArray[np.float64]:
        """(N,) pixels."""
        sides = self.boxes[:, 2:] - self.boxes[:, :2]
        areas: NDArray[np.float64] = sides.prod(axis=1) * self.cells.mean(axis=(1, 2))
        return areas


def coarse_masks(instances: Instances, chosen: NDArray[np.intp]) -> CoarseMasks:
    """Of the instances `chosen`; without masks, or where a mask has no cell, the box is filled."""
    boxes = instances.boxes[chosen].astype(np.float64)
    if instances.mask_probabilities is None:
        return CoarseMasks(boxes, np.ones((len(chosen), SIDE, SIDE), dtype=np.bool_))
    height, width = instances.mask_probabilities.shape[1:]
    rows, columns = (((np.arange(SIDE) + 0.5) * length / SIDE).astype(np.intp) for length in (height, width))
    samples = instances.mask_probabilities[chosen[:, np.newaxis, np.newaxis], rows[:, np.newaxis], columns]
    cells = samples > instances.mask_threshold
    cells[~cells.any(axis=(1, 2))] = True
    return CoarseMasks(boxes, cells)


def ious(first: CoarseMasks, second: CoarseMasks) -> NDArray[np.float64]:
    """(N, M): intersection over union of each of the first with each of the second.

    Exact for filled boxes; of other masks within a few hundredths, more where masks have thin parts.
    """
    result = np.zeros((len(first), len(second)))
    low = np.maximum(first.boxes[:, np.newaxis, :2], second.boxes[:, :2])
    high = np.minimum(first.boxes[:, np.newaxis, 2:], second.boxes[:, 2:])
    rows, columns = np.nonzero((high > low).all(axis=2))
    area_first, area_second = first.areas(), second.areas()
    for begin in range(0, len(rows), _PAIRS):
        row, column = rows[begin : begin + _PAIRS], columns[begin : begin + _PAIRS]
        shared = _shared(first, second, row, column, low[row, column], high[row, column])
        union = area_first[row] + area_second[column] - shared
        result[row, column] = np.minimum(shared / union, 1)
    return result


def _shared(
    first: CoarseMasks,
    second: CoarseMasks,
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
    low: Boxes,
    high: Boxes,
) -> NDArray[np.float64]:
    """(P,) pixels that lie in both of each pair, whose boxes share the rectangle from `low` to `high` (P, 2)."""
    steps = (np.arange(_POINTS) + 0.5) / _POINTS
    points = low[..., np.newaxis] + (high - low)[..., np.newaxis] * steps
    inside = _at(first, rows, points) & _at(second, columns, points)
    shared: NDArray[np.float64] = (high - low).prod(axis=1) * inside.mean(axis=(1, 2))
    return shared


def _at(some: CoarseMasks, chosen: NDArray[np.intp], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(P, points, points) bool: the silhouettes `chosen` (P,) at `points` (P, 2, points), x then y."""
    boxes = some.boxes[chosen][..., np.newaxis]
    place = (points - boxes[:, :2]) / (boxes[:, 2:] - boxes[:, :2]) * SIDE
    cell = np.clip(place.astype(np.intp), 0, SIDE - 1)
    flat = (chosen * SIDE)[:, np.newaxis] + cell[:, 1]
    found: NDArray[np.bool_] = some.cells.ravel()[(flat * SIDE)[:, :, np.newaxis] + cell[:, 0, np.newaxis, :]]
    return found
