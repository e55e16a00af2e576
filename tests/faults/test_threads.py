"""A thread of a run meets what nobody thought of: one sentence, no hang, whole outputs, a run to resume."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv.draw import draw
from mrcnn_cv.rcnn.model import MaskRCNN
from mrcnn_cv.sinks import overlay
from mrcnn_cv.sources import items
from mrcnn_cv.sources.decode import decode_image
from tests.faults.conftest import NAMES, Batch, check_outputs


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
    [
        *((where, 1) for where in ("reader", "worker", "writer")),
        *(pytest.param(where, 3, marks=pytest.mark.long) for where in ("reader", "worker", "writer")),
    ],
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
            patch.setattr(overlay, "draw", Once(draw, 3, error))
        assert batch("--workers", workers) == 1
    said = capfd.readouterr().err
    assert "internal error (ZeroDivisionError: never seen before)" in said
    assert "Traceback" not in said
    done = check_outputs(tmp_path / "out", complete=False)
    assert len(done) < len(NAMES)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith(("reader", "worker", "writer"))]
    assert batch("--resume", "--workers", workers) == 0
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)
