"""Sizes from headers, of the variants that formats have: as Pillow tells them, and as OpenCV decodes them."""

from __future__ import annotations

import io
import multiprocessing
import struct
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from mrcnn_cv.inputs.images.header_size import pixel_size
from mrcnn_cv.inputs.images.sniff import image_kind
from mrcnn_cv.util.opencv import cv2, quiet
from tests.support.rows import sampled

WIDTH, HEIGHT = 65, 48
NOISE = Pillow.fromarray(np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8))
SHALLOW = Pillow.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8))


def encoded(kind: str, image: Pillow.Image = NOISE, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned() -> Pillow.Exif:
    exif = Pillow.Exif()
    exif[0x112] = 6
    return exif


def put(data: bytes, at: int, more: bytes) -> bytes:
    return data[:at] + more + data[at:]


JPEG = encoded("JPEG")
SCALED = bytearray(encoded("WEBP"))
SCALED[27] |= 0x40
VARIANTS = {
    "JPEG": JPEG,
    "progressive JPEG": encoded("JPEG", progressive=True),
    "CMYK JPEG": encoded("JPEG", NOISE.convert("CMYK")),
    "grey JPEG": encoded("JPEG", SHALLOW),
    "JPEG with stray bytes": put(JPEG, 20, b"\0\0\0"),
    "JPEG with fill bytes": put(JPEG, 20, b"\xff\xff\xff"),
    "JPEG with a thumbnail": put(JPEG, 2, b"\xff\xe1" + struct.pack(">H", len(JPEG) + 2) + JPEG),
    "PNG": encoded("PNG"),
    "palette PNG": encoded("PNG", NOISE.quantize(16)),
    "BMP": encoded("BMP"),
    "BMP of OS/2": b"BM" + struct.pack("<IHHIIHHHH", 9434, 0, 0, 26, 12, WIDTH, HEIGHT, 1, 24) + bytes(196 * HEIGHT),
    "BMP from the top": b"BM"
    + struct.pack("<IHHIIiiHHIIiiII", 9462, 0, 0, 54, 40, WIDTH, -HEIGHT, 1, 24, 0, 0, 0, 0, 0, 0)
    + bytes(196 * HEIGHT),
    "TIFF": encoded("TIFF"),
    "packed TIFF": encoded("TIFF", compression="tiff_lzw"),
    "BigTIFF": encoded("TIFF", big_tiff=True),
    "lossy WebP": encoded("WEBP"),
    "lossless WebP": encoded("WEBP", lossless=True),
    "see-through WebP": encoded("WEBP", NOISE.convert("RGBA")),
    "animated WebP": encoded("WEBP", save_all=True, append_images=[NOISE.rotate(90)]),
    "WebP to be enlarged": bytes(SCALED),
    "GIF": encoded("GIF"),
    "JPEG 2000": encoded("JPEG2000"),
    "bare JPEG 2000": encoded("JPEG2000", no_jp2=True),
    "PPM": encoded("PPM"),
    "PGM": encoded("PPM", SHALLOW),
    "PBM": encoded("PPM", SHALLOW.convert("1")),
    "PPM with comments": b"P6 # 7 8\n# 9\n65\n# 10\n48 255\n" + NOISE.tobytes(),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_size_is_that_of_pillow_and_of_the_decoder(name: str) -> None:
    data = VARIANTS[name]
    kind = image_kind(data[:4096])
    assert kind is not None
    assert pixel_size(kind, data) == Pillow.open(io.BytesIO(data)).size == (WIDTH, HEIGHT)
    with quiet():
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    # What this OpenCV cannot decode needs no limit.
    assert image is None or np.shape(image)[:2] == (HEIGHT, WIDTH)


def test_the_orientation_does_not_count() -> None:
    """Pixels are as many either way."""
    assert pixel_size("JPEG", encoded("JPEG", exif=turned())) == (WIDTH, HEIGHT)


def test_a_jpeg_2000_is_as_large_as_its_stream_not_as_its_box_says() -> None:
    data = encoded("JPEG2000")
    at = data.index(b"ihdr") + 4
    assert pixel_size("JPEG 2000", data[:at] + struct.pack(">II", 2, 2) + data[at + 8 :]) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("kind", "data"),
    sampled(
        [
            ("portable pixmap", b"P6\n#" + b"a" * 10_000_000 + b"\n65 48 255\n"),
            ("portable pixmap", b"P6" + b"\n" * 10_000_000),
            ("portable pixmap", b"P6" + b"\n#" * 1_000_000),
            ("TIFF", b"II" + struct.pack("<HHHQQ", 43, 8, 0, 16, 1 << 40) + bytes(10_000_000)),
            ("JPEG", b"\xff\xd8" + b"\xff\xe0\0\2" * 1_200_000),
            ("AVIF", b"\0\0\0\x1cftypavif" + b"ispe" * 1_000_000),
        ],
        3,
    ),
)
def test_headers_that_never_end_take_no_time_and_no_memory(kind: str, data: bytes) -> None:
    # A process of its own: what patterns take for their way back is seen by the system alone.
    child = multiprocessing.get_context("spawn").Process(target=_within_limits, args=(kind, data))
    child.start()
    child.join(60)
    assert child.exitcode == 0


def _within_limits(kind: str, data: bytes) -> None:
    import resource

    before = resource.getrusage(resource.RUSAGE_SELF)
    pixel_size(kind, data)
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime - before.ru_utime < 5
    assert after.ru_maxrss - before.ru_maxrss < 100_000
