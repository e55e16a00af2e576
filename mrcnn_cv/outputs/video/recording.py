"""The recording of a live source: its painted video, in parts that are whole whatever happens, joined at the end."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mrcnn_cv.errors import OutputError
from mrcnn_cv.outputs.video.writer import Annotate, VideoWriter

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import VideoInfo
    from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances

_USUAL_STEP = 1 / 25


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
