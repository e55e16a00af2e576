"""A camera on the network that is not to be relied on, and people who look at what is made of it."""

from __future__ import annotations

import http.server
import itertools
import random
import threading
from collections import Counter
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import cv2
import numpy as np

Image = np.ndarray[Any, Any]

_BOUNDARY = "frame"
_SIZES = ((320, 240), (400, 300), (240, 320), (160, 120))
_STALL_SECONDS = 14.0
"""Longer than the program waits."""


class Camera:
    """Serves /stream.mjpg; every connection ends in some way of its own. `told` counts what it did."""

    def __init__(self, base: Image, random: random.Random, fps: float) -> None:
        self._base = base
        self._random = random
        self._fps = fps
        self._refuse = 0
        self.told: Counter[str] = Counter()
        self.closing = threading.Event()
        camera = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                camera.answer(self)

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}/stream.mjpg"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Send nothing any more."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """One connection: images of one size or of several, then whatever."""
        self.told["connections"] += 1
        if self._refuse:
            self._refuse -= 1
            self.told["refused"] += 1
            handler.send_error(503)
            return
        handler.send_response(200)
        handler.send_header("Content-Type", f"multipart/x-mixed-replace; boundary={_BOUNDARY}")
        handler.end_headers()
        size = self._random.choice(_SIZES)
        changes = self._random.random() < 0.3
        for number in range(self._random.randrange(30, 200)):
            if changes and number == 20:
                self.told["changed size"] += 1
                size = self._random.choice(_SIZES)
            self._send(handler, self._picture(size))
            if self.closing.wait(1 / self._fps):
                return
        end = self._random.choice(("close", "stall", "cut", "rubbish", "refuse"))
        self.told[end] += 1
        if end == "stall":
            self.closing.wait(_STALL_SECONDS)
        elif end == "cut":
            data = self._picture(size)
            self._send(handler, data[: len(data) // 3], len(data))
        elif end == "rubbish":
            self._send(handler, self._random.randbytes(3000))
            handler.wfile.write(self._random.randbytes(3000))
        elif end == "refuse":
            self._refuse = self._random.randrange(1, 4)

    def _picture(self, size: tuple[int, int]) -> bytes:
        self.told["pictures"] += 1
        image = cv2.resize(self._base, size, interpolation=cv2.INTER_AREA)
        # It pans, so that there is something to follow.
        image = np.roll(image, 3 * self.told["pictures"] % size[0], 1)
        return cv2.imencode(".jpg", image)[1].tobytes()

    def _send(self, handler: http.server.BaseHTTPRequestHandler, data: bytes, length: int | None = None) -> None:
        length = len(data) if length is None else length
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {length}\r\n\r\n"
        handler.wfile.write(head.encode() + data + b"\r\n")
        handler.wfile.flush()


class Viewers:
    """Browsers that come and go at the live view `address`, some of which never read what they asked for."""

    def __init__(self, address: str, random: random.Random) -> None:
        self._address = address
        self._random = random
        self.told: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.closing = threading.Event()
        self._threads = [threading.Thread(target=self._look, args=(random.random(),), daemon=True) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """All go home."""
        self.closing.set()
        for thread in self._threads:
            thread.join()

    def _look(self, seed: float) -> None:
        chance = random.Random(seed)
        while not self.closing.wait(chance.uniform(2, 25)):
            path = chance.choice(("", "numbers.json", "picture.jpg", "stream.mjpg", "stream.mjpg", "no/such"))
            try:
                self._visit(path, chance)
            except URLError as error:
                status = getattr(error, "code", None)
                if status != (404 if path == "no/such" else None) and status != 503:
                    self.wrong.append(f"/{path}: {error}")
            except OSError as error:
                self.told[f"{type(error).__name__} at /{path}"] += 1

    def _visit(self, path: str, chance: random.Random) -> None:
        self.told[f"/{path}"] += 1
        with urlopen(self._address + path, timeout=30) as answer:
            if path != "stream.mjpg":
                data = answer.read()
                if path == "picture.jpg" and not data.startswith(b"\xff\xd8"):
                    self.wrong.append("/picture.jpg is no JPEG")
                return
            if chance.random() < 0.3:
                self.told["never read"] += 1
                self.closing.wait(20)
                return
            for _ in itertools.takewhile(lambda _: not self.closing.is_set(), range(chance.randrange(5, 300))):
                if not answer.read(2000):
                    return
