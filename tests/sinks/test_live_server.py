"""--serve: pictures and numbers for any browser, and nothing for anybody who wants more."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

from mrcnn_cv.errors import UsageError
from mrcnn_cv.frame import Frame
from mrcnn_cv.instances import Instances
from mrcnn_cv.opencv import cv2
from mrcnn_cv.sinks import live_server
from mrcnn_cv.sinks.live_server import LiveServer
from mrcnn_cv.sinks.live_view import LiveView, Meter
from mrcnn_cv.sinks.painted import Painter
from mrcnn_cv.sources.stream import Stream

NAME = "<script>alert('x')</script> & \x1b[31m"


def shade(level: int) -> Frame:
    """A grey picture."""
    return Frame(np.full((40, 60, 3), level, dtype=np.uint8), "camera", level, time=level / 10)


def nothing() -> Instances:
    none = np.zeros(0, dtype=np.float32)
    return Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (40, 60))


@pytest.fixture
def view() -> LiveView:
    return LiveView(Painter())


@pytest.fixture
def server(view: LiveView) -> Iterator[LiveServer]:
    facts = {"counts": {"<img src=x onerror=alert(1)>": 2}, "state": "live"}
    with LiveServer(view, "127.0.0.1", 0, NAME, lambda: facts) as server:
        yield server


def ask(server: LiveServer, path: str, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True)
    connection.endheaders()
    return connection.getresponse()


def say(server: LiveServer, data: bytes) -> bytes:
    """The first line of the answer to raw bytes; empty where there is none."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as talk, contextlib.suppress(OSError):
        with contextlib.suppress(OSError):
            talk.sendall(data)
        return talk.makefile("rb").readline()
    return b""


def test_page_and_its_parts(server: LiveServer) -> None:
    text = ask(server, "/").read().decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert" in text
    assert "\x1b" not in text
    # The picture is there without JavaScript.
    assert '<img id="picture" src="stream.mjpg"' in text
    assert ask(server, "/page.css").headers["Content-Type"].startswith("text/css")
    assert ask(server, "/page.js").headers["Content-Type"].startswith("text/javascript")
    # No part of the page comes from elsewhere.
    assert "//" not in text


def test_answers_are_fenced_in(server: LiveServer) -> None:
    for path in ("/", "/page.js", "/numbers.json"):
        headers = ask(server, path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Cache-Control"] == "no-store"


def test_numbers(server: LiveServer) -> None:
    with urlopen(f"{server.address}numbers.json", timeout=20) as answer:
        assert answer.headers["Content-Type"].startswith("application/json")
        numbers = json.load(answer)
    assert numbers == {"counts": {"<img src=x onerror=alert(1)>": 2}, "state": "live", "viewers": 0}


def test_a_still_picture(server: LiveServer, view: LiveView) -> None:
    assert ask(server, "/picture.jpg").status == 503
    view.write(shade(100), nothing())
    data = ask(server, "/picture.jpg").read()
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape == (40, 60, 3)
    assert np.asarray(image).mean() == pytest.approx(100, abs=1)


@pytest.mark.parametrize(
    "path",
    [
        *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/page.css/../../page.html"),
        *("/page.html", "/page/page.css", "/..%5c..%5cwindows", "/stream.mjpg/x", "/page.css%00", "/live_server.py"),
    ],
)
def test_no_other_file_can_be_read(server: LiveServer, path: str) -> None:
    answer = ask(server, path)
    assert (answer.status, answer.read()) == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods(server: LiveServer, method: str) -> None:
    answer = ask(server, "/", method)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/", "/stream.mjpg", "/numbers.json"])
def test_head(server: LiveServer, path: str) -> None:
    answer = ask(server, path, "HEAD")
    assert (answer.status, answer.read()) == (200, b"")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n", b"400"),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://elsewhere/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 20_000, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n", b"431"),
    ],
)
def test_hostile_requests(server: LiveServer, data: bytes, status: bytes) -> None:
    answer = say(server, data)
    # What is refused before it was read to its end may cost the connection.
    assert answer == b"" or answer.split(b" ")[1] == status
    assert ask(server, "/").status == 200


def test_a_request_that_never_ends_is_ended(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_server, "HEAD_SECONDS", 0.05)
    assert say(server, b"GET / HTTP/1.1\r\nX").split(b" ")[1] == b"408"


class Viewer:
    """Somebody who looks at the moving picture."""

    def __init__(self, server: LiveServer) -> None:
        self.talk = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.talk.sendall(b"GET /stream.mjpg HTTP/1.1\r\nHost: x\r\n\r\n")
        self.file = self.talk.makefile("rb")
        self.status = int(self.file.readline().split(b" ")[1])
        for _ in range(2 if self.status == 200 else 1):  # the head of the answer, then that of the first picture
            while self.file.readline() not in (b"\r\n", b""):
                pass

    def picture(self) -> float:
        """The mean grey of the next picture, which must be whole without a byte of the one after it."""
        data = b""
        while not data.endswith(b"\r\n--mrcnn-cv-picture\r\nContent-Type: image/jpeg\r\n\r\n"):
            line = self.file.readline()
            assert line, "the stream has ended"
            data += line
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        return float(np.asarray(image).mean())

    def leave(self) -> None:
        self.file.close()
        self.talk.close()


def test_every_viewer_gets_every_picture_in_time_and_each_is_compressed_once(
    server: LiveServer, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed = count()
    encode = cv2.imencode
    monkeypatch.setattr(cv2, "imencode", lambda *given: (next(compressed), encode(*given))[1])
    viewers = [Viewer(server) for _ in range(5)]
    for level in (50, 100, 150):
        view.write(shade(level), nothing())
        assert [viewer.picture() for viewer in viewers] == pytest.approx([level] * 5, abs=1)
    assert next(compressed) == 3
    for viewer in viewers:
        viewer.leave()


def test_what_is_served_can_be_a_source(server: LiveServer, view: LiveView) -> None:
    """FFmpeg reads it, as other programs do."""
    frames: list[Frame] = []

    def look() -> None:
        with Stream(f"{server.address}stream.mjpg", 20.0) as source:
            frames.extend(taken for taken, _ in zip(source, range(3), strict=False) if isinstance(taken, Frame))

    reader = threading.Thread(target=look)
    reader.start()
    pause = threading.Event()
    level = 0
    while reader.is_alive() and level < 200:
        level += 1
        view.write(shade(level), nothing())
        pause.wait(0.04)
    reader.join(20)
    assert len(frames) == 3
    levels = [float(frame.image.mean()) for frame in frames]
    assert levels == sorted(levels)


def test_without_viewers_nothing_is_painted_or_compressed(
    server: LiveServer, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "imencode", None)
    monkeypatch.setattr("mrcnn_cv.sinks.painted.draw", None)
    for level in range(10):
        view.write(shade(level), nothing())
    assert ask(server, "/numbers.json").status == 200


def test_a_viewer_who_takes_nothing_holds_up_nobody_and_gets_the_newest(server: LiveServer, view: LiveView) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
    asleep = [Viewer(server) for _ in range(3)]
    awake = Viewer(server)
    for number in range(8):
        view.write(Frame(noise, "camera", number), nothing_of(noise))
        assert awake.picture() > 0
    # More pictures than fit on the way to those who sleep; the last one is what they get next after those.
    view.write(shade(10), nothing())
    assert awake.picture() == pytest.approx(10, abs=1)
    behind = 0
    while asleep[0].picture() > 20:
        behind += 1
    assert behind < 8
    for viewer in (*asleep, awake):
        viewer.leave()


def nothing_of(image: np.ndarray[Any, Any]) -> Instances:
    found = nothing()
    found.image_size = (image.shape[0], image.shape[1])
    return found


def test_two_hundred_viewers(server: LiveServer, view: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beyond the limit are told so; the run never notices any of them."""
    view.write(shade(100), nothing())
    viewers = [Viewer(server) for _ in range(200)]
    statuses = [viewer.status for viewer in viewers]
    assert statuses.count(200) == live_server.MOST_VIEWERS
    assert set(statuses) == {200, 503}
    inside = [viewer for viewer in viewers if viewer.status == 200]
    done = threading.Event()

    def run() -> None:
        for level in range(101, 200):
            view.write(shade(level), nothing())
        done.set()

    threading.Thread(target=run).start()
    assert done.wait(20)
    for viewer in inside:
        while viewer.picture() < 198:
            pass
    for viewer in viewers:
        viewer.leave()


def test_too_many_connections(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_server, "MOST_CONNECTIONS", 3)
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(3)]
    # They are taken up in their order, so this one comes after them.
    assert say(server, b"GET / HTTP/1.1\r\n\r\n").split(b" ")[1:2] in ([b"503"], [])
    for talk in idle:
        talk.close()


def test_the_end_ends_all_viewers_and_gives_the_port_back(view: LiveView) -> None:
    server = LiveServer(view, "127.0.0.1", 0, "camera", dict)
    server.start()
    view.write(shade(100), nothing())
    viewer = Viewer(server)
    viewer.picture()
    server.close()
    with contextlib.suppress(ConnectionError):
        assert viewer.file.read() == b""
    viewer.leave()
    # A run that goes on nevertheless does no harm.
    view.write(shade(101), nothing())
    with LiveServer(view, "127.0.0.1", server.port, "camera", dict) as again:
        assert ask(again, "/").status == 200


def test_a_port_that_is_taken(view: LiveView) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"--serve 127.0.0.1:{port}: another program has this port"):
            LiveServer(view, "127.0.0.1", port, "camera", dict)


def test_an_address_of_another_machine(view: LiveView) -> None:
    with pytest.raises(UsageError, match="this machine has no such address"):
        LiveServer(view, "192.0.2.1", 8080, "camera", dict)


def test_numbers_of_a_run() -> None:
    now = [0.0]
    meter = Meter(clock=lambda: now[0])
    for index in range(20):
        now[0] = index * 0.5
        frame = Frame(np.zeros((4, 4, 3), np.uint8), "camera", index, arrived=now[0] - 0.2)
        meter.write(frame, nothing())
    assert meter.numbers.frames == 20
    assert meter.numbers.rate == pytest.approx(2.0)
    assert meter.numbers.delay_ms == pytest.approx(200)
    assert meter.lines(frame, nothing()) == ["2.0 frames/s", "delay 200 ms", "0 instances"]
