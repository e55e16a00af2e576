"""--serve: the live view in any browser. A small HTTP server that has nothing to give but pictures and numbers.

One thread serves everybody, with asyncio: it can neither slow the run nor be held up by a slow reader. A viewer gets
the newest picture when it has taken the one before; each picture is compressed once, and only while somebody looks.
Everything that others can make it hold or do has a limit: connections, new ones a second, bytes, and seconds.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any

from mrcnn_cv.errors import UsageError
from mrcnn_cv.outputs.viewers.http_page import SCRIPT, STYLE, page
from mrcnn_cv.outputs.viewers.http_requests import HttpError, head, own_names, request
from mrcnn_cv.outputs.viewers.live_view import LiveView
from mrcnn_cv.util.opencv import cv2

MAX_CONNECTIONS = 128
MAX_NEW_PER_SECOND = 250.0
"""Connections; those of a flood wait in the system, where they cost the run nothing."""

MAX_VIEWERS = 32
"""Of the moving picture at a time; more are told to come back later."""

MAX_HEAD_BYTES = 8192
HEAD_SECONDS = 10.0
SEND_SECONDS = 15.0
"""A reader that takes nothing for so long is gone."""

MAX_DISCARDED = 1 << 18
"""Bytes of what nobody asked for, taken and forgotten for the sake of the answer on its way."""

LINGER_SECONDS = 1.0
_PIECE = 4096

MAX_FRAMES_PER_SECOND = 30.0
"""Pictures for one viewer."""

_MAX_IN_ALL = 240.0
_QUALITY = 80
_BOUNDARY = "mrcnn-cv-picture"
_BETWEEN = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
"""Goes out with the picture before it, since Chromium shows one when the head of the next is there; so no length."""

_CLOSE_SECONDS = 2.0


class LiveServer:
    """Serves `view` at host and port from `start` to `close`. The port is taken at once: UsageError where it cannot be.

    name    of the source, for the page
    facts   the numbers of the page, as JSON takes them; asked whenever a page asks
    """

    def __init__(self, view: LiveView, host: str, port: int, name: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        self._view = view
        self._name = name
        self._facts = facts
        self._names = own_names(host)
        self._socket = _listen(host, port)
        bound = self._socket.getsockname()
        self.host, self.port = host, int(bound[1])
        self.is_private = ipaddress.ip_address(bound[0]).is_loopback
        """Whether only programs on this machine reach it."""
        self.viewers = 0
        self._connections = 0
        self._idle: dict[asyncio.StreamWriter, None] = {}
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
    def address(self) -> str:
        """Where a browser on this machine finds the page."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        host = anywhere.get(self.host, self.host)
        return f"http://{_bracketed(host)}:{self.port}/"

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
        accepting = self._loop.create_task(self._accept_all())
        ended = self._loop.create_task(self._end.wait())
        await asyncio.wait((accepting, ended), return_when=asyncio.FIRST_COMPLETED)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        # Connections are closed at the loop's next turn.
        await asyncio.sleep(0)

    async def _accept_all(self) -> None:
        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(MAX_HEAD_BYTES), self._connected)

        self._socket.setblocking(False)
        while True:
            # A connection that is gone again, or too many open files: for the next one it may be different.
            with suppress(OSError):
                taken, _ = await self._loop.sock_accept(self._socket)
                await self._loop.connect_accepted_socket(protocol, taken)
            await asyncio.sleep(1 / MAX_NEW_PER_SECOND)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            # `drain` then waits until all is on its way, so that nobody has more than one picture on our side.
            writer.transport.set_write_buffer_limits(high=0)
            try:
                self._make_room()
                self._idle[writer] = None
                asked = request(await _ask(reader), self._names)
                self._idle.pop(writer, None)
                await self._answer(reader, writer, asked.method, asked.path)
            except HttpError as refused:
                await _send(writer, refused.answer())
            self._idle[writer] = None
            await _linger(reader, writer)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
            # Readers go away when they like.
            pass
        finally:
            self._idle.pop(writer, None)
            self._connections -= 1
            # Not what is left for a reader that takes nothing.
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    def _make_room(self) -> None:
        """Where there are too many connections, end the one that has been idle longest: still asking, or not gone."""
        if self._connections > MAX_CONNECTIONS:
            slowest = next(iter(self._idle), None)
            if slowest is None:
                raise HttpError(503)
            del self._idle[slowest]
            slowest.transport.abort()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, path: str) -> None:
        if method not in ("GET", "HEAD"):
            raise HttpError(405)
        is_head = method == "HEAD"
        if path == "/stream.mjpg":
            await self._stream(reader, writer, is_head)
            return
        kind, data = self._document(path)
        await _send(writer, head(200, kind, len(data)) + (b"" if is_head else data))

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
            if self._view.latest is None:
                raise HttpError(503)
            return "image/jpeg", self._image()[1]
        raise HttpError(204 if path == "/favicon.ico" else 404)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, is_head: bool) -> None:
        if self.viewers >= MAX_VIEWERS:
            raise HttpError(503)
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        await _send(writer, head(200, kind, None) + (b"" if is_head else _BETWEEN))
        if is_head:
            return
        self.viewers += 1
        # A viewer that leaves is noticed also while there is nothing to send.
        task, gone = asyncio.current_task(), self._loop.create_task(_discard(reader))
        gone.add_done_callback(lambda _: task and task.cancel())
        try:
            shown = 0
            # Until Python 3.11 `wait_for` may swallow that it was cancelled.
            while not (self._end.is_set() or gone.done()):
                started = time.monotonic()
                new = self._new
                newest = self._view.latest
                if newest is None or newest.number == shown:
                    await new.wait()
                    continue
                shown, jpeg = self._image()
                await _send(writer, jpeg + b"\r\n" + _BETWEEN)
                pause = max(1 / MAX_FRAMES_PER_SECOND, self.viewers / _MAX_IN_ALL) - (time.monotonic() - started)
                await asyncio.sleep(max(0.0, pause))
        finally:
            self.viewers -= 1
            gone.cancel()

    def _image(self) -> tuple[int, bytes]:
        """(number, JPEG) of the newest picture, compressed once for all who want it."""
        shot = self._view.latest
        if shot is not None and shot.number != self._jpeg[0]:
            done, data = cv2.imencode(".jpg", self._view.annotated(shot), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            self._jpeg = (shot.number, data.tobytes() if done else b"")
        return self._jpeg


async def _ask(reader: asyncio.StreamReader) -> bytes:
    """The lines of a request, to the empty one; Refused where they are too many or do not come."""
    try:
        return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), HEAD_SECONDS)
    except asyncio.LimitOverrunError as error:
        raise HttpError(431) from error
    except asyncio.TimeoutError as error:
        raise HttpError(408) from error


async def _discard(reader: asyncio.StreamReader) -> None:
    """Take what comes and forget it, until the other side has said all, or too much."""
    for _ in range(MAX_DISCARDED // _PIECE):
        if not await reader.read(_PIECE):
            return


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    """Send; TimeoutError where the other side does not take it."""
    writer.write(data)
    await asyncio.wait_for(writer.drain(), SEND_SECONDS)


async def _linger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Wait a moment for the other side to close: to close on bytes that nobody has read would throw the answer away."""
    writer.write_eof()
    await asyncio.wait_for(_discard(reader), LINGER_SECONDS)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; UsageError, one sentence, where the address cannot be had."""
    where = f"--serve {_bracketed(host)}:{port}"
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Asked for here: `create_server` would tell of an unknown name as it tells of everything else.
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
        return socket.create_server(found, family=family, backlog=MAX_CONNECTIONS)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(f"{where}: another program has this port: give another one, or 0 for any") from error
        if isinstance(error, PermissionError):
            raise UsageError(f"{where}: no permission for this port: give one above 1023") from error
        # The last one: an address that counts on one network alone, without that network's name (fe80::1%eth0).
        if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
            raise UsageError(
                f"{where}: this machine has no such address: leave HOST out to see the page on this machine alone, or"
                " give 0.0.0.0 for all of its addresses"
            ) from error
        raise UsageError(f"{where}: cannot listen there ({error.strerror or error}): give another HOST:PORT") from error
    except (OverflowError, UnicodeError, ValueError) as error:
        raise UsageError(f"{where}: this is no address to listen at: give PORT or HOST:PORT") from error
