"""Clocks that jump, and a program that stands still for a while (Ctrl-Z, a laptop that is closed)."""

from __future__ import annotations

import os
import random
import threading
import time
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import pytest

from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.inputs.images.watch import Watch
from mrcnn_cv.inputs.video import latest_frame as newest
from mrcnn_cv.inputs.video.latest_frame import LatestFrameSource
from mrcnn_cv.structures.frame import Frame
from tests.inputs.video.fake_live import FakeLive, frame
from tests.robustness.faults.conftest import NAMES, Batch, check_outputs


def test_a_run_does_not_look_at_the_wall_clock(batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jumps = random.Random(0)
    monkeypatch.setattr(time, "time", lambda: jumps.uniform(-1e9, 1e11))
    for index, name in enumerate(NAMES):
        os.utime(tmp_path / "in" / name, (index * 1e9,) * 2)
    assert batch("--progress", "json") == 0
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES)


def test_a_watched_file_of_any_time_comes_once_and_again_when_it_changes(tmp_path: Path) -> None:
    """Made in the future; then changed, with the same size, by a machine whose clock was set back."""
    path, looks = tmp_path / "a.png", 0
    writes = {1: (b"one", 4e9), 5: (b"two", 0.0), 9: (b"two", 0.0)}

    def find() -> list[ImageRef]:
        nonlocal looks
        looks += 1
        if looks in writes:
            data, seconds = writes[looks]
            path.write_bytes(data)
            os.utime(path, (seconds, seconds))
        return [ImageRef("a", PurePosixPath("a.png"), path)]

    watch = Watch(find, lambda: looks > 15, seconds=0)
    assert [path.read_bytes() for item in watch if item is not None] == [b"one", b"two"]


def test_a_live_source_is_not_given_up_because_the_program_stood_still(monkeypatch: pytest.MonkeyPatch) -> None:
    go, skipped = threading.Event(), 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + skipped)
    monkeypatch.setattr(newest, "time", clock)
    with LatestFrameSource("7", lambda: FakeLive([frame(0), go.wait, frame(1)]), hung_seconds=30) as source:
        first = source.take(10)
        assert source.take(0.01) is None
        skipped = 3600.0
        assert source.take(0.01) is None
        go.set()
        second = source.take(10)
    assert isinstance(first, Frame)
    assert isinstance(second, Frame)
    assert (first.index, second.index) == (0, 1)
