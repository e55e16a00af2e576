"""Pictures, archives and folders that somebody made to fill a memory, to never end, or to get somewhere else."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import struct
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.inputs.images import archives
from mrcnn_cv.inputs.images import sniff as content
from mrcnn_cv.inputs.images.decode import decode_image
from mrcnn_cv.inputs.images.directories import DirectoryScan, in_folder
from mrcnn_cv.inputs.images.files import read_image
from mrcnn_cv.inputs.images.glob import glob_files
from mrcnn_cv.inputs.images.header_size import pixel_size
from mrcnn_cv.inputs.images.sorting import natural
from mrcnn_cv.inputs.listing import list_images
from mrcnn_cv.util import filenames

SIDE = 60_000


def bmp(side: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, side, -side, 1, 24, 0, 0, 0, 0, 0, 0)


def tiff(side: int, *, order: str = "<", big: bool = False) -> bytes:
    mark = b"II" if order == "<" else b"MM"
    if big:
        entries = b"".join(struct.pack(f"{order}HHQQ", tag, 16, 1, side) for tag in (256, 257))
        return mark + struct.pack(f"{order}HHHQQ", 43, 8, 0, 16, 2) + entries + bytes(8)
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, side) for tag in (256, 257))
    return mark + struct.pack(f"{order}HIH", 42, 8, 2) + entries + bytes(4)


def webp(side: int) -> bytes:
    body = b"VP8X" + struct.pack("<IB3x", 10, 0) + 2 * (side - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


HUGE = {
    "BMP": bmp(SIDE),
    "GIF": b"GIF89a" + struct.pack("<HH", SIDE, SIDE) + bytes(10),
    "TIFF": tiff(SIDE),
    "big-endian TIFF": tiff(SIDE, order=">"),
    "BigTIFF": tiff(SIDE, big=True),
    "WebP": webp(SIDE),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n\xff\x4f\xff\x51"
    + struct.pack(">HHIIII", 41, 0, SIDE, SIDE, 0, 0)
    + bytes(40),
    "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf\0\0\0\x14ispe\0\0\0\0"
    + struct.pack(">II", SIDE, SIDE)
    + bytes(40),
    "PPM": b"P6 # a comment\n%d\n%d 255\n" % (SIDE, SIDE),
    "PAM": b"P7\nWIDTH %d\nHEIGHT %d\nDEPTH 3\nMAXVAL 255\nENDHDR\n" % (SIDE, SIDE),
    "PFM": b"PF\n%d %d\n-1.0\n" % (SIDE, SIDE),
    "HDR": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (SIDE, SIDE),
    "Sun raster": struct.pack(">8I", 0x59A66A95, SIDE, SIDE, 24, 0, 1, 0, 0),
}


@pytest.mark.parametrize("kind", HUGE)
def test_a_huge_picture_is_refused_by_its_header_before_it_is_decoded(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *arguments: pytest.fail("it was decoded"))
    with pytest.raises(InputError, match=rf"bomb has more pixels \({SIDE} x {SIDE}\) than are read: make"):
        decode_image(HUGE[kind], "bomb")


@pytest.mark.parametrize(
    "suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp", ".gif", ".jp2", ".avif", ".ppm", ".pam", ".sr"]
)
def test_the_size_in_the_header_is_the_size_of_the_picture(suffix: str) -> None:
    if not cv2.haveImageWriter(f"x{suffix}"):
        pytest.skip(f"this OpenCV writes no {suffix}")
    data = cv2.imencode(suffix, np.zeros((48, 65, 3), np.uint8))[1].tobytes()
    kind = content.image_kind(data[:4096])
    assert kind is not None
    assert pixel_size(kind, data) == (65, 48)


def test_numbers_of_thousands_of_digits_are_no_size() -> None:
    assert pixel_size("portable pixmap", b"P6\n" + b"9" * 5000 + b" 1\n") is None


def test_a_file_with_more_bytes_than_any_picture_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "1000")
    path = tmp_path / "large.jpg"
    with path.open("wb") as file:
        file.write(b"\xff\xd8\xff")
        file.truncate(1 << 27)
    with pytest.raises(InputError, match=r"large\.jpg has 134,217,728 bytes, more than an image of 1,000 pixels needs"):
        read_image(path)


def only(path: Path) -> ImageRef:
    (item,) = list_images([str(path)], DirectoryScan()).items
    return item


def test_packed_members_whose_size_is_a_lie_are_unpacked_a_little_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("a.png", b"\x89PNG\r\n\x1a\n" + bytes(1 << 20))
    data = bytearray(path.read_bytes())
    start = data.find(b"PK\x01\x02")
    data[start + 24 : start + 28] = struct.pack("<I", 100)
    path.write_bytes(data)
    item = only(path)
    asked: list[int] = []
    reading = zipfile.ZipExtFile.read

    def read(file: zipfile.ZipExtFile, size: int | None = -1) -> bytes:
        asked.append(-1 if size is None else size)
        return reading(file, size)

    monkeypatch.setattr(zipfile.ZipExtFile, "read", read)
    with pytest.raises(InputError, match=r"a\.png cannot be unpacked"):
        item.read()
    # zipfile unpacks all that it reads at once, whatever the member is said to hold.
    assert asked
    assert all(0 < size <= 4096 for size in asked)


def tar_header(name: str, size: int, kind: bytes) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def test_a_packed_tar_whose_header_claims_a_gigabyte_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.tar.gz"
    path.write_bytes(gzip.compress(tar_header("x", 1 << 26, tarfile.XHDTYPE) + bytes(1 << 26), 1))
    tracemalloc.start()
    try:
        assert not archives.is_archive(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 24
    finally:
        tracemalloc.stop()


def test_a_tar_that_unpacks_to_no_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrcnn_cv.inputs.images.archives.FREE", 1 << 20)
    path = tmp_path / "bomb.tar.bz2"
    small = tar_header("a.txt", 1, tarfile.REGTYPE) + b"x".ljust(512, b"\0")
    path.write_bytes(bz2.compress(small + tar_header("b.png", 1 << 23, tarfile.REGTYPE) + bytes(1 << 23) + small))
    with pytest.raises(InputError, match=r"bomb\.tar\.bz2 is damaged .*unpacks to more than"):
        only(path).read()


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.XHDTYPE])
def test_headers_inside_of_headers_are_no_archive(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "nested.tar"
    path.write_bytes((tar_header("x", 512, kind) + b"12 path=abc\n".ljust(512, b"\0")) * 3000)
    assert not archives.is_archive(path)


def test_links_in_an_archive_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "links.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (("a.jpg", tarfile.SYMTYPE), ("b.jpg", tarfile.LNKTYPE), ("c.jpg", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    with pytest.raises(InputError, match="holds no images"):
        only(path).read()


def test_places_of_members_fit_every_file_system(tmp_path: Path) -> None:
    path = tmp_path / "long.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in (
            "d/" * 1500 + "a.jpg",
            "x" * 300 + "/b.jpg",
            "../" * 9 + "c.jpg",
            "\x9b31m.jpg",
            "9" * 4000 + ".jpg",
        ):
            archive.writestr(name, b"x")
    places = [item.output_path for item in list_images([str(path)], DirectoryScan()).items]
    assert len(places) == 5
    for place in places:
        (tmp_path / "out" / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / place).write_bytes(b"")
        assert (tmp_path / "out" / place).resolve().is_relative_to(tmp_path / "out")
        assert str(place).isprintable()


def test_places_that_were_cut_stay_different() -> None:
    places = {filenames.safe_relative_path(["d"] * 1500 + [name]) for name in ("a.jpg", "b.jpg")}
    assert len(places) == 2
    assert filenames.safe_relative_path(["a", "..", "b.jpg"]) == PurePosixPath("a/_/b.jpg")


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("a.json", True),
        ("a/b.json", True),
        ("../a", False),
        ("/a", False),
        ("a/../../b", False),
        ("", False),
        ("a\0", False),
    ],
)
def test_which_paths_of_a_manifest_stay_below(path: str, below: bool) -> None:
    assert filenames.is_below(path) is below


def test_a_list_of_paths_with_two_roots(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("//a/b.jpg\n/c/d.jpg\n")
    places = [item.output_path for item in list_images([], DirectoryScan(), [path]).items]
    assert [place.name for place in places] == ["b.jpg", "d.jpg"]
    assert not any(place.is_absolute() for place in places)


def test_names_of_thousands_of_digits_have_an_order() -> None:
    assert sorted(["img10", "9" * 5000, "img2"], key=natural) == ["9" * 5000, "img2", "img10"]


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_in_circles_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").write_bytes(b"x")
    for number in range(3):
        (tmp_path / f"link{number}").symlink_to(".")
        (tmp_path / "a" / f"up{number}").symlink_to("..")
    monkeypatch.chdir(tmp_path)
    assert glob_files("**/*.jpg") == [os.path.join("a", "x.jpg")]
    assert [item.output_path for item in in_folder(tmp_path, DirectoryScan())] == [PurePosixPath("a/x.jpg")]
    assert len(list_images(["**/*.jpg"], DirectoryScan()).items) == 1


@pytest.mark.skipif(os.name == "nt", reason="paths end earlier there")
def test_folders_that_are_nested_deeply_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    Path("x.jpg").write_bytes(b"x")
    os.chdir(tmp_path)
    (item,) = in_folder(tmp_path, DirectoryScan())
    assert len(os.fsencode(item.output_path)) <= filenames.MAX_PATH_BYTES
    # What removes the folder afterwards may call itself for each level.
    os.rename(Path("d", *["d"] * 599), "rest")


def test_a_png_bomb_that_lies_in_a_zip_is_one_failed_picture(tmp_path: Path) -> None:
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1 << 20))), (b"IEND", b""))
    data = b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("bomb.png", b"\x89PNG\r\n\x1a\n" + data)
    (tmp_path / "photos.zip").write_bytes(file.getvalue())
    item = only(tmp_path / "photos.zip")
    with pytest.raises(InputError, match=r"bomb\.png has more pixels"):
        decode_image(item.read(), item.name)
