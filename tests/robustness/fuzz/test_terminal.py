"""No command puts a stranger's escape sequences on a terminal: names of files, labels, models, categories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.cli.fork_server import environment

pytestmark = [
    pytest.mark.fuzz,
    pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo terminal"),
]

RED = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e\x7f"


def on_a_terminal(*arguments: str | Path, folder: Path, stdin: bytes = b"", **variables: str) -> tuple[int, str]:
    """(exit code, all that came) of a command whose standard output and error are a terminal."""
    import pty

    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "mrcnn_cv", *(os.fspath(each) for each in arguments)]
    with subprocess.Popen(
        command, cwd=folder, env=environment(variables), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        said = b""
        while True:
            try:
                data = os.read(ours, 1 << 16)
            except OSError:
                # Linux says so at the end.
                break
            if not data:
                break
            said += data
    os.close(ours)
    return process.returncode, said.decode("utf-8", "replace")


@pytest.fixture
def place(tmp_path: Path, tiny_graph: Path) -> Path:
    """A folder of images, good and bad, and a model with its labels, all of them with odd names."""
    folder = tmp_path / f"pictures {RED}"
    folder.mkdir()
    image = np.random.default_rng(1).integers(0, 256, (60, 90, 3), np.uint8)
    good = cv2.imencode(".png", image)[1].tobytes()
    for name, data in (("good", good), ("bad", good[:50]), ("empty", b"")):
        (folder / f"{name} {RED}.png").write_bytes(data)
    (folder / f"{RED}.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    shutil.copy(tiny_graph, tmp_path / f"model {RED}.pb")
    lines = [{"id": number, "name": f"{name} {RED}"} for number, name in enumerate("abc", start=1)]
    (tmp_path / f"labels {RED}.json").write_text(json.dumps([{"id": 1, "name": "a"}, *lines[1:]]))
    images = [{"id": 1, "file_name": f"good {RED}.png", "width": 90, "height": 60}]
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 9, 9], "area": 81, "iscrowd": 0}
    # One name agrees, so that the others are told as left out.
    categories = [{"id": 1, "name": "a"}, *lines[1:]]
    truth = {
        "images": images,
        "categories": categories,
        "annotations": [annotation, {**annotation, "category_id": 2, "id": 2}],
    }
    (tmp_path / f"truth {RED}.json").write_text(json.dumps(truth))
    (tmp_path / f"list {RED}.txt").write_text(f"{folder}/good {RED}.png\nnowhere {RED}.png\n")
    (tmp_path / f"options {RED}.toml").write_text("scoer = 1\n")
    (tmp_path / "home").mkdir()
    entry = {"path": str(tmp_path / f"model {RED}.pb"), "family": RED, "defaults": {"score": RED}}
    (tmp_path / "home" / "models.json").write_text(json.dumps({"version": 1, "models": {"cups": entry}}))
    return tmp_path


MODEL, LABELS = f"model {RED}.pb", f"labels {RED}.json"
PICTURES, TRUTH = f"pictures {RED}", f"truth {RED}.json"
GIVEN = ("--model", MODEL, "--labels", LABELS)

COMMANDS = {
    "predict": (PICTURES, *GIVEN, "--score", "0"),
    "verbose": (PICTURES, *GIVEN, "--score", "0", "-v"),
    "one picture": (f"{PICTURES}/good {RED}.png", *GIVEN, "--score", "0"),
    "records": (PICTURES, *GIVEN, "--score", "0", "--json", "-"),
    "progress": (PICTURES, *GIVEN, "--progress", "json"),
    "list": ("--list", f"list {RED}.txt", *GIVEN),
    "archive": (f"{PICTURES}/{RED}.zip", *GIVEN),
    "model that is not there": (PICTURES, "--model", f"no{RED}.pb"),
    "option that is not there": (PICTURES, f"--no{RED}"),
    "options": (PICTURES, "--config", f"options {RED}.toml"),
    "inspect": ("inspect", MODEL, "--labels", LABELS),
    "inspect as JSON": ("inspect", MODEL, "--labels", LABELS, "--json"),
    "inspect a picture": ("inspect", f"{PICTURES}/good {RED}.png"),
    "eval": ("eval", TRUTH, PICTURES, *GIVEN),
    "eval as JSON": ("eval", TRUTH, PICTURES, *GIVEN, "--json", "-"),
    "compare": ("compare", MODEL, MODEL, PICTURES, "--labels", LABELS),
    "bench": ("bench", f"{PICTURES}/good {RED}.png", "--model", MODEL, "--rounds", "1"),
    "models": ("models", "list"),
    "models info": ("models", "info", "cups"),
    "models path": ("models", "path", "cups"),
    "backends": ("backends",),
}

EXPECTED = {
    **dict.fromkeys(("predict", "verbose", "records", "progress", "list", "archive", "compare"), 5),
    "model that is not there": 3,
    "option that is not there": 2,
    "options": 2,
    "inspect a picture": 3,
}
"""Exit codes other than 0."""


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_but_plain_lines(place: Path, command: str) -> None:
    code, said = on_a_terminal(*COMMANDS[command], folder=place, MRCNN_CV_HOME=str(place / "home"))
    assert said
    assert "Traceback" not in said
    assert "internal error" not in said
    assert all(character.isprintable() or character in "\r\n" for character in said), ascii(said)
    assert code == EXPECTED.get(command, 0)


def test_resuming_another_run(place: Path) -> None:
    for options in (("--score", "0"), ("--score", "0.5", "--resume"), ("--resume", "--score", "0")):
        _, said = on_a_terminal(PICTURES, *GIVEN, *options, folder=place)
        assert all(character.isprintable() or character in "\r\n" for character in said), ascii(said)
