"""What a run of a live source tells: a line with rate and delay that is drawn anew, or a line now and then, or JSON."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

import click

from mrcnn_cv.cli.console.batch_report import SECONDS_BETWEEN_JSON, SECONDS_BETWEEN_LINES
from mrcnn_cv.cli.console.image_report import ConsoleReporter
from mrcnn_cv.cli.console.messages import echo_message
from mrcnn_cv.cli.console.status_line import StatusLine, duration

if TYPE_CHECKING:
    from mrcnn_cv.outputs.viewers.live_view import Meter
    from mrcnn_cv.pipeline import FrameResult
    from mrcnn_cv.structures.frame import FrameError


class LossCounter(Protocol):
    """What a source counts."""

    @property
    def damaged(self) -> int: ...

    @property
    def dropped(self) -> int: ...


class LiveReporter(ConsoleReporter):
    """places: asked at the end. meter: of the run. source: counts what it dropped. progress: one of PROGRESS."""

    def __init__(
        self,
        quiet: bool,
        verbose: bool,
        places: Callable[[], Sequence[str]],
        meter: Meter,
        source: LossCounter,
        progress: str,
    ) -> None:
        super().__init__(quiet, verbose, ())
        self._places_at_end = places
        self._meter = meter
        self._source = source
        self._line = StatusLine(quiet=quiet or progress not in ("auto", "bar"))
        self._json = progress == "json"
        self._lines = not quiet and not self._json and not self._line.is_on and progress != "none"
        self._started = self._told = time.monotonic()

    def tell(self, text: str) -> None:
        """A sentence between the lines: what the source has to say."""
        if not self._quiet:
            self._line.clear()
            echo_message(f"mrcnn-cv: note: {text}")

    def done(self, done: FrameResult) -> None:
        if self._verbose:
            self._line.clear()
            super().done(done)
        else:
            self._done += 1
        now = time.monotonic()
        if self._line.is_due:
            self._line.draw(self.line()[: shutil.get_terminal_size().columns - 1])
        elif self._json and now - self._told >= SECONDS_BETWEEN_JSON:
            self._told = now
            self._tell_json("progress")
        elif self._lines and now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            echo_message(self.line())

    def failed(self, failed: FrameError) -> None:
        self._line.clear()
        super().failed(failed)

    def end(self) -> None:
        self._line.clear()
        if self._json:
            self._tell_json("end")
        elif not self._quiet:
            echo_message(self._closing())
            if self._done and (places := self._places_at_end()):
                echo_message(f"results in {' and '.join(places)}")

    def line(self) -> str:
        """How it goes at the moment."""
        numbers = self._meter.statistics
        parts = [duration(self._seconds), f"{numbers.rate:.1f} frames/s"]
        if numbers.delay_ms is not None:
            parts.append(f"delay {numbers.delay_ms:.0f} ms")
        parts.append(f"{numbers.instances} instance{'' if numbers.instances == 1 else 's'}")
        return ", ".join([*parts, *self._losses()])

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._started

    def _losses(self) -> list[str]:
        counts = {"dropped": self._source.dropped, "damaged": self._source.damaged}
        return [f"{count:,} {what}" for what, count in counts.items() if count]

    def _closing(self) -> str:
        frames = f"{self._done:,} frame{'' if self._done == 1 else 's'} in {duration(self._seconds)}"
        rate = [f"{self._done / self._seconds:.1f} frames/s"] if self._done and self._seconds > 0 else []
        return ", ".join([frames, *rate, *self._losses()])

    def _tell_json(self, event: str) -> None:
        numbers = self._meter.statistics
        record: dict[str, Any] = {
            "event": event,
            "frames": numbers.frames,
            "frames_per_second": round(numbers.rate, 3),
            "delay_ms": None if numbers.delay_ms is None else round(numbers.delay_ms, 1),
            "instances": numbers.instances,
            "dropped": self._source.dropped,
            "damaged": self._source.damaged,
            "seconds": round(self._seconds, 1),
        }
        with suppress(OSError):
            click.echo(json.dumps(record), err=True)
