"""Work in several threads at once."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator

import numpy as np
import pytest

from mrcnn_cv.util import parallel
from mrcnn_cv.util.opencv import cv2


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = cv2.getNumThreads()
    cv2.setNumThreads(2)
    yield
    cv2.setNumThreads(before)


def squares(count: int = 40) -> list[int]:
    found = np.zeros(count, int)

    def work(part: range) -> None:
        found[part.start : part.stop] = np.arange(part.start, part.stop) ** 2

    parallel.parallel_for(work, count)
    return [int(each) for each in found]


def test_every_part_is_done_once() -> None:
    for count in (0, 1, 8, 40):
        assert squares(count) == [number**2 for number in range(count)]


def test_an_error_is_raised_once_nobody_is_at_work_any_more() -> None:
    begun, gone = threading.Event(), []

    def work(part: range) -> None:
        if part.start == 0:
            begun.wait(30)
            raise MemoryError
        begun.set()
        threading.Event().wait(0.1)
        gone.append(part)

    with pytest.raises(MemoryError):
        parallel.parallel_for(work, 40)
    assert gone == [range(20, 40)]


def test_an_error_of_another_thread_is_raised() -> None:
    def work(part: range) -> None:
        if part.start:
            raise MemoryError(str(part))

    with pytest.raises(MemoryError, match="20, 40"):
        parallel.parallel_for(work, 40)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_has_threads_of_its_own() -> None:
    expected = squares()
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply_async(squares).get(60) == expected
