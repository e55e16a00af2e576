"""What the videos of one command line have in common, and what earlier runs made of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mrcnn_cv.cli.console.video_report import VideoReport
from mrcnn_cv.inputs.video.base import Choice
from mrcnn_cv.jobs.common import FailureLimit
from mrcnn_cv.jobs.state.manifest import Past, check_same
from mrcnn_cv.jobs.state.video_journal import Journal, PastVideo
from mrcnn_cv.outputs.base import Sink
from mrcnn_cv.outputs.storage.output_dir import OutputFolder
from mrcnn_cv.outputs.video.annotator import Painter
from mrcnn_cv.outputs.video.writer import Part
from mrcnn_cv.pipeline import Stop, Thresholds
from mrcnn_cv.pipeline.executor import Executor
from mrcnn_cv.structures.frame import Frame

if TYPE_CHECKING:
    from mrcnn_cv.structures.instances import Instances


@dataclass(frozen=True)
class VideoTask:
    """path: of the video. place: of its frames' own outputs. target: of the painted video; None: nothing is saved."""

    path: Path
    place: PurePosixPath
    target: Path | None

    @property
    def name(self) -> str:
        """What the user calls it."""
        return str(self.path)


class Shared:
    """A sink of several videos, which somebody else opens and closes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.ordered = sink.ordered

    def __enter__(self) -> Shared:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write(self, frame: Frame, found: Instances) -> None:
        """Hand on one frame."""
        self._sink.write(frame, found)


@dataclass
class VideoWork:
    """What the videos of one command line have in common.

    painter  None where nobody wants painted frames
    sinks    that come before the painted video; views: those that come after it
    """

    options: Mapping[str, Any]
    choice: Choice
    painter: Painter | None
    folder: OutputFolder | None
    crew: Executor
    thresholds: Thresholds
    sinks: Sequence[Sink]
    views: Sequence[Sink]
    report: VideoReport
    stop: Stop
    limit: FailureLimit

    def past(self, journal: Journal | None, task: VideoTask, head: Mapping[str, Any]) -> PastVideo | None:
        """What is done of a video and still there; None: nothing. UsageError where the earlier run was another one."""
        if journal is None or task.target is None or not self.options["resume"]:
            return None
        past = journal.past(self.place_of(task))
        if past is None or self.folder is None:
            return None
        check_same(Past(past.head, {}), head, self.folder.directory)
        if past.is_complete and (not self.paints or task.target.is_file()):
            return past
        parts = task.target.with_name(f"{task.target.name}.parts")
        there = [not self.paints or _is_there(parts, stretch.part) for stretch in past.stretches]
        past.keep(there.index(False) if False in there else len(there))
        return past if past.stretches else None

    @property
    def paints(self) -> bool:
        """Whether painted videos are written."""
        return "overlay" in self.options["save"]

    def place_of(self, task: VideoTask) -> str:
        """What the journal calls a video."""
        assert self.folder is not None
        assert task.target is not None
        return task.target.relative_to(self.folder.directory).as_posix()


def _is_there(directory: Path, part: Part | None) -> bool:
    if part is None or Path(part.name).name != part.name:
        return False
    try:
        return (directory / part.name).stat().st_size == part.size
    except OSError:
        return False
