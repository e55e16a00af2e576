"""A thread of a run meets what nobody thought of: one sentence, no hang, whole outputs, a run to resume."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.drawing.annotate import draw
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs import image_ref as items
from mrcnn_cv.inputs.images.decode import decode_image
from mrcnn_cv.outputs.formats import image_files
from mrcnn_cv.pipeline import thread_executor
from tests.robustness.faults.conftest import NAMES, Batch, check_outputs
from tests.support.rows import sampled


class Once:
    """Does what `act` does, but for one call, which raises."""

    def __init__(self, act: Any, number: int, error: BaseException) -> None:
        self._act, self._left, self._error = act, number, error
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                raise self._error
        return self._act(*arguments, **options)


@pytest.mark.parametrize(
    ("where", "workers"),
    sampled(
        [
            *((where, 1) for where in ("reader", "worker", "writer")),
            *((where, 3) for where in ("reader", "worker", "writer")),
        ],
        6,
    ),
)
def test_the_run_ends_and_can_be_gone_on_with(
    batch: Batch,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    where: str,
    workers: int,
) -> None:
    error = ZeroDivisionError("never seen before")
    with monkeypatch.context() as patch:
        if where == "reader":
            patch.setattr(items, "decode_image", Once(decode_image, 3, error))
        elif where == "worker":
            predict = Once(MaskRCNN.predict, 3, error)
            patch.setattr(MaskRCNN, "predict", lambda self, *a, **o: predict(self, *a, **o))
        else:
            patch.setattr(image_files, "draw", Once(draw, 3, error))
        assert batch("--workers", workers) == 1
    said = capfd.readouterr().err
    assert "internal error (ZeroDivisionError: never seen before)" in said
    assert "Traceback" not in said
    done = check_outputs(tmp_path / "out", complete=False)
    assert len(done) < len(NAMES)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("reader", "worker", "writer"))]
    assert batch("--resume", "--workers", workers) == 0
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)


@pytest.mark.parametrize("number", [1, 4])
def test_a_thread_that_dies_with_its_error_does_not_hang_the_run(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], number: int
) -> None:
    """Where no memory is left, not even for an error to be handed on."""
    with monkeypatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda died: None)
        patch.setattr(thread_executor.DaemonThreads, "_do", once_for_workers(thread_executor.DaemonThreads._do, number))
        assert batch("--workers", 1) == 4
    assert "\nmrcnn-cv: error: the memory that is left does not suffice" in capfd.readouterr().err
    check_outputs(tmp_path / "out", complete=False)
    assert batch("--resume") == 0
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)


def once_for_workers(do: Any, number: int) -> Any:
    """What a thread does, but a worker's task of that number, which ends the thread."""
    fail = Once(lambda: None, number, MemoryError())

    def act(self: Any, *task: Any) -> None:
        if threading.current_thread().name.startswith("worker"):
            fail()
        do(self, *task)

    return act


def test_plans_whose_threads_do_not_fit_are_left_out(monkeypatch: pytest.MonkeyPatch, tiny_model: MaskRCNN) -> None:
    plans = [thread_executor.WorkerLayout(1, 2), thread_executor.WorkerLayout(2, 1)]
    steps: thread_executor.Stages[Any, Any, Any, Any] = thread_executor.Stages(abs, lambda number, model: number, abs)

    def work(plans: list[thread_executor.WorkerLayout]) -> tuple[list[int], list[thread_executor.WorkerLayout]]:
        own = thread_executor.ThreadExecutor(thread_executor.ModelPool(tiny_model, lambda: tiny_model), plans)
        return list(own.work(iter(range(50)), steps, lambda: False)), own.layouts

    monkeypatch.setattr(thread_executor, "address_space_allows", lambda threads: threads <= 3)
    assert work(plans) == (list(range(50)), plans[:1])
    monkeypatch.setattr(thread_executor, "address_space_allows", lambda threads: threads <= 6)
    assert work(plans) == (list(range(50)), plans)
    monkeypatch.setattr(thread_executor, "address_space_allows", lambda threads: threads <= 2)
    with pytest.raises(MemoryError):
        work(plans)


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is known what a process has taken")
def test_the_limit_on_addresses_is_the_process_own() -> None:
    source = """
import resource
from mrcnn_cv.pipeline.thread_executor import BYTES_PER_THREAD, address_space_allows
print(address_space_allows(10**6))
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
limit = taken + 3 * BYTES_PER_THREAD // 2
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
print(address_space_allows(1), address_space_allows(2))
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False"]
