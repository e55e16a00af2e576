"""An image whose decoder crashes the process: --resume leaves it out and goes on behind it."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.image_ref import ImageRef, failed_ref
from mrcnn_cv.jobs.state import decode_probe as trial
from mrcnn_cv.jobs.state.batch_state import RunState
from mrcnn_cv.jobs.state.manifest import NAME
from mrcnn_cv.outputs.storage.output_dir import OutputDirectory

# A decoder as it might be: it ends the process at one image, and hangs at another.
CHILD = """
import os, sys, time
while size := sys.stdin.buffer.read(8):
    data = sys.stdin.buffer.read(int.from_bytes(size, "little"))
    if data == b"crash":
        os._exit(139)
    if data == b"hang":
        time.sleep(600)
    os.write(1, b".")
"""


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child is CHILD; an image has a second."""
    start = trial.subprocess.Popen  # type: ignore[attr-defined]
    monkeypatch.setattr(
        "mrcnn_cv.jobs.state.decode_probe.subprocess.Popen",
        lambda command, **pipes: start([sys.executable, "-c", CHILD], **pipes),
    )
    monkeypatch.setattr(trial, "SECONDS", 1.0)


def item(data: bytes, name: str) -> ImageRef:
    return ImageRef(name, PurePosixPath(name), None, lambda: data)


def outcome(tested: ImageRef) -> str:
    try:
        return tested.read().decode()
    except InputError as error:
        return str(error)


@pytest.mark.usefixtures("fragile")
def test_what_ends_the_process_fails_and_the_others_are_as_they_were() -> None:
    missing = failed_ref("gone.jpg", PurePosixPath("gone.jpg"), InputError("gone.jpg does not exist"))
    items = [item(b"a", "a"), item(b"crash", "b"), missing, item(b"c", "c"), item(b"hang", "d"), item(b"e", "e")]
    outcomes = [outcome(each) for each in trial.probe_decoding(items)]
    assert [outcomes[0], outcomes[2], outcomes[3], outcomes[5]] == ["a", "gone.jpg does not exist", "c", "e"]
    for name, said in (("b", outcomes[1]), ("d", outcomes[4])):
        assert said.startswith(f"{name} ends the process that decodes it: ")


def test_the_real_process_takes_good_and_bad_pictures() -> None:
    picture = cv2.imencode(".png", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    items = [item(picture, "good.png"), item(picture[:20], "bad.png"), item(b"", "empty.png")]
    tested = trial.probe_decoding(items)
    assert [each.read() for each in tested] == [picture, picture[:20], b""]


def written(folder: Path, *entries: dict[str, object]) -> RunState:
    lines: list[dict[str, object]] = [{"kind": "run", "version": 1}, *entries]
    (folder / NAME).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return RunState(OutputDirectory(folder), resume=True)


DONE: dict[str, object] = {"kind": "picture", "place": "a", "name": "a", "status": "done", "files": []}
FAILED: dict[str, object] = {"kind": "picture", "place": "b", "name": "b", "status": "failed"}
ITEMS = [item(b"crash", "a"), item(b"crash", "b"), item(b"c", "c")]


@pytest.mark.usefixtures("fragile")
def test_a_run_that_was_killed_goes_on_behind_the_picture_that_killed_it(tmp_path: Path) -> None:
    left = written(tmp_path, DONE).to_do(ITEMS)
    assert [each.name for each in left] == ["b", "c"]
    assert trial.ENDED in outcome(left[0])
    assert outcome(left[1]) == "c"


@pytest.mark.usefixtures("fragile")
def test_a_picture_that_is_known_to_kill_is_not_trusted_later(tmp_path: Path) -> None:
    end = {"kind": "end", "exit_code": 5}
    left = written(tmp_path, DONE, {**FAILED, "reason": f"b {trial.ENDED}: it is damaged"}, end).to_do(ITEMS)
    assert trial.ENDED in outcome(left[0])


def test_after_an_orderly_end_nothing_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mrcnn_cv.jobs.state.batch_state.probe_decoding", lambda items: pytest.fail("it was tried"))
    end = {"kind": "end", "exit_code": 130}
    left = written(tmp_path, DONE, {**FAILED, "reason": "b is empty"}, end).to_do(ITEMS)
    assert [outcome(each) for each in left] == ["crash", "c"]
