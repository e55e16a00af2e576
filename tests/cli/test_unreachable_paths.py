"""Paths that cannot be looked at: folders that may not be entered, names that are too long, links to themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Run, refusal
from tests.cli.fork_server import environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="rights and links are others there")

LONG = "x" * 300

ANNOTATIONS = {
    "images": [{"id": 1, "file_name": "a.png", "height": 1, "width": 1}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 1, 1], "iscrowd": 0, "area": 1}],
    "categories": [{"id": 1, "name": "cup"}],
}


def fill(folder: Path, photo_path: Path) -> Path:
    for name in ("photo.png", "in/a.png", "in/b/c.png", "in/closed/x.png", "in/listable/x.png", "in/listable/y/z.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo_path, folder / name)
    (folder / "loop").symlink_to("loop")
    (folder / "annotations.json").write_text(json.dumps(ANNOTATIONS))
    return folder


@pytest.fixture
def files(tmp_path: Path, photo_path: Path) -> Path:
    return fill(tmp_path, photo_path)


SCRIPT = """
import contextlib, io, json, sys
from mrcnn_cv.cli import main

for arguments in json.load(sys.stdin):
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            main(arguments)
    except SystemExit as end:
        print(json.dumps([end.code, said.getvalue()]), flush=True)
"""
"""Many commands in one process."""


def answers(
    files: Path, tiny_graph: Path, commands: Sequence[Sequence[str]], wrapper: Sequence[str] = ()
) -> list[tuple[int, str]]:
    """(exit code, stderr) of each command."""
    shutil.copy(tiny_graph, files / "model.pb")
    (files / "model.pb").chmod(0o644)
    env = {"MRCNN_CV_BACKEND": "cpu", "MRCNN_CV_MODEL": "model.pb", "MRCNN_CV_HOME": str(files / "home")}
    answer = subprocess.run(
        [*wrapper, sys.executable, "-c", SCRIPT],
        input=json.dumps(commands),
        cwd=files,
        env=environment(env),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if wrapper and not answer.stdout:
        pytest.skip("others may not read this installation")
    lines = answer.stdout.splitlines()
    assert len(lines) == len(commands), answer.stderr
    return [(code, said) for code, said in map(json.loads, lines)]


def test_images_of_annotations_that_nobody_can_look_at(find: Run, files: Path) -> None:
    assert f"{LONG} is not a folder that can be read" in refusal(find("eval", "annotations.json", LONG), 5)


def test_folders_that_are_nested_too_deep(find: Run, files: Path) -> None:
    """Their paths are longer than the system takes."""
    here = os.open(files / "in", os.O_RDONLY)
    try:
        for _ in range(200):
            os.mkdir("d" * 30, dir_fd=here)
            inner = os.open("d" * 30, os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = inner
    finally:
        os.close(here)
    for source in ("in", "in/**"):
        result = find(source, "-o", "out", "--overwrite")
        assert result.returncode == 5
        assert "so what is in it is left out: File name too long" in result.stderr
        assert "5 done, 1 failed" in result.stderr


@pytest.fixture
def stranger() -> Sequence[str]:
    """Puts a command into the hands of somebody for whom rights count."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root may enter any folder")
    return [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups"]


@pytest.fixture
def closed(photo_path: Path, stranger: Sequence[str]) -> Iterator[Path]:
    """The files, in a folder that others may enter; pytest's own is for its owner alone."""
    with tempfile.TemporaryDirectory() as name:
        folder = fill(Path(name), photo_path)
        if stranger:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, 65534, 65534, follow_symlinks=False)
        modes = {folder / "in" / "closed": 0o000, folder / "in" / "listable": 0o444}
        for path, mode in modes.items():
            path.chmod(mode)
        try:
            yield folder
        finally:
            for path in modes:
                path.chmod(0o700)


def test_folders_that_may_not_be_entered_hide_nothing_else(
    closed: Path, tiny_graph: Path, stranger: Sequence[str]
) -> None:
    sources = (["in"], ["in/**"], ["in/listable", "in/closed/x.png", "in/a.png"])
    commands = [[*source, "-o", f"out{index}", "-q"] for index, source in enumerate(sources)]
    for code, said in answers(closed, tiny_graph, commands, stranger):
        assert code == 5, said
        assert "internal" not in said
        assert said.lower().count("permission denied") >= 2
    for name in ("out0/a.png", "out0/b/c.png", "out1/a.png", "out1/b/c.png", "out2/a.png"):
        assert (closed / name).is_file(), name
