"""What a bench found, as a picture: a bar for each contestant, ours cut into the steps."""

from __future__ import annotations

from collections.abc import Iterator
from math import floor, log10

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.bench.ours import INFERENCE
from mrcnn_cv.bench.results import Entry, Group, Report
from mrcnn_cv.bench.table import head, heading, milliseconds
from mrcnn_cv.drawing.text import render_text, text_size
from mrcnn_cv.util.opencv import cv2

Image = NDArray[np.uint8]
Bgr = tuple[int, int, int]

WIDTH, MARGIN = 1800, 60
BAR, ROW = 44, 76
TITLE, TEXT, SMALL = 52, 34, 28
_INK, _SOFT, _GRID, _PAPER = (45, 38, 33), (130, 120, 112), (232, 228, 224), (255, 255, 255)
_PEER: Bgr = (190, 184, 178)

COLOURS: dict[str, Bgr] = {
    "resize": (196, 158, 178),
    "trunk": (196, 112, 46),
    "proposals": (168, 118, 146),
    "box_crops": (196, 206, 138),
    "box_head": (142, 160, 34),
    "detections": (138, 84, 116),
    "mask_crops": (140, 196, 250),
    "mask_head": (44, 138, 240),
}
"""Nets in blue, green and orange, the crops of a head in its lighter tone, what numpy does in violet."""


def plot(report: Report) -> Image:
    """The picture, (H, 1800, 3) uint8 BGR; as high as it has to be."""
    heights = [TEXT * 3 + ROW * len(group.entries) + 2 * SMALL + TEXT for group in report.groups]
    steps = [
        name for name in INFERENCE if any(name in entry.steps() for group in report.groups for entry in group.ours)
    ]
    top = MARGIN + TITLE + SMALL * 5
    canvas = _Canvas(top + sum(heights) + 3 * SMALL + MARGIN)
    canvas.write("mrcnn-cv bench", MARGIN, MARGIN, TITLE)
    for index, line in enumerate(head(report)):
        canvas.write(line, MARGIN, MARGIN + TITLE + SMALL // 2 + index * (SMALL + 8), SMALL, _SOFT)
    for group, height in zip(report.groups, heights, strict=True):
        _group(canvas, group, top)
        top += height
    _legend(canvas, steps, top)
    return canvas.pixels


def _group(canvas: _Canvas, group: Group, top: int) -> None:
    canvas.write(heading(group), MARGIN, top, TEXT)
    top += TEXT * 2
    bottom = top + ROW * len(group.entries)
    left = MARGIN + max(text_size(entry.label, SMALL)[0] for entry in group.entries) + 30
    notes = {entry.label: _note(entry, group) for entry in group.entries}
    right = WIDTH - MARGIN - max(text_size(note, SMALL)[0] for note in notes.values()) - 20
    longest = max(entry.milliseconds.high for entry in group.entries)
    for tick in _ticks(longest):
        x = left + round((right - left) * tick / longest)
        canvas.fill(x, top, x + 2, bottom, _GRID)
        canvas.write_centred(f"{tick:,g}", x, bottom + 8, SMALL, _SOFT)
    canvas.write("ms", right + 20, bottom + 8, SMALL, _SOFT)
    for index, entry in enumerate(group.entries):
        y = top + index * ROW + (ROW - BAR) // 2
        canvas.write(entry.label, left - 24 - text_size(entry.label, SMALL)[0], y + (BAR - SMALL) // 2, SMALL)
        end = _bar(canvas, entry, left, y, (right - left) / longest)
        end = max(end, _limit(canvas, entry, group, left, y, (right - left) / longest))
        note, start = notes[entry.label], end + 18
        canvas.fill(start - 8, y, start + text_size(note, SMALL)[0] + 8, y + BAR, _PAPER)
        canvas.write(note, start, y + (BAR - SMALL) // 2, SMALL)


def _bar(canvas: _Canvas, entry: Entry, left: int, top: int, scale: float) -> int:
    """The bar of a contestant, with its quartiles as a line; returns where it ends."""
    spread = entry.milliseconds
    end = left + round(spread.median * scale)
    if entry.is_peer:
        canvas.fill(left, top, end, top + BAR, _PEER)
    else:
        steps = {name: step.median for name, step in entry.steps().items() if name in INFERENCE}
        # Medians of parts need not sum up to the median of the whole.
        whole, start = sum(steps.values()), 0.0
        for name, value in steps.items():
            ends = [left + round(spread.median * scale * at / whole) for at in (start, start + value)]
            canvas.fill(ends[0], top, ends[1], top + BAR, COLOURS[name])
            start += value
    low, high = (left + round(value * scale) for value in (spread.low, spread.high))
    middle = top + BAR // 2
    canvas.fill(low, middle - 1, high, middle + 2, _INK)
    for x in (low, high):
        canvas.fill(x - 1, middle - 8, x + 2, middle + 9, _INK)
    return max(end, high)


def _note(entry: Entry, group: Group) -> str:
    """What stands behind a bar: its length, and for a peer how many times as fast ours are."""
    text = milliseconds(entry.milliseconds.median)
    if not entry.is_peer:
        return text
    ratios = [own.times_as_fast_as(entry).median for own in group.ours]
    low, high = min(ratios), max(ratios)
    return f"{text}   {low:.2f}x" if len(ratios) == 1 else f"{text}   {low:.2f}x to {high:.2f}x"


def _limit(canvas: _Canvas, entry: Entry, group: Group, left: int, top: int, scale: float) -> int:
    """A mark where a bar of ours would end at the rate of the matrices; returns where it is."""
    limit = None if entry.is_peer else group.limit(entry)
    if limit is None:
        return left
    x = left + round(sum(entry.gflop.values()) / limit[1] * 1000 * scale)
    canvas.fill(x - 2, top - 8, x + 2, top + BAR + 8, _INK)
    return x


def _legend(canvas: _Canvas, steps: list[str], top: int) -> None:
    x = MARGIN
    for name in steps:
        canvas.fill(x, top + 3, x + SMALL - 4, top + SMALL - 1, COLOURS[name])
        text = name.replace("_", " ")
        canvas.write(text, x + SMALL + 4, top, SMALL)
        x += SMALL + 4 + text_size(text, SMALL)[0] + 28
    note = (
        "upright mark: the arithmetic of the nets at the machine's rate for matrices;"
        "  1.5x: mrcnn-cv is so many times as fast"
    )
    canvas.write(note, MARGIN, top + SMALL + 16, SMALL, _SOFT)


def _ticks(longest: float) -> Iterator[float]:
    """Round numbers from 0 to `longest`, four to nine of them."""
    unit: float = 10 ** floor(log10(longest))
    step = next(unit * factor for factor in (0.1, 0.2, 0.25, 0.5, 1, 2) if longest / (unit * factor) <= 8)
    tick = 0.0
    while tick <= longest:
        yield round(tick, 6)
        tick += step


class _Canvas:
    """White paper to write and to paint on; coordinates in pixels, from the top left."""

    def __init__(self, height: int) -> None:
        self.pixels: Image = np.full((height, WIDTH, 3), _PAPER, np.uint8)

    def fill(self, left: int, top: int, right: int, bottom: int, colour: Bgr) -> None:
        self.pixels[top:bottom, left:right] = colour

    def write(self, text: str, left: int, top: int, height: int, ink: Bgr = _INK) -> None:
        coverage = render_text(text, height)[:, : max(0, WIDTH - left)]
        place = self.pixels[top : top + coverage.shape[0], left : left + coverage.shape[1]]
        share = coverage[: place.shape[0], :, np.newaxis].astype(np.float32) / np.float32(255)
        place[:] = np.rint(place * (1 - share) + np.array(ink, np.float32) * share).astype(np.uint8)

    def write_centred(self, text: str, middle: int, top: int, height: int, ink: Bgr = _INK) -> None:
        self.write(text, middle - text_size(text, height)[0] // 2, top, height, ink)


def png(report: Report) -> bytes:
    """The picture as the bytes of a PNG."""
    return cv2.imencode(".png", plot(report), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
