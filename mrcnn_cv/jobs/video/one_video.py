"""One video from its file to its outputs, checkpoint by checkpoint: what is done stays, and --resume goes on there."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import and_
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.inputs.video.base import StreamPosition
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.jobs.events import Severity
from mrcnn_cv.jobs.options import VideoOptions
from mrcnn_cv.jobs.session import RunSession, tracker_for
from mrcnn_cv.jobs.state.run_metadata import check_same
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.jobs.state.video_checkpoints import Checkpoint, PreviousVideo, VideoCheckpoints
from mrcnn_cv.outputs.base import Sink
from mrcnn_cv.outputs.storage.locks import lock_output
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.video.concat import Sound
from mrcnn_cv.outputs.video.writer import Segment, SegmentClock, VideoWriter
from mrcnn_cv.pipeline import FrameResult, RunObserver, Thresholds, run
from mrcnn_cv.pipeline.executor import Executor
from mrcnn_cv.pipeline.prefetch import Prefetcher
from mrcnn_cv.structures.frame import Frame, FrameError

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import VideoSource
    from mrcnn_cv.outputs.formats.json_stream import JsonLinesFile
    from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
    from mrcnn_cv.structures.instances import Instances

_USUAL_STEP = 1 / 25


@dataclass(frozen=True)
class VideoTask:
    """path: of the video. output_path: of its frames' own outputs. target: of the annotated video; None: nothing is
    saved."""

    path: Path
    output_path: PurePosixPath
    target: Path | None

    @property
    def name(self) -> str:
        """What the user calls it."""
        return str(self.path)

    @property
    def segments(self) -> Path | None:
        """The folder of the segments that the annotated video is made of."""
        return None if self.target is None else self.target.with_name(f"{self.target.name}.parts")


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


@dataclass(frozen=True)
class VideoWork:
    """What the videos of one run have in common.

    resumes        what earlier runs made is continued
    writes_videos  annotated videos are written
    annotator      None where nobody wants annotated frames
    state_folder   where checkpoints are kept; None: nowhere
    lines, datasets  the files for all frames, where there are any
    sinks          that come before the annotated video; views: those that come after it
    """

    options: VideoOptions
    style: Style
    resumes: bool
    writes_videos: bool
    annotator: FrameAnnotator | None
    folder: OutputDirectory | None
    state_folder: OutputDirectory | None
    lines: JsonLinesFile | None
    datasets: DatasetFiles | None
    executor: Executor
    thresholds: Thresholds
    sinks: Sequence[Sink]
    views: Sequence[Sink]
    session: RunSession


def annotate_one(work: VideoWork, task: VideoTask, metadata: Mapping[str, Any]) -> VideoResult:
    """Make what is wanted of one video. metadata: what the checkpoints say about the run.

    UsageError where another run is at it, or its earlier run was another one; OutputError or BackendError ends all.
    """
    observer = work.session.observer
    checkpoints, previous = None, None
    with ExitStack() as stack:
        if task.target is not None:
            stack.enter_context(lock_output(task.target))
        if work.state_folder is not None:
            directory = work.state_folder.directory
            known_as = task.name if task.target is None else task.target.relative_to(directory).as_posix()
            checkpoints = VideoCheckpoints(directory, known_as, work.state_folder.durable)
            if work.resumes and (previous := checkpoints.previous()) is not None:
                check_same(previous.metadata, metadata, directory)
                previous = _still_there(previous, task, work)
        if previous is not None and previous.is_complete:
            observer.message(Severity.NOTE, f"{task.name} was done before")
            return VideoResult(task.name, task.target if work.writes_videos else None, None)
        done = [] if previous is None else previous.checkpoints
        if work.lines is not None:
            # Frames behind the last checkpoint are done again.
            last = done[-1].last.index if done else -1
            work.lines.drop(lambda line: line.source == task.name and line.frame > last)
        try:
            source = open_video(task.path, task.output_path, work.options.sampling, done[-1].last if done else None)
        except InputError as error:
            observer.error(error)
            return VideoResult(task.name, None, None, str(error))
        with source:
            return _VideoRun(work, task, source, checkpoints, done).run(metadata)


def _still_there(previous: PreviousVideo, task: VideoTask, work: VideoWork) -> PreviousVideo:
    """What earlier runs made of a video, without what is not there any more."""
    frames = _recorded_frames(task, work)
    there = [
        all(bisect_right(each, checkpoint.last.index) >= checkpoint.last.taken for each in frames)
        for checkpoint in previous.checkpoints
    ]
    if (
        previous.is_complete
        and all(there)
        and (not work.writes_videos or (task.target and os.path.isfile(task.target)))
    ):
        return previous
    if work.writes_videos:
        parts = [_is_there(task.segments, checkpoint.part) for checkpoint in previous.checkpoints]
        there = [*map(and_, there, parts)]
    kept = [*there, False].index(False)
    is_complete = previous.is_complete and not work.writes_videos and kept == len(there)
    return PreviousVideo(previous.metadata, previous.checkpoints[:kept], is_complete)


def _recorded_frames(task: VideoTask, work: VideoWork) -> list[list[int]]:
    """For each file for all frames, the frames of this video that it has, in order."""
    found = []
    if work.lines is not None:
        found.append(sorted(line.frame for line in work.lines.lines if line.source == task.name))
    if work.datasets is not None:
        found.append(sorted(work.datasets.frames_of(task.output_path)))
    return found


def _is_there(directory: Path | None, part: Segment | None) -> bool:
    if directory is None or part is None or Path(part.name).name != part.name:
        return False
    try:
        return (directory / part.name).stat().st_size == part.size
    except OSError:
        return False


class _VideoRun(RunObserver):
    """One video: its sinks and its state. It observes the run, to end checkpoints when it is time.

    done  the checkpoints of earlier runs, behind which the source begins
    """

    def __init__(
        self,
        work: VideoWork,
        task: VideoTask,
        source: VideoSource,
        checkpoints: VideoCheckpoints | None,
        done: Sequence[Checkpoint],
    ) -> None:
        self._work, self._task, self._source, self._checkpoints, self._done = work, task, source, checkpoints, done
        self._sampling = work.options.sampling
        self._statistics = RunStatistics(images=self._sampling.expected(source.info))
        for checkpoint in done:
            self._statistics.instances.update(checkpoint.instances)
        start = done[-1] if done else Checkpoint(StreamPosition(0, 0.0, 0), {})
        self._statistics.kept = start.last.taken
        self._damaged_before, self._failed = start.damaged, start.failed
        self._first_id = self._last_id = start.last_id
        self._position = start.last
        self._instances: Counter[str] = Counter()
        self._is_open = False
        self._clock = SegmentClock()
        self._is_read = False
        self._given = 0
        self._warned = 0
        self._video = self._writer(start.origin if self._sampling.start else 0.0)

    def run(self, metadata: Mapping[str, Any]) -> VideoResult:
        """Take the frames, and finish the video."""
        work, session = self._work, self._work.session
        session.observer.video_started(self._task.name, self._source.info, self._statistics)
        if self._checkpoints is not None:
            self._checkpoints.begin(metadata, len(self._done))
        observers: list[RunObserver] = [self._statistics, self, session.limit, session.observer]
        annotators = [] if work.annotator is None else [work.annotator]
        track = tracker_for(work.options, work.style, self._first_id)
        with ExitStack() as stack:
            videos = [] if self._video is None else [NonClosingSink(stack.enter_context(self._video))]
            frames = self._taken(stack.enter_context(Prefetcher(self._source)))
            sinks = [*annotators, *work.sinks, *videos, *work.views]
            try:
                run(work.executor, frames, sinks, work.thresholds, observers, session.cancellation, track)
            except OutputError:
                raise
            except BaseException:
                self._end_checkpoint()
                raise
            self._end_checkpoint()
        statistics = self._statistics
        is_complete = self._is_read and self._given == statistics.done_count + statistics.failed_count
        path = self._finish(is_complete)
        # Somebody closed the window, or nobody reads the records any more.
        session.cancellation.requested = session.cancellation.requested or not is_complete
        return VideoResult(self._task.name, path, statistics)

    def done(self, done: FrameResult) -> None:
        assert done.frame.time is not None
        self._instances.update(done.instances.counts())
        if done.instances.track_ids is not None:
            self._last_id = max(self._last_id, int(done.instances.track_ids.max(initial=0)))
        self._position = StreamPosition(done.frame.index, done.frame.time, self._position.taken + 1)
        self._is_open = True
        self._clock.saw(done.frame.time)
        if self._clock.is_due:
            self._end_checkpoint()
        self._pass_warnings_on()

    def failed(self, failed: FrameError) -> None:
        self._failed += 1

    def _end_checkpoint(self) -> None:
        """What was done since the last checkpoint stays from now on."""
        if not self._is_open:
            return
        part = None if self._video is None else self._video.end_segment()
        origin = None if self._video is None else self._video.origin
        if self._checkpoints is not None:
            instances = dict(self._instances)
            self._checkpoints.add(
                Checkpoint(self._position, instances, self._damaged, self._failed, self._last_id, origin, part)
            )
        self._instances, self._is_open = Counter(), False
        self._clock.reset()

    @property
    def _damaged(self) -> int:
        return self._damaged_before + self._source.damaged

    def _warn(self, text: str) -> None:
        self._work.session.observer.message(Severity.WARNING, text)

    def _pass_warnings_on(self) -> None:
        for warning in self._source.warnings[self._warned :]:
            self._warn(warning)
        self._warned = len(self._source.warnings)

    def _finish(self, is_complete: bool) -> Path | None:
        """Join what there is; the annotated video, if any."""
        path = None
        self._pass_warnings_on()
        if self._damaged:
            frames = "1 frame is" if self._damaged == 1 else f"{self._damaged:,} frames are"
            self._warn(f"{self._task.name}: {frames} damaged and skipped")
        if self._video is not None and self._video.segments:
            for problem in self._video.concat(self._sound(self._video, is_complete), self._step()):
                # Something is missing from the result, which also those hear who want to hear nothing else.
                self._work.session.observer.message(Severity.ERROR, problem)
            path = self._video.path
        if self._checkpoints is not None:
            self._checkpoints.end(is_complete)
        if is_complete and self._video is not None:
            self._video.discard()
        self._work.session.observer.video_finished(self._task.name, self._statistics, path)
        return path

    def _taken(self, ahead: Prefetcher[Frame | FrameError | None]) -> Iterator[Frame | FrameError | None]:
        for item in ahead:
            self._given += item is not None
            yield item
        self._is_read = True

    def _writer(self, origin: float | None) -> VideoWriter | None:
        """Of the annotated video. origin: its time zero, in seconds of the source; None: that of its first frame."""
        work = self._work
        if work.folder is None or self._task.target is None or work.annotator is None or not work.writes_videos:
            return None
        return VideoWriter(
            work.folder,
            self._task.target,
            self._source.info,
            work.annotator.annotated,
            codec=work.options.codec,
            crf=work.options.crf,
            parts=[checkpoint.part for checkpoint in self._done if checkpoint.part is not None],
            origin=origin,
        )

    def _step(self) -> float:
        """How long the last frame is shown."""
        rate = self._source.info.frame_rate
        step = self._sampling.stride / rate if rate else _USUAL_STEP
        return step if self._sampling.max_fps is None else max(step, 1 / self._sampling.max_fps)

    def _sound(self, video: VideoWriter, is_complete: bool) -> Sound | None:
        """The part of the source's sound that goes with what was annotated."""
        if not self._source.info.has_audio:
            return None
        to_its_end = is_complete and self._sampling.end is None and self._sampling.max_frames is None
        return Sound(self._task.path, video.origin or 0.0, None if to_its_end else self._position.time + self._step())
