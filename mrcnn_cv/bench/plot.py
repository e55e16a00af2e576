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
from mrcnn_cv.drawing.canvas import GRID, INK, PAPER, SOFT, Canvas, encode_png, widest
from mrcnn_cv.drawing.colors import Bgr
from mrcnn_cv.drawing.text import text_size

Image = NDArray[np.uint8]

WIDTH, MARGIN = 1800, 60
BAR, ROW = 44, 76
TITLE, TEXT, SMALL = 52, 34, 28
_WITHOUT_STEPS: Bgr = (190, 184, 178)

COLORS: dict[str, Bgr] = {
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

    steps: milliseconds of the parts that it is cut into, by the names of COLORS; none: it is grey. note: what stands
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
    charts = [Chart(heading(group), [bar(entry) for entry in group.entries]) for group in results.groups]
    return encode_png(draw(results, charts))


def draw(results: BenchResults, charts: Sequence[Chart], note: str = "") -> Image:
    """Charts below the head of the results: (H, 1800, 3) uint8 BGR, as high as it has to be. note: the last line."""
    heights = [TEXT * 3 + ROW * len(chart.bars) + 2 * SMALL + TEXT for chart in charts]
    steps = [name for name in INFERENCE if any(name in each.steps for chart in charts for each in chart.bars)]
    top = MARGIN + TITLE + SMALL * 5
    canvas = Canvas(WIDTH, top + sum(heights) + 3 * SMALL + MARGIN)
    canvas.text("mrcnn-cv bench", MARGIN, MARGIN + TITLE / 2, TITLE)
    for index, line in enumerate(head(results)):
        canvas.text(line, MARGIN, MARGIN + TITLE + SMALL + index * (SMALL + 8), SMALL, SOFT)
    for chart, height in zip(charts, heights, strict=True):
        _draw_chart(canvas, chart, top)
        top += height
    _draw_legend(canvas, steps, note, top)
    return canvas.image


def _draw_chart(canvas: Canvas, chart: Chart, top: int) -> None:
    canvas.text(chart.heading, MARGIN, top + TEXT / 2, TEXT)
    top += TEXT * 2
    bottom = top + ROW * len(chart.bars)
    left = MARGIN + widest([each.label for each in chart.bars], SMALL) + 30
    right = WIDTH - MARGIN - widest([each.note for each in chart.bars], SMALL) - 20
    longest = max(each.milliseconds.high for each in chart.bars)
    for tick in _ticks(longest):
        x = left + (right - left) * tick / longest
        canvas.rectangle(x, top, x + 2, bottom, GRID)
        canvas.text(f"{tick:,g}", x, bottom + 8 + SMALL / 2, SMALL, SOFT, "center")
    canvas.text("ms", right + 20, bottom + 8 + SMALL / 2, SMALL, SOFT)
    for index, each in enumerate(chart.bars):
        middle = top + (index + 0.5) * ROW
        canvas.text(each.label, left - 24, middle, SMALL, INK, "right")
        start = _draw_bar(canvas, each, left, middle, (right - left) / longest) + 18
        end = start + text_size(each.note, SMALL)[0]
        canvas.rectangle(start - 8, middle - BAR / 2, end + 8, middle + BAR / 2, PAPER)
        canvas.text(each.note, start, middle, SMALL)


def _draw_bar(canvas: Canvas, bar: Bar, left: float, middle: float, scale: float) -> float:
    """A bar with its quartiles as a line, and its mark; returns where it ends."""
    spread = bar.milliseconds
    top, bottom, end = middle - BAR / 2, middle + BAR / 2, left + spread.median * scale
    if not bar.steps:
        canvas.rectangle(left, top, end, bottom, _WITHOUT_STEPS)
    # Medians of parts need not sum up to the median of the whole.
    whole, start = sum(bar.steps.values()), float(left)
    for name, value in bar.steps.items():
        next_start = start + spread.median * scale * value / whole
        canvas.rectangle(start, top, next_start, bottom, COLORS[name])
        start = next_start
    low, high = left + spread.low * scale, left + spread.high * scale
    canvas.rectangle(low, middle - 1, high, middle + 2, INK)
    for x in (low, high):
        canvas.rectangle(x - 1, middle - 8, x + 2, middle + 9, INK)
    if bar.mark is None:
        return max(end, high)
    x = left + bar.mark * scale
    canvas.rectangle(x - 2, top - 8, x + 2, bottom + 8, INK)
    return max(end, high, x)


def _draw_legend(canvas: Canvas, steps: Sequence[str], note: str, top: int) -> None:
    x = MARGIN
    for name in steps:
        canvas.rectangle(x, top + 3, x + SMALL - 4, top + SMALL - 1, COLORS[name])
        text = name.replace("_", " ")
        canvas.text(text, x + SMALL + 4, top + SMALL / 2, SMALL)
        x += SMALL + 4 + text_size(text, SMALL)[0] + 28
    canvas.text(note, MARGIN, top + SMALL * 1.5 + 16, SMALL, SOFT)


def _ticks(longest: float) -> Iterator[float]:
    """Round numbers from 0 to `longest`, four to nine of them."""
    unit: float = 10 ** floor(log10(longest))
    step = next(unit * factor for factor in (0.1, 0.2, 0.25, 0.5, 1, 2) if longest / (unit * factor) <= 8)
    tick = 0.0
    while tick <= longest:
        yield round(tick, 6)
        tick += step
