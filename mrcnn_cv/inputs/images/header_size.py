"""How many pixels an image's file claims to have, told from its header before a decoder makes room for them.

By hand, since a limit needs what the decoder will go by, and at once. imagesize 2.0 gives GIFs of more than 32,767
pixels a side a negative size, BMPs of OS/2 a wrong one, and PAM, PFM, Radiance, Sun and bare JPEG 2000 none; it and
Pillow believe JPEG 2000's box instead of its stream, and take seconds for headers that never end.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator

Size = tuple[int, int]

MAX_PIXELS = 1 << 27
"""An image with more pixels than this (11585 x 11585) is not decoded: decoders take up to 14 bytes for each."""

_VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"
_LIMIT = re.compile(r"([0-9]{1,20})(KB|Kb|kb|MB|Mb|mb)?")
"""Numbers as OpenCV reads them."""


def max_pixels() -> int:
    """The limit on pixels: ours, or OpenCV's where the user has set that."""
    given = _LIMIT.fullmatch(os.environ.get(_VARIABLE, ""))
    return MAX_PIXELS if given is None else int(given[1]) << {"K": 10, "M": 20}.get((given[2] or "")[:1].upper(), 0)


def pixel_size(kind: str, data: bytes) -> Size | None:
    """(width, height) by the file's header, of formats of several parts the largest; None where it does not tell."""
    reader = _READERS.get(kind)
    try:
        return reader(data) if reader else None
    except (struct.error, ValueError):
        # Cut off, or a number of thousands of digits.
        return None


def jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """(marker, offset of its length field) of the segments up to and with the first start of scan."""
    position = 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            # Libjpeg skips stray bytes between segments, and so do we.
            position = data.find(b"\xff", position)
            if position < 0:
                break
            continue
        marker = data[position + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        yield marker, position + 2
        if marker in (0xDA, 0xD9):
            break
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")


def _largest(sizes: list[Size]) -> Size | None:
    return max(sizes, key=lambda size: size[0] * size[1], default=None)


def _at(offset: int, layout: str) -> Callable[[bytes], Size]:
    """Reads a width and a height that always lie in the same place."""

    def read(data: bytes) -> Size:
        width, height = struct.unpack_from(layout, data, offset)
        return width, height

    return read


def _jpeg(data: bytes) -> Size | None:
    for marker, start in jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, start + 3)
            return width, height
    return None


def _bmp(data: bytes) -> Size:
    # The oldest header, of 12 bytes, has short numbers.
    width, height = struct.unpack_from("<HH" if data[14] < 36 else "<ii", data, 18)
    return abs(width), abs(height)


def _webp(data: bytes) -> Size | None:
    if data[12:16] == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if data[12:16] == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _tiff(data: bytes) -> Size | None:
    """Of the first image, which is the one that is decoded. Format: TIFF 6.0, and BigTIFF with longer fields."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = struct.unpack_from(f"{order}H", data, 2)[0] == 43
    start, entry = (f"{order}Q", 20) if is_big else (f"{order}I", 12)
    at = struct.unpack_from(start, data, 8 if is_big else 4)[0]
    count = struct.unpack_from(f"{order}Q" if is_big else f"{order}H", data, at)[0]
    at += 8 if is_big else 2
    found: dict[int, int] = {}
    for _ in range(min(count, 1000)):
        tag, kind = struct.unpack_from(f"{order}HH", data, at)
        if tag in (256, 257):
            found[tag] = struct.unpack_from(f"{order}H" if kind == 3 else start, data, at + (12 if is_big else 8))[0]
        at += entry
    return (found[256], found[257]) if len(found) == 2 else None


def _jpeg_2000(data: bytes) -> Size | None:
    """By the SIZ segment of the stream, which is what a decoder goes by, not the box around it."""
    at = data.find(b"\xff\x4f\xff\x51")
    if at < 0:
        return None
    right, bottom, left, top = struct.unpack_from(">IIII", data, at + 8)
    return max(0, right - left), max(0, bottom - top)


def _avif(data: bytes) -> Size | None:
    found = [struct.unpack_from(">II", data, each.end() + 4) for each in re.finditer(b"ispe", data[: 1 << 20])]
    return _largest([(width, height) for width, height in found])


_SPACE, _NUMBER = re.compile(rb"\s*"), re.compile(rb"\d+")
_WIDTH, _HEIGHT = re.compile(rb"^WIDTH\s+(\d+)", re.MULTILINE), re.compile(rb"^HEIGHT\s+(\d+)", re.MULTILINE)
_RADIANCE = re.compile(rb"^[-+]Y\s+(\d+)\s+[-+]X\s+(\d+)", re.MULTILINE)


def _portable(data: bytes) -> Size | None:
    if data[:2] == b"P7":
        width, height = _WIDTH.search(data, 0, 4096), _HEIGHT.search(data, 0, 4096)
        return (int(width[1]), int(height[1])) if width and height else None
    width = _number(data, 2)
    height = width and _number(data, width.end())
    return (int(width[0]), int(height[0])) if width and height else None


def _number(data: bytes, at: int) -> re.Match[bytes] | None:
    """The next number of a header, behind space and comments; a pattern for all of them takes 120 bytes a letter."""
    while True:
        space = _SPACE.match(data, at)
        at = space.end() if space else at
        if data[at : at + 1] != b"#":
            return _NUMBER.match(data, at)
        at = data.find(b"\n", at)
        if at < 0:
            return None


def _radiance(data: bytes) -> Size | None:
    found = _RADIANCE.search(data, 0, 4096)
    return (int(found[2]), int(found[1])) if found else None


_READERS: dict[str, Callable[[bytes], Size | None]] = {
    "JPEG": _jpeg,
    "PNG": _at(16, ">II"),
    "BMP": _bmp,
    "GIF": _at(6, "<HH"),
    "WebP": _webp,
    "TIFF": _tiff,
    "JPEG 2000": _jpeg_2000,
    "AVIF": _avif,
    "portable pixmap": _portable,
    "Radiance HDR": _radiance,
    "Sun raster": _at(4, ">II"),
}
