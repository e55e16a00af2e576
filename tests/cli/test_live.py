"""Cameras and streams on the command line: what is written, how it ends, and every way in which there is none."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import pytest

from mrcnn_cv import cli
from mrcnn_cv.errors import InputError, OutputError
from mrcnn_cv.inference.predictor import MaskRCNN
from mrcnn_cv.inputs.video import reconnect
from mrcnn_cv.inputs.video.stream import Stream
from mrcnn_cv.jobs.stream import outputs as stream_outputs
from mrcnn_cv.jobs.stream.outputs import base_name
from mrcnn_cv.outputs.video import writer as video
from mrcnn_cv.outputs.viewers import live_window, window
from tests.cli.conftest import Run, Start, names_in, refusal
from tests.cli.fork_server import IS_POSSIBLE
from tests.inputs.video.fake_camera import FakeCapture, plug_in
from tests.inputs.video.mjpeg import MjpegServer
from tests.support.parity import Image
from tests.support.rows import sampled

Live = Callable[..., int]


@pytest.fixture
def live(tmp_path: Path, tiny_graph: Path, labels_path: Path, monkeypatch: pytest.MonkeyPatch) -> Live:
    """Run the program in this process, with the tiny model, in the test's folder; its exit code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MRCNN_CV_MODEL", str(tiny_graph))
    monkeypatch.setenv("MRCNN_CV_BACKEND", "cpu")
    monkeypatch.setenv("MRCNN_CV_LABELS", str(labels_path))
    monkeypatch.setattr(reconnect, "back_off", lambda failures: 0.0)
    return lambda *arguments: cli._run([str(argument) for argument in arguments])


@pytest.fixture
def capture(photo: Image, monkeypatch: pytest.MonkeyPatch) -> FakeCapture:
    """A camera that sees the photo, for ever."""
    capture = FakeCapture(picture=photo)
    plug_in(monkeypatch, capture)
    return capture


def frames_in(path: Path) -> int:
    """How many frames another library finds in a video."""
    video = cv2.VideoCapture(str(path))
    count = 0
    while video.read()[0]:
        count += 1
    return count


def _has_lines(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


def recording(folder: Path) -> Path:
    """The one video in a folder."""
    (path,) = folder.glob("*.mp4")
    return path


def test_a_camera_is_recorded(live: Live, capture: FakeCapture, tmp_path: Path) -> None:
    assert live("0", "--max-frames", 6, "--stats") == 0
    path = recording(tmp_path / "mrcnn-out")
    assert path.name.startswith("camera0-20")
    assert frames_in(path) == 6
    assert names_in(tmp_path / "mrcnn-out") == {path.name}
    assert capture.released


def test_recordings_that_begin_in_the_same_second(
    live: Live, capture: FakeCapture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    same_second = "camera0-2026-11-23-112005"
    monkeypatch.setattr(stream_outputs, "base_name", lambda source, now: same_second)
    codes: list[int] = []
    calls: list[object] = []
    own = MaskRCNN.predict

    def predict(self: MaskRCNN, *arguments: object, **options: object) -> object:
        calls.append(self)
        if len(calls) == 3:
            codes.append(live("0", "--max-frames", 4, "--no-drop", "--save", "overlay,json"))
        return own(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(MaskRCNN, "predict", predict)
    assert live("0", "--max-frames", 6, "--no-drop", "--workers", 1) == 0
    assert codes == [0]
    # And one more where both are there.
    assert live("0", "--max-frames", 2, "--no-drop", "--save", "json") == 0
    out = tmp_path / "mrcnn-out"
    assert names_in(out) == {f"{same_second}{end}" for end in (".mp4", "-2.mp4", "-2", "-3")}
    assert [len(names_in(out / f"{same_second}-{number}")) for number in (2, 3)] == [4, 2]
    assert (frames_in(out / f"{same_second}.mp4"), frames_in(out / f"{same_second}-2.mp4")) == (6, 4)


def records_in(path: Path) -> list[dict[str, Any]]:
    """JSON records, one a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_records_to_a_pipe(find: Run, tmp_path: Path) -> None:
    with MjpegServer([(1000, "close")], size=(240, 160)) as server:
        done = find(server.url(), "--max-frames", "4", "--save", "none", "--json", "-", "-q")
        name = server.url()
    assert (done.returncode, done.stderr) == (0, "")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["source"] for record in records] == [name] * 4
    indexes = [record["frame"] for record in records]
    assert indexes == sorted(set(indexes))
    assert not (tmp_path / "mrcnn-out").exists()


def test_every_frame_on_request(live: Live, capture: FakeCapture, tmp_path: Path) -> None:
    assert live("0", "--max-frames", 9, "--no-drop", "--save", "none", "--json", "all.jsonl", "--score", "0.1") == 0
    records = records_in(tmp_path / "all.jsonl")
    assert [record["frame"] for record in records] == list(range(9))
    assert all(record["instances"] for record in records)


def test_other_formats_have_a_file_for_each_frame(live: Live, capture: FakeCapture, tmp_path: Path) -> None:
    assert live("0", "--max-frames", 3, "--no-drop", "--save", "json,frames,csv", "-o", "out") == 0
    (folder,) = [path for path in (tmp_path / "out").iterdir() if path.is_dir()]
    assert folder.name.startswith("camera0-20")
    assert {"000000.jpg", "000001.jpg", "000002.jpg"} <= names_in(folder)
    assert sum(path.suffix == ".json" for path in folder.iterdir()) == 3
    assert "instances.csv" in names_in(tmp_path / "out")


def test_following(live: Live, capture: FakeCapture, tmp_path: Path) -> None:
    assert live("0", "--max-frames", 8, "--track", "--save", "none", "--json", "all.jsonl", "--score", "0.3") == 0
    ids = [{found["track_id"] for found in record["instances"]} for record in records_in(tmp_path / "all.jsonl")]
    # The image never changes.
    assert ids[-1]
    assert ids[-1] == ids[-2]


def test_a_camera_that_is_pulled_out(
    live: Live, capture: FakeCapture, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    capture.left = 5
    assert live("0", "--no-drop", "--reconnect", 0) == 5
    assert frames_in(recording(tmp_path / "mrcnn-out")) == 5
    err = capfd.readouterr().err
    assert "mrcnn-cv: error: camera 0 gives no images any more: check that it is plugged in" in err
    assert "results in mrcnn-out" in err


def test_a_stream_that_stalls_drops_and_comes_back(
    live: Live, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mrcnn_cv.inputs.video.stream.Stream", lambda address: Stream(address, 0.5))
    with MjpegServer([(6, "stall"), (6, "close"), (6, "close")]) as server:
        assert live(server.url(), "--no-drop", "--reconnect", 2) == 5
        name = server.url()
    err = capfd.readouterr().err
    assert f"{name} has sent nothing for" in err
    assert err.count(f"{name} is back") == 2
    assert "did not come back in 2 tries (cannot be opened, the server answers 5XX Server Error reply)" in err
    # FFmpeg keeps back the last image before a stall, since it does not know that it is whole.
    assert 16 <= frames_in(recording(tmp_path / "mrcnn-out")) <= 18


def test_watching_does_not_record(live: Live, capture: FakeCapture, tmp_path: Path) -> None:
    assert live("0", "--max-frames", 3, "--serve", "0") == 0
    assert not (tmp_path / "mrcnn-out").exists()
    assert live("0", "--max-frames", 3, "--serve", "0", "--save", "overlay") == 0
    assert frames_in(recording(tmp_path / "mrcnn-out")) == 3


def test_the_page_of_a_run(live: Live, capture: FakeCapture, capfd: pytest.CaptureFixture[str]) -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(live("0", "--serve", 0, "--reconnect", 0, "--score", "0.1")))
    thread.start()
    address = ""
    seen = ""
    pause = threading.Event()
    while not address and thread.is_alive():
        seen += capfd.readouterr().err
        address = next((word for word in seen.split() if word.startswith("http://127.0.0.1:")), "")
        pause.wait(0.02)
    numbers: dict[str, Any] = {"frames": 0}
    while numbers["frames"] < 3 and thread.is_alive():
        with urlopen(f"{address}numbers.json", timeout=20) as answer:
            numbers = json.load(answer)
    capture.left = 0
    thread.join(30)
    assert codes == [5]
    assert numbers["state"] == "live"
    assert (numbers["width"], numbers["height"]) == (240, 160)
    assert numbers["instances"] == sum(numbers["counts"].values())
    assert numbers["delay_ms"] > 0
    assert numbers["device"].startswith(("cpu", "openvino", "onnxruntime"))


class Fingers:
    """In place of the live window: presses +, -, s and q, once there is an image."""

    said: list[str]

    def __init__(self, view: Any, save: Callable[[Any], str], threshold: Callable[[int], str]) -> None:
        self._view, self._save, self._threshold = view, save, threshold
        Fingers.said = []

    def __enter__(self) -> Fingers:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def pump(self) -> bool:
        shot = self._view.latest
        if shot is None:
            return True
        Fingers.said = [self._threshold(1), self._threshold(1), self._threshold(-1), self._save(shot)]
        Fingers.said += [self._threshold(-1) for _ in range(20)][-1:]
        return False


def test_keys_of_the_window(live: Live, capture: FakeCapture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_window, "LiveWindow", Fingers)
    monkeypatch.setattr(window, "check_display", lambda: None)
    assert live("0", "--show") == 0
    (picture,) = (tmp_path / "mrcnn-out").glob("camera0-*.jpg")
    assert Fingers.said[:3] == ["score above 0.55", "score above 0.60", "score above 0.55"]
    assert Fingers.said[3] == f"saved {picture.relative_to(tmp_path)}"
    # Down to where everything is found, and no further.
    assert Fingers.said[4] == "score above 0.05"
    image = cv2.imread(str(picture))
    assert image is not None
    assert image.shape == (160, 240, 3)


def test_without_pyav_a_camera_can_be_watched_but_not_recorded(
    live: Live, capture: FakeCapture, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    assert live("0", "--max-frames", 2, "--save", "none", "--json", "all.jsonl") == 0
    assert len(records_in(tmp_path / "all.jsonl")) == 2
    capfd.readouterr()
    assert live("0", "--max-frames", 2) == 5
    assert "pip install 'mrcnn-cv[video]'" in capfd.readouterr().err
    assert live("rtsp://127.0.0.1:1/door", "--save", "none") == 5
    assert "pip install 'mrcnn-cv[video]'" in capfd.readouterr().err


def test_a_full_disk_leaves_the_parts(
    live: Live, capture: FakeCapture, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "SEGMENT_SECONDS", 0.0)
    write, frames = video.VideoWriter.write, count()

    def until_full(self: video.VideoWriter, *given: Any) -> None:
        if next(frames) == 4:
            raise OutputError("mrcnn-out cannot be written, the disk is full: free some space")
        write(self, *given)

    monkeypatch.setattr(video.VideoWriter, "write", until_full)
    assert live("0") == 6
    parts = sorted(tmp_path.glob("mrcnn-out/*.parts/*.mp4"))
    assert [frames_in(part) for part in parts] == [1, 1, 1, 1]
    err = capfd.readouterr().err
    assert "the disk is full" in err
    assert f"results in {parts[0].parent.relative_to(tmp_path)}" in err


def test_pictures_that_the_model_cannot_take_end_the_run(
    live: Live, capture: FakeCapture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise InputError("the image is too narrow for the model")

    monkeypatch.setattr(MaskRCNN, "predict", refuse)
    assert live("0", "--save", "none") == 5
    err = capfd.readouterr().err
    # Those that are in work at the first one come to the same.
    assert 1 <= err.count("0: the image is too narrow for the model") <= 3


def test_progress_as_json(live: Live, capture: FakeCapture, capfd: pytest.CaptureFixture[str]) -> None:
    assert live("0", "--max-frames", 3, "--save", "none", "--progress", "json") == 0
    last = json.loads(capfd.readouterr().err.splitlines()[-1])
    assert last["event"] == "end"
    assert last["frames"] == 3
    assert last["dropped"] >= 0


@pytest.mark.parametrize("option", [("--resume",), ("--dry-run",)])
def test_options_that_are_not_for_live_sources(
    live: Live, capture: FakeCapture, option: tuple[str, ...], capfd: pytest.CaptureFixture[str]
) -> None:
    assert live("0", *option) == 2
    assert "is live: leave it out" in capfd.readouterr().err


def test_pictures_are_not_served(find: Run, photo_path: Path) -> None:
    assert "--serve is for cameras and streams, and these are images" in refusal(find(photo_path, "--serve", "0"), 2)


def test_a_wrong_address(find: Run) -> None:
    text = refusal(find("rtsp://admin:secret@127.0.0.1:1/door"), 5)
    assert text.startswith("rtsp://admin:***@127.0.0.1:1/door cannot be reached, the connection was refused")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="device files are Linux's")
@pytest.mark.parametrize("source", ["99", "/dev/video99"])
def test_no_such_camera(find: Run, source: str) -> None:
    text = refusal(find(source), 5)
    assert text.startswith(f"there is no camera {source} (/dev/video99 does not exist)")
    assert "mrcnn-cv devices" in text


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named on Linux alone")
def test_no_display_is_said_before_anything_starts(run: Run) -> None:
    # Not even the model is looked at.
    text = refusal(run("rtsp://127.0.0.1:1/door", "--show"), 2)
    assert "a window needs a display" in text
    assert text.endswith("(without --show or --serve 8080)")


def test_a_port_that_is_taken(find: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = refusal(find("rtsp://127.0.0.1:1/door", "--serve", str(port)), 2)
    assert "another program has this port" in text


def test_an_output_folder_that_cannot_be_used(find: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = refusal(find("rtsp://127.0.0.1:1/door", "-o", "file"), 6)
    assert "file is a file, not a folder" in text


_SHORT_PARTS = {"mrcnn_cv.outputs.video.writer:SEGMENT_SECONDS": 0.4}


@pytest.fixture
def recorder(start: Start, tiny_graph: Path, labels_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts the program, whose recordings have parts of 0.4 seconds."""
    started: list[Any] = []

    def begin(*arguments: str) -> Any:
        ours = {"MRCNN_CV_MODEL": str(tiny_graph), "MRCNN_CV_LABELS": str(labels_path), "MRCNN_CV_BACKEND": "cpu"}
        process = start(*arguments, env=ours, stderr=subprocess.PIPE, patches=_SHORT_PARTS)
        started.append(process)
        return process

    yield begin
    for process in started:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def _wait_for(what: Callable[[], object], process: Any) -> None:
    pause = threading.Event()
    while not what():
        assert process.poll() is None, process.communicate()[1]
        pause.wait(0.02)


posix_only = pytest.mark.skipif(not IS_POSSIBLE, reason="signals of POSIX, and a program with shorter parts")


@posix_only
@pytest.mark.parametrize(("number", "code"), sampled([(signal.SIGINT, 130), (signal.SIGTERM, 143)], 2))
def test_ctrl_c_leaves_one_playable_file(
    recorder: Callable[..., Any], tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with MjpegServer([(100_000, "close")], size=(240, 160)) as server:
        process = recorder(server.url())
        _wait_for(lambda: len(list(tmp_path.glob("mrcnn-out/*.parts/*.mp4"))) >= 2, process)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert b"interrupted; what was written so far is complete" in err
    path = recording(tmp_path / "mrcnn-out")
    assert frames_in(path) >= 5
    assert names_in(tmp_path / "mrcnn-out") == {path.name}


@pytest.mark.long
@posix_only
def test_a_crash_leaves_all_finished_parts_playable(recorder: Callable[..., Any], tmp_path: Path) -> None:
    with MjpegServer([(100_000, "close")], size=(240, 160)) as server:
        process = recorder(server.url())
        _wait_for(lambda: len(list(tmp_path.glob("mrcnn-out/*.parts/*.mp4"))) >= 3, process)
        process.kill()
        process.wait()
    parts = sorted(tmp_path.glob("mrcnn-out/*.parts/*.mp4"))
    assert len(parts) >= 3
    assert all(frames_in(part) >= 1 for part in parts)


@posix_only
def test_ctrl_c_while_nothing_comes(recorder: Callable[..., Any], tmp_path: Path) -> None:
    with MjpegServer([(10, "stall")], size=(240, 160)) as server:
        process = recorder(server.url(), "--json", "records.jsonl")
        _wait_for(lambda: _has_lines(tmp_path / "records.jsonl"), process)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert frames_in(recording(tmp_path / "mrcnn-out")) >= 1


def test_devices(run: Run) -> None:
    done = run("devices", "--json")
    assert done.returncode == 0
    assert isinstance(json.loads(done.stdout)["cameras"], list)
    assert run("devices").returncode == 0


def test_devices_as_a_table(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    from mrcnn_cv.inputs.video import devices
    from mrcnn_cv.inputs.video.devices import Device

    found = [Device("0", "/dev/video0", "Front \x1b[31mcamera"), Device("10", "/dev/video10", None, "no permission")]
    monkeypatch.setattr(devices, "list_devices", lambda: found)
    assert cli._run(["devices"]) == 0
    assert capfd.readouterr().out.splitlines() == [
        "source  device        name",
        "0       /dev/video0   Front �[31mcamera",
        "10      /dev/video10  - (no permission)",
    ]


def test_names_of_outputs() -> None:
    import time

    now = time.struct_time((2026, 11, 23, 11, 20, 5, 0, 0, 0))
    names = {
        "0": "camera0",
        "/dev/video2": "video2",
        "rtsp://admin:secret@10.0.0.5:554/Streaming/ch 1.sdp?x=1": "10.0.0.5-ch_1",
        "udp://@:1234": "udp",
        "http://[::1": "stream",
    }
    for source, name in names.items():
        assert base_name(source, now) == f"{name}-2026-11-23-112005"
