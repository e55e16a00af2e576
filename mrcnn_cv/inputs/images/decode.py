"""From the bytes of an image file to pixels."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.images import sniff as content
from mrcnn_cv.inputs.images.header_size import MAX_PIXELS, max_pixels, pixel_size
from mrcnn_cv.util.opencv import cv2, quiet

# libpng's own limit on a side; it prints to the terminal where an image is over it.
_PNG_MAX_SIDE = 1_000_000

# One in eight mutated files ended the process; from 4.11 on none does.
_FAULTY_JPEG_2000 = re.compile(r"4\.10\.")


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """The image in `data` as (H, W, 3) uint8, BGR; `name` is for messages.

    Grey and palette images become color, 16-bit samples are scaled to 8, CMYK JPEGs are converted, the EXIF
    orientation is applied, transparency is dropped (the colors underneath show; in a TIFF OpenCV darkens them), color
    profiles are ignored, and of an animation or a document of many pages the first image is taken.

    InputError, one sentence, for bytes that are no image, are cut off or damaged, claim more pixels than
    `max_pixels`, or are of a variant that this OpenCV cannot decode.
    """
    kind = _check(data, name)
    if kind == "PNG":
        data = content.without_png_profile(data)
    try:
        with quiet():
            image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_COLOR)
    except (cv2.error, MemoryError) as error:
        raise InputError(_why_refused(error, kind, data, name)) from error
    if image is None or image.ndim != 3 or image.size == 0:
        if kind is None:
            raise InputError(f"{name} is not an image in a format that OpenCV knows: save it as JPEG or PNG first")
        raise InputError(
            f"{name} cannot be decoded by OpenCV {cv2.__version__}: the {kind} file is truncated, damaged or of a"
            " rare variant; open it in an image editor and save it as JPEG or 8-bit PNG"
        )
    return np.asarray(image, dtype=np.uint8)


def _check(data: bytes, name: str) -> str | None:
    """The image's kind, or None where it has no known signature; InputError for what needs no decoder to refuse."""
    if not data:
        raise InputError(f"{name} is empty (zero bytes): copy or download it again")
    head = data[: content.HEAD_BYTES]
    if seems := content.not_an_image(head):
        raise InputError(f"{name} is not an image: it seems to be {seems}")
    kind = content.image_kind(head)
    if kind is None:
        return None
    if problem := content.fault(kind, data):
        raise InputError(f"{name} {problem}; copy or download it again")
    size = pixel_size(kind, data)
    if kind == "PNG" and size is not None and max(size) > _PNG_MAX_SIDE:
        raise InputError(
            f"{name} is too large: {size[0]} x {size[1]} pixels, and a PNG may have {_PNG_MAX_SIDE} a side"
        )
    if size is not None and size[0] * size[1] > max_pixels():
        raise InputError(_too_many_pixels(name, size))
    if kind == "JPEG 2000" and _FAULTY_JPEG_2000.match(cv2.__version__):
        raise InputError(
            f"{name} is a JPEG 2000 image, and damaged ones can crash OpenCV {cv2.__version__}, so it reads none: pip"
            " install -U opencv-python, or save the image as PNG"
        )
    return kind


def _too_many_pixels(name: str, size: tuple[int, int] | None) -> str:
    measure = f" ({size[0]} x {size[1]})" if size else ""
    return (
        f"{name} has more pixels{measure} than are read: make the image smaller, or raise the limit with the"
        f" environment variable OPENCV_IO_MAX_IMAGE_PIXELS ({MAX_PIXELS:,} pixels where it is not set)"
    )


def _why_refused(error: Exception, kind: str | None, data: bytes, name: str) -> str:
    size = pixel_size(kind, data) if kind else None
    measure = f" ({size[0]} x {size[1]})" if size else ""
    if "CV_IO_MAX_IMAGE" in str(error):
        return _too_many_pixels(name, size)
    if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
        return f"{name}{measure} does not fit into the memory of this machine: make the image smaller"
    return f"{name} cannot be decoded: OpenCV says {getattr(error, 'err', None) or error}"
