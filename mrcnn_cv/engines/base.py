"""Engines: what runs a net. cv2.dnn is the default and the reference; `mrcnn_cv.engines.select` chooses among them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float32]


class Net(Protocol):
    """One net, ready to run."""

    def run(self, inputs: Mapping[str, Float]) -> list[Float]:
        """The outputs of the stage, in its order. The arrays are the caller's to keep."""

    def devices(self) -> set[str]:
        """Names of the backends (of `BACKENDS`) that the layers really ran on; known after the first run."""


def one_line(error: BaseException) -> str:
    """What an engine says, short enough for a sentence."""
    return " ".join(str(error).split())[:300]
