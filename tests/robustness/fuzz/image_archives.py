"""Archives of images: .zip and .tar, packed in all ways, with lying sizes, bombs, and names that lead elsewhere."""

from __future__ import annotations

import bz2
import functools
import gzip
import io
import lzma
import os
import random
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.image_ref import load
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.frame import Frame, FrameError
from tests.robustness.fuzz.file_edits import NAMES, edited_bytes
from tests.robustness.fuzz.model_archives import edited_headers, nested_headers
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {5}

KINDS = ("photos.zip", "photos.tar", "photos.tar.gz", "photos.tar.bz2", "photos.tar.xz")
"""They take turns."""

_PACK: dict[str, Callable[[bytes], bytes]] = {
    "photos.tar": bytes,
    "photos.tar.gz": functools.partial(gzip.compress, compresslevel=1, mtime=0),
    "photos.tar.bz2": functools.partial(bz2.compress, compresslevel=9),
    "photos.tar.xz": functools.partial(lzma.compress, preset=0),
}


def case(number: int, seed: int, folder: Path) -> Path:
    """One archive."""
    kind = KINDS[number % len(KINDS)]
    chance = random.Random(f"{seed}/{number}")
    data = _zip(chance) if kind == "photos.zip" else _tar(chance)
    if chance.random() < 0.6:
        data = edited_bytes(data, chance)
    if kind != "photos.zip":
        if chance.random() < 0.3:
            data += bytes(chance.choice((1 << 16, 1 << 20, 1 << 26 if number % 50 < 5 else 1 << 20)))
        data = _PACK[kind](data)
        if chance.random() < 0.3:
            data = edited_bytes(data, chance)
    path = folder / kind
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """List it, read every image, and name an output for each."""
    listing = list_images([str(path)], DirectoryScan())
    output = path.parent / "out"
    folder = OutputDirectory(output)
    results = []
    for index, item in enumerate(listing.items[:50]):
        assert not item.output_path.is_absolute()
        assert ".." not in item.output_path.parts
        assert len(os.fsencode(item.output_path)) <= 1024
        assert all(ord(each) >= 32 and not 127 <= ord(each) < 160 for each in str(item.output_path)), item.output_path
        frame = load(item, index)
        results.append(frame)
        if isinstance(frame, Frame):
            place = folder.path_for(frame, ".json")
            assert place.resolve().is_relative_to(output.resolve())
            folder.write(place, b"{}")
        else:
            assert str(frame.error).isprintable()
    assert {each.name for each in path.parent.iterdir()} <= {path.name, "out"}
    if len(results) == 1 and isinstance(results[0], FrameError):
        raise InputError(results[0].error)
    return "accepted"


@functools.cache
def _picture() -> bytes:
    return bytes(cv2.imencode(".png", np.full((8, 8, 3), 99, np.uint8))[1].tobytes())


def _names(chance: random.Random) -> list[str]:
    return [chance.choice((*NAMES, "a/b.png", "c.png", "c.png", "d.jpg")) for _ in range(chance.choice((1, 3, 8)))]


def _zip(chance: random.Random) -> bytes:
    file = io.BytesIO()
    method = chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in _names(chance):
            info = zipfile.ZipInfo("x.png")
            # ZipInfo itself would mend it.
            info.filename = name.encode("utf-8", "replace").decode()[:60_000]
            info.compress_type = method
            info.external_attr = chance.choice((0, 0, 0o120777 << 16, 0o40755 << 16, 0o20666 << 16))
            data = chance.choice((_picture(), b"/etc/passwd", b"", _picture() + bytes(1 << 22), bytes(1 << 20)))
            try:
                archive.writestr(info, data)
            except (ValueError, struct.error, UnicodeError):
                continue
    changed = bytearray(file.getvalue())
    for mark, spots in ((b"PK\x01\x02", (8, 10, 20, 24, 28, 42)), (b"PK\x03\x04", (6, 8, 18, 22, 26))):
        at = changed.find(mark)
        while at >= 0 and chance.random() < 0.25:
            # Flags (encryption), method, sizes, lengths, the place of the data.
            spot = at + chance.choice(spots)
            number = chance.choice((0, 1, 9, 12, 14, 99, 100, 0xFFFF, 1 << 20, 1 << 30, 0xFFFFFFFF))
            changed[spot : spot + 2] = (number & 0xFFFF).to_bytes(2, "little")
            if spot - at >= 18:
                changed[spot : spot + 4] = number.to_bytes(4, "little")
            at = changed.find(mark, at + 4)
    return bytes(changed)


def _tar(chance: random.Random) -> bytes:
    file = io.BytesIO()
    form = chance.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT))
    with tarfile.TarFile(fileobj=file, mode="w", format=form, encoding="utf-8", errors="replace") as archive:
        for name in _names(chance):
            info = tarfile.TarInfo(name[:30_000].replace("\0", "?"))
            kinds = (tarfile.REGTYPE,) * 4 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)
            info.type = chance.choice(kinds)
            info.linkname = chance.choice(("/etc/passwd", "../../x", "c.png", name[:90].replace("\0", "?")))
            data = _picture() if info.type == tarfile.REGTYPE else b""
            info.size = len(data)
            if form == tarfile.PAX_FORMAT and chance.random() < 0.3:
                keys = ("GNU.sparse.major", "GNU.sparse.realsize", "size", "path", "hdrcharset", "GNU.sparse.map")
                info.pax_headers = {
                    chance.choice(keys): chance.choice(("1", "-1", str(1 << 40), "x", "0,1,2", "9" * 5000))
                }
            try:
                archive.addfile(info, io.BytesIO(data))
            except (ValueError, UnicodeError):
                continue
    data = file.getvalue()
    if chance.random() < 0.05:
        data = nested_headers(chance) + data
    return edited_headers(data, chance)


if __name__ == "__main__":
    make_again(case, attempt)
