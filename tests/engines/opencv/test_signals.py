"""A signal while OpenCV reads a net does not crash it."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from mrcnn_cv.engines.select import BACKENDS, make_net
from mrcnn_cv.util.opencv import cv2
from tests.engines.heads import Head


def test_ctrl_c_waits_until_a_net_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []

    def interrupted(read: Any) -> Any:
        def wrapper(*arguments: Any, **more: Any) -> Any:
            signal.raise_signal(signal.SIGINT)
            steps.append("still reading")
            return read(*arguments, **more)

        return wrapper

    for name in ("readNetFromTensorflow", "readNetFromONNX"):
        if hasattr(cv2.dnn, name):
            monkeypatch.setattr(cv2.dnn, name, interrupted(getattr(cv2.dnn, name)))
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        head = Head(3)
        graph = head.graph(head.convolution(head.crops, 3, dilation=2))
        with pytest.raises(KeyboardInterrupt):
            make_net(graph, BACKENDS["cpu"])
        assert steps == ["still reading"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
