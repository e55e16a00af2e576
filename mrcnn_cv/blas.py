"""The library behind numpy's matrix products (BLAS), kept from making threads of its own.

Beside OpenCV's threads, and many of ours, its own would fight for the processors. What is limited is the whole
process, as the library knows no other way, and only as long as one of our threads is inside `without_threads`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

_FAST = frozenset({"openblas", "mkl", "blis"})

_lock = threading.Lock()
_inside = 0
_limited: Any = None


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


@cache
def is_fast() -> bool:
    """Whether numpy multiplies with a library that knows this processor; its own plain loops do not."""
    return any(each["internal_api"] in _FAST for each in _controller().info()) or _is_accelerate()


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
    global _inside, _limited
    with _lock:
        if _inside == 0:
            _limited = _controller().limit(limits=1)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limited.restore_original_limits()
