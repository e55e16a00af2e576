"""One part of a painted video: a short, closed file of its own, which can be played and joined to others."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import OutputError, Remedy
from mrcnn_cv.outputs.storage.output_dir import unwritable
from mrcnn_cv.outputs.video.codecs import CODECS, encoder_for
from mrcnn_cv.structures.video_info import VideoInfo, failures, import_av, matrix_for, swscale_matrix
from mrcnn_cv.util.opencv import cv2

Image = NDArray[np.uint8]

_DEFAULT_TICK = Fraction(1, 90_000)
_COARSEST = 10_000
_DEFAULT_RATE = 25.0
_LIMITED, _FULL = 1, 2


def tick_for(info: VideoInfo, codec: str) -> Fraction:
    """The unit in which times are written: the source's own, or a whole part of it; so all its times are kept."""
    tick = info.time_base or _DEFAULT_TICK
    if tick.denominator > CODECS[codec].finest or tick.numerator > 1 << 16 or tick <= 0:
        return Fraction(1, 60_000)
    # Coarser ones leave players no room, and some files no way to say them.
    times = -(-_COARSEST * tick.numerator // tick.denominator)
    fine = tick / times
    return fine if fine.denominator <= CODECS[codec].finest else tick


class SegmentWriter:
    """Encodes frames into an MP4 at `path`, from time zero on; BGR (H, W, 3) uint8 in, 4:2:0 with 8 bits out.

    Odd sizes get a copy of their last row or column. OutputError where encoding or writing fails.
    """

    def __init__(self, path: Path, info: VideoInfo, codec: str, crf: int | None) -> None:
        self.path = path
        self.tick = tick_for(info, codec)
        self._size = (info.width, info.height)
        self._nominal = max(1, round(1 / (info.frame_rate or _DEFAULT_RATE) / self.tick))
        self._matrix = matrix_for(info.colors.matrix, info.height)
        self._first: int | None = None
        self._last = -1
        av = self._av = import_av()
        # SVT-AV1 tells stderr its life story otherwise.
        os.environ.setdefault("SVT_LOG", "1")
        chosen = CODECS[codec]
        try:
            self._file = av.open(str(path), "w", format="mp4")
            rate = Fraction(info.frame_rate or _DEFAULT_RATE).limit_denominator(65_535)
            options = chosen.options(chosen.crf if crf is None else crf)
            self._stream = self._file.add_stream(encoder_for(codec), rate=rate, options=options)
            context = self._stream.codec_context
            context.width, context.height = (side + side % 2 for side in self._size)
            context.pix_fmt = "yuv420p"
            context.time_base = self._stream.time_base = self.tick
            context.thread_count = 1
            if info.pixel_aspect > 0:
                context.sample_aspect_ratio = info.pixel_aspect
            if chosen.tag is not None:
                context.codec_tag = chosen.tag
            context.color_range, context.colorspace = _LIMITED, self._matrix
            context.color_primaries, context.color_trc = info.colors.primaries, info.colors.transfer
        except failures() as error:
            raise self._failure(error) from error

    @property
    def start(self) -> int | None:
        """Of the first frame, in ticks; None before there is one."""
        return self._first

    def add(self, image: Image, time: float) -> None:
        """Add a frame at `time` seconds; one that does not come after its predecessor is put a tick behind it."""
        at = round(time / self.tick)
        if self._first is None:
            self._first = at
        elif at <= self._last:
            at = self._last + 1
        self._last = at
        try:
            frame = self._converted(image)
            frame.pts, frame.time_base = at - self._first, self.tick
            self._mux(self._stream.encode(frame))
        except failures() as error:
            raise self._failure(error) from error

    def close(self) -> None:
        """Finish the file."""
        try:
            self._mux(self._stream.encode(None))
            self._file.close()
        except failures() as error:
            raise self._failure(error) from error

    def abandon(self) -> None:
        """Let go of a file that cannot be finished."""
        with suppress(*failures()):
            self._file.close()

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            packet.duration = self._nominal
            self._file.mux(packet)

    def _converted(self, image: Image) -> Any:
        width, height = self._size
        if image.shape[:2] != (height, width):
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), np.uint8)
        if width % 2 or height % 2:
            image = np.asarray(cv2.copyMakeBorder(image, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE), np.uint8)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="bgr24")
        return frame.reformat(
            format="yuv420p",
            dst_colorspace=swscale_matrix(self._matrix),
            src_color_range=_FULL,
            dst_color_range=_LIMITED,
            threads=1,
        )

    def _failure(self, error: Exception) -> OutputError:
        refused = isinstance(error, (ValueError, self._av.error.InvalidDataError, self._av.error.ArgumentError))
        if isinstance(error, OSError) and not refused:
            return unwritable(error, self.path)
        width, height = self._size
        return OutputError(
            f"{self.path} cannot be encoded, frames of {width} x {height} pixels are refused ({error}): {Remedy.CODEC}",
            Remedy.CODEC,
        )
