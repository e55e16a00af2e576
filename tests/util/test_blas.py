"""numpy's BLAS computes without threads of its own, for as long as somebody asks for it, whoever that is."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mrcnn_cv.util import blas


def counts() -> list[int]:
    return [each.get_num_threads() for each in blas._libraries()]


@pytest.fixture
def before() -> Iterator[list[int]]:
    """How many threads BLAS has: at least two, as far as it can."""
    found = counts()
    blas._set([(each, 2) for each in blas._libraries()])
    yield counts()
    blas._set(list(zip(blas._libraries(), found, strict=True)))


def in_a_thread(act: Any) -> Any:
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(act()))
    thread.start()
    thread.join(30)
    return found[0]


def inside() -> set[int]:
    with blas.without_threads():
        return set(counts())


def test_it_is_limited_within_and_as_before_afterwards(before: list[int]) -> None:
    with blas.without_threads(), blas.without_threads():
        assert set(counts()) <= {1}
    assert counts() == before
    with pytest.raises(RuntimeError), blas.without_threads():
        raise RuntimeError
    assert counts() == before


def test_whichever_thread_was_the_first(before: list[int]) -> None:
    assert inside() <= {1}
    assert in_a_thread(inside) <= {1}
    assert counts() == before
    assert inside() <= {1}
    assert counts() == before


@pytest.mark.parametrize("first_to_leave", [0, 1])
def test_of_two_threads_the_last_one_opens_the_door(before: list[int], first_to_leave: int) -> None:
    ready, leave = threading.Barrier(3), [threading.Event(), threading.Event()]

    def work(number: int) -> None:
        with blas.without_threads():
            ready.wait(30)
            leave[number].wait(30)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    with ExitStack() as stack:
        for event in leave:
            stack.callback(event.set)
        for thread in threads:
            thread.start()
        ready.wait(30)
        for number in (first_to_leave, 1 - first_to_leave):
            assert set(counts()) <= {1}
            leave[number].set()
            threads[number].join(30)
    assert counts() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_process_that_is_forked_meanwhile_begins_anew(before: list[int]) -> None:
    with blas.without_threads():
        child = os.fork()
        is_new = counts() == before
    if child == 0:
        # It has left what its parent was in.
        os._exit(0 if is_new and counts() == before and inside() <= {1} and counts() == before else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert counts() == before


def ours() -> list[int]:
    blas.limit_this_thread()
    return counts()


class Library:
    """Like OpenBLAS with OpenMP in threadpoolctl since 3.8: each thread has its own limit."""

    threading_layer = "openmp"

    def __init__(self) -> None:
        self._own = threading.local()

    def get_num_threads(self) -> int:
        return int(getattr(self._own, "count", 4))

    def set_num_threads(self, count: int) -> None:
        self._own.count = count

    def clear_controlling_thread(self, force: bool = False) -> None:
        assert force


def test_a_limit_for_each_thread_is_set_and_lifted_by_each(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(blas, "_libraries", lambda: [library])
    with blas.without_threads():
        assert in_a_thread(inside) == {1}
        assert in_a_thread(counts) == [4]
        assert counts() == [1]
    assert counts() == [4]
    assert in_a_thread(ours) == [1]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("site-packages/numpy.libs/libscipy_openblas64_-6bb31eeb.so", True),
        ("site-packages/numpy/.libs/libopenblas64__v0.3.21.dll", True),
        ("site-packages/numpy/.dylibs/libopenblas64_.0.dylib", True),
        ("/usr/lib/x86_64-linux-gnu/openblas-pthread/libblas.so.3", True),
        ("/opt/conda/lib/libmkl_rt.so.2", True),
        ("site-packages/opencv_python.libs/libopenblasp-r0-eec1e7b1.3.33.so", False),
        ("site-packages/cv2/.dylibs/libopenblas.0.dylib", False),
        ("site-packages/scipy.libs/libscipy_openblas-68440149.so", False),
    ],
)
def test_what_numpy_can_multiply_with(monkeypatch: pytest.MonkeyPatch, path: str, expected: bool) -> None:
    assert blas.is_of_numpy(Path(path)) is expected
    monkeypatch.setattr(blas, "_libraries", lambda: [SimpleNamespace(filepath=path, internal_api="openblas")])
    monkeypatch.setattr(blas, "_is_accelerate", lambda: False)
    assert blas.is_fast.__wrapped__() is expected
