"""Annotated videos: written in short parts, each of which can be played, and joined at the end.

A program that is killed leaves all parts that were finished; a run that goes on later writes new ones behind them.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.storage.output_dir import is_temporary, unwritable
from mrcnn_cv.outputs.video.concat import Sound, concat
from mrcnn_cv.outputs.video.segment import SegmentWriter, tick_for
from mrcnn_cv.structures.video_info import failures, is_of_the_disk

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances
    from mrcnn_cv.structures.video_info import VideoInfo

SEGMENT_SECONDS = 10.0
"""A part ends when it plays for so long."""

SEGMENT_WORK_SECONDS = 60.0
"""Or when so much time was spent on it."""


class SegmentClock:
    """Tells when it is time to end a part."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """A part ends, or begins."""
        self._first: float | None = None
        self._last = 0.0
        self._began = time.monotonic()

    def saw(self, at: float) -> None:
        """A frame was added, at so many seconds of the source."""
        if self._first is None:
            self._first, self._began = at, time.monotonic()
        self._last = at

    @property
    def is_due(self) -> bool:
        """Whether the part is long enough, or took long enough."""
        if self._first is None:
            return False
        return self._last - self._first >= SEGMENT_SECONDS or time.monotonic() - self._began >= SEGMENT_WORK_SECONDS


_USUAL_STEP = 1 / 25
"""Seconds between two frames of a recording of one frame."""

Annotate = Callable[["Frame", "Instances"], NDArray[np.uint8]]


@dataclass(frozen=True)
class Segment:
    """A part that is finished: its file's name, its size in bytes, and when it begins, in ticks of the whole video."""

    name: str
    size: int
    start: int


class VideoWriter:
    """Writes the frames that `annotate` gives into parts beside `path`, and joins them there. Opened once.

    path    of the video, in `folder`; the parts lie in a folder of that name with .parts behind it
    info    of the source: size, frame rate, ticks, colors
    segments   of an earlier run, to go on behind
    origin  the time in the source, in seconds, that is time zero of the video; None: that of its first frame

    Every part that `end_segment` returned stays, whatever happens then.
    """

    ordered = True

    def __init__(
        self,
        folder: OutputDirectory,
        path: Path,
        info: VideoInfo,
        annotate: Annotate,
        *,
        codec: str = "h264",
        crf: int | None = None,
        parts: Sequence[Segment] = (),
        origin: float | None = 0.0,
    ) -> None:
        self._folder = folder
        self.path = path
        self.segments_path = path.with_name(f"{path.name}.parts")
        self._info, self._annotate, self._codec, self._crf, self.origin = info, annotate, codec, crf, origin
        self.segments = list(parts)
        self._writer: SegmentWriter | None = None
        self._placing: AbstractContextManager[Path] | None = None
        self._clock = SegmentClock()

    def __enter__(self) -> VideoWriter:
        self._folder.check_replaceable(self.path)
        discard_segments(self._folder, self.segments_path, keep=self.segments)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OutputError):
            self._abandon(error)
        else:
            self.end_segment()

    def write(self, frame: Frame, instances: Instances) -> None:
        """Add one frame; OutputError where it cannot be written."""
        start = time.perf_counter()
        if self._writer is None:
            self._open()
        assert self._writer is not None
        at = frame.time or 0.0
        self.origin = at if self.origin is None else self.origin
        self._clock.saw(at)
        try:
            self._writer.add(self._annotate(frame, instances), at - self.origin)
        except OutputError as error:
            self._abandon(error)
            raise
        instances.timings_ms["encode"] = (time.perf_counter() - start) * 1000

    @property
    def is_segment_due(self) -> bool:
        """Whether it is time for `end_segment`."""
        return self._clock.is_due

    def end_segment(self) -> Segment | None:
        """Finish the part that is being written: from now on it stays. None where there is none."""
        if self._writer is None or self._placing is None:
            return None
        writer, self._writer = self._writer, None
        self._clock.reset()
        try:
            writer.close()
        except OutputError as error:
            self._placing.__exit__(type(error), error, None)
            raise
        self._placing.__exit__(None, None, None)
        path = self.segments_path / _name(len(self.segments))
        assert writer.start is not None
        self.segments.append(Segment(path.name, path.stat().st_size, writer.start))
        return self.segments[-1]

    def concat(self, sound: Sound | None = None, last_seconds: float = 0.0) -> list[str]:
        """Make the video of all parts, in place of what an earlier run left there; what was odd about its sound.

        sound         goes with it; None: none does
        last_seconds  how long the last frame is shown

        The parts stay, until `discard`. OutputError where there is no room, or the file may not be replaced.
        """
        if not self.segments:
            return []
        files = [(self.segments_path / part.name, part.start) for part in self.segments]
        tick = tick_for(self._info, self._codec)
        with self._folder.placing(self.path) as temporary:
            try:
                return concat(files, tick, temporary, self.path.suffix, sound, last_seconds)
            except failures() as error:
                if is_of_the_disk(error):
                    raise
                raise OutputError(
                    f"{self.path} cannot be made of the parts in {self.segments_path} ({error}): they stay as they are"
                ) from error

    def discard(self) -> None:
        """Remove the parts, once they are joined."""
        discard_segments(self._folder, self.segments_path)

    def _open(self) -> None:
        path = self.segments_path / _name(len(self.segments))
        self._placing = self._folder.placing(path)
        temporary = self._placing.__enter__()
        try:
            self._writer = SegmentWriter(temporary, self._info, self._codec, self._crf)
        except OutputError as error:
            self._placing.__exit__(type(error), error, None)
            raise

    def _abandon(self, error: OutputError) -> None:
        if self._writer is not None and self._placing is not None:
            self._writer.abandon()
            self._writer = None
            with suppress(OutputError):
                self._placing.__exit__(type(error), error, None)


class Recording:
    """Writes the frames that `annotate` gives into the video `path` of `folder`, with the times at which they came.

    The video begins with the first frame. Until it is joined, at the end, its parts lie beside it; where that fails, or
    the process is killed, they stay, and each of them can be played.
    """

    ordered = True

    def __init__(
        self, folder: OutputDirectory, path: Path, info: VideoInfo, annotate: Annotate, codec: str, crf: int | None
    ) -> None:
        self.path = path
        self._folder = folder
        self._info = info
        self._annotate = annotate
        self._codec = codec
        self._crf = crf
        self._video: VideoWriter | None = None
        self._first = 0.0
        self._last = 0.0
        self._frames = 0

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._video is None:
            return
        self._video.__exit__(kind, error, trace)
        if isinstance(error, OutputError):
            return
        step = (self._last - self._first) / (self._frames - 1) if self._frames > 1 else _USUAL_STEP
        self._video.concat(last_seconds=step)
        # Parts that cannot be removed do no harm.
        with suppress(OutputError):
            self._video.discard()

    def write(self, frame: Frame, instances: Instances) -> None:
        """Add one frame; OutputError where it cannot be written."""
        if self._video is None:
            self._video = self._begin(frame)
        self._video.write(frame, instances)
        self._last = frame.time or 0.0
        self._frames += 1
        if self._video.is_segment_due:
            self._video.end_segment()

    def _begin(self, frame: Frame) -> VideoWriter:
        height, width = frame.image.shape[:2]
        self._first = frame.time or 0.0
        info = replace(self._info, width=width, height=height)
        video = VideoWriter(
            self._folder, self.path, info, self._annotate, codec=self._codec, crf=self._crf, origin=self._first
        )
        return video.__enter__()


def discard_segments(folder: OutputDirectory, directory: Path, keep: Sequence[Segment] = ()) -> None:
    """Remove parts that an earlier run left, but for those to keep; files of the user's stay."""
    kept = {part.name for part in keep}
    try:
        for path in sorted(directory.iterdir()) if os.path.isdir(directory) else ():
            if is_temporary(path):
                path.unlink()
            elif path.name not in kept:
                folder.discard(path)
        if os.path.isdir(directory) and not any(directory.iterdir()):
            directory.rmdir()
    except OSError as error:
        raise unwritable(error, directory) from error


def _name(number: int) -> str:
    return f"{number + 1:05}.mp4"
