"""Where the results of a live source go: a recording and other formats, records of --json, the window and the page."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click
from click.core import ParameterSource

from mrcnn_cv.errors import OutputError, UsageError
from mrcnn_cv.jobs.outputs import NOTHING, Outputs
from mrcnn_cv.outputs.base import Sink
from mrcnn_cv.outputs.formats.overlay import encode
from mrcnn_cv.outputs.storage.locks import lock_output
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.util import filenames

if TYPE_CHECKING:
    from mrcnn_cv.inference.predictor import MaskRCNN
    from mrcnn_cv.inputs.video.base import VideoInfo
    from mrcnn_cv.outputs.video.annotator import FrameAnnotator
    from mrcnn_cv.outputs.viewers.live_view import LatestFrame, LiveView

OVERLAY = "overlay"


class LiveOutputs:
    """What is written of a live source. What can be wrong with it is found here, before the model is loaded.

    Without --save a source that somebody watches (--show, --serve) is not recorded.
    """

    def __init__(self, source: str, options: Mapping[str, Any]) -> None:
        self._options = options
        formats = _formats(options)
        self._is_recorded = OVERLAY in formats
        self._others = tuple(formats - {OVERLAY})
        self.base = base_name(source, time.localtime())
        # A recording has a name of its own and disturbs no batch run in the folder, as other formats would.
        self._outputs = Outputs({**options, "save": self._others or (NOTHING,), "show": False, "resume": False}, [])
        self.style = self._outputs.style
        self.folder = self._outputs.folder or OutputDirectory(options["output"], overwrite=options["overwrite"])
        if self._is_recorded:
            from mrcnn_cv.outputs.video.codecs import check_codec

            self.folder.check()
            check_codec(options["codec"], options["crf"])

    def sinks(self, model: MaskRCNN, info: VideoInfo, annotator: FrameAnnotator, stack: ExitStack) -> list[Sink]:
        """The sinks of the run, once model and source are known. `stack` keeps their name from other runs."""
        sinks: list[Sink] = []
        if self._is_recorded or self._others:
            self.base = self._free_name(stack)
        if self._is_recorded:
            from mrcnn_cv.outputs.video.recording import Recording

            codec, crf = self._options["codec"], self._options["crf"]
            sinks += [annotator, Recording(self.folder, self._video, info, annotator.annotated, codec, crf)]
        others, together = self._outputs.files(model, {})
        return [*sinks, *others, *([] if together is None else [together]), *self._outputs.streams]

    def _free_name(self, stack: ExitStack) -> str:
        """`base`, or the first number of it that neither another run nor an earlier one has.

        Runs may begin in the same second, and a clock that is set back tells every second twice.
        """
        number = 1
        while True:
            base = self.base if number == 1 else f"{self.base}-{number}"
            with suppress(UsageError), ExitStack() as held:
                held.enter_context(lock_output(self.folder.directory / base))
                # Videos with their parts, the pictures of single frames, formats with a folder of their own.
                patterns = (f"{base}.*", base, f"*/{base}")
                if not any(any(self.folder.directory.glob(pattern)) for pattern in patterns):
                    stack.push(held.pop_all())
                    return base
            number += 1

    @property
    def _video(self) -> Path:
        return self.folder.directory / f"{self.base}.mp4"

    @property
    def places(self) -> list[str]:
        """Where results are, for people."""
        # Where the parts of a recording could not be joined, they are what there is.
        parts = self._video.with_name(f"{self._video.name}.parts")
        video = next((path for path in (self._video, parts) if path.exists()), None)
        return ([] if video is None else [str(video)]) + self._outputs.places

    def placed(self, ticket: Callable[[], Frame | FrameError | None]) -> Callable[[], Frame | FrameError | None]:
        """The ticket, whose frame has a place of its own below the output folder."""

        def redeem() -> Frame | FrameError | None:
            taken = ticket()
            if taken is None:
                return None
            return replace(taken, output_path=PurePosixPath(self.base) / f"{taken.index:06}.jpg")

        return redeem

    def save(self, view: LiveView, latest: LatestFrame) -> str:
        """Keep what a window shows as a picture; says where, or why not."""
        path = self.folder.directory / f"{self.base}-{latest.frame.index:06}.jpg"
        try:
            self.folder.write(path, encode(view.annotated(latest), ".jpg", str(path)))
        except OutputError as error:
            return str(error)
        return f"saved {path}"


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


def _formats(options: Mapping[str, Any]) -> set[str]:
    """Names of --save; none where the source is watched and nobody asked for any."""
    context = click.get_current_context(silent=True)
    is_asked = context is not None and context.get_parameter_source("save") is not ParameterSource.DEFAULT
    if (options["show"] or options["serve"] is not None) and not is_asked:
        return set()
    return set(options["save"]) - {NOTHING}
