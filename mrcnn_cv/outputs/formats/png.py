"""PNGs that OpenCV cannot write: with a palette, and of 16-bit grey from the same arrays.

The format: PNG (Portable Network Graphics) Specification, W3C, sections 5, 7 and 11.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = tuple[int, int, int]

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GRAY, _PALETTE = 0, 3


def label_png(numbers: NDArray[np.integer[Any]], palette: Sequence[Rgb] | None) -> bytes:
    """(H, W) whole numbers as a PNG whose samples are these numbers.

    With a palette (256 colors) 8-bit, every number a color of it; without one 16-bit grey.
    """
    height, width = numbers.shape
    if palette is None:
        rows = np.zeros((height, 1 + 2 * width), dtype=np.uint8)
        rows[:, 1:] = numbers.astype(">u2").view(np.uint8).reshape(height, 2 * width)
        head = struct.pack(">IIBBBBB", width, height, 16, _GRAY, 0, 0, 0)
        colors = b""
    else:
        rows = np.zeros((height, 1 + width), dtype=np.uint8)
        rows[:, 1:] = numbers
        head = struct.pack(">IIBBBBB", width, height, 8, _PALETTE, 0, 0, 0)
        colors = _chunk(b"PLTE", bytes(value for color in palette for value in color))
    # The byte before each row says that it is not filtered: even areas compress best so.
    data = _chunk(b"IDAT", zlib.compress(rows.tobytes(), 6))
    return _SIGNATURE + _chunk(b"IHDR", head) + colors + data + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
