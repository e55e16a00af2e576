"""Ctrl-C once ends a run after the images that are in work; twice ends it at once. SIGTERM and SIGHUP likewise."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.errors import INTERRUPTED_EXIT_CODE

if TYPE_CHECKING:
    from mrcnn_cv.pipeline import CancellationToken

_HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
"""The terminal was closed, or the connection to it lost; Windows has no such signal."""

ENDING_SIGNALS = tuple(filter(None, (signal.SIGTERM, _HANGUP)))
"""Besides Ctrl-C; the exit code after one of them is 128 and its number, as shells report it."""


class Terminated(KeyboardInterrupt):
    """Another signal ends a run as cleanly as Ctrl-C does: no half-written file, and the record of what is ours."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def end_by_signals() -> None:
    """From now on other signals than Ctrl-C raise Terminated."""
    for number in ENDING_SIGNALS:
        # Not where it is ignored (nohup).
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _terminate)


def _terminate(number: int, frame: object) -> NoReturn:
    if number != signal.SIGTERM:
        # A terminal that closes may say so twice, by its shell and by itself.
        signal.signal(number, signal.SIG_IGN)
    raise Terminated(number)


class Interrupts:
    """Cancels a run by signals, between `start` and `stop`."""

    def __init__(self, cancellation: CancellationToken) -> None:
        self._cancellation = cancellation
        self._before: dict[int, Any] = {}

    def start(self) -> None:
        """Take over the signals."""
        # Only the main thread may; and a program that was started with signals ignored (nohup) wants them so.
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, *ENDING_SIGNALS):
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)

    def stop(self) -> None:
        """Give the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self._cancellation.exit_code is not None:
            if number == _HANGUP:
                # A terminal that closes may say so twice, by its shell and by itself, and means no haste.
                return
            before = self._before[number]
            if callable(before):
                before(number, frame)
            raise KeyboardInterrupt
        self._cancellation.cancel(INTERRUPTED_EXIT_CODE if number == signal.SIGINT else 128 + number)
        echo_message("mrcnn-cv: finishing the images in work; once more stops at once")
