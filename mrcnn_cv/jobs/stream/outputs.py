"""Where the results of a camera or stream go: a recording and other formats, records, the window and the page."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.errors import UsageError
from mrcnn_cv.jobs.options import ModelOptions, OutputOptions, RunOptions, VideoOptions
from mrcnn_cv.jobs.outputs import OVERLAY, Outputs, save_shown
from mrcnn_cv.outputs.base import Sink
from mrcnn_cv.outputs.storage.locks import lock_output
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.util import filenames

if TYPE_CHECKING:
    from mrcnn_cv.inference.predictor import MaskRCNN
    from mrcnn_cv.outputs.video.annotator import FrameAnnotator
    from mrcnn_cv.outputs.viewers.live_view import LatestFrame, LiveView
    from mrcnn_cv.structures.video_info import VideoInfo


class StreamOutputs:
    """What is written of a stream. What can be wrong with it is found here, before the model is loaded."""

    def __init__(
        self, source: str, output: OutputOptions, style: Style, video: VideoOptions, model: ModelOptions
    ) -> None:
        self._video_options = video
        self._is_recorded = OVERLAY in output.formats
        self._others = tuple(name for name in output.formats if name != OVERLAY)
        self.base = base_name(source, time.localtime())
        # A recording has a name of its own and disturbs no batch run in the folder, as other formats would.
        others = replace(output, formats=self._others, show=False)
        self._outputs = Outputs(others, style, RunOptions(), [], model.files)
        self.folder = self._outputs.window_folder
        if self._is_recorded:
            from mrcnn_cv.outputs.video.codecs import check_codec

            self.folder.check()
            check_codec(video.codec, video.crf)

    def sinks(self, model: MaskRCNN, info: VideoInfo, annotator: FrameAnnotator, stack: ExitStack) -> list[Sink]:
        """The sinks of the run, once model and source are known. `stack` keeps their name from other runs."""
        sinks: list[Sink] = []
        if self._is_recorded or self._others:
            self.base = self._free_name(stack)
        if self._is_recorded:
            from mrcnn_cv.outputs.video.writer import Recording

            codec, crf = self._video_options.codec, self._video_options.crf
            sinks += [annotator, Recording(self.folder, self._path, info, annotator.annotated, codec, crf)]
        return [*sinks, *self._outputs.sinks(model, None)]

    def _free_name(self, stack: ExitStack) -> str:
        """`base`, or the first number of it that neither another run nor an earlier one has.

        Runs may begin in the same second, and a clock that is set back tells every second twice.
        """
        number = 1
        while True:
            base = self.base if number == 1 else f"{self.base}-{number}"
            with suppress(UsageError), ExitStack() as held:
                held.enter_context(lock_output(self.folder.directory / base))
                # Videos with their parts, the images of single frames, formats with a folder of their own.
                patterns = (f"{base}.*", base, f"*/{base}")
                if not any(any(self.folder.directory.glob(pattern)) for pattern in patterns):
                    stack.push(held.pop_all())
                    return base
            number += 1

    @property
    def _path(self) -> Path:
        return self.folder.directory / f"{self.base}.mp4"

    @property
    def places(self) -> list[str]:
        """Where results are, for people."""
        # Where the parts of a recording could not be joined, they are what there is.
        parts = self._path.with_name(f"{self._path.name}.parts")
        video = next((path for path in (self._path, parts) if os.path.exists(path)), None)
        return ([] if video is None else [str(video)]) + self._outputs.places

    def placed(self, future: Callable[[], Frame | FrameError | None]) -> Callable[[], Frame | FrameError | None]:
        """The future, whose frame has an output path of its own."""

        def resolve() -> Frame | FrameError | None:
            taken = future()
            if taken is None:
                return None
            return replace(taken, output_path=PurePosixPath(self.base) / f"{taken.index:06}.jpg")

        return resolve

    def save(self, view: LiveView, latest: LatestFrame) -> str:
        """Keep what a window shows as an image; says where, or why not."""
        path = self.folder.directory / f"{self.base}-{latest.frame.index:06}.jpg"
        return save_shown(self.folder, path, view, latest)


def base_name(source: str, now: time.struct_time) -> str:
    """What the outputs of a live source are called: camera0-2026-11-23-112005, door.lan-stream1-2026-..."""
    if source.isdecimal():
        what = f"camera{source}"
    elif "://" in source:
        try:
            parts = urlsplit(source)
            host, path = parts.hostname or parts.scheme, PurePosixPath(parts.path).stem
        except ValueError:
            host, path = "stream", ""
        what = "-".join(filter(None, (host, path)))
    else:
        what = Path(source).name
    plain = re.sub(r"[^\w.-]+", "_", filenames.file_name(what))[:80]
    return f"{plain}-{time.strftime('%Y-%m-%d-%H%M%S', now)}"
