"""What a pull tells the terminal: a bar with speed and time left; where stderr is no terminal, notes only."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Any

from mrcnn_cv.cli.console.messages import echo_message, sanitize
from mrcnn_cv.cli.console.progress import is_terminal, make_bar
from mrcnn_cv.hub.resolve import PullListener

_FORMAT = "{desc}  {percentage:3.0f} %|{bar:20}| {n_fmt}{unit} of {total_fmt}{unit}, {rate_fmt}, {remaining} left"


class PullProgress(PullListener):
    """A bar on one line of stderr; a context manager, so that whatever comes next begins on a line of its own."""

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self._name = sanitize(name)
        self._quiet = quiet
        self._bar: Any = None

    def __enter__(self) -> PullProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def note(self, text: str) -> None:
        self._close()
        if not self._quiet:
            echo_message(f"mrcnn-cv: note: {text}")

    def progress(self, done: int, total: int) -> None:
        if self._quiet or not is_terminal():
            return
        if self._bar is not None and done < self._bar.n:
            # A pull that begins anew.
            self._close()
        with suppress(OSError):
            if self._bar is None:
                self._bar = make_bar(total, _FORMAT, desc=self._name, initial=done, unit="B", unit_scale=True)
            self._bar.update(done - self._bar.n)
            if done == total:
                self._bar.refresh()

    def _close(self) -> None:
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
            self._bar = None
