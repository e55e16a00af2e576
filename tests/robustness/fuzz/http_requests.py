"""Requests to the server of --serve: methods, paths, versions, fields and line ends of all kinds, sent in all ways."""

from __future__ import annotations

import json
import logging
import random
import re
import socket
import string
from functools import cache
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from mrcnn_cv.outputs.video.annotator import FrameAnnotator
from mrcnn_cv.outputs.viewers import http_app, http_connection, http_server
from mrcnn_cv.outputs.viewers.http_app import SCRIPT, STYLE, page
from mrcnn_cv.outputs.viewers.http_server import LiveServer
from mrcnn_cv.outputs.viewers.live_view import LiveView
from mrcnn_cv.structures.frame import Frame
from mrcnn_cv.structures.instances import Instances
from tests.robustness.fuzz.worker import make_again

NAME = "<b>camera</b>"
PLACES = ("/", "/page.css", "/page.js", "/numbers.json", "/picture.jpg", "/stream.mjpg", "/favicon.ico")
MANNERS = ("wait", "wait", "shutdown", "close", "reset")
"""What the other side does when it has said all: reads the answer, reads it on a half-closed connection, or leaves."""

_METHODS = ("GET", "GET", "GET", "HEAD", "POST", "PUT", "OPTIONS", "CONNECT", "TRACE", "get", "", "G" * 40, "GET\t")
_PATHS = (
    *PLACES,
    *("/../../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "/page.css/../page.html", "//etc/passwd", "/page.css%00.js"),
    *(
        "http://127.0.0.1/",
        "http://evil.example/",
        "*",
        "",
        "/..\\..\\x",
        "/page.css;x",
        "/\0",
        "/\xff",
        "/?" + "a" * 900,
    ),
    *("/live_server.py", "/page.html", "/.git/config", "/proc/self/environ", "file:///etc/passwd", "/./", "/#x", "/ x"),
)
_VERSIONS = (
    "HTTP/1.1",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/1.9",
    "HTTP/2.0",
    "HTTP/0.9",
    "HTTP/1.1 ",
    "http/1.1",
    "",
    "HTTP/1.11",
)
_OWN = ("127.0.0.1", "localhost:80", "[::1]:1", "192.0.2.1")
_STRANGE = ("evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "[evil.example]", "a b", "::1", "127.1")
_FIELDS = (
    *("Accept: */*", "Connection: keep-alive", "Content-Length: 99999999", "Content-Length: -1", "Range: bytes=0-1"),
    *(
        "Transfer-Encoding: chunked",
        "Upgrade: websocket",
        "Expect: 100-continue",
        "X: " + "y" * 3000,
        ": x",
        "x",
        " x: y",
    ),
    *(
        "Origin: null",
        "Origin: http://evil.example",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-origin",
        "a\0: b",
    ),
    *("X-Forwarded-Host: evil.example", "X: a\nHost: evil.example", "\x1b[31m: \x1b", "Sec-Fetch-Mode: navigate"),
)
_KEPT_HEAD_SECONDS = 0.05
_STREAM_BYTES = 300
_REFUSALS = {
    400: {b"", b"Invalid HTTP request received."},
    403: {b""},
    404: {b"", b"Not Found"},
    405: {b"", b"Method Not Allowed"},
    421: {b"", http_app._WRONG_NAME.encode()},
    503: {b""},
}
"""All that anybody is told who gets nothing: none of it is of the request."""


def case(number: int, seed: int, folder: Path) -> Path:
    """A file with the pieces in which the bytes are sent, and what is done then."""
    chance = random.Random(f"{seed}/{number}")
    data = _request(chance)
    if chance.random() < 0.3:
        data = _damaged(data, chance)
    if chance.random() < 0.1:
        data += _request(chance)
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.choice((0, 0, 0, 1, 3))))
    edges = [0, *cuts, len(data)]
    pieces = [data[start:end].hex() for start, end in pairwise(edges) if start < end]
    path = folder / "request.json"
    path.write_text(json.dumps({"pieces": pieces, "then": chance.choice(MANNERS)}), encoding="ascii")
    return path


def attempt(path: Path) -> str:
    """Send it, and check that what comes back is one of the few things that the server has to give."""
    asked = json.loads(path.read_text(encoding="ascii"))
    pieces, then = [bytes.fromhex(piece) for piece in asked["pieces"]], asked["then"]
    serving, errors = server()
    answer = _answer(serving.port, pieces, then)
    status = None if answer is None else _checked(b"".join(pieces), answer, is_whole=then == "wait")
    assert _answer_to_others(serving.port).endswith(b"\r\n\r\n" + STYLE)
    assert not errors, errors
    return "accepted" if status in (None, 200, 204) else f"refused: {HTTPStatus(status).phrase}"


def _request(chance: random.Random) -> bytes:
    first = " ".join(
        (
            chance.choice(_METHODS) if chance.random() < 0.5 else "GET",
            chance.choice(_PATHS) if chance.random() < 0.7 else chance.choice(PLACES),
            chance.choice(_VERSIONS) if chance.random() < 0.5 else "HTTP/1.1",
        )
    )
    lines = [first]
    for _ in range(chance.choice((0, 1, 1, 1, 2))):
        lines.append("Host: " + chance.choice(_OWN if chance.random() < 0.7 else _STRANGE))
    lines += [chance.choice(_FIELDS) for _ in range(chance.choice((0, 0, 1, 2, 5)))]
    if chance.random() < 0.03:
        lines += [f"X{number}: y" for number in range(chance.choice((100, 2000)))]
    end = chance.choice(("\r\n",) * 12 + ("\n", "\r", "\r\r\n"))
    body = "".join(chance.choices(string.printable, k=chance.choice((0, 0, 0, 10, 50_000))))
    return (end.join(lines) + end * 2 + body).encode("latin-1")


def _damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut off, doubled, or with other bytes in it."""
    at = chance.randrange(len(data) + 1)
    way = chance.randrange(4)
    if way == 0:
        return data[:at]
    if way == 1:
        return data[:at] + data[chance.randrange(len(data) + 1) :]
    if way == 2:
        return data[:at] + chance.randbytes(chance.choice((1, 8, 9000))) + data[at:]
    changed = bytearray(data)
    for _ in range(chance.choice((1, 5))):
        if changed:
            changed[chance.randrange(len(changed))] = chance.randrange(256)
    return bytes(changed)


def _answer(port: int, pieces: list[bytes], then: str) -> bytes | None:
    """All that comes back, of a moving image the beginning; None where nobody stayed to read it, or could."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as talk:
        talk.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = b""
        try:
            for piece in pieces:
                talk.sendall(piece)
            if then == "reset":
                talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            if then in ("close", "reset"):
                return None
            if then == "shutdown":
                talk.shutdown(socket.SHUT_WR)
            while piece := talk.recv(1 << 16):
                answer += piece
                if b"multipart" in answer and len(answer.partition(b"\r\n\r\n")[2]) > _STREAM_BYTES:
                    break
        except OSError:
            # Who goes on after the answer is cut off, and may not see it.
            return answer or None
        return answer


def _answer_to_others(port: int) -> bytes:
    """What somebody else is given, who on a busy machine may be too slow himself, for which nobody is to blame."""
    for _ in range(100):
        if answer := _answer(port, [b"GET /page.css HTTP/1.1\r\nHost: localhost\r\n\r\n"], "wait"):
            return answer
    return b""


def _checked(data: bytes, answer: bytes, is_whole: bool) -> int:
    """The status of a right answer; AssertionError for any other."""
    if not answer:
        # Who said half of a request gets nothing, nor may who says more; one that ends with its head is answered.
        asked = data.lstrip(b"\r\n")
        end = re.search(rb"\n\r?\n", asked)
        assert not is_whole or end is None or end.end() != len(asked)
        return 400
    top, _, body = answer.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", top)
    assert found is not None, top
    status = int(found[1])
    assert b"Access-Control" not in top
    assert b"evil" not in answer.lower()
    if status not in (200, 204):
        assert body in _REFUSALS[status]
        # What is no request at all is refused by the library.
        assert status == 400 or b"content-security-policy: default-src 'none';" in top
        return status
    first = data.lstrip(b"\r\n").partition(b"\n")[0].rstrip(b"\r").split(b" ")
    place = unquote(first[1].decode("ascii").partition("?")[0])
    assert first[0] in (b"GET", b"HEAD")
    assert place in PLACES
    assert re.search(rb"\nhost:[^\r\n]*evil", data.partition(b"\r\n\r\n")[0].lower()) is None
    lines = [line if line != b"Connection: close" else line.lower() for line in top.split(b"\r\n")]
    for name, value in http_app._HEADERS:
        assert name + b": " + value in lines
    if status == 200:
        kind, expected = _documents()[place]
        assert b"content-type: " + kind.encode() in top
        if first[0] == b"HEAD":
            assert body == b""
        elif expected is not None:
            assert body == expected
        elif place == "/numbers.json":
            assert json.loads(body)["state"] == "live"
    return status


def _documents() -> dict[str, tuple[str, bytes | None]]:
    """(content type, bytes, None where they change) of all that there is."""
    return {
        "/": ("text/html; charset=utf-8", page(NAME)),
        "/page.css": ("text/css; charset=utf-8", STYLE),
        "/page.js": ("text/javascript; charset=utf-8", SCRIPT),
        "/numbers.json": ("application/json; charset=utf-8", None),
        "/picture.jpg": ("image/jpeg", None),
        "/stream.mjpg": ("multipart/x-mixed-replace; boundary=mrcnn-cv-picture", None),
    }


class _Kept(logging.Handler):
    """Keeps what uvicorn has to say of defects."""

    def __init__(self, errors: list[dict[str, Any]]) -> None:
        super().__init__()
        self._errors = errors

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        self._errors.append(vars(record))


@cache
def server() -> tuple[LiveServer, list[dict[str, Any]]]:
    """One server for all cases of a process, with an image, and what went wrong inside it."""
    http_connection.HEAD_SECONDS = _KEPT_HEAD_SECONDS
    http_server.MAX_NEW_PER_SECOND = 1e6
    view = LiveView(FrameAnnotator())
    none = np.zeros(0, dtype=np.float32)
    found = Instances(none.reshape(0, 4), none, none.astype(np.int32), [], None, (40, 60))
    view.write(Frame(np.full((40, 60, 3), 100, dtype=np.uint8), "camera", 0), found)
    server = LiveServer(view, "127.0.0.1", 0, NAME, lambda: {"state": "live"})
    errors: list[dict[str, Any]] = []
    server._loop.set_exception_handler(lambda _, context: errors.append(context))
    logging.getLogger("uvicorn.error").addHandler(_Kept(errors))
    server.start()
    return server, errors


if __name__ == "__main__":
    make_again(case, attempt)
