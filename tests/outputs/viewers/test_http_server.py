"""--serve: images and numbers for any browser, and nothing for anybody who wants more."""

from __future__ import annotations

import contextlib
import http.client
import importlib
import json
import socket
import sys
import threading
from collections.abc import Iterator
from itertools import count
from typing import Any
from urllib.request import urlopen

import numpy as np
import pytest

from mrcnn_cv.errors import UsageError
from mrcnn_cv.inputs.video.stream import Stream
from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.viewers import http_app, http_connection, http_server
from mrcnn_cv.outputs.viewers.http_server import LiveServer
from mrcnn_cv.outputs.viewers.live_view import LiveView, Meter
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from mrcnn_cv.util.opencv import cv2

NAME = "<script>alert('x')</script> & \x1b[31m"


def shade(level: int) -> Frame:
    """A grey image."""
    return Frame(np.full((40, 60, 3), level, dtype=np.uint8), "camera", level, time=level / 10)


def nothing() -> Instances:
    none = np.zeros(0, dtype=np.float32)
    return Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (40, 60))


@pytest.fixture
def view() -> LiveView:
    return LiveView(FrameAnnotator())


@pytest.fixture
def server(view: LiveView) -> Iterator[LiveServer]:
    facts = {"counts": {"<img src=x onerror=alert(1)>": 2}, "state": "live"}
    with LiveServer(view, "127.0.0.1", 0, NAME, lambda: facts) as server:
        yield server


@pytest.fixture(scope="module")
def quiet_server() -> Iterator[LiveServer]:
    """One without an image, for requests that change nothing."""
    with LiveServer(LiveView(FrameAnnotator()), "127.0.0.1", 0, NAME, dict) as server:
        yield server


def ask(server: LiveServer, path: str, method: str = "GET") -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, path)
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
    # The image is there without JavaScript.
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
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Access-Control-Allow-Origin"] is None
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
def test_no_other_file_can_be_read(quiet_server: LiveServer, path: str) -> None:
    answer = ask(quiet_server, path)
    assert (answer.status, answer.read()) == (404, b"Not Found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods(quiet_server: LiveServer, method: str) -> None:
    answer = ask(quiet_server, "/", method)
    assert answer.status == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD"}


@pytest.mark.parametrize("path", ["/", "/stream.mjpg", "/numbers.json"])
def test_head(quiet_server: LiveServer, path: str) -> None:
    answer = ask(quiet_server, path, "HEAD")
    assert (answer.status, answer.read()) == (200, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 200 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        # More than 8 KiB.
        b"GET /" + b"a" * 9_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9_000,
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5_000,
    ],
)
def test_hostile_requests(quiet_server: LiveServer, data: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert say(quiet_server, data).split(b" ")[1] == b"400"
    assert ask(quiet_server, "/").status == 200
    # What strangers send is no message for the terminal.
    assert capfd.readouterr() == ("", "")


def test_a_request_that_never_ends_is_ended(view: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "HEAD_SECONDS", 0.05)
    with LiveServer(view, "127.0.0.1", 0, NAME, dict) as server:
        for data in (b"", b"GET / HTTP/1.1\r\nX"):
            assert say(server, data) == b""


def test_who_takes_nothing_of_the_moving_picture_is_dropped(
    server: LiveServer, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "SEND_SECONDS", 0.05)
    noise = np.random.default_rng(1).integers(0, 255, (1080, 1920, 3), dtype=np.uint8)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as talk:
        talk.sendall(STREAM)
        pause = threading.Event()
        seen = set()
        for number in range(400):
            view.write(Frame(noise, "camera", number), nothing_of(noise))
            seen.add(json.load(ask(server, "/numbers.json"))["viewers"])
            if seen == {0, 1} and number > 5:
                break
            pause.wait(0.02)
        assert json.load(ask(server, "/numbers.json"))["viewers"] == 0


STREAM = b"GET /stream.mjpg HTTP/1.0\r\nHost: localhost\r\n\r\n"
"""Of HTTP 1.1 the pieces would have their lengths between them."""


class Viewer:
    """Somebody who looks at the moving image."""

    def __init__(self, server: LiveServer) -> None:
        self.talk = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self.talk.sendall(STREAM)
        self.file = self.talk.makefile("rb")
        self.status = int(self.file.readline().split(b" ")[1])
        for _ in range(2 if self.status == 200 else 1):  # the head of the answer, then that of the first image
            while self.file.readline() not in (b"\r\n", b""):
                pass

    def picture(self) -> float:
        """The mean grey of the next image, which must be whole without a byte of the one after it."""
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
    monkeypatch.setattr("mrcnn_cv.outputs.video.annotator.draw", None)
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
    # More images than fit on the way to those who sleep; the last one is what they get next after those.
    view.write(shade(10), nothing())
    assert awake.picture() == pytest.approx(10, abs=1)
    skip_identity = 0
    while asleep[0].picture() > 20:
        skip_identity += 1
    assert skip_identity < 8
    for viewer in (*asleep, awake):
        viewer.leave()


def nothing_of(image: np.ndarray[Any, Any]) -> Instances:
    found = nothing()
    found.image_size = (image.shape[0], image.shape[1])
    return found


def test_two_hundred_viewers(server: LiveServer, view: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those beyond the limit are told so; the run never notices any of them."""
    monkeypatch.setattr(http_server, "MAX_NEW_PER_SECOND", 1e6)
    view.write(shade(100), nothing())
    viewers = [Viewer(server) for _ in range(200)]
    statuses = [viewer.status for viewer in viewers]
    assert statuses.count(200) == http_app.MAX_VIEWERS
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


def test_who_says_nothing_makes_room_for_others(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow clients can fill up all connections, but keep nobody out."""
    monkeypatch.setattr(http_connection, "MAX_CONNECTIONS", 3)
    idle = [socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(3)]
    # They are taken up in their order, so this one comes after them.
    assert say(server, b"GET / HTTP/1.0\r\n\r\n").split(b" ")[1] == b"200"
    with contextlib.suppress(ConnectionError):
        assert idle[0].recv(1) == b""
    for talk in idle:
        talk.close()


def test_who_has_an_answer_and_stays_makes_room_too(server: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_connection, "MAX_CONNECTIONS", 3)
    done = [ask(server, "/page.css") for _ in range(6)]
    assert [answer.status for answer in done] == [200] * 6


def test_where_all_are_busy_others_are_told_so(
    server: LiveServer, view: LiveView, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_connection, "MAX_CONNECTIONS", 2)
    view.write(shade(100), nothing())
    viewers = [Viewer(server) for _ in range(2)]
    refused = ask(server, "/")
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    view.write(shade(50), nothing())
    assert [viewer.picture() for viewer in viewers] == pytest.approx([100, 100], abs=1)
    for viewer in viewers:
        viewer.leave()


def test_a_viewer_who_leaves_while_nothing_comes_makes_room(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_app, "MAX_VIEWERS", 1)
    first = Viewer(server)
    assert ask(server, "/stream.mjpg").status == 503
    first.leave()
    # It is noticed with the next turn of the server, which nobody here can see.
    assert any(ask(server, "/stream.mjpg", "HEAD").status == 200 for _ in range(1000))


def test_one_answer_for_each_connection(quiet_server: LiveServer) -> None:
    """So that the limit on new ones is one on requests."""
    with socket.create_connection(("127.0.0.1", quiet_server.port), timeout=20) as talk:
        talk.sendall(b"GET /page.css HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n" * 3)
        answer = talk.makefile("rb").read()
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert answer.partition(b"\r\n\r\n")[2] == ask(quiet_server, "/page.css").read()


def test_half_a_request(quiet_server: LiveServer) -> None:
    with socket.create_connection(("127.0.0.1", quiet_server.port), timeout=20) as talk:
        talk.sendall(b"GET / HT")
        talk.shutdown(socket.SHUT_WR)
        assert talk.recv(1) == b""


def status_with(server: LiveServer, **fields: str) -> int:
    """Of the page, asked for with these header fields."""
    named = {"Host": "localhost", **fields}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return int(say(server, f"GET / HTTP/1.1\r\n{lines}\r\n".encode()).split(b" ")[1])


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "cam.localhost.", "127.0.0.1:8080", "[::1]:8080", "192.0.2.7", ""]
)
def test_names_of_this_machine(quiet_server: LiveServer, host: str) -> None:
    assert status_with(quiet_server, Host=host) == 200


def test_the_machines_own_name(quiet_server: LiveServer) -> None:
    name = socket.gethostname()
    assert [status_with(quiet_server, Host=host) for host in (name, f"{name.partition('.')[0]}.local:80")] == [200, 200]


def test_the_name_that_was_asked_for(view: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_listen", lambda host, port: socket.create_server(("127.0.0.1", 0)))
    with LiveServer(view, "Camera.Example", 0, "camera", dict) as server:
        assert status_with(server, Host="camera.example:8080") == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "xlocalhost"),
        *("127.0.0.1@evil.example", "[::1].evil.example", "[evil.example]", "127.0.0.1:80:80", "a b", "127.1"),
    ],
)
def test_a_name_that_somebody_pointed_here(quiet_server: LiveServer, host: str) -> None:
    """DNS rebinding: a page of evil.example whose name suddenly means this machine is not let in."""
    assert status_with(quiet_server, Host=host) == 421


def test_who_uses_a_name_that_is_not_known_is_told_what_to_do(quiet_server: LiveServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", quiet_server.port, timeout=20)
    connection.request("GET", "/", headers={"Host": "cam.lan"})
    answer = connection.getresponse()
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "under this name (NAME:PORT)" in answer.read().decode()


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1", "Host": "127.0.0.1:2"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors", "Sec_Fetch_Dest": "image"},
        {"Sec_Fetch_Site": "same-site", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "iframe"},
    ],
)
def test_pages_of_others_get_nothing(quiet_server: LiveServer, fields: dict[str, str]) -> None:
    assert status_with(quiet_server, **fields) == 403


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://127.0.0.1:2", "Host": "127.0.0.1:2"},
        {"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors", "Sec_Fetch_Dest": "empty"},
        {"Sec_Fetch_Site": "none", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
        {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate", "Sec_Fetch_Dest": "document"},
    ],
)
def test_the_own_page_and_links_to_it(quiet_server: LiveServer, fields: dict[str, str]) -> None:
    assert status_with(quiet_server, **fields) == 200


def test_the_end_ends_all_viewers_and_gives_the_port_back(view: LiveView) -> None:
    server = LiveServer(view, "127.0.0.1", 0, "camera", dict)
    server.start()
    view.write(shade(100), nothing())
    viewer = Viewer(server)
    viewer.picture()
    server.close()
    assert viewer.file.read() == b""
    viewer.leave()
    # A run that goes on nevertheless does no harm.
    view.write(shade(101), nothing())
    with LiveServer(view, "127.0.0.1", server.port, "camera", dict) as again:
        assert ask(again, "/").status == 200


def test_without_the_packages_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "mrcnn_cv.outputs.viewers.http_server")
    with pytest.raises(
        UsageError, match=r"needs the packages uvicorn, which is not installed: pip install 'mrcnn-cv\[serve\]'$"
    ):
        importlib.import_module("mrcnn_cv.outputs.viewers.http_server")


def test_a_defect_of_ours_is_told(view: LiveView, caplog: pytest.LogCaptureFixture) -> None:
    def facts() -> dict[str, Any]:
        raise ValueError("no numbers")

    with LiveServer(view, "127.0.0.1", 0, "camera", facts) as server:
        assert ask(server, "/numbers.json").status == 500
        assert ask(server, "/").status == 200
    assert "ValueError: no numbers" in caplog.text


def test_a_port_that_is_taken(view: LiveView) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"127.0.0.1:{port}: another program has this port"):
            LiveServer(view, "127.0.0.1", port, "camera", dict)


def test_an_address_of_another_machine(view: LiveView) -> None:
    with pytest.raises(UsageError, match="this machine has no such address"):
        LiveServer(view, "192.0.2.1", 8080, "camera", dict)


def test_a_name_that_nobody_knows(view: LiveView, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*arguments: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(UsageError, match=r"camera\.invalid:80: this machine has no such address: leave"):
        LiveServer(view, "camera.invalid", 80, "camera", dict)
    with pytest.raises(UsageError, match=r"\[fe80::1\]:80: this machine has no such address"):
        LiveServer(view, "fe80::1", 80, "camera", dict)


@pytest.mark.parametrize(("host", "is_private"), [("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False)])
def test_who_can_look_is_known(view: LiveView, host: str, is_private: bool) -> None:
    server = LiveServer(view, host, 0, "camera", dict)
    server.close()
    assert server.is_private == is_private


def test_numbers_of_a_run() -> None:
    now = [0.0]
    meter = Meter(clock=lambda: now[0])
    for index in range(20):
        now[0] = index * 0.5
        frame = Frame(np.zeros((4, 4, 3), np.uint8), "camera", index, arrived=now[0] - 0.2)
        meter.write(frame, nothing())
    assert meter.statistics.frames == 20
    assert meter.statistics.rate == pytest.approx(2.0)
    assert meter.statistics.delay_ms == pytest.approx(200)
    assert meter.lines(frame, nothing()) == ["2.0 frames/s", "delay 200 ms", "0 instances"]
