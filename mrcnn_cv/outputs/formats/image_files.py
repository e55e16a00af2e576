"""`overlay` and `frames`: every image again, with or without what was found; and how formats write and copy images."""

from __future__ import annotations

import os
from pathlib import Path, PurePath
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.annotate import draw
from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.base import ImageFormat
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.opencv import cv2, quiet

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

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")

# What readers of data sets look for; an image of another format is written anew.
_WELL_KNOWN = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


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


class FrameImages(ImageFormat):
    """Writes clip/000123.jpg for frame 123 of clip.mp4; JPEG of quality 95, PNG above 65,500 pixels a side."""

    def write(self, frame: Frame, instances: Instances) -> None:
        suffix = format_for(frame)
        path = self.folder.path_for(frame, suffix, stem=True)
        self.folder.write(path, encode(frame.image, suffix, str(path)))


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


def copy_image(folder: OutputDirectory, frame: Frame, base: Path) -> Path:
    """Put the image of `frame` at `base` with its suffix (.jpg, .png, ...); the path. OutputError where that fails.

    An image file is linked (a hard link: no room is taken, and a change of one is a change of both), or copied where
    the file system has no links. An image without a file of its own, in a format that readers of data sets do not look
    for, or turned by its EXIF orientation, which many of them ignore, is written anew: as JPEG where it was one, else
    as PNG.
    """
    if frame.path is not None and frame.time is None:
        suffix = frame.path.suffix
        if suffix.lower() in _JPEG[2:]:
            suffix = ".jpg"
        if suffix.lower() in _WELL_KNOWN and os.path.isfile(frame.path) and not _is_turned(frame.path):
            path = base.with_name(base.name + suffix)
            folder.copy(frame.path, path)
            return path
    suffix = format_for(frame)
    path = base.with_name(base.name + suffix)
    folder.write(path, encode(frame.image, suffix, str(path)))
    return path


def _is_turned(path: Path) -> bool:
    """Whether OpenCV turns or mirrors the image by its EXIF orientation."""
    try:
        data = path.read_bytes()
    except OSError:
        return False
    if not any(mark in data for mark in (b"Exif", b"eXIf", b"EXIF", b"II*\0", b"MM\0*")):
        return False
    # An eighth of the size says as much, and of a JPEG no more is decoded.
    with quiet():
        try:
            as_seen, as_stored = (
                np.asarray(cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_REDUCED_COLOR_8 | more))
                for more in (0, cv2.IMREAD_IGNORE_ORIENTATION)
            )
        except cv2.error:
            return False
    return not np.array_equal(as_seen, as_stored)


def format_for(frame: Frame) -> str:
    """The suffix of the format in which to write (parts of) an image: .jpg where it was a JPEG, else .png."""
    name = frame.path.name if frame.path else str(frame.output_path or frame.name)
    small_enough = max(frame.image.shape[:2]) <= 65_500
    return ".jpg" if PurePath(name).suffix.lower() in _JPEG and small_enough else ".png"
