"""--serve: the live view in any browser, by uvicorn and starlette (extra: serve) in a thread of their own.

That thread serves everybody: it can neither slow the run nor be held up by a slow reader. A viewer gets the newest
image when it has taken the one before; each image is compressed once, and only while somebody looks. Everything
that others can make it hold or do has a limit: connections, new ones a second, bytes, and seconds.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from mrcnn_cv.errors import Remedy, UsageError
from mrcnn_cv.outputs.viewers.http_requests import own_names
from mrcnn_cv.outputs.viewers.live_view import LiveView
from mrcnn_cv.util.packages import cannot_import

try:
    import uvicorn

    from mrcnn_cv.outputs.viewers import http_connection
    from mrcnn_cv.outputs.viewers.http_app import LiveApp
except ImportError as error:
    # This module is imported where --serve is given, and before a model is loaded.
    what = cannot_import(error, "serve", "starlette", "uvicorn")
    raise UsageError(f"the live view needs the packages {what}") from error

MAX_NEW_PER_SECOND = 250.0
"""Connections; those of a flood wait in the system, where they cost the run nothing."""

MAX_HEAD_BYTES = 8192
_WAITING = 128
_GRACE_SECONDS = 1
_CLOSE_SECONDS = 2.0


class LiveServer:
    """Serves `view` at host and port from `start` to `close`. The port is taken at once: UsageError where it cannot be.

    name    of the source, for the page
    facts   the numbers of the page, as JSON takes them; asked whenever a page asks
    """

    def __init__(self, view: LiveView, host: str, port: int, name: str, facts: Callable[[], Mapping[str, Any]]) -> None:
        self._view = view
        self._app = LiveApp(view, name, facts, own_names(host), self._is_overrun)
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app.asgi,
                http="h11",
                ws="none",
                lifespan="off",
                interface="asgi3",
                # Of defects of ours alone: what strangers send is no message for the terminal.
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_graceful_shutdown=_GRACE_SECONDS,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
            )
        )
        self._socket = _listen(host, port)
        bound = self._socket.getsockname()
        self.host, self.port = host, int(bound[1])
        self.is_private = ipaddress.ip_address(bound[0]).is_loopback
        """Whether only programs on this machine reach it."""
        self._asking: dict[http_connection.Connection, None] = {}
        self._accepting: asyncio.Task[None] | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="live-server", daemon=True)

    def __enter__(self) -> LiveServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
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
                self._loop.call_soon_threadsafe(self._end)
            self._thread.join(_CLOSE_SECONDS)
        elif not self._loop.is_closed():
            self._loop.close()
        self._socket.close()

    def _wake(self) -> None:
        """From the thread of the run: there is a new image."""
        if self._app.viewers:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._app.renew)

    def _end(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        self._app.end()
        # Who has not taken what was sent is not waited for.
        http_connection.abort(self._server.server_state, only_stuck=True)
        self._server.should_exit = True

    def _is_overrun(self) -> bool:
        return len(self._server.server_state.connections) > http_connection.MAX_CONNECTIONS

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._answer_all())
        finally:
            self._loop.close()

    async def _answer_all(self) -> None:
        self._accepting = self._loop.create_task(self._accept_all())
        # Without sockets: it would take up all that come, at once.
        await self._server.serve(sockets=[])
        self._accepting.cancel()
        http_connection.abort(self._server.server_state)
        # Connections are closed at the loop's next turn.
        await asyncio.gather(self._accepting, return_exceptions=True)

    async def _accept_all(self) -> None:
        def protocol() -> http_connection.Connection:
            return http_connection.Connection(self._server.config, self._server.server_state, self._asking)

        self._socket.setblocking(False)
        while True:
            # A connection that is gone again, or too many open files: for the next one it may be different.
            with suppress(OSError):
                taken, _ = await self._loop.sock_accept(self._socket)
                await self._loop.connect_accepted_socket(protocol, taken)
            await asyncio.sleep(1 / MAX_NEW_PER_SECOND)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens; UsageError, one sentence, where the address cannot be had."""
    where = f"{_bracketed(host)}:{port}"
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Asked for here: `create_server` would tell of an unknown name as it tells of everything else.
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)[0][4]
        return socket.create_server(found, family=family, backlog=_WAITING)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"{where}: another program has this port: give another one, or 0 for any", Remedy.SERVE_ADDRESS
            ) from error
        if isinstance(error, PermissionError):
            raise UsageError(
                f"{where}: no permission for this port: give one above 1023", Remedy.SERVE_ADDRESS
            ) from error
        # The last one: an address that counts on one network alone, without that network's name (fe80::1%eth0).
        if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
            raise UsageError(
                f"{where}: this machine has no such address: leave HOST out to see the page on this machine alone, or"
                " give 0.0.0.0 for all of its addresses",
                Remedy.SERVE_ADDRESS,
            ) from error
        raise UsageError(
            f"{where}: cannot listen there ({error.strerror or error}): give another HOST:PORT", Remedy.SERVE_ADDRESS
        ) from error
    except (OverflowError, UnicodeError, ValueError) as error:
        raise UsageError(
            f"{where}: this is no address to listen at: give PORT or HOST:PORT", Remedy.SERVE_ADDRESS
        ) from error
