"""The live window: keys do what they say, at any moment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import numpy as np
import pytest

from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.viewers import window
from mrcnn_cv.outputs.viewers.live_view import LatestFrame, LiveView
from mrcnn_cv.outputs.viewers.live_window import KEYS, LiveWindow
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.opencv import cv2


class Screen:
    """In place of OpenCV's windows: what is shown, and the keys that the user will press."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[int] = []
        self.shown: list[int] = []
        self.titles: list[str] = []
        self.visible = 1.0
        self.opened = 0
        monkeypatch.setattr(window, "check_display", lambda: None)
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: setattr(self, "opened", self.opened + 1))
        monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda _, image: self.shown.append(int(image[0, 0, 0])))
        monkeypatch.setattr(cv2, "setWindowTitle", lambda _, title: self.titles.append(title))
        monkeypatch.setattr(cv2, "waitKey", lambda _: self.keys.pop(0) if self.keys else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: self.visible)
        monkeypatch.setattr(cv2, "destroyAllWindows", lambda: None)


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


class Desk:
    """A window, and what its keys asked for."""

    def __init__(self) -> None:
        self.view = LiveView(FrameAnnotator())
        self.saved: list[LatestFrame] = []
        self.steps: list[int] = []
        self.window = LiveWindow(self.view, self._save, self._change)

    def _save(self, shot: LatestFrame) -> str:
        self.saved.append(shot)
        return "saved x.jpg"

    def _change(self, steps: int) -> str:
        self.steps.append(steps)
        return "score above 0.55"

    def picture(self, level: int) -> None:
        none = np.zeros(0, dtype=np.float32)
        found = Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (40, 60))
        self.view.write(Frame(np.full((40, 60, 3), level, np.uint8), "camera", level), found)


@pytest.fixture
def desk(screen: Screen) -> Iterator[Desk]:
    desk = Desk()
    with desk.window:
        yield desk


def test_no_window_before_the_first_picture(desk: Desk, screen: Screen) -> None:
    assert desk.window.pump()
    assert screen.opened == 0


def test_the_newest_is_shown_once(desk: Desk, screen: Screen) -> None:
    for level in (1, 2, 3):
        desk.picture(level)
    assert desk.window.pump()
    assert desk.window.pump()
    desk.picture(4)
    assert desk.window.pump()
    assert screen.shown == [3, 4]
    assert screen.opened == 1
    assert screen.titles == [f"mrcnn-cv ({KEYS})"]


@pytest.mark.parametrize("key", [ord("q"), ord("Q"), 27, 0x100000 | ord("q")])
def test_keys_that_end(desk: Desk, screen: Screen, key: int) -> None:
    desk.picture(1)
    screen.keys = [key]
    assert not desk.window.pump()


def test_closing_the_window_ends(desk: Desk, screen: Screen) -> None:
    desk.picture(1)
    assert desk.window.pump()
    screen.visible = 0.0
    assert not desk.window.pump()


def test_space_pauses_the_picture_and_goes_on_with_the_newest(desk: Desk, screen: Screen) -> None:
    desk.picture(1)
    screen.keys = [ord(" ")]
    assert desk.window.pump()
    for level in (2, 3):
        desk.picture(level)
        assert desk.window.pump()
    assert screen.shown == [1]
    assert screen.titles[-1].startswith("mrcnn-cv (paused")
    screen.keys = [ord(" ")]
    desk.window.pump()
    desk.window.pump()
    assert screen.shown == [1, 3]


def test_s_saves_what_is_seen(desk: Desk, screen: Screen) -> None:
    desk.picture(1)
    screen.keys = [ord(" ")]
    desk.window.pump()
    desk.picture(2)
    screen.keys = [ord("s")]
    desk.window.pump()
    desk.window.pump()
    assert [shot.frame.index for shot in desk.saved] == [1]
    assert screen.titles[-1] == "mrcnn-cv (saved x.jpg)"


def test_plus_and_minus(desk: Desk, screen: Screen) -> None:
    desk.picture(1)
    screen.keys = [ord(key) for key in "+=-_"]
    for _ in range(4):
        assert desk.window.pump()
    assert desk.steps == [1, 1, -1, -1]
    assert "score above 0.55" in screen.titles[-1]


def test_other_keys_do_nothing(desk: Desk, screen: Screen) -> None:
    desk.picture(1)
    screen.keys = [ord("x"), 13, 0xFF52]
    for _ in range(3):
        assert desk.window.pump()
    assert desk.steps == []
    assert desk.saved == []


_REAL = """
    import subprocess, sys, threading, time
    import numpy as np
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances
    from mrcnn_cv.outputs.viewers.live_view import LiveView
    from mrcnn_cv.outputs.viewers.live_window import LiveWindow
    from mrcnn_cv.outputs.video.annotator import FrameAnnotator

    none = np.zeros(0, dtype=np.float32)
    view = LiveView(FrameAnnotator())
    said = []
    window = LiveWindow(view, lambda shot: said.append("save") or "saved", lambda steps: said.append(steps) or "score")
    def press(key):
        # The window's own keys: to the window that has this title.
        subprocess.run(["xdotool", "search", "--sync", "--name", "mrcnn-cv", "windowfocus", "--sync", "key", key],
                       check=True, capture_output=True, timeout=20)
    def keys():
        for number, key in enumerate(("plus", "minus", "s", "q"), 1):
            press(key)
            # Of keys that come while OpenCV does not look it tells the last one alone.
            end = time.monotonic() + 20
            while len(said) < number and key != "q" and time.monotonic() < end:
                time.sleep(0.01)
    with window:
        thread = None
        for number in range(100000):
            view.write(Frame(np.full((240, 320, 3), number % 256, np.uint8), "x", number),
                       Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (240, 320)))
            if not window.pump():
                break
            if number == 3:
                thread = threading.Thread(target=keys, daemon=True)
                thread.start()
    print(said)
"""


@pytest.mark.skipif(
    not all(map(shutil.which, ("xvfb-run", "xdotool"))) or not sys.platform.startswith("linux"),
    reason="needs xvfb and xdotool",
)
def test_real_keys_in_a_real_window() -> None:
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        pytest.skip("this OpenCV has no windows")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("DISPLAY", "WAYLAND"))}
    done = subprocess.run(
        ["xvfb-run", "-a", sys.executable, "-c", textwrap.dedent(_REAL)],
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        check=False,
    )
    assert done.stdout.strip() == "[1, -1, 'save']", done.stderr
