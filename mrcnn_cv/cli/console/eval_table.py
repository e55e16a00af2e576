"""The metrics of `mrcnn-cv eval` as a table."""

from __future__ import annotations

import click

from mrcnn_cv.cli.console.messages import sanitize
from mrcnn_cv.evaluation.confusion import SCORE
from mrcnn_cv.evaluation.scores import ClassMetrics, Scores
from mrcnn_cv.jobs.evaluate_model import EvaluationResult

_MAX_NAME = 30

COLUMNS = ("AP", "AP50", "AP75", "small", "medium", "large", "AR1", "AR10", "AR100")
_KEYS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100")


def print_evaluation(result: EvaluationResult) -> None:
    """The table, on stdout."""
    for line in table(result):
        click.echo(sanitize(line))


def table(result: EvaluationResult) -> list[str]:
    """Lines: a row of metrics for masks and for boxes, then a row for each class."""
    of = "" if result.images == result.images_in_file else f" of {result.images_in_file:,}"
    lines = [f"{result.images:,}{of} images, {' and '.join(result.backends)}", ""]
    lines.append(f"{'':<7}" + "".join(f"{name:>8}" for name in COLUMNS))
    for each in result.metrics:
        lines.append(f"{each.plural:<7}" + "".join(f"{_metric(each.summary[key]):>8}" for key in _KEYS))
    matrix = result.confusion
    if matrix is not None and matrix.mean_iou is not None:
        lines += [
            "",
            f"{matrix.mean_iou:.4f} is the mean {matrix.kind} IoU of what is found (score, IoU from {SCORE:g})",
        ]
    first = result.metrics[0]
    width = min(_MAX_NAME, max([5, *(len(each.name) for each in first.classes)]))
    lines += ["", f"{'class':<{width}} {'there':>7}" + "".join(f" {_kind_heading(each)}" for each in result.metrics)]
    for index, row in enumerate(first.classes):
        cells = "".join(f" {_class_metrics(each.classes[index])}" for each in result.metrics)
        lines.append(f"{row.name[:width]:<{width}} {row.annotations:>7,}{cells}")
    return lines


def _kind_heading(scores: Scores) -> str:
    return f"{scores.kind + ' AP':>9}{'AP50':>8}{'AR100':>8}"


def _class_metrics(metrics: ClassMetrics) -> str:
    return f"{_metric(metrics.ap):>9}{_metric(metrics.ap50):>8}{_metric(metrics.ar):>8}"


def _metric(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
