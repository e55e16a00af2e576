"""One video from its file to its outputs, stretch by stretch: what is done stays, and --resume goes on there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.inputs.video.base import Point, VideoInfo
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.jobs.state.summary import Totals
from mrcnn_cv.jobs.state.video_journal import Journal, PastVideo, Stretch
from mrcnn_cv.jobs.video_state import Shared, VideoTask, VideoWork
from mrcnn_cv.outputs.storage.locks import alone_at
from mrcnn_cv.outputs.video.concat import Sound
from mrcnn_cv.outputs.video.writer import PaintedVideo, PartClock
from mrcnn_cv.pipeline import Done, Listener, run
from mrcnn_cv.pipeline.prefetch import Ahead
from mrcnn_cv.structures.frame import Frame, Unreadable
from mrcnn_cv.tracking import Tracker

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import MovingSource
    from mrcnn_cv.pipeline.runner import Follow
    from mrcnn_cv.structures.instances import Instances

_USUAL_STEP = 1 / 25


def work_on(work: VideoWork, task: VideoTask, head: Mapping[str, Any]) -> bool:
    """Make what is wanted of one video; whether all went well. head: what the journal says about the run.

    UsageError where another run is at it, or its earlier run was another one; OutputError or BackendError ends all.
    """
    with nullcontext() if task.target is None else alone_at(task.target):
        journal = None if work.folder is None else Journal(work.folder.directory)
        past = work.past(journal, task, head)
        if past is not None and past.is_complete:
            work.report.note(f"note: {task.name} was done before")
            return True
        last = past.stretches[-1].last if past is not None else None
        try:
            source = open_video(task.path, task.place, work.choice, last)
        except InputError as error:
            work.report.refused(error)
            return False
        with source:
            return _Run(work, task, source, journal, past, head).do()


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
        self.totals = Totals(pictures=work.choice.expected(source.info))
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

    def do(self) -> bool:
        """Work; whether all went well."""
        work, report = self.work, self.work.report
        report.begin(self.task.name, self.source.info, self.totals)
        if self.journal is not None:
            self.journal.begin(self.work.place_of(self.task), self.head, len(self.past))
        listeners: list[Listener] = [self.totals, self, work.limit, report]
        painters = [] if work.painter is None else [work.painter]
        videos = [] if self.video is None else [Shared(self.video)]
        with ExitStack() as stack:
            if self.video is not None:
                stack.enter_context(self.video)
            ahead = stack.enter_context(Ahead(self.source))
            sinks = [*painters, *work.sinks, *videos, *work.views]
            try:
                run(work.crew, self._taken(ahead), sinks, work.thresholds, listeners, work.stop, self._follow())
            except OutputError:
                raise
            except BaseException:
                self._end_stretch()
                raise
            self._end_stretch()
        is_complete = self._is_read and self._given == self.totals.done_count + self.totals.failed_count
        self._finish(is_complete)
        # Somebody closed the window, or nobody reads the records any more.
        work.stop.requested = work.stop.requested or not is_complete
        return not self.totals.failed_count

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
            self.work.report.note(f"warning: {warning}")
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

    def _finish(self, is_complete: bool) -> None:
        """Join what there is, say what became of it."""
        where = None
        for warning in self.source.warnings[self._warned :]:
            self.work.report.note(f"warning: {warning}")
        damaged = self._damaged_before + self.source.damaged
        if damaged:
            frames = "1 frame is" if damaged == 1 else f"{damaged:,} frames are"
            self.work.report.note(f"warning: {self.task.name}: {frames} damaged and left out")
        if self.video is not None and self.video.parts:
            for note in self.video.join(self._sound(is_complete), self._step()):
                self.work.report.note(f"warning: {note}")
            where = str(self.video.path)
        if self.journal is not None:
            self.journal.end(self.work.place_of(self.task), is_complete)
        if is_complete and self.video is not None:
            self.video.discard()
        self.work.report.finish(where)

    def _taken(self, ahead: Ahead[Frame | Unreadable | None]) -> Iterator[Frame | Unreadable | None]:
        for item in ahead:
            self._given += item is not None
            yield item
        self._is_read = True

    def _painted(self, last: Stretch | None) -> PaintedVideo | None:
        work = self.work
        if work.folder is None or self.task.target is None or work.painter is None or not work.paints:
            return None
        origin = 0.0 if not work.choice.start else None if last is None else last.origin
        return PaintedVideo(
            work.folder,
            self.task.target,
            self.source.info,
            work.painter.painted,
            codec=work.options["codec"],
            crf=work.options["crf"],
            parts=[stretch.part for stretch in self.past if stretch.part is not None],
            origin=origin,
        )

    def _follow(self) -> Follow | None:
        """What gives the instances their numbers; None where nobody asked for them."""
        options = self.work.options
        if not (options["track"] or options["trail"] or options["counts"]):
            return None
        tracker, first = Tracker(), self._first_id

        def follow(frame: Frame, found: Instances) -> Instances:
            followed = tracker.update(found, frame.time)
            if first and followed.track_ids is not None:
                # Behind the numbers of the run that is resumed.
                followed.track_ids[followed.track_ids > 0] += first
            return followed

        return follow

    def _step(self) -> float:
        """How long the last frame is shown."""
        info: VideoInfo = self.source.info
        step = self.work.choice.stride / info.frame_rate if info.frame_rate else _USUAL_STEP
        return step if self.work.choice.max_fps is None else max(step, 1 / self.work.choice.max_fps)

    def _sound(self, is_complete: bool) -> Sound | None:
        """The part of the source's sound that goes with what was painted."""
        if not self.source.info.has_audio or self.video is None or self._point is None:
            return None
        to_its_end = is_complete and self.work.choice.end is None and self.work.choice.max_frames is None
        end = None if to_its_end else self._point.time + self._step()
        return Sound(self.task.path, self.video.origin or 0.0, end)
