"""Waiting for what threads are at."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

import pytest

from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.pipeline import thread_executor


class Late(Future[str]):
    """A task that ends in the moment in which somebody gives up waiting for it."""

    def result(self, timeout: float | None = None) -> str:
        try:
            return super().result(0)
        except NotYet:
            self.set_result("done")
            raise


def test_a_task_that_ends_just_after_the_wait_has_its_result() -> None:
    assert thread_executor._result(Late(), []) == "done"


def test_a_task_may_raise_what_a_wait_raises() -> None:
    future: Future[str] = Future()
    future.set_exception(NotYet("a server's"))
    with pytest.raises(NotYet, match="a server's"):
        thread_executor._result(future, [])


def test_the_next_layout_has_the_models_of_the_one_before(tiny_model: MaskRCNN) -> None:
    """To load a model takes seconds; each layout that is tried would load its own."""
    loaded: list[MaskRCNN] = []

    def load() -> MaskRCNN:
        loaded.append(tiny_model)
        return tiny_model

    def find(number: int, model: Callable[[], MaskRCNN]) -> int:
        # Long enough that both workers of the second layout have something to do.
        time.sleep(0.005)
        model()
        return number

    layouts = [thread_executor.WorkerLayout(1, 1), thread_executor.WorkerLayout(2, 1)]
    executor = thread_executor.ThreadExecutor(thread_executor.ModelPool(tiny_model, load), layouts)
    stages: thread_executor.Stages[int, int, int, int] = thread_executor.Stages(abs, find, abs)
    assert list(executor.work(iter(range(80)), stages, lambda: False)) == list(range(80))
    assert len(loaded) == 1
