"""Compare what two models, or two backends, find: both predict each image in turn."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from mrcnn_cv.drawing.canvas import encode_png
from mrcnn_cv.errors import InputError
from mrcnn_cv.evaluation.agreement import agree
from mrcnn_cv.evaluation.comparison import Comparison, ImageComparison
from mrcnn_cv.evaluation.side_by_side import side_by_side
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import ImageRef, load
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.jobs.events import JobObserver
from mrcnn_cv.jobs.options import ModelOptions, PathLike, as_model_options, as_sources
from mrcnn_cv.jobs.report_file import ReportFile
from mrcnn_cv.jobs.session import RunSession
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline import CancellationToken
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.arguments import check_fields, check_range, typed
from mrcnn_cv.util.filenames import file_name, truncate_name


@dataclass(frozen=True)
class ComparisonOptions:
    """What is compared, and where results go.

    Attributes
    ----------
    score
        Compare instances with a score above this, 0 to 1; None takes each model's own threshold.
    iou
        Boxes of one class are the same instance from this IoU on, 0 to 1.
    limit
        Take the first so many images; None takes all.
    worst
        How many of the images that differ most are drawn side by side.
    directory
        For these drawings.
    report
        A file for all numbers as JSON; "-" is standard output.
    overwrite
        Replace files that no earlier run has written.
    durable
        See to it that all is on the disk before the comparison ends, also if the power fails.
    """

    score: float | None = 0.5
    iou: float = 0.5
    limit: int | None = None
    worst: int = 10
    directory: PathLike = "mrcnn-compare"
    report: PathLike | None = None
    overwrite: bool = False
    durable: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_range("score", self.score, 0, 1)
        check_range("iou", self.iou, 0, 1)
        check_range("limit", self.limit, 1)
        check_range("worst", self.worst, 0)


@dataclass(frozen=True)
class ComparisonResult:
    """What came of a comparison.

    Attributes
    ----------
    comparison
        The numbers, by image.
    options
        What was compared.
    drawn
        How many images are drawn side by side in the directory.
    directory
        Where they are.
    exit_code
        0: all done, 5: images failed, or that of the cancellation.
    """

    comparison: Comparison
    options: ComparisonOptions
    drawn: int
    directory: str
    exit_code: int

    @property
    def agreement(self) -> float:
        """Of all instances that at least one side found, those that both did, 0 to 1."""
        return self.comparison.agreement

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON.

        Returns
        -------
        dict
            docs/eval.md describes it.
        """
        score = "model" if self.options.score is None else self.options.score
        return self.comparison.to_dict(score, self.options.iou)


@typed
def compare(
    first: PathLike | ModelOptions,
    second: PathLike | ModelOptions,
    sources: PathLike | Sequence[PathLike],
    *,
    options: ComparisonOptions = ComparisonOptions(),
    observer: JobObserver | None = None,
    cancellation: CancellationToken | None = None,
) -> ComparisonResult:
    """Compare what two models, or one model on two backends, find in the same images.

    Parameters
    ----------
    first, second
        Model files or their folders, or ModelOptions.
    sources
        Image files, folders, patterns, archives, http(s) addresses.
    options
        What is compared, and where results go.
    observer
        Told what happens, in the calling thread.
    cancellation
        Its `cancel` ends the comparison after the image in work, from any thread.

    Returns
    -------
    ComparisonResult
        How far the two agree.

    Raises
    ------
    InputError
        Where no image can be used.
    MrcnnCvError
        ModelFileError, LabelFileError, BackendError for a model that does not
        run, OutputError where results cannot be written.
    """
    sides = (as_model_options(first), as_model_options(second))
    items = list_images(as_sources(sources), DirectoryScan()).items[: options.limit]
    inputs = [item.path for item in items if item.path is not None]
    protected = [*inputs, *(path for side in sides for path in side.files)]
    overwrite, durable, name = options.overwrite, options.durable, options.report
    folder = OutputDirectory(Path(options.directory), overwrite=overwrite, protected=protected, durable=durable)
    folder.check()
    report = None if name is None else ReportFile(name, overwrite=overwrite, protected=protected, durable=durable)
    with RunSession(observer, cancellation) as session:
        models = (session.load(sides[0]), session.load(sides[1]))
        running = _Running(models, Comparison(_names(models, sides)), options, session)
        with session.running():
            running.take_all(items)
            code = session.finish(running.comparison.failed)
        comparison = running.comparison
        if not comparison.images and not session.is_cancelled:
            raise InputError("none of the images could be used, so there is nothing to compare")
        comparison.backends = [model.backend for model in models] if comparison.images else []
        drawn = running.draw_worst(folder)
        result = ComparisonResult(comparison, options, drawn, os.fspath(options.directory), code)
        session.observer.compared(result)
        if report is not None and comparison.images:
            report.write_json(result.to_dict())
        return result


def _names(models: tuple[MaskRCNN, MaskRCNN], sides: tuple[ModelOptions, ModelOptions]) -> tuple[str, str]:
    """What tells the two apart."""
    first, second = models
    if first.path == second.path:
        return sides[0].backend, sides[1].backend
    if first.path.name == second.path.name:
        return str(first.path), str(second.path)
    return first.path.name, second.path.name


@dataclass(frozen=True)
class _Differing:
    """An image that may be among the worst; its pixels are read once more when it is."""

    item: ImageRef
    both: tuple[Instances, Instances]
    image: ImageComparison


@dataclass
class _Running:
    """Takes the images one by one, so that both sides have the processors to themselves in turn."""

    models: tuple[MaskRCNN, MaskRCNN]
    comparison: Comparison
    options: ComparisonOptions
    session: RunSession
    _worst: list[_Differing] = field(default_factory=list)

    def take_all(self, items: Sequence[ImageRef]) -> None:
        observer = self.session.observer
        for index, item in enumerate(items):
            if self.session.cancellation.requested:
                break
            try:
                self._take(item, index)
            except InputError as error:
                self.comparison.failed += 1
                observer.error(error)
            observer.comparing(index + 1, len(items), self.comparison.agreement)

    def _take(self, item: ImageRef, index: int) -> None:
        frame = _read(item, index)
        first, second = (self._predict(model, frame) for model in self.models)
        agreement = agree(first, second, self.options.iou)
        image = ImageComparison.of(item.name, first, second, agreement, self.options.score)
        self.comparison.images.append(image)
        if any(agreement.disagreement):
            self._worst.append(_Differing(item, (first, second), image))
            # Where images are equally bad, earlier ones stay.
            self._worst.sort(key=lambda each: each.image.agreement.disagreement, reverse=True)
            del self._worst[self.options.worst :]

    def _predict(self, model: MaskRCNN, frame: Frame) -> Instances:
        try:
            return model.predict(frame.image, score_threshold=self.options.score)
        except InputError as error:
            raise InputError(f"{frame.name}: {error}") from error

    def draw_worst(self, folder: OutputDirectory) -> int:
        """Put the worst images into the folder, the worst first, in place of an earlier run's; returns how many."""
        drawn = []
        for rank, each in enumerate(self._worst, start=1):
            frame = _read(each.item, 0)
            title = f"{each.item.output_path}: {each.image.summary()}"
            drawing = side_by_side(frame.image, each.both, each.image.agreement, self.comparison.names, title)
            stem = PurePosixPath(file_name(each.item.output_path.name)).stem
            path = folder.directory / truncate_name(f"{rank:03}-{stem}.png")
            folder.write(path, encode_png(drawing))
            # Of a run that was killed here.
            folder.sweep(path)
            drawn.append(path)
        for path in folder.directory.glob("[0-9][0-9][0-9]-*.png"):
            if path not in drawn:
                folder.discard(path)
        return len(drawn)


def _read(item: ImageRef, index: int) -> Frame:
    frame = load(item, index)
    if isinstance(frame, FrameError):
        raise frame.error
    return frame
