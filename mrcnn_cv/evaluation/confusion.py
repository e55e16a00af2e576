"""Which category is taken for which: a matrix over all images, whatever the class that a model gave."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.evaluation.results import Result
from mrcnn_cv.evaluation.scores import CocoEvaluator, Kind

SCORE, IOU = 0.5, 0.5
"""Instances with at least this score count, and belong together with at least this overlap."""

_ENOUGH = 5
"""Found instances of a category from which on it says something that most of them are called otherwise."""


@dataclass(frozen=True)
class Confusion:
    """counts (C + 1, C + 1): [i, j] annotations of category i that were found as j; column C: not found at all; row C:
    instances where nothing is annotated. names: of the C categories. kind: of the overlap. mean_iou: of the pairs, that
    is of what was found at all; None where nothing was."""

    names: tuple[str, ...]
    counts: NDArray[np.int64]
    kind: Kind
    mean_iou: float | None

    def renamed(self) -> list[tuple[str, str]]:
        """(category, what most of its instances are called) where that is another one: label maps that do not fit."""
        found = self.counts[:-1, :-1]
        maximum = found.argmax(axis=1)
        return [
            (name, self.names[maximum[index]])
            for index, name in enumerate(self.names)
            if maximum[index] != index and found[index].sum() >= _ENOUGH and 2 * found[index].max() > found[index].sum()
        ]


def confusion(evaluator: CocoEvaluator, results: Sequence[Result], kind: Kind) -> Confusion:
    """The matrix. An annotation and an instance belong together by overlap alone, the best pair first."""
    order = {number: index for index, number in enumerate(sorted(evaluator.categories))}
    counts = np.zeros((len(order) + 1, len(order) + 1), np.int64)
    ious: list[float] = []
    of_image: dict[int, list[Result]] = defaultdict(list)
    for result in results:
        if result["score"] >= SCORE:
            of_image[result["image_id"]].append(result)
    for image in evaluator.truth.getImgIds():
        truths = evaluator.truth.imgToAnns[image]
        found = of_image[image]
        real = np.array([not row["iscrowd"] for row in truths], np.bool_)
        overlaps = _overlaps(evaluator, found, truths, kind)
        pairs = best_pairs(np.where(real, overlaps, 0.0), IOU)
        for row, column in pairs:
            counts[order[truths[column]["category_id"]], order[found[row]["category_id"]]] += 1
            ious.append(float(overlaps[row, column]))
        for row in set(range(len(found))) - {pair[0] for pair in pairs}:
            # A crowd may hold any number of instances.
            if not (overlaps[row, ~real] >= IOU).any():
                counts[-1, order[found[row]["category_id"]]] += 1
        for column in set(np.flatnonzero(real).tolist()) - {pair[1] for pair in pairs}:
            counts[order[truths[column]["category_id"]], -1] += 1
    names = tuple(name for _, name in sorted(evaluator.categories.items()))
    return Confusion(names, counts, kind, float(np.mean(ious)) if ious else None)


def best_pairs(overlaps: NDArray[np.float64], minimum: float) -> list[tuple[int, int]]:
    """(row, column) of pairs with an overlap of at least `minimum`, the largest first, each row and column once."""
    rows, columns = np.nonzero(overlaps >= minimum)
    order = np.argsort(-overlaps[rows, columns], kind="stable")
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return list(pairs.items())


def _overlaps(evaluator: CocoEvaluator, found: Sequence[Result], truths: Sequence[dict[str, Any]], kind: Kind) -> Any:
    """(found, truths) IoU; of a crowd the share of the instance that lies in it."""
    from pycocotools import mask as coco_mask

    if not found or not truths:
        return np.zeros((len(found), len(truths)))
    crowds = [row["iscrowd"] for row in truths]
    if kind == "mask":
        return coco_mask.iou(
            [row["segmentation"] for row in found], [evaluator.truth.annToRLE(row) for row in truths], crowds
        )
    return coco_mask.iou([row["bbox"] for row in found], [row["bbox"] for row in truths], crowds)
