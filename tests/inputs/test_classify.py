"""What a word of the command line is: images, a video file, or something live."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from mrcnn_cv.inputs.classify import Kind, classify, gif_frames
from tests.support.videos import stamp, write_video


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("0", "live"),
        ("12", "live"),
        ("/dev/video77", "live"),
        ("rtsp://camera.local/stream", "live"),
        ("RTMP://camera.local/stream", "live"),
        ("udp://239.0.0.1:1234", "live"),
        ("srt://host:9000", "live"),
        ("http://127.0.0.1:1/live/index.m3u8", "live"),
        ("http://127.0.0.1:1/cam.mjpg", "live"),
        ("https://127.0.0.1:1/clip.mp4?token=1", "live"),
        ("http://127.0.0.1:1/photo.JPG", "pictures"),
        ("http://127.0.0.1:1/nothing-answers-here", "pictures"),
        ("-", "pictures"),
        ("missing.mp4", "video"),
        ("missing.MKV", "video"),
        ("missing.png", "pictures"),
        ("missing.gif", "pictures"),
        ("photos/*.jpg", "pictures"),
        ("2024", "pictures"),
    ],
)
def test_what_is_not_there_goes_by_its_name(source: str, kind: Kind, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("no_proxy", "*")
    assert classify(source) == kind


def _gif(path: Path, count: int) -> Path:
    pictures = [Pillow.fromarray(stamp(number)) for number in range(count)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=50)
    return path


def test_what_is_there_goes_by_its_content(tmp_path: Path) -> None:
    images = [stamp(number) for number in range(3)]
    mp4 = write_video(tmp_path / "clip.mp4", images)
    webm = write_video(tmp_path / "clip.webm", images, codec="libvpx-vp9")
    avi = write_video(tmp_path / "clip.avi", images, codec="mpeg4")
    ts = write_video(tmp_path / "clip.ts", images)
    for path in (mp4, webm, avi, ts):
        assert classify(str(path)) == "video"
        path.rename(path.with_suffix(".png"))
        assert classify(str(path.with_suffix(".png"))) == "video"
    assert classify(str(_gif(tmp_path / "moves.gif", 3))) == "video"
    assert classify(str(_gif(tmp_path / "still.gif", 1))) == "pictures"
    for count, kind in ((3, "video"), (1, "pictures")):
        pictures = [Pillow.fromarray(image) for image in images[:count]]
        pictures[0].save(tmp_path / "moves.webp", save_all=True, append_images=pictures[1:], duration=50)
        assert classify(str(tmp_path / "moves.webp")) == kind
    Pillow.fromarray(images[0]).save(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").rename(tmp_path / "photo.mp4")
    assert classify(str(tmp_path / "photo.mp4")) == "pictures"
    (tmp_path / "garbage.mkv").write_bytes(b"garbage")
    assert classify(str(tmp_path / "garbage.mkv")) == "video"
    (tmp_path / "7").write_bytes(b"a file of this name")
    assert classify(str(tmp_path / "7")) == "pictures"
    assert classify(str(tmp_path)) == "pictures"


def test_a_heic_image_is_no_movie(tmp_path: Path) -> None:
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200))
    assert classify(str(tmp_path / "photo.heic")) == "pictures"


def test_a_pattern_of_videos_alone_is_videos(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        write_video(tmp_path / name, [stamp(0)])
    Pillow.fromarray(stamp(0)).save(tmp_path / "photo.png")
    assert classify(f"{tmp_path}/*.mp4") == "video"
    assert classify(f"{tmp_path}/*") == "pictures"


@pytest.mark.parametrize("cut", [0, 5, 14, 30, 200])
def test_a_gif_that_ends_anywhere_is_no_harm(tmp_path: Path, cut: int) -> None:
    data = _gif(tmp_path / "moves.gif", 3).read_bytes()
    assert gif_frames(data, maximum=9) == 3
    assert gif_frames(data[:cut], maximum=9) <= 3


@pytest.fixture
def server() -> Iterator[str]:
    kinds = {"/cam": "multipart/x-mixed-replace; boundary=x", "/list": "application/vnd.apple.mpegurl"}

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", kinds.get(self.path, "image/jpeg"))
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


@pytest.mark.parametrize(("path", "kind"), [("/cam", "live"), ("/list", "live"), ("/photo", "pictures")])
def test_an_address_without_a_suffix_goes_by_what_the_server_says(
    server: str, path: str, kind: Kind, monkeypatch: Any
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    assert classify(server + path) == kind
