"""Overlay images: every image again, with what was found painted over it."""

from __future__ import annotations

from pathlib import PurePath
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.annotate import draw
from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.util.opencv import cv2

if TYPE_CHECKING:
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances

QUALITY = 95

# Formats that hold an 8-bit color image as it is: the name that OpenCV has for each, and its largest side in pixels.
# GIF is not among them: OpenCV's palette changes every pixel (by 17 levels on average on a smooth image).
_FORMATS: dict[str, tuple[str, int]] = {
    ".jpg": (".jpg", 65_500),
    ".jpeg": (".jpg", 65_500),
    ".jpe": (".jpg", 65_500),
    ".jfif": (".jpg", 65_500),
    ".png": (".png", 1_000_000),
    ".webp": (".webp", 16_383),
    ".bmp": (".bmp", 1 << 20),
    ".dib": (".bmp", 1 << 20),
    ".tif": (".tiff", 1 << 20),
    ".tiff": (".tiff", 1 << 20),
    ".ppm": (".ppm", 1 << 20),
    ".jp2": (".jp2", 1 << 20),
    ".avif": (".avif", 65_535),
}


class OverlayImages(ImageFormat):
    """Writes each overlay under its input's own name and format; as PNG (scan.gif.png) where that cannot be written.

    `write` adds the milliseconds that painting took to the instances' timings as "draw".
    """

    def write(self, frame: Frame, instances: Instances) -> None:
        """Paint and write one overlay; OutputError where it cannot be written."""
        start = perf_counter()
        image = draw(frame.image, instances, self.settings.style)
        instances.timings_ms["draw"] = (perf_counter() - start) * 1000
        extension, suffix = _format(frame.path.name if frame.path else frame.name, image)
        path = self.folder.path_for(frame, suffix)
        self.folder.write(path, encode(image, extension, str(path)))


def encode(image: NDArray[np.uint8], extension: str, name: str) -> bytes:
    """(H, W, 3) uint8 BGR as the bytes of an image file; JPEG, WebP, AVIF at quality 95. OutputError naming `name`."""
    quality = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY, ".avif": cv2.IMWRITE_AVIF_QUALITY}
    parameters = [quality[extension], QUALITY] if extension in quality else []
    try:
        done, data = cv2.imencode(extension, image, parameters)
    except cv2.error as error:
        raise OutputError(f"{name} cannot be written: OpenCV says {error.err}") from error
    if not done:
        raise OutputError(f"{name} cannot be written: this OpenCV cannot encode {extension} at this size")
    return data.tobytes()


def _format(name: str, image: NDArray[np.uint8]) -> tuple[str, str | None]:
    """(OpenCV's extension of the format to write, suffix to put after the input's name)."""
    extension, largest = _FORMATS.get(PurePath(name).suffix.lower(), ("", 0))
    if extension and max(image.shape[:2]) <= largest and _can_write(extension):
        return extension, None
    return ".png", ".png"


def _can_write(extension: str) -> bool:
    try:
        return bool(cv2.haveImageWriter(f"x{extension}"))
    except cv2.error:
        return False
