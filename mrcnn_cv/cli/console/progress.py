"""How a run goes, on stderr: a bar on a terminal (tqdm), or a line now and then, or JSON for programs."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import click

from mrcnn_cv.cli.console.messages import counted, duration, echo_message, readable_size, sanitize
from mrcnn_cv.hub.resolve import PullListener

if TYPE_CHECKING:
    from mrcnn_cv.inputs.video.base import VideoSource
    from mrcnn_cv.jobs.state.summary import RunStatistics
    from mrcnn_cv.outputs.viewers.live_view import Meter

SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_JSON = 1.0


class Progress(Protocol):
    """How far something is. total: of which `count` are done; None: nobody knows."""

    @property
    def count(self) -> int: ...

    @property
    def total(self) -> int | None: ...

    def text(self) -> str:
        """The numbers for people, what matters most first."""

    def record(self) -> Mapping[str, Any]:
        """The numbers for programs, as JSON."""


class ProgressReporter:
    """Shows one Progress after the other. kind: one of `options.PROGRESS`; auto: a bar on a terminal, else lines."""

    def __init__(self, kind: str, *, quiet: bool) -> None:
        self.is_json = kind == "json"
        self._has_bar = not quiet and kind in ("auto", "bar") and is_terminal()
        self._is_silent = not self.is_json and (quiet or kind == "none")
        self._progress: Progress | None = None
        self._bar: Any = None
        self._told = 0.0

    def start(self, progress: Progress) -> None:
        """From now on it is this that goes on."""
        self.close()
        self._progress, self._told = progress, time.monotonic()

    def update(self) -> None:
        """Something was done; shown where it is time."""
        progress, now = self._progress, time.monotonic()
        if progress is None or self._is_silent:
            return
        if self._has_bar:
            self._draw(progress)
        elif now - self._told >= (SECONDS_BETWEEN_JSON if self.is_json else SECONDS_BETWEEN_LINES):
            self._told = now
            self._tell(progress, "progress")

    def clear(self) -> None:
        """Make room for an ordinary line."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.clear()

    def close(self) -> None:
        """It is over; in JSON the last numbers follow."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
            self._bar = None
        if self.is_json and self._progress is not None:
            self._tell(self._progress, "end")
        self._progress = None

    def _draw(self, progress: Progress) -> None:
        text = sanitize(progress.text())
        with suppress(OSError):
            if self._bar is None:
                self._bar = _make_bar(progress, text)
            self._bar.total = progress.total
            self._bar.set_description_str(text, refresh=False)
            self._bar.update(progress.count - self._bar.n)
            if progress.count == progress.total:
                self._bar.refresh()

    def _tell(self, progress: Progress, event: str) -> None:
        if self.is_json:
            with suppress(OSError):
                click.echo(json.dumps({"event": event, **progress.record()}), err=True)
        else:
            share = f"{100 * progress.count / progress.total:.0f} %, " if progress.total else ""
            echo_message(share + progress.text())


def _make_bar(progress: Progress, text: str) -> Any:
    """A bar of tqdm on stderr, which leaves nothing behind when it is closed."""
    from tqdm import tqdm

    class QuietBar(tqdm):  # type: ignore[type-arg, misc, unused-ignore]
        # No thread that wakes up bars, and a lock that needs no semaphore of the system.
        monitor_interval = 0

    QuietBar.set_lock(threading.RLock())
    return QuietBar(
        total=progress.total,
        initial=progress.count,
        desc=text,
        bar_format="{percentage:3.0f} %|{bar:20}| {desc}" if progress.total else "{desc}",
        file=sys.stderr,
        leave=False,
        # Some terminals do not say how wide they are, and a bar of no width would be invisible.
        ncols=None if _knows_its_width() else shutil.get_terminal_size().columns - 1,
        nrows=20,
        dynamic_ncols=_knows_its_width(),
        mininterval=0.1,
        miniters=1,
    )


def _knows_its_width() -> bool:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns > 0
    except (AttributeError, OSError, ValueError):
        return False


def is_terminal() -> bool:
    """True where stderr is a terminal."""
    return sys.stderr is not None and sys.stderr.isatty()


class RunProgress:
    """Of images, or of the frames of a video that has a name."""

    def __init__(self, statistics: RunStatistics, video: str | None = None) -> None:
        self.statistics, self.video = statistics, video

    @property
    def count(self) -> int:
        statistics = self.statistics
        return statistics.kept + statistics.done_count + statistics.failed_count

    @property
    def total(self) -> int | None:
        return self.statistics.images

    @property
    def _seconds_left(self) -> float | None:
        """Until the end, if it goes on as so far; None where nobody can tell."""
        if self.total is None or self.count == self.statistics.kept:
            return None
        return (self.total - self.count) / max(self.statistics.rate, 1e-9)

    def text(self) -> str:
        statistics, left = self.statistics, self._seconds_left
        parts = (
            f"{self.count:,}" + ("" if self.total is None else f"/{self.total:,}"),
            f"{statistics.failed_count:,} failed" if statistics.failed_count else "",
            f"{statistics.rate:.1f}/s",
            "" if left is None else f"{duration(left)} left",
            f"{statistics.instances.total():,} instances" + ("" if self.video is None else f"  {self.video}"),
        )
        return ", ".join(filter(None, parts))

    def record(self) -> Mapping[str, Any]:
        statistics, left = self.statistics, self._seconds_left
        unit = "pictures" if self.video is None else "frames"
        return {
            **({} if self.video is None else {"video": self.video}),
            unit: self.total,
            "done": statistics.done_count,
            "kept": statistics.kept,
            "failed": statistics.failed_count,
            "instances": statistics.instances.total(),
            f"{unit}_per_second": round(statistics.rate, 3),
            "seconds": round(statistics.seconds, 1),
            "seconds_left": None if left is None else round(left, 1),
        }


class StreamProgress:
    """Of a camera or stream, which has no end that is known."""

    total = None

    def __init__(self, meter: Meter, source: VideoSource) -> None:
        self._meter, self._source = meter, source
        self._started = time.monotonic()

    @property
    def count(self) -> int:
        return self._meter.statistics.frames

    @property
    def seconds(self) -> float:
        """Since the first frames were waited for."""
        return time.monotonic() - self._started

    def losses(self) -> list[str]:
        """Frames that did not go through the model."""
        counts = {"dropped": self._source.dropped, "damaged": self._source.damaged}
        return [f"{count:,} {what}" for what, count in counts.items() if count]

    def text(self) -> str:
        numbers = self._meter.statistics
        delay = [] if numbers.delay_ms is None else [f"delay {numbers.delay_ms:.0f} ms"]
        instances = counted(numbers.instances, "instance")
        return ", ".join([duration(self.seconds), f"{numbers.rate:.1f} frames/s", *delay, instances, *self.losses()])

    def record(self) -> Mapping[str, Any]:
        numbers = self._meter.statistics
        return {
            "frames": numbers.frames,
            "frames_per_second": round(numbers.rate, 3),
            "delay_ms": None if numbers.delay_ms is None else round(numbers.delay_ms, 1),
            "instances": numbers.instances,
            "dropped": self._source.dropped,
            "damaged": self._source.damaged,
            "seconds": round(self.seconds, 1),
        }


class ComparisonProgress:
    """Of images that two models are compared on."""

    def __init__(self, total: int) -> None:
        self.count, self.total, self.agreement = 0, total, 1.0

    def text(self) -> str:
        return f"{self.count:,}/{self.total:,}, {self.agreement:.4f} agreement"

    def record(self) -> Mapping[str, Any]:
        return {"pictures": self.total, "done": self.count, "agreement": round(self.agreement, 6)}


class PullProgress(PullListener):
    """Of the bytes of a model; a context manager, so that whatever comes next begins on a line of its own."""

    def __init__(self, name: str, *, quiet: bool = False) -> None:
        self._name, self._quiet = name, quiet
        self._reporter = ProgressReporter("bar" if is_terminal() else "none", quiet=quiet)
        self.count = self.total = self._begin = 0
        self._started = math.inf

    def __enter__(self) -> PullProgress:
        return self

    def __exit__(self, *error: object) -> None:
        self._reporter.close()

    def note(self, text: str) -> None:
        self._reporter.close()
        self._started = math.inf
        if not self._quiet:
            echo_message(f"mrcnn-cv: note: {text}")

    def progress(self, done: int, total: int) -> None:
        if done < self.count or self._started == math.inf:
            # A pull that begins, or begins anew.
            self._begin, self._started = done, time.monotonic()
            self._reporter.start(self)
        self.count, self.total = done, total
        self._reporter.update()

    def text(self) -> str:
        rate = (self.count - self._begin) / max(time.monotonic() - self._started, 1e-3)
        left = duration((self.total - self.count) / rate) if rate else "?"
        sizes = f"{readable_size(self.count)} of {readable_size(self.total)}"
        return f"{sizes}, {readable_size(round(rate))}/s, {left} left  {self._name}"

    def record(self) -> Mapping[str, Any]:
        return {"bytes": self.total, "done": self.count}
