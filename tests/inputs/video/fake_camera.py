"""In place of OpenCV's way into a camera."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from mrcnn_cv.inputs.video import camera

Picture = np.ndarray[Any, Any]

_pause = threading.Event()


class FakeCapture:
    """A camera of 64 x 48 that gives `count` images, then none. None: endless.

    takes    what it obeys of `set`
    image  what it sees, in place of a grey that changes
    """

    def __init__(
        self,
        count: int | None = None,
        is_open: bool = True,
        takes: tuple[int, ...] = (),
        picture: Picture | None = None,
    ) -> None:
        self.picture = picture
        self.is_open = is_open
        self.left = count
        self.takes = takes
        self.values: dict[int, float] = {cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48}
        self.values[cv2.CAP_PROP_FPS] = 30.0
        self.number = 0
        self.released = False

    def isOpened(self) -> bool:
        return self.is_open

    def set(self, name: int, value: float) -> bool:
        if name in self.takes:
            self.values[name] = value
        return name in self.takes

    def get(self, name: int) -> float:
        return self.values.get(name, 0.0)

    def read(self) -> tuple[bool, Picture | None]:
        if self.left == 0 or self.released:
            return False, None
        if self.left is not None:
            self.left -= 1
        self.number += 1
        if self.picture is not None:
            # As fast as a camera that is fast.
            _pause.wait(1 / 200)
            return True, self.picture.copy()
        size = int(self.values[cv2.CAP_PROP_FRAME_HEIGHT]), int(self.values[cv2.CAP_PROP_FRAME_WIDTH])
        return True, np.full((*size, 3), self.number % 256, dtype=np.uint8)

    def release(self) -> None:
        self.released = True


def plug_in(monkeypatch: pytest.MonkeyPatch, capture: FakeCapture | Callable[[str], FakeCapture]) -> None:
    """Every camera is `capture`, or what it gives for a source."""

    def open_capture(source: str) -> FakeCapture:
        if not isinstance(capture, FakeCapture):
            return capture(source)
        capture.released = False
        return capture

    monkeypatch.setattr(camera, "check_device", lambda source: None)
    monkeypatch.setattr(camera, "open_capture", open_capture)
