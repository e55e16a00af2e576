"""What a file is by its first bytes, and whether an image's file is all there.

OpenCV's decoders print to stderr and return half-grey images for some broken files; what can be told from the file's
structure is told here, before a decoder sees it. No cv2 here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator

from mrcnn_cv.inputs.images.header_size import jpeg_segments

HEAD_BYTES = 4096

_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"

_IMAGES: list[tuple[str, re.Pattern[bytes]]] = [
    ("JPEG", re.compile(rb"\xff\xd8\xff")),
    ("PNG", re.compile(re.escape(_PNG_MAGIC))),
    ("WebP", re.compile(rb"RIFF....WEBP", re.DOTALL)),
    ("GIF", re.compile(rb"GIF8[79]a")),
    ("BMP", re.compile(rb"BM.{12}[\x0c-\x7f]\0\0\0", re.DOTALL)),
    ("TIFF", re.compile(rb"II[\x2a\x2b]\0|MM\0[\x2a\x2b]")),
    ("AVIF", re.compile(rb"....ftypavi[fs]", re.DOTALL)),
    ("JPEG 2000", re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51")),
    ("portable pixmap", re.compile(rb"P[1-7Ff]\s")),
    ("Radiance HDR", re.compile(rb"#\?R")),
    ("OpenEXR", re.compile(rb"\x76\x2f\x31\x01")),
    ("Sun raster", re.compile(rb"\x59\xa6\x6a\x95")),
]

_HEIC = re.compile(rb"....ftyp(hei[cmsx]|hev[cx]|mif1|msf1)", re.DOTALL)
_CONVERT = "save it as JPEG or PNG first"
_OTHERS: list[tuple[str, re.Pattern[bytes]]] = [
    (f"a HEIC image (iPhone), which OpenCV cannot decode: {_CONVERT}", _HEIC),
    (f"a JPEG XL image, which OpenCV cannot decode: {_CONVERT}", re.compile(rb"\xff\x0a|\0\0\0\x0cJXL ")),
    (f"an SVG drawing: {_CONVERT}", re.compile(rb"\s*<(.*<)?(!DOCTYPE svg|svg)[\s>]", re.DOTALL)),
    (f"a Photoshop document: {_CONVERT}", re.compile(rb"8BPS")),
    (f"a DICOM image: {_CONVERT}", re.compile(rb".{128}DICM", re.DOTALL)),
    ("a PDF document: save its page as an image first", re.compile(rb"%PDF-")),
    ("a video", re.compile(rb"....ftyp|RIFF....AVI |\x1a\x45\xdf\xa3|\0\0\x01[\xba\xb3]|FLV\x01", re.DOTALL)),
    (
        "an archive: unpack it first",
        re.compile(rb"PK\x03\x04|PK\x05\x06|\x1f\x8b|7z\xbc\xaf|Rar!|BZh|\xfd7zXZ|.{257}ustar", re.DOTALL),
    ),
    (
        "a web page: the download went wrong, or needs a login",
        re.compile(rb"\s*<(.*<)?(!doctype html|html)[\s>]", re.DOTALL | re.IGNORECASE),
    ),
    ("a Git LFS pointer: run git lfs pull to get the image", re.compile(rb"version https://git-lfs")),
    ("a numpy array: save it as PNG first", re.compile(rb"\x93NUMPY")),
]


def image_kind(head: bytes) -> str | None:
    """Name of the image format by a file's first bytes; None where it is none that OpenCV knows."""
    return next((kind for kind, pattern in _IMAGES if pattern.match(head)), None)


def is_heic(head: bytes) -> bool:
    """Whether a file's first bytes are those of a HEIC image, whose boxes begin as those of a movie do."""
    return _HEIC.match(head) is not None


def not_an_image(head: bytes) -> str | None:
    """What a file seems to be that is certainly no image for OpenCV; None where it may be one."""
    if image_kind(head) is not None:
        return None
    for what, pattern in _OTHERS:
        if pattern.match(head):
            return what
    return "a text file" if _is_text(head) else None


def _is_text(head: bytes) -> bool:
    if any(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in head):
        return False
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The head may end in the middle of a character.
        return error.start >= len(head) - 3 and len(head) == HEAD_BYTES
    return True


def fault(kind: str, data: bytes) -> str | None:
    """Why an image's file is not whole ("is truncated: ..."); None where it is whole, or only the decoder can tell."""
    check = _CHECKS.get(kind)
    return check(data) if check else None


def without_png_profile(data: bytes) -> bytes:
    """The same PNG without its color profile.

    OpenCV ignores the profile, but libpng prints a warning to the terminal for many that are in wide use.
    """
    if b"iCCP" not in data[:HEAD_BYTES]:
        return data
    pieces, position = [_PNG_MAGIC], len(_PNG_MAGIC)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name, end = data[position + 4 : position + 8], position + 12 + length
        # Profiles come before the pixels; from there on everything is taken as it is.
        if name == b"IDAT":
            break
        if name != b"iCCP":
            pieces.append(data[position:end])
        position = end
    return b"".join([*pieces, data[position:]])


def _jpeg_fault(data: bytes) -> str | None:
    # A thumbnail in the header has an end marker of its own: only one after the first scan counts.
    scan = next((start for marker, start in jpeg_segments(data) if marker == 0xDA), None)
    if scan is None:
        return "is truncated: the file ends before its first row of pixels"
    if data.find(b"\xff\xd9", scan) < 0:
        return "is truncated: the end of the JPEG is missing"
    return None


def _png_fault(data: bytes) -> str | None:
    position = len(_PNG_MAGIC)
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        end = position + 12 + length
        if end > len(data):
            break
        # An upper-case first letter marks a chunk without which there is no image.
        if data[position + 4] & 0x20 == 0:
            checksum = zlib.crc32(memoryview(data)[position + 4 : end - 4])
            if checksum != int.from_bytes(data[end - 4 : end], "big"):
                return "is damaged: a checksum in the PNG is wrong"
        if data[position + 4 : position + 8] == b"IEND":
            return None
        position = end
    return "is truncated: the end of the PNG is missing"


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """(name, start, end) of the chunks of a WebP file; the last one may end behind the file's end."""
    start = 12
    while start + 8 <= len(data):
        size = int.from_bytes(data[start + 4 : start + 8], "little")
        yield data[start : start + 4], start + 8, start + 8 + size
        start += 8 + size + size % 2


def _webp_fault(data: bytes) -> str | None:
    if int.from_bytes(data[4:8], "little") + 8 > len(data):
        return "is truncated: the end of the WebP is missing"
    return None


_CHECKS: dict[str, Callable[[bytes], str | None]] = {"JPEG": _jpeg_fault, "PNG": _png_fault, "WebP": _webp_fault}
