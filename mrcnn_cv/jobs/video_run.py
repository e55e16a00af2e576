"""One video from its file to its outputs, stretch by stretch: what is done stays, and --resume goes on there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.inputs.video.base import StreamPosition
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.jobs.events import Severity
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.jobs.state.video_journal import Checkpoint, PreviousVideo, VideoCheckpoints
from mrcnn_cv.jobs.tracking import track_with
from mrcnn_cv.jobs.video_state import NonClosingSink, VideoResult, VideoTask, VideoWork
from mrcnn_cv.outputs.storage.locks import lock_output
from mrcnn_cv.outputs.video.concat import Sound
from mrcnn_cv.outputs.video.writer import SegmentClock, VideoWriter
from mrcnn_cv.pipeline import FrameResult, RunObserver, run
from mrcnn_cv.pipeline.prefetch import Prefetcher
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.video_info import VideoInfo

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import VideoSource

_USUAL_STEP = 1 / 25


def annotate_one(work: VideoWork, task: VideoTask, metadata: Mapping[str, Any]) -> VideoResult:
    """Make what is wanted of one video. metadata: what the journal says about the run.

    UsageError where another run is at it, or its earlier run was another one; OutputError or BackendError ends all.
    """
    observer = work.session.observer
    with nullcontext() if task.target is None else lock_output(task.target):
        checkpoints = None if work.folder is None else VideoCheckpoints(work.folder.directory)
        previous = work.previous(checkpoints, task, metadata)
        if previous is not None and previous.is_complete:
            observer.message(Severity.NOTE, f"{task.name} was done before")
            return VideoResult(task.name, task.target if work.writes_videos else None, None)
        last = previous.checkpoints[-1].last if previous is not None else None
        try:
            source = open_video(task.path, task.output_path, work.sampling, last)
        except InputError as error:
            observer.error(error)
            return VideoResult(task.name, None, None, str(error))
        with source:
            return _Run(work, task, source, checkpoints, previous, metadata).run()


class _Run(RunObserver):
    """One video of VideoWork: its sinks, its books. Listens, to end stretches when it is time."""

    def __init__(
        self,
        work: VideoWork,
        task: VideoTask,
        source: VideoSource,
        checkpoints: VideoCheckpoints | None,
        previous: PreviousVideo | None,
        metadata: Mapping[str, Any],
    ) -> None:
        self.work, self.task, self.source, self.checkpoints, self.run_metadata = (
            work,
            task,
            source,
            checkpoints,
            metadata,
        )
        self.previous = [] if previous is None else previous.checkpoints
        last = self.previous[-1] if self.previous else None
        self.totals = RunStatistics(images=work.sampling.expected(source.info))
        for checkpoint in self.previous:
            self.totals.instances.update(checkpoint.instances)
        if last is not None:
            self.totals.kept = last.last.taken
        self._damaged_before = 0 if last is None else last.damaged
        self._failed = 0 if last is None else last.failed
        self._first_id = self._last_id = 0 if last is None else last.last_id
        self._position = None if last is None else last.last
        self._instances: Counter[str] = Counter()
        self._is_open = False
        self._clock = SegmentClock()
        self._is_read = False
        self._given = 0
        self._warned = 0
        self.video = self._annotated(last)

    def run(self) -> VideoResult:
        """Take the frames, and finish the video."""
        work, session = self.work, self.work.session
        session.observer.video_started(self.task.name, self.source.info, self.totals)
        if self.checkpoints is not None:
            self.checkpoints.begin(self.work.output_path_of(self.task), self.run_metadata, len(self.previous))
        observers: list[RunObserver] = [self.totals, self, session.limit, session.observer]
        annotators = [] if work.annotator is None else [work.annotator]
        videos = [] if self.video is None else [NonClosingSink(self.video)]
        with ExitStack() as stack:
            if self.video is not None:
                stack.enter_context(self.video)
            ahead = stack.enter_context(Prefetcher(self.source))
            sinks = [*annotators, *work.sinks, *videos, *work.views]
            try:
                run(
                    work.executor,
                    self._taken(ahead),
                    sinks,
                    work.thresholds,
                    observers,
                    session.cancellation,
                    track_with(self._first_id) if work.follows else None,
                )
            except OutputError:
                raise
            except BaseException:
                self._end_checkpoint()
                raise
            self._end_checkpoint()
        is_complete = self._is_read and self._given == self.totals.done_count + self.totals.failed_count
        path = self._finish(is_complete)
        # Somebody closed the window, or nobody reads the records any more.
        session.cancellation.requested = session.cancellation.requested or not is_complete
        return VideoResult(self.task.name, path, self.totals)

    def done(self, done: FrameResult) -> None:
        assert done.frame.time is not None
        self._instances.update(done.instances.counts())
        self._see(done.frame.index, done.frame.time)
        if done.instances.track_ids is not None:
            self._last_id = max(self._last_id, int(done.instances.track_ids.max(initial=0)))

    def failed(self, failed: FrameError) -> None:
        self._failed += 1

    def _see(self, index: int, time: float) -> None:
        taken = 0 if self._position is None else self._position.taken
        self._position = StreamPosition(index, time, taken + 1)
        self._is_open = True
        self._clock.saw(time)
        if self._clock.is_due:
            self._end_checkpoint()
        for warning in self.source.warnings[self._warned :]:
            self._warn(warning)
        self._warned = len(self.source.warnings)

    def _end_checkpoint(self) -> None:
        """What was done since the last stretch stays from now on."""
        if not self._is_open or self._position is None:
            return
        part = None if self.video is None else self.video.end_segment()
        origin = None if self.video is None else self.video.origin
        damaged = self._damaged_before + self.source.damaged
        checkpoint = Checkpoint(
            self._position, dict(self._instances), damaged, self._failed, self._last_id, origin, part
        )
        if self.checkpoints is not None:
            self.checkpoints.add(self.work.output_path_of(self.task), checkpoint)
        self._instances, self._is_open = Counter(), False
        self._clock.reset()

    def _warn(self, text: str) -> None:
        self.work.session.observer.message(Severity.WARNING, text)

    def _finish(self, is_complete: bool) -> Path | None:
        """Join what there is; the annotated video, if any."""
        path = None
        for warning in self.source.warnings[self._warned :]:
            self._warn(warning)
        damaged = self._damaged_before + self.source.damaged
        if damaged:
            frames = "1 frame is" if damaged == 1 else f"{damaged:,} frames are"
            self._warn(f"{self.task.name}: {frames} damaged and skipped")
        if self.video is not None and self.video.segments:
            for note in self.video.concat(self._sound(is_complete), self._step()):
                self._warn(note)
            path = self.video.path
        if self.checkpoints is not None:
            self.checkpoints.end(self.work.output_path_of(self.task), is_complete)
        if is_complete and self.video is not None:
            self.video.discard()
        self.work.session.observer.video_finished(self.task.name, self.totals, path)
        return path

    def _taken(self, ahead: Prefetcher[Frame | FrameError | None]) -> Iterator[Frame | FrameError | None]:
        for item in ahead:
            self._given += item is not None
            yield item
        self._is_read = True

    def _annotated(self, last: Checkpoint | None) -> VideoWriter | None:
        work = self.work
        if work.folder is None or self.task.target is None or work.annotator is None or not work.writes_videos:
            return None
        origin = 0.0 if not work.sampling.start else None if last is None else last.origin
        return VideoWriter(
            work.folder,
            self.task.target,
            self.source.info,
            work.annotator.annotated,
            codec=work.options.codec,
            crf=work.options.crf,
            parts=[checkpoint.part for checkpoint in self.previous if checkpoint.part is not None],
            origin=origin,
        )

    def _step(self) -> float:
        """How long the last frame is shown."""
        info: VideoInfo = self.source.info
        step = self.work.sampling.stride / info.frame_rate if info.frame_rate else _USUAL_STEP
        return step if self.work.sampling.max_fps is None else max(step, 1 / self.work.sampling.max_fps)

    def _sound(self, is_complete: bool) -> Sound | None:
        """The part of the source's sound that goes with what was painted."""
        if not self.source.info.has_audio or self.video is None or self._position is None:
            return None
        to_its_end = is_complete and self.work.sampling.end is None and self.work.sampling.max_frames is None
        end = None if to_its_end else self._position.time + self._step()
        return Sound(self.task.path, self.video.origin or 0.0, end)
