"""Pictures of all formats that OpenCV may know, with damaged bytes, lying headers, and sizes that fill memories."""

from __future__ import annotations

import functools
import os
import random
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mrcnn_cv.inputs.images.files import read_image
from mrcnn_cv.inputs.images.header_size import MAX_PIXELS
from mrcnn_cv.util.opencv import quiet
from tests.robustness.fuzz.file_edits import edited_bytes, edited_head
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {5}

SUFFIXES = (".jpg", ".png", ".bmp", ".tiff", ".webp", ".gif", ".jp2", ".avif", ".ppm", ".pgm", ".pbm", ".pam", ".pfm")
MORE_SUFFIXES = (".hdr", ".sr")


def case(number: int, seed: int, folder: Path) -> Path:
    """One image; the formats take turns."""
    suffixes = sorted(_seeds())
    suffix = suffixes[number % len(suffixes)]
    chance = random.Random(f"{seed}/{number}")
    seeds = _seeds()[suffix]
    data, kind = chance.choice(seeds), chance.randrange(8)
    if kind == 0 and suffix in _BOMBS:
        data = _BOMBS[suffix](chance)
    elif kind <= 2:
        data = edited_head(data, chance, 200)
    else:
        data = edited_bytes(data, chance, seeds)
    if suffix == ".png" and chance.random() < 0.7:
        data = _with_checksums(data)
    path = folder / f"picture{suffix}"
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """Decode it; what decoders print may not hold commands for a terminal."""
    with tempfile.TemporaryFile() as printed:
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            image = read_image(path)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            printed.seek(0)
            said = printed.read().decode("utf-8", "replace")
            assert all(each.isprintable() or each in "\n\t" for each in said), said
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.shape[0] * image.shape[1] <= MAX_PIXELS
    return "accepted"


@functools.cache
def _seeds() -> dict[str, list[bytes]]:
    """Small images by suffix, in variants; formats that this OpenCV cannot write are left out."""
    colour = np.random.default_rng(1).integers(0, 256, (23, 31, 3), np.uint8)
    smooth = cv2.resize(colour[:5, :5], (47, 33))
    pictures = {
        "colour": colour,
        "smooth": smooth,
        "grey": smooth[..., 0],
        "alpha": np.dstack([smooth, smooth[..., 0]]),
    }
    deep = {"deep": smooth.astype(np.uint16) * 257, "real": smooth.astype(np.float32) / 255}
    images: list[Any] = [*pictures.values(), *deep.values()]
    found: dict[str, list[bytes]] = {}
    for suffix in (*SUFFIXES, *MORE_SUFFIXES):
        for image in images:
            for options in _options(suffix):
                try:
                    with quiet():
                        fits, data = cv2.imencode(suffix, image, options)
                except cv2.error:
                    continue
                if fits:
                    found.setdefault(suffix, []).append(data.tobytes())
    found[".tiff"] += [_tiff(smooth, tiled) for tiled in (False, True)]
    return found


def _options(suffix: str) -> list[list[int]]:
    if suffix == ".jpg":
        return [
            [],
            [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
            [cv2.IMWRITE_JPEG_RST_INTERVAL, 2],
            [cv2.IMWRITE_JPEG_QUALITY, 5],
        ]
    if suffix == ".tiff":
        return [[cv2.IMWRITE_TIFF_COMPRESSION, each] for each in (1, 5, 7, 8, 32773, 32946)]
    if suffix == ".webp":
        return [[], [cv2.IMWRITE_WEBP_QUALITY, 30]]
    if suffix == ".png":
        return [[], [cv2.IMWRITE_PNG_BILEVEL, 1]]
    return [[]]


def _tiff(image: np.ndarray, tiled: bool) -> bytes:
    """A TIFF by hand with the tags that a library reads offsets and counts from."""
    height, width = image.shape[:2]
    pixels = np.ascontiguousarray(image[:16, :16] if tiled else image).tobytes()
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2), (277, 3, 1, 3)]
    tags += [(322, 4, 1, 16), (323, 4, 1, 16), (324, 4, 1, 8), (325, 4, 1, len(pixels))] if tiled else []
    tags += [] if tiled else [(273, 4, 1, 8), (278, 4, 1, height), (279, 4, 1, len(pixels))]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(tags)) + entries + bytes(4)


def _with_checksums(data: bytes) -> bytes:
    """A PNG whose checksums are right again, so that what is wrong gets as far as the decoder."""
    pieces, at = [data[:8]], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        body = data[at + 4 : at + 8 + length]
        pieces.append(data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body)))
        at += 12 + length
    return b"".join([*pieces, data[at:]])


def _side(chance: random.Random) -> int:
    return chance.choice(
        (1, 4096, 16_384, 20_000, 32_768, 65_500, 65_535, 1 << 17, 1 << 20, (1 << 31) - 1, (1 << 32) - 1)
    )


def _png_bomb(chance: random.Random) -> bytes:
    width, height = _side(chance), _side(chance)
    depth, colours, interlaced = chance.choice(((8, 2, 0), (1, 0, 0), (16, 6, 0), (8, 2, 1), (1, 3, 0), (16, 2, 1)))
    head = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, interlaced)
    body = zlib.compress(bytes(1 << chance.choice((10, 20, 24))), 9)
    chunks = ((b"IHDR", head), *(((b"PLTE", bytes(6)),) if colours == 3 else ()), (b"IDAT", body), (b"IEND", b""))
    pieces = [struct.pack(">I", len(data)) + name + data + b"\0\0\0\0" for name, data in chunks]
    return _with_checksums(b"\x89PNG\r\n\x1a\n" + b"".join(pieces))


def _with_size(suffix: str, spots: Callable[[bytes], list[tuple[int, str]]]) -> Callable[[random.Random], bytes]:
    """A bomb: a whole small image that says that it is huge. spots: where its width and height stand, and how."""

    def bomb(chance: random.Random) -> bytes:
        data = bytearray(chance.choice(_seeds()[suffix]))
        for at, form in spots(bytes(data)):
            struct.pack_into(form, data, at, _side(chance) & (1 << 8 * struct.calcsize(form)) - 1)
        return bytes(data)

    return bomb


def _jpeg_spots(data: bytes) -> list[tuple[int, str]]:
    at = max(
        data.find(mark) for mark in (b"\xff\xc0\x00\x11", b"\xff\xc2\x00\x11", b"\xff\xc0\x00\x0b", b"\xff\xc2\x00\x0b")
    )
    return [(at + 5, ">H"), (at + 7, ">H")] if at > 0 else []


def _tiff_spots(data: bytes) -> list[tuple[int, str]]:
    start = int.from_bytes(data[4:8], "little")
    count = int.from_bytes(data[start : start + 2], "little")
    entries = [start + 2 + 12 * index for index in range(count)]
    wanted = [at for at in entries if int.from_bytes(data[at : at + 2], "little") in (256, 257, 278)]
    return [spot for at in wanted for spot in ((at + 2, "<H"), (at + 8, "<I"))][: 4 if len(wanted) < 3 else 6]


def _numbers_in_text(suffix: str) -> Callable[[random.Random], bytes]:
    def bomb(chance: random.Random) -> bytes:
        width, height = _side(chance), _side(chance)
        if suffix == ".hdr":
            return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (height, width) + chance.randbytes(4000)
        if suffix == ".pam":
            head = b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n"
            return head % (width, height) + bytes(1000)
        if suffix == ".pfm":
            return b"PF\n%d %d\n-1.0\n" % (width, height) + bytes(1000)
        magic = chance.choice((b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"))
        return magic + b"\n# %s\n%d %d\n255\n" % (b"x" * chance.choice((0, 100_000)), width, height) + bytes(1000)

    return bomb


_BOMBS: dict[str, Callable[[random.Random], bytes]] = {
    ".png": _png_bomb,
    ".jpg": _with_size(".jpg", _jpeg_spots),
    ".bmp": _with_size(".bmp", lambda data: [(18, "<I"), (22, "<I")]),
    ".gif": _with_size(".gif", lambda data: [(6, "<H"), (8, "<H")]),
    ".tiff": _with_size(".tiff", _tiff_spots),
    ".jp2": _with_size(
        ".jp2", lambda data: [(at, ">I") for at in (data.find(b"ihdr") + 4, data.find(b"\xff\x51") + 6)]
    ),
    ".avif": _with_size(".avif", lambda data: [(data.find(b"ispe") + 8, ">I"), (data.find(b"ispe") + 12, ">I")]),
    ".webp": _with_size(".webp", lambda data: [(24, "<I"), (26, "<H")]),
    ".sr": _with_size(".sr", lambda data: [(4, ">I"), (8, ">I")]),
    **{suffix: _numbers_in_text(suffix) for suffix in (".ppm", ".pgm", ".pbm", ".pam", ".pfm", ".hdr")},
}


if __name__ == "__main__":
    make_again(case, attempt)
