"""--show: without a display it is refused in time, since OpenCV would abort the whole process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.errors import UsageError
from mrcnn_cv.outputs.base import SinkClosed
from mrcnn_cv.outputs.viewers import window
from mrcnn_cv.outputs.viewers.window import ImageWindow, check_display
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.opencv import cv2
from tests.outputs.conftest import MakeFrame


@pytest.fixture(autouse=True)
def no_memory_of_displays() -> None:
    window._probe.cache_clear()


linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named on Linux alone")


@linux_only
def test_no_display_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr(subprocess, "run", None)
    with pytest.raises(UsageError, match="DISPLAY is not set") as caught, ImageWindow():
        pytest.fail("opened")
    assert caught.value.exit_code == 2


@linux_only
def test_display_that_cannot_be_reached_is_refused_and_we_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(UsageError, match="show no window"):
        check_display()


def probe_ends(code: int, stderr: bytes) -> Callable[..., Any]:
    return lambda *_, **__: subprocess.CompletedProcess([], code, b"", stderr)


def test_opencv_without_windows_names_the_package_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":0")
    complaint = b"cv2.error: (-2) The function is not implemented. Rebuild the library with Windows, GTK+ 2.x or Cocoa"
    monkeypatch.setattr(subprocess, "run", probe_ends(1, complaint))
    with pytest.raises(UsageError, match="pip uninstall opencv-python-headless"):
        check_display()


class Screen:
    """In place of OpenCV's windows: what was shown, and which keys the user will press."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, keys: list[int], visible: float = 1.0) -> None:
        self.keys = keys
        self.shown: list[tuple[int, ...]] = []
        self.size = (0, 0)
        self.closed = False
        monkeypatch.setenv("DISPLAY", ":0")
        monkeypatch.setattr(subprocess, "run", probe_ends(0, b""))
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "resizeWindow", lambda _, width, height: setattr(self, "size", (width, height)))
        monkeypatch.setattr(cv2, "imshow", lambda _, image: self.shown.append(image.shape))
        monkeypatch.setattr(cv2, "waitKey", lambda _: self.keys.pop(0) if self.keys else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: visible)
        monkeypatch.setattr(cv2, "destroyAllWindows", lambda: setattr(self, "closed", True))


def test_any_key_goes_on_and_q_stops(monkeypatch: pytest.MonkeyPatch, make_frame: MakeFrame, found: Instances) -> None:
    screen = Screen(monkeypatch, [-1, -1, ord(" "), ord("q")])
    with ImageWindow() as sink:
        sink.write(make_frame("a.jpg"), found)
        with pytest.raises(SinkClosed):
            sink.write(make_frame("b.jpg"), found)
    assert screen.shown == [(40, 60, 3)] * 2
    assert found.timings_ms["show"] >= 0
    assert screen.closed


def test_closing_the_window_stops(monkeypatch: pytest.MonkeyPatch, make_frame: MakeFrame, found: Instances) -> None:
    Screen(monkeypatch, [], visible=0.0)
    with pytest.raises(SinkClosed), ImageWindow() as sink:
        sink.write(make_frame("a.jpg"), found)


def test_large_picture_is_shown_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_frame: MakeFrame, found: Instances
) -> None:
    screen = Screen(monkeypatch, [13])
    found.image_size = (3000, 4000)
    with ImageWindow() as sink:
        sink.write(make_frame("a.jpg", height=3000, width=4000), found)
    assert screen.size == (1200, 900)
    assert screen.size[0] <= window.LARGEST[0]
