"""An HTTP server on this machine that serves one archive, and misbehaves when told to."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Step = Callable[["Handler"], None]
"""How one request is answered."""


class Server(ThreadingHTTPServer):
    """Serves `data` under every path.

    script   answers of the next requests; after them, all is well
    seen     (path, headers) of the requests so far
    """

    daemon_threads = True

    def __init__(self, data: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.data = data
        self.tag = '"first"'
        self.script: list[Step] = []
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def ranges(self) -> list[str | None]:
        """The Range header of each request so far."""
        return [headers.get("range") for _, headers in self.seen]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
        step = self.server.script.pop(0) if self.server.script else well
        # The client may have had enough.
        with suppress(OSError):
            step(self)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass

    def start(self) -> int:
        """Where the answer to a request with Range begins; 0 where the whole file is to be sent."""
        found = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        same = self.headers.get("If-Range", self.server.tag) == self.server.tag
        return int(found[1]) if found and same else 0

    def head(self, code: int, **fields: object) -> None:
        self.send_response(code)
        for name, value in fields.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


def well(handler: Handler) -> None:
    """As a good server answers."""
    _send(handler, handler.server.data[handler.start() :])


def _send(handler: Handler, body: bytes) -> None:
    data, start = handler.server.data, handler.start()
    if start >= len(data):
        handler.head(416, Content_Range=f"bytes */{len(data)}")
        return
    length = len(data) - start
    if start:
        span = f"bytes {start}-{len(data) - 1}/{len(data)}"
        handler.head(206, Content_Range=span, Content_Length=length, ETag=handler.server.tag)
    else:
        handler.head(200, Content_Length=length, ETag=handler.server.tag)
    handler.wfile.write(body)


def drop(after: int) -> Step:
    """Close the connection after so many bytes."""
    return lambda handler: _send(handler, handler.server.data[handler.start() :][:after])


def stall(after: int) -> Step:
    """Send nothing more after so many bytes, and keep the connection."""

    def step(handler: Handler) -> None:
        _send(handler, handler.server.data[handler.start() :][:after])
        handler.wfile.flush()
        handler.server.over.wait(60)

    return step


def trickle(pause: float) -> Step:
    """A byte now and then."""

    def step(handler: Handler) -> None:
        body = handler.server.data[handler.start() :]
        _send(handler, b"")
        for index in range(len(body)):
            handler.wfile.write(body[index : index + 1])
            if handler.server.over.wait(pause):
                return

    return step


def slowly(pieces: int, pause: float) -> Step:
    """The whole file in pieces with pauses between them."""

    def step(handler: Handler) -> None:
        body = handler.server.data
        _send(handler, b"")
        size = -(-len(body) // pieces)
        for at in range(0, len(body), size):
            handler.wfile.write(body[at : at + size])
            handler.server.over.wait(pause)

    return step


def status(code: int, **fields: object) -> Step:
    return lambda handler: handler.head(code, Content_Length=0, **fields)


def redirect(to: str, code: int = 302) -> Step:
    return status(code, Location=to)


def ignore_range(handler: Handler) -> None:
    """The whole file, whatever was asked for."""
    handler.head(200, Content_Length=len(handler.server.data), ETag=handler.server.tag)
    handler.wfile.write(handler.server.data)


def other_range(handler: Handler) -> None:
    """A part, but not the one that was asked for."""
    data = handler.server.data
    handler.head(206, Content_Range=f"bytes 5-{len(data) - 1}/{len(data)}", Content_Length=len(data) - 5)
    handler.wfile.write(data[5:])


def announce(length: int) -> Step:
    """The right bytes under a wrong Content-Length."""

    def step(handler: Handler) -> None:
        handler.head(200, Content_Length=length)
        handler.wfile.write(handler.server.data)

    return step


def endless(handler: Handler) -> None:
    """The right bytes and then ever more, with no length announced."""
    handler.head(200)
    handler.wfile.write(handler.server.data)
    while not handler.server.over.is_set():
        handler.wfile.write(b"more" * 1000)


def instead(data: bytes) -> Step:
    """Other bytes of the same length."""

    def step(handler: Handler) -> None:
        handler.head(200, Content_Length=len(data))
        handler.wfile.write(data)

    return step


def web_page(handler: Handler) -> None:
    """What a hotel's network answers to everything."""
    page = b"<html>Please log in</html>"
    handler.head(200, Content_Length=len(page), Content_Type="text/html; charset=utf-8")
    handler.wfile.write(page)
