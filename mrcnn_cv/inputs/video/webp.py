"""Animated WebP files: each image is decoded by OpenCV as a WebP of its own, and laid on a canvas as libwebp does it.

By hand, since nothing that is there reads them an image at a time: older FFmpegs not at all, OpenCV from 4.11 on and
all images at once, and libwebp's own decoder (Pillow's, 7 MB more to download for everybody) nothing of a file that
is cut off or damaged. The format: developers.google.com/speed/webp/docs/riff_container.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.images.sniff import image_kind, webp_chunks
from mrcnn_cv.inputs.video.base import MAX_PIXELS, FrameSampler, RecordedSource
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.video_info import VideoInfo
from mrcnn_cv.util.opencv import cv2, quiet

_MAX_BYTES = 1 << 28
_ALPHA = 0x10
_BAND = 256


@dataclass(frozen=True)
class _AnimationFrame:
    """One image of an animation: where it lies on the canvas, and from where to where in the file."""

    left: int
    top: int
    width: int
    height: int
    milliseconds: int
    replaces: bool
    vanishes: bool
    start: int
    end: int


class WebpAnimation(RecordedSource):
    """As VideoFile, for an animated WebP. Transparency is dropped; what no image was laid on is black."""

    def _open(self) -> None:
        self._data = webp_file(self.path) or b""
        self._size = _canvas_size(self._data)
        count, milliseconds = 0, 0
        for part in _parts(self._data):
            count, milliseconds = count + 1, milliseconds + part.milliseconds
        if not count or not all(self._size):
            raise InputError(f"{self.name} holds no frame that can be decoded: copy or download it again")
        if self._size[0] * self._size[1] > MAX_PIXELS:
            raise InputError(
                f"{self.name} has frames of {self._size[0]} x {self._size[1]} pixels, and at most {MAX_PIXELS:,}"
                " pixels are decoded: make the animation smaller"
            )
        seconds = milliseconds / 1000
        rate = count / seconds if seconds else 10.0
        self.info = VideoInfo(
            *self._size, rate, count, seconds or None, False, False, "webp", time_base=Fraction(1, 1000)
        )

    def close(self) -> None:
        """Nothing is open."""

    def __iter__(self) -> Iterator[Frame | FrameError | None]:
        """The frames that are wanted."""
        sampler = FrameSampler(self.sampling, self._after)
        done = -1 if self._after is None else self._after.index
        start, milliseconds = perf_counter(), 0
        for index, (part, canvas) in enumerate(self._canvases()):
            time = milliseconds / 1000
            milliseconds += part.milliseconds
            if canvas is None or index <= done:
                self.damaged += canvas is None and index > done
                continue
            if sampler.is_over(time):
                return
            if sampler.takes(index, time):
                yield self._frame(np.ascontiguousarray(canvas[..., :3]), index, time, start)
            start = perf_counter()

    def _canvases(self) -> Iterator[tuple[_AnimationFrame, NDArray[np.uint8] | None]]:
        """Each image with the canvas after it, BGRA; None for an image that cannot be decoded."""
        width, height = self._size
        canvas = np.zeros((height, width, 4), np.uint8)
        for part in _parts(self._data):
            rows = slice(part.top, part.top + part.height)
            columns = slice(part.left, part.left + part.width)
            image = _decode(self._data, part)
            if image is None or canvas[rows, columns].shape != image.shape:
                yield part, None
                continue
            canvas[rows, columns] = image if part.replaces else _over(image, canvas[rows, columns])
            yield part, canvas
            if part.vanishes:
                canvas[rows, columns] = 0


def webp_file(path: Path) -> bytes | None:
    """The bytes of a file that is a WebP; None where it is something else, or cannot be read."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            return None
        with path.open("rb") as file:
            head = file.read(64)
            return head + file.read() if image_kind(head) == "WebP" else None
    except (OSError, ValueError):
        return None


def _canvas_size(data: bytes) -> tuple[int, int]:
    """(width, height) of the frames; zeros where the file is none of an animation."""
    for name, start, end in webp_chunks(data):
        if name == b"VP8X" and 10 <= end - start <= len(data) - start:
            return _whole(data, start + 4) + 1, _whole(data, start + 7) + 1
    return 0, 0


def _parts(data: bytes) -> Iterator[_AnimationFrame]:
    """The images that are all there."""
    for name, start, end in webp_chunks(data):
        if name == b"ANMF" and 16 < end - start <= len(data) - start:
            flags = data[start + 15]
            yield _AnimationFrame(
                left=2 * _whole(data, start),
                top=2 * _whole(data, start + 3),
                width=_whole(data, start + 6) + 1,
                height=_whole(data, start + 9) + 1,
                milliseconds=_whole(data, start + 12),
                replaces=bool(flags & 2),
                vanishes=bool(flags & 1),
                start=start,
                end=end,
            )


def _still(data: bytes, start: int, end: int) -> bytes:
    """A WebP file of one image, from the part of an animation that lies there."""
    body = data[start + 16 : end]
    has_alpha = body[:4] == b"ALPH"
    if has_alpha:
        body = b"VP8X" + (10).to_bytes(4, "little") + bytes([_ALPHA, 0, 0, 0]) + data[start + 6 : start + 12] + body
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def _whole(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 3], "little")


def _decode(data: bytes, part: _AnimationFrame) -> NDArray[np.uint8] | None:
    """(height, width, 4) uint8 BGRA; None for what cannot be decoded, or is not of the size that it claims."""
    if part.width * part.height > MAX_PIXELS:
        return None
    with quiet():
        try:
            still = np.frombuffer(_still(data, part.start, part.end), np.uint8)
            image = cv2.imdecode(still, cv2.IMREAD_UNCHANGED)
        except cv2.error:
            return None
    if image is None or image.ndim != 3 or image.shape[:2] != (part.height, part.width):
        return None
    if image.shape[2] == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
    return np.asarray(image, np.uint8)


def _over(above: NDArray[np.uint8], below: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """One image over another, neither multiplied by its opacity: as libwebp blends them, to within 1."""
    if (above[..., 3] == 255).all():
        return above
    result = np.empty_like(above)
    # In 32 bits a large image takes sixteen times its memory.
    for start in range(0, len(above), _BAND):
        upper, lower = above[start : start + _BAND], below[start : start + _BAND]
        opacity = upper[..., 3:].astype(np.uint32)
        share = lower[..., 3:] * (256 - opacity) >> 8
        scale = (1 << 24) // np.maximum(opacity + share, 1)
        mixed = (upper * opacity + lower * share) * scale >> 24
        mixed[..., 3:] = opacity + share
        result[start : start + _BAND] = np.where(share == 0, upper, np.where(opacity == 0, lower, mixed))
    return result
