"""No network is asked for anything, and nobody told anything, unless the user names an address or pulls a model."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.conftest import read_image

RUN = textwrap.dedent(
    """
    import sys

    EVENTS = ("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostby", "socket.send")

    def hook(event, arguments):
        if event.startswith(EVENTS):
            # Into a file, for forked processes as well.
            with open("seen.txt", "a") as file:
                print(event, arguments, file=file)
            raise OSError("no network here")

    sys.addaudithook(hook)
    from mrcnn_cv.cli import main

    for line in sys.argv[1:]:
        try:
            main(line.split())
        except SystemExit as end:
            print("exit code", end.code)
    """
)


def run(folder: Path, *lines: str) -> list[int]:
    """The exit codes of commands for which there is no network; `seen` tells what they tried to reach."""
    home = folder / "home"
    home.mkdir()
    variables = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", RUN, *lines],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**variables, "HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_DATA_HOME": str(home)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [int(line.rpartition(" ")[2]) for line in done.stdout.splitlines() if line.startswith("exit code ")]


def seen(folder: Path) -> str:
    path = folder / "seen.txt"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.fixture
def desk(tmp_path: Path, tiny_graph: Path, photo_path: Path) -> Path:
    shutil.copy(tiny_graph, tmp_path / "model.pb")
    shutil.copy(photo_path, tmp_path / "photo.png")
    return tmp_path


def test_the_usual_commands_ask_nobody(desk: Path, photo_path: Path) -> None:
    lines = [
        "photo.png --model model.pb --save overlay,json,coco -q",
        "inspect model.pb",
        "models list",
        "backends",
        "devices",
    ]
    if importlib.util.find_spec("av") is not None:
        from tests.support.videos import write_video

        write_video(desk / "clip.mp4", [read_image(photo_path)] * 2, rate=12)
        lines.append("clip.mp4 --model model.pb --track -q")
    assert run(desk, *lines) == [0] * len(lines)
    assert seen(desk) == ""


@pytest.mark.long
def test_who_asks_for_a_network_is_seen(desk: Path) -> None:
    """Otherwise the test above would show nothing."""
    assert run(desk, "http://127.0.0.1:1/photo.jpg --model model.pb") == [5]
    assert "127.0.0.1" in seen(desk)


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs openvino")
def test_openvino_tells_nobody_that_it_was_imported(desk: Path) -> None:
    """By itself it starts a process that does, and leaves a number for this user behind in his home."""
    assert run(desk, "photo.png --model model.pb --backend openvino -q") == [0]
    assert seen(desk) == ""
    assert not (desk / "home" / "intel").exists()
