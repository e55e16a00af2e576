"""Painting instances over an image: translucent masks, contours, boxes, and labels with scores.

Everything is done on the pixels under a box; nothing of the size of the image is allocated but the result.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.colors import UNTRACKED, Bgr, color, ink_on
from mrcnn_cv.drawing.panel import draw_panel, draw_stats
from mrcnn_cv.drawing.text import MIN_TEXT_HEIGHT, fit_text, line_width, render_text, text_height
from mrcnn_cv.errors import UsageError
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.arguments import check_fields, typed
from mrcnn_cv.util.opencv import cv2
from mrcnn_cv.util.parallel import min_rows, parallel_for

__all__ = ["PARTS", "ColorBy", "Style", "color", "draw", "draw_stats"]

ColorBy = Literal["instance", "class"]
Image = NDArray[np.uint8]

PARTS = ("labels", "boxes", "scores", "masks", "contours")
"""What `Style.hide` can name."""

_OFF_LINE = 0.5
"""Pixels that an outline may lie off the edge of its mask."""

_TRAIL_STEPS, _TRAIL_FRACTION_BITS = 4, 3


@dataclass(frozen=True)
class Style:
    """How instances are drawn.

    Attributes
    ----------
    opacity
        Of the masks: 0 leaves the image as it is, 1 covers it with the color.
    line_width
        Of boxes and contours in pixels; None scales it with the image.
    hide
        Any of "labels", "boxes", "scores", "masks", "contours"; with both labels and scores hidden there are no tags.
    color_by
        "instance": a color for each track, or for each index without tracking; "class": one color for each class.
    text_height
        Of a line of text in pixels; None scales it with the image.
    trail
        Draw the path of each tracked instance as a line.
    counts
        Draw the number of instances of each class in the top right corner, with tracking also the total so far.

    Raises
    ------
    UsageError
        For a value out of range, or an unknown name.
    """

    opacity: float = 0.45
    line_width: int | None = None
    hide: frozenset[str] = frozenset()
    color_by: ColorBy = "instance"
    text_height: int | None = None
    trail: bool = False
    counts: bool = False

    def __post_init__(self) -> None:
        check_fields(self)
        if not 0 <= self.opacity <= 1:
            raise UsageError(f"an opacity of {self.opacity} is not possible: give a number from 0 to 1")
        _check_pixels("line width", self.line_width, 1)
        _check_pixels("text height", self.text_height, MIN_TEXT_HEIGHT)
        unknown = sorted(set(self.hide) - set(PARTS))
        if unknown:
            raise UsageError(f"cannot hide {', '.join(map(repr, unknown))}: give some of {', '.join(PARTS)}")
        if self.color_by not in get_args(ColorBy):
            choices = " or ".join(map(repr, get_args(ColorBy)))
            raise UsageError(f"colours cannot go by {self.color_by!r}: give {choices}")


def _check_pixels(name: str, value: int | None, minimum: int) -> None:
    if value is not None and (not isinstance(value, int) or value < minimum):
        raise UsageError(f"a {name} of {value} is not possible: give a whole number of pixels, {minimum} or more")


@dataclass(frozen=True)
class _Box:
    """The pixels of a box that lie in the image; `right` and `bottom` are the first ones beyond it."""

    left: int
    top: int
    right: int
    bottom: int


@typed
def draw(image_bgr: Image, instances: Instances, style: Style | None = None) -> Image:
    """A new image (H, W, 3) uint8 with the instances painted over `image_bgr` (H, W, 3) uint8, which stays as it is.

    The best score lies on top; all tags lie above all masks. Instances whose box is empty, outside of the image or not
    a number are left out, and so are tags for which the image has no room. Raises UsageError for an image of another
    kind, or of another size than the one in which the instances were found.
    """
    _check_image(image_bgr, instances)
    style = style or Style()
    painted = np.array(image_bgr, order="C")
    boxes = {index: box for index in range(len(instances)) if (box := _visible(instances, index)) is not None}
    ranked = [int(index) for index in np.argsort(-instances.scores, kind="stable") if int(index) in boxes]
    colors = {index: _color(instances, index, style) for index in ranked}
    width = style.line_width or line_width(painted)
    for index in reversed(ranked):
        _paint_mask(painted, instances, index, colors[index], style, width)
        if "boxes" not in style.hide:
            _paint_frame(painted, boxes[index], colors[index], width)
    if style.trail and instances.trails is not None:
        for index in reversed(ranked):
            _paint_trail(painted, instances.trails[index], colors[index], width)
    tags = _tags(painted, instances, {index: boxes[index] for index in ranked}, style)
    for index, (left, top, text) in reversed(tags.items()):
        rows, columns = text.shape
        painted[top : top + rows, left : left + columns] = _shades(colors[index])[text]
    if style.counts:
        draw_panel(painted, _counts(instances), "right", style.text_height)
    return painted


def _color(instances: Instances, index: int, style: Style) -> Bgr:
    if style.color_by == "class":
        return color(int(instances.class_ids[index]))
    if instances.track_ids is None:
        return color(index)
    number = int(instances.track_ids[index])
    return color(number - 1) if number else UNTRACKED


def _counts(instances: Instances) -> list[str]:
    """A line for each class: how many there are, and of followed ones how many there were so far."""
    if instances.track_ids is None or instances.totals is None:
        return [f"{label} {number}" for label, number in instances.counts().items()]
    now = Counter(label for label, number in zip(instances.labels, instances.track_ids, strict=True) if number)
    # In the order in which they first appeared, so that lines stay where they are.
    return [f"{label} {now[label]} ({total} so far)" for label, total in instances.totals.items()]


def _check_image(image_bgr: Image, instances: Instances) -> None:
    if not isinstance(image_bgr, np.ndarray):
        raise UsageError(
            f"cannot draw on {image_bgr!r}: give an image, a numpy array; cv2.imread gives None if it fails"
        )
    if image_bgr.dtype != np.uint8 or image_bgr.ndim != 3 or image_bgr.shape[2] != 3:
        raise UsageError(
            f"cannot draw on an array of shape {image_bgr.shape} and type {image_bgr.dtype}:"
            " give a BGR image of shape (height, width, 3) and type uint8"
        )
    if image_bgr.shape[:2] != tuple(instances.image_size):
        height, width = instances.image_size
        raise UsageError(
            f"these instances were found in an image of {width} x {height} pixels, and this one has"
            f" {image_bgr.shape[1]} x {image_bgr.shape[0]}: draw on the image that was given to the model"
        )


def _visible(instances: Instances, index: int) -> _Box | None:
    height, width = instances.image_size
    box = instances.boxes[index].astype(np.float64)
    if not np.isfinite(box).all():
        return None
    x1, x2 = np.clip(box[[0, 2]], 0, width)
    y1, y2 = np.clip(box[[1, 3]], 0, height)
    if x2 <= x1 or y2 <= y1:
        return None
    left, top = min(round(x1), width - 1), min(round(y1), height - 1)
    return _Box(left, top, max(left + 1, round(x2)), max(top + 1, round(y2)))


def _paint_mask(image: Image, instances: Instances, index: int, ink: Bgr, style: Style, line_width: int) -> None:
    """Tint the pixels of the mask and line its outlines, those of its holes too."""
    shows_mask = "masks" not in style.hide and style.opacity > 0
    shows_contour = "contours" not in style.hide
    if instances.mask_probabilities is None or not (shows_mask or shows_contour):
        return
    top, left, inside = instances.local_mask(index)
    rows, columns = inside.shape
    if inside.size == 0:
        return
    mask = np.ascontiguousarray(inside).view(np.uint8)
    if shows_mask:
        _tint(image[top : top + rows, left : left + columns], mask, ink, style.opacity)
    if shows_contour:
        framed = cv2.copyMakeBorder(mask, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        outlines, _ = cv2.findContours(framed, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        # Thick lines need no smoothing, and smoothing them takes ten times as long.
        kind = cv2.LINE_AA if line_width < 4 else cv2.LINE_8
        # Nor do all the steps of a slanted edge show: the line through them takes half as long.
        outlines = [cv2.approxPolyDP(outline, _OFF_LINE, True) for outline in outlines]
        cv2.drawContours(image, outlines, -1, ink, line_width, kind, offset=(left - 1, top - 1))


def _tint(region: Image, mask: Image, ink: Bgr, opacity: float) -> None:
    rows, columns = mask.shape

    def work(part: range) -> None:
        own = region[part.start : part.stop]
        tint = cv2.rectangle(np.empty_like(own, order="C"), (0, 0), (columns, len(part)), ink, cv2.FILLED)
        tint = cv2.addWeighted(own, 1 - opacity, tint, opacity, 0, tint)
        cv2.copyTo(tint, mask[part.start : part.stop], own)

    parallel_for(work, rows, minimum=min_rows(columns))


def _paint_frame(image: Image, box: _Box, ink: Bgr, line_width: int) -> None:
    """The box as a line just within its edges, which keeps boxes that end with the image visible."""
    region = image[box.top : box.bottom, box.left : box.right]
    region[:line_width] = ink
    region[-line_width:] = ink
    region[:, :line_width] = ink
    region[:, -line_width:] = ink


def _paint_trail(image: Image, trail: NDArray[np.float32], ink: Bgr, line_width: int) -> None:
    """Paint a line along `trail` (k, 2) float32, x y in pixels, oldest first: the older, the thinner; in place."""
    if len(trail) < 2:
        return
    # Fixed-point coordinates; far beyond any image they would overflow.
    points = np.rint(np.clip(trail, -30_000, 60_000) * (1 << _TRAIL_FRACTION_BITS)).astype(np.int32)
    borders = np.linspace(0, len(points) - 1, _TRAIL_STEPS + 1).round().astype(int)
    for step, (first, last) in enumerate(pairwise(borders), start=1):
        if last > first:
            width = max(1, round((line_width + 1) * step / _TRAIL_STEPS))
            cv2.polylines(image, [points[first : last + 1]], False, ink, width, cv2.LINE_AA, _TRAIL_FRACTION_BITS)


def _shades(background: Bgr) -> Image:
    """(256, 3) uint8: the color of a tag for each coverage by its text."""
    coverage = np.arange(256, dtype=np.float32)[:, np.newaxis] / 255
    low, high = np.array(background, dtype=np.float32), np.array(ink_on(background), dtype=np.float32)
    return np.rint(low + (high - low) * coverage).astype(np.uint8)


def _tags(
    image: Image, instances: Instances, boxes: dict[int, _Box], style: Style
) -> dict[int, tuple[int, int, Image]]:
    """Left, top and coverage (h, w) uint8 of the tag of each instance; best score first, which gets the best place."""
    rows, columns = image.shape[:2]
    height = min(style.text_height or text_height(image), rows - 2)
    if height < MIN_TEXT_HEIGHT or {"labels", "scores"} <= style.hide:
        return {}
    margin_x, margin_y = max(1, round(height * 0.25)), min(round(height * 0.06), (rows - height) // 2)
    taken = np.zeros((0, 4), dtype=np.int64)
    tags: dict[int, tuple[int, int, Image]] = {}
    for index, box in boxes.items():
        text = _tag_text(instances, index, height, columns - 2 * margin_x, style)
        if not text.shape[1]:
            continue
        tag = np.pad(text, ((margin_y, margin_y), (margin_x, margin_x)))
        place = _place(box, tag.shape, (rows, columns), taken)
        taken = np.vstack([taken, place])
        tags[index] = (int(place[0]), int(place[1]), tag)
    return tags


def _tag_text(instances: Instances, index: int, height: int, width: int, style: Style) -> Image:
    """Coverage (height, w) of "#12 person 0.98", at most `width` pixels; of no width where nothing fits."""
    label = "" if "labels" in style.hide else instances.labels[index]
    score = "" if "scores" in style.hide else f"{instances.scores[index]:.2f}"
    number = 0 if instances.track_ids is None or "labels" in style.hide else int(instances.track_ids[index])
    # A text of its own: numbers and scores are rendered once, and not again for each pair of them.
    before = render_text(f"#{number} " if number else "", height)
    text = render_text(fit_text(label, height, width - before.shape[1], score), height)
    return np.hstack([before, text]) if text.shape[1] else text


def _place(box: _Box, tag: tuple[int, ...], image: tuple[int, int], taken: NDArray[np.int64]) -> NDArray[np.int64]:
    """Left, top, right, bottom of a tag within the image: the first of some places that covers least of other tags.

    Above the box, in it, below it, or further down its left edge; then the same at its right edge.
    """
    height, width = tag
    steps = np.arange(box.top + height, max(box.bottom - height, box.top + height), height)[:20]
    tops = np.concatenate([[box.top - height, box.top, box.bottom, box.bottom - height], steps])
    tops = np.clip(tops, 0, image[0] - height)
    lefts = np.clip([box.left, box.right - width], 0, image[1] - width)
    top, left = np.tile(tops, 2), np.repeat(lefts, len(tops))
    places = np.stack([left, top, left + width, top + height], axis=1).astype(np.int64)
    if not len(taken):
        first: NDArray[np.int64] = places[0]
        return first
    overlap = np.minimum(places[:, np.newaxis, 2:], taken[:, 2:]) - np.maximum(places[:, np.newaxis, :2], taken[:, :2])
    covered = np.clip(overlap, 0, None).prod(axis=2).sum(axis=1)
    best: NDArray[np.int64] = places[int(covered.argmin())]
    return best
