"""The commands of docs/live.md, with a camera and a stream that are not there, a window that nobody sees."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mrcnn_cv import cli
from mrcnn_cv.outputs.viewers import live_window, window
from tests.conftest import ROOT
from tests.inputs.video.fake_camera import FakeCapture, plug_in
from tests.inputs.video.fake_live import FakeLive, frame
from tests.support.parity import Image
from tests.support.rows import sampled

PAGE = ROOT / "docs" / "live.md"
LINES = re.findall(r"^    (mrcnn-cv .*)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


class Glance:
    """A window that is closed as soon as there is something to see."""

    def __init__(self, view: Any, *_: Callable[..., str]) -> None:
        self._view = view

    def __enter__(self) -> Glance:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def pump(self) -> bool:
        return self._view.latest is None


@pytest.mark.parametrize("line", sampled(LINES, 3))
def test_commands(line: str, tmp_path: Path, tiny_graph: Path, photo: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model_folder").mkdir()
    shutil.copy(tiny_graph, "model_folder")
    monkeypatch.setenv("MRCNN_CV_MODEL", "model_folder")
    monkeypatch.setenv("MRCNN_CV_BACKEND", "cpu")
    plug_in(monkeypatch, FakeCapture(picture=photo))
    fake = FakeLive([frame(index) for index in range(3)], seconds=0.3)
    monkeypatch.setattr("mrcnn_cv.inputs.video.stream.Stream", lambda address: fake)
    monkeypatch.setattr(window, "check_display", lambda: None)
    monkeypatch.setattr(live_window, "LiveWindow", Glance)
    # The port may be taken where the tests run.
    words = shlex.split(line.replace("8080", "0"))[1:]
    assert cli._run([*words, "--max-frames", "3"]) == 0
    # Who looks on, in a window or a browser, asks for a recording by name.
    records = "--save overlay" in line or not ("--show" in line or "--serve" in line or "--save none" in line)
    assert any(tmp_path.glob("mrcnn-out/*.mp4")) == records


def test_there_are_some() -> None:
    assert len(LINES) >= 8
