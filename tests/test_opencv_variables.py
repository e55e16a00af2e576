"""Numbers as OpenCV reads them from its environment; each of these was given to OpenCV itself."""

from __future__ import annotations

import pytest

from mrcnn_cv.inputs.images.header_size import max_pixels
from mrcnn_cv.util import opencv_env as opencv_variables


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("07", 7), ("1KB", 1024), ("5kb", 5 << 10), ("500MB", 500 << 20), (str((1 << 64) - 1), (1 << 64) - 1)],
)
def test_numbers_that_opencv_reads(text: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opencv_variables.number(text) == value
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", text)
    assert max_pixels() == value


@pytest.mark.parametrize(
    "text", ["", "abc", "-1", "+5", " 5", "5 ", "1e9", "0x10", "5kB", "5 MB", "1GB", "9" * 20, "٣"]
)
def test_numbers_over_which_opencv_aborts(text: str) -> None:
    assert opencv_variables.number(text) is None
