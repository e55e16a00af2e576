"""What a pull tells the terminal: a bar with speed and time left; where stderr is no terminal, notes only."""

from __future__ import annotations

import shutil
import time
from collections import deque
from types import TracebackType

from mrcnn_cv.cli.console.messages import echo_message, sanitize
from mrcnn_cv.cli.console.status_line import StatusLine, duration
from mrcnn_cv.hub.listener import PullListener

_SPEED_OVER_SECONDS = 10.0
_WIDEST_BAR = 30


class PullProgress(PullListener):
    """A bar on one line of stderr; a context manager, so that whatever comes next begins on a line of its own."""

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self._name = sanitize(name)
        self._quiet = quiet
        self._line = StatusLine(quiet=quiet)
        self._seen: deque[tuple[float, int]] = deque()

    def __enter__(self) -> PullProgress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._line.clear()

    def note(self, text: str) -> None:
        self._line.clear()
        if not self._quiet:
            echo_message(f"mrcnn-cv: note: {text}")

    def progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if self._seen and done < self._seen[-1][1]:
            self._seen.clear()
        self._seen.append((now, done))
        while now - self._seen[0][0] > _SPEED_OVER_SECONDS and len(self._seen) > 2:
            self._seen.popleft()
        if self._line.is_due or (self._line.is_on and done == total):
            self._line.draw(line(self._name, done, total, self._speed(), shutil.get_terminal_size().columns - 1))

    def _speed(self) -> float:
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) if last > first else 0.0


def line(name: str, done: int, total: int, speed: float, width: int) -> str:
    """One line of at most `width` characters; what matters least is left out first. speed: bytes per second."""
    share = done / total if total else 1.0
    numbers = f"{100 * share:3.0f} %"
    details = [f"{readable_size(done)} of {readable_size(total)}"]
    if speed > 0:
        details += [f"{readable_size(round(speed))}/s", f"{duration((total - done) / speed)} left"]
    text = f"{numbers}  {', '.join(details)}"
    if len(text) > width:
        return f"{numbers}  {details[-1]}"[: max(0, width)]
    bar = min(_WIDEST_BAR, width - len(text) - 4)
    if bar >= 8:
        full = int(share * bar)
        text = f"[{'#' * full}{'.' * (bar - full)}] {text}"
    return f"{name}  {text}" if len(name) + 2 + len(text) <= width else text


def readable_size(size: int) -> str:
    """Bytes for people: 178 MB, 1.2 GB."""
    value, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{value:.1f} {unit}" if value < 9.95 and unit != "bytes" else f"{value:.0f} {unit}"
