"""TensorFlow is the judge: how our answers are held against its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv import Instances
from mrcnn_cv.inference.box_ops import apply_deltas
from mrcnn_cv.model.definition import ModelDefinition

Image = NDArray[np.uint8]
Float = NDArray[np.float32]

IOU, SCORE, MASK = 0.99, 2e-3, 1e-2
"""A detection matches with at least this IoU, at most this difference in score and in any mask probability."""

EXCEPTIONS = 0.02
"""Share of detections that may differ more, if each is shown to come from a region that ends at the image's border."""


@dataclass(frozen=True)
class Golden:
    """A photo (BGR) and what TensorFlow said about it; docs of the arrays: tests/data/README.md and its maker."""

    image: Image
    arrays: dict[str, NDArray[np.float32]]

    @property
    def boxes(self) -> Float:
        """(N, 4) float32: TensorFlow's detections as x1 y1 x2 y2 in pixels."""
        height, width = self.image.shape[:2]
        scale = np.array([width, height, width, height], dtype=np.float32)
        return (self.arrays["detection_boxes"][:, [1, 0, 3, 2]] * scale).astype(np.float32)


@dataclass(frozen=True)
class Outlier:
    """One of TensorFlow's detections that ours do not match within the tolerances, and why not."""

    index: int
    reason: str


def outliers(found: Instances, golden: Golden) -> list[Outlier]:
    """Match TensorFlow's detections to ours one to one, by class and largest IoU; what does not match is returned."""
    left = list(range(len(found)))
    result = []
    for index, box in enumerate(golden.boxes):
        same = [i for i in left if found.class_ids[i] == round(float(golden.arrays["detection_classes"][index]))]
        best = max(same, key=lambda i: iou(box, found.boxes[i]), default=None)
        if best is None or iou(box, found.boxes[best]) < IOU:
            result.append(Outlier(index, "no box"))
            continue
        left.remove(best)
        score = abs(float(found.scores[best] - golden.arrays["detection_scores"][index]))
        if score > SCORE:
            result.append(Outlier(index, f"score off by {score:.4f}"))
        if "detection_masks" in golden.arrays:
            assert found.mask_probabilities is not None
            mask = float(np.abs(found.mask_probabilities[best] - golden.arrays["detection_masks"][index]).max())
            if mask > MASK:
                result.append(Outlier(index, f"mask off by {mask:.4f}"))
    return result


def check_parity(found: Instances, golden: Golden, spec: ModelDefinition) -> None:
    """Fail unless all of TensorFlow's detections are found, but for the share that may be explained by the border."""
    assert len(found) == len(golden.boxes) > 0
    different = outliers(found, golden)
    assert [each for each in different if not ends_at_border(each, golden, spec)] == []
    # In the tiny cases a single one is more than the share that a photo may have.
    assert len(different) <= max(1, EXCEPTIONS * len(golden.boxes))


def ends_at_border(outlier: Outlier, golden: Golden, spec: ModelDefinition) -> bool:
    """Whether the region behind a detection ends exactly at the bottom or the right border of the network's input.

    TensorFlow's CropAndResize fills a sample with zeros when rounding puts it beyond the last row, so there float noise
    decides over a whole row of the crop. For a mask the region is the detection itself, for a box or score the proposal
    from which TensorFlow's own encodings decode to that detection.
    """
    detection = golden.arrays["detection_boxes"][outlier.index]
    if outlier.reason.startswith("mask"):
        return bool(detection[2:].max() >= 1 - 1e-6)
    proposals = golden.arrays["proposals"]
    size = np.array([*golden.arrays["preprocessed_shape"][1:3]] * 2, dtype=np.float32)
    encodings = golden.arrays["refined_box_encodings"]
    class_index = round(float(golden.arrays["detection_classes"][outlier.index])) - 1
    own = encodings[:, class_index % encodings.shape[1]]
    decoded = np.clip(apply_deltas(own, proposals * size, spec.box_coder) / size, 0, 1)
    source = int(np.abs(decoded - detection).max(axis=1).argmin())
    assert np.abs(decoded[source] - detection).max() < 1e-4, "no proposal decodes to this detection"
    return bool(proposals[source, 2:].max() >= 1 - 1e-6)


def iou(first: Float, second: Float) -> float:
    """Intersection over union of two boxes x1 y1 x2 y2."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(width, 0) * max(height, 0)
    union = (first[2] - first[0]) * (first[3] - first[1]) + (second[2] - second[0]) * (second[3] - second[1]) - shared
    return float(shared / union) if union > 0 else 0.0
