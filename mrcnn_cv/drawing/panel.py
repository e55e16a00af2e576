"""A panel of text in a corner of an image, readable on whatever lies below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.text import MIN_TEXT_HEIGHT, fit_text, render_text, text_height

Image = NDArray[np.uint8]

_LIGHT = 77
"""Of 256: what is left of the image below a panel. White text has a contrast of 8 even over white (WCAG 2.1)."""


def draw_stats(image: Image, lines: Sequence[str]) -> None:
    """Paint lines of text on a dark panel into the top left corner of `image` (H, W, 3) uint8 BGR, in place.

    What the image has no room for is left out, the last lines first; lines that are too long end with three dots.
    """
    draw_panel(image, lines, "left")


def draw_panel(image: Image, lines: Sequence[str], side: Literal["left", "right"], height: int | None = None) -> None:
    """The same in the top left or top right corner; `height` of a line in pixels, None: grows with the image."""
    rows, columns = image.shape[:2]
    height = height or text_height(image)
    margin, gap = max(2, round(height * 0.35)), max(1, round(height * 0.3))
    room = columns - 2 * margin - 2 * gap
    texts = [
        render_text(fit_text(line, height, room), height)
        for line in lines[: max(0, (rows - 2 * margin - 2 * gap) // height)]
    ]
    if height < MIN_TEXT_HEIGHT or not any(text.shape[1] for text in texts):
        return
    width = max(text.shape[1] for text in texts)
    left = gap if side == "left" else columns - gap - width - 2 * margin
    panel = image[gap : gap + len(texts) * height + 2 * margin, left : left + width + 2 * margin]
    panel[:] = panel.astype(np.uint16) * _LIGHT >> 8
    for number, text in enumerate(texts):
        top = margin + number * height
        _write(panel[top : top + height, margin : margin + text.shape[1]], text)


def _write(region: Image, text: Image) -> None:
    """White where the coverage (h, w) says so."""
    cover = text[..., np.newaxis].astype(np.uint16)
    region[:] = region + ((255 - region) * cover + 127) // 255
