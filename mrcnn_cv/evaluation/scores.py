"""COCO's metrics, computed by pycocotools: average precision and recall of boxes and of masks."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import UsageError
from mrcnn_cv.evaluation.annotations import Dataset
from mrcnn_cv.evaluation.results import Result
from mrcnn_cv.util.packages import cannot_import

Kind = Literal["box", "mask"]
Float = NDArray[np.float64]

SUMMARY = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR1", "AR10", "AR100", "AR_small", "AR_medium", "AR_large"),
)
"""Names of pycocotools' twelve metrics, in its order."""

_EVERYTHING, _MAX_DETECTIONS = 0, -1
"""Places of the area "all" and of the limit of 100 detections in pycocotools' tables."""


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one category; None where it has nothing to be found."""

    name: str
    annotations: int
    ap: float | None
    ap50: float | None
    ap75: float | None
    ar: float | None


@dataclass(frozen=True)
class Scores:
    """summary: SUMMARY's names → a number from 0 to 1; None: the data set has nothing of that size.

    classes    in the order of the data set
    precision  (10 IoU thresholds from 0.50 to 0.95, 101 recalls from 0 to 1, classes); -1 where a class has nothing
    """

    kind: Kind
    summary: dict[str, float | None]
    classes: tuple[ClassMetrics, ...]
    precision: Float

    @property
    def plural(self) -> Literal["masks", "boxes"]:
        """What was evaluated."""
        return "masks" if self.kind == "mask" else "boxes"


def check_library() -> None:
    """UsageError where pycocotools is missing."""
    try:
        import pycocotools.cocoeval  # noqa: F401
    except ImportError as error:
        raise UsageError(f"eval needs the package {cannot_import(error, 'eval', 'pycocotools')}") from error


class CocoEvaluator:
    """Holds a data set against results. images, categories: ids of those that count."""

    def __init__(self, dataset: Dataset, images: set[int], categories: Sequence[int]) -> None:
        from pycocotools.coco import COCO

        self.categories = {number: dataset.categories[number] for number in categories}
        annotations = [
            each for each in dataset.annotations if each.image in images and each.category in self.categories
        ]
        self.truth = COCO()
        self.truth.dataset = {
            "info": {},
            "images": [
                {"id": each.id, "width": each.width, "height": each.height}
                for each in dataset.images
                if each.id in images
            ],
            "categories": [{"id": number, "name": name} for number, name in self.categories.items()],
            # Ids of our own: pycocotools takes an annotation with the id 0 for none.
            "annotations": [
                {
                    "id": number,
                    "image_id": each.image,
                    "category_id": each.category,
                    "bbox": list(each.box),
                    "area": each.area,
                    "iscrowd": int(each.is_crowd),
                    **({"segmentation": each.segmentation.value} if each.segmentation is not None else {}),
                }
                for number, each in enumerate(annotations, start=1)
            ],
        }
        with _silence():
            self.truth.createIndex()

    def counts(self) -> dict[int, int]:
        """How many annotations each category has, crowds left out."""
        found = Counter(row["category_id"] for row in self.truth.dataset["annotations"] if not row["iscrowd"])
        return {number: found[number] for number in self.categories}

    def scores(self, results: Sequence[Result], kind: Kind) -> Scores:
        """The metrics of `results`, in COCO's format for results; with "mask" every one of them has a mask."""
        from pycocotools.cocoeval import COCOeval

        with _silence():
            evaluation = COCOeval(self.truth, self._loaded(results, kind), "bbox" if kind == "box" else "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        precision = evaluation.eval["precision"][:, :, :, _EVERYTHING, _MAX_DETECTIONS]
        recall = evaluation.eval["recall"][:, :, _EVERYTHING, _MAX_DETECTIONS]
        counts = self.counts()
        classes = tuple(
            ClassMetrics(
                name,
                counts[number],
                _mean(precision[:, :, index]),
                _mean(precision[0, :, index]),
                _mean(precision[5, :, index]),
                _mean(recall[:, index]),
            )
            # pycocotools sorts by id.
            for index, (number, name) in enumerate(sorted(self.categories.items()))
        )
        summary = {name: _known(value) for name, value in zip(SUMMARY, evaluation.stats, strict=True)}
        return Scores(kind, summary, classes, precision)

    def _loaded(self, results: Sequence[Result], kind: Kind) -> Any:
        """`results` as pycocotools' own object."""
        from pycocotools.coco import COCO

        # Beside a box it would take the box's area for a mask's, and then nothing is small that is wide and thin.
        left_out = "bbox" if kind == "mask" else "segmentation"
        rows = [{key: value for key, value in each.items() if key != left_out} for each in results]
        if rows:
            return self.truth.loadRes(rows)
        nothing = COCO()
        nothing.dataset = {**self.truth.dataset, "annotations": []}
        nothing.createIndex()
        return nothing


def as_json(scores: Scores) -> dict[str, Any]:
    """The metrics for programs."""
    classes = [
        {"name": each.name, "annotations": each.annotations}
        | {name: _rounded(value) for name, value in _named(each).items()}
        for each in scores.classes
    ]
    return {**{name: _rounded(value) for name, value in scores.summary.items()}, "classes": classes}


def _named(metrics: ClassMetrics) -> Mapping[str, float | None]:
    return {"AP": metrics.ap, "AP50": metrics.ap50, "AP75": metrics.ap75, "AR100": metrics.ar}


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)


def _mean(values: Float) -> float | None:
    known = values[values > -1]
    return float(known.mean()) if known.size else None


def _known(value: float) -> float | None:
    return float(value) if value > -1 else None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """pycocotools prints what it does."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
