"""The newest image of a run and the numbers beside it, for a window and a page that look when they like."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.outputs.base import PerImageSink

if TYPE_CHECKING:
    from mrcnn_cv.outputs.video.annotator import FrameAnnotator
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances

Image = NDArray[np.uint8]

_RATE_SECONDS = 3.0


@dataclass(frozen=True)
class LiveStatistics:
    """What is known at a moment.

    frames       that went through the model so far
    rate         frames per second, over the last few seconds
    delay_ms     from the arrival of the newest image until all was done with it; None where nobody knows
    instances    in the newest image
    counts       of them, by label
    totals       how many different things each label has had so far; None where nobody follows them
    """

    frames: int = 0
    rate: float = 0.0
    delay_ms: float | None = None
    instances: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    totals: Mapping[str, int] | None = None


class Meter(PerImageSink):
    """Counts frames and measures; the last of the ordered sinks of a run."""

    ordered = True

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.statistics = LiveStatistics()
        self._clock = clock
        self._ended: deque[float] = deque()

    def write(self, frame: Frame, instances: Instances) -> None:
        """Take note of one frame."""
        now = self._clock()
        self._ended.append(now)
        while now - self._ended[0] > _RATE_SECONDS:
            self._ended.popleft()
        passed = now - self._ended[0]
        self.statistics = LiveStatistics(
            frames=self.statistics.frames + 1,
            rate=(len(self._ended) - 1) / passed if passed > 0 else 0.0,
            delay_ms=None if frame.arrived is None else (now - frame.arrived) * 1000,
            instances=len(instances),
            counts=instances.counts(),
            totals=None if instances.totals is None else dict(instances.totals),
        )

    def lines(self, frame: Frame, found: Instances) -> list[str]:
        """What the corner of an image is to say, at the moment when it is painted."""
        delay = [] if frame.arrived is None else [f"delay {(self._clock() - frame.arrived) * 1000:.0f} ms"]
        instances = f"{len(found)} instance{'' if len(found) == 1 else 's'}"
        return [f"{self.statistics.rate:.1f} frames/s", *delay, instances]


@dataclass(frozen=True, eq=False)
class LatestFrame:
    """One frame of the view. number: from 1, counting the frames of the run."""

    number: int
    frame: Frame
    instances: Instances


class LiveView(PerImageSink):
    """Keeps the newest frame. It is painted when somebody wants to see it: a run without onlookers paints nothing."""

    ordered = True

    def __init__(self, annotator: FrameAnnotator) -> None:
        self._annotator = annotator
        self._latest: LatestFrame | None = None
        self._listeners: list[Callable[[], None]] = []

    def write(self, frame: Frame, instances: Instances) -> None:
        """Take the next frame, and wake those who wait for one."""
        self._latest = LatestFrame(1 if self._latest is None else self._latest.number + 1, frame, instances)
        for wake in self._listeners:
            wake()

    @property
    def latest(self) -> LatestFrame | None:
        """The newest frame; None before the first one."""
        return self._latest

    def annotated(self, latest: LatestFrame) -> Image:
        """The annotated image of a frame, which must not be changed."""
        return self._annotator.annotated(latest.frame, latest.instances)

    def on_new(self, wake: Callable[[], None]) -> None:
        """Call `wake` at every new frame, from the thread of the run: it must not take long, nor raise."""
        self._listeners.append(wake)


def shifted_score(score: float, steps: int) -> float:
    """A score threshold, 0.05 higher or lower for each step, from 0.05 to 0.95."""
    return min(0.95, max(0.05, round(score + steps * 0.05, 2)))
