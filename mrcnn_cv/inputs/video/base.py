"""What sources of frames have in common: what is known about one, and which of its frames are wanted."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.video_info import VideoInfo

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_PIXELS = 1 << 25
"""A frame with more pixels than this (8192 x 4096) is not decoded: a decoder may hold two dozen of them."""


class VideoSource(Protocol):
    """An iterable of Frame, FrameError, or None where there is nothing at the moment; a context manager.

    damaged   frames that could not be decoded, and were left out
    dropped   frames that came too fast, and were left out
    warnings  one sentence each, about what is odd about the source; grows while it is read
    """

    @property
    def info(self) -> VideoInfo: ...

    @property
    def damaged(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    @property
    def warnings(self) -> list[str]: ...

    def __enter__(self) -> VideoSource: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def __iter__(self) -> Iterator[Frame | FrameError | None]: ...

    def close(self) -> None: ...


class OpenSource(ABC):
    """A source that is open from the start; as a context manager it is closed at the end of the block."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """End; the iteration stops at its next step."""


@dataclass(frozen=True)
class StreamPosition:
    """Where a source was left: the index and time of the last frame that was taken, and how many were taken."""

    index: int
    time: float
    taken: int


@dataclass(frozen=True)
class FrameSampling:
    """Which frames are wanted.

    start, end  in seconds from the start of the source; a frame at `end` is not wanted any more
    stride      every so many frames, those whose index it divides
    max_fps     of each second this many at most
    max_frames  so many in all
    """

    start: float = 0.0
    end: float | None = None
    stride: int = 1
    max_fps: float | None = None
    max_frames: int | None = None

    def expected(self, info: VideoInfo) -> int | None:
        """How many frames this will take of a source, as far as its header can be believed; None: nobody knows."""
        if info.frame_count is None:
            return self.max_frames
        count, seconds = info.frame_count / self.stride, info.seconds
        if seconds:
            length = max(0.0, min(self.end if self.end is not None else math.inf, seconds) - self.start)
            count *= length / seconds
            if self.max_fps is not None:
                count = min(count, length * self.max_fps)
        return round(count) if self.max_frames is None else min(round(count), self.max_frames)


class FrameSampler:
    """Tells frame by frame which ones are wanted; `after`: those up to there were taken before."""

    # Times are binary fractions of decimal rates: a frame may come a rounding error too early.
    _EPSILON = 1e-6

    def __init__(self, sampling: FrameSampling, after: StreamPosition | None = None) -> None:
        self._sampling = sampling
        self._slot = -1 if after is None else self._slot_of(after.time)
        self.taken = 0 if after is None else after.taken

    def is_over(self, time: float) -> bool:
        """Whether no frame from this time on is wanted."""
        sampling = self._sampling
        if sampling.max_frames is not None and self.taken >= sampling.max_frames:
            return True
        return sampling.end is not None and time >= sampling.end - self._EPSILON

    def takes(self, index: int, time: float) -> bool:
        """Whether this frame is wanted; the ones before it have been asked for."""
        sampling = self._sampling
        if time < sampling.start - self._EPSILON or index % sampling.stride:
            return False
        slot = self._slot_of(time)
        if sampling.max_fps is not None and slot == self._slot:
            return False
        self._slot = slot
        self.taken += 1
        return True

    def _slot_of(self, time: float) -> int:
        rate = self._sampling.max_fps
        return 0 if rate is None else math.floor((time - self._sampling.start) * rate + self._EPSILON)


class RecordedSource(OpenSource):
    """A file of frames; those that cannot be decoded are counted in `damaged` and left out.

    output_path  folder of the frames' own outputs: clip gives clip/000123.jpg
    sampling     the frames that are wanted
    after        go on behind this point, where an earlier run was left

    Frame.index counts the frames of the file as it is displayed; Frame.time is in seconds from its start. InputError,
    one sentence, for a file without a frame that can be decoded.
    """

    damaged = 0
    dropped = 0

    def __init__(
        self,
        path: str | Path,
        output_path: PurePosixPath | None = None,
        sampling: FrameSampling | None = None,
        after: StreamPosition | None = None,
    ) -> None:
        self.path, self.name = Path(path), str(path)
        self.output_path = output_path or PurePosixPath(self.path.stem)
        self.sampling = sampling or FrameSampling()
        self.warnings: list[str] = []
        self._after = after
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Open the file, and set `info`."""

    def _frame(self, image: NDArray[np.uint8], index: int, time: float, start: float) -> Frame:
        """start: perf_counter() when reading it began."""
        milliseconds = (perf_counter() - start) * 1000
        return Frame(image, self.name, index, time, None, milliseconds, self.output_path / f"{index:06}.jpg")
