"""Make the glyph files of mrcnn_cv/fonts from the fonts' own files.

The shipped files come from these Debian 12 packages (apt-get download, then dpkg -x):

    fonts-inter 4.0~beta7   usr/share/fonts/opentype/inter/Inter-SemiBold.otf
    unifont 15.0.01         usr/share/unifont/unifont.hex

    pip install pillow
    python scripts/make_glyphs.py Inter-SemiBold.otf unifont.hex

The same fonts give the same files, byte for byte, with the same versions of Pillow and numpy.
"""

from __future__ import annotations

import argparse
import unicodedata
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mrcnn_cv.drawing.text import SANS_BASELINE, SANS_LINE

EM = 48
"""Size of the sans-serif in its line: stacked accents then end within the line, but for a hair."""
OVERSAMPLING = 8
"""Glyphs are drawn this much larger and averaged, so that the font's hints bend nothing."""
SPILL = 3
"""Rows beyond the line that may be cut off; a glyph that loses more is left to Unifont."""
RANGES = ((0x20, 0x2FF), (0x370, 0x52F), (0x1E00, 0x2BFF), (0xFFFD, 0xFFFD))
"""Latin, phonetic signs, Greek, Cyrillic, their extensions, punctuation, currency, arrows, signs."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sans", type=Path, help="the sans-serif font (.otf or .ttf)")
    parser.add_argument("unifont", type=Path, help="unifont.hex")
    parser.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "mrcnn_cv" / "fonts")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name, arrays in (("sans", sans(arguments.sans)), ("unifont", unifont(arguments.unifont))):
        path = arguments.output / f"{name}.npz"
        np.savez_compressed(path, allow_pickle=False, **arrays)
        print(f"{path}: {path.stat().st_size} bytes")


def sans(path: Path) -> dict[str, NDArray[np.generic]]:
    """Arrays of sans.npz.

    codes (n,) uint16; boxes (n, 5) int8: left (from the pen), top (row of the line), width, height, advance;
    pixels uint8, 0 to 15: all glyphs row by row, one after the other.
    """
    font = ImageFont.truetype(path, EM * OVERSAMPLING, layout_engine=ImageFont.Layout.BASIC)
    missing = ink(font, "\U0010ffff")
    codes, boxes, pixels = [], [], []
    for code in (code for first, last in RANGES for code in range(first, last + 1)):
        character = chr(code)
        if unicodedata.category(character)[0] in "CM" or unicodedata.bidirectional(character) in ("R", "AL"):
            continue
        left, top, image = ink(font, character)
        if np.array_equal(image, missing[2]):
            continue
        bottom = top + image.shape[0]
        if image.size and (top < -SPILL or bottom > SANS_LINE + SPILL):
            continue
        image = image[max(0, -top) : image.shape[0] - max(0, bottom - SANS_LINE)]
        advance = min(127, round(font.getlength(character) / OVERSAMPLING))
        codes.append(code)
        boxes.append((left, max(0, top), image.shape[1], image.shape[0], advance))
        pixels.append(image.ravel())
    return {
        "codes": np.array(codes, dtype=np.uint16),
        "boxes": np.array(boxes, dtype=np.int8),
        "pixels": np.concatenate(pixels),
    }


def ink(font: ImageFont.FreeTypeFont, character: str) -> tuple[int, int, NDArray[np.uint8]]:
    """Left (from the pen), top (row of the line) and pixels, 0 to 15, of one glyph, cut to its ink."""
    margin = SANS_LINE
    size = (4 * SANS_LINE * OVERSAMPLING, 3 * SANS_LINE * OVERSAMPLING)
    image = Image.new("L", size)
    pen = (margin * OVERSAMPLING, (margin + SANS_BASELINE) * OVERSAMPLING)
    ImageDraw.Draw(image).text(pen, character, font=font, fill=255, anchor="ls")
    coverage = np.asarray(image.reduce(OVERSAMPLING), dtype=np.uint16)
    levels = ((coverage * 15 + 127) // 255).astype(np.uint8)
    rows, columns = np.flatnonzero(levels.any(axis=1)), np.flatnonzero(levels.any(axis=0))
    if not len(rows):
        return 0, 0, np.zeros((0, 0), dtype=np.uint8)
    cut = levels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return int(columns[0]) - margin, int(rows[0]) - margin, cut


def unifont(path: Path) -> dict[str, NDArray[np.generic]]:
    """Arrays of unifont.npz.

    widths (65536,) uint8: glyph of each code point in halves of a cell, 0 to 2; halves (n, 16) uint8: the halves of all
    glyphs from left to right, one byte per row of 8 pixels, most significant bit left.
    """
    widths = np.zeros(0x10000, dtype=np.uint8)
    halves = []
    lines = (line.split(":") for line in path.read_text("ascii").split())
    for code, bitmap in sorted((int(code, 16), bytes.fromhex(bitmap)) for code, bitmap in lines):
        if code > 0xFFFF or unicodedata.category(chr(code)) in ("Cc", "Cs", "Co"):
            continue
        width = len(bitmap) // 16
        widths[code] = width
        halves.append(np.frombuffer(bitmap, dtype=np.uint8).reshape(16, width).T)
    return {"widths": widths, "halves": np.ascontiguousarray(np.concatenate(halves))}


if __name__ == "__main__":
    main()
