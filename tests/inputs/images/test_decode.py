"""Image files as users have them: every kind that opens must open right, every broken one must say so in a sentence."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.image_ref import load
from mrcnn_cv.inputs.images.decode import decode_image
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.images.files import read_image
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.util.opencv import cv2

ROWS, COLUMNS = np.mgrid[0:40, 0:60]
RGB = np.stack([COLUMNS * 4, ROWS * 6, (COLUMNS + ROWS) * 2], axis=-1).astype(np.uint8)
PICTURE = Image.fromarray(RGB)
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def as_rgb(image: NDArray[np.uint8]) -> NDArray[np.int32]:
    return image[..., ::-1].astype(np.int32)


def difference(image: NDArray[np.uint8], expected: Image.Image) -> int:
    reference = np.asarray(expected.convert("RGB"), dtype=np.int32)
    assert image.shape == reference.shape
    assert image.dtype == np.uint8
    return int(np.abs(as_rgb(image) - reference).max())


def refusal(data: bytes, name: str = "photo.jpg") -> str:
    with pytest.raises(InputError) as caught:
        decode_image(data, name)
    message = str(caught.value)
    assert message.startswith(name)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["photo.png", "my holiday photo.png", "Grüße aus 東京 🗼.png", "PHOTO", "a.b.c.jpg"])
def test_file_with_any_name_opens_by_its_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(encoded(PICTURE, "PNG"))
    assert difference(read_image(tmp_path / name), PICTURE) == 0


ALPHA = PICTURE.convert("RGBA")
ALPHA.putalpha(Image.fromarray((COLUMNS * 4).astype(np.uint8)))


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(encoded(PICTURE, "BMP"), PICTURE, id="bmp"),
        pytest.param(encoded(PICTURE, "TIFF"), PICTURE, id="tiff"),
        pytest.param(encoded(PICTURE, "WEBP", lossless=True), PICTURE, id="webp"),
        pytest.param(encoded(PICTURE, "PPM"), PICTURE, id="ppm"),
        pytest.param(encoded(PICTURE.convert("L"), "PNG"), PICTURE.convert("L"), id="grey"),
        pytest.param(encoded(PICTURE.convert("1"), "PNG"), PICTURE.convert("1"), id="black-and-white"),
        pytest.param(encoded(PICTURE.quantize(16), "PNG"), PICTURE.quantize(16), id="palette"),
        pytest.param(encoded(ALPHA, "PNG"), PICTURE, id="alpha-dropped"),
        pytest.param(encoded(ALPHA.convert("LA"), "PNG"), PICTURE.convert("L"), id="grey-alpha-dropped"),
        pytest.param(encoded(PICTURE.crop((0, 0, 1, 1)), "PNG"), PICTURE.crop((0, 0, 1, 1)), id="1x1-png"),
        pytest.param(encoded(PICTURE.crop((0, 0, 1, 1)), "JPEG"), PICTURE.crop((0, 0, 1, 1)), id="1x1-jpeg"),
        pytest.param(
            encoded(PICTURE, "PNG", save_all=True, append_images=[PICTURE.rotate(180)]),
            PICTURE,
            id="apng-first-picture",
        ),
    ],
)
def test_kinds_of_pictures(data: bytes, expected: Image.Image) -> None:
    assert difference(decode_image(data, "picture"), expected) == 0


@pytest.mark.skipif(not cv2.haveImageWriter("x.gif"), reason="this OpenCV has no GIF")
def test_gif_gives_its_first_picture() -> None:
    first = PICTURE.quantize(16)
    data = encoded(first, "GIF", save_all=True, append_images=[first.rotate(180)], duration=100)
    assert difference(decode_image(data, "a.gif"), first) == 0


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_16_bit_samples_are_scaled_to_8(extension: str) -> None:
    deep = np.stack([ROWS * 1500, COLUMNS * 1000, ROWS * 700 + 9], axis=-1).astype(np.uint16)
    image = decode_image(cv2.imencode(extension, deep)[1].tobytes(), "deep")
    assert image.dtype == np.uint8
    assert np.abs(image.astype(np.int32) - deep.astype(np.int32) // 256).max() <= 1


def test_cmyk_jpeg_has_the_colours_that_pillow_gives() -> None:
    data = encoded(PICTURE.convert("CMYK"), "JPEG", quality=95)
    assert difference(decode_image(data, "print.jpg"), Image.open(io.BytesIO(data))) <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_picture_stands_upright_by_its_exif_orientation(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(PICTURE, "JPEG", exif=exif, quality=95)
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert difference(decode_image(data, "phone.jpg"), upright) <= 1


def test_jpeg_with_an_exif_thumbnail_cut_after_it_is_truncated() -> None:
    # The thumbnail is a JPEG with an end of its own: it must not be taken for the end of the image.
    thumbnail = encoded(PICTURE.resize((16, 16)), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 8) + b"Exif\0\0" + thumbnail
    whole = encoded(NOISE, "JPEG")
    data = whole[:2] + segment + whole[2:]
    assert decode_image(data, "photo.jpg").shape == (60, 80, 3)
    assert "truncated" in refusal(data[: len(data) * 2 // 3])


@pytest.mark.parametrize("part", [0.0, 0.02, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    ("kind", "options"),
    [("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("WEBP", {}), ("BMP", {}), ("TIFF", {}), ("PPM", {})],
)
def test_truncated_file_is_an_error_and_nothing_reaches_the_terminal(
    capfd: pytest.CaptureFixture[str], kind: str, options: dict[str, object], part: float
) -> None:
    whole = encoded(NOISE, kind, **options)
    message = refusal(whole[: int(len(whole) * part)])
    assert ("truncated" if part else "empty") in message
    assert capfd.readouterr() == ("", "")


def test_png_with_changed_bytes_is_damaged(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(NOISE, "PNG"))
    data[len(data) // 2] ^= 0xFF
    assert "damaged" in refusal(bytes(data), "photo.png")
    assert capfd.readouterr().err == ""


def test_colour_profile_that_libpng_complains_about_is_passed_over(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(PICTURE, "PNG", icc_profile=b"not a profile at all")
    assert difference(decode_image(data, "photo.png"), PICTURE) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"hello, this is a note\n", "a text file"),
        ("Grüße".encode(), "a text file"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a PDF document"),
        (b"PK\x03\x04\x14\0\0\0", "an archive"),
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "a video"),
        (b"\x1a\x45\xdf\xa3\x01\0\0\0", "a video"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b'<?xml version="1.0"?>\n<!-- x -->\n<svg xmlns="http://www.w3.org/2000/svg">', "an SVG drawing"),
        (b"<!DOCTYPE html>\n<html><body>404</body></html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"),
        (b"\x93NUMPY\x01\0", "a numpy array"),
        (bytes(range(256)), "not an image"),
    ],
)
def test_what_is_no_picture_is_named(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"photo\.jpg") as caught:
        read_image(path)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("head", "patience"),
    [(b"<!-- --> " * 450, 1.0), (b"<" * 4096, 1.0), (b" " * 4096, 1.0), (b"\xff\xd8\xff" + b"\xff" * 300_000, 5.0)],
)
def test_odd_content_takes_no_time_to_refuse(head: bytes, patience: float) -> None:
    start = os.times().user
    refusal(head)
    assert os.times().user - start < patience


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of_size(width: int, height: int) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def test_picture_over_the_pixel_limit_names_its_size_and_the_remedy(capfd: pytest.CaptureFixture[str]) -> None:
    message = refusal(png_of_size(40_000, 40_000), "map.png")
    assert "40000 x 40000" in message
    assert "OPENCV_IO_MAX_IMAGE_PIXELS" in message
    assert capfd.readouterr().err == ""


def test_jpeg_over_the_pixel_limit_names_its_size(capfd: pytest.CaptureFixture[str]) -> None:
    data = bytearray(encoded(PICTURE, "JPEG"))
    start = data.find(b"\xff\xc0")
    data[start + 5 : start + 9] = struct.pack(">HH", 50_000, 60_000)
    message = refusal(bytes(data), "map.jpg")
    assert "60000 x 50000" in message
    assert "OPENCV_IO_MAX_IMAGE_PIXELS" in message
    assert capfd.readouterr().err == ""


def test_png_wider_than_libpng_allows(capfd: pytest.CaptureFixture[str]) -> None:
    assert "2000000 x 10" in refusal(png_of_size(2_000_000, 10), "strip.png")
    assert capfd.readouterr().err == ""


def test_lower_limit_of_the_environment_is_honoured(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(encoded(PICTURE, "PNG"))
    code = "import sys; from mrcnn_cv.inputs.images.files import read_image; read_image(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "photo.png")],
        env={**os.environ, "OPENCV_IO_MAX_IMAGE_PIXELS": "1000"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "photo.png has more pixels (60 x 40) than are read" in done.stderr


def test_float_tiff_says_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    data = encoded(Image.fromarray((ROWS / 40).astype(np.float32)), "TIFF")
    assert "save it as JPEG or 8-bit PNG" in refusal(data, "depth.tif")
    assert capfd.readouterr().err == ""


def test_log_level_of_opencv_is_left_as_it_was() -> None:
    home: Any = cv2 if hasattr(cv2, "getLogLevel") else getattr(cv2.utils, "logging")  # noqa: B009
    before = home.getLogLevel()
    refusal(encoded(PICTURE, "BMP")[:100])
    decode_image(encoded(PICTURE, "PNG"), "photo.png")
    assert home.getLogLevel() == before


def test_missing_file_folder_and_broken_link(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.jpg does not exist"):
        read_image(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "file" / "photo.jpg")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match="is a link to a file that does not exist"):
        read_image(tmp_path / "link.jpg")
    with pytest.raises(InputError, match="longer than this file system allows"):
        read_image(tmp_path / ("x" * 300))
    with pytest.raises(InputError):
        read_image("nul\0byte.jpg")


def test_huge_file_of_unknown_kind_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "disk.img").open("wb") as file:
        file.truncate(1 << 36)
    with pytest.raises(InputError, match="not an image"):
        read_image(tmp_path / "disk.img")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_pipe_without_a_writer_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(InputError, match="a device or a pipe"):
        read_image(tmp_path / "pipe.jpg")


def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(PICTURE, "PNG"))
    path.chmod(0)
    if os.access(path, os.R_OK):

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match=r"secret\.png cannot be read, permission denied"):
        read_image(path)


def test_a_bad_file_does_not_end_the_others(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encoded(PICTURE, "PNG"))
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_bytes(encoded(NOISE, "PNG"))
    items = list_images([str(tmp_path / name) for name in ("a.png", "b.png", "c.png")], DirectoryScan()).items
    first, second, third = (load(item, index) for index, item in enumerate(items))
    assert isinstance(first, Frame)
    assert isinstance(second, FrameError)
    assert isinstance(third, Frame)
    assert [first.index, second.index, third.index] == [0, 1, 2]
    assert first.name == str(tmp_path / "a.png")
    assert first.path == tmp_path / "a.png"
    assert first.time is None
    assert first.read_ms > 0
    assert "b.png is empty" in str(second.error)
    assert third.image.shape == (60, 80, 3)


WHOLE = [encoded(NOISE, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "PPM")]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(WHOLE), st.data())
def test_changed_bytes_give_a_picture_or_a_sentence(whole: bytes, data: st.DataObject) -> None:
    broken = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        # Sizes stay as they are: an image of 2^27 pixels is allowed, but not in a test.
        place = data.draw(st.integers(300, len(broken) - 1))
        broken[place] = data.draw(st.integers(0, 255))
    try:
        image = decode_image(bytes(broken), "photo")
    except InputError:
        refusal(bytes(broken), "photo")
    else:
        assert image.shape == (60, 80, 3)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_give_a_sentence(data: bytes) -> None:
    refusal(data)
