"""What hostile visitors of --serve cost a run: the frames it does in the same time with and without them.

    python tests/robustness/soak/server_load.py [--seconds N]

A run with one thread takes an image of the examples from a server, 30 times a second and so more often than it can.
Attackers have a process of their own: with two processors, what they cost is not what they take from the run there.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import multiprocessing
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.queues import Queue
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PICTURE = (ROOT / "examples" / "shapes.jpg").read_bytes()
STREAM = b"GET /stream.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n"
Attack = Callable[[int, Counter[str]], Awaitable[None]]


class _Camera(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=x")
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(b"--x\r\nContent-Type: image/jpeg\r\n\r\n" + PICTURE + b"\r\n")
                time.sleep(1 / 30)

    def log_message(self, format: str, *args: object) -> None:
        pass


async def _viewer(port: int, seen: Counter[str]) -> None:
    """Takes images as fast as they come; refused, it asks again after a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(STREAM)
    status = (await reader.readline()).split(b" ")[1].decode()
    seen[status] += 1
    while status == "200" and await reader.read(1 << 16):
        pass
    writer.close()
    await asyncio.sleep(1)


async def _slow(port: int, seen: Counter[str]) -> None:
    """Says its request a byte a second."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seen["opened"] += 1
    for byte in STREAM:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(1)
    await reader.read()


async def _deaf(port: int, seen: Counter[str]) -> None:
    """Asks for the moving image and takes nothing of it."""
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    writer.write(STREAM)
    seen["opened"] += 1
    await asyncio.sleep(30)
    writer.close()


async def _flood(port: int, seen: Counter[str]) -> None:
    """Opens connections as fast as it can, with nonsense on each."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"\0" * 9000 + b"\r\n\r\n")
    seen["opened"] += 1
    writer.transport.abort()


ATTACKS: dict[str, tuple[int, Attack]] = {
    "200 viewers": (200, _viewer),
    "500 slow clients": (500, _slow),
    "200 that take nothing": (200, _deaf),
    "a flood of connections": (8, _flood),
}


def _attack(name: str, port: int, said: Queue[dict[str, int]], seconds: float) -> None:
    """What the attackers' process does."""
    count, attack = ATTACKS[name]
    seen: Counter[str] = Counter()

    async def again() -> None:
        while True:
            try:
                await attack(port, seen)
            except (OSError, IndexError):
                seen["closed"] += 1
                await asyncio.sleep(0.01)

    async def all_of_them() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(again() for _ in range(count))), seconds)

    asyncio.run(all_of_them())
    said.put(dict(seen))


@contextlib.contextmanager
def _run(folder: Path) -> Iterator[int]:
    """A run that is served; gives its port."""
    camera = ThreadingHTTPServer(("127.0.0.1", 0), _Camera)
    camera.daemon_threads = True
    threading.Thread(target=camera.serve_forever, daemon=True).start()
    source = f"http://127.0.0.1:{camera.server_port}/camera.mjpg"
    command = [sys.executable, "-m", "mrcnn_cv", source, "--serve", "0", "--threads", "1", "--workers", "1"]
    process = subprocess.Popen([*command, "-o", str(folder)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    port = next(int(found[1]) for line in process.stderr if (found := re.search(r"127\.0\.0\.1:(\d+)/$", line.strip())))
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        yield port
    finally:
        process.terminate()
        process.wait()
        camera.shutdown()


def _frames(port: int) -> int:
    """That the run has done; asked by somebody honest."""
    for _ in range(100):
        with contextlib.suppress(OSError, http.client.HTTPException, KeyError, ValueError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/numbers.json")
            answer = connection.getresponse()
            if answer.status == 200:
                return int(json.loads(answer.read())["frames"])
        time.sleep(0.05)
    raise RuntimeError("the server does not answer")


def _measured(port: int, seconds: float) -> float:
    """Frames a second of the run, for so long."""
    first, start = _frames(port), time.monotonic()
    time.sleep(seconds)
    last, end = _frames(port), time.monotonic()
    return (last - first) / (end - start)


def main() -> None:
    """Alone, attacked, alone, attacked, ... in one and the same run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    seconds = parser.parse_args().seconds
    with _run(Path("/tmp/server-load")) as port:
        time.sleep(2)
        for name in ATTACKS:
            before = _measured(port, seconds)
            said: Queue[dict[str, int]] = multiprocessing.Queue()
            attackers = multiprocessing.Process(target=_attack, args=(name, port, said, seconds + 3))
            attackers.start()
            time.sleep(2)
            during = _measured(port, seconds)
            seen = said.get()
            attackers.join()
            after = _measured(port, seconds)
            alone = (before + after) / 2
            print(f"{name}: {during:.1f} frames/s, {alone:.1f} without ({during / alone:.2f}); {seen}", flush=True)


if __name__ == "__main__":
    main()
