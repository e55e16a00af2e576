"""The images themselves, for formats whose readers look for them beside the annotations."""

from __future__ import annotations

from pathlib import Path, PurePath
from typing import TYPE_CHECKING

import numpy as np

from mrcnn_cv.outputs.formats.overlay import encode
from mrcnn_cv.util.opencv import cv2, quiet

if TYPE_CHECKING:
    from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
    from mrcnn_cv.structures.frame import Frame

_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")

# What readers of data sets look for; an image of another format is written anew.
_WELL_KNOWN = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")


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
        if suffix.lower() in _WELL_KNOWN and frame.path.is_file() and not _is_turned(frame.path):
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
