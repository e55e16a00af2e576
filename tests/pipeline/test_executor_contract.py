"""What every executor promises: one suite over all rows of the registry."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import pytest

from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.pipeline.executor import EXECUTORS, Executor, make_executor
from mrcnn_cv.pipeline.thread_executor import ModelPool, Stages, WorkerLayout

MODEL = cast(MaskRCNN, object())


@pytest.fixture(params=list(EXECUTORS))
def executor(request: pytest.FixtureRequest) -> Executor:
    """Of each kind, with three workers, for at most five images at a time."""
    return make_executor(ModelPool(MODEL, lambda: MODEL), [WorkerLayout(3, 1)], 5, request.param)


class Work:
    """Steps that write down what happens; each passes its number on, and `find` takes longer for every third."""

    def __init__(self, fails: str = "", at: int = 6) -> None:
        self.fails, self.at = fails, at
        self.seen: dict[str, list[int]] = {name: [] for name in ("read", "find", "track", "write")}
        self.busy: Counter[str] = Counter()
        self.busiest: Counter[str] = Counter()
        self._lock = threading.Lock()

    def steps(self, track: bool = True) -> Stages[int, int, int, int]:
        return Stages(
            lambda number: self._do("read", number),
            self._find,
            lambda number: self._do("write", number),
            (lambda number: self._do("track", number)) if track else None,
        )

    def _find(self, number: int, model: Any) -> int:
        assert model() is MODEL
        return self._do("find", number, 0.01 if number % 3 == 0 else 0.0)

    def _do(self, step: str, number: int, seconds: float = 0.001) -> int:
        with self._lock:
            self.seen[step].append(number)
            self.busy[step] += 1
            self.busiest[step] = max(self.busiest[step], self.busy[step])
        try:
            time.sleep(seconds)
            if step == self.fails and number == self.at:
                raise LookupError(f"{step} {number}")
            return number
        finally:
            with self._lock:
                self.busy[step] -= 1


def never() -> bool:
    return False


@pytest.mark.parametrize("track", [True, False])
def test_results_come_in_the_order_of_the_source_after_all_steps(executor: Executor, track: bool) -> None:
    work = Work()
    assert list(executor.work(iter(range(40)), work.steps(track), never)) == list(range(40))
    assert sorted(work.seen["read"]) == sorted(work.seen["find"]) == sorted(work.seen["write"]) == list(range(40))
    assert work.seen["track"] == (list(range(40)) if track else [])
    assert work.busiest["track"] <= 1


def test_it_does_several_pictures_at_a_time_but_not_more_than_wanted(executor: Executor) -> None:
    taken, done, most = 0, 0, 0

    def source() -> Iterator[int]:
        nonlocal taken, most
        for number in range(60):
            taken += 1
            most = max(most, taken - done)
            yield number

    work = Work()
    for _ in executor.work(source(), work.steps(), never):
        done += 1
    assert done == 60
    assert 1 < most <= 6
    assert work.busiest["find"] > 1


def test_an_empty_source_gives_nothing(executor: Executor) -> None:
    assert list(executor.work(iter(()), Work().steps(), never)) == []


def test_it_is_good_for_several_sources(executor: Executor) -> None:
    for _ in range(3):
        assert list(executor.work(iter(range(5)), Work().steps(), never)) == list(range(5))


def test_a_source_that_has_nothing_at_the_moment_is_asked_again(executor: Executor) -> None:
    given: list[int | None] = [None, 0, None, None, 1, 2, None]
    assert list(executor.work(iter(given), Work().steps(), never)) == [0, 1, 2]


def test_what_was_taken_is_finished_when_it_is_stopped(executor: Executor) -> None:
    work = Work()
    results: list[int] = []
    for number in executor.work(iter(range(1000)), work.steps(), lambda: len(results) >= 7):
        results.append(number)
    assert results == list(range(len(results)))
    assert 7 <= len(results) <= 13
    assert sorted(work.seen["read"]) == results


@pytest.mark.parametrize("step", ["read", "find", "track", "write"])
def test_what_a_step_raises_comes_in_its_place_and_ends_the_work(executor: Executor, step: str) -> None:
    work = Work(step)
    results = executor.work(iter(range(1000)), work.steps(), never)
    assert [next(results) for _ in range(6)] == list(range(6))
    with pytest.raises(LookupError, match=f"{step} 6"):
        next(results)
    assert not +work.busy
    seen = sum(map(len, work.seen.values()))
    time.sleep(0.05)
    assert sum(map(len, work.seen.values())) == seen


def test_what_the_source_raises_comes_through(executor: Executor) -> None:
    def source() -> Iterator[int]:
        yield 0
        raise LookupError("the source")

    with pytest.raises(LookupError, match="the source"):
        list(executor.work(source(), Work().steps(), never))


def test_nothing_is_at_work_once_the_caller_wants_no_more(executor: Executor) -> None:
    work = Work()
    results = executor.work(iter(range(1000)), work.steps(), never)
    assert next(results) == 0
    cast(Any, results).close()
    assert not +work.busy
    seen = sum(map(len, work.seen.values()))
    time.sleep(0.05)
    assert sum(map(len, work.seen.values())) == seen
