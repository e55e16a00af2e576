"""Video files: decoded frame by frame with PyAV, upright, in the order and with the times of the file."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path, PurePosixPath
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import InputError, Remedy
from mrcnn_cv.inputs.images.files import why_unreadable
from mrcnn_cv.inputs.video.base import MAX_PIXELS, FrameSampler, FrameSampling, RecordedSource, StreamPosition
from mrcnn_cv.inputs.video.webp import WebpAnimation, webp_file
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.video_info import ColorProperties, VideoInfo, failures, import_av, matrix_for, swscale_matrix
from mrcnn_cv.util.opencv import cv2

# Demuxers of files alone: playlists and scripts (hls, concat) would open whatever a stranger's file names.
_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,webp_anim,apng,mpeg,mpegts,mpegvideo,flv,live_flv,asf,ogg,mxf,"
    "ivf,h264,hevc,m4v,yuv4mpegpipe,dv,nut,wtv,rm,obu"
)
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": _FORMATS}
# Times are rounded to floats.
_EPSILON = 1e-6

_LIMITED, _FULL = 1, 2

Image = NDArray[np.uint8]


def open_video(
    path: str | Path,
    output_path: PurePosixPath | None = None,
    sampling: FrameSampling | None = None,
    after: StreamPosition | None = None,
) -> VideoFile | WebpAnimation:
    """A file of frames, whatever it is; the arguments are those of VideoFile. InputError where it cannot be read."""
    source = VideoFile if webp_file(Path(path)) is None else WebpAnimation
    return source(path, output_path, sampling, after)


class VideoFile(RecordedSource):
    """A video file as an iterable of Frame."""

    def _open(self) -> None:
        self._container: Any = None
        self._reopen()
        self._frames = self._from(self.sampling.start if self._after is None else self._after.time)
        self._first = next(self._frames, None)
        if self._first is None and self._after is None:
            self.close()
            raise _no_frame(self.name, self.damaged, self.sampling.start)
        self.info = self._describe()

    def close(self) -> None:
        """Let go of the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def __iter__(self) -> Iterator[Frame | FrameError | None]:
        """The frames that are wanted; may be asked for once."""
        sampler = FrameSampler(self.sampling, self._after)
        pending = [] if self._first is None else [self._first]
        self._first = None
        while pending or self._container is not None:
            start = perf_counter()
            found = pending.pop() if pending else next(self._frames, None)
            if found is None or sampler.is_over(found[1]):
                return
            index, time, decoded = found
            if sampler.takes(index, time):
                yield self._frame(self._fitted(upright(decoded, pixels(decoded))), index, time, start)

    def _reopen(self) -> None:
        av = import_av()
        self.close()
        try:
            # What is wrong with the name or the rights, Python says better than FFmpeg.
            with self.path.open("rb") as file:
                if not file.read(1):
                    raise InputError(f"{self.name} is empty (zero bytes): copy or download it again")
            self._container = av.open(os.path.abspath(self.path), options=dict(_OPTIONS))
        except failures() as error:
            if isinstance(error, av.error.FFmpegError):
                raise InputError(
                    f"{self.name} cannot be read as a video: it is no video, damaged, or cut off before its index;"
                    " copy or download it again"
                ) from error
            raise InputError(why_unreadable(error, self.path, self.name)) from error
        self._stream = self._chosen_stream()
        tick, stream_start = self._stream.time_base, self._stream.start_time
        starts = [] if stream_start is None else [stream_start * tick]
        if self._container.start_time is not None:
            starts.append(Fraction(self._container.start_time, 1_000_000))
        self._zero = min(starts, default=Fraction(0))

    def _chosen_stream(self) -> Any:
        """The first stream that is a video and no cover image, ready to be decoded."""
        # av.stream.Disposition.attached_pic
        streams = [stream for stream in self._container.streams.video if not int(_number(stream.disposition)) & 0x400]
        if not streams:
            sound = ", only sound" if self._container.streams.audio else ""
            raise InputError(f"{self.name} holds no video{sound}: give a file with images that move")
        stream = streams[0]
        context = stream.codec_context
        if context is None:
            raise InputError(
                f"{self.name} is coded in a way that this PyAV cannot decode: convert it to H.264 with another program"
            )
        if context.width * context.height > MAX_PIXELS:
            raise InputError(
                f"{self.name} has frames of {context.width} x {context.height} pixels, and at most"
                f" {MAX_PIXELS:,} pixels are decoded: make the video smaller"
            )
        context.options = {"max_pixels": str(MAX_PIXELS)}
        context.thread_type, context.thread_count = "AUTO", 2
        return stream

    def _describe(self) -> VideoInfo:
        stream, container = self._stream, self._container
        context, colors, width, height = stream.codec_context, ColorProperties(), stream.width, stream.height
        if self._first is not None:
            decoded = self._first[2]
            colors = colors_of(decoded)
            height, width = upright(decoded, np.empty((decoded.height, decoded.width, 0), np.uint8)).shape[:2]
        rate = stream.average_rate or stream.guessed_rate
        seconds = None if container.duration is None else container.duration / 1_000_000
        if stream.duration is not None:
            seconds = float(stream.duration * stream.time_base)
        count = stream.frames or (round(seconds * float(rate)) if seconds and rate else None)
        aspect = stream.sample_aspect_ratio or Fraction(1)
        return VideoInfo(
            width=width,
            height=height,
            frame_rate=float(rate) if rate else None,
            frame_count=count,
            seconds=seconds,
            is_live=False,
            has_audio=bool(container.streams.audio),
            codec=context.codec.canonical_name,
            pixel_aspect=1 / aspect if (width, height) == (context.height, context.width) else aspect,
            time_base=stream.time_base,
            colors=colors,
        )

    def _from(self, start: float) -> Iterator[tuple[int, float, Any]]:
        """(index, time, decoded frame) from `start` on, or behind the point where an earlier run was left."""
        frames = self._decoded(self._seek(start) if start > 0 else 0)
        if self._after is not None:
            index = self._after.index
            for _, time, decoded in frames:
                if time > self._after.time + _EPSILON:
                    index += 1
                    yield index, time, decoded
            return
        is_first = True
        for index, time, decoded in frames:
            if time >= start - _EPSILON:
                if is_first and start > 0:
                    self.damaged, is_first = 0, False
                yield index, time, decoded

    def _seek(self, start: float) -> int:
        """Go to the last frame before `start` at which decoding can begin; its index."""
        target = int((Fraction(start) + self._zero) / self._stream.time_base)
        # AVI may have no index, and its times are told by counting.
        if self._container.format.name != "avi":
            try:
                times = self._times_until(target)
                self._container.seek(target, stream=self._stream, backward=True)
                landed = next(self._decoded(0), None)
                if landed is not None and landed[2].pts is not None and landed[2].pts <= target:
                    self._container.seek(target, stream=self._stream, backward=True)
                    return sum(each < landed[2].pts for each in times)
            except failures():
                # Where that cannot be done, everything is decoded from the beginning.
                pass
        self._reopen()
        return 0

    def _times_until(self, target: int) -> list[int]:
        """The times of all packets up to `target`, in ticks; nothing is decoded for that."""
        times: list[int] = []
        for packet in self._container.demux(self._stream):
            at = packet.pts if packet.pts is not None else packet.dts
            if at is not None and packet.size:
                times.append(at)
            if packet.dts is not None and packet.dts > target:
                break
        return times

    def _decoded(self, index: int) -> Iterator[tuple[int, float, Any]]:
        """(index, time, decoded frame) from where the container stands."""
        # AVI has no presentation times: the frames take the packets' times in order.
        waiting: list[int] | None = [] if self._container.format.name == "avi" else None
        last: int | None = None
        for packet in self._packets():
            if waiting is not None and packet.size and packet.dts is not None:
                heapq.heappush(waiting, packet.dts)
            try:
                frames = packet.decode()
            except failures():
                self.damaged += 1
                index += 1
                continue
            for decoded in frames:
                at = heapq.heappop(waiting) if waiting else decoded.pts
                if at is None or (last is not None and at <= last):
                    at = 0 if last is None else last + max(1, decoded.duration or 0 if at is None else 1)
                last = at
                if decoded.is_corrupt:
                    self.damaged += 1
                else:
                    yield index, float(at * self._stream.time_base - self._zero), decoded
                index += 1

    def _packets(self) -> Iterator[Any]:
        """The packets of the video, and an empty one at the end; where the file cannot be read on, it ends."""
        packets = self._container.demux(self._stream)
        while self._container is not None:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except failures():
                self.damaged += 1
                self.warnings.append(f"{self.name} cannot be read to its end: what comes before is done")
                return
            yield packet

    def _fitted(self, image: Image) -> Image:
        """Frames of another size than the first one are scaled to it."""
        size = (self.info.width, self.info.height)
        if (image.shape[1], image.shape[0]) == size:
            return image
        if not any("changes" in warning for warning in self.warnings):
            self.warnings.append(
                f"{self.name} changes from {size[0]} x {size[1]} to {image.shape[1]} x {image.shape[0]} pixels on the"
                " way: all frames are scaled to the first size"
            )
        return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _number(value: Any) -> int:
    return int(getattr(value, "value", value))


def _no_frame(name: str, damaged: int, start: float) -> InputError:
    if damaged:
        return InputError(f"{name} has no frame that can be decoded ({damaged} are damaged): copy or download it again")
    if start:
        return InputError(f"{name} has no frame after {start:g} seconds: {Remedy.START}", Remedy.START)
    return InputError(f"{name} holds no frames: copy or download it again")


def pixels(decoded: Any) -> Image:
    """(H, W, 3) uint8 BGR of a decoded frame, as it is stored."""
    rgb = decoded.format.is_rgb or decoded.format.has_palette
    colors = colors_of(decoded)
    options = {} if rgb else {"src_colorspace": swscale_matrix(matrix_for(colors.matrix, decoded.height))}
    if not rgb:
        options |= {"src_color_range": _FULL if colors.is_full else _LIMITED, "dst_color_range": _FULL}
    image: Image = decoded.reformat(format="bgr24", threads=1, **options).to_ndarray()
    return image


def colors_of(decoded: Any) -> ColorProperties:
    """What a decoded frame says about its colors."""
    full = int(decoded.color_range) == _FULL or decoded.format.name.startswith("yuvj")
    return ColorProperties(int(decoded.color_primaries), int(decoded.color_trc), int(decoded.colorspace), full)


def upright(decoded: Any, image: Image) -> Image:
    """The image turned and mirrored as the file's display matrix says."""
    matrix = _display_matrix(decoded)
    if matrix is None:
        return image
    across, down = np.sign(np.round(matrix[:2] / 65536)), np.sign(np.round(matrix[2:] / 65536))
    # Each names where a step to the right, and a step down, of the stored image leads on the screen.
    if across[0] == 0 and down[1] == 0:
        image = np.swapaxes(image, 0, 1)
        across, down = np.array([down[0], 0]), np.array([0, across[1]])
    image = image[:: -1 if down[1] < 0 else 1, :: -1 if across[0] < 0 else 1]
    return np.ascontiguousarray(image)


def _display_matrix(decoded: Any) -> NDArray[np.float64] | None:
    """a b c d of FFmpeg's display matrix (x' = a x + c y, y' = b x + d y); None where there is none."""
    from av.sidedata.sidedata import Type

    data = decoded.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    matrix = np.frombuffer(data, np.int32).astype(np.float64)
    return matrix[[0, 1, 3, 4]] if len(matrix) == 9 else None
