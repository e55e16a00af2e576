"""Files that are not there any more, or no longer what they were, when their turn comes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.jobs import images as images_job
from mrcnn_cv.jobs.state.summary import RunStatistics
from mrcnn_cv.outputs.storage import protected_inputs
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory
from mrcnn_cv.pipeline import FrameResult, run
from mrcnn_cv.structures.frame import Frame, FrameError
from mrcnn_cv.structures.instances import Instances
from tests.cli.fork_server import environment
from tests.cli.test_batch import wait_for
from tests.robustness.faults.conftest import NAMES, Batch, check_outputs


def test_files_that_vanish_between_listing_and_reading(
    batch: Batch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def run_then(*arguments: Any, **options: Any) -> Any:
        (tmp_path / "in" / NAMES[1]).unlink()
        (tmp_path / "in" / NAMES[2]).unlink()
        (tmp_path / "in" / NAMES[2]).mkdir()
        (tmp_path / "in" / NAMES[3]).write_bytes(b"")
        return run(*arguments, **options)

    monkeypatch.setattr(images_job, "run", run_then)
    assert batch() == 5
    said = capfd.readouterr().err
    for words in ("1.png does not exist", "2.png is a folder", "3.png is empty"):
        assert words in said
    assert check_outputs(tmp_path / "out", complete=True) == set(NAMES) - set(NAMES[1:4])


def test_a_picture_that_failed_half_written_and_is_done_later_is_no_failure(tmp_path: Path) -> None:
    """--watch takes a file again when it has changed."""
    totals = RunStatistics()
    image = np.zeros((4, 4, 3), np.uint8)
    place = PurePosixPath("a/1.png")
    totals.failed(FrameError("in/a/1.png", 0, InputError("in/a/1.png is truncated"), output_path=place))
    totals.failed(FrameError("in/2.png", 1, InputError("in/2.png is truncated"), output_path=PurePosixPath("2.png")))
    none = np.zeros(0, np.float32)
    found = Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (4, 4))
    totals.done(FrameResult(Frame(image, "in/a/1.png", 2, output_path=place), found, 1.0))
    assert list(totals.failures) == ["2.png"]
    assert (totals.done_count, totals.failed_count) == (1, 2)


def test_an_output_is_not_taken_for_an_input_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File systems give the number of a file that is gone to the next one that is made."""
    numbers: dict[str, int] = {}
    monkeypatch.setattr(protected_inputs, "_identity", lambda path: (1, numbers[path.name]) if path.exists() else None)
    source, out = tmp_path / "in" / "a.png", tmp_path / "out" / "a.png"
    source.parent.mkdir()
    source.write_bytes(b"picture")
    numbers["a.png"] = 7
    outputs = OutputDirectory(tmp_path / "out")
    frame = Frame(np.zeros((4, 4, 3), np.uint8), "in/a.png", 0, path=source, output_path=PurePosixPath("a.png"))
    assert outputs.path_for(frame) == out
    outputs.write(out, b"first")
    # The input is replaced, and has another number; what was its own is now the output's.
    monkeypatch.setattr(
        protected_inputs, "_identity", lambda path: (1, 7 if path == out else 8) if path.exists() else None
    )
    assert outputs.path_for(frame) == out
    outputs.write(out, b"second")
    assert out.read_bytes() == b"second"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(path)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    yield path
    subprocess.run(["umount", str(path)], check=True)


@pytest.mark.long
def test_a_disk_that_becomes_read_only_ends_the_run_and_resume_ends_the_work(
    batch: Batch, program: str, tmp_path: Path, disk: Path, photo_path: Path, tiny_graph: Path
) -> None:
    for number in range(len(NAMES), 120):
        shutil.copy(photo_path, tmp_path / "in" / f"{number}.png")
    command = [program, "in", "-o", "disk/out", "--save", "overlay,json,coco,csv,jsonl", "-q"]
    env = environment({"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_BACKEND": "cpu"})
    process = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE)
    wait_for(disk / "out" / "run.jsonl", 10)
    # The manifest is open, which keeps the disk itself from becoming read-only.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(disk)], check=True)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 6, said
    assert b"the file system is read-only" in said
    assert b"Traceback" not in said
    subprocess.run(["umount", str(disk)], check=True)
    assert subprocess.run([*command, "--resume"], cwd=tmp_path, env=env, capture_output=True).returncode == 0
    assert len(check_outputs(disk / "out", complete=True)) == 120
