"""A source that is read ahead: the same items in the same order, never too many, and nothing left running."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mrcnn_cv.pipeline.prefetch import Prefetcher


def test_items_come_in_order_and_end() -> None:
    with Prefetcher(range(100)) as ahead:
        assert list(ahead) == list(range(100))


def test_it_is_a_few_items_ahead_and_no_more() -> None:
    taken: list[int] = []
    third = threading.Event()

    def source() -> Iterator[int]:
        for number in range(100):
            taken.append(number)
            if number == 3:
                third.set()
            yield number

    with Prefetcher(source(), maximum=2) as ahead:
        items = iter(ahead)
        assert next(items) == 0
        # Two wait in line, and one more in the reader's hand.
        assert third.wait(10)
        assert next(items) == 1
        assert len(taken) <= 1 + 1 + 2 + 1


def test_an_error_comes_where_the_next_item_would_have() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    with Prefetcher(source()) as ahead:
        items = iter(ahead)
        assert next(items) == 1
        with pytest.raises(ValueError, match="broken"):
            next(items)


def test_leaving_early_ends_the_thread() -> None:
    before = threading.active_count()
    with Prefetcher(iter(range(1000))) as ahead:
        next(iter(ahead))
    assert threading.active_count() == before


def test_a_thread_that_dies_with_its_error_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda died: None)
    put = Prefetcher._put

    def fail(ahead: Prefetcher[int], kind: str, item: Any) -> bool:
        if kind == "end" or item == 2:
            raise MemoryError
        return put(ahead, kind, item)

    monkeypatch.setattr(Prefetcher, "_put", fail)
    given: list[int] = []
    with pytest.raises(MemoryError), Prefetcher(range(5)) as ahead:
        given.extend(ahead)
    assert given == [0, 1]
