"""One line of a terminal that is drawn again and again while something goes on."""

from __future__ import annotations

import sys
import time
from contextlib import suppress

REDRAW_SECONDS = 0.1


class StatusLine:
    """A line on stderr; nothing where stderr is no terminal, or `quiet`."""

    def __init__(self, *, quiet: bool = False) -> None:
        self.is_on = not quiet and is_terminal()
        self._drawn = 0.0
        self._width = 0

    @property
    def is_due(self) -> bool:
        """Whether it is time to draw again."""
        return self.is_on and time.monotonic() - self._drawn >= REDRAW_SECONDS

    def draw(self, text: str) -> None:
        """Show `text` in place of what was there."""
        self._drawn = time.monotonic()
        with suppress(OSError):
            sys.stderr.write("\r" + text.ljust(self._width))
            sys.stderr.flush()
        self._width = len(text)

    def clear(self) -> None:
        """Make room for an ordinary line."""
        if self._width:
            with suppress(OSError):
                sys.stderr.write("\r" + " " * self._width + "\r")
                sys.stderr.flush()
            self._width = 0


def is_terminal() -> bool:
    """True where stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


def duration(seconds: float) -> str:
    """Minutes and seconds for people: 4:07, 2:04:07."""
    whole = min(round(seconds), 359_999)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
