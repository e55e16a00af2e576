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

from mrcnn_cv.cli.console.batch_report import BatchReport
from mrcnn_cv.cli.console.eval_report import record, table
from mrcnn_cv.cli.console.messages import plain, say
from mrcnn_cv.cli.signals import Interrupts
from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.evaluation.annotations import Dataset, Picture, first_missing, read_dataset
from mrcnn_cv.evaluation.categories import Matching, match_categories
from mrcnn_cv.evaluation.confusion import confusion
from mrcnn_cv.evaluation.pictures import items_of, reading
from mrcnn_cv.evaluation.results import DatasetResults
from mrcnn_cv.evaluation.scores import Judge, check_library
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inference.roi_pool import with_roi_pooling
from mrcnn_cv.jobs.common import head_of, interrupted_code, load_model
from mrcnn_cv.jobs.result_file import ResultFile, books_in, check_different, model_files
from mrcnn_cv.jobs.state.batch_state import Books, check_free
from mrcnn_cv.jobs.state.run_lock import alone_in
from mrcnn_cv.jobs.state.summary import Totals
from mrcnn_cv.outputs.storage.dataset_files import AggregateFiles
from mrcnn_cv.outputs.storage.output_dir import OutputFolder
from mrcnn_cv.pipeline import Stop, Thresholds, run
from mrcnn_cv.pipeline.executor import make_executor
from mrcnn_cv.pipeline.thread_executor import Models, plans_for

OF_THE_RESULT = ("labels", "pipeline_config", "score", "roi", "device", "fast")
"""Options that decide what is found: a run is resumed with the same ones."""


def execute(annotations: str, images: str, options: dict[str, Any], is_demo: bool) -> int:
    """Run and judge; returns the exit code."""
    check_library()
    dataset = read_dataset(Path(annotations))
    pictures = dataset.pictures[: options["limit"]]
    _check_there(Path(images), pictures, dataset.path)
    files = _Files(options, [dataset.path, *(Path(images) / picture.name for picture in dataset.pictures)])
    model = _load(options)
    report_model(model, is_demo, options["quiet"])
    matching = _matching(model, dataset, pictures)
    if not options["quiet"]:
        for note in matching.notes:
            say(f"mrcnn-cv: note: {note}")
    found = DatasetResults({str(each.id): each.id for each in pictures}, matching.categories)
    with alone_in(files.folder.directory):
        # One that ended while the model was loaded.
        check_free(files.folder.directory, options["resume"], options["overwrite"])
        code = _run(model, (annotations, images), pictures, dataset, found, files.folder, options)
    if code not in (0, InputError.exit_code):
        return code
    if not found.seen:
        raise InputError(f"none of the {len(pictures):,} pictures could be used, so there is nothing to judge")
    _judge(dataset, matching, found, model, files, options)
    return code


def report_model(model: MaskRCNN, is_demo: bool, quiet: bool) -> None:
    """What was odd about a model."""
    if quiet:
        return
    if is_demo:
        say("mrcnn-cv: note: no model is named, so this is the demo model")
    for warning in model.warnings:
        say(f"mrcnn-cv: warning: {warning}")


class _Files:
    """Where results go; everything that can be wrong with that is found here."""

    def __init__(self, options: dict[str, Any], inputs: Sequence[Path]) -> None:
        protected = [*inputs, *model_files(options)]
        overwrite = options["overwrite"]
        check_different(options["json_file"], options["plot"])
        self.folder = OutputFolder(options["output"], overwrite=overwrite)
        for path in protected:
            self.folder.protect(path)
        check_free(self.folder.directory, options["resume"], overwrite)
        self.folder.check()
        own = [self.folder.directory / DatasetResults.name, *books_in(self.folder.directory)]
        self.json, self.plot = (
            None
            if options[key] is None
            else ResultFile(options[key], f"--{name}", overwrite=overwrite, protected=protected, own=own)
            for key, name in (("json_file", "json"), ("plot", "plot"))
        )


def _load(options: dict[str, Any]) -> MaskRCNN:
    model = load_model(options)
    if options["roi"] == "pool":
        model.spec = with_roi_pooling(model.spec)
    return model


def _check_there(folder: Path, pictures: Sequence[Picture], path: Path) -> None:
    """InputError before any work where pictures are missing: without them the figures would be others."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder: give the one that holds the pictures of {path}")
    count, first = first_missing(folder, pictures)
    if count == len(pictures):
        raise InputError(
            f"{folder} holds none of the {count:,} pictures that {path} names, such as {first}: give the folder that"
            " file_name is relative to"
        )
    if count:
        raise InputError(
            f"{folder} lacks {count:,} of the {len(pictures):,} pictures that {path} names, such as {first}: put them"
            " there, or take them out of the file"
        )


def _matching(model: MaskRCNN, dataset: Dataset, pictures: Sequence[Picture]) -> Matching:
    chosen = {picture.id for picture in pictures}
    used = {each.category for each in dataset.annotations if each.image in chosen}
    return match_categories(model.labels, model.spec.class_count, dataset.categories, used, dataset.path)


def _run(
    model: MaskRCNN,
    sources: Sequence[str],
    pictures: Sequence[Picture],
    dataset: Dataset,
    found: DatasetResults,
    folder: OutputFolder,
    options: dict[str, Any],
) -> int:
    """Let the model look at all pictures that are not done yet."""
    items = items_of(pictures, Path(sources[1]))
    indexes = {str(item.place): index for index, item in enumerate(items)}
    together = AggregateFiles(folder, [found], keep=options["resume"], indexes=indexes)
    books = Books(folder, options["resume"])
    left = books.to_do(items, together)
    report = BatchReport(options["quiet"], False, [options["output"]], books.totals, options["progress"])
    score = None if options["score"] == "model" else options["score"]
    workers = None if options["workers"] == "auto" else int(options["workers"])
    plans = plans_for(workers, options["threads"], model.chosen_backend, len(left))
    crew = make_executor(Models(model, lambda: _load({**options, "threads": None})), plans)
    books.open(_head(sources, dataset, model, options))
    stop, code = Stop(), 1
    with Interrupts(stop) as interrupts, ExitStack() as stack:
        stack.callback(report.end)
        try:
            source = reading(left, pictures, dataset.path)
            outcome = run(crew, source, [together], Thresholds(score), [*books.listeners, report], stop)
            _check_records(found, books.totals, folder)
            code = InputError.exit_code if outcome.failed else 0
            code = interrupted_code(interrupts) or code
        finally:
            books.close(code)
    if interrupts.received is not None:
        say("mrcnn-cv: interrupted; the same command with --resume goes on")
    return code


def _check_records(found: DatasetResults, totals: Totals, folder: OutputFolder) -> None:
    """OutputError where pictures that are done have no record any more: the figures would be those of fewer."""
    done = totals.kept + totals.done_count
    if len(found.seen) < done:
        raise OutputError(
            f"another program has changed the records in {folder.directory} during the run: they hold"
            f" {len(found.seen):,} pictures and {done:,} are done; start anew (--overwrite) or in another folder (-o)"
        )


def _head(sources: Sequence[str], dataset: Dataset, model: MaskRCNN, options: dict[str, Any]) -> dict[str, Any]:
    """As of any batch run. The backend decides as well, and which picture has which id and size.

    Annotations and --limit do not change what is found.
    """
    head = head_of(sources, {**options, "list": ()}, model, OF_THE_RESULT)
    pictures = json.dumps([astuple(picture) for picture in dataset.pictures])
    head["options"] |= {"backend": model.chosen_backend, "pictures": hashlib.sha256(pictures.encode()).hexdigest()}
    return head


def _judge(
    dataset: Dataset, matching: Matching, found: DatasetResults, model: MaskRCNN, files: _Files, options: dict[str, Any]
) -> None:
    judge = Judge(dataset, found.seen, sorted(set(matching.categories.values())))
    both = model.spec.mask is not None and dataset.has_masks
    boxes = judge.scores(found.results, "box")
    masks = judge.scores(found.results, "mask") if both else None
    matrix = confusion(judge, found.results, "mask" if both else "box")
    scores = [boxes] if masks is None else [masks, boxes]
    renamed = matrix.renamed()
    if len(renamed) > 1:
        shown = ", ".join(f"{name} as {other}" for name, other in renamed[:5])
        say(f"mrcnn-cv: warning: categories are found under other names ({shown}): do the labels belong to this model?")
    if model.spec.mask is not None and masks is None and not options["quiet"]:
        say(f"mrcnn-cv: note: not every annotation in {dataset.path} has a mask, so only boxes are judged")
    text = table(scores, matrix, found, len(dataset.pictures))
    if files.json is None or files.json.name != "-":
        for line in text:
            click.echo(plain(line))
    if files.json is not None:
        files.json.write_json(record(scores, matrix, matching, found, dataset, model, options))
    if files.plot is not None:
        from mrcnn_cv.evaluation.plot import draw_evaluation, encode_png

        files.plot.write(encode_png(draw_evaluation(scores[0], matrix, _title(dataset, model, found))))


def _title(dataset: Dataset, model: MaskRCNN, found: DatasetResults) -> str:
    return f"{model.path.parent.name}/{model.path.name} on {len(found.seen):,} pictures of {dataset.path.name}"
