"""What `mrcnn-cv compare` does once its command line is read: both sides look at each picture in turn."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import click

from mrcnn_cv.cli.console.compare_report import ComparisonFigures, ComparisonRow, record, table
from mrcnn_cv.cli.console.messages import echo_message, sanitize
from mrcnn_cv.cli.console.status_line import StatusLine
from mrcnn_cv.cli.signals import Interrupts
from mrcnn_cv.drawing.canvas import encode_png
from mrcnn_cv.errors import InputError
from mrcnn_cv.evaluation.agreement import agree
from mrcnn_cv.evaluation.side_by_side import side_by_side
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.image_ref import ImageRef, load
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.jobs.common import interrupted_code, load_model
from mrcnn_cv.jobs.evaluate import report_model
from mrcnn_cv.jobs.report_file import ReportFile, model_files
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline import CancellationToken
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.filenames import file_name, truncate_name

DISAGREEMENT_EXIT_CODE = 7
"""With --min-agreement: the two agree less."""


@dataclass(frozen=True)
class _ComparedImage:
    """A picture that may be among the worst; its pixels are read once more when it is."""

    item: ImageRef
    both: tuple[Instances, Instances]
    row: ComparisonRow


def run_comparison(sides: Sequence[dict[str, Any]], sources: Sequence[str], options: dict[str, Any]) -> int:
    """Compare; returns the exit code."""
    items = list_images(sources, DirectoryScan()).items[: options["limit"]]
    inputs = [item.path for item in items if item.path is not None]
    protected = [*inputs, *(path for side in sides for path in model_files(side))]
    folder = OutputDirectory(options["output"], overwrite=options["overwrite"], protected=protected)
    folder.check()
    name = options["json_file"]
    file = None if name is None else ReportFile(name, "--json", overwrite=options["overwrite"], protected=protected)
    models = tuple(load_model(side) for side in sides)
    for model in models:
        report_model(model, False, options["quiet"])
    figures = ComparisonFigures(_names(models, sides))
    comparison = _Comparison(models, figures, options)
    stop = CancellationToken()
    with Interrupts(stop) as interrupts:
        comparison.run(items, stop)
    figures.backends = [model.backend for model in models] if figures.rows else []
    written = comparison.write_worst(folder)
    if file is None or file.name != "-":
        for line in table(figures, written, options["output"]):
            click.echo(sanitize(line))
    if file is not None and figures.rows:
        file.write_json(record(figures, options))
    return interrupted_code(interrupts) or _code(figures, options)


def _code(figures: ComparisonFigures, options: dict[str, Any]) -> int:
    if not figures.rows:
        raise InputError("none of the pictures could be used, so there is nothing to compare")
    minimum = options["min_agreement"]
    if minimum is not None and figures.agreement < minimum:
        echo_message(
            f"mrcnn-cv: error: {figures.agreement:.4f} of the instances are found by both, which is below"
            f" --min-agreement {minimum:g}"
        )
        return DISAGREEMENT_EXIT_CODE
    return InputError.exit_code if figures.failed else 0


def _names(models: Sequence[MaskRCNN], sides: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """What tells the two apart."""
    first, second = models
    if first.path == second.path:
        return sides[0]["backend"], sides[1]["backend"]
    if first.path.name == second.path.name:
        return str(first.path), str(second.path)
    return first.path.name, second.path.name


class _Comparison:
    """Takes the pictures one by one, so that both sides have the processors to themselves in turn."""

    def __init__(self, models: Sequence[MaskRCNN], figures: ComparisonFigures, options: dict[str, Any]) -> None:
        self._models = models
        self._figures = figures
        self._options = options
        self._worst: list[tuple[tuple[float, ...], int, _ComparedImage]] = []

    def run(self, items: Sequence[ImageRef], stop: CancellationToken) -> None:
        line = StatusLine(quiet=self._options["quiet"])
        with ExitStack() as stack:
            stack.callback(line.clear)
            for index, item in enumerate(items):
                if stop.requested:
                    break
                try:
                    self._take(item, index)
                except InputError as error:
                    line.clear()
                    self._figures.failed += 1
                    echo_message(f"mrcnn-cv: error: {error}")
                if line.is_due:
                    line.draw(f"{index + 1:,} of {len(items):,} pictures, {self._figures.agreement:.4f} agreement")

    def _take(self, item: ImageRef, index: int) -> None:
        frame = load(item, index)
        if isinstance(frame, FrameError):
            raise frame.error
        first, second = (self._predict(model, frame) for model in self._models)
        found = agree(first, second, self._options["iou"])
        score = self._options["score"]
        row = ComparisonRow.of(item.name, first, second, found, None if score == "model" else score)
        self._figures.rows.append(row)
        disagreement = found.disagreement
        if self._options["worst"] and any(disagreement):
            # The index keeps the order where pictures are equally bad: earlier ones stay.
            entry = (disagreement, -index, _ComparedImage(item, (first, second), row))
            if len(self._worst) < self._options["worst"]:
                heapq.heappush(self._worst, entry)
            else:
                heapq.heappushpop(self._worst, entry)

    def _predict(self, model: MaskRCNN, frame: Frame) -> Instances:
        score = None if self._options["score"] == "model" else self._options["score"]
        try:
            return model.predict(frame.image, score_threshold=score)
        except InputError as error:
            raise InputError(f"{frame.name}: {error}") from error

    def write_worst(self, folder: OutputDirectory) -> int:
        """Put the worst pictures into the folder, the worst first; returns how many."""
        for rank, (_, _, kept) in enumerate(sorted(self._worst, reverse=True, key=lambda entry: entry[:2]), start=1):
            frame = load(kept.item, 0)
            if isinstance(frame, FrameError):
                raise frame.error
            title = f"{kept.item.output_path}: {kept.row.summary()}"
            sheet = side_by_side(frame.image, kept.both, kept.row.agreement, self._figures.names, title)
            stem = PurePosixPath(file_name(kept.item.output_path.name)).stem
            folder.write(folder.directory / truncate_name(f"{rank:03}-{stem}.png"), encode_png(sheet))
        return len(self._worst)
