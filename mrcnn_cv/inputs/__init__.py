"""Where pictures come from: every source is an iterable of Frame, or Unreadable for a picture that failed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from mrcnn_cv.structures.frame import Frame, Unreadable

__all__ = ["Source"]


class Source(Protocol):
    """Iterating reads lazily, one picture at a time; it never raises InputError, it yields Unreadable."""

    def __iter__(self) -> Iterator[Frame | Unreadable]: ...
