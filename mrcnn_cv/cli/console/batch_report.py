"""What a batch run tells: a bar with rate and time left, or a line now and then, or JSON; at the end the sums."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from mrcnn_cv.cli.console.image_report import ConsoleReporter
from mrcnn_cv.cli.console.messages import echo_message, sanitize
from mrcnn_cv.cli.console.status_line import StatusLine, duration

if TYPE_CHECKING:
    from mrcnn_cv.jobs.state.summary import RunStatistics
    from mrcnn_cv.pipeline import FrameResult
    from mrcnn_cv.structures.frame import FrameError

PROGRESS = ("auto", "bar", "lines", "json", "none")

SECONDS_BETWEEN_LINES = 30.0
SECONDS_BETWEEN_JSON = 1.0
MAX_FAILURES_SHOWN = 20
MAX_CLASSES_SHOWN = 10
_WIDEST_BAR = 30


class BatchReporter(ConsoleReporter):
    """totals: counted by others before this one is told. progress: one of PROGRESS; auto: a bar on a terminal."""

    def __init__(self, quiet: bool, verbose: bool, places: Sequence[str], totals: RunStatistics, progress: str) -> None:
        super().__init__(quiet, verbose, places)
        self._totals = totals
        self._line = StatusLine(quiet=quiet or progress not in ("auto", "bar"))
        self._json = progress == "json"
        self._lines = not quiet and not self._json and not self._line.is_on and progress != "none"
        self._told = time.monotonic()

    def done(self, done: FrameResult) -> None:
        if self._verbose:
            self._line.clear()
            super().done(done)
        self._progress()

    def failed(self, failed: FrameError) -> None:
        if self._totals.failed_count <= MAX_FAILURES_SHOWN:
            self._line.clear()
            super().failed(failed)
        elif self._totals.failed_count == MAX_FAILURES_SHOWN + 1:
            self._line.clear()
            echo_message("mrcnn-cv: more failures are not shown here; failures.csv lists them all")
        self._progress()

    def end(self) -> None:
        self._line.clear()
        if self._json:
            self._tell_json("end")
        elif not self._quiet or self._totals.failed_count:
            for text in closing(self._totals, self._places):
                echo_message(text)

    def _progress(self) -> None:
        now = time.monotonic()
        if self._line.is_due:
            self._line.draw(bar(self._totals, shutil.get_terminal_size().columns - 1))
        elif self._json and now - self._told >= SECONDS_BETWEEN_JSON:
            self._told = now
            self._tell_json("progress")
        elif self._lines and now - self._told >= SECONDS_BETWEEN_LINES:
            self._told = now
            echo_message(bar(self._totals, 200))

    def _tell_json(self, event: str) -> None:
        with suppress(OSError):
            click.echo(json.dumps({"event": event, **progress(self._totals)}), err=True)


def progress(totals: RunStatistics) -> dict[str, Any]:
    """The numbers of --progress json."""
    left = seconds_left(totals)
    return {
        "pictures": totals.images,
        "done": totals.done_count,
        "kept": totals.kept,
        "failed": totals.failed_count,
        "instances": sum(totals.instances.values()),
        "pictures_per_second": round(totals.rate, 3),
        "seconds": round(totals.seconds, 1),
        "seconds_left": None if left is None else round(left, 1),
    }


def seconds_left(totals: RunStatistics) -> float | None:
    """Until the end, if it goes on as so far; None where nobody can tell."""
    finished = totals.done_count + totals.failed_count
    if totals.images is None or not finished:
        return None
    return (totals.images - totals.kept - finished) / max(totals.rate, 1e-9)


def bar(totals: RunStatistics, width: int) -> str:
    """One line of at most `width` characters; what matters least is left out first."""
    finished = totals.kept + totals.done_count + totals.failed_count
    count = f"{finished:,}" + ("" if totals.images is None else f"/{totals.images:,}")
    parts = [count, f"{totals.rate:.1f}/s"]
    left = seconds_left(totals)
    if left is not None:
        parts.append(f"{duration(left)} left")
    parts.append(f"{sum(totals.instances.values()):,} instances")
    if totals.failed_count:
        parts.insert(1, f"{totals.failed_count:,} failed")
    text = ", ".join(parts)
    while len(text) > width and len(parts) > 1:
        text = ", ".join(parts[: len(parts) - 1])
        parts.pop()
    room = min(_WIDEST_BAR, width - len(text) - 10)
    if totals.images and room >= 8:
        share = min(finished / totals.images, 1.0)
        full = int(share * room)
        text = f"[{'#' * full}{'.' * (room - full)}] {100 * share:3.0f} %  {text}"
    return text[:width]


def closing(totals: RunStatistics, places: Sequence[str]) -> list[str]:
    """What a run came to, in a few lines."""
    new = totals.done_count + totals.failed_count
    counts = [f"{totals.done_count:,} done"]
    counts += [f"{totals.kept:,} were done before"] if totals.kept else []
    counts += [f"{totals.failed_count:,} failed (failures.csv says why)"] if totals.failed_count else []
    lines = [f"{new + totals.kept:,} picture{'' if new + totals.kept == 1 else 's'}: {', '.join(counts)}"]
    instances = [f"{label} {count:,}" for label, count in totals.instances.most_common(MAX_CLASSES_SHOWN)]
    instances += ["..."] if len(totals.instances) > MAX_CLASSES_SHOWN else []
    total = sum(totals.instances.values())
    lines.append(f"{total:,} instances" + (f": {sanitize(', '.join(instances))}" if instances else ""))
    spent = sum(totals.stages.values())
    shares = (
        ", ".join(f"{stage} {100 * seconds / spent:.0f} %" for stage, seconds in totals.stages.most_common(5))
        if spent
        else ""
    )
    lines.append(
        f"{duration(totals.seconds)} in all, {totals.rate:.1f} pictures per second" + (f"; {shares}" if shares else "")
    )
    return lines + ([f"results in {' and '.join(places)}"] if places and (totals.done_count or totals.kept) else [])
