"""Memory that native code has freed and the C library holds on to."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress
from functools import cache
from typing import Any


@cache
def _trim() -> Any:
    """glibc's `malloc_trim`; None on systems whose C library gives memory back by itself, or has no such call."""
    if sys.platform != "linux":
        return None
    with suppress(OSError, AttributeError):
        return ctypes.CDLL(None).malloc_trim
    return None


def give_back() -> None:
    """Hand what is free to the system: between blocks of many sizes glibc keeps it, in pieces that serve nobody."""
    trim = _trim()
    if trim is not None:
        trim(0)


class EveryFewSizes:
    """Gives memory back once so many sizes have come that were not there shortly before."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._recent: set[tuple[tuple[int, ...], ...]] = set()

    def saw(self, *shapes: tuple[int, ...]) -> None:
        """Take note of the shapes of what was worked on together."""
        self._recent.add(shapes)
        if len(self._recent) >= self._count:
            self._recent.clear()
            give_back()
