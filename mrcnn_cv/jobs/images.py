"""Find instances in images: single ones, or batches of thousands that can be resumed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.errors import OutputConflict, UsageError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import ImageRef, Listing
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.images.sorting import PathFilter
from mrcnn_cv.inputs.images.watch import Watch
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.jobs.events import JobObserver
from mrcnn_cv.jobs.options import (
    DetectionOptions,
    ImageSelection,
    ModelOptions,
    OutputOptions,
    PathLike,
    RunOptions,
    as_model_options,
    as_sources,
    result_options,
)
from mrcnn_cv.jobs.outputs import FRAMES, Outputs
from mrcnn_cv.jobs.session import RunSession, executor_for, thresholds_for
from mrcnn_cv.jobs.state.batch_state import RunState
from mrcnn_cv.jobs.state.run_metadata import run_metadata
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.outputs.storage.ownership import OwnershipLog
from mrcnn_cv.pipeline import CancellationToken, run
from mrcnn_cv.util.arguments import typed


@dataclass(frozen=True)
class ImagesPlan:
    """What `annotate_images` would do.

    Attributes
    ----------
    images
        How many there are in all.
    remaining
        (name, path below the output directory) of those that are not done yet.
    skipped
        How many other files the sources hold, and links that cannot be followed.
    outputs
        Where results would go.
    """

    images: int
    remaining: tuple[tuple[str, str], ...]
    skipped: int
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class ImagesResult:
    """What a run over images came to.

    Attributes
    ----------
    statistics
        Counts of images and instances, and why images failed.
    outputs
        Where results are.
    exit_code
        0: all done, 5: images failed, 6: outputs of images have no place, or that of the cancellation.
    failure_limit_reached
        More images failed than may.
    is_cancelled
        Somebody ended it.
    can_resume
        It keeps state by which it can be continued.
    """

    statistics: RunStatistics
    outputs: tuple[str, ...]
    exit_code: int
    failure_limit_reached: bool = False
    is_cancelled: bool = False
    can_resume: bool = False


@typed
def annotate_images(
    sources: PathLike | Sequence[PathLike],
    model: PathLike | ModelOptions,
    *,
    selection: ImageSelection = ImageSelection(),
    detection: DetectionOptions = DetectionOptions(),
    output: OutputOptions = OutputOptions(),
    run: RunOptions = RunOptions(),
    style: Style = Style(),
    observer: JobObserver | None = None,
    cancellation: CancellationToken | None = None,
) -> ImagesResult:
    """Find instances in images and write what was found.

    Parameters
    ----------
    sources
        Image files, folders, patterns, archives, http(s) addresses; "-" is standard input.
    model
        A model file or its folder, or a ModelOptions.
    selection, detection, output, run, style
        What to take, keep and write, and how.
    observer
        Told what happens, in the calling thread.
    cancellation
        Its `cancel` ends the run after the images in work, from any thread.

    Returns
    -------
    ImagesResult
        Counts, and where the results are. An image that fails does not end the run.

    Raises
    ------
    MrcnnCvError
        UsageError for options that do not fit, ModelFileError, LabelFileError, BackendError for a model that does not
        run, OutputError where results cannot be written, InputError where no source can be read.
    """
    job = _ImagesJob(as_sources(sources), as_model_options(model), selection, detection, output, run, style)
    with RunSession(observer, cancellation, run.max_failures) as session:
        return job.run(session)


@typed
def plan_images(
    sources: PathLike | Sequence[PathLike],
    model: PathLike | ModelOptions,
    *,
    selection: ImageSelection = ImageSelection(),
    output: OutputOptions = OutputOptions(),
    run: RunOptions = RunOptions(),
) -> ImagesPlan:
    """What `annotate_images` would do with the same arguments.

    Parameters
    ----------
    sources, model, selection, output, run
        As `annotate_images` takes them.

    Returns
    -------
    ImagesPlan
        Which images are left to do.

    Raises
    ------
    MrcnnCvError
        What `annotate_images` would raise before a model is loaded.
    """
    job = _ImagesJob(as_sources(sources), as_model_options(model), selection, DetectionOptions(), output, run, Style())
    return job.plan()


@dataclass
class _ImagesJob:
    """One run over images. What can be wrong with its sources and outputs is found when it is made."""

    sources: Sequence[str]
    model: ModelOptions
    selection: ImageSelection
    detection: DetectionOptions
    output: OutputOptions
    options: RunOptions
    style: Style
    listing: Listing = field(init=False)
    outputs: Outputs = field(init=False)
    find: Callable[[], Listing] = field(init=False)

    def __post_init__(self) -> None:
        if FRAMES in self.output.formats:
            raise UsageError(f"the format {FRAMES} is for videos: leave it out for images")
        lists = [Path(name) for name in self.selection.lists]
        self.find = partial(list_images, self.sources, self._search(), lists)
        self.listing = self.find()
        self.outputs = Outputs(self.output, self.style, self.options, self.listing.items, [*self.model.files, *lists])

    @property
    def is_batch(self) -> bool:
        return bool(self.listing.is_batch or self.options.resume or self.selection.watch)

    def plan(self) -> ImagesPlan:
        items = self.listing.items
        return ImagesPlan(
            images=len(items),
            remaining=tuple(
                (item.name, str(item.output_path)) for item in self._state().to_do(items, self.outputs.holds)
            ),
            skipped=self.listing.left_out + len(self.listing.unfollowed),
            outputs=tuple(self.outputs.places),
        )

    def run(self, session: RunSession) -> ImagesResult:
        model = session.load(self.model)
        folder = self.outputs.state_folder
        if folder is not None and self.is_batch:
            session.lock(folder.directory, resume=self.options.resume, overwrite=folder.overwrite)
        state = self._state()
        indexes = {str(item.output_path): index for index, item in enumerate(self.listing.items)}
        sinks = self.outputs.sinks(model, indexes)
        items = state.to_do(self.listing.items, self.outputs.holds)
        self.outputs.begin_with(items, self.listing.items, keep=state.previous is not None)
        state.statistics.unfollowed = self.listing.unfollowed
        source: Iterable[ImageRef | None] = items
        session.observer.images_started(state.statistics, self.outputs.places, self.is_batch)
        thresholds = thresholds_for(model, self.detection)
        if self.selection.watch:
            state.statistics.images = None
            source = Watch(lambda: self._new(state), lambda: session.cancellation.requested)
        count = None if self.selection.watch else len(items)
        executor = executor_for(model, self.model, self.options.workers, count)
        state.open(self._metadata(model))
        with session.running(state, lambda: self.outputs.places):
            observers = [*state.observers, session.limit, session.observer]
            others = self.is_batch or len(items) > 1
            result = run(executor, source, sinks, thresholds, observers, session.cancellation, skip_conflicts=others)
            code = session.finish(result.failed, OutputConflict.exit_code if result.conflicts else 0)
        return ImagesResult(
            statistics=state.statistics,
            outputs=tuple(self.outputs.places),
            exit_code=code,
            failure_limit_reached=session.limit.is_reached,
            is_cancelled=session.is_cancelled,
            can_resume=state.is_kept,
        )

    def _state(self) -> RunState:
        return RunState(self.outputs.state_folder if self.is_batch else None, self.options.resume)

    def _metadata(self, model: MaskRCNN) -> Mapping[str, object]:
        options = result_options(self.model, self.detection, self.selection, self.output, self.style)
        sources = [*self.sources, *(f"--list {name}" for name in self.selection.lists)]
        return run_metadata(sources, model, self.model.backend, options)

    def _new(self, state: RunState) -> list[ImageRef]:
        """The images of a directory that is watched, without those that an earlier run did."""
        return [item for item in self.find().items if not state.is_done(item, self.outputs.holds)]

    def _search(self) -> DirectoryScan:
        """How folders are searched: not where this run writes to, nor for files that an earlier run wrote."""
        directory = Path(self.output.directory)
        skip: frozenset[tuple[int, int]] = frozenset()
        # The output directory may be that of the images, whose outputs are then told one by one.
        given = {os.path.abspath(source) for source in self.sources}
        if os.path.isdir(directory) and os.path.abspath(directory) not in given:
            status = directory.stat()
            skip = frozenset({(status.st_dev, status.st_ino)})
        path_filter = PathFilter(self.selection.include_files, self.selection.exclude_files)
        return DirectoryScan(path_filter, recursive=self.selection.recursive, skip=skip, outputs=_written_by_us)


def _written_by_us(folder: Path) -> Callable[[Path], bool] | None:
    """What tells the files of a folder that an earlier run wrote; None where there is no record of any."""
    record = OwnershipLog(folder)
    return record.wrote if record.exists() else None
