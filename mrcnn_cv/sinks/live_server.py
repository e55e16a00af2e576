"""--serve: the live view in any browser. A small HTTP server that has nothing to give but pictures and numbers.

One thread serves everybody, with asyncio: it can neither slow the run nor be held up by a slow reader. A viewer gets
the newest picture when it has taken the one before; each picture is compressed once, and only while somebody looks.
"""

from __future__ import annotations

import asyncio
import errno
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from mrcnn_cv.errors import UsageError
from mrcnn_cv.opencv import cv2
from mrcnn_cv.sinks.live_page import SCRIPT, STYLE, page
from mrcnn_cv.sinks.live_view import LiveView

MOST_CONNECTIONS = 128
MOST_VIEWERS = 32
"""Of the moving picture at a time; more are told to come back later."""

MOST_HEAD_BYTES = 8192
HEAD_SECONDS = 10.0
SEND_SECONDS = 15.0
"""A reader that takes nothing for so long is gone."""

MOST_PER_SECOND = 30.0
"""Pictures for one viewer."""

_MOST_IN_ALL = 240.0
_QUALITY = 80
_BOUNDARY = "mrcnn-cv-picture"
_BETWEEN = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
"""Goes out with the picture before it, since Chromium shows one when the head of the next is there; so no length."""

_CLOSE_SECONDS = 2.0

_REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
_ALWAYS = (
    "Cache-Control: no-store",
    "Connection: close",
    "X-Content-Type-Options: nosniff",
    "Referrer-Policy: no-referrer",
    # Pages of others may not show what the camera sees.
    "Cross-Origin-Resource-Policy: same-origin",
    "X-Frame-Options: SAMEORIGIN",
    "Content-Security-Policy: default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'",
)


class _Refused(Exception):
    """A request that gets nothing but a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class LiveServer:
    """Serves `view` at host and port from `start` to `close`. The port is taken at once: UsageError where it cannot be.

    name    of the source, for the page
    facts   the numbers of the page, as JSON takes them; asked whenever a page asks
    """

    def __init__(self, view: LiveView, host: str, port: int, name: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        self._view = view
        self._name = name
        self._facts = facts
        self._socket = _listen(host, port)
        self.host, self.port = host, int(self._socket.getsockname()[1])
        self.viewers = 0
        self._connections = 0
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._loop = asyncio.new_event_loop()
        self._new = asyncio.Event()
        self._end = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="live-server", daemon=True)

    def __enter__(self) -> LiveServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def is_private(self) -> bool:
        """Whether only programs on this machine reach it."""
        return self.host == "localhost" or self.host == "::1" or self.host.startswith("127.")

    @property
    def address(self) -> str:
        """Where a browser on this machine finds the page."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        host = anywhere.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def start(self) -> None:
        """Answer from now on."""
        self._thread.start()
        self._view.on_new(self._wake)

    def close(self) -> None:
        """Say good-bye to all viewers and give the port back."""
        if self._thread.is_alive():
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(_CLOSE_SECONDS)
        elif not self._loop.is_closed():
            self._loop.close()
        self._socket.close()

    def _wake(self) -> None:
        """From the thread of the run: there is a new picture."""
        if self.viewers:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._renew)

    def _renew(self) -> None:
        self._new.set()
        self._new = asyncio.Event()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._answer_all())
        finally:
            self._loop.close()

    async def _answer_all(self) -> None:
        server = await asyncio.start_server(self._connected, sock=self._socket, limit=MOST_HEAD_BYTES)
        await self._end.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Connections are closed at the loop's next turn.
        await asyncio.sleep(0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            # `drain` then waits until all is on its way, so that nobody has more than one picture on our side.
            writer.transport.set_write_buffer_limits(high=0)
            if self._connections > MOST_CONNECTIONS:
                raise _Refused(503)
            method, path = await _request(reader)
            await self._answer(writer, method, path)
        except _Refused as refused:
            with suppress(OSError, asyncio.TimeoutError):
                await _send(writer, _head(refused.status, "text/plain", 0))
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Readers go away when they like.
            pass
        finally:
            self._connections -= 1
            # Not what is left for a reader that takes nothing.
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    async def _answer(self, writer: asyncio.StreamWriter, method: str, path: str) -> None:
        if method not in ("GET", "HEAD"):
            raise _Refused(405)
        is_head = method == "HEAD"
        if path == "/stream.mjpg":
            await self._stream(writer, is_head)
            return
        kind, data = self._document(path)
        await _send(writer, _head(200, kind, len(data)) + (b"" if is_head else data))

    def _document(self, path: str) -> tuple[str, bytes]:
        """(content type, bytes) of everything but the moving picture. Whatever else is asked for does not exist."""
        if path == "/":
            return "text/html; charset=utf-8", page(self._name)
        if path == "/page.css":
            return "text/css; charset=utf-8", STYLE
        if path == "/page.js":
            return "text/javascript; charset=utf-8", SCRIPT
        if path == "/numbers.json":
            text = json.dumps({**self._facts(), "viewers": self.viewers}, ensure_ascii=False)
            return "application/json; charset=utf-8", text.encode("utf-8", "replace")
        if path == "/picture.jpg":
            if self._view.newest is None:
                raise _Refused(503)
            return "image/jpeg", self._picture()[1]
        raise _Refused(204 if path == "/favicon.ico" else 404)

    async def _stream(self, writer: asyncio.StreamWriter, is_head: bool) -> None:
        if self.viewers >= MOST_VIEWERS:
            raise _Refused(503)
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        await _send(writer, _head(200, kind, None) + (b"" if is_head else _BETWEEN))
        if is_head:
            return
        self.viewers += 1
        try:
            shown = 0
            # Until Python 3.11 `wait_for` may swallow that it was cancelled.
            while not self._end.is_set():
                started = time.monotonic()
                new = self._new
                newest = self._view.newest
                if newest is None or newest.number == shown:
                    await new.wait()
                    continue
                shown, jpeg = self._picture()
                await _send(writer, jpeg + b"\r\n" + _BETWEEN)
                pause = max(1 / MOST_PER_SECOND, self.viewers / _MOST_IN_ALL) - (time.monotonic() - started)
                await asyncio.sleep(max(0.0, pause))
        finally:
            self.viewers -= 1

    def _picture(self) -> tuple[int, bytes]:
        """(number, JPEG) of the newest picture, compressed once for all who want it."""
        shot = self._view.newest
        if shot is not None and shot.number != self._jpeg[0]:
            done, data = cv2.imencode(".jpg", self._view.painted(shot), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            self._jpeg = (shot.number, data.tobytes() if done else b"")
        return self._jpeg


async def _request(reader: asyncio.StreamReader) -> tuple[str, str]:
    """(method, path) of a request; what the other lines say makes no difference."""
    try:
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
    except asyncio.LimitOverrunError as error:
        raise _Refused(431) from error
    except asyncio.TimeoutError as error:
        raise _Refused(408) from error
    words = head.split(b"\r\n", 1)[0].split(b" ")
    if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not words[1].startswith(b"/"):
        raise _Refused(400)
    try:
        return words[0].decode("ascii"), words[1].decode("ascii").partition("?")[0]
    except UnicodeDecodeError as error:
        raise _Refused(400) from error


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send; TimeoutError where the other side does not take it."""
    writer.write(data)
    await asyncio.wait_for(writer.drain(), SEND_SECONDS)


def _head(status: int, kind: str, length: int | None) -> bytes:
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Content-Type: {kind}", *_ALWAYS]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if status == 405:
        lines.append("Allow: GET, HEAD")
    if status == 503:
        lines.append("Retry-After: 5")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; UsageError, one sentence, where the address cannot be had."""
    place = f"--serve {host}:{port}"
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=MOST_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"{place}: another program has this port: give another one, or 0 for any") from error
        if isinstance(error, PermissionError):
            raise UsageError(f"{place}: no permission for this port: give one above 1023") from error
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(
                f"{place}: this machine has no such address: leave HOST out to see the page on this machine alone, or"
                " give 0.0.0.0 for all of its addresses"
            ) from error
        raise UsageError(f"{place}: cannot listen there ({error.strerror or error}): give another port") from error
    except (OverflowError, UnicodeError, ValueError) as error:
        raise UsageError(f"{place}: this is no address to listen at: give PORT or HOST:PORT") from error
