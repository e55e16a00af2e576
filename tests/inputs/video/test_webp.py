"""Animated WebP files: frames as libwebp composes them, an image at a time, and what is left of damaged files."""

from __future__ import annotations

import io
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from mrcnn_cv.inputs.images.sniff import webp_chunks
from mrcnn_cv.inputs.video.file import open_video
from mrcnn_cv.inputs.video.webp import WebpAnimation
from mrcnn_cv.structures.frame import Frame

WIDTH, HEIGHT = 40, 32


def chunk(name: bytes, body: bytes) -> bytes:
    return name + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)


def bitstream(image: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], lossless: bool) -> bytes:
    """The chunks of one image, RGBA."""
    file = io.BytesIO()
    Pillow.fromarray(image).save(file, "WEBP", lossless=lossless, exact=True, quality=80)
    data = file.getvalue()
    names = (b"ALPH", b"VP8 ", b"VP8L")
    return b"".join(chunk(name, data[start:end]) for name, start, end in webp_chunks(data) if name in names)


def animation(seed: int, see_through: float, count: int = 8) -> bytes:
    """Pictures of all sizes anywhere on the canvas; lossless or not, blended or not, disposed of or not."""
    chance, noise = random.Random(seed), np.random.default_rng(seed)
    parts = []
    for _ in range(count):
        width, height = chance.randrange(4, WIDTH + 1), chance.randrange(4, HEIGHT + 1)
        place = [chance.randrange((WIDTH - width) // 2 + 1), chance.randrange((HEIGHT - height) // 2 + 1)]
        image = noise.integers(0, 256, (height, width, 4), dtype=np.uint8)
        if chance.random() >= see_through:
            image[..., 3] = 255
        numbers = [*place, width - 1, height - 1, chance.randrange(1, 200)]
        head = b"".join(number.to_bytes(3, "little") for number in numbers) + bytes([chance.randrange(4)])
        parts.append(chunk(b"ANMF", head + bitstream(image, lossless=chance.random() < 0.7)))
    canvas = (WIDTH - 1).to_bytes(3, "little") + (HEIGHT - 1).to_bytes(3, "little")
    # The background's color is for viewers who like it: libwebp and browsers leave it out.
    body = chunk(b"VP8X", b"\x12\0\0\0" + canvas) + chunk(b"ANIM", b"\1\2\3\xff\0\0") + b"".join(parts)
    return b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body


def frames(path: Path) -> list[Frame]:
    with open_video(path) as source:
        assert isinstance(source, WebpAnimation)
        return [frame for frame in source if isinstance(frame, Frame)]


@pytest.mark.parametrize("see_through", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(10))
def test_frames_are_those_of_libwebp(tmp_path: Path, seed: int, see_through: float) -> None:
    path = tmp_path / "clip.webp"
    path.write_bytes(animation(seed, see_through))
    found = frames(path)
    assert len(found) == 8
    milliseconds = 0.0
    with Pillow.open(path) as theirs:
        for number, frame in enumerate(found):
            theirs.seek(number)
            expected = np.asarray(theirs.convert("RGBA"))
            difference = np.abs(frame.image[..., ::-1].astype(int) - expected[..., :3]).max(axis=2)
            # What cannot be seen has any color.
            assert difference[expected[..., 3] > 0].max(initial=0) <= (1 if see_through else 0)
            assert frame.time == pytest.approx(milliseconds / 1000)
            milliseconds += theirs.info["duration"]


def test_a_file_that_is_cut_off_is_done_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "clip.webp"
    data = animation(1, 0.0)
    path.write_bytes(data)
    whole = frames(path)
    path.write_bytes(data[: len(data) * 3 // 4])
    found = frames(path)
    assert 2 < len(found) < 8
    assert all(np.array_equal(frame.image, whole[number].image) for number, frame in enumerate(found))


def test_a_damaged_picture_is_left_out_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "clip.webp"
    data = bytearray(animation(1, 0.0))
    start = [start for name, start, _ in webp_chunks(bytes(data)) if name == b"ANMF"][3]
    data[start + 24 : start + 34] = bytes(10)
    path.write_bytes(data)
    with open_video(path) as source:
        found = [frame.index for frame in source if isinstance(frame, Frame)]
        assert source.damaged == 1
    assert found == [0, 1, 2, 4, 5, 6, 7]


def test_a_long_animation_takes_the_memory_of_a_few_frames(tmp_path: Path) -> None:
    side, count = 200, 120
    pictures = [Pillow.new("RGB", (side, side), (number, 9, 7)) for number in range(count)]
    path = tmp_path / "clip.webp"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=40, lossless=True)
    tracemalloc.start()
    try:
        with open_video(path) as source:
            seen = sum(isinstance(frame, Frame) for frame in source)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert seen == count
    # All of them would take 19 MB.
    assert most < 20 * side * side * 4


@pytest.mark.long
def test_thousands_of_empty_pictures_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "clip.webp"
    picture = chunk(b"ANMF", bytes(18))
    body = chunk(b"VP8X", b"\2" + bytes(9)) + picture * 20_000
    path.write_bytes(b"RIFF" + (len(body) + 4).to_bytes(4, "little") + b"WEBP" + body)
    tracemalloc.start()
    try:
        with WebpAnimation(path) as source:
            assert source.info.frame_count == 20_000
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 3 * len(body)
