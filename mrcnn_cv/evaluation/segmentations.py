"""Masks in annotation files: polygons, and run lengths as numbers or as text.

They go into pycocotools' C code, which looks at nothing: it reads beyond its memory where runs are too long, and takes
as much of it as a polygon is wide. So whatever is not a mask of the image ends here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.structures import masks

Box = tuple[float, float, float, float]

MAX_CORNERS = 1_000_000
"""Of all polygons of an annotation."""

MAX_ROUNDS = 100
"""So many times as long as the border of its image may an outline be: pycocotools draws all of it."""
MAX_OUTLINE = 1 << 22
"""Pixels along all polygons of an annotation: pycocotools takes 80 bytes for each."""

_TEXT = re.compile(r"[0-o]*", re.ASCII)
"""COCO's text form uses 64 characters, from 48 on."""
_MAX_GROUPS = 8
"""Of five bits for one run: enough for an image whose sides are as long as they may be."""


@dataclass(frozen=True)
class Segmentation:
    """One mask. value: as pycocotools takes it. box: x, y, width, height around it. area: in pixels."""

    value: Any
    box: Box
    area: float


def check_segmentation(value: Any, width: int, height: int) -> Segmentation | None:
    """The "segmentation" of an annotation on an image of this size; None where it is missing or empty.

    ValueError, part of a sentence, for what is no mask of this image.
    """
    if value is None or value in ([], {}, [[]], ""):
        return None
    if isinstance(value, list):
        return _polygons(value, width, height)
    if isinstance(value, dict):
        return _run_lengths(value, width, height)
    raise ValueError("it is neither polygons nor run lengths")


def _polygons(value: list[Any], width: int, height: int) -> Segmentation:
    if not isinstance(value[0], list):
        # One polygon without the list around it, as some programs write it.
        value = [value]
    if not all(isinstance(part, list) for part in value):
        raise ValueError("a polygon is not a list of numbers")
    if sum(map(len, value)) > 2 * MAX_CORNERS:
        raise ValueError(f"it has more than {MAX_CORNERS:,} corners")
    wrong = next((len(part) for part in value if len(part) < 6 or len(part) % 2), None)
    if wrong is not None:
        raise ValueError(f"a polygon has {wrong} numbers: it takes an x and a y for each of three or more corners")
    try:
        numbers = np.array(list(chain.from_iterable(value)))
    except (TypeError, ValueError) as error:
        raise ValueError("a corner of a polygon is not a number") from error
    if numbers.dtype.kind not in "iuf" or numbers.ndim != 1:
        raise ValueError("a corner of a polygon is not a number")
    corners = numbers.astype(np.float64).reshape(-1, 2)
    # Outlines may pass the border a little, but not lie anywhere; what is not a number is not within, either.
    sides = np.array([width, height], np.float64)
    if not (np.abs(corners - sides / 2) <= sides + 16).all():
        raise ValueError(f"a polygon reaches far beyond the image of {width} x {height} pixels")
    maximum = min(MAX_OUTLINE, MAX_ROUNDS * 2 * (width + height))
    if _outline(value) > maximum:
        raise ValueError(f"its outline is longer than {maximum:,} pixels")
    (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
    area = sum(_area(np.array(part, np.float64).reshape(-1, 2)) for part in value)
    return Segmentation(value, (left, top, right - left, bottom - top), area)


def _outline(polygons: list[list[float]]) -> float:
    """How many pixels a drawing of the polygons would touch, about."""
    corners = [np.array(part, np.float64).reshape(-1, 2) for part in polygons]
    return sum(float(np.abs(np.roll(part, -1, axis=0) - part).max(axis=1).sum()) for part in corners)


def _area(corners: NDArray[np.float64]) -> float:
    """Of a polygon: half of the sum of the cross products of neighbours."""
    after = np.roll(corners, -1, axis=0)
    return abs(float((corners[:, 0] * after[:, 1] - corners[:, 1] * after[:, 0]).sum())) / 2


def _run_lengths(value: dict[str, Any], width: int, height: int) -> Segmentation:
    size, counts = value.get("size"), value.get("counts")
    if not isinstance(size, list) or [type(side) for side in size] != [int, int]:
        raise ValueError("run lengths come without their size, height and width")
    if size != [height, width]:
        raise ValueError(f"its size is {size[1]} x {size[0]}, but that of the image {width} x {height}")
    runs = _runs(counts, width * height)
    if not len(runs) or (runs < 0).any() or runs.sum() != width * height:
        raise ValueError(f"its run lengths do not fill the image of {width} x {height} pixels")
    return Segmentation({"size": size, "counts": counts}, _box(runs, height), float(runs[1::2].sum()))


def _runs(counts: Any, pixels: int) -> NDArray[np.int64]:
    """Run lengths from a list or from text, none of them longer than the image, so that their sum is right."""
    if isinstance(counts, list):
        if not all(type(run) is int and 0 <= run <= pixels for run in counts):
            raise ValueError("a run length is not a whole number of pixels")
        return np.array(counts, np.int64)
    if not isinstance(counts, str):
        raise ValueError("run lengths come without their counts")
    if not _TEXT.fullmatch(counts):
        raise ValueError("its run lengths hold characters that do not occur in them")
    groups = np.frombuffer(counts.encode("ascii"), np.uint8) - 48
    last = np.flatnonzero(groups & 0x20 == 0)
    if len(groups) and (not len(last) or last[-1] != len(groups) - 1):
        raise ValueError("its run lengths are cut off")
    if np.diff(last, prepend=-1).max(initial=0) > _MAX_GROUPS or len(last) > 1 << 24:
        raise ValueError("a run length is not a whole number of pixels")
    runs = masks.expand(counts)
    if (runs > pixels).any():
        raise ValueError("a run length is longer than the image")
    return runs


def _box(runs: NDArray[np.int64], height: int) -> Box:
    """x, y, width, height around the pixels that are set."""
    ends = np.cumsum(runs)
    starts, ends = ends[0::2][: len(ends) // 2], ends[1::2] - 1
    starts, ends = starts[ends >= starts], ends[ends >= starts]
    if not len(starts):
        return 0.0, 0.0, 0.0, 0.0
    left, right = int(starts[0]) // height, int(ends[-1]) // height
    # A run that goes on in the next column touches the bottom of the one and the top of the other.
    one_column = bool((starts // height == ends // height).all())
    top = int((starts % height).min()) if one_column else 0
    bottom = int((ends % height).max()) if one_column else height - 1
    return float(left), float(top), float(right - left + 1), float(bottom - top + 1)
