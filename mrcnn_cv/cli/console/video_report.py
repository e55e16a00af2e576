"""What a run over videos tells: a bar with frames per second and time left, and a few lines for each video."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from mrcnn_cv.cli.console.batch_report import (
    MAX_CLASSES_SHOWN,
    MAX_FAILURES_SHOWN,
    SECONDS_BETWEEN_JSON,
    SECONDS_BETWEEN_LINES,
    bar,
    progress,
)
from mrcnn_cv.cli.console.image_report import ConsoleReporter
from mrcnn_cv.cli.console.messages import echo_message, sanitize
from mrcnn_cv.cli.console.status_line import StatusLine, duration

if TYPE_CHECKING:
    from mrcnn_cv.errors import MrcnnCvError
    from mrcnn_cv.inputs.video.base import VideoInfo
    from mrcnn_cv.jobs.state.summary import RunStatistics
    from mrcnn_cv.pipeline import FrameResult
    from mrcnn_cv.structures.frame import FrameError


class VideoReporter(ConsoleReporter):
    """progress: one of batch_report.PROGRESS. Told of each video in turn: `begin`, frames, `finish`."""

    def __init__(self, quiet: bool, verbose: bool, places: Sequence[str], progress: str) -> None:
        super().__init__(quiet, verbose, places)
        self._line = StatusLine(quiet=quiet or progress not in ("auto", "bar"))
        self._json = progress == "json"
        self._lines = not quiet and not self._json and not self._line.is_on and progress != "none"
        self._totals: RunStatistics | None = None
        self._name = ""
        self._told = time.monotonic()
        self._failures = 0

    def begin(self, name: str, info: VideoInfo, totals: RunStatistics) -> None:
        """Frames of this video follow, which others count in `totals`."""
        self._name, self._totals, self._failures = name, totals, 0
        self._told = time.monotonic()
        if self._verbose and not self._quiet:
            rate = "" if info.frame_rate is None else f", {info.frame_rate:.4g} frames per second"
            length = "" if info.seconds is None else f", {duration(info.seconds)}"
            echo_message(f"{name}  {info.width}x{info.height} {info.codec}{rate}{length}")

    def done(self, done: FrameResult) -> None:
        self._tell()

    def failed(self, failed: FrameError) -> None:
        self._failures += 1
        if self._failures <= MAX_FAILURES_SHOWN:
            self._line.clear()
            echo_message(f"mrcnn-cv: error: frame {failed.index}: {failed.error}")
        self._tell()

    def refused(self, error: MrcnnCvError) -> None:
        """A video cannot be read; the next one follows."""
        self._line.clear()
        echo_message(f"mrcnn-cv: error: {error}")

    def note(self, text: str) -> None:
        """Something about a video that is no error."""
        self._line.clear()
        if not self._quiet:
            echo_message(f"mrcnn-cv: {text}")

    def finish(self, where: str | None) -> None:
        """The video is done, or as much of it as there will be; where: its painted video, if any."""
        self._line.clear()
        if self._totals is None:
            return
        if self._json:
            self._tell_json("end")
        elif not self._quiet:
            for text in closing(self._name, self._totals, where):
                echo_message(text)
        self._totals = None

    def end(self) -> None:
        self._line.clear()

    def _tell(self) -> None:
        if self._totals is None:
            return
        now = time.monotonic()
        if self._line.is_due:
            width = shutil.get_terminal_size().columns - 1
            text = bar(self._totals, width)
            name = sanitize(self._name)
            self._line.draw(f"{name}  {text}" if len(name) + 2 + len(text) <= width else text)
        elif self._json and now - self._told >= SECONDS_BETWEEN_JSON:
            self._told = now
            self._tell_json("progress")
        elif self._lines and now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            echo_message(f"{self._name}  {bar(self._totals, 200)}")

    def _tell_json(self, event: str) -> None:
        if self._totals is None:
            return
        numbers = progress(self._totals)
        frames = {"frames": numbers.pop("pictures"), "frames_per_second": numbers.pop("pictures_per_second")}
        with suppress(OSError):
            click.echo(json.dumps({"event": event, "video": self._name, **frames, **numbers}), err=True)


def closing(name: str, totals: RunStatistics, where: str | None) -> list[str]:
    """What became of a video, in two lines."""
    new = totals.done_count + totals.failed_count
    parts = [f"{totals.kept + new:,} frame{'' if totals.kept + new == 1 else 's'}"]
    parts += [f"{totals.kept:,} of them done before"] if totals.kept else []
    parts += [f"{totals.failed_count:,} failed"] if totals.failed_count else []
    parts += [f"{duration(totals.seconds)} in all, {totals.rate:.1f} frames per second"] if new else []
    total = sum(totals.instances.values())
    shown = [f"{sanitize(label)} {count:,}" for label, count in totals.instances.most_common(MAX_CLASSES_SHOWN)]
    shown += ["..."] if len(totals.instances) > MAX_CLASSES_SHOWN else []
    found = f"  {total:,} instances" + (f": {', '.join(shown)}" if shown else "")
    spent = sum(totals.stages.values())
    if spent:
        found += "; " + ", ".join(f"{step} {100 * each / spent:.0f} %" for step, each in totals.stages.most_common(5))
    return [f"{name}  {', '.join(parts)}{'' if where is None else f' -> {where}'}", found]
