"""Manifests and checkpoints that somebody else wrote: --resume believes nothing that cannot be."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from mrcnn_cv.jobs.state.manifest import NAME, Manifest
from mrcnn_cv.jobs.state.video_checkpoints import VideoCheckpoints

PICTURE = {"kind": "picture", "place": "a.jpg", "name": "a.jpg", "status": "done", "instances": {"cup": 1}}
CHECKPOINT: dict[str, Any] = {
    "kind": "stretch",
    "place": "a.mp4",
    "last": {"index": 4, "time": 0.2, "taken": 5},
    "instances": {},
    "damaged": 0,
    "failed": 0,
    "last_id": 0,
    "origin": 0.0,
    "part": {"name": "0.mp4", "size": 9, "start": 0},
}


@pytest.mark.parametrize(
    "files", [[["../b.json", 2]], [["b.json", float("inf")]], [["b\0.json", 2]], [["", 2]], "ab", [[1]], 7]
)
def test_a_picture_whose_outputs_cannot_be_is_not_done(tmp_path: Path, files: Any) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (tmp_path / "b.json").write_bytes(b"{}")
    (folder / NAME).write_text(json.dumps({**PICTURE, "files": files}) + "\n")
    previous = Manifest(folder).previous()
    assert previous is not None
    assert not previous.is_done(PurePosixPath("a.jpg"), folder)


@pytest.mark.parametrize("left", [b"", b'{"ki', b'{"kind": "run", "version": 1, "star'])
def test_a_run_that_was_killed_at_its_first_line_is_none(tmp_path: Path, left: bytes) -> None:
    (tmp_path / NAME).write_bytes(left)
    assert Manifest(tmp_path).previous() is None


@pytest.mark.parametrize("left", [b"\n", b"my own", b'{"kind": "mine"}\n', b'{"kind": "run", "vers\n'])
def test_another_file_of_the_name_is_no_run_that_was_killed(tmp_path: Path, left: bytes) -> None:
    (tmp_path / NAME).write_bytes(left)
    assert Manifest(tmp_path).previous() is not None


@pytest.mark.parametrize(
    "change",
    [
        *({"part": {"name": name, "size": 9, "start": 0}} for name in ("../0.mp4", "/0.mp4", "a/0.mp4", "0\0.mp4", "")),
        *({"part": {"name": "0.mp4", "size": 9, "start": start}} for start in (10**400, float("inf"), "x")),
        *({"last": {"index": index, "time": 0.2, "taken": 5}} for index in (-1, 1 << 40, float("nan"), None)),
        *({"last": {"index": 4, "time": time, "taken": 5}} for time in (float("nan"), float("inf"), 10**400, "x")),
        *(
            {"origin": float("nan")},
            {"last_id": 1 << 31},
            {"damaged": -1},
            {"instances": {"cup": -1}},
            {"instances": []},
        ),
    ],
)
def test_a_checkpoint_that_cannot_be_is_not_done(tmp_path: Path, change: dict[str, Any]) -> None:
    lines = [{"kind": "video", "place": "a.mp4", "kept": 0}, CHECKPOINT, {**CHECKPOINT, **change}]
    (tmp_path / ".mrcnn-cv-videos.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    previous = VideoCheckpoints(tmp_path, "a.mp4").previous()
    assert previous is not None
    assert len(previous.checkpoints) == 1
