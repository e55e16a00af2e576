"""Video files and animations of all kinds, read frame by frame."""

from __future__ import annotations

import functools
import io
import os
import random
import struct
import tempfile
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from mrcnn_cv.inputs.classify import classify
from mrcnn_cv.inputs.video.base import MAX_PIXELS, FrameSampling
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.structures.frame import Frame
from tests.robustness.fuzz.file_edits import NUMBERS, edited_bytes
from tests.robustness.fuzz.worker import make_again

EXIT_CODES = {5}

KINDS = ("mp4", "mkv", "webm", "avi", "gif", "webp", "mov", "ts", "flv")
"""They take turns."""

_CODERS = {
    "mp4": ("libx264", "mpeg4", "libx265"),
    "mkv": ("libx264", "ffv1", "mjpeg"),
    "webm": ("libvpx", "libvpx-vp9"),
    "avi": ("mpeg4", "mjpeg", "rawvideo"),
    "mov": ("libx264", "png", "qtrle"),
    "ts": ("libx264", "mpeg2video"),
    "flv": ("flv1", "libx264"),
}
_MOST_FRAMES = 200


def case(number: int, seed: int, folder: Path) -> Path:
    """One video."""
    kind = KINDS[number % len(KINDS)]
    chance = random.Random(f"{seed}/{number}")
    seeds = _seeds(kind)
    data = chance.choice(seeds)
    if chance.random() < 0.4:
        data = _edited_boxes(data, chance)
    if chance.random() < 0.75:
        data = edited_bytes(data, chance, seeds)
    path = folder / f"video.{kind}"
    path.write_bytes(data)
    return path


def attempt(path: Path) -> str:
    """All its frames up to 200, from the beginning or from somewhere in the middle; FFmpeg prints nothing."""
    size = path.stat().st_size
    choice = FrameSampling(start=(0.0, 0.0, 0.1, 1e6)[size % 4], max_frames=_MOST_FRAMES)
    with tempfile.TemporaryFile() as printed:
        stderr = os.dup(2)
        os.dup2(printed.fileno(), 2)
        try:
            classify(str(path))
            count = _read(path, choice)
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            printed.seek(0)
            said = printed.read().decode("utf-8", "replace")
            assert all(each.isprintable() or each in "\n\t\r" for each in said), said
    return f"accepted: {min(count, 1)}"


def _read(path: Path, choice: FrameSampling) -> int:
    count = 0
    with open_video(path, sampling=choice) as source:
        assert source.info.width * source.info.height <= MAX_PIXELS
        choice.expected(source.info)
        for index, frame in enumerate(source):
            if isinstance(frame, Frame):
                assert frame.image.shape == (source.info.height, source.info.width, 3)
                assert frame.time is not None
                count += 1
            if index > _MOST_FRAMES:
                break
        assert all(len(each) < 600 and each.isprintable() for each in source.warnings)
    return count


@functools.cache
def _pictures() -> list[Any]:
    noise = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    return [np.roll(cv2.resize(noise, (64, 48)), 3 * index, axis=1) for index in range(12)]


@functools.cache
def _seeds(kind: str) -> list[bytes]:
    if kind in ("gif", "webp"):
        return _animations(kind)
    found = []
    for codec in _CODERS[kind]:
        for options in ({}, {"bf": "0", "g": "3"}):
            try:
                found.append(_coded(kind, codec, options))
            except (av.error.FFmpegError, ValueError):
                continue
    return found


def _coded(kind: str, codec: str, options: dict[str, str]) -> bytes:
    file = io.BytesIO()
    form = {"mkv": "matroska", "ts": "mpegts"}.get(kind, kind)
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    av.logging.set_level(None)
    with av.open(file, "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=25, options={**options, **quiet})
        stream.width, stream.height = 64, 48
        stream.pix_fmt = stream.codec.video_formats[0].name if stream.codec.video_formats else "yuv420p"
        for image in _pictures():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode(None))
    return file.getvalue()


def _animations(kind: str) -> list[bytes]:
    from PIL import Image

    found = []
    for modes in ("RGB", "RGBA"):
        images = [Image.fromarray(each[..., ::-1].copy()).convert(modes) for each in _pictures()[:5]]
        for options in ({}, {"lossless": True}, {"disposal": 2}):
            file = io.BytesIO()
            images[0].save(file, kind.upper(), save_all=True, append_images=images[1:], duration=40, loop=0, **options)
            found.append(file.getvalue())
    return found


_MARKS = (
    *(
        b"mvhd",
        b"tkhd",
        b"mdhd",
        b"stts",
        b"stsc",
        b"stsz",
        b"stco",
        b"ctts",
        b"elst",
        b"avc1",
        b"avcC",
        b"hvcC",
        b"moov",
    ),
    *(
        b"trak",
        b"stsd",
        b"mp4v",
        b"esds",
        b"png ",
        b"rle ",
        b"strh",
        b"strf",
        b"idx1",
        b"movi",
        b"avih",
        b"ANMF",
        b"VP8X",
    ),
    *(
        b"VP8L",
        b"VP8 ",
        b"ALPH",
        b"ANIM",
        b"\x1f\x43\xb6\x75",
        b"\x16\x54\xae\x6b",
        b"\xb0\x81",
        b"\xba\x81",
        b"\xa3",
        b"\x2c",
    ),
    *(b"\x00\x00\x01\xb3", b"\x00\x00\x00\x01", b"onMetaData", b"width", b"height", b"GIF89a", b"\x21\xf9"),
)


def _edited_boxes(data: bytes, chance: random.Random) -> bytes:
    """Sizes, counts and times behind the names that containers give to their parts."""
    changed = bytearray(data)
    present = [mark for mark in _MARKS if mark in data]
    for _ in range(chance.choice((1, 2, 3))):
        if not present:
            break
        mark = chance.choice(present)
        at = data.find(mark, chance.randrange(len(data)) if chance.random() < 0.3 else 0)
        if at < 0:
            continue
        spot = max(
            0, at + chance.choice((-4, len(mark), len(mark) + 4, len(mark) + 8, len(mark) + chance.randrange(90)))
        )
        form = chance.choice((">I", "<I", ">H", "<H", ">Q"))
        number = chance.choice((*NUMBERS, 8192, 16_384, 1 << 40, chance.getrandbits(24)))
        piece = struct.pack(form, number & (1 << 8 * struct.calcsize(form)) - 1)
        changed[spot : spot + len(piece)] = piece
    return bytes(changed)


if __name__ == "__main__":
    make_again(case, attempt)
