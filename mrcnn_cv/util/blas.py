"""The library behind numpy's matrix products (BLAS), kept from making threads of its own.

Beside OpenCV's threads, and many of ours, its own would fight for the processors. Most libraries know a limit for the
whole process alone: it holds as long as one of our threads is inside `without_threads`. Builds of OpenBLAS with OpenMP
know one for each thread.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

_FAST = frozenset({"openblas", "mkl", "blis"})

Limits = list[tuple[Any, int]]
"""Libraries, and how many threads each may have."""


class _Limit:
    """Of the whole process: which threads are inside, and what was before the first of them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.inside = 0
        self.before: Limits = []


_limit = _Limit()


@cache
def _libraries() -> list[Any]:
    return list(ThreadpoolController().select(user_api="blas").lib_controllers)


@cache
def is_fast() -> bool:
    """Whether numpy multiplies with a library that knows this processor; its own plain loops do not."""
    found = [each for each in _libraries() if is_of_numpy(Path(each.filepath))]
    return any(each.internal_api in _FAST for each in found) or _is_accelerate()


def is_of_numpy(path: Path) -> bool:
    """Whether numpy may multiply with a library: packages bring some that are theirs alone, and OpenCV is one."""
    folder = path.parent
    is_of_a_package = folder.name.endswith((".libs", ".dylibs"))
    return not is_of_a_package or folder.name.startswith("numpy") or folder.parent.name == "numpy"


def _is_accelerate() -> bool:
    """Apple's, which threadpoolctl does not know, and which needs no help with threads."""
    try:
        configuration: Any = np.show_config(mode="dicts")  # type: ignore[call-overload, unused-ignore]
        return "accelerate" in str(configuration["Build Dependencies"]["blas"]["name"]).lower()
    except (TypeError, KeyError):
        return False


@contextmanager
def without_threads() -> Iterator[None]:
    """Within, BLAS computes in the thread that asks it to."""
    # Also at the end the one of the beginning: a fork in between has another.
    limit = _limit
    own = _limited([each for each in _libraries() if _is_for_each_thread(each)])
    with limit.lock:
        if limit.inside == 0:
            limit.before = _limited([each for each in _libraries() if not _is_for_each_thread(each)])
        limit.inside += 1
    try:
        yield
    finally:
        with limit.lock:
            limit.inside -= 1
            if limit.inside == 0:
                _set(limit.before)
        _set(own)


def limit_this_thread() -> None:
    """For good, where each thread has a limit of its own: for threads that are ours."""
    _limited([each for each in _libraries() if _is_for_each_thread(each)])


def _is_for_each_thread(library: Any) -> bool:
    """Whether each thread has a limit of its own; as threadpoolctl sets it since 3.8."""
    return hasattr(library, "clear_controlling_thread") and getattr(library, "threading_layer", "") == "openmp"


def _limited(libraries: list[Any]) -> Limits:
    """Limit them to one thread; what was before."""
    before = [(each, int(each.get_num_threads() or 1)) for each in libraries]
    _set([(each, 1) for each in libraries])
    return before


def _set(limits: Limits) -> None:
    for library, count in limits:
        # Since 3.8 the thread that was the first to set OpenBLAS' limit is the only one that can until it is forgotten;
        # others do so in vain. We know who is inside, and whoever comes afterwards shall be free to set it, too.
        forget = getattr(library, "clear_controlling_thread", None)
        if forget is not None:
            forget(force=True)
        library.set_num_threads(count)
        if forget is not None:
            forget(force=True)


def _begin_anew() -> None:
    """In a process that was forked: the threads that were inside are not here."""
    global _limit
    was, _limit = _limit, _Limit()
    if was.inside:
        _set(was.before)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
