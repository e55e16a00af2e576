"""Measure a model on a data set in COCO's format: run it over the images, then compute COCO's metrics."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.evaluation.annotations import Dataset, DatasetImage, read_dataset
from mrcnn_cv.evaluation.categories import CategoryMapping, match_categories
from mrcnn_cv.evaluation.confusion import IOU, SCORE, Confusion, confusion
from mrcnn_cv.evaluation.dataset_frames import check_images, deferred_frames, image_refs
from mrcnn_cv.evaluation.results import DatasetResults
from mrcnn_cv.evaluation.scores import CocoEvaluator, Scores, as_json, check_library
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.jobs.events import JobObserver, Severity
from mrcnn_cv.jobs.options import ModelOptions, PathLike, RunOptions, as_model_options
from mrcnn_cv.jobs.report_file import ReportFile, check_different, state_files
from mrcnn_cv.jobs.session import RunSession, executor_for
from mrcnn_cv.jobs.state.batch_state import RunState, check_free
from mrcnn_cv.jobs.state.run_metadata import run_metadata
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline import CancellationToken, Thresholds, run
from mrcnn_cv.util.arguments import check_fields, check_range, typed


@dataclass(frozen=True)
class EvaluationOptions:
    """What is measured, and where results go.

    Attributes
    ----------
    score
        Leave out instances with a score up to this, 0 to 1; None takes the model's own threshold.
    limit
        Take the first so many images of the annotation file; None takes all.
    directory
        For results.json, and for the state by which a run is resumed.
    report, plot
        Files for the metrics as JSON, and for a plot as PNG; a report of "-" is standard output.
    overwrite
        Start anew in a directory that holds a run; replace other files.
    durable
        See to it that all is on the disk before it counts as done, also if the power fails.
    """

    score: float | None = None
    limit: int | None = None
    directory: PathLike = "mrcnn-eval"
    report: PathLike | None = None
    plot: PathLike | None = None
    overwrite: bool = False
    durable: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        check_range("score", self.score, 0, 1)
        check_range("limit", self.limit, 1)


@dataclass(frozen=True)
class EvaluationResult:
    """What came of an evaluation.

    Attributes
    ----------
    metrics
        Of masks, where both model and data set have them, and of boxes; empty where it was cancelled.
    confusion
        Which category was taken for which; None where it was cancelled.
    categories
        How the model's classes were matched with the data set's categories.
    images
        How many were evaluated.
    images_in_file
        How many the annotation file has.
    instances
        How many were found.
    backends
        Name and device of each backend that ran.
    annotations
        The annotation file.
    model
        What was evaluated.
    model_name
        The name of its file.
    exit_code
        0: all done, 5: images failed, or that of the cancellation.
    can_resume
        It was cancelled, and can be continued.
    """

    metrics: tuple[Scores, ...]
    confusion: Confusion | None
    categories: CategoryMapping
    images: int
    images_in_file: int
    instances: int
    backends: tuple[str, ...]
    annotations: Path
    model: ModelOptions
    model_name: str
    exit_code: int
    can_resume: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The same for JSON.

        Returns
        -------
        dict
            docs/eval.md describes it.
        """
        assert self.confusion is not None
        matrix = self.confusion
        return {
            "annotations": str(self.annotations),
            "model": self.model_name,
            "backends": list(self.backends),
            "roi": self.model.roi,
            "fast": self.model.fast,
            "pictures": self.images,
            "pictures_in_file": self.images_in_file,
            "instances_found": self.instances,
            "notes": list(self.categories.notes),
            **{each.plural: as_json(each) for each in self.metrics},
            "confusion": {
                "score": SCORE,
                "iou": IOU,
                "of": self.metrics[0].plural,
                "mean_iou": None if matrix.mean_iou is None else round(matrix.mean_iou, 6),
                "classes": list(matrix.names),
                "counts": matrix.counts.tolist(),
            },
        }


@typed
def evaluate(
    annotations: PathLike,
    images: PathLike,
    model: PathLike | ModelOptions,
    *,
    options: EvaluationOptions = EvaluationOptions(),
    run: RunOptions = RunOptions(),
    observer: JobObserver | None = None,
    cancellation: CancellationToken | None = None,
) -> EvaluationResult:
    """Measure a model by COCO's metrics.

    Parameters
    ----------
    annotations
        A file in COCO's format.
    images
        The directory that the file's image names are relative to.
    model
        A model file or its folder, or a ModelOptions.
    options, run
        What is measured, where results go, and how the run goes.
    observer
        Told what happens, in the calling thread.
    cancellation
        Its `cancel` ends the run after the images in work, from any thread.

    Returns
    -------
    EvaluationResult
        The metrics.

    Raises
    ------
    MrcnnCvError
        UsageError where pycocotools is missing or options do not fit, InputError for annotations that cannot be used or
        lack images, ModelFileError, LabelFileError, BackendError for a model that does not run, OutputError where
        results cannot be written.
    """
    check_library()
    dataset = read_dataset(Path(annotations))
    sources = (str(annotations), str(images))
    evaluation = _Evaluation(dataset, sources, as_model_options(model), options, run)
    with RunSession(observer, cancellation, run.max_failures) as session:
        return evaluation.run(session)


@dataclass
class _Evaluation:
    """One evaluation. What can be wrong with data set and outputs is found when it is made."""

    dataset: Dataset
    sources: Sequence[str]
    model: ModelOptions
    options: EvaluationOptions
    run_options: RunOptions
    images: Sequence[DatasetImage] = field(init=False)
    folder: OutputDirectory = field(init=False)
    report: ReportFile | None = field(init=False)
    plot: ReportFile | None = field(init=False)

    def __post_init__(self) -> None:
        options, directory = self.options, Path(self.sources[1])
        self.images = self.dataset.images[: options.limit]
        check_images(directory, self.images, self.dataset.path)
        inputs = [self.dataset.path, *(directory / image.name for image in self.dataset.images), *self.model.files]
        overwrite, durable = options.overwrite, options.durable
        folder = Path(options.directory)
        self.folder = OutputDirectory(folder, overwrite=overwrite, protected=inputs, durable=durable)
        check_different(options.report, options.plot)
        check_free(self.folder.directory, self.run_options.resume, options.overwrite)
        self.folder.check()
        own = [self.folder.directory / DatasetResults.name, *state_files(self.folder.directory)]
        self.report, self.plot = (
            None if name is None else ReportFile(name, overwrite=overwrite, protected=inputs, own=own, durable=durable)
            for name in (options.report, options.plot)
        )

    def run(self, session: RunSession) -> EvaluationResult:
        model = session.load(self.model)
        ids = {each.id for each in self.images}
        used = {each.category for each in self.dataset.annotations if each.image in ids}
        count, categories = model.definition.class_count, self.dataset.categories
        mapping = match_categories(model.labels, count, categories, used, self.dataset.path)
        for note in mapping.notes:
            session.observer.message(Severity.NOTE, note)
        results = DatasetResults({str(number): number for number in ids}, mapping.categories)
        session.lock(self.folder.directory, resume=self.run_options.resume, overwrite=self.options.overwrite)
        if self.run_options.resume:
            self.folder.sweep()
        code = self._predict(session, model, results)
        if code in (0, InputError.exit_code) and not results.seen:
            raise InputError(f"none of the {len(self.images):,} images could be read, so there is nothing to evaluate")
        is_cancelled = session.is_cancelled
        metrics, matrix = ((), None) if is_cancelled else self._metrics(session, model, mapping, results)
        result = EvaluationResult(
            metrics=metrics,
            confusion=matrix,
            categories=mapping,
            images=len(results.seen),
            images_in_file=len(self.dataset.images),
            instances=len(results.results),
            backends=tuple(results.backends),
            annotations=self.dataset.path,
            model=self.model,
            model_name=model.path.name,
            exit_code=code,
            can_resume=is_cancelled,
        )
        if matrix is not None:
            # A report that cannot be written must not cost the metrics.
            session.observer.evaluated(result)
            self._write(result, matrix, model)
        return result

    def _predict(self, session: RunSession, model: MaskRCNN, results: DatasetResults) -> int:
        """Run the model over all images that are not done yet; the exit code."""
        items = image_refs(self.images, Path(self.sources[1]))
        indexes = {str(item.output_path): index for index, item in enumerate(items)}
        datasets = DatasetFiles(self.folder, [results], keep=self.run_options.resume, indexes=indexes)
        state = RunState(self.folder, self.run_options.resume)
        remaining = state.to_do(items, lambda item: datasets.holds(item.output_path))
        outputs = [str(self.options.directory)]
        session.observer.images_started(state.statistics, outputs, True)
        executor = executor_for(model, self.model, self.run_options.workers, len(remaining))
        state.open(self._metadata(model))
        with session.running(state, lambda: outputs):
            source = deferred_frames(remaining, self.images, self.dataset.path)
            observers = [*state.observers, session.limit, session.observer]
            thresholds = Thresholds(self.options.score)
            result = run(executor, source, [datasets], thresholds, observers, session.cancellation)
            _check_records(results, state.statistics, self.folder)
            return session.finish(result.failed)

    def _metadata(self, model: MaskRCNN) -> Mapping[str, Any]:
        """As of any batch run. The backend decides as well, and which image has which id and size.

        Annotations and the limit do not change what is found.
        """
        images = json.dumps([astuple(image) for image in self.dataset.images])
        options = {
            "labels": None if self.model.labels is None else str(self.model.labels),
            "pipeline_config": None if self.model.config is None else str(self.model.config),
            "score": "model" if self.options.score is None else self.options.score,
            "roi": self.model.roi,
            "device": self.model.device,
            "fast": self.model.fast,
            "backend": model.chosen_backend,
            "pictures": hashlib.sha256(images.encode()).hexdigest(),
        }
        return run_metadata(self.sources, model, self.model.backend, options)

    def _metrics(
        self, session: RunSession, model: MaskRCNN, mapping: CategoryMapping, results: DatasetResults
    ) -> tuple[tuple[Scores, ...], Confusion]:
        evaluator = CocoEvaluator(self.dataset, results.seen, sorted(set(mapping.categories.values())))
        both = model.definition.mask is not None and self.dataset.has_masks
        boxes = evaluator.scores(results.results, "box")
        metrics = (evaluator.scores(results.results, "mask"), boxes) if both else (boxes,)
        matrix = confusion(evaluator, results.results, "mask" if both else "box")
        renamed = matrix.renamed()
        if len(renamed) > 1:
            shown = ", ".join(f"{name} as {other}" for name, other in renamed[:5])
            session.observer.message(
                Severity.WARNING,
                f"categories are found under other names ({shown}): do the labels belong to this model?",
            )
        if model.definition.mask is not None and not both:
            session.observer.message(
                Severity.NOTE, f"not every annotation in {self.dataset.path} has a mask, so only boxes are evaluated"
            )
        return metrics, matrix

    def _write(self, result: EvaluationResult, matrix: Confusion, model: MaskRCNN) -> None:
        if self.report is not None:
            self.report.write_json(result.to_dict())
        if self.plot is not None:
            from mrcnn_cv.evaluation.plot import draw_evaluation, encode_png

            name = f"{model.path.parent.name}/{model.path.name}"
            title = f"{name} on {result.images:,} images of {self.dataset.path.name}"
            self.plot.write(encode_png(draw_evaluation(result.metrics[0], matrix, title)))


def _check_records(results: DatasetResults, statistics: RunStatistics, folder: OutputDirectory) -> None:
    """OutputError where images that are done have no record any more: the metrics would be those of fewer."""
    done = statistics.kept + statistics.done_count
    if len(results.seen) < done:
        raise OutputError(
            f"another program has changed the records in {folder.directory} during the run: they hold"
            f" {len(results.seen):,} images and {done:,} are done; start anew or in another folder"
        )
