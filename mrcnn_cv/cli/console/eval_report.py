"""The figures of `mrcnn-cv eval` as a table and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mrcnn_cv.evaluation.annotations import Dataset
from mrcnn_cv.evaluation.categories import CategoryMapping
from mrcnn_cv.evaluation.confusion import IOU, SCORE, Confusion
from mrcnn_cv.evaluation.results import DatasetResults
from mrcnn_cv.evaluation.scores import ClassMetrics, Scores, as_json
from mrcnn_cv.inference.predictor import MaskRCNN

_WIDEST_NAME = 30

COLUMNS = ("AP", "AP50", "AP75", "small", "medium", "large", "AR1", "AR10", "AR100")
_KEYS = ("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large", "AR1", "AR10", "AR100")


def table(scores: Sequence[Scores], matrix: Confusion, found: DatasetResults, images: int) -> list[str]:
    """Lines: a row of figures for masks and for boxes, then a row for each class. images: of the whole data set."""
    judged = len(found.seen)
    of = "" if judged == images else f" of {images:,}"
    lines = [f"{judged:,}{of} pictures, {' and '.join(found.backends)}", ""]
    lines.append(f"{'':<7}" + "".join(f"{name:>8}" for name in COLUMNS))
    lines += [f"{_plural(each):<7}" + "".join(f"{_figure(each.summary[key]):>8}" for key in _KEYS) for each in scores]
    if matrix.mean_iou is not None:
        lines += [
            "",
            f"{matrix.mean_iou:.4f} is the mean {matrix.kind} IoU of what is found (score, IoU from {SCORE:g})",
        ]
    first = scores[0]
    width = min(_WIDEST_NAME, max([5, *(len(each.name) for each in first.classes)]))
    head = f"{'class':<{width}} {'there':>7}" + "".join(f" {_kind_heading(each)}" for each in scores)
    lines += ["", head]
    for index, row in enumerate(first.classes):
        cells = "".join(f" {_class_figures(each.classes[index])}" for each in scores)
        lines.append(f"{row.name[:width]:<{width}} {row.annotations:>7,}{cells}")
    return lines


def _kind_heading(scores: Scores) -> str:
    return f"{scores.kind + ' AP':>9}{'AP50':>8}{'AR100':>8}"


def _class_figures(figures: ClassMetrics) -> str:
    return f"{_figure(figures.ap):>9}{_figure(figures.ap50):>8}{_figure(figures.ar):>8}"


def _plural(scores: Scores) -> str:
    return {"mask": "masks", "box": "boxes"}[scores.kind]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def record(
    scores: Sequence[Scores],
    matrix: Confusion,
    mapping: CategoryMapping,
    found: DatasetResults,
    dataset: Dataset,
    model: MaskRCNN,
    options: dict[str, Any],
) -> dict[str, Any]:
    """What --json writes; docs/eval.md describes it."""
    return {
        "annotations": str(dataset.path),
        "model": model.path.name,
        "backends": found.backends,
        "roi": options["roi"],
        "fast": options["fast"],
        "pictures": len(found.seen),
        "pictures_in_file": len(dataset.images),
        "instances_found": len(found.results),
        "notes": list(mapping.notes),
        **{_plural(each): as_json(each) for each in scores},
        "confusion": {
            "score": SCORE,
            "iou": IOU,
            "of": _plural(scores[0]),
            "mean_iou": None if matrix.mean_iou is None else round(matrix.mean_iou, 6),
            "classes": list(matrix.names),
            "counts": matrix.counts.tolist(),
        },
    }
