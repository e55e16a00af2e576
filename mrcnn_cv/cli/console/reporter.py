"""What a job tells the terminal: a line per image or a progress bar, messages between, and what it came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mrcnn_cv.cli.console.messages import duration, echo_message
from mrcnn_cv.cli.console.progress import ComparisonProgress, ProgressReporter, RunProgress, StreamProgress
from mrcnn_cv.cli.console.remedies import with_options
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

    is_demo   the model is the demo model, since none was named
    show_...  prints the table of an evaluation, of a comparison
    """

    def __init__(
        self,
        *,
        quiet: bool,
        verbose: bool = False,
        progress: str = "auto",
        is_demo: bool = False,
        show_evaluation: Callable[[EvaluationResult], None] = lambda result: None,
        show_comparison: Callable[[ComparisonResult], None] = lambda result: None,
    ) -> None:
        self.cancellation = CancellationToken()
        self._quiet, self._verbose, self._is_demo = quiet, verbose, is_demo
        self._show_evaluation, self._show_comparison = show_evaluation, show_comparison
        self._interrupts = Interrupts(self.cancellation)
        self._progress = ProgressReporter(progress, quiet=quiet)
        self._lines_per_image = True
        self._statistics: RunStatistics | None = None
        self._stream: StreamProgress | None = None
        self._comparison: ComparisonProgress | None = None
        self._done = self._failed = 0

    def message(self, severity: Severity, text: str) -> None:
        if severity is Severity.ERROR or not self._quiet:
            self._say(f"mrcnn-cv: {severity.value}: {text}")

    def error(self, error: MrcnnCvError) -> None:
        self.message(Severity.ERROR, with_options(error))

    def model_loaded(self, model: MaskRCNN) -> None:
        """Which it is where nobody named one, and what is odd about it."""
        if self._quiet:
            return
        if self._is_demo:
            self._say(
                "mrcnn-cv: note: no model is named, so this is the demo model, which finds"
                f" {', '.join(model.labels.values())} and nothing else; for everyday objects give --model"
                " mask_rcnn_inception_v2_coco (`mrcnn-cv models list` shows more), or your own graph"
            )
        for warning in model.warnings:
            self.message(Severity.WARNING, warning)
        if model.definition.mask is None:
            self.message(
                Severity.NOTE, f"{model.path} is a {model.definition.architecture} without a mask branch: boxes only"
            )
        if self._verbose:
            self._say(f"{model.path}  {model.definition.architecture}, {model.definition.class_count} classes")

    def images_started(self, statistics: RunStatistics, outputs: Sequence[str], is_batch: bool) -> None:
        self._lines_per_image = not is_batch
        if is_batch:
            self._statistics = statistics
            self._progress.start(RunProgress(statistics))

    def video_started(self, name: str, info: VideoInfo, statistics: RunStatistics) -> None:
        self._lines_per_image = False
        self._failed = 0
        if self._verbose and not self._quiet:
            rate = "" if info.frame_rate is None else f", {info.frame_rate:.4g} frames per second"
            length = "" if info.seconds is None else f", {duration(info.seconds)}"
            self._say(f"{name}  {info.width}x{info.height} {info.codec}{rate}{length}")
        self._progress.start(RunProgress(statistics, name))

    def video_finished(self, name: str, statistics: RunStatistics, path: Path | None) -> None:
        self._progress.close()
        if not self._progress.is_json and not self._quiet:
            for text in video_summary(name, statistics, path):
                self._say(text)

    def stream_started(self, meter: Meter, source: VideoSource) -> None:
        self._lines_per_image = False
        self._stream = StreamProgress(meter, source)
        self._progress.start(self._stream)

    def serving(self, address: str, is_private: bool) -> None:
        who = "" if is_private else " (and for everybody who reaches this machine: there is no password)"
        self._say(f"live view: {address}{who}")

    def comparing(self, done: int, total: int, agreement: float) -> None:
        if self._comparison is None:
            self._comparison = ComparisonProgress(total)
            self._progress.start(self._comparison)
        self._comparison.count, self._comparison.agreement = done, agreement
        self._progress.update()

    def done(self, done: FrameResult) -> None:
        self._done += 1
        if self._verbose or self._lines_per_image:
            self._image_line(done)
        self._progress.update()

    def failed(self, failed: FrameError) -> None:
        self._failed += 1
        if self._lines_per_image or self._stream is not None or self._failed <= MAX_FAILURES_SHOWN:
            is_video = self._statistics is None and not self._lines_per_image and self._stream is None
            self._say(f"mrcnn-cv: error: {f'frame {failed.index}: ' if is_video else ''}{with_options(failed.error)}")
        elif self._failed == MAX_FAILURES_SHOWN + 1 and self._statistics is not None:
            self._say("mrcnn-cv: more failures are not shown here; failures.csv lists them all")
        self._progress.update()

    def evaluated(self, result: EvaluationResult) -> None:
        self._show_evaluation(result)

    def compared(self, result: ComparisonResult) -> None:
        self._show_comparison(result)

    def run_started(self) -> None:
        self._interrupts.start()

    def run_ended(self, outputs: Sequence[str]) -> None:
        self._progress.close()
        for text in self._closing(outputs):
            self._say(text)
        self._interrupts.stop()

    def _say(self, text: str) -> None:
        self._progress.clear()
        echo_message(text)

    def _image_line(self, done: FrameResult) -> None:
        if not self._quiet:
            self._say(image_summary(done.frame, done.instances, done.milliseconds))
        if self._verbose and not self._quiet:
            self._say(
                "  " + ", ".join(f"{step} {value:.0f}" for step, value in done.instances.timings_ms.items()) + " ms"
            )

    def _closing(self, outputs: Sequence[str]) -> list[str]:
        """The last lines of a loop, also of one that an error or the user ended."""
        where = f"results in {' and '.join(outputs)}" if outputs else ""
        if self._statistics is not None:
            is_shown = not self._progress.is_json and (not self._quiet or self._statistics.failed_count)
            return batch_summary(self._statistics, where) if is_shown else []
        if self._stream is not None:
            is_shown = not self._progress.is_json and not self._quiet
            return stream_summary(self._stream, self._done, where) if is_shown else []
        if not self._lines_per_image:
            return []
        return images_summary(self._done, self._failed, where, quiet=self._quiet)


def image_summary(frame: Frame, found: Instances, milliseconds: float) -> str:
    """One line about one image: name, size, instances by class, time, and the backend that ran."""
    height, width = found.image_size
    parts = ", ".join(f"{count} {_short(label)}" for label, count in found.counts().items())
    instances = f"{len(found)} instance{'' if len(found) == 1 else 's'}" + (f" ({parts})" if parts else "")
    used = "" if found.backend is None else f"  {found.backend.used} ({found.backend.device})"
    return f"{frame.name}  {width}x{height}  {instances}  {milliseconds:.0f} ms{used}"


def images_summary(done: int, failed: int, where: str, *, quiet: bool) -> list[str]:
    """What a few images came to. where: the results are."""
    where = where if done else ""
    if failed:
        total = failed + done
        counts = f"mrcnn-cv: {failed} of {total} input{'' if total == 1 else 's'} failed, {done} done"
        return ["; ".join(filter(None, (counts, where)))]
    if not where or quiet:
        return []
    return [f"{done} images done; {where}" if done > 1 else where]


def batch_summary(statistics: RunStatistics, where: str) -> list[str]:
    """What a batch came to, in a few lines."""
    new = statistics.done_count + statistics.failed_count
    counts = [f"{statistics.done_count:,} done"]
    counts += [f"{statistics.kept:,} were done before"] if statistics.kept else []
    counts += [f"{statistics.failed_count:,} failed (failures.csv says why)"] if statistics.failed_count else []
    total = new + statistics.kept
    shares = _stage_shares(statistics)
    lines = [
        f"{total:,} image{'' if total == 1 else 's'}: {', '.join(counts)}",
        _instance_counts(statistics),
        f"{duration(statistics.seconds)} in all, {statistics.rate:.1f} images per second"
        + (f"; {shares}" if shares else ""),
    ]
    return lines + ([where] if where and (statistics.done_count or statistics.kept) else [])


def video_summary(name: str, statistics: RunStatistics, path: Path | None) -> list[str]:
    """What became of a video, in two lines."""
    new = statistics.done_count + statistics.failed_count
    total = statistics.kept + new
    parts = [f"{total:,} frame{'' if total == 1 else 's'}"]
    parts += [f"{statistics.kept:,} of them done before"] if statistics.kept else []
    parts += [f"{statistics.failed_count:,} failed"] if statistics.failed_count else []
    parts += [f"{duration(statistics.seconds)} in all, {statistics.rate:.1f} frames per second"] if new else []
    shares = _stage_shares(statistics)
    return [
        f"{name}  {', '.join(parts)}{'' if path is None else f' -> {path}'}",
        f"  {_instance_counts(statistics)}" + (f"; {shares}" if shares else ""),
    ]


def stream_summary(stream: StreamProgress, done: int, where: str) -> list[str]:
    """What became of a stream."""
    seconds = stream.seconds
    frames = f"{done:,} frame{'' if done == 1 else 's'} in {duration(seconds)}"
    rate = [f"{done / seconds:.1f} frames/s"] if done and seconds > 0 else []
    return [", ".join([frames, *rate, *stream.losses()]), *([where] if done and where else [])]


def _instance_counts(statistics: RunStatistics) -> str:
    maximum = statistics.instances.most_common(MAX_CLASSES_SHOWN)
    shown = [f"{label} {count:,}" for label, count in maximum]
    shown += ["..."] if len(statistics.instances) > MAX_CLASSES_SHOWN else []
    return f"{sum(statistics.instances.values()):,} instances" + (f": {', '.join(shown)}" if shown else "")


def _stage_shares(statistics: RunStatistics) -> str:
    spent = sum(statistics.stages.values())
    maximum = statistics.stages.most_common(5) if spent else []
    return ", ".join(f"{stage} {100 * seconds / spent:.0f} %" for stage, seconds in maximum)


def _short(label: str) -> str:
    return label if len(label) <= MAX_LABEL_LENGTH else f"{label[:MAX_LABEL_LENGTH]}..."
