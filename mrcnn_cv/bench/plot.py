"""What a bench measured, as an image: a bar for each candidate, cut into the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.bench.results import BenchResults, Entry, Quartiles
from mrcnn_cv.bench.steps import INFERENCE
from mrcnn_cv.bench.table import head, heading, milliseconds
from mrcnn_cv.drawing.text import render_text, text_size
from mrcnn_cv.util.opencv import cv2

Image = NDArray[np.uint8]
Bgr = tuple[int, int, int]

WIDTH, MARGIN = 1800, 60
BAR, ROW = 44, 76
TITLE, TEXT, SMALL = 52, 34, 28
_INK, _SOFT, _GRID, _PAPER = (45, 38, 33), (130, 120, 112), (232, 228, 224), (255, 255, 255)
_WITHOUT_STEPS: Bgr = (190, 184, 178)

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


@dataclass(frozen=True)
class Bar:
    """One bar.

    steps: milliseconds of the parts that it is cut into, by the names of COLOURS; none: it is grey. note: what stands
    behind it. mark: milliseconds at which an upright mark stands; None: none.
    """

    label: str
    milliseconds: Quartiles
    steps: Mapping[str, float]
    note: str
    mark: float | None = None


@dataclass(frozen=True)
class Chart:
    """The bars of one group, below its heading."""

    heading: str
    bars: Sequence[Bar]


def bar(entry: Entry) -> Bar:
    """The bar of a candidate, cut into the steps of its inference."""
    steps = {name: spread.median for name, spread in entry.steps().items() if name in INFERENCE}
    return Bar(entry.label, entry.milliseconds, steps, milliseconds(entry.milliseconds.median))


def png(results: BenchResults) -> bytes:
    """The charts of the results as the bytes of a PNG."""
    return encode(
        draw(results, [Chart(heading(group), [bar(entry) for entry in group.entries]) for group in results.groups])
    )


def encode(image: Image) -> bytes:
    """An image as the bytes of a PNG."""
    return cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()


def draw(results: BenchResults, charts: Sequence[Chart], note: str = "") -> Image:
    """Charts below the head of the results: (H, 1800, 3) uint8 BGR, as high as it has to be. note: the last line."""
    heights = [TEXT * 3 + ROW * len(chart.bars) + 2 * SMALL + TEXT for chart in charts]
    bars = [each for chart in charts for each in chart.bars]
    steps = [name for name in INFERENCE if any(name in each.steps for each in bars)]
    top = MARGIN + TITLE + SMALL * 5
    canvas = _Canvas(top + sum(heights) + 3 * SMALL + MARGIN)
    canvas.write("mrcnn-cv bench", MARGIN, MARGIN, TITLE)
    for index, line in enumerate(head(results)):
        canvas.write(line, MARGIN, MARGIN + TITLE + SMALL // 2 + index * (SMALL + 8), SMALL, _SOFT)
    for chart, height in zip(charts, heights, strict=True):
        _draw_chart(canvas, chart, top)
        top += height
    _draw_legend(canvas, steps, note, top)
    return canvas.pixels


def _draw_chart(canvas: _Canvas, chart: Chart, top: int) -> None:
    canvas.write(chart.heading, MARGIN, top, TEXT)
    top += TEXT * 2
    bottom = top + ROW * len(chart.bars)
    left = MARGIN + max(text_size(each.label, SMALL)[0] for each in chart.bars) + 30
    right = WIDTH - MARGIN - max(text_size(each.note, SMALL)[0] for each in chart.bars) - 20
    longest = max(each.milliseconds.high for each in chart.bars)
    for tick in _ticks(longest):
        x = left + round((right - left) * tick / longest)
        canvas.fill(x, top, x + 2, bottom, _GRID)
        canvas.write_centered(f"{tick:,g}", x, bottom + 8, SMALL, _SOFT)
    canvas.write("ms", right + 20, bottom + 8, SMALL, _SOFT)
    for index, each in enumerate(chart.bars):
        y = top + index * ROW + (ROW - BAR) // 2
        canvas.write(each.label, left - 24 - text_size(each.label, SMALL)[0], y + (BAR - SMALL) // 2, SMALL)
        start = _draw_bar(canvas, each, left, y, (right - left) / longest) + 18
        canvas.fill(start - 8, y, start + text_size(each.note, SMALL)[0] + 8, y + BAR, _PAPER)
        canvas.write(each.note, start, y + (BAR - SMALL) // 2, SMALL)


def _draw_bar(canvas: _Canvas, bar: Bar, left: int, top: int, scale: float) -> int:
    """A bar with its quartiles as a line, and its mark; returns where it ends."""
    spread = bar.milliseconds
    end = left + round(spread.median * scale)
    if not bar.steps:
        canvas.fill(left, top, end, top + BAR, _WITHOUT_STEPS)
    # Medians of parts need not sum up to the median of the whole.
    whole, start = sum(bar.steps.values()), 0.0
    for name, value in bar.steps.items():
        ends = [left + round(spread.median * scale * at / whole) for at in (start, start + value)]
        canvas.fill(ends[0], top, ends[1], top + BAR, COLOURS[name])
        start += value
    low, high = (left + round(value * scale) for value in (spread.low, spread.high))
    middle = top + BAR // 2
    canvas.fill(low, middle - 1, high, middle + 2, _INK)
    for x in (low, high):
        canvas.fill(x - 1, middle - 8, x + 2, middle + 9, _INK)
    if bar.mark is None:
        return max(end, high)
    x = left + round(bar.mark * scale)
    canvas.fill(x - 2, top - 8, x + 2, top + BAR + 8, _INK)
    return max(end, high, x)


def _draw_legend(canvas: _Canvas, steps: list[str], note: str, top: int) -> None:
    x = MARGIN
    for name in steps:
        canvas.fill(x, top + 3, x + SMALL - 4, top + SMALL - 1, COLOURS[name])
        text = name.replace("_", " ")
        canvas.write(text, x + SMALL + 4, top, SMALL)
        x += SMALL + 4 + text_size(text, SMALL)[0] + 28
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

    def write_centered(self, text: str, middle: int, top: int, height: int, ink: Bgr = _INK) -> None:
        self.write(text, middle - text_size(text, height)[0] // 2, top, height, ink)
