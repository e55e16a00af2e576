"""Ctrl-C once ends a run after the pictures that are in work; twice ends it at once. SIGTERM and SIGHUP likewise."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from mrcnn_cv.cli.console.messages import echo_message

if TYPE_CHECKING:
    from mrcnn_cv.pipeline import CancellationToken

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The terminal was closed, or the connection to it lost; Windows has no such signal."""

ENDING_SIGNALS = tuple(filter(None, (signal.SIGTERM, _HANGUP)))
"""Besides Ctrl-C; the exit code after one of them is 128 and its number, as shells report it."""


class Interrupts:
    """Listens to signals inside of its with block. `received`: the number of the first one; None: there was none."""

    def __init__(self, stop: CancellationToken) -> None:
        self._stop = stop
        self._before: dict[int, Any] = {}
        self.received: int | None = None

    def __enter__(self) -> Interrupts:
        # Only the main thread may; and a program that was started with signals ignored (nohup) wants them so.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *ENDING_SIGNALS):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            if number == _HANGUP:
                # A terminal that closes may say so twice, by its shell and by itself, and means no haste.
                return
            before = self._before[number]
            if callable(before):
                before(number, frame)
            raise KeyboardInterrupt
        self.received = number
        self._stop.requested = True
        echo_message("mrcnn-cv: finishing the pictures in work; once more stops at once")
