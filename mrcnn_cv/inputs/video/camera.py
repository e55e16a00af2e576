"""Cameras at this machine, by number or device path, through OpenCV."""

from __future__ import annotations

import os
import re
import stat
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import InputError, Remedy
from mrcnn_cv.inputs.video.base import OpenSource
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.video_info import VideoInfo
from mrcnn_cv.util.opencv import cv2, quiet

FIRST_FRAME_SECONDS = 10.0
"""Cameras take a while to wake up; one that has no image by then has none at all."""

_SEE = "`mrcnn-cv devices` lists the cameras"


class Camera(OpenSource):
    """A camera: an endless source.

    Opening takes the first image, since its size is the only proof of what the camera really gives. InputError, one
    sentence, for a camera that is not there, that may not be used, that another program has, or that gives no image.

    source  a number from 0, or a device path (/dev/video0)
    size    (width, height) to ask the camera for; it may give another one
    rate    frames per second to ask for
    """

    damaged = 0
    dropped = 0

    def __init__(
        self,
        source: str,
        size: tuple[int, int] | None = None,
        rate: float | None = None,
        first_image_seconds: float = FIRST_FRAME_SECONDS,
    ) -> None:
        self.name = source
        self.warnings: list[str] = []
        self._closed = False
        check_device(source)
        with quiet():
            self._capture = open_capture(source)
            if not self._capture.isOpened():
                self._capture.release()
                raise InputError(
                    f"camera {source} cannot be opened: another program may be using it, or it is no camera; {_SEE}"
                )
            _ask(self._capture, size, rate)
            self._first: NDArray[np.uint8] | None = self._first_frame(first_image_seconds)
            real_rate = float(self._capture.get(cv2.CAP_PROP_FPS))
        height, width = self._first.shape[:2]
        if size is not None and size != (width, height):
            self.warnings.append(f"camera {source} gives {width}x{height}, since it cannot {size[0]}x{size[1]}")
        self.info = VideoInfo(
            width=width,
            height=height,
            frame_rate=real_rate if 0 < real_rate < 1000 else None,
            frame_count=None,
            seconds=None,
            is_live=True,
            has_audio=False,
            codec="raw",
        )

    def __iter__(self) -> Iterator[Frame | FrameError | None]:
        start, index = time.monotonic(), 0
        while not self._closed:
            image, self._first = (self._first if self._first is not None else self._read()), None
            if image is None:
                reason = f"camera {self.name} gives no images any more: check that it is plugged in"
                yield FrameError(self.name, index, InputError(reason))
                return
            arrived = time.monotonic()
            yield Frame(image, self.name, index, time=arrived - start, arrived=arrived)
            index += 1

    def close(self) -> None:
        """Let go of the camera; the iteration stops at its next step."""
        self._closed = True
        self._capture.release()

    def _first_frame(self, seconds: float) -> NDArray[np.uint8]:
        end = time.monotonic() + seconds
        while (image := self._read()) is None:
            if time.monotonic() >= end:
                self._capture.release()
                raise InputError(
                    f"camera {self.name} opens but gives no image: another program may be using it, or it needs"
                    f" another size; {_SEE}",
                    Remedy.CAMERA_SIZE,
                )
            time.sleep(0.05)
        return image

    def _read(self) -> NDArray[np.uint8] | None:
        """An image (H, W, 3); None where there is none."""
        try:
            done, image = self._capture.read()
        except cv2.error:
            return None
        if not done or image is None or image.size == 0:
            return None
        if image.ndim == 2:
            image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
        return np.asarray(image, dtype=np.uint8)


def is_camera(source: str) -> bool:
    """Whether a source names a camera: a number, or a path of a video device."""
    return source.isdecimal() or re.fullmatch(r"/dev/(video|v4l/).*", source) is not None


def check_device(source: str) -> None:
    """InputError where it is plain without opening anything that there is no such camera."""
    if not sys.platform.startswith("linux"):
        return
    path = f"/dev/video{source}" if source.isdecimal() else source
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError as error:
        raise InputError(f"there is no camera {source} ({path} does not exist): {_SEE}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"camera {source} cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISCHR(mode):
        raise InputError(f"{path} is no camera device: {_SEE}")
    if not os.access(path, os.R_OK | os.W_OK):
        raise InputError(
            f"camera {source} cannot be opened, no permission for {path}: join the group that may"
            f" (sudo usermod -aG video {os.environ.get('USER', 'NAME')}, then log in again)"
        )


def open_capture(source: str) -> cv2.VideoCapture:
    """OpenCV's way into a camera, which need not have become open."""
    where: int | str = int(source) if source.isdecimal() else source
    if sys.platform.startswith("linux"):
        return cv2.VideoCapture(where, cv2.CAP_V4L2)
    # Of the ways into Windows' cameras this one opens at once, the other takes many seconds.
    return cv2.VideoCapture(where, cv2.CAP_DSHOW if sys.platform == "win32" else cv2.CAP_ANY)


def _ask(capture: cv2.VideoCapture, size: tuple[int, int] | None, rate: float | None) -> None:
    """Ask for a size and a rate; a camera that cannot keeps its own."""
    if size is not None or rate is not None:
        # Uncompressed, most cameras reach neither large sizes nor full rates.
        capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
    if size is not None:
        capture.set(cv2.CAP_PROP_FRAME_WIDTH, size[0])
        capture.set(cv2.CAP_PROP_FRAME_HEIGHT, size[1])
    if rate is not None:
        capture.set(cv2.CAP_PROP_FPS, rate)
    # What the driver keeps back is old when it comes.
    capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
