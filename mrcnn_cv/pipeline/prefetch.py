"""A thread that is ahead: what a source reads next is ready when it is asked for."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from queue import Empty, Full, Queue
from typing import Generic, TypeVar

Each = TypeVar("Each")

_SECONDS = 0.1


class Prefetcher(Generic[Each]):
    """Iterates `source` in a thread of its own, at most `maximum` items ahead; a context manager that ends the thread.

    An exception of the source is raised where its next item would have come.
    """

    def __init__(self, source: Iterable[Each], maximum: int = 2) -> None:
        self._source = source
        self._items: Queue[tuple[str, Each | BaseException | None]] = Queue(maximum)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="ahead", daemon=True)

    def __enter__(self) -> Prefetcher[Each]:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def __iter__(self) -> Iterator[Each]:
        while not self._ended.is_set():
            try:
                kind, item = self._items.get(timeout=_SECONDS)
            except Empty:
                if not self._thread.is_alive() and self._items.empty():
                    # It could not even hand on its error.
                    raise MemoryError from None
                continue
            if kind == "item":
                yield item  # type: ignore[misc]
            elif isinstance(item, BaseException):
                raise item
            else:
                return

    def _read(self) -> None:
        try:
            for item in self._source:
                if not self._put("item", item):
                    return
                # What an image holds is not kept until the next one comes.
                del item
            self._put("end", None)
        except BaseException as error:
            self._put("end", error)

    def _put(self, kind: str, item: Each | BaseException | None) -> bool:
        while not self._ended.is_set():
            try:
                self._items.put((kind, item), timeout=_SECONDS)
                return True
            except Full:
                continue
        return False
