"""A folder that images arrive in."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from mrcnn_cv.inputs.image_ref import ImageRef

SECONDS = 1.0


class Watch:
    """The images that `find` finds, then those that it finds later, until `stopped`.

    A file counts as there when its size and its time of change were the same at two looks in a row, so half-written
    files are waited for. One that changes afterwards comes again. While there is nothing new, it gives None.
    """

    def __init__(
        self,
        find: Callable[[], Sequence[ImageRef]],
        stopped: Callable[[], bool],
        seconds: float = SECONDS,
    ) -> None:
        self._find = find
        self._stopped = stopped
        self._seconds = seconds

    def __iter__(self) -> Iterator[ImageRef | None]:
        seen: dict[str, tuple[int, int]] = {}
        given: dict[str, tuple[int, int]] = {}
        while not self._stopped():
            for item in self._find():
                state = _state(item)
                if state is not None and seen.get(item.name) == state and given.get(item.name) != state:
                    given[item.name] = state
                    yield item
                    if self._stopped():
                        return
                if state is not None:
                    seen[item.name] = state
            end = time.monotonic() + self._seconds
            while not self._stopped() and (left := end - time.monotonic()) > 0:
                yield None
                time.sleep(min(left, 0.1))


def _state(item: ImageRef) -> tuple[int, int] | None:
    """(size, time of change) of an image's file; None while there is none."""
    try:
        status = item.path.stat() if item.path is not None else None
    except OSError:
        return None
    return None if status is None else (status.st_size, status.st_mtime_ns)
