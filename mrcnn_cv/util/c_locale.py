"""C's rules for letters and numbers around native code that asks for the locale of the process.

OpenVINO compares its own names by it, and knows none of them where "i" has no capital "I" (Turkish, Azerbaijani).
"""

from __future__ import annotations

import locale
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CATEGORIES = (locale.LC_CTYPE, locale.LC_NUMERIC)

_NEUTRAL = ("C.UTF-8", "C.utf8", "C")
"""Names of C's rules, the ones that keep the encoding of most systems first."""

_lock = threading.Lock()
_users = 0
_before: list[str] = []


@contextmanager
def c_locale() -> Iterator[None]:
    """C's characters and numbers for as long as any thread is inside; afterwards what was set before.

    Python's own text is not touched: the encodings of files and streams are decided when it starts.
    """
    global _users, _before
    with _lock:
        if _users == 0:
            _before = [locale.setlocale(category) for category in _CATEGORIES]
            for category, name in zip(_CATEGORIES, _before, strict=True):
                if name not in (*_NEUTRAL, "POSIX"):
                    _neutralise(category)
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                for category, name in zip(_CATEGORIES, _before, strict=True):
                    if locale.setlocale(category) != name:
                        locale.setlocale(category, name)


def _begin_anew() -> None:
    """In a process that was forked: only the thread that did it is here."""
    global _lock, _users
    _lock, _users = threading.Lock(), min(_users, 1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)


def _neutralise(category: int) -> None:
    for name in _NEUTRAL:
        try:
            locale.setlocale(category, name)
        except locale.Error:
            continue
        return
