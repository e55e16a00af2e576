"""Find instances in video files, one after the other."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.errors import InputError, UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.inputs.images.glob import glob_files
from mrcnn_cv.inputs.video.base import FrameSampling
from mrcnn_cv.jobs.events import JobObserver
from mrcnn_cv.jobs.options import (
    DetectionOptions,
    ImageSelection,
    ModelOptions,
    OutputOptions,
    PathLike,
    RunOptions,
    VideoOptions,
    as_model_options,
    as_sources,
    result_options,
)
from mrcnn_cv.jobs.outputs import OVERLAY, Outputs
from mrcnn_cv.jobs.session import RunSession, executor_for, thresholds_for
from mrcnn_cv.jobs.state.run_metadata import run_metadata
from mrcnn_cv.jobs.video.one_video import NonClosingSink, VideoResult, VideoTask, VideoWork, annotate_one
from mrcnn_cv.jobs.video.preview import VideoPreview
from mrcnn_cv.outputs.base import Sink
from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.video.codecs import check_codec, encoder_for, suffix_for
from mrcnn_cv.outputs.viewers.live_view import Meter
from mrcnn_cv.outputs.viewers.window import check_display
from mrcnn_cv.pipeline import CancellationToken
from mrcnn_cv.structures.video_info import import_av
from mrcnn_cv.util.arguments import typed

MAX_FRAMES = 1_000_000
"""Of one video, as far as formats with one file for all are concerned: the next one's indexes begin behind them."""


@dataclass(frozen=True)
class VideosPlan:
    """What `annotate_video` would do.

    Attributes
    ----------
    videos
        (name, annotated video) of each; None: none is written.
    outputs
        Where results would go.
    """

    videos: tuple[tuple[str, str | None], ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class VideosResult:
    """What a run over videos came to.

    Attributes
    ----------
    videos
        One for each video that was begun.
    outputs
        Where results are.
    exit_code
        0: all done, 2 or 5: videos could not be used or frames failed, or that of the cancellation.
    failure_limit_reached
        More frames failed than may.
    is_cancelled
        Somebody ended it.
    can_resume
        It keeps state by which it can be continued.
    """

    videos: tuple[VideoResult, ...]
    outputs: tuple[str, ...]
    exit_code: int
    failure_limit_reached: bool = False
    is_cancelled: bool = False
    can_resume: bool = False


@typed
def annotate_video(
    sources: PathLike | Sequence[PathLike],
    model: PathLike | ModelOptions,
    *,
    video: VideoOptions = VideoOptions(),
    detection: DetectionOptions = DetectionOptions(),
    output: OutputOptions = OutputOptions(),
    run: RunOptions = RunOptions(),
    style: Style = Style(),
    observer: JobObserver | None = None,
    cancellation: CancellationToken | None = None,
) -> VideosResult:
    """Find instances in video files and write annotated videos and other formats.

    Parameters
    ----------
    sources
        Video files or patterns.
    model
        A model file or its folder, or a ModelOptions.
    video, detection, output, run, style
        What to take, keep and write, and how.
    observer
        Told what happens, in the calling thread.
    cancellation
        Its `cancel` ends the run after the frames in work, from any thread; what is done of a video stays.

    Returns
    -------
    VideosResult
        One VideoResult for each video. One that cannot be read does not end the run.

    Raises
    ------
    MrcnnCvError
        UsageError for options that do not fit, InputError without PyAV, ModelFileError, LabelFileError, BackendError
        for a model that does not run, OutputError where results cannot be written.
    """
    job = _VideosJob(as_sources(sources), as_model_options(model), video, detection, output, run, style)
    with RunSession(observer, cancellation, run.max_failures) as session:
        return job.run(session)


@typed
def plan_videos(
    sources: PathLike | Sequence[PathLike],
    model: PathLike | ModelOptions,
    *,
    video: VideoOptions = VideoOptions(),
    output: OutputOptions = OutputOptions(),
    run: RunOptions = RunOptions(),
) -> VideosPlan:
    """What `annotate_video` would do with the same arguments.

    Parameters
    ----------
    sources, model, video, output, run
        As `annotate_video` takes them.

    Returns
    -------
    VideosPlan
        Where each video would go.

    Raises
    ------
    MrcnnCvError
        What `annotate_video` would raise before a model is loaded.
    """
    job = _VideosJob(as_sources(sources), as_model_options(model), video, DetectionOptions(), output, run, Style())
    videos = tuple((task.name, None if task.target is None else str(task.target)) for task in job.tasks)
    return VideosPlan(videos, tuple(job.outputs.places))


@dataclass
class _VideosJob:
    """One run over videos. What can be wrong with its outputs is found when it is made."""

    sources: Sequence[str]
    model: ModelOptions
    video: VideoOptions
    detection: DetectionOptions
    output: OutputOptions
    options: RunOptions
    style: Style
    outputs: Outputs = field(init=False)
    tasks: Sequence[VideoTask] = field(init=False)

    def __post_init__(self) -> None:
        import_av()
        if self.output.show:
            check_display()
        if OVERLAY in self.output.formats:
            check_codec(self.video.codec, self.video.crf)
        paths = _paths(self.sources)
        items = [ImageRef(str(path), PurePosixPath(path.name), path) for path in paths]
        # Videos have a window of their own.
        unseen = replace(self.output, show=False)
        self.outputs = Outputs(unseen, self.style, self.options, items, self.model.files)
        self.tasks = [self._task(path) for path in paths]
        self.outputs.check_apart(path for task in self.tasks for path in self._written(task))

    def run(self, session: RunSession) -> VideosResult:
        model = session.load(self.model)
        folder, state_folder = self.outputs.folder, self.outputs.state_folder
        results: list[VideoResult] = []
        with session.running(outputs=lambda: self.outputs.places), ExitStack() as stack:
            # Several runs may write videos into one folder.
            if state_folder is not None and (self.options.resume or folder is None):
                session.lock(state_folder.directory, resume=self.options.resume, overwrite=state_folder.overwrite)
            sinks = [stack.enter_context(each) for each in self.outputs.sinks(model, None, leave_out=(OVERLAY,))]
            self._order_lines()
            work = self._work(model, session, [*map(NonClosingSink, sinks)], stack)
            refused = 0
            for number, task in enumerate(self.tasks):
                if session.cancellation.requested:
                    break
                if self.outputs.datasets is not None:
                    self.outputs.datasets.first_index = number * MAX_FRAMES
                try:
                    results.append(annotate_one(work, task, self._metadata(task, model)))
                except UsageError as error:
                    # The others can be worked on all the same.
                    session.observer.error(error)
                    results.append(VideoResult(task.name, None, None, str(error)))
                    refused = refused or error.exit_code
            code = session.finish(sum(result.has_failed for result in results), refused)
        return VideosResult(
            videos=tuple(results),
            outputs=tuple(self.outputs.places),
            exit_code=code,
            failure_limit_reached=session.limit.is_reached,
            is_cancelled=session.is_cancelled,
            can_resume=state_folder is not None,
        )

    def _work(self, model: MaskRCNN, session: RunSession, sinks: Sequence[Sink], stack: ExitStack) -> VideoWork:
        """What all videos have in common. sinks: besides the annotated video. stack: closes the window."""
        thresholds, meter = thresholds_for(model, self.detection), Meter()
        views: list[Sink] = [meter]
        annotator = None
        if OVERLAY in self.output.formats or self.output.show:
            annotator = FrameAnnotator(self.style, meter.lines if self.video.stats else None)
        if annotator is not None and self.output.show:
            own_threshold = model.definition.detection_nms.score_threshold
            preview = VideoPreview(annotator, thresholds, self.outputs.window_folder, own_threshold)
            views.append(NonClosingSink(stack.enter_context(preview)))
        frames = sum(filter(None, (_count_frames(task.path, self.video.sampling) for task in self.tasks))) or None
        return VideoWork(
            options=self.video,
            style=self.style,
            resumes=self.options.resume,
            writes_videos=OVERLAY in self.output.formats,
            annotator=annotator,
            folder=self.outputs.folder,
            state_folder=self.outputs.state_folder,
            lines=self.outputs.lines,
            datasets=self.outputs.datasets,
            executor=executor_for(model, self.model, self.options.workers, frames),
            thresholds=thresholds,
            sinks=sinks,
            views=views,
            session=session,
        )

    def _order_lines(self) -> None:
        """Records of a run that is resumed are in the order of the videos and their frames in the end."""
        if self.outputs.lines is not None:
            numbers = {task.name: number for number, task in enumerate(self.tasks)}
            self.outputs.lines.order = lambda line: (numbers.get(line.source, len(numbers)), line.frame)

    def _metadata(self, task: VideoTask, model: MaskRCNN) -> Mapping[str, Any]:
        """What the checkpoints say about a run over one video."""
        options = {
            **result_options(self.model, self.detection, ImageSelection(), self.output, self.style),
            **asdict(self.video),
            "trail": self.style.trail,
            "counts": self.style.counts,
        }
        if OVERLAY in self.output.formats:
            # Segments that another encoder wrote cannot be joined.
            options["encoder"] = f"{encoder_for(self.video.codec)}, PyAV {import_av().__version__}"
        metadata = run_metadata([task.name], model, self.model.backend, options)
        metadata["sources"].append(_size(task.path))
        return metadata

    def _task(self, path: Path) -> VideoTask:
        """Where the outputs of one video go."""
        folder = self.outputs.folder
        if folder is None:
            return VideoTask(path, PurePosixPath(path.stem or path.name), None)
        suffix = suffix_for(path.name, self.video.codec)
        target = folder.path_of(path, suffix, stem=suffix is not None)
        stem = folder.path_of(path, "", stem=True)
        if OVERLAY in self.output.formats:
            folder.check_replaceable(target)
        return VideoTask(path, PurePosixPath(stem.relative_to(folder.directory).as_posix()), target)

    def _written(self, task: VideoTask) -> list[Path]:
        """What is written of a video outside of folders of formats: the annotated video, its segments, its frames."""
        frames = None if self.outputs.directory is None else self.outputs.directory / task.output_path
        return [path for path in (task.target, task.segments, frames) if path is not None]


def _paths(sources: Iterable[str]) -> list[Path]:
    """The files that the sources name, each of them once; patterns stand for what they match."""
    paths: dict[str, Path] = {}
    for source in sources:
        is_pattern = glob.has_magic(source) and not os.path.lexists(source)
        for name in (sorted(glob_files(source)) if is_pattern else []) or [source]:
            paths.setdefault(os.path.abspath(name), Path(name))
    return list(paths.values())


def _count_frames(path: Path, sampling: FrameSampling) -> int | None:
    """About how many frames a video has, for the choice of workers; None where it cannot be read."""
    from mrcnn_cv.inputs.video.file import open_video

    try:
        with open_video(path, sampling=sampling) as source:
            return sampling.expected(source.info)
    except InputError:
        return None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
