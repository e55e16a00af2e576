"""Two images side by side: what each of two models found, and what only one of them did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.annotate import Style, draw
from mrcnn_cv.drawing.canvas import Canvas
from mrcnn_cv.drawing.colors import Bgr
from mrcnn_cv.drawing.text import fit_text, line_width, text_height
from mrcnn_cv.evaluation.agreement import Agreement
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.opencv import cv2

Image = NDArray[np.uint8]

ALONE: Bgr = (40, 40, 230)
LONGEST_SIDE = 1600
"""Of each of the two images, in pixels."""


def side_by_side(
    image_bgr: Image, both: tuple[Instances, Instances], agreement: Agreement, names: tuple[str, str], title: str
) -> Image:
    """One sheet (H, W, 3) uint8 BGR with the image twice, annotated.

    What both found has the same number and color on both sides; what one alone did is framed in red.
    """
    first, second = both
    numbers = (np.zeros(len(first), np.int32), np.zeros(len(second), np.int32))
    for number, pair in enumerate(agreement.pairs, start=1):
        numbers[0][pair.first] = numbers[1][pair.second] = number
    alone = (agreement.only_first, agreement.only_second)
    sides = [_annotated(image_bgr, found, own, rest) for found, own, rest in zip(both, numbers, alone, strict=True)]
    return _sheet(sides, names, alone, title)


def _annotated(image: Image, instances: Instances, numbers: NDArray[np.int32], alone: Sequence[int]) -> Image:
    scale = min(1.0, LONGEST_SIDE / max(image.shape[:2]))
    if scale < 1:
        size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
        image = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        factors = np.array([size[0] / instances.image_size[1], size[1] / instances.image_size[0]] * 2, np.float32)
        instances = replace(instances, boxes=instances.boxes * factors, image_size=(size[1], size[0]))
    labels = [
        f"only here: {label}" if number == 0 else label for label, number in zip(instances.labels, numbers, strict=True)
    ]
    # Numbers of tracks are shown, and give the color.
    annotated = draw(image, replace(instances, track_ids=numbers, labels=labels), Style())
    width = 2 * line_width(image)
    for index in alone:
        x1, y1, x2, y2 = (round(float(value)) for value in instances.boxes[index])
        cv2.rectangle(annotated, (x1, y1), (x2, y2), ALONE, width)
    return annotated


def _sheet(sides: Sequence[Image], names: Sequence[str], alone: Sequence[Sequence[int]], title: str) -> Image:
    rows, columns = sides[0].shape[:2]
    gap = max(8, round(columns / 60))
    line = max(16, text_height(sides[0]))
    top = 3 * line + gap
    # Below a small image there is still room for words.
    width = max(columns, 320)
    canvas = Canvas(2 * width + 3 * gap, rows + top + gap)
    canvas.text(fit_text(title, line, canvas.image.shape[1] - 2 * gap), gap, gap + line / 2, line)
    for side, (image, name, only) in enumerate(zip(sides, names, alone, strict=True)):
        left = gap + side * (width + gap)
        note = f"{len(only)} only here" if only else ""
        canvas.text(fit_text(name, line, width - 8 * line), left, gap + 2 * line, line)
        canvas.text(note, left + columns, gap + 2 * line, line, ALONE, "right")
        canvas.image[top : top + rows, left : left + columns] = image
    return canvas.image
