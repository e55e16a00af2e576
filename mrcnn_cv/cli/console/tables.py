"""Tables on stdout: those of several commands, and what they are made with."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.console.messages import counted, readable_size, sanitize

if TYPE_CHECKING:
    from mrcnn_cv.hub.catalog import CatalogEntry
    from mrcnn_cv.jobs.compare_models import ComparisonResult
    from mrcnn_cv.jobs.evaluate_model import EvaluationResult

MAX_IMAGES_SHOWN = 5
MAX_NAME_LENGTH = 30

_METRICS = ("AP", "AP50", "AP75", "small", "medium", "large", "AR1", "AR10", "AR100")
_METRIC_KEYS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100")

_DIFFERENCES = {
    "score": "score difference",
    "box_pixels": "box side, pixels",
    "box_iou_loss": "1 - box IoU",
    "mask_iou_loss": "1 - mask IoU",
}


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines on stdout."""
    for line in lines:
        click.echo(sanitize(line))


def columns(rows: Iterable[Sequence[object]], right: Collection[str] = ()) -> list[str]:
    """Lines of cells under each other; None is a dash. right: headings, in the first row, of what is aligned so."""
    texts = [[sanitize("-" if cell is None else str(cell)) for cell in row] for row in rows]
    padded = []
    for column in zip(*texts, strict=True):
        width = max(map(len, column))
        padded.append([cell.rjust(width) if column[0] in right else cell.ljust(width) for cell in column])
    return ["  ".join(cells).rstrip() for cells in zip(*padded, strict=True)]


def evaluation_table(result: EvaluationResult) -> list[str]:
    """A row of metrics for masks and for boxes, then a row for each class."""
    from mrcnn_cv.evaluation.confusion import SCORE

    of = "" if result.images == result.images_in_file else f" of {result.images_in_file:,}"
    lines = [f"{result.images:,}{of} images, {' and '.join(result.backends)}", ""]
    lines.append(f"{'':<7}" + "".join(f"{name:>8}" for name in _METRICS))
    for each in result.metrics:
        lines.append(f"{each.plural:<7}" + "".join(f"{_metric(each.summary[key]):>8}" for key in _METRIC_KEYS))
    matrix = result.confusion
    if matrix is not None and matrix.mean_iou is not None:
        of = f"the mean {matrix.kind} IoU of what is found (score, IoU from {SCORE:g})"
        lines += ["", f"{matrix.mean_iou:.4f} is {of}"]
    classes = result.metrics[0].classes
    width = min(MAX_NAME_LENGTH, max([5, *(len(each.name) for each in classes)]))
    headings = "".join(f" {each.kind + ' AP':>9}{'AP50':>8}{'AR100':>8}" for each in result.metrics)
    lines += ["", f"{'class':<{width}} {'there':>7}{headings}"]
    for row, *kinds in zip(classes, *(each.classes for each in result.metrics), strict=True):
        cells = "".join(f" {_metric(each.ap):>9}{_metric(each.ap50):>8}{_metric(each.ar):>8}" for each in kinds)
        lines.append(f"{row.name[:width]:<{width}} {row.annotations:>7,}{cells}")
    return lines


def comparison_table(result: ComparisonResult) -> list[str]:
    """How far two models agree."""
    from mrcnn_cv.evaluation.agreement import CLOSE, spread
    from mrcnn_cv.evaluation.comparison import WHICH

    comparison = result.comparison
    if not comparison.images:
        return []
    first, second = comparison.alone
    near = sum(image.near for image in comparison.images)
    sides = zip(WHICH, comparison.names, comparison.backends, strict=True)
    lines = [f"{which}: {name}, ran on {use.used} ({use.device})" for which, name, use in sides]
    lines += [
        "",
        f"{counted(len(comparison.images), 'image')}, agreement {comparison.agreement:.4f}:"
        f" {comparison.pairs:,} instances found by both, {first:,} by the first alone, {second:,} by the second alone",
    ]
    if near:
        lines.append(f"{near:,} of those that one found alone have a score less than {CLOSE:g} above the threshold")
    if comparison.pairs:
        lines += ["", f"{'':<18}{'median':>10}{'95 of 100':>12}{'worst':>10}"]
        for key, values in comparison.differences().items():
            each = spread(values)
            if each is not None:
                lines.append(f"{_DIFFERENCES[key]:<18}{each.median:>10.5f}{each.p95:>12.5f}{each.worst:>10.5f}")
    worst = [image for image in comparison.worst() if any(image.agreement.disagreement)][:MAX_IMAGES_SHOWN]
    if worst:
        lines += ["", "worst:", *(f"  {'/'.join(PurePath(each.name).parts[-2:])}  {each.summary()}" for each in worst)]
    if result.drawn:
        which = f"the worst {result.drawn} side by side" if result.drawn > 1 else "the worst one is"
        lines.append(f"{which} in {result.directory}")
    return lines


def model_table(entries: Sequence[CatalogEntry]) -> list[str]:
    """A line for each model under a line of headings."""
    rows: list[tuple[object, ...]] = [("name", "classes", "size", "box AP", "mask AP", "ms", "here", "licence")]
    for entry in entries:
        zoo = entry.zoo
        size = None if entry.size is None else readable_size(entry.size)
        box_ap, mask_ap = (
            None if value is None else f"{value:.2f}" for value in ((zoo.box_ap, zoo.mask_ap) if zoo else (None, None))
        )
        speed, licence = (zoo.milliseconds, zoo.licence) if zoo else (None, None)
        rows.append((entry.name, entry.classes, size, box_ap, mask_ap, speed, entry.state, licence))
    return columns(rows, right={"classes", "size", "box AP", "mask AP", "ms"})


def model_details(entry: CatalogEntry) -> list[str]:
    """A line for each thing that is known about a model."""
    facts = {key.replace("_", " "): value for key, value in entry.to_dict().items() if value is not None}
    if entry.size is not None:
        facts["size"] = f"{readable_size(entry.size)} ({entry.size:,} bytes)"
    if entry.zoo is not None and entry.zoo.milliseconds is not None:
        facts["milliseconds"] = f"{entry.zoo.milliseconds} (as published: GTX TITAN X, 600x600)"
    rows: list[tuple[str, Any]] = []
    for key, value in facts.items():
        inner = value if isinstance(value, Mapping) else {"": value}
        rows += [(f"{key} {name}".rstrip(), text) for name, text in inner.items()]
    return columns(rows)


def _metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
