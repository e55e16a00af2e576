"""Overlay images: the input's own name and format wherever OpenCV can write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mrcnn_cv.drawing.annotate import Style
from mrcnn_cv.outputs.base import OutputSettings
from mrcnn_cv.outputs.formats.image_files import OverlayImages
from mrcnn_cv.outputs.registry import make_sinks
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.opencv import cv2
from tests.outputs.conftest import MakeFrame


@pytest.mark.parametrize(
    ("name", "written", "kind"),
    [
        ("photo.jpg", "photo.jpg", "JPEG"),
        ("PHOTO.JPEG", "PHOTO.JPEG", "JPEG"),
        ("photo.jfif", "photo.jfif", "JPEG"),
        ("photo.png", "photo.png", "PNG"),
        ("photo.bmp", "photo.bmp", "BMP"),
        ("photo.tif", "photo.tif", "TIFF"),
        ("photo.webp", "photo.webp", "WEBP"),
        ("photo.gif", "photo.gif.png", "PNG"),
        ("photo.pgm", "photo.pgm.png", "PNG"),
        ("photo", "photo.png", "PNG"),
        ("Ünïcode 東京.jpg", "Ünïcode 東京.jpg", "JPEG"),
    ],
)
def test_name_and_format(
    tmp_path: Path, make_frame: MakeFrame, found: Instances, name: str, written: str, kind: str
) -> None:
    with OverlayImages(OutputDirectory(tmp_path), OutputSettings({}, "model.pb", Style())) as sink:
        sink.write(make_frame(name), found)
    with Image.open(tmp_path / written) as picture:
        assert picture.format == kind
        assert picture.size == (60, 40)


def test_png_is_written_where_this_opencv_lacks_the_format(
    tmp_path: Path, make_frame: MakeFrame, found: Instances, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot(name: str) -> bool:
        raise cv2.error("no such codec")

    monkeypatch.setattr(cv2, "haveImageWriter", cannot)
    with OverlayImages(OutputDirectory(tmp_path), OutputSettings({}, "model.pb")) as sink:
        sink.write(make_frame("photo.webp"), found)
    assert (tmp_path / "photo.webp.png").is_file()


def test_png_is_written_where_the_picture_is_too_wide_for_its_format(
    tmp_path: Path, make_frame: MakeFrame, found: Instances, capfd: pytest.CaptureFixture[str]
) -> None:
    found.image_size = (2, 20_000)
    with OverlayImages(OutputDirectory(tmp_path), OutputSettings({}, "model.pb")) as sink:
        sink.write(make_frame("strip.webp", height=2, width=20_000), found)
    assert (tmp_path / "strip.webp.png").is_file()
    assert capfd.readouterr().err == ""


def test_overlay_shows_what_draw_paints(tmp_path: Path, make_frame: MakeFrame, found: Instances) -> None:
    frame, style = make_frame("photo.png"), Style(color_by="class")
    with OverlayImages(OutputDirectory(tmp_path), OutputSettings({}, "model.pb", style)) as sink:
        sink.write(frame, found)
    with Image.open(tmp_path / "photo.png") as picture:
        assert np.array_equal(np.asarray(picture)[..., ::-1], found.draw(frame.image, style))
    assert found.timings_ms["draw"] > 0


def test_drawing_time_is_in_the_record_of_the_same_run(tmp_path: Path, make_frame: MakeFrame, found: Instances) -> None:
    folder = OutputDirectory(tmp_path)
    for name in ("overlay", "json"):
        (made,) = make_sinks([name], folder, OutputSettings({}, "model.pb", Style()))
        with made as sink:
            sink.write(make_frame("photo.jpg"), found)
    assert '"draw": ' in (tmp_path / "photo.jpg.json").read_text()
    assert (tmp_path / "photo.jpg").is_file()
