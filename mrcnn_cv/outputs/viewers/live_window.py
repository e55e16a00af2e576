"""--show of a live source: the newest image in a window that answers keys at any moment, also while none comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from mrcnn_cv.outputs.viewers.window import STOP_KEYS, DisplayWindow, open_window
from mrcnn_cv.util.opencv import cv2

if TYPE_CHECKING:
    from mrcnn_cv.outputs.viewers.live_view import LatestFrame, LiveView

KEYS = "q: end, space: pause, s: save, + and -: threshold"

_NAME = "mrcnn-cv"
_WAIT_MS = 15
_MORE_KEYS = frozenset((ord("+"), ord("="), 0xAB))
_LESS_KEYS = frozenset((ord("-"), ord("_"), 0xAD))
_NOTE_SECONDS = 2.5


class LiveWindow(DisplayWindow):
    """A window on a live view. Everything is to be called by the main thread, as window systems want it.

    save       keeps an image on request, and gives what to say about it
    threshold  changes the score threshold by so many steps, and gives what to say about it
    """

    def __init__(self, view: LiveView, save: Callable[[LatestFrame], str], threshold: Callable[[int], str]) -> None:
        self._view = view
        self._save = save
        self._threshold = threshold
        self._shown: LatestFrame | None = None
        self._is_paused = False
        self._note: tuple[float, str] = (0.0, "")
        self._title = ""

    @property
    def is_paused(self) -> bool:
        """Whether the user wants to look at one image for longer."""
        return self._is_paused

    def pump(self) -> bool:
        """Show what is new and do what the keys say; False once the user wants to end. Takes some milliseconds."""
        newest = self._view.latest
        if newest is None:
            # There is no window yet whose keys could be asked.
            time.sleep(_WAIT_MS / 1000)
            return True
        if newest is not self._shown and not self._is_paused:
            self._show(newest)
        self._entitle()
        key = cv2.waitKey(_WAIT_MS)
        if key >= 0:
            return self._press(key & 0xFF)
        return cv2.getWindowProperty(_NAME, cv2.WND_PROP_VISIBLE) >= 1

    def _press(self, key: int) -> bool:
        if key in STOP_KEYS:
            return False
        if key == ord(" "):
            self._is_paused = not self._is_paused
        elif key in (ord("s"), ord("S")) and self._shown is not None:
            self._say(self._save(self._shown))
        elif key in _MORE_KEYS or key in _LESS_KEYS:
            self._say(self._threshold(1 if key in _MORE_KEYS else -1))
        return True

    def _say(self, note: str) -> None:
        self._note = (time.monotonic() + _NOTE_SECONDS, note)

    def _entitle(self) -> None:
        until, note = self._note
        title = note if time.monotonic() < until else f"{'paused, ' if self._is_paused else ''}{KEYS}"
        if title != self._title:
            self._title = title
            # Some of OpenCV's window systems have no titles.
            with suppress(cv2.error):
                cv2.setWindowTitle(_NAME, f"mrcnn-cv ({title})")

    def _show(self, latest: LatestFrame) -> None:
        image = self._view.annotated(latest)
        if self._shown is None:
            open_window(_NAME, image.shape[:2])
        cv2.imshow(_NAME, image)
        self._shown = latest
