"""Long batch runs: killed again and again, thousands of images, a disk that fills up. Run with `pytest -m long`."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from tests.cli.fork_server import environment
from tests.cli.test_batch import done_places, files_in, manifest

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

KILLS = 25
IMAGES = 5000


def begin(program: str, folder: Path, graph: Path, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [program, *arguments, "-q"],
        cwd=folder,
        env=environment({"MRCNN_CV_MODEL": str(graph)}),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def test_killed_over_and_over(program: str, tmp_path: Path, photo_path: Path, tiny_graph: Path) -> None:
    """At every moment all files are whole; at the end each image is in each of them once."""
    for number in range(240):
        path = tmp_path / "in" / f"{number % 4}" / f"img{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo_path, path)
    (tmp_path / "in" / "bad.jpg").write_bytes(b"no image")
    out, moments = tmp_path / "out", random.Random(11)
    arguments = ("in", "-o", "out", "--save", "overlay,json,coco,csv,jsonl", "--resume", "--workers", "2")
    for _ in range(KILLS):
        process = begin(program, tmp_path, tiny_graph, *arguments)
        time.sleep(moments.uniform(0.2, 1.8))
        process.kill()
        process.communicate()
        for path in out.rglob("*.json") if out.exists() else ():
            json.loads(path.read_bytes())
    process = begin(program, tmp_path, tiny_graph, *arguments)
    process.communicate()
    assert process.returncode == 5
    assert len(set(done_places(out))) == 240
    data = json.loads((out / "annotations.json").read_bytes())
    names = [image["file_name"] for image in data["images"]]
    assert len(names) == len(set(names)) == 240
    assert len({annotation["id"] for annotation in data["annotations"]}) == len(data["annotations"])
    single = json.loads((out / "0" / "img0.png.json").read_bytes())
    assert len(data["annotations"]) == 240 * len(single["instances"])
    COCO(str(out / "annotations.json"))
    assert len((out / "records.jsonl").read_bytes().splitlines()) == 240
    assert len((out / "failures.csv").read_text("utf-8-sig").splitlines()) == 2
    assert len([name for name in files_in(out) if name.endswith(".png")]) == 240


def memory(process: subprocess.Popen[bytes]) -> int:
    """Resident bytes of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_memory_stays_flat(program: str, tmp_path: Path, tiny_graph: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    (tmp_path / "in").mkdir()
    cv2.imwrite(str(tmp_path / "in" / "0.png"), image)
    for number in range(1, IMAGES):
        os.link(tmp_path / "in" / "0.png", tmp_path / "in" / f"{number}.png")
    arguments = ("in", "-o", "out", "--save", "overlay,coco,csv", "--workers", "2")
    process = begin(program, tmp_path, tiny_graph, *arguments)
    early = last = 0
    while process.poll() is None:
        time.sleep(0.05)
        path = tmp_path / "out" / "run.jsonl"
        count = len(path.read_bytes().splitlines()) if path.exists() else 0
        if count > 200 and not early:
            early = memory(process)
        if count > 200:
            last = max(last, memory(process)) if count > IMAGES - 300 else last
    assert process.returncode == 0
    assert len(manifest(tmp_path / "out")) == IMAGES + 2
    assert early
    assert last
    assert last < 1.1 * early, f"{early >> 20} MiB after 200 images, {last >> 20} MiB after {IMAGES}"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount: list[Any] = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_ends_the_run_and_resume_ends_the_work(
    program: str, tmp_path: Path, small_disk: Path, photo_path: Path, tiny_graph: Path
) -> None:
    (tmp_path / "in").mkdir()
    for number in range(60):
        shutil.copy(photo_path, tmp_path / "in" / f"{number}.png")
    arguments = ("in", "-o", "disk/out", "--save", "overlay,coco", "--resume")
    process = begin(program, tmp_path, tiny_graph, *arguments)
    _, stderr = process.communicate()
    assert process.returncode == 6
    assert b"the disk is full" in stderr
    assert b"Traceback" not in stderr
    json.loads((small_disk / "out" / "annotations.json").read_bytes())
    done = done_places(small_disk / "out")
    assert 0 < len(done) < 60
    subprocess.run(["mount", "-o", "remount,size=40m", small_disk], check=True)
    process = begin(program, tmp_path, tiny_graph, *arguments)
    process.communicate()
    assert process.returncode == 0
    data = json.loads((small_disk / "out" / "annotations.json").read_bytes())
    assert len(data["images"]) == 60
    assert set(done) <= set(done_places(small_disk / "out"))
