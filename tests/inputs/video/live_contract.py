"""What holds for every live source, whatever it is: run over each of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mrcnn_cv.inputs.video.base import VideoSource
from mrcnn_cv.structures.frame import Frame, FrameError

Open = Callable[[], VideoSource]

ENOUGH = 5


def check_live_source(open: Open) -> None:
    """All of it; `open` opens the source anew each time. It must have at least ENOUGH frames."""
    _frames_are_as_announced(open)
    _closing_ends_it(open)


def _frames_are_as_announced(open: Open) -> None:
    with open() as source:
        info = source.info
        assert info.is_live
        assert info.width > 0
        assert info.height > 0
        assert source.dropped >= 0
        assert source.damaged >= 0
        assert all(isinstance(warning, str) for warning in source.warnings)
        frames: list[Frame] = []
        for taken in source:
            assert taken is None or isinstance(taken, (Frame, FrameError))
            if isinstance(taken, Frame):
                frames.append(taken)
            if len(frames) == ENOUGH:
                break
    assert len(frames) == ENOUGH
    for frame in frames:
        assert frame.image.shape == (info.height, info.width, 3)
        assert frame.image.dtype == np.uint8
        assert frame.time is not None
        assert frame.arrived is not None
        assert frame.name == frames[0].name
    indexes = [frame.index for frame in frames]
    assert indexes == sorted(set(indexes))
    assert indexes[0] >= 0
    times = [frame.time or 0.0 for frame in frames]
    assert times == sorted(times)
    assert times[0] >= 0
    arrivals = [frame.arrived or 0.0 for frame in frames]
    assert arrivals == sorted(arrivals)


def _closing_ends_it(open: Open) -> None:
    source = open()
    taken = iter(source)
    while next(taken) is None:
        pass
    source.close()
    # What is still on its way may come, and then the end.
    assert sum(1 for _ in taken) <= 2
    source.close()
