"""Ask matterport's own functions small questions: sizes and pixels of resized images, pasted masks; for unit tests.

python make_unit_answers.py ../../tests/data/matterport_answers.npz
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.append(str(Path(__file__).resolve().parents[2] / "mrcnn_cv" / "importers" / "matterport" / "standalone"))
import freeze_matterport as freezing

SIZES = 80
RESIZED = (((7, 9), (20, 31)), ((30, 24), (19, 13)), ((20, 27), (26, 35)), ((3, 3), (1, 1)), ((1, 5), (4, 9)))
MASKS = 24


def sizes(utils: Any, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """(height, width, mode, min_dim, max_dim, min_scale) and (output height, output width, window) of resize_image."""
    questions, answers = [], []
    for _ in range(SIZES):
        height, width = (int(side) for side in rng.integers(1, 700, 2))
        mode = int(rng.integers(2))
        least, most = int(rng.choice([0, 64, 128, 320])), int(rng.choice([128, 320, 512]))
        scale = float(rng.choice([0, 0, 1.3, 2.5]))
        image = np.zeros((height, width, 3), np.uint8)
        result, window, *_ = utils.resize_image(image, least, most, scale, ("square", "pad64")[mode])
        questions.append([height, width, mode, least, most, scale])
        answers.append([*result.shape[:2], *window])
    return {"size_questions": np.array(questions, np.float64), "size_answers": np.array(answers, np.int32)}


def pixels(utils: Any, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Images of noise, and of one color, before and after."""
    found = {}
    for index, (size, new_size) in enumerate(RESIZED):
        noise = rng.integers(0 if index % 2 else 40, 256, (*size, 3)).astype(np.uint8)
        for name, image in (("noise", noise), ("flat", np.full_like(noise, 40 * index + 77))):
            result = utils.resize(image, new_size, preserve_range=True)
            found[f"{name}_{index}"] = image
            found[f"{name}_{index}_resized"] = result.astype(np.uint8)
            found[f"{name}_{index}_unrounded"] = result.astype(np.float32)
    return found


def masks(utils: Any, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Masks with boxes in an image of 60 x 80, and their pixels."""
    corners = rng.integers(0, [60, 80], (MASKS, 2, 2))
    boxes = np.concatenate([corners.min(axis=1), corners.max(axis=1) + 1], axis=1)
    probabilities = rng.uniform(0, 1, (MASKS, 28, 28)).astype(np.float32)
    # Noise leaves no mask; shapes do.
    for _ in range(6):
        wide = np.pad(probabilities, ((0, 0), (1, 1), (1, 1)), mode="edge")
        probabilities = sum(wide[:, y : y + 28, x : x + 28] for y in range(3) for x in range(3)) / np.float32(9)
    probabilities = np.clip((probabilities - 0.5) * 9 + 0.5, 0, 1).astype(np.float16)
    pasted = [
        utils.unmold_mask(mask, box, (60, 80))
        for mask, box in zip(probabilities.astype(np.float32), boxes, strict=True)
    ]
    return {"mask_boxes": boxes, "mask_probabilities": probabilities, "mask_pixels": np.packbits(np.array(pasted))}


def main() -> None:
    freezing.prepare_tensorflow()
    np.bool = bool
    import mrcnn.utils as utils

    rng = np.random.default_rng(5)
    np.savez_compressed(sys.argv[1], **sizes(utils, rng), **pixels(utils, rng), **masks(utils, rng))


if __name__ == "__main__":
    main()
