"""From the bytes of a picture file to pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import InputError
from mrcnn_cv.opencv import cv2, quiet
from mrcnn_cv.sources import content

# libpng's own limit on a side; it prints to the terminal where a picture is over it.
_PNG_MAX_SIDE = 1_000_000


def decode_image(data: bytes, name: str) -> NDArray[np.uint8]:
    """The picture in `data` as (H, W, 3) uint8, BGR; `name` is for messages.

    Grey and palette pictures become colour, 16-bit samples are scaled to 8, CMYK JPEGs are converted, the EXIF
    orientation is applied, transparency is dropped (the colours underneath show; in a TIFF OpenCV darkens them), colour
    profiles are ignored, and of an animation or a document of many pages the first picture is taken.

    InputError, one sentence, for bytes that are no picture, are cut off or damaged, hold more pixels than OpenCV's
    limit, or are of a variant that this OpenCV cannot decode.
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
    """The picture's kind, or None where it has no known signature; InputError for what needs no decoder to refuse."""
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
    size = content.pixel_size(kind, data)
    if kind == "PNG" and size is not None and max(size) > _PNG_MAX_SIDE:
        raise InputError(
            f"{name} is too large: {size[0]} x {size[1]} pixels, and a PNG may have {_PNG_MAX_SIDE} a side"
        )
    return kind


def _why_refused(error: Exception, kind: str | None, data: bytes, name: str) -> str:
    size = content.pixel_size(kind, data) if kind else None
    measure = f" ({size[0]} x {size[1]})" if size else ""
    if "CV_IO_MAX_IMAGE" in str(error):
        return (
            f"{name} has more pixels{measure} than OpenCV reads: make the picture smaller, or raise the limit with the"
            " environment variable OPENCV_IO_MAX_IMAGE_PIXELS (2^30 pixels where it is not set)"
        )
    if isinstance(error, MemoryError) or getattr(error, "code", None) == cv2.Error.StsNoMem:
        return f"{name}{measure} does not fit into the memory of this machine: make the picture smaller"
    return f"{name} cannot be decoded: OpenCV says {getattr(error, 'err', None) or error}"
