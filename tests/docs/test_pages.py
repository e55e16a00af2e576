"""What the documentation says works: every command and every Python example in it is run."""

from __future__ import annotations

import lzma
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from itertools import takewhile
from pathlib import Path

import cv2
import numpy as np
import pytest

from mrcnn_cv.engines.select import probe
from tests.cli.conftest import Run
from tests.conftest import ROOT
from tests.support.plugin_package import install_page, with_path
from tests.support.rows import sampled
from tests.support.videos import write_video

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[tuple[str, str]]:
    """(page, text) of the fenced code blocks in a language."""
    found = []
    for page in PAGES:
        for text in re.findall(
            rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        ):
            found.append((page.name, text))
    return found


def commands() -> list[tuple[str, str]]:
    """(page, line) of every command that calls the program."""
    lines = [(page, line.strip()) for page, text in blocks("sh") for line in text.splitlines()]
    return [(page, line) for page, line in lines if "mrcnn-cv" in line and "python3 -m venv" not in line]


@pytest.fixture
def desk(tmp_path: Path, tiny_graph: Path, photo_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the examples name."""
    shutil.copy(tiny_graph, tmp_path)
    packed = ROOT / "tests" / "data" / "matterport" / "plain.pb.xz"
    (tmp_path / "matterport.pb").write_bytes(lzma.decompress(packed.read_bytes()))
    packed = ROOT / "tests" / "data" / "torchvision" / "mask_rcnn.onnx.xz"
    (tmp_path / "torchvision.onnx").write_bytes(lzma.decompress(packed.read_bytes()))
    packed = ROOT / "tests" / "data" / "detectron2" / "r50.onnx.xz"
    (tmp_path / "detectron2.onnx").write_bytes(lzma.decompress(packed.read_bytes()))
    shutil.copy(packed.with_name("r50-coffee.yaml"), tmp_path / "detectron2.yaml")
    (tmp_path / "model_folder").mkdir()
    shutil.copy(tiny_graph, tmp_path / "model_folder")
    image = cv2.imread(str(photo_path))
    assert image is not None
    for name in ("photo.jpg", "another.png"):
        cv2.imwrite(str(tmp_path / name), image)
    for name in ("photos/1.jpg", "photos/street/2.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "photo.jpg", tmp_path / name)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        archive.write(tmp_path / "photo.jpg", "inside/photo.jpg")
    write_video(tmp_path / "clip.mp4", [np.asarray(image, np.uint8)] * 6, rate=12, sound="aac")
    shutil.copy(ROOT / "tests" / "data" / "evaluation" / "annotations.json", tmp_path)
    (tmp_path / "list.txt").write_text("photos/1.jpg\nphoto.jpg\n", encoding="utf-8")
    labels = "".join(f"item {{ id: {i} name: '{name}' }}\n" for i, name in enumerate(("circle", "star", "ring"), 1))
    (tmp_path / "labels.pbtxt").write_text(labels, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("page", "line"), sampled(commands(), 4, lambda row: row[0] == "README.md"))
def test_commands(page: str, line: str, desk: Path, run: Run) -> None:
    # What needs a graphics card ends, without one, with the documented exit code.
    expected = 4 if "--backend cuda" in line and probe("cuda").problem else 0
    words = shlex.split(line)
    environment = dict(word.split("=", 1) for word in takewhile(re.compile(r"[A-Z_]+=").match, words))
    rest = words[len(environment) :]
    assert rest[0] == "mrcnn-cv", line
    if page == "plugins.md":
        install_page(desk / "site")
        (desk / "a_pointer.txt").write_text("model at frozen_inference_graph.pb", encoding="utf-8")
        environment = {**environment, **with_path(desk / "site")}
    if "--model exported" in line:
        # What the command before it on that page has made.
        assert run("models", "export", "torchvision.onnx", "-o", "exported").returncode == 0
    # Where a line is not about backends, the one that compiles nothing.
    backend = {} if "backend" in line else {"MRCNN_CV_BACKEND": "cpu"}
    done = run(*rest[1:], env={"MRCNN_CV_HOME": str(desk / "home"), **backend, **environment})
    assert done.returncode == expected, f"{page}: {line}\n{done.stderr}"


@pytest.mark.parametrize(("page", "text"), [each for each in blocks("python") if each[0] == "README.md"])
def test_python_examples(page: str, text: str, desk: Path) -> None:
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, f"{page}\n{done.stderr}"
    assert (desk / "overlay.jpg").is_file()


@pytest.mark.parametrize("start", ["python3 -m venv .venv &&", "python3 -m venv .venv-main &&"])
def test_ci_runs_the_two_commands_of_the_readme_verbatim(start: str) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [line for line in readme.splitlines() if line.startswith(start)]
    assert len(lines) == 1
    assert lines[0] in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_places_in_the_code_are_there() -> None:
    for page in (*PAGES, ROOT / "CONTRIBUTING.md"):
        for place in re.findall(r"`((?:mrcnn_cv|tests|scripts)/[\w/.]+)`", page.read_text(encoding="utf-8")):
            assert (ROOT / place).exists(), f"{page.name} names {place}"


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
