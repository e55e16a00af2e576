"""What is seen of a run on the way: a bar, lines, or JSON."""

from __future__ import annotations

import json
import os
import select
import struct
import sys
import time
from collections import Counter
from collections.abc import Iterator
from typing import TextIO

import pytest

from mrcnn_cv.cli.console import progress
from mrcnn_cv.cli.console.progress import ProgressReporter, RunProgress
from mrcnn_cv.jobs.state.summary import RunStatistics

on_posix = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")


def statistics(done: int, failed: int = 0, kept: int = 0, total: int | None = 40) -> RunStatistics:
    return RunStatistics(total, done, failed, kept, Counter({"cup": 3 * done}))


@pytest.fixture
def terminal() -> Iterator[tuple[int, TextIO]]:
    """The two ends of a terminal that does not tell its width, the second one for stderr."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
    with os.fdopen(theirs, "w", encoding="utf-8") as stderr:
        yield ours, stderr
    os.close(ours)


@on_posix
def test_a_bar_on_a_terminal_that_does_not_tell_its_width(
    terminal: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    other_end, stderr = terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    counted = statistics(done=8, failed=2)
    counted.done_count = 7
    reporter = ProgressReporter("auto", quiet=False)
    reporter.start(RunProgress(counted))
    reporter.update()
    # It is drawn ten times a second at most.
    time.sleep(0.15)
    counted.done_count = 8
    reporter.update()
    reporter.clear()
    seen = b""
    # A terminal hands on what was written piece by piece, and not at once.
    while select.select([other_end], [], [], 1.0)[0]:
        seen += os.read(other_end, 10_000)
    text = seen.decode()
    assert " 25 %|" in text
    assert "10/40, 2 failed, " in text
    assert "24 instances" in text
    # The bar leaves nothing behind.
    assert text.endswith("\r")
    reporter.close()


@on_posix
def test_nothing_is_drawn_where_that_is_not_wanted(
    terminal: tuple[int, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    other_end, stderr = terminal
    monkeypatch.setattr(sys, "stderr", stderr)
    for kind, quiet in (("none", False), ("auto", True), ("bar", True)):
        reporter = ProgressReporter(kind, quiet=quiet)
        reporter.start(RunProgress(statistics(1)))
        reporter.update()
        reporter.update()
        reporter.close()
    assert select.select([other_end], [], [], 0.2)[0] == []


def test_lines_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    reporter = ProgressReporter("lines", quiet=False)
    reporter.start(RunProgress(statistics(9, kept=1), video="clip\x1b[2J.mp4"))
    reporter.update()
    line = capsys.readouterr().err
    assert line.startswith("25 %, 10/40, ")
    assert line.endswith("27 instances  clip�[2J.mp4\n")


def test_json_for_programs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_JSON", 0.0)
    counted = statistics(9)
    reporter = ProgressReporter("json", quiet=False)
    reporter.start(RunProgress(counted))
    reporter.update()
    counted.done_count = 40
    reporter.close()
    first, last = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["done"], first["pictures"]) == ("progress", 9, 40)
    assert (last["event"], last["done"], last["seconds_left"]) == ("end", 40, 0.0)


def test_nobody_knows_how_long_a_folder_that_is_watched_takes() -> None:
    watched = RunProgress(statistics(9, total=None))
    assert watched.text().startswith("9, ")
    assert watched.record()["seconds_left"] is None
