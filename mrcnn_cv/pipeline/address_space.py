"""Whether a process has room for more threads below the limit on its address space (`ulimit -v`).

Beyond it nothing is orderly: native libraries abort, and Python itself may turn in a circle for ever (3.11 does where
it unwinds and finds no room for a number). So threads that do not fit are not begun with.
"""

from __future__ import annotations

import sys
from pathlib import Path

BYTES_PER_THREAD = 72 << 20
"""Bytes of addresses that a thread takes on Linux: 8 MiB of stack, and 64 MiB that the allocator sets aside for it."""


def address_space_allows(threads: int) -> bool:
    """Whether so many threads fit; also where there is no limit, or the system does not tell."""
    left = _bytes_left()
    return left is None or threads * BYTES_PER_THREAD <= left


def _bytes_left() -> int | None:
    """Bytes of addresses that this process may still take; None: no limit that is known."""
    if sys.platform != "linux":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return None
    return limit - taken
