"""`mrcnn-cv eval --plot`: precision-recall curves on the left, a confusion matrix on the right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.canvas import GRID, INK, PAPER, SOFT, Canvas, encode_png, widest
from mrcnn_cv.drawing.colors import Bgr, color, ink_on
from mrcnn_cv.drawing.text import fit_text
from mrcnn_cv.evaluation.confusion import IOU, SCORE, Confusion
from mrcnn_cv.evaluation.scores import ClassMetrics, Scores

__all__ = ["draw_evaluation", "encode_png"]

Float = NDArray[np.float64]

WIDTH, HEIGHT = 1920, 1080
MAX_CURVES, MAX_CLASSES = 10, 20
"""Classes with a curve, and classes with a row in the matrix; of more of them those that say most are shown."""

_MARGIN, _TITLE, _TEXT, _SMALL = 60, 40, 26, 22
_TOP = 190
_RIGHT: Bgr = (122, 62, 18)
_WRONG: Bgr = (30, 66, 214)
_AT_50, _AT_75 = 0, 5
"""Places of IoU 0.50 and 0.75 among the thresholds."""
_LONG, _SHORT = 14.0, 5.0
"""Dashes."""


def draw_evaluation(scores: Scores, matrix: Confusion, title: str) -> NDArray[np.uint8]:
    """The sheet, (1080, 1920, 3) uint8 BGR."""
    canvas = Canvas(WIDTH, HEIGHT)
    canvas.text(fit_text(title, _TITLE, WIDTH - 2 * _MARGIN), _MARGIN, 52, _TITLE)
    metrics = ", ".join(
        f"{name.replace('_', ' ')} {value:.3f}" for name, value in scores.summary.items() if value is not None
    )
    canvas.text(fit_text(f"{_kinds(scores.kind)}: {metrics}", _SMALL, WIDTH - 2 * _MARGIN), _MARGIN, 98, _SMALL, SOFT)
    _curves(canvas, scores, left=_MARGIN + 70, right=900)
    _matrix(canvas, shown(matrix), left=1010, right=WIDTH - _MARGIN)
    return canvas.image


def _kinds(kind: str) -> str:
    return {"mask": "masks", "box": "boxes"}[kind]


def _curves(canvas: Canvas, scores: Scores, left: int, right: int) -> None:
    """Precision over recall: every class, and all of them together."""
    side = right - left
    top, bottom = _TOP, _TOP + 590
    canvas.text(f"Precision and recall ({_kinds(scores.kind)})", left, _TOP - 36, _TEXT)
    for step in range(6):
        share = step / 5
        x, y = left + share * side, bottom - share * (bottom - top)
        canvas.rectangle(left, y - 1, right, y + 1, GRID)
        canvas.rectangle(x - 1, top, x + 1, bottom, GRID)
        canvas.text(f"{share:.1f}", left - 12, y, _SMALL, SOFT, "right")
        canvas.text(f"{share:.1f}", x, bottom + 22, _SMALL, SOFT, "center")
    canvas.text("recall", (left + right) / 2, bottom + 52, _SMALL, SOFT, "center")
    canvas.text("precision", left - 68, (top + bottom) / 2, _SMALL, SOFT, "center", turned=True)

    def points(precision: Float) -> Float:
        recall = np.linspace(0, 1, len(precision))
        return np.stack([left + recall * side, bottom - precision * (bottom - top)], axis=1)

    chosen = _chosen(scores)
    for index, _ in chosen:
        canvas.lines(points(scores.precision[:, :, index].mean(axis=0)), color(index), 2)
    for threshold, dash in ((_AT_50, _LONG), (_AT_75, _SHORT)):
        canvas.dashes(points(_all(scores, scores.precision[threshold])), INK, 2, dash)
    canvas.lines(points(_all(scores, scores.precision.mean(axis=0))), INK, 5)
    _legend(canvas, scores, chosen, left, bottom + 96, right)


def _all(scores: Scores, precision: Float) -> Float:
    """The mean over classes with annotations of (101, classes)."""
    known = [index for index, each in enumerate(scores.classes) if each.ap is not None]
    mean: Float = precision[:, known].mean(axis=1) if known else np.zeros(len(precision))
    return mean


def _chosen(scores: Scores) -> list[tuple[int, ClassMetrics]]:
    """Classes with a curve: all, or those that are found worst."""
    known = [(index, each) for index, each in enumerate(scores.classes) if each.ap is not None]
    return known if len(known) <= MAX_CURVES else sorted(known, key=lambda pair: pair[1].ap or 0.0)[:MAX_CURVES]


def _legend(
    canvas: Canvas, scores: Scores, chosen: list[tuple[int, ClassMetrics]], left: int, top: int, right: int
) -> None:
    entries: list[tuple[str, float, Bgr, float | None]] = [("all", scores.summary["AP"] or 0.0, INK, None)]
    entries += [("all at IoU 0.50", scores.summary["AP50"] or 0.0, INK, _LONG)]
    entries += [("all at IoU 0.75", scores.summary["AP75"] or 0.0, INK, _SHORT)]
    entries += [(each.name, each.ap or 0.0, color(index), None) for index, each in chosen]
    known = sum(each.ap is not None for each in scores.classes)
    note = "" if len(chosen) == known else f"; of {known} classes the {len(chosen)} with the lowest AP"
    canvas.text(f"curves with their AP; solid ones are means over IoU 0.50 to 0.95{note}", left, top, _SMALL, SOFT)
    column = (right - left) // 3
    for place, (name, value, ink, dash) in enumerate(entries):
        x, y = left + place % 3 * column, top + 38 + place // 3 * 34
        line = np.array([[x, y], [x + 34, y]], np.float64)
        if dash is not None:
            canvas.dashes(line, ink, 2, dash)
        else:
            canvas.lines(line, ink, 5 if place == 0 else 3)
        number = f" {value:.3f}"
        canvas.text(fit_text(name, _SMALL, column - 66 - widest([number], _SMALL)) + number, x + 46, y, _SMALL)


def shown(matrix: Confusion) -> Confusion:
    """The matrix with the most frequent classes in rows of their own, the others in one."""
    count = len(matrix.names)
    if count <= MAX_CLASSES:
        return matrix
    order = np.argsort(-matrix.counts[:-1].sum(axis=1), kind="stable")
    own = np.sort(order[: MAX_CLASSES - 1])
    place = np.full(count + 1, MAX_CLASSES - 1)
    place[own], place[-1] = np.arange(len(own)), MAX_CLASSES
    counts = np.zeros((MAX_CLASSES + 1, MAX_CLASSES + 1), np.int64)
    np.add.at(counts, (place[:, np.newaxis], place), matrix.counts)
    names = (*(matrix.names[index] for index in own), f"{count - len(own)} others")
    return Confusion(names, counts, matrix.kind, matrix.mean_iou)


def _matrix(canvas: Canvas, matrix: Confusion, left: int, right: int) -> None:
    """Rows: what is annotated; columns: what it was found as. The deeper the color, the larger the share."""
    size = len(matrix.names) + 1
    text = _TEXT if size <= 8 else _SMALL if size <= 14 else 18
    rows, columns = [*matrix.names, "nothing"], [*matrix.names, "missed"]
    rows, columns = ([fit_text(name, text, 170) for name in names] for names in (rows, columns))
    canvas.text(
        f"What is found as what (scores from {SCORE:g}, {matrix.kind} IoU from {IOU:g})", left, _TOP - 36, _TEXT
    )
    first = left + 44 + widest(rows, text)
    cell = min((right - first) / size, 760 / size)
    turned = widest(columns, text) > cell - 8
    top = _TOP + 40 + (widest(columns, text) if turned else text)
    cell = min(cell, (HEIGHT - 50 - top) / size)
    canvas.text("found as", first + cell * size / 2, _TOP + 6, _SMALL, SOFT, "center")
    canvas.text("annotated", left + 10, top + cell * size / 2, _SMALL, SOFT, "center", turned=True)
    for row, column in np.ndindex(size, size):
        _cell(canvas, matrix, row, column, (first + column * cell, top + row * cell, cell), text)
    for index in range(size):
        middle = top + (index + 0.5) * cell
        canvas.text(rows[index], first - 12, middle, text, INK if index < size - 1 else SOFT, "right")
        x, ink = first + (index + 0.5) * cell, INK if index < size - 1 else SOFT
        if turned:
            canvas.text(columns[index], x, top - 10, text, ink, "left", turned=True)
        else:
            canvas.text(columns[index], x, top - 10 - text / 2, text, ink, "center")


def _cell(
    canvas: Canvas, matrix: Confusion, row: int, column: int, place: tuple[float, float, float], text: int
) -> None:
    """One cell, as large as `place` says: left, top, side."""
    x, y, side = place
    last, count = len(matrix.names), int(matrix.counts[row, column])
    # Of instances where nothing is, the share of what there is of their class.
    whole = matrix.counts[column].sum() if row == last else matrix.counts[row].sum()
    strength = min(count / max(int(whole), 1), 1.0) ** 0.6
    deep = _RIGHT if row == column else _WRONG
    blue, green, red = (round(low + (high - low) * strength) for low, high in zip(PAPER, deep, strict=True))
    canvas.rectangle(x, y, x + side, y + side, GRID)
    canvas.rectangle(x + 1, y + 1, x + side - 1, y + side - 1, PAPER if row == column == last else (blue, green, red))
    numbers = [f"{count:,}", str(count), f"{count / 1000:.1f}k", f"{count / 1000:.0f}k"] if count else []
    number = next((each for each in numbers if widest([each], text) <= side - 4), "")
    canvas.text(number, x + side / 2, y + side / 2, text, ink_on((blue, green, red)), "center")
