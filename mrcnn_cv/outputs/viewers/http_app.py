"""What the server of --serve has to give: seven paths, GET and HEAD, and nothing for pages of others."""

from __future__ import annotations

import asyncio
import html
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mrcnn_cv.outputs.viewers.http_requests import is_of_another_page, is_ours
from mrcnn_cv.outputs.viewers.live_view import LiveView
from mrcnn_cv.util.json import to_bytes
from mrcnn_cv.util.opencv import cv2

_FOLDER = files("mrcnn_cv") / "outputs" / "viewers" / "page"

STYLE = (_FOLDER / "page.css").read_bytes()
SCRIPT = (_FOLDER / "page.js").read_bytes()
_PAGE = (_FOLDER / "page.html").read_text(encoding="utf-8")

MAX_VIEWERS = 32
"""Of the moving image at a time; more are told to come back later."""

MAX_FRAMES_PER_SECOND = 30.0
"""Images for one viewer."""

_MAX_IN_ALL = 240.0
_QUALITY = 80
_BOUNDARY = "mrcnn-cv-picture"
_BETWEEN = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\n\r\n".encode()
"""Goes out with the image before it, since Chromium shows one when the head of the next is there; so no length."""

_ALWAYS = {
    "Cache-Control": "no-store",
    # One request for each connection, so that the limit on new ones is one on requests.
    "Connection": "close",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Pages of others may not show what the camera sees.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
_HEADERS = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in _ALWAYS.items()]
_WRONG_NAME = (
    "mrcnn-cv does not know this name of its machine. Use the machine's address (http://ADDRESS:PORT/), or serve the"
    " live view under this name (NAME:PORT).\n"
)


class LiveApp:
    """The application for a view; everything happens in the thread of the server's loop.

    names       as for `is_ours`
    is_overrun  whether there are too many connections
    """

    def __init__(
        self,
        view: LiveView,
        name: str,
        facts: Callable[[], Mapping[str, Any]],
        names: Collection[str],
        is_overrun: Callable[[], bool],
    ) -> None:
        self._view = view
        self._facts = facts
        self._jpeg: tuple[int, bytes] = (0, b"")
        self._new = asyncio.Event()
        self._is_over = False
        self.viewers = 0
        """How many look at the moving image."""
        routes = [
            _fixed("/", page(name), "text/html"),
            _fixed("/page.css", STYLE, "text/css"),
            _fixed("/page.js", SCRIPT, "text/javascript"),
            Route("/numbers.json", self._numbers),
            Route("/picture.jpg", self._still_image),
            Route("/stream.mjpg", self._moving_image),
            Route("/favicon.ico", self._no_icon),
        ]
        app = Starlette(routes=routes)
        # A redirection would name the host that was asked for.
        app.router.redirect_slashes = False
        self.asgi = _Guard(app, names, is_overrun)

    def renew(self) -> None:
        """There is a new image."""
        self._new.set()
        self._new = asyncio.Event()

    def end(self) -> None:
        """Say good-bye to all viewers."""
        self._is_over = True
        self.renew()

    async def _numbers(self, request: Request) -> Response:
        facts = {**self._facts(), "viewers": self.viewers}
        return Response(to_bytes(facts), media_type="application/json; charset=utf-8")

    async def _still_image(self, request: Request) -> Response:
        return _later() if self._view.latest is None else Response(self._newest_jpeg()[1], media_type="image/jpeg")

    async def _moving_image(self, request: Request) -> Response:
        if self.viewers >= MAX_VIEWERS:
            return _later()
        kind = f"multipart/x-mixed-replace; boundary={_BOUNDARY}"
        return Response(media_type=kind) if request.method == "HEAD" else _MovingImage(self, kind)

    async def _no_icon(self, request: Request) -> Response:
        return Response(status_code=204)

    async def images(self) -> AsyncIterator[bytes]:
        """The moving image, to the end of the run; a viewer gets the newest one when all before is on its way."""
        yield _BETWEEN
        shown = 0
        while not self._is_over:
            started = time.monotonic()
            new, newest = self._new, self._view.latest
            if newest is None or newest.number == shown:
                await new.wait()
                continue
            shown, jpeg = self._newest_jpeg()
            yield jpeg + b"\r\n" + _BETWEEN
            # uvicorn takes the next piece when the one before is on its way.
            yield b""
            pause = max(1 / MAX_FRAMES_PER_SECOND, self.viewers / _MAX_IN_ALL) - (time.monotonic() - started)
            await asyncio.sleep(max(0.0, pause))

    def _newest_jpeg(self) -> tuple[int, bytes]:
        """(number, JPEG) of the newest image, compressed once for all who want it."""
        latest = self._view.latest
        if latest is not None and latest.number != self._jpeg[0]:
            done, data = cv2.imencode(".jpg", self._view.annotated(latest), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            self._jpeg = (latest.number, data.tobytes() if done else b"")
        return self._jpeg


class _MovingImage(StreamingResponse):
    """The moving image for one viewer, who is counted for as long as it lasts."""

    def __init__(self, app: LiveApp, kind: str) -> None:
        super().__init__(app.images(), media_type=kind)
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._app.viewers += 1
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._app.viewers -= 1


class _Guard:
    """Refuses what is not for us, and fences in every answer."""

    def __init__(self, app: ASGIApp, names: Collection[str], is_overrun: Callable[[], bool]) -> None:
        self._app = app
        self._names = names
        self._is_overrun = is_overrun

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def fenced(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *_HEADERS]}
            await send(message)

        answer = self._refusal(scope["method"], Headers(scope=scope)) or self._app
        await answer(scope, receive, fenced)

    def _refusal(self, method: str, fields: Headers) -> Response | None:
        """The answer to what gets no other."""
        if not is_ours(fields.get("host", ""), self._names):
            return PlainTextResponse(_WRONG_NAME if method == "GET" else "", 421)
        if is_of_another_page(fields):
            return Response(status_code=403)
        # Nobody reads what comes behind a request.
        if fields.get("content-length", "0") != "0" or "transfer-encoding" in fields:
            return Response(status_code=400)
        return _later() if self._is_overrun() else None


def page(name: str) -> bytes:
    """The page for a source, whose name may hold anything; without JavaScript it shows the image alone."""
    printable = "".join(character if character.isprintable() else "\ufffd" for character in name)
    return _PAGE.replace("{name}", html.escape(printable)).encode("utf-8", "replace")


def _fixed(path: str, data: bytes, kind: str) -> Route:
    async def endpoint(request: Request) -> Response:
        return Response(data, media_type=kind)

    return Route(path, endpoint)


def _later() -> Response:
    return Response(status_code=503, headers={"Retry-After": "5"})
