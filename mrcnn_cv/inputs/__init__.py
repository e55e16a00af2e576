"""Where images come from: every source is an iterable of Frame, or FrameError for an image that failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from mrcnn_cv.structures.frame import Frame, FrameError

__all__ = ["FrameSource"]


class FrameSource(Protocol):
    """Iterating reads lazily, one image at a time; it never raises InputError, it yields FrameError."""

    def __iter__(self) -> Iterator[Frame | FrameError]: ...
