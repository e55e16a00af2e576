"""Latest-frame reader: a thread reads a live source as fast as it comes; frames nobody took in time are dropped."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.video.base import FrameSampler, FrameSampling, OpenSource
from mrcnn_cv.structures.frame import Frame, FrameError

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import VideoSource
    from mrcnn_cv.structures.video_info import VideoInfo

MAX_BYTES = 1 << 29
"""Of frames that wait where all are kept; then the source is no longer read from until there is room."""

OPEN_SECONDS = 30.0
"""A source that is not open after so long is given up; sources have shorter time-outs of their own."""

HUNG_SECONDS = 30.0
"""A source that gives no sign of life for so long (a driver that hangs) is given up."""

_LOOK_SECONDS = 0.1
_GAP_SECONDS = 1.0
_CLOSE_SECONDS = 1.0

Taken = Frame | FrameError | None


class LatestFrameSource(OpenSource):
    """A live source that is opened and read by a thread of its own.

    Iterating gives each time the newest frame since the last one, and None where there is none for a moment. `dropped`
    counts the frames that newer ones replaced. A FrameError is never dropped.

    name      of the source, for messages
    open      opens it; called by the thread
    keep_all  every frame is kept until it is taken, and `dropped` stays as the source has it
    sampling  which frames are offered at all; `max_frames` counts those that are taken
    """

    def __init__(
        self,
        name: str,
        open: Callable[[], VideoSource],
        *,
        keep_all: bool = False,
        sampling: FrameSampling | None = None,
        open_seconds: float = OPEN_SECONDS,
        hung_seconds: float = HUNG_SECONDS,
    ) -> None:
        self.name = name
        self._open = open
        self._keep_all = keep_all
        sampling = sampling or FrameSampling()
        self._max_frames = sampling.max_frames
        self._sampler = FrameSampler(replace(sampling, max_frames=None))
        self._open_seconds = open_seconds
        self._hung_seconds = hung_seconds
        self._changed = threading.Condition()
        self._waiting: deque[Frame | FrameError] = deque()
        self._source: VideoSource | None = None
        self._failure: Exception | None = None
        self._ended = False
        self._closed = False
        self._replaced = 0
        self._turn = 0
        self._last_index = -1
        self._sign_of_life = self._looked = self._waits_since = time.monotonic()
        self._thread = threading.Thread(target=self._read, name="live-reader", daemon=True)
        self._thread.start()

    @property
    def info(self) -> VideoInfo:
        """What the source is, once it is open; raises what opening it raised, InputError where it never ends."""
        return self._opened().info

    @property
    def warnings(self) -> list[str]:
        """What is odd about the source, one sentence each."""
        return [] if self._source is None else self._source.warnings

    @property
    def damaged(self) -> int:
        """Frames that arrived but could not be decoded."""
        return 0 if self._source is None else self._source.damaged

    @property
    def dropped(self) -> int:
        """Frames that nobody took before a newer one came, and those that the source itself dropped."""
        return self._replaced + (0 if self._source is None else self._source.dropped)

    def __iter__(self) -> Iterator[Taken]:
        self._opened()
        given = 0
        while not self._is_over() and given != self._max_frames:
            taken = self.take(_LOOK_SECONDS)
            given += isinstance(taken, Frame)
            yield taken

    def frame_futures(self) -> Iterator[Callable[[], Taken]]:
        """Futures of a frame, each of which is the newest one at the moment when the future is called.

        They may be called by several threads, each once; the frames come in the order of the futures. None: no frame
        came any more.
        """
        for number in count():
            if self._is_over() or number == self._max_frames:
                return
            yield partial(self._resolve, number)

    def take(self, seconds: float | None = None) -> Taken:
        """Wait for a frame that nobody had yet; None after `seconds` without one, or at the end."""
        end = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            while not self._waiting and not self._ended and not self._closed:
                if end is not None and time.monotonic() >= end:
                    return None
                self._check_alive()
                self._changed.wait(_LOOK_SECONDS)
            if self._closed:
                return None
            if self._waiting:
                taken = self._waiting.popleft()
                self._changed.notify_all()
                return taken
            if self._failure is not None:
                raise self._failure
            return None

    def close(self) -> None:
        """End; whoever waits for a frame gets None. The thread closes the source as soon as that lets it."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join(_CLOSE_SECONDS)

    def _resolve(self, number: int) -> Taken:
        with self._changed:
            while self._turn != number and not self._closed:
                self._changed.wait(_LOOK_SECONDS)
        try:
            return self.take()
        finally:
            with self._changed:
                self._turn = number + 1
                self._changed.notify_all()

    def _is_over(self) -> bool:
        with self._changed:
            return self._closed or (self._ended and not self._waiting and self._failure is None)

    def _opened(self) -> VideoSource:
        end = time.monotonic() + self._open_seconds
        with self._changed:
            while self._source is None and not self._ended and not self._closed:
                if time.monotonic() >= end:
                    raise InputError(f"{self.name} does not answer: check that it is there and that nothing blocks it")
                self._changed.wait(_LOOK_SECONDS)
            if self._source is None:
                raise self._failure or InputError(f"{self.name} was closed before it was open")
            return self._source

    def _check_alive(self) -> None:
        """Give up a source whose thread hangs."""
        now = time.monotonic()
        if now - self._looked > _GAP_SECONDS:
            # Nobody waited, or the whole program stood still (Ctrl-Z): that says nothing about the source.
            self._waits_since = now
        self._looked = now
        silent = now - self._sign_of_life
        if self._source is not None and min(silent, now - self._waits_since) > self._hung_seconds:
            error = InputError(
                f"{self.name} gives no sign of life any more, since {silent:.0f} seconds: plug it in anew"
            )
            self._waiting.append(FrameError(self.name, self._last_index + 1, error))
            self._ended = True

    def _read(self) -> None:
        try:
            with self._open() as source:
                with self._changed:
                    self._source = source
                    self._sign_of_life = time.monotonic()
                    self._changed.notify_all()
                for taken in source:
                    self._sign_of_life = time.monotonic()
                    if self._closed or self._ended:
                        break
                    if isinstance(taken, Frame) and self._sampler.is_over(taken.time or 0.0):
                        break
                    if taken is not None and self._is_wanted(taken):
                        self._put(taken)
        except Exception as error:
            self._failure = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _is_wanted(self, taken: Frame | FrameError) -> bool:
        return isinstance(taken, FrameError) or self._sampler.takes(taken.index, taken.time or 0.0)

    def _put(self, taken: Frame | FrameError) -> None:
        with self._changed:
            if isinstance(taken, Frame):
                self._last_index = taken.index
                if not self._keep_all and self._waiting and isinstance(self._waiting[-1], Frame):
                    self._waiting.pop()
                    self._replaced += 1
            while self._keep_all and not self._closed and _size(self._waiting) > MAX_BYTES:
                self._changed.wait(_LOOK_SECONDS)
                self._sign_of_life = time.monotonic()
            self._waiting.append(taken)
            self._changed.notify_all()


def _size(frames: deque[Frame | FrameError]) -> int:
    return sum(frame.image.nbytes for frame in frames if isinstance(frame, Frame))
