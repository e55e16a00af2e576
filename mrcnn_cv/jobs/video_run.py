"""One video from its file to its outputs, stretch by stretch: what is done stays, and --resume goes on there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.inputs.video.base import StreamPosition, VideoInfo
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.jobs.state.video_journal import Checkpoint, PreviousVideo, VideoCheckpoints
from mrcnn_cv.jobs.video_state import NonClosingSink, VideoTask, VideoWork
from mrcnn_cv.outputs.storage.locks import lock_output
from mrcnn_cv.outputs.video.concat import Sound
from mrcnn_cv.outputs.video.writer import SegmentClock, VideoWriter
from mrcnn_cv.pipeline import FrameResult, RunObserver, run
from mrcnn_cv.pipeline.prefetch import Prefetcher
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.tracking import Tracker

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import VideoSource
    from mrcnn_cv.pipeline.runner import Track
    from mrcnn_cv.structures.instances import Instances

_USUAL_STEP = 1 / 25


def work_on(work: VideoWork, task: VideoTask, metadata: Mapping[str, Any]) -> bool:
    """Make what is wanted of one video; whether all went well. metadata: what the journal says about the run.

    UsageError where another run is at it, or its earlier run was another one; OutputError or BackendError ends all.
    """
    with nullcontext() if task.target is None else lock_output(task.target):
        journal = None if work.folder is None else VideoCheckpoints(work.folder.directory)
        past = work.past(journal, task, metadata)
        if past is not None and past.is_complete:
            work.report.note(f"note: {task.name} was done before")
            return True
        last = past.checkpoints[-1].last if past is not None else None
        try:
            source = open_video(task.path, task.output_path, work.sampling, last)
        except InputError as error:
            work.report.refused(error)
            return False
        with source:
            return _Run(work, task, source, journal, past, metadata).do()


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
        self.work, self.task, self.source, self.journal, self.run_metadata = work, task, source, checkpoints, metadata
        self.past = [] if previous is None else previous.checkpoints
        last = self.past[-1] if self.past else None
        self.totals = RunStatistics(images=work.sampling.expected(source.info))
        for stretch in self.past:
            self.totals.instances.update(stretch.instances)
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

    def do(self) -> bool:
        """Work; whether all went well."""
        work, report = self.work, self.work.report
        report.begin(self.task.name, self.source.info, self.totals)
        if self.journal is not None:
            self.journal.begin(self.work.output_path_of(self.task), self.run_metadata, len(self.past))
        listeners: list[RunObserver] = [self.totals, self, work.limit, report]
        painters = [] if work.annotator is None else [work.annotator]
        videos = [] if self.video is None else [NonClosingSink(self.video)]
        with ExitStack() as stack:
            if self.video is not None:
                stack.enter_context(self.video)
            ahead = stack.enter_context(Prefetcher(self.source))
            sinks = [*painters, *work.sinks, *videos, *work.views]
            try:
                run(work.executor, self._taken(ahead), sinks, work.thresholds, listeners, work.stop, self._tracker())
            except OutputError:
                raise
            except BaseException:
                self._end_checkpoint()
                raise
            self._end_checkpoint()
        is_complete = self._is_read and self._given == self.totals.done_count + self.totals.failed_count
        self._finish(is_complete)
        # Somebody closed the window, or nobody reads the records any more.
        work.stop.requested = work.stop.requested or not is_complete
        return not self.totals.failed_count

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
            self.work.report.note(f"warning: {warning}")
        self._warned = len(self.source.warnings)

    def _end_checkpoint(self) -> None:
        """What was done since the last stretch stays from now on."""
        if not self._is_open or self._position is None:
            return
        part = None if self.video is None else self.video.end_segment()
        origin = None if self.video is None else self.video.origin
        damaged = self._damaged_before + self.source.damaged
        stretch = Checkpoint(self._position, dict(self._instances), damaged, self._failed, self._last_id, origin, part)
        if self.journal is not None:
            self.journal.add(self.work.output_path_of(self.task), stretch)
        self._instances, self._is_open = Counter(), False
        self._clock.reset()

    def _finish(self, is_complete: bool) -> None:
        """Join what there is, say what became of it."""
        where = None
        for warning in self.source.warnings[self._warned :]:
            self.work.report.note(f"warning: {warning}")
        damaged = self._damaged_before + self.source.damaged
        if damaged:
            frames = "1 frame is" if damaged == 1 else f"{damaged:,} frames are"
            self.work.report.note(f"warning: {self.task.name}: {frames} damaged and left out")
        if self.video is not None and self.video.segments:
            for note in self.video.concat(self._sound(is_complete), self._step()):
                self.work.report.note(f"warning: {note}")
            where = str(self.video.path)
        if self.journal is not None:
            self.journal.end(self.work.output_path_of(self.task), is_complete)
        if is_complete and self.video is not None:
            self.video.discard()
        self.work.report.finish(where)

    def _taken(self, ahead: Prefetcher[Frame | FrameError | None]) -> Iterator[Frame | FrameError | None]:
        for item in ahead:
            self._given += item is not None
            yield item
        self._is_read = True

    def _annotated(self, last: Checkpoint | None) -> VideoWriter | None:
        work = self.work
        if work.folder is None or self.task.target is None or work.annotator is None or not work.annotates:
            return None
        origin = 0.0 if not work.sampling.start else None if last is None else last.origin
        return VideoWriter(
            work.folder,
            self.task.target,
            self.source.info,
            work.annotator.annotated,
            codec=work.options["codec"],
            crf=work.options["crf"],
            parts=[stretch.part for stretch in self.past if stretch.part is not None],
            origin=origin,
        )

    def _tracker(self) -> Track | None:
        """What gives the instances their numbers; None where nobody asked for them."""
        options = self.work.options
        if not (options["track"] or options["trail"] or options["counts"]):
            return None
        tracker, first = Tracker(), self._first_id

        def follow(frame: Frame, instances: Instances) -> Instances:
            followed = tracker.update(instances, frame.time)
            if first and followed.track_ids is not None:
                # Behind the numbers of the run that is resumed.
                followed.track_ids[followed.track_ids > 0] += first
            return followed

        return follow

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
