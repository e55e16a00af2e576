"""--show: each overlay in a window, until a key is pressed."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.annotate import draw
from mrcnn_cv.errors import Remedy, UsageError
from mrcnn_cv.outputs.base import SinkClosed
from mrcnn_cv.util.opencv import cv2

if TYPE_CHECKING:
    from typing_extensions import Self

    from mrcnn_cv.drawing.annotate import Style
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances

TITLE = "mrcnn-cv (any key: next, q: stop)"
LARGEST = (1600, 900)
"""Width and height in screen pixels that a window is shrunk to."""

_PROBE = "import cv2; cv2.namedWindow('mrcnn-cv'); cv2.destroyAllWindows()"
_PROBE_SECONDS = 30
STOP_KEYS = {ord("q"), ord("Q"), 27}


def check_display() -> None:
    """UsageError where no window can be shown, with the remedy.

    It has to come before any call that opens a window: without a display Qt does not raise, it aborts the process. So
    the real attempt is made in a process of its own.
    """
    linux = sys.platform.startswith("linux")
    if linux and not os.environ.get("DISPLAY") and not os.environ.get("WAYLAND_DISPLAY"):
        raise UsageError(
            "a window needs a display and there is none (DISPLAY is not set): connect with ssh -X, show no window and"
            " look at the files in the output folder, or see a live source in a browser",
            Remedy.NO_WINDOW,
            Remedy.SERVE,
        )
    returned, complaint = _probe(os.environ.get("DISPLAY"), os.environ.get("WAYLAND_DISPLAY"))
    if returned == 0:
        return
    if b"not implemented" in complaint:
        raise UsageError(
            "a window needs an OpenCV with windows and this one has none: pip uninstall opencv-python-headless"
            " opencv-python, then pip install opencv-python, or show no window",
            Remedy.NO_WINDOW,
        )
    where = f" {os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')}" if linux else ""
    raise UsageError(
        f"no window can be opened on the display{where}: check that it can be reached (xauth, XWayland), or show no"
        " window and look at the files in the output folder",
        Remedy.NO_WINDOW,
    )


@functools.cache
def _probe(x11: str | None, wayland: str | None) -> tuple[int, bytes]:
    """(exit code, stderr) of a process that opens a window on these displays; it takes half a second, so only once."""
    try:
        probe = subprocess.run(
            [sys.executable, "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_SECONDS,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return 1, str(error).encode()
    return probe.returncode, probe.stderr


class DisplayWindow:
    """A window, which can be opened inside of the with block; UsageError where there is no display."""

    def __enter__(self) -> Self:
        check_display()
        return self

    def __exit__(self, *error: object) -> None:
        cv2.destroyAllWindows()


def open_window(title: str, size: tuple[int, ...]) -> None:
    """Open a window for images of `size` (height, width), shrunk to LARGEST."""
    height, width = size
    shrink = min(1.0, LARGEST[0] / width, LARGEST[1] / height)
    cv2.namedWindow(title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
    cv2.resizeWindow(title, max(1, round(width * shrink)), max(1, round(height * shrink)))


class ImageWindow(DisplayWindow):
    """Shows each overlay and waits: any key goes on, q, Esc or closing the window stops (SinkClosed).

    Put it after the other sinks of a run, so that they have the image on which the user stops.
    """

    ordered = True

    def __init__(self, style: Style | None = None) -> None:
        self.style = style

    def write(self, frame: Frame, instances: Instances) -> None:
        """Show one overlay until the user presses a key; adds the milliseconds that it was looked at as "show"."""
        start = perf_counter()
        try:
            self._show(draw(frame.image, instances, self.style))
        finally:
            instances.timings_ms["show"] = (perf_counter() - start) * 1000

    def _show(self, image: NDArray[np.uint8]) -> None:
        open_window(TITLE, image.shape[:2])
        cv2.imshow(TITLE, image)
        # Short waits: with waitKey(0) closing the window by the mouse, or Ctrl-C, would never be noticed.
        while (key := cv2.waitKey(50)) < 0:
            if cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1:
                raise SinkClosed(delivered=True)
        if key & 0xFF in STOP_KEYS:
            raise SinkClosed(delivered=True)
