"""Text in any language as a small coverage image, from the glyphs that ship in `mrcnn_cv/fonts`.

`cv2.putText` writes nothing but ASCII before OpenCV 5.0, and from then on what the build has fonts for. So the package
brings its own glyphs: an anti-aliased sans-serif for Latin, Greek, Cyrillic and symbols, and GNU Unifont's bitmaps for
the rest of the Basic Multilingual Plane (Chinese, Japanese, Korean, Thai, Hebrew, Arabic, ...). Either file is read
when a text first needs it. Their licences stand in `mrcnn_cv/fonts/LICENSES`; `scripts/make_glyphs.py` makes them.

Arabic letters take their joined forms and runs from right to left are reversed, which is enough for a label. What this
does not do: Indic syllables are not reordered (they stay legible letter by letter), mixed directions do not follow all
the Unicode rules, and what neither file has (emoji, control characters) is drawn as a box.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from math import ceil, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import UsageError
from mrcnn_cv.util.opencv import cv2

Font = Literal["sans", "unifont", "box"]
Pixels = NDArray[np.uint8]

SANS_LINE = 64
"""Height in pixels of a line of the sans-serif glyphs, as they are stored."""
SANS_BASELINE = 51
"""Rows of that line above the baseline."""

MIN_TEXT_HEIGHT = 6

MAX_CHARACTERS = 200
"""Of a text that `fit_text` looks at."""

_CELL = 16
_CELL_OF_LINE = 52 / 64
"""Height of Unifont's cell in a line: its Chinese characters then look as large as the letters beside them."""
_CLOSING = frozenset(")]}>»")
_MIRROR = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_NO_VARIATION = dict.fromkeys(range(0xFE00, 0xFE10))
_BOX_WIDTH, _BOX_TOP, _BOX_STROKE = 30, 16, 4


def line_width(image: Pixels) -> int:
    """1 pixel on a thumbnail, 2 on 600 x 400, 8 on 12 megapixels."""
    return max(1, round(0.9 + _side(image) / 480))


def text_height(image: Pixels) -> int:
    """10 pixels on a thumbnail, 18 on 600 x 400, 65 on 12 megapixels."""
    return round(9.5 + 0.016 * _side(image))


def _side(image: Pixels) -> float:
    """Side of the square with as many pixels."""
    return sqrt(image.shape[0] * image.shape[1])


def text_size(text: str, height: int) -> tuple[int, int]:
    """(width, height) in pixels of what `render_text` returns for the same arguments."""
    rows, columns = render_text(text, height).shape
    return columns, rows


def fit_text(text: str, height: int, width: float, suffix: str = "") -> str:
    """A text, cut short with three dots where it would be wider than `width` pixels, and a suffix, which is never cut.

    "" where not even the suffix has room. `height` is that of `render_text`.
    """

    def joined(letters: int) -> str:
        shown = text if letters >= len(text) else text[:letters].rstrip() + "…" if letters else ""
        return f"{shown} {suffix}".strip()

    text = text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "…"
    low, high = 0, len(text)
    if text_size(joined(high), height)[0] <= width:
        return joined(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if text_size(joined(middle), height)[0] <= width else (low, middle)
    return joined(low) if text_size(joined(low), height)[0] <= width else ""


@lru_cache(maxsize=512)
def render_text(text: str, height: int) -> Pixels:
    """One line of text as coverage, 0 (background) to 255 (ink): (height, width) uint8, read-only.

    `height` is that of the whole line in pixels, from above the accents to below the descenders; capitals take 0.55 of
    it. An empty text has width 0. Raises UsageError for a height below 1.
    """
    if height < 1:
        raise UsageError(f"a text height of {height} is not possible: give at least 1 pixel")
    parts = [np.zeros((height, 0), dtype=np.uint8)]
    for font, run in groupby(_clusters(text), key=_font_of):
        clusters = list(run)
        parts.append(_unifont_strip(clusters, height) if font == "unifont" else _sans_strip(clusters, height))
    line = np.hstack(parts)
    line.setflags(write=False)
    return line


def _clusters(text: str) -> list[str]:
    """Every character with the marks that sit on it, in the order in which they stand from left to right."""
    clusters: list[str] = []
    for character in unicodedata.normalize("NFC", text):
        if unicodedata.category(character).startswith("M") and clusters:
            clusters[-1] += character
        else:
            clusters.append(character)
    if any("\u0600" <= cluster[0] <= "\u06ff" for cluster in clusters):
        clusters = _joined(clusters)
    # Joiners, direction marks and variation selectors have no image of their own.
    clusters = [cluster.translate(_NO_VARIATION) for cluster in clusters if unicodedata.category(cluster[0]) != "Cf"]
    return list(_visual_order([cluster for cluster in clusters if cluster]))


def _joined(clusters: list[str]) -> list[str]:
    """Arabic letters replaced by the forms that they take between their neighbours (Unicode, chapter 9.2)."""
    forms = _arabic_forms()
    letters: list[tuple[str, str]] = []
    for cluster in clusters:
        base, marks = cluster[0], cluster[1:]
        if letters and letters[-1][0] + base in forms:  # lam and alef are always written as one
            last, last_marks = letters.pop()
            base, marks = last + base, last_marks + marks
        letters.append((base, marks))
    reaches_on = [False, *("initial" in forms.get(base, {}) for base, _ in letters), False]
    takes_up = [False, *("final" in forms.get(base, {}) for base, _ in letters), False]
    joined = []
    for place, (base, marks) in enumerate(letters, start=1):
        before = reaches_on[place - 1] and takes_up[place]
        after = reaches_on[place] and takes_up[place + 1]
        form = ("medial" if after else "final") if before else ("initial" if after else "isolated")
        joined.append(forms.get(base, {}).get(form, base) + marks)
    return joined


@lru_cache(maxsize=1)
def _arabic_forms() -> dict[str, dict[str, str]]:
    """For each Arabic letter, and for lam with alef, the character of each of its forms, as Unicode lists them."""
    forms = {"\u0640": dict.fromkeys(("initial", "medial", "final"), "\u0640")}  # the stroke that stretches a word
    for code in (*range(0xFB50, 0xFC00), *range(0xFE80, 0xFEFD)):
        form, *letters = unicodedata.decomposition(chr(code)).split() or [""]
        if len(letters) == 1 or (letters and code >= 0xFEF5):  # other ligatures are a matter of taste
            base = "".join(chr(int(letter, 16)) for letter in letters)
            forms.setdefault(base, {})[form.strip("<>")] = chr(code)
    return forms


def _visual_order(clusters: list[str]) -> Iterator[str]:
    """Reverse what lies between the first and the last letter of each run of Hebrew, Arabic, ..."""
    pending: list[str] = []  # a run from right to left that ends with such a letter
    neutral: list[str] = []  # spaces and signs after it, which belong to it if it goes on
    for cluster in clusters:
        direction = unicodedata.bidirectional(cluster[0])
        if direction in ("R", "AL") or (cluster in _CLOSING and cluster.translate(_MIRROR) in pending):
            pending += [*neutral, cluster]
            neutral = []
        elif pending and direction in ("WS", "ON", "CS", "ES"):
            neutral.append(cluster)
        else:
            yield from (*_reversed(pending), *neutral, cluster)
            pending, neutral = [], []
    yield from (*_reversed(pending), *neutral)


def _reversed(clusters: list[str]) -> Iterator[str]:
    return (cluster.translate(_MIRROR) for cluster in reversed(clusters))


def _font_of(cluster: str) -> Font:
    """The sans-serif where it can, without marks to place; else Unifont; else a box."""
    if len(cluster) == 1 and ord(cluster) in _sans().glyphs:
        return "sans"
    base = cluster[0]
    if ord(base) > 0xFFFF or unicodedata.category(base) in ("Cc", "Cs"):
        return "box"
    return "unifont" if _unifont().widths[ord(base)] else "box"


@dataclass(frozen=True)
class _Glyph:
    pixels: Pixels  # (h, w), 0 to 15
    top: int  # row of the line
    left: int  # columns to the right of the pen; negative where a letter reaches back
    advance: int


class _Sans:
    """Glyphs of the sans-serif by code point. All lengths in pixels of a line of SANS_LINE."""

    def __init__(self) -> None:
        with (files("mrcnn_cv") / "fonts" / "sans.npz").open("rb") as stream, np.load(stream) as data:
            self.glyphs = {int(code): index for index, code in enumerate(data["codes"])}
            self._boxes: NDArray[np.int8] = data["boxes"]
            self._ends: NDArray[np.int64] = np.cumsum(self._boxes[:, 2].astype(np.int64) * self._boxes[:, 3])
            self._pixels: Pixels = data["pixels"]

    def glyph(self, cluster: str) -> _Glyph:
        index = self.glyphs.get(ord(cluster)) if len(cluster) == 1 else None
        if index is None:
            return _box()
        left, top, width, height, advance = (int(value) for value in self._boxes[index])
        end = int(self._ends[index])
        return _Glyph(self._pixels[end - width * height : end].reshape(height, width), top, left, advance)


class _Unifont:
    """Bitmaps of GNU Unifont for the code points up to U+FFFF."""

    def __init__(self) -> None:
        with (files("mrcnn_cv") / "fonts" / "unifont.npz").open("rb") as stream, np.load(stream) as data:
            self.widths: Pixels = data["widths"]  # (65536,) in halves of a cell: 0 (no glyph), 1 or 2
            self._halves: Pixels = data["halves"]  # (n, 16) one byte per row of 8 pixels
            self._ends: NDArray[np.int64] = np.cumsum(self.widths, dtype=np.int64)

    def glyph(self, character: str) -> Pixels:
        """(16, 8 or 16) of 0 and 255; (16, 0) for a character that Unifont does not have."""
        code = ord(character)
        width = int(self.widths[code]) if code < len(self.widths) else 0
        end = int(self._ends[code]) if width else 0
        rows = self._halves[end - width : end].T if width else np.zeros((_CELL, 0), dtype=np.uint8)
        bits: Pixels = np.unpackbits(np.ascontiguousarray(rows), axis=1)
        bits *= np.uint8(255)
        return bits


@lru_cache(maxsize=1)
def _sans() -> _Sans:
    return _Sans()


@lru_cache(maxsize=1)
def _unifont() -> _Unifont:
    return _Unifont()


@lru_cache(maxsize=1)
def _box() -> _Glyph:
    pixels = np.full((SANS_BASELINE - _BOX_TOP, _BOX_WIDTH), 15, dtype=np.uint8)
    pixels[_BOX_STROKE:-_BOX_STROKE, _BOX_STROKE:-_BOX_STROKE] = 0
    return _Glyph(pixels, _BOX_TOP, _BOX_STROKE, _BOX_WIDTH + 2 * _BOX_STROKE)


def _sans_strip(clusters: list[str], height: int) -> Pixels:
    """(height, width) coverage of characters of the sans-serif, and boxes for those that no font has."""
    glyphs = [_sans().glyph(cluster) for cluster in clusters]
    scale = height / SANS_LINE
    # Letters stand on a whole row of the result, or the feet of all of them would be blurred.
    shift = round((round(SANS_BASELINE * scale) - SANS_BASELINE * scale) / scale)
    pens = np.cumsum([max(0, -glyphs[0].left), *(glyph.advance for glyph in glyphs)])
    lefts = [int(pen) + glyph.left for glyph, pen in zip(glyphs, pens[:-1], strict=True)]
    ends = [left + glyph.pixels.shape[1] for glyph, left in zip(glyphs, lefts, strict=True)]
    canvas = np.zeros((SANS_LINE, max(1, int(pens[-1]), *ends)), dtype=np.uint8)
    for glyph, left in zip(glyphs, lefts, strict=True):
        _lay(canvas, glyph.pixels, glyph.top + shift, left)
    return _to_height(canvas * np.uint8(17), height)


def _unifont_strip(clusters: list[str], height: int) -> Pixels:
    """(height, width) coverage of characters of Unifont."""
    cells = np.hstack([_unifont_cell(cluster) for cluster in clusters])
    cell = max(1, round(height * _CELL_OF_LINE))
    if height >= _CELL and abs(cell - _CELL) <= 2:
        cell = _CELL  # a bitmap at its own size is sharper than one that is a pixel larger
    cells = _smooth(cells) if cell > _CELL else _heavier(cells)
    if cell != _CELL:
        cells = _to_height(cells, cell)
    top = (height - cell) // 2
    gap = round(height / 16)  # many glyphs fill their cell and would touch the letters beside them
    strip: Pixels = np.pad(cells, ((top, height - cell - top), (gap, gap)))
    return strip


def _heavier(bitmap: Pixels) -> Pixels:
    """With half a pixel more on the right of each stroke: single pixels look thin beside the sans-serif."""
    heavier: Pixels = bitmap.copy()
    heavier[:, 1:] |= bitmap[:, :-1] >> 1
    return heavier


def _smooth(bitmap: Pixels) -> Pixels:
    """Eight times as large, with the steps of slanted strokes rounded off and the strokes a little wider."""
    size = (bitmap.shape[1] * 8, bitmap.shape[0] * 8)
    soft = cv2.GaussianBlur(cv2.resize(bitmap, size, interpolation=cv2.INTER_CUBIC), (0, 0), 2.4)
    # The edge lies where the blurred stroke has 70 to 121 of 255: below one half, hence wider than the bitmap's.
    return cv2.LUT(soft, np.clip((np.arange(256) - 70) * 5, 0, 255).astype(np.uint8)).astype(np.uint8)


def _unifont_cell(cluster: str) -> Pixels:
    """(16, 8 or 16): the base with its marks laid over the middle of it, which is how Unifont draws them."""
    base: Pixels = _unifont().glyph(cluster[0]).copy()
    for mark in cluster[1:]:
        pixels = _unifont().glyph(mark)
        _lay(base, pixels, 0, (base.shape[1] - pixels.shape[1]) // 2)
    return base


def _lay(canvas: Pixels, pixels: Pixels, top: int, left: int) -> None:
    """Put a glyph on the canvas; what reaches beyond its edges is cut off."""
    first_row, first_column = max(0, -top), max(0, -left)
    target = canvas[max(0, top) : max(0, top + pixels.shape[0]), max(0, left) : max(0, left + pixels.shape[1])]
    source = pixels[first_row : first_row + target.shape[0], first_column : first_column + target.shape[1]]
    np.maximum(target, source, out=target)


def _to_height(pixels: Pixels, height: int) -> Pixels:
    """To this height at exactly the same scale in width, so that equal beginnings of texts give equal pixels."""
    scale = height / pixels.shape[0]
    columns = max(1, round(pixels.shape[1] * scale))
    margin = max(0, ceil(columns / scale) - pixels.shape[1])
    framed = np.pad(pixels, ((0, 0), (0, margin)))
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    return cv2.resize(framed, None, fx=scale, fy=scale, interpolation=method)[:, :columns].astype(np.uint8)
