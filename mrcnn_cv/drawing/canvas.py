"""A sheet to draw charts on: lines, rectangles and text in any language."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.colors import Bgr
from mrcnn_cv.drawing.text import render_text, text_size
from mrcnn_cv.errors import OutputError
from mrcnn_cv.util.opencv import cv2

Align = Literal["left", "center", "right"]
Image = NDArray[np.uint8]

PAPER: Bgr = (255, 255, 255)
INK: Bgr = (46, 38, 32)
SOFT: Bgr = (128, 116, 106)
GRID: Bgr = (236, 232, 229)

_SHIFT = 4
"""OpenCV's lines end on sixteenths of a pixel, so that slight slopes look smooth."""


class Canvas:
    """image (H, W, 3) uint8 BGR, white at first. Places are x and y in pixels."""

    def __init__(self, width: int, height: int) -> None:
        self.image: Image = np.full((height, width, 3), PAPER, np.uint8)

    def text(
        self, text: str, x: float, y: float, height: int, ink: Bgr = INK, align: Align = "left", turned: bool = False
    ) -> None:
        """One line of text whose middle is at height `y`; turned: it runs upwards, beginning (or ending) at `y`."""
        cover = render_text(text, height)
        if turned:
            cover = np.rot90(cover)
            top = y - {"left": cover.shape[0], "center": cover.shape[0] / 2, "right": 0}[align]
            self._blend(cover, round(x - cover.shape[1] / 2), round(top), ink)
        else:
            left = x - {"left": 0, "center": cover.shape[1] / 2, "right": cover.shape[1]}[align]
            self._blend(cover, round(left), round(y - cover.shape[0] / 2), ink)

    def rectangle(self, left: float, top: float, right: float, bottom: float, ink: Bgr) -> None:
        """A filled rectangle."""
        self.image[round(top) : round(bottom), round(left) : round(right)] = ink

    def lines(self, points: NDArray[np.float64], ink: Bgr, width: int = 2) -> None:
        """A line through points (N, 2), x and y."""
        places = np.rint(points * (1 << _SHIFT)).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(self.image, [places], False, ink, width, cv2.LINE_AA, _SHIFT)

    def dashes(self, points: NDArray[np.float64], ink: Bgr, width: int = 2, dash: float = 12.0) -> None:
        """The same, dashed."""
        steps = np.hypot(*np.diff(points, axis=0).T)
        along = np.concatenate([[0.0], np.cumsum(steps)])
        for start in np.arange(0.0, along[-1], 2 * dash):
            end = min(start + dash, along[-1])
            inner = along[(along > start) & (along < end)]
            places = np.concatenate([[start], inner, [end]])
            self.lines(np.stack([np.interp(places, along, points[:, axis]) for axis in (0, 1)], axis=1), ink, width)

    def _blend(self, cover: Image, left: int, top: int, ink: Bgr) -> None:
        """Ink where the coverage (h, w) says so; what lies beyond the sheet is cut off."""
        first_row, first_column = max(0, -top), max(0, -left)
        region = self.image[max(0, top) : max(0, top + cover.shape[0]), max(0, left) : max(0, left + cover.shape[1])]
        cover = cover[first_row : first_row + region.shape[0], first_column : first_column + region.shape[1]]
        share = cover[..., np.newaxis].astype(np.float32) / 255
        region[:] = np.rint(region + (np.array(ink, np.float32) - region) * share).astype(np.uint8)


def widest(texts: Sequence[str], height: int) -> int:
    """Width in pixels of the widest of some texts."""
    return max((text_size(text, height)[0] for text in texts), default=0)


def encode_png(image: Image) -> bytes:
    """The image as a PNG file; OutputError where it cannot be one."""
    done, data = cv2.imencode(".png", image)
    if not done:
        raise OutputError("the image cannot be written: this OpenCV cannot encode PNG")
    return data.tobytes()
