"""One video from its file to its outputs, stretch by stretch: what is done stays, and --resume goes on there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.inputs.video.base import Point, VideoInfo
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.jobs.events import Severity
from mrcnn_cv.jobs.state.summary import Totals
from mrcnn_cv.jobs.state.video_journal import Journal, PastVideo, Stretch
from mrcnn_cv.jobs.tracking import track_with
from mrcnn_cv.jobs.video_state import Shared, VideoResult, VideoTask, VideoWork
from mrcnn_cv.outputs.storage.locks import alone_at
from mrcnn_cv.outputs.video.concat import Sound
from mrcnn_cv.outputs.video.writer import PaintedVideo, PartClock
from mrcnn_cv.pipeline import Done, Listener, run
from mrcnn_cv.pipeline.prefetch import Ahead
from mrcnn_cv.structures.frame import Frame, Unreadable

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import MovingSource

_USUAL_STEP = 1 / 25


def annotate_one(work: VideoWork, task: VideoTask, head: Mapping[str, Any]) -> VideoResult:
    """Make what is wanted of one video. head: what the journal says about the run.

    UsageError where another run is at it, or its earlier run was another one; OutputError or BackendError ends all.
    """
    observer = work.session.observer
    with nullcontext() if task.target is None else alone_at(task.target):
        journal = None if work.folder is None else Journal(work.folder.directory)
        past = work.past(journal, task, head)
        if past is not None and past.is_complete:
            observer.message(Severity.NOTE, f"{task.name} was done before")
            return VideoResult(task.name, task.target if work.writes_videos else None, None)
        last = past.stretches[-1].last if past is not None else None
        try:
            source = open_video(task.path, task.place, work.sampling, last)
        except InputError as error:
            observer.message(Severity.ERROR, str(error))
            return VideoResult(task.name, None, None, str(error))
        with source:
            return _Run(work, task, source, journal, past, head).run()


class _Run(Listener):
    """One video of VideoWork: its sinks, its books. Listens, to end stretches when it is time."""

    def __init__(
        self,
        work: VideoWork,
        task: VideoTask,
        source: MovingSource,
        journal: Journal | None,
        past: PastVideo | None,
        head: Mapping[str, Any],
    ) -> None:
        self.work, self.task, self.source, self.journal, self.head = work, task, source, journal, head
        self.past = [] if past is None else past.stretches
        last = self.past[-1] if self.past else None
        self.totals = Totals(pictures=work.sampling.expected(source.info))
        for stretch in self.past:
            self.totals.instances.update(stretch.instances)
        if last is not None:
            self.totals.kept = last.last.taken
        self._damaged_before = 0 if last is None else last.damaged
        self._failed = 0 if last is None else last.failed
        self._first_id = self._last_id = 0 if last is None else last.last_id
        self._point = None if last is None else last.last
        self._instances: Counter[str] = Counter()
        self._is_open = False
        self._clock = PartClock()
        self._is_read = False
        self._given = 0
        self._warned = 0
        self.video = self._painted(last)

    def run(self) -> VideoResult:
        """Take the frames, and finish the video."""
        work, session = self.work, self.work.session
        session.observer.video_started(self.task.name, self.source.info, self.totals)
        if self.journal is not None:
            self.journal.begin(self.work.place_of(self.task), self.head, len(self.past))
        listeners: list[Listener] = [self.totals, self, session.limit, session.observer]
        painters = [] if work.painter is None else [work.painter]
        videos = [] if self.video is None else [Shared(self.video)]
        with ExitStack() as stack:
            if self.video is not None:
                stack.enter_context(self.video)
            ahead = stack.enter_context(Ahead(self.source))
            sinks = [*painters, *work.sinks, *videos, *work.views]
            try:
                run(
                    work.executor,
                    self._taken(ahead),
                    sinks,
                    work.thresholds,
                    listeners,
                    session.cancellation,
                    track_with(self._first_id) if work.follows else None,
                )
            except OutputError:
                raise
            except BaseException:
                self._end_stretch()
                raise
            self._end_stretch()
        is_complete = self._is_read and self._given == self.totals.done_count + self.totals.failed_count
        path = self._finish(is_complete)
        # Somebody closed the window, or nobody reads the records any more.
        session.cancellation.requested = session.cancellation.requested or not is_complete
        return VideoResult(self.task.name, path, self.totals)

    def done(self, done: Done) -> None:
        assert done.frame.time is not None
        self._instances.update(done.found.counts())
        self._see(done.frame.index, done.frame.time)
        if done.found.track_ids is not None:
            self._last_id = max(self._last_id, int(done.found.track_ids.max(initial=0)))

    def failed(self, failed: Unreadable) -> None:
        self._failed += 1

    def _see(self, index: int, time: float) -> None:
        taken = 0 if self._point is None else self._point.taken
        self._point = Point(index, time, taken + 1)
        self._is_open = True
        self._clock.saw(time)
        if self._clock.is_due:
            self._end_stretch()
        for warning in self.source.warnings[self._warned :]:
            self._warn(warning)
        self._warned = len(self.source.warnings)

    def _end_stretch(self) -> None:
        """What was done since the last stretch stays from now on."""
        if not self._is_open or self._point is None:
            return
        part = None if self.video is None else self.video.end_part()
        origin = None if self.video is None else self.video.origin
        damaged = self._damaged_before + self.source.damaged
        stretch = Stretch(self._point, dict(self._instances), damaged, self._failed, self._last_id, origin, part)
        if self.journal is not None:
            self.journal.add(self.work.place_of(self.task), stretch)
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
        if self.video is not None and self.video.parts:
            for note in self.video.join(self._sound(is_complete), self._step()):
                self._warn(note)
            path = self.video.path
        if self.journal is not None:
            self.journal.end(self.work.place_of(self.task), is_complete)
        if is_complete and self.video is not None:
            self.video.discard()
        self.work.session.observer.video_finished(self.task.name, self.totals, path)
        return path

    def _taken(self, ahead: Ahead[Frame | Unreadable | None]) -> Iterator[Frame | Unreadable | None]:
        for item in ahead:
            self._given += item is not None
            yield item
        self._is_read = True

    def _painted(self, last: Stretch | None) -> PaintedVideo | None:
        work = self.work
        if work.folder is None or self.task.target is None or work.painter is None or not work.writes_videos:
            return None
        origin = 0.0 if not work.sampling.start else None if last is None else last.origin
        return PaintedVideo(
            work.folder,
            self.task.target,
            self.source.info,
            work.painter.painted,
            codec=work.options.codec,
            crf=work.options.crf,
            parts=[stretch.part for stretch in self.past if stretch.part is not None],
            origin=origin,
        )

    def _step(self) -> float:
        """How long the last frame is shown."""
        info: VideoInfo = self.source.info
        step = self.work.sampling.stride / info.frame_rate if info.frame_rate else _USUAL_STEP
        return step if self.work.sampling.max_fps is None else max(step, 1 / self.work.sampling.max_fps)

    def _sound(self, is_complete: bool) -> Sound | None:
        """The part of the source's sound that goes with what was painted."""
        if not self.source.info.has_audio or self.video is None or self._point is None:
            return None
        to_its_end = is_complete and self.work.sampling.end is None and self.work.sampling.max_frames is None
        end = None if to_its_end else self._point.time + self._step()
        return Sound(self.task.path, self.video.origin or 0.0, end)
