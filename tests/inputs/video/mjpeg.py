"""A camera on the network, for tests: an HTTP server that sends JPEGs, and fails as it is told."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Literal

import cv2
import numpy as np

Then = Literal["close", "stall"]

BOUNDARY = "frame"
FPS = 50


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray[Any, Any]:
    """(height, width, 3) uint8 of one grey level, from which `number_of` reads the number."""
    return np.full((height, width, 3), 20 + 8 * (number % 25), dtype=np.uint8)


def number_of(image: np.ndarray[Any, Any]) -> int:
    """Of `picture`, as far as a JPEG keeps it: modulo 25."""
    return round((float(image.mean()) - 20) / 8)


class MjpegServer:
    """Serves /video.mjpg. Each connection takes the next of `turns`: (how many images, what comes then).

    A connection beyond the last turn is answered with 503. /empty.mjpg answers and never sends an image, /silent never
    answers, /text is a text, /password wants one.
    """

    def __init__(self, turns: Sequence[tuple[int, Then]], size: tuple[int, int] = (64, 48), fps: float = FPS) -> None:
        self._turns = list(turns)
        self._size = size
        self._fps = fps
        self._number = 0
        self._lock = threading.Lock()
        self.closing = threading.Event()
        self.connections = 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                server.answer(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> MjpegServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str = "/video.mjpg") -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{path}"

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.path == "/silent":
            self.closing.wait()
        elif handler.path == "/text":
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.write(b"no images here\n" * 100)
        elif handler.path == "/password":
            handler.send_error(401)
        elif handler.path == "/empty.mjpg":
            self._begin(handler)
            self.closing.wait()
        elif handler.path.startswith("/video"):
            with self._lock:
                turn = self._turns.pop(0) if self._turns else None
                self.connections += 1
            if turn is None:
                handler.send_error(503)
            else:
                self._play(handler, *turn)
        else:
            handler.send_error(404)

    def _begin(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={BOUNDARY}")
        handler.end_headers()
        handler.wfile.flush()

    def _play(self, handler: http.server.BaseHTTPRequestHandler, count: int, then: Then) -> None:
        self._begin(handler)
        for _ in range(count):
            data = cv2.imencode(".jpg", picture(self._number, *self._size))[1].tobytes()
            self._number += 1
            head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            handler.wfile.write(head.encode() + data + b"\r\n")
            handler.wfile.flush()
            if self.closing.wait(1 / self._fps):
                return
        if then == "stall":
            self.closing.wait()
