"""Frame: one image on its way from a source through the model to the sinks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mrcnn_cv.errors import MrcnnCvError


@dataclass(frozen=True, eq=False)
class Frame:
    """One image.

    image        (H, W, 3) uint8, BGR
    name         how the user called it (for a file: the path as it was given)
    index        position in its source, from 0; counts images that could not be read
    time         seconds from the start of the video or stream; None for an image file
    path         the file it came from; None where there is none
    read_ms      milliseconds spent on reading and decoding
    output_path  where its outputs go below the output folder, as if copied there (street/01.jpg); None: its name
    arrived      time.monotonic() at which a live image came; None elsewhere
    """

    image: NDArray[np.uint8]
    name: str
    index: int
    time: float | None = None
    path: Path | None = None
    read_ms: float = 0.0
    output_path: PurePosixPath | None = None
    arrived: float | None = None


@dataclass(frozen=True, eq=False)
class FrameError:
    """An image that its source had to give up; the ones after it still come.

    A source yields it in place of a Frame rather than raising, because an iterator that has raised has ended. error: an
    InputError, or the OutputConflict of an image whose outputs have no place.
    """

    name: str
    index: int
    error: MrcnnCvError
    path: Path | None = None
    output_path: PurePosixPath | None = None
