"""A video file in a window: its frames as they are done, with the keys of the live window."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mrcnn_cv.jobs.outputs import change_threshold, save_shown
from mrcnn_cv.outputs.base import SinkClosed
from mrcnn_cv.outputs.viewers.live_view import LatestFrame, LiveView
from mrcnn_cv.outputs.viewers.live_window import LiveWindow

if TYPE_CHECKING:
    from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
    from mrcnn_cv.outputs.video.annotator import FrameAnnotator
    from mrcnn_cv.pipeline import Thresholds
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances


class VideoPreview:
    """Shows every frame; SinkClosed once the user wants to end. Put it last, so that the others have that frame.

    folder         for images that the user wants to keep
    own_threshold  the model's, from which the keys go on where the user named none
    """

    ordered = True

    def __init__(
        self, annotator: FrameAnnotator, thresholds: Thresholds, folder: OutputDirectory, own_threshold: float
    ) -> None:
        self._view = LiveView(annotator)
        self._thresholds = thresholds
        self._folder = folder
        self._own_threshold = own_threshold
        self._window = LiveWindow(self._view, self._save, self._change_threshold)

    def __enter__(self) -> VideoPreview:
        self._window.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._window.__exit__(kind, error, trace)

    def write(self, frame: Frame, instances: Instances) -> None:
        """Show one frame, and wait for as long as the user pauses."""
        self._view.write(frame, instances)
        while True:
            if not self._window.pump():
                raise SinkClosed(delivered=True)
            if not self._window.is_paused:
                return

    def _save(self, latest: LatestFrame) -> str:
        name = Path(str(latest.frame.output_path)).as_posix().replace("/", "-")
        return save_shown(self._folder, self._folder.directory / name, self._view, latest)

    def _change_threshold(self, steps: int) -> str:
        return change_threshold(self._thresholds, steps, self._own_threshold)
