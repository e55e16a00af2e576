"""What a job tells the terminal: a line per image or a progress bar, messages between, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mrcnn_cv.cli.console.messages import counted, duration, echo_message, with_options
from mrcnn_cv.cli.console.progress import ComparisonProgress, ProgressReporter, RunProgress, StreamProgress
from mrcnn_cv.cli.console.tables import comparison_table, echo_lines, evaluation_table
from mrcnn_cv.cli.signals import Interrupts
from mrcnn_cv.errors import MrcnnCvError
from mrcnn_cv.jobs.events import JobObserver, Severity
from mrcnn_cv.pipeline import CancellationToken

if TYPE_CHECKING:
    from mrcnn_cv.inference.predictor import MaskRCNN
    from mrcnn_cv.inputs.video.base import VideoSource
    from mrcnn_cv.jobs.compare_models import ComparisonResult
    from mrcnn_cv.jobs.evaluate_model import EvaluationResult
    from mrcnn_cv.jobs.state.summary import RunStatistics
    from mrcnn_cv.outputs.viewers.live_view import Meter
    from mrcnn_cv.pipeline import FrameResult
    from mrcnn_cv.structures.frame import Frame, FrameError
    from mrcnn_cv.structures.instances import Instances
    from mrcnn_cv.structures.video_info import VideoInfo

MAX_LABEL_LENGTH = 40
"""Characters of a label in a summary line."""

MAX_FAILURES_SHOWN = 20
MAX_CLASSES_SHOWN = 10


class ConsoleReporter(JobObserver):
    """Of any job. Signals cancel it while it runs.

    is_demo    the model is the demo model, since none was named
    has_table  print the table of an evaluation or comparison
    """

    def __init__(
        self,
        *,
        quiet: bool,
        verbose: bool = False,
        progress: str = "auto",
        is_demo: bool = False,
        has_table: bool = True,
    ) -> None:
        self.cancellation = CancellationToken()
        self._quiet, self._verbose, self._is_demo, self._has_table = quiet, verbose and not quiet, is_demo, has_table
        self._interrupts = Interrupts(self.cancellation)
        self._progress = ProgressReporter(progress, quiet=quiet)
        self._run: RunProgress | StreamProgress | ComparisonProgress | None = None
        self._done = self._failed = 0

    def message(self, severity: Severity, text: str) -> None:
        if severity is Severity.ERROR or not self._quiet:
            self._say(f"mrcnn-cv: {severity.value}: {text}")

    def error(self, error: MrcnnCvError) -> None:
        self.message(Severity.ERROR, with_options(error))

    def model_loaded(self, model: MaskRCNN) -> None:
        """Which it is where nobody named one, and what is odd about it."""
        if self._is_demo:
            self.message(
                Severity.NOTE,
                f"no model is named, so this is the demo model, which finds {', '.join(model.labels.values())} and"
                " nothing else; for everyday objects give --model mask_rcnn_inception_v2_coco (`mrcnn-cv models list`"
                " shows more), or your own graph",
            )
        for warning in model.warnings:
            self.message(Severity.WARNING, warning)
        path, definition = model.path, model.definition
        if definition.mask is None:
            self.message(Severity.NOTE, f"{path} is a {definition.architecture} without a mask branch: boxes only")
        if self._verbose:
            self._say(f"{path}  {definition.architecture}, {definition.class_count} classes")

    def images_started(self, statistics: RunStatistics, outputs: Sequence[str], is_batch: bool) -> None:
        if is_batch:
            self._start(RunProgress(statistics))

    def video_started(self, name: str, info: VideoInfo, statistics: RunStatistics) -> None:
        self._failed = 0
        if self._verbose:
            rate = "" if info.frame_rate is None else f", {info.frame_rate:.4g} frames per second"
            length = "" if info.seconds is None else f", {duration(info.seconds)}"
            self._say(f"{name}  {info.width}x{info.height} {info.codec}{rate}{length}")
        self._start(RunProgress(statistics, name))

    def video_finished(self, name: str, statistics: RunStatistics, path: Path | None) -> None:
        self._progress.close()
        if not self._progress.is_json and not self._quiet:
            self._say(*video_summary(name, statistics, path))

    def stream_started(self, meter: Meter, source: VideoSource) -> None:
        self._start(StreamProgress(meter, source))

    def serving(self, address: str, is_private: bool) -> None:
        who = "" if is_private else " (and for everybody who reaches this machine: there is no password)"
        self._say(f"live view: {address}{who}")

    def comparing(self, done: int, total: int, agreement: float) -> None:
        if self._run is None:
            self._start(ComparisonProgress(total))
        if isinstance(self._run, ComparisonProgress):
            self._run.count, self._run.agreement = done, agreement
        self._progress.update()

    def done(self, done: FrameResult) -> None:
        self._done += 1
        if (self._verbose or self._run is None) and not self._quiet:
            self._say(image_summary(done.frame, done.instances, done.milliseconds))
        if self._verbose:
            steps = ", ".join(f"{step} {value:.0f}" for step, value in done.instances.timings_ms.items())
            self._say(f"  {steps} ms")
        self._progress.update()

    def failed(self, failed: FrameError) -> None:
        self._failed += 1
        run = self._run
        is_video = isinstance(run, RunProgress) and run.video is not None
        if not isinstance(run, RunProgress) or self._failed <= MAX_FAILURES_SHOWN:
            self._say(f"mrcnn-cv: error: {f'frame {failed.index}: ' if is_video else ''}{with_options(failed.error)}")
        elif self._failed == MAX_FAILURES_SHOWN + 1 and not is_video:
            self._say("mrcnn-cv: more failures are not shown here; failures.csv lists them all")
        self._progress.update()

    def evaluated(self, result: EvaluationResult) -> None:
        if self._has_table:
            echo_lines(evaluation_table(result))

    def compared(self, result: ComparisonResult) -> None:
        if self._has_table:
            echo_lines(comparison_table(result))

    def run_started(self) -> None:
        self._interrupts.start()

    def run_ended(self, outputs: Sequence[str]) -> None:
        self._progress.close()
        self._say(*self._closing(f"results in {' and '.join(outputs)}" if outputs else ""))
        self._interrupts.stop()

    def _start(self, run: RunProgress | StreamProgress | ComparisonProgress) -> None:
        self._run = run
        self._progress.start(run)

    def _say(self, *lines: str) -> None:
        self._progress.clear()
        for line in lines:
            echo_message(line)

    def _closing(self, where: str) -> list[str]:
        """The last lines of a loop, also of one that an error or the user ended. where: the results are."""
        run = self._run
        if run is None or isinstance(run, ComparisonProgress):
            return images_summary(self._done, self._failed, where, quiet=self._quiet)
        has_failures = isinstance(run, RunProgress) and run.statistics.failed_count > 0
        if self._progress.is_json or (self._quiet and not has_failures):
            return []
        if isinstance(run, StreamProgress):
            return stream_summary(run, self._done, where)
        return batch_summary(run.statistics, where) if run.video is None else []


def image_summary(frame: Frame, found: Instances, milliseconds: float) -> str:
    """One line about one image: name, size, instances by class, time, and the backend that ran."""
    height, width = found.image_size
    parts = ", ".join(f"{count} {_short(label)}" for label, count in found.counts().items())
    instances = counted(len(found), "instance") + (f" ({parts})" if parts else "")
    used = "" if found.backend is None else f"  {found.backend.used} ({found.backend.device})"
    return f"{frame.name}  {width}x{height}  {instances}  {milliseconds:.0f} ms{used}"


def images_summary(done: int, failed: int, where: str, *, quiet: bool) -> list[str]:
    """What a few images came to."""
    where = where if done else ""
    if failed:
        counts = f"mrcnn-cv: {failed} of {counted(failed + done, 'input')} failed, {done} done"
        return ["; ".join(filter(None, (counts, where)))]
    if not where or quiet:
        return []
    return [f"{done} images done; {where}" if done > 1 else where]


def batch_summary(statistics: RunStatistics, where: str) -> list[str]:
    """What a batch came to, in a few lines."""
    done, kept, failed = statistics.done_count, statistics.kept, statistics.failed_count
    counts = (
        f"{done:,} done",
        f"{kept:,} were done before" if kept else "",
        f"{failed:,} failed (failures.csv says why)" if failed else "",
        f"{skipped:,} skipped (summary.json says why)" if (skipped := len(statistics.unfollowed)) else "",
    )
    shares = _stage_shares(statistics)
    return [
        f"{counted(done + kept + failed, 'image')}: {', '.join(filter(None, counts))}",
        _instance_counts(statistics),
        f"{duration(statistics.seconds)} in all, {statistics.rate:.1f} images per second{shares}",
        *([where] if where and (done or kept) else []),
    ]


def video_summary(name: str, statistics: RunStatistics, path: Path | None) -> list[str]:
    """What became of a video, in two lines."""
    kept, failed = statistics.kept, statistics.failed_count
    new = statistics.done_count + failed
    parts = (
        counted(kept + new, "frame"),
        f"{kept:,} of them done before" if kept else "",
        f"{failed:,} failed" if failed else "",
        f"{duration(statistics.seconds)} in all, {statistics.rate:.1f} frames per second" if new else "",
    )
    return [
        f"{name}  {', '.join(filter(None, parts))}{'' if path is None else f' -> {path}'}",
        f"  {_instance_counts(statistics)}{_stage_shares(statistics)}",
    ]


def stream_summary(stream: StreamProgress, done: int, where: str) -> list[str]:
    """What became of a stream."""
    seconds = stream.seconds
    rate = [f"{done / seconds:.1f} frames/s"] if done and seconds > 0 else []
    counts = [f"{counted(done, 'frame')} in {duration(seconds)}", *rate, *stream.losses()]
    return [", ".join(counts), *([where] if done and where else [])]


def _instance_counts(statistics: RunStatistics) -> str:
    shown = [f"{label} {count:,}" for label, count in statistics.instances.most_common(MAX_CLASSES_SHOWN)]
    shown += ["..."] if len(statistics.instances) > MAX_CLASSES_SHOWN else []
    return f"{statistics.instances.total():,} instances" + (f": {', '.join(shown)}" if shown else "")


def _stage_shares(statistics: RunStatistics) -> str:
    """The stages that took the most time, to be put behind other numbers."""
    spent = sum(statistics.stages.values())
    stages = statistics.stages.most_common(5) if spent else []
    shares = ", ".join(f"{stage} {100 * seconds / spent:.0f} %" for stage, seconds in stages)
    return f"; {shares}" if shares else ""


def _short(label: str) -> str:
    return label if len(label) <= MAX_LABEL_LENGTH else f"{label[:MAX_LABEL_LENGTH]}..."
