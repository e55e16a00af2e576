"""What `mrcnn-cv eval` does once its command line is read: run the model over the data set, then judge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import astuple
from pathlib import Path
from typing import Any

import click

from mrcnn_cv.cli.console.batch_report import BatchReporter
from mrcnn_cv.cli.console.eval_report import record, table
from mrcnn_cv.cli.console.messages import echo_message, sanitize
from mrcnn_cv.cli.signals import Interrupts
from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.evaluation.annotations import Dataset, DatasetImage, first_missing, read_dataset
from mrcnn_cv.evaluation.categories import CategoryMapping, match_categories
from mrcnn_cv.evaluation.confusion import confusion
from mrcnn_cv.evaluation.dataset_frames import deferred_frames, image_refs
from mrcnn_cv.evaluation.results import DatasetResults
from mrcnn_cv.evaluation.scores import CocoEvaluator, check_library
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inference.roi_pool import with_roi_pooling
from mrcnn_cv.jobs.common import interrupted_code, load_model, run_metadata
from mrcnn_cv.jobs.report_file import ReportFile, check_different, model_files, state_files
from mrcnn_cv.jobs.state.batch_state import RunState, check_free
from mrcnn_cv.jobs.state.run_lock import lock_directory
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.outputs.storage.dataset_files import DatasetFiles
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline import CancellationToken, Thresholds, run
from mrcnn_cv.pipeline.executor import make_executor
from mrcnn_cv.pipeline.thread_executor import ModelPool, layouts_for

EVALUATION_OPTIONS = ("labels", "pipeline_config", "score", "roi", "device", "fast")
"""Options that decide what is found: a run is resumed with the same ones."""


def run_evaluation(annotations: str, images: str, options: dict[str, Any], is_demo: bool) -> int:
    """Run and judge; returns the exit code."""
    check_library()
    dataset = read_dataset(Path(annotations))
    pictures = dataset.images[: options["limit"]]
    _check_there(Path(images), pictures, dataset.path)
    files = _Files(options, [dataset.path, *(Path(images) / image.name for image in dataset.images)])
    model = _load(options)
    report_model(model, is_demo, options["quiet"])
    matching = _category_mapping(model, dataset, pictures)
    if not options["quiet"]:
        for note in matching.notes:
            echo_message(f"mrcnn-cv: note: {note}")
    found = DatasetResults({str(each.id): each.id for each in pictures}, matching.categories)
    with lock_directory(files.folder.directory):
        # One that ended while the model was loaded.
        check_free(files.folder.directory, options["resume"], options["overwrite"])
        code = _run(model, (annotations, images), pictures, dataset, found, files.folder, options)
    if code not in (0, InputError.exit_code):
        return code
    if not found.seen:
        raise InputError(f"none of the {len(pictures):,} pictures could be used, so there is nothing to judge")
    _evaluate(dataset, matching, found, model, files, options)
    return code


def report_model(model: MaskRCNN, is_demo: bool, quiet: bool) -> None:
    """What was odd about a model."""
    if quiet:
        return
    if is_demo:
        echo_message("mrcnn-cv: note: no model is named, so this is the demo model")
    for warning in model.warnings:
        echo_message(f"mrcnn-cv: warning: {warning}")


class _Files:
    """Where results go; everything that can be wrong with that is found here."""

    def __init__(self, options: dict[str, Any], inputs: Sequence[Path]) -> None:
        protected = [*inputs, *model_files(options)]
        overwrite = options["overwrite"]
        check_different(options["json_file"], options["plot"])
        self.folder = OutputDirectory(options["output"], overwrite=overwrite)
        for path in protected:
            self.folder.protect(path)
        check_free(self.folder.directory, options["resume"], overwrite)
        self.folder.check()
        own = [self.folder.directory / DatasetResults.name, *state_files(self.folder.directory)]
        self.json, self.plot = (
            None
            if options[key] is None
            else ReportFile(options[key], f"--{name}", overwrite=overwrite, protected=protected, own=own)
            for key, name in (("json_file", "json"), ("plot", "plot"))
        )


def _load(options: dict[str, Any]) -> MaskRCNN:
    model = load_model(options)
    if options["roi"] == "pool":
        model.spec = with_roi_pooling(model.spec)
    return model


def _check_there(folder: Path, images: Sequence[DatasetImage], path: Path) -> None:
    """InputError before any work where pictures are missing: without them the figures would be others."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the one that holds the pictures of {path}")
    count, first = first_missing(folder, images)
    if count == len(images):
        raise InputError(
            f"{folder} holds none of the {count:,} pictures that {path} names, such as {first}: give the folder that"
            " file_name is relative to"
        )
    if count:
        raise InputError(
            f"{folder} lacks {count:,} of the {len(images):,} pictures that {path} names, such as {first}: put them"
            " there, or take them out of the file"
        )


def _category_mapping(model: MaskRCNN, dataset: Dataset, images: Sequence[DatasetImage]) -> CategoryMapping:
    chosen = {image.id for image in images}
    used = {each.category for each in dataset.annotations if each.image in chosen}
    return match_categories(model.labels, model.spec.class_count, dataset.categories, used, dataset.path)


def _run(
    model: MaskRCNN,
    sources: Sequence[str],
    images: Sequence[DatasetImage],
    dataset: Dataset,
    found: DatasetResults,
    folder: OutputDirectory,
    options: dict[str, Any],
) -> int:
    """Let the model look at all pictures that are not done yet."""
    items = image_refs(images, Path(sources[1]))
    indexes = {str(item.output_path): index for index, item in enumerate(items)}
    together = DatasetFiles(folder, [found], keep=options["resume"], indexes=indexes)
    state = RunState(folder, options["resume"])
    left = state.to_do(items, together)
    report = BatchReporter(options["quiet"], False, [options["output"]], state.totals, options["progress"])
    score = None if options["score"] == "model" else options["score"]
    workers = None if options["workers"] == "auto" else int(options["workers"])
    plans = layouts_for(workers, options["threads"], model.chosen_backend, len(left))
    executor = make_executor(ModelPool(model, lambda: _load({**options, "threads": None})), plans)
    state.open(_run_metadata(sources, dataset, model, options))
    stop, code = CancellationToken(), 1
    with Interrupts(stop) as interrupts, ExitStack() as stack:
        stack.callback(report.end)
        try:
            source = deferred_frames(left, images, dataset.path)
            outcome = run(executor, source, [together], Thresholds(score), [*state.observers, report], stop)
            _check_records(found, state.totals, folder)
            code = InputError.exit_code if outcome.failed else 0
            code = interrupted_code(interrupts) or code
        finally:
            state.close(code)
    if interrupts.received is not None:
        echo_message("mrcnn-cv: interrupted; the same command with --resume goes on")
    return code


def _check_records(found: DatasetResults, totals: RunStatistics, folder: OutputDirectory) -> None:
    """OutputError where pictures that are done have no record any more: the figures would be those of fewer."""
    done = totals.kept + totals.done_count
    if len(found.seen) < done:
        raise OutputError(
            f"another program has changed the records in {folder.directory} during the run: they hold"
            f" {len(found.seen):,} pictures and {done:,} are done; start anew (--overwrite) or in another folder (-o)"
        )


def _run_metadata(sources: Sequence[str], dataset: Dataset, model: MaskRCNN, options: dict[str, Any]) -> dict[str, Any]:
    """As of any batch run. The backend decides as well, and which picture has which id and size.

    Annotations and --limit do not change what is found.
    """
    metadata = run_metadata(sources, {**options, "list": ()}, model, EVALUATION_OPTIONS)
    images = json.dumps([astuple(image) for image in dataset.images])
    metadata["options"] |= {"backend": model.chosen_backend, "pictures": hashlib.sha256(images.encode()).hexdigest()}
    return metadata


def _evaluate(
    dataset: Dataset,
    mapping: CategoryMapping,
    found: DatasetResults,
    model: MaskRCNN,
    files: _Files,
    options: dict[str, Any],
) -> None:
    judge = CocoEvaluator(dataset, found.seen, sorted(set(mapping.categories.values())))
    both = model.spec.mask is not None and dataset.has_masks
    boxes = judge.scores(found.results, "box")
    masks = judge.scores(found.results, "mask") if both else None
    matrix = confusion(judge, found.results, "mask" if both else "box")
    scores = [boxes] if masks is None else [masks, boxes]
    renamed = matrix.renamed()
    if len(renamed) > 1:
        shown = ", ".join(f"{name} as {other}" for name, other in renamed[:5])
        echo_message(
            f"mrcnn-cv: warning: categories are found under other names ({shown}): do the labels belong to this model?"
        )
    if model.spec.mask is not None and masks is None and not options["quiet"]:
        echo_message(f"mrcnn-cv: note: not every annotation in {dataset.path} has a mask, so only boxes are judged")
    text = table(scores, matrix, found, len(dataset.images))
    if files.json is None or files.json.name != "-":
        for line in text:
            click.echo(sanitize(line))
    if files.json is not None:
        files.json.write_json(record(scores, matrix, mapping, found, dataset, model, options))
    if files.plot is not None:
        from mrcnn_cv.evaluation.plot import draw_evaluation, encode_png

        files.plot.write(encode_png(draw_evaluation(scores[0], matrix, _title(dataset, model, found))))


def _title(dataset: Dataset, model: MaskRCNN, found: DatasetResults) -> str:
    return f"{model.path.parent.name}/{model.path.name} on {len(found.seen):,} pictures of {dataset.path.name}"
