"""Cameras: what they give, and every way in which one is not there."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import cv2
import pytest

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.video import camera, devices
from mrcnn_cv.inputs.video.camera import Camera, is_camera
from mrcnn_cv.structures.frame import Frame, FrameError
from tests.inputs.video.fake_camera import FakeCapture, plug_in
from tests.inputs.video.live_contract import check_live_source

linux_only = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="device files are Linux's")


def test_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, lambda _: FakeCapture())
    check_live_source(lambda: Camera("0"))


def test_pictures_come_in_order_and_a_camera_that_is_pulled_out_says_so_last(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, FakeCapture(count=3))
    *frames, last = list(Camera("0"))
    assert [int(frame.image[0, 0, 0]) for frame in frames if isinstance(frame, Frame)] == [1, 2, 3]
    assert isinstance(last, FrameError)
    assert "check that it is plugged in" in str(last.error)


def test_size_and_rate_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = FakeCapture(takes=(cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FPS))
    plug_in(monkeypatch, capture)
    source = Camera("0", size=(1280, 720), rate=15)
    assert (source.info.width, source.info.height, source.info.frame_rate) == (1280, 720, 15)
    assert source.warnings == []


def test_a_camera_that_keeps_its_size_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    plug_in(monkeypatch, FakeCapture())
    source = Camera("0", size=(1280, 720))
    assert (source.info.width, source.info.height) == (64, 48)
    assert source.warnings == ["camera 0 gives 64x48, since it cannot 1280x720"]


def test_a_grey_camera_gives_three_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    capture = FakeCapture()
    read = capture.read
    monkeypatch.setattr(capture, "read", lambda: (True, read()[1][:, :, 0]))  # type: ignore[index]
    plug_in(monkeypatch, capture)
    assert Camera("0").info.width == 64


@pytest.mark.parametrize(
    ("capture", "says"),
    [(FakeCapture(is_open=False), "cannot be opened: another program"), (FakeCapture(count=0), "gives no image")],
)
def test_busy_or_mute(monkeypatch: pytest.MonkeyPatch, capture: FakeCapture, says: str) -> None:
    plug_in(monkeypatch, capture)
    with pytest.raises(InputError, match=says) as caught:
        Camera("0", first_image_seconds=0)
    assert "mrcnn-cv devices" in str(caught.value)
    assert capture.released


@linux_only
def test_no_such_camera() -> None:
    with pytest.raises(InputError, match=r"there is no camera 99 \(/dev/video99 does not exist\)"):
        Camera("99")


@linux_only
def test_a_file_is_no_camera(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    with pytest.raises(InputError, match="no camera device"):
        Camera(str(path))


@linux_only
def test_no_permission(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match="usermod -aG video"):
        Camera("/dev/null")


@linux_only
def test_something_else_is_no_camera() -> None:
    # OpenCV looks into the device and finds that it takes no images.
    with pytest.raises(InputError, match="camera /dev/null cannot be opened"):
        Camera("/dev/null")


@pytest.mark.parametrize(("source", "is_one"), [("0", True), ("/dev/video2", True), ("rtsp://0/", False)])
def test_what_is_a_camera(source: str, is_one: bool) -> None:
    assert is_camera(source) is is_one


def test_devices_of_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera with a second node that takes no images, one that may not be opened, one that is gone."""
    for number, name in ((0, "Front camera"), (1, "Front camera"), (10, "Grabber\x1b[31m"), (2, "Gone")):
        folder = tmp_path / "sys" / f"video{number}"
        folder.mkdir(parents=True)
        (folder / "name").write_text(f"{name}\n", encoding="utf-8")
    answers = {
        "video0": (True, None),
        "video1": (False, None),
        "video10": (False, "no permission: join the group video"),
        "video2": (False, "its device file is not here (a container without it?)"),
    }
    monkeypatch.setattr(devices, "_look", lambda node: answers[node.name])
    found = devices._of_kernel(tmp_path / "sys", tmp_path / "dev")
    assert [(each.source, each.name) for each in found] == [
        ("0", "Front camera"),
        ("2", "Gone"),
        ("10", "Grabber\x1b[31m"),
    ]
    assert found[0].path == str(tmp_path / "dev" / "video0")
    assert [each.problem is None for each in found] == [True, False, False]


@linux_only
def test_devices_that_cannot_be_looked_into(tmp_path: Path) -> None:
    assert devices._look(tmp_path / "video0") == (False, "its device file is not here (a container without it?)")
    # No camera at all.
    assert devices._look(Path("/dev/null")) == (False, None)


def test_devices_by_trying(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def open_capture(source: str) -> FakeCapture:
        tried.append(source)
        return FakeCapture(is_open=source in ("0", "2"))

    monkeypatch.setattr(camera, "open_capture", open_capture)
    assert [each.source for each in devices._by_trying()] == ["0", "2"]
    assert tried[-1] == "4"
