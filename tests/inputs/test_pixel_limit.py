"""The limit on pixels that the environment sets, read as OpenCV reads it; each of these was given to OpenCV itself."""

from __future__ import annotations

import pytest

from mrcnn_cv.inputs.images.header_size import MAX_PIXELS, max_pixels


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("07", 7), ("1KB", 1024), ("5kb", 5 << 10), ("500MB", 500 << 20), (str((1 << 64) - 1), (1 << 64) - 1)],
)
def test_numbers_that_opencv_reads(text: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", text)
    assert max_pixels() == value


@pytest.mark.parametrize("text", ["", "abc", "-1", "+5", " 5", "5 ", "1e9", "0x10", "5kB", "5 MB", "1GB", "٣"])
def test_what_is_no_number_for_opencv_sets_nothing(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", text)
    assert max_pixels() == MAX_PIXELS
