"""Weights files of real frameworks, in full size, against the framework's own answers (see CONTRIBUTING.md)."""

from __future__ import annotations

import lzma
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from mrcnn_cv import Instances, MaskRCNN
from tests.conftest import golden_root, read_image
from tests.support.engine import ENGINE

PHOTOS = ("astronaut", "chelsea", "coffee")
LEAST = 0.98
"""Of the framework's detections."""
PIXELS, SCORE = 0.5, 2e-3
NOISY_PIXELS, NOISY_SCORE = 1.5, 6e-3
"""What torchvision's float32 differs by from its own float64 on its weights."""
MASK_PIXELS = 0.003

FILES = [
    ("torchvision_maskrcnn_coco", "model.pth"),
    ("torchvision_maskrcnn_coco", "model_legacy.pth"),
    ("torchvision_maskrcnn_finetuned", "model.pth"),
    ("detectron2_mask_r50_fpn", "model_final.pth"),
    ("detectron2_mask_r50_fpn", "model_final.pkl"),
    ("detectron2_mask_x101_fpn", "model_final.pth"),
    ("detectron2_mask_r50_c4", "model_final.pth"),
]


@pytest.mark.golden
@pytest.mark.parametrize(("case", "name"), FILES)
def test_it_finds_what_the_framework_finds(case: str, name: str, tmp_path: Path) -> None:
    root = golden_root()
    if root is None or not (root / "weights" / case).is_dir():
        pytest.skip("the weights of real frameworks are not here")
    folder = root / "weights" / case
    path = tmp_path / name
    with lzma.open(folder / f"{name}.xz") as packed, path.open("wb") as file:
        shutil.copyfileobj(packed, file)
    is_torchvision = case.startswith("torchvision")
    shutil.copy(folder / ("config.json" if is_torchvision else "config.yaml"), tmp_path)
    limits = (NOISY_PIXELS, NOISY_SCORE) if is_torchvision else (PIXELS, SCORE)
    model = MaskRCNN.load(path, backend=ENGINE)
    agreeing, differing, total = 0, [], 0
    for photo in PHOTOS:
        with np.load(folder / f"{photo}.npz") as answer:
            found = model.predict(read_image(root / "images" / f"{photo}.png"), score_threshold=None)
            shape = answer["mask_shape"]
            masks = np.unpackbits(answer["masks"])[: int(np.prod(shape))].reshape(shape).astype(np.bool_)
            # torchvision counts the background, Detectron2 does not.
            classes = answer["classes"] + (0 if is_torchvision else 1)
            for index, partner in enumerate(partners(found, answer["boxes"], answer["scores"], classes, *limits)):
                total += 1
                if partner is not None:
                    agreeing += 1
                    differing.append(float((found.full_mask(partner) ^ masks[index]).mean()))
    assert agreeing >= LEAST * total
    assert np.mean(differing) <= MASK_PIXELS


def partners(
    found: Instances,
    boxes: NDArray[np.float32],
    scores: NDArray[np.float32],
    classes: NDArray[np.int64],
    pixels: float,
    score: float,
) -> list[int | None]:
    """For each of the framework's detections the nearest of ours that is the same one; None where none is."""
    result: list[int | None] = []
    for box, own, label in zip(boxes, scores, classes, strict=True):
        distances = np.abs(found.boxes - box).max(axis=1)
        distances[(found.class_ids != label) | (np.abs(found.scores - own) > score)] = np.inf
        nearest = int(distances.argmin()) if len(distances) else -1
        result.append(nearest if nearest >= 0 and distances[nearest] <= pixels else None)
    return result
