"""Each frame painted once, for all that show it: the video file, the window, the page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.drawing.annotate import draw, draw_stats
from mrcnn_cv.outputs.base import PerImageSink

if TYPE_CHECKING:
    from mrcnn_cv.drawing.annotate import Style
    from mrcnn_cv.structures.frame import Frame
    from mrcnn_cv.structures.instances import Instances

Stats = Callable[["Frame", "Instances"], Sequence[str]]


class FrameAnnotator(PerImageSink):
    """Paints in the writers' threads; `annotated` hands the image to any number of sinks that come after.

    stats  gives the lines that are shown in the corner; None: nothing is
    """

    def __init__(self, style: Style | None = None, stats: Stats | None = None) -> None:
        self.style = style
        self.stats = stats
        # A painted image lives as long as its frame does.
        self._images: WeakKeyDictionary[Frame, NDArray[np.uint8]] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def write(self, frame: Frame, instances: Instances) -> None:
        """Paint one frame; adds the milliseconds that it took to the instances' timings as "draw"."""
        start = perf_counter()
        image = draw(frame.image, instances, self.style)
        if self.stats is not None:
            draw_stats(image, list(self.stats(frame, instances)))
        instances.timings_ms["draw"] = (perf_counter() - start) * 1000
        with self._lock:
            self._images[frame] = image

    def annotated(self, frame: Frame, instances: Instances) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 BGR: the frame as it was painted, which nobody may change."""
        with self._lock:
            image = self._images.get(frame)
        if image is None:
            self.write(frame, instances)
            with self._lock:
                image = self._images[frame]
        return image
