"""torch is the judge: how our answers are held against those of torchvision itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv import Instances
from tests.support.parity import IOU, MASK, SCORE, Float, iou

TIE = 2e-6
"""Of scores: a few last bits of a float32."""


@dataclass(frozen=True)
class TorchAnswer:
    """What torch said about an image.

    boxes (N, 4) x1 y1 x2 y2 in pixels, labels (N,), scores (N,). masks (N, h, w): probabilities of each detection's own
    class, as the network makes them; pasted: the packed bits of (N, H, W) after torchvision's own pasting. Both are
    empty without masks.
    """

    boxes: Float
    labels: NDArray[np.int64]
    scores: Float
    masks: Float | None = None
    pasted: NDArray[np.uint8] | None = None


def outliers(found: Instances, answer: TorchAnswer) -> tuple[list[str], dict[str, float]]:
    """(torch's detections that ours do not match within the tolerances, the largest differences of those that do)."""
    left, different, missing = list(range(len(found))), list[str](), list[int]()
    largest = {"box": 0.0, "score": 0.0, "mask": 0.0}
    for index, box in enumerate(answer.boxes):
        same = [other for other in left if found.class_ids[other] == answer.labels[index]]
        best = max(same, key=lambda other: iou(box, found.boxes[other]), default=None)
        if best is None or iou(box, found.boxes[best]) < IOU:
            missing.append(index)
            continue
        left.remove(best)
        off = {"box": float(np.abs(found.boxes[best] - box).max())}
        off["score"] = abs(float(found.scores[best] - answer.scores[index]))
        if answer.masks is not None:
            assert found.mask_probabilities is not None
            off["mask"] = float(np.abs(found.mask_probabilities[best] - answer.masks[index]).max())
        if off["score"] > SCORE or off.get("mask", 0.0) > MASK:
            different.append(f"{index}: {off}")
        largest = {name: max(value, off.get(name, 0.0)) for name, value in largest.items()}
    for index in missing:
        # Regions at a border see the same pixels, so that their scores are equal to the last digits: which of two that
        # overlap suppresses the other is up to float noise. Ours has taken another one of them.
        tied = [other for other in left if found.class_ids[other] == answer.labels[index]]
        tied = [other for other in tied if abs(float(found.scores[other] - answer.scores[index])) <= TIE]
        if tied:
            left.remove(tied[0])
        else:
            different.append(f"{index}: no box ({answer.scores[index]:.3f})")
    return different, largest
