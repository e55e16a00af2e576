"""Whether two models, or two backends, find the same in an image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.evaluation.confusion import best_pairs
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.structures.masks import LocalMask, overlap

Float = NDArray[np.float64]

CLOSE = 0.05
"""What only one found with a score so near to the threshold, the other may have found as well, just below it."""


@dataclass(frozen=True)
class Pair:
    """An instance that both found. first, second: its places in the two lists.

    box_iou      overlap of the two boxes
    box_shift    the largest distance of two sides, in pixels
    score_shift  the second's score less the first's
    mask_iou     overlap of the two masks; None where one of them has none
    """

    first: int
    second: int
    box_iou: float
    box_shift: float
    score_shift: float
    mask_iou: float | None


@dataclass(frozen=True)
class Agreement:
    """Of one image. pairs: what both found; only_first, only_second: places in the lists of what one alone did."""

    pairs: tuple[Pair, ...]
    only_first: tuple[int, ...]
    only_second: tuple[int, ...]

    @property
    def share(self) -> float:
        """Of all instances that at least one found, those that both did; 1 where neither found any."""
        every = len(self.pairs) + len(self.only_first) + len(self.only_second)
        return len(self.pairs) / every if every else 1.0

    @property
    def disagreement(self) -> tuple[float, float, float]:
        """What sorts the worst image last: unmatched share, then the worst overlap, then the largest score shift."""
        overlaps = [pair.box_iou if pair.mask_iou is None else pair.mask_iou for pair in self.pairs]
        shifts = [abs(pair.score_shift) for pair in self.pairs]
        return 1 - self.share, 1 - min(overlaps, default=1.0), max(shifts, default=0.0)


def agree(first: Instances, second: Instances, min_iou: float) -> Agreement:
    """Hold what two models found in one image against each other.

    Instances of one label belong together where their boxes overlap by at least `min_iou`, the best pair first.
    """
    same = np.array([[a == b for b in second.labels] for a in first.labels], np.bool_).reshape(len(first), len(second))
    overlaps = np.where(same, box_ious(first.boxes, second.boxes), -1.0)
    # With a minimum overlap of 0 boxes that do not touch would be pairs.
    matched = best_pairs(overlaps, max(min_iou, 1e-9))
    pairs = [_pair(first, second, a, b, float(overlaps[a, b])) for a, b in matched]
    only_first = sorted(set(range(len(first))) - {pair.first for pair in pairs})
    only_second = sorted(set(range(len(second))) - {pair.second for pair in pairs})
    return Agreement(tuple(pairs), tuple(only_first), tuple(only_second))


def _pair(first: Instances, second: Instances, a: int, b: int, overlap: float) -> Pair:
    has_masks = first.mask_probabilities is not None and second.mask_probabilities is not None
    return Pair(
        a,
        b,
        overlap,
        float(np.abs(first.boxes[a] - second.boxes[b]).max()),
        float(second.scores[b]) - float(first.scores[a]),
        mask_iou(first.local_mask(a), second.local_mask(b)) if has_masks else None,
    )


def box_ious(first: NDArray[np.float32], second: NDArray[np.float32]) -> Float:
    """(N, M) overlaps of boxes (N, 4) and (M, 4), x1 y1 x2 y2."""
    a, b = first.astype(np.float64)[:, np.newaxis], second.astype(np.float64)
    sides = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    both = sides.prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - both
    overlaps: Float = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return overlaps


def mask_iou(first: LocalMask, second: LocalMask) -> float:
    """The overlap of two masks of one image; 1 where both are empty."""
    both, either = overlap(first, second)
    return both / either if either else 1.0


@dataclass(frozen=True)
class DifferenceSpread:
    """A difference over all pairs: median, the value that 95 of 100 stay within, and the worst."""

    median: float
    p95: float
    worst: float


def spread(values: Sequence[float]) -> DifferenceSpread | None:
    """Of values of which larger is worse; None where there are none."""
    if not values:
        return None
    median, maximum, worst = np.percentile(values, (50, 95, 100)).tolist()
    return DifferenceSpread(median, maximum, worst)
