"""A live source that gives what a test tells it to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType

import numpy as np

from mrcnn_cv.errors import InputError
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.video_info import VideoInfo

Taken = Frame | FrameError | None

SIZE = (64, 48)


def info(seconds: float | None = None) -> VideoInfo:
    """Of the fake."""
    return VideoInfo(*SIZE, 30.0, None, seconds, is_live=True, has_audio=False, codec="raw")


def frame(index: int, size: tuple[int, int] = SIZE) -> Frame:
    """An image whose grey is its index, one tenth of a second after the one before."""
    image = np.full((size[1], size[0], 3), index % 256, dtype=np.uint8)
    return Frame(image, "fake", index, time=index / 10, arrived=time.monotonic())


def lost(index: int) -> FrameError:
    """What comes last of a source that is lost."""
    return FrameError("fake", index, InputError("fake has sent nothing for 1 s: check the camera"))


class FakeLive:
    """Gives `what`; a callable in it is called and gives nothing by itself."""

    damaged = 0
    dropped = 0

    def __init__(self, what: Iterable[Taken | Callable[[], object]], seconds: float | None = None) -> None:
        self.info = info(seconds)
        self.warnings: list[str] = []
        self.closed = False
        self._what = what

    def __enter__(self) -> FakeLive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Taken]:
        for each in self._what:
            if self.closed:
                return
            if callable(each):
                each()
            else:
                yield each

    def close(self) -> None:
        self.closed = True


def turns(*sources: FakeLive | InputError) -> Callable[[], FakeLive]:
    """Opens one source after the other; an InputError is raised in the place of one."""
    left = list(sources)

    def open() -> FakeLive:
        source = left.pop(0)
        if isinstance(source, InputError):
            raise source
        return source

    return open
