"""Waiting for what threads are at."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet

import pytest

from mrcnn_cv.pipeline import thread_executor as crew


class Late(Future[str]):
    """A task that ends in the moment in which somebody gives up waiting for it."""

    def result(self, timeout: float | None = None) -> str:
        try:
            return super().result(0)
        except NotYet:
            self.set_result("done")
            raise


def test_a_task_that_ends_just_after_the_wait_has_its_result() -> None:
    assert crew._result(Late(), []) == "done"


def test_a_task_may_raise_what_a_wait_raises() -> None:
    future: Future[str] = Future()
    future.set_exception(NotYet("a server's"))
    with pytest.raises(NotYet, match="a server's"):
        crew._result(future, [])
