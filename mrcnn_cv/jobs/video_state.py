"""What the videos of one run have in common, and what earlier runs made of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mrcnn_cv.inputs.video.base import FrameSampling
from mrcnn_cv.jobs.options import VideoOptions
from mrcnn_cv.jobs.session import RunSession
from mrcnn_cv.jobs.state.manifest import PreviousRun, check_same
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.jobs.state.video_journal import PreviousVideo, VideoCheckpoints
from mrcnn_cv.outputs.base import Sink
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.video.writer import Segment
from mrcnn_cv.pipeline import Thresholds
from mrcnn_cv.pipeline.executor import Executor
from mrcnn_cv.structures.frame import Frame

if TYPE_CHECKING:
    from mrcnn_cv.structures.instances import Instances


@dataclass(frozen=True)
class VideoTask:
    """path: of the video. place: of its frames' own outputs. target: of the painted video; None: nothing is saved."""

    path: Path
    output_path: PurePosixPath
    target: Path | None

    @property
    def name(self) -> str:
        """What the user calls it."""
        return str(self.path)


@dataclass(frozen=True)
class VideoResult:
    """What came of one video.

    Attributes
    ----------
    name
        What the caller calls it.
    path
        Of the annotated video; None where none is written.
    statistics
        Counts of its frames and instances; None where it was done before, or could not be read.
    error
        Why nothing came of it; None where something did.
    """

    name: str
    path: Path | None
    statistics: RunStatistics | None
    error: str | None = None

    @property
    def has_failed(self) -> bool:
        """Whether it, or some frame of it, could not be used."""
        return self.error is not None or (self.statistics is not None and self.statistics.failed_count > 0)


class NonClosingSink:
    """A sink of several videos, which somebody else opens and closes."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.ordered = sink.ordered

    def __enter__(self) -> NonClosingSink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def write(self, frame: Frame, instances: Instances) -> None:
        """Hand on one frame."""
        self._sink.write(frame, instances)


@dataclass
class VideoWork:
    """What the videos of one run have in common.

    follows        instances get numbers
    resumes        what earlier runs made is continued
    writes_videos  annotated videos are written
    annotator        None where nobody wants annotated frames
    sinks          that come before the annotated video; views: those that come after it
    """

    options: VideoOptions
    sampling: FrameSampling
    follows: bool
    resumes: bool
    writes_videos: bool
    annotator: FrameAnnotator | None
    folder: OutputDirectory | None
    executor: Executor
    thresholds: Thresholds
    sinks: Sequence[Sink]
    views: Sequence[Sink]
    session: RunSession

    def previous(
        self, checkpoints: VideoCheckpoints | None, task: VideoTask, metadata: Mapping[str, Any]
    ) -> PreviousVideo | None:
        """What is done of a video and still there; None: nothing. UsageError where the earlier run was another one."""
        if checkpoints is None or task.target is None or not self.resumes:
            return None
        previous = checkpoints.previous(self.output_path_of(task))
        if previous is None or self.folder is None:
            return None
        check_same(PreviousRun(previous.run_metadata, {}), metadata, self.folder.directory)
        if previous.is_complete and (not self.writes_videos or task.target.is_file()):
            return previous
        parts = task.target.with_name(f"{task.target.name}.parts")
        there = [not self.writes_videos or _is_there(parts, checkpoint.part) for checkpoint in previous.checkpoints]
        previous.keep(there.index(False) if False in there else len(there))
        return previous if previous.checkpoints else None

    def output_path_of(self, task: VideoTask) -> str:
        """What the journal calls a video."""
        assert self.folder is not None
        assert task.target is not None
        return task.target.relative_to(self.folder.directory).as_posix()


def _is_there(directory: Path, part: Segment | None) -> bool:
    if part is None or Path(part.name).name != part.name:
        return False
    try:
        return (directory / part.name).stat().st_size == part.size
    except OSError:
        return False
