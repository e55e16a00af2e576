"""A live source that is lost is opened anew, after longer and longer waits."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.video.base import OpenSource
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.util.opencv import cv2

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import VideoSource
    from mrcnn_cv.structures.video_info import VideoInfo

_LONGEST_WAIT = 30.0
_LOOK_SECONDS = 0.1

Taken = Frame | FrameError | None


def back_off(failures: int) -> float:
    """Seconds to wait before the try after so many failures: 1, 2, 4, ..., 30."""
    return min(2.0 ** (failures - 1), _LONGEST_WAIT)


class Reconnecting(OpenSource):
    """A live source as one, however often it is lost in between.

    Opening it the first time raises what `open` raises. Afterwards a source that gives a FrameError, or ends although
    it has no end of its own, counts as lost. While it is away None is given; then indexes go on, times go on by the
    clock, and images keep the size that `info` tells. When `tries` in a row have failed, a FrameError ends it.

    name   of the source, for messages
    tries  0: the first loss ends it; an end of the source is then no loss
    tell   is told in a sentence what goes on
    wait   seconds before a try, by the number of failures in a row; None: as `back_off` has it
    """

    def __init__(
        self,
        name: str,
        open: Callable[[], VideoSource],
        tries: int,
        tell: Callable[[str], None] = lambda text: None,
        wait: Callable[[int], float] | None = None,
    ) -> None:
        self.name = name
        self._open = open
        self._tries = tries
        self._tell = tell
        self._wait = wait or back_off
        self._closed = False
        self._told_size = False
        self._damaged = 0
        self._dropped = 0
        self._failures = 0
        self._next_index = 0
        self._first_at: float | None = None
        self._last_time = 0.0
        self._source: VideoSource | None = open()
        self.info: VideoInfo = self._source.info
        self._size = (self.info.width, self.info.height)
        self.warnings = self._source.warnings

    @property
    def is_disconnected(self) -> bool:
        """Whether the source is lost at the moment."""
        return self._failures > 0

    @property
    def damaged(self) -> int:
        """Frames that arrived but could not be decoded."""
        return self._damaged + (0 if self._source is None else self._source.damaged)

    @property
    def dropped(self) -> int:
        """Frames that the source itself dropped."""
        return self._dropped + (0 if self._source is None else self._source.dropped)

    def __iter__(self) -> Iterator[Taken]:
        while True:
            lost = yield from self._frames()
            self._leave()
            if lost is None or self._closed:
                return
            if self.info.seconds is not None:
                # A recording on a server would begin anew.
                yield lost
                return
            given_up = yield from self._come_back(lost)
            if given_up is not None:
                yield given_up
                return
            if self._closed:
                return

    def close(self) -> None:
        """See `OpenSource.close`."""
        self._closed = True
        self._leave()

    def _leave(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            self._damaged += source.damaged
            self._dropped += source.dropped
            source.close()

    def _frames(self) -> Generator[Taken, None, FrameError | None]:
        """What comes until the source is lost or at its end; gives why it was lost, None for the end."""
        source = self._source
        if source is None:
            return None
        shift: tuple[int, float] | None = None
        for taken in source:
            if isinstance(taken, FrameError):
                return replace(taken, index=self._next_index)
            if taken is None:
                yield None
                continue
            if shift is None:
                if self._failures:
                    self._tell(f"{self.name} is back")
                    self._failures = 0
                shift = self._next_index, max(self._now(), self._last_time) - (taken.time or 0.0)
            yield self._placed(taken, *shift)
        if not self._tries or source.info.seconds is not None:
            return None
        return FrameError(self.name, self._next_index, InputError(f"{self.name} has ended"))

    def _come_back(self, lost: FrameError) -> Generator[None, None, FrameError | None]:
        """Open the source again; gives what to say where that is in vain.

        A source that never gave an image is not tried again.
        """
        reason = str(lost.error)
        if not self._next_index or not self._tries:
            return lost
        while self._failures < self._tries:
            self._failures += 1
            seconds = self._wait(self._failures)
            self._tell(f"{reason}; trying again in {seconds:.0f} s ({self._failures} of {self._tries})")
            end = time.monotonic() + seconds
            while (left := end - time.monotonic()) > 0:
                if self._closed:
                    return None
                yield None
                time.sleep(min(_LOOK_SECONDS, left))
            try:
                self._source = self._open()
                return None
            except InputError as error:
                reason = str(error)
        tries = f"{self._tries} tr{'y' if self._tries == 1 else 'ies'}"
        why = reason.removeprefix(f"{self.name} ").partition(": ")[0]
        text = f"{self.name} was lost and did not come back in {tries} ({why}): check the device and the network"
        return replace(lost, error=InputError(text))

    def _now(self) -> float:
        """Seconds since the first image."""
        now = time.monotonic()
        if self._first_at is None:
            self._first_at = now
        return now - self._first_at

    def _placed(self, frame: Frame, first_index: int, shift: float) -> Frame:
        """The frame with its index, time and size in the whole."""
        size = (frame.image.shape[1], frame.image.shape[0])
        image = frame.image
        if size != self._size:
            if not self._told_size:
                self._told_size = True
                now, first = f"{size[0]}x{size[1]}", f"{self._size[0]}x{self._size[1]}"
                self._tell(f"{self.name} sends {now}, which is scaled to the {first} that it began with")
            image = np.asarray(cv2.resize(image, self._size, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        index = first_index + frame.index
        self._next_index = index + 1
        self._last_time = (frame.time or 0.0) + shift
        return replace(frame, image=image, index=index, time=self._last_time)
