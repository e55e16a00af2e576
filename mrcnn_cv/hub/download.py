"""One file over HTTP: resumed, retried, never longer than it should be. What it holds is for the caller to verify.

Python's own HTTP client does it, with a Range header (docs/models.md weighs it against libraries).
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO, Any

from mrcnn_cv.errors import ModelFileError, Remedy
from mrcnn_cv.hub.cache import writable
from mrcnn_cv.hub.resolve import PullListener
from mrcnn_cv.util import http as connection
from mrcnn_cv.util.files import write_atomically
from mrcnn_cv.util.http import ELSEWHERE, Temporary
from mrcnn_cv.util.version import __version__

_CHUNK = 1 << 16
_WORTH_TRYING_AGAIN = (408, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class RetryPolicy:
    """How long to wait for a server. Times in seconds.

    attempts   failures in a row before giving up; a failure after at least a hundredth of the file begins a new row
    slowest    bytes per second, over `timeout`, below which a connection counts as stalled
    """

    timeout: float = 30.0
    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    slowest: float = 1024.0


class PartialFile:
    """What has arrived of a file, and notes on where from.

    key   what the file shall be: bytes that were fetched for another are dropped
    """

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        self._notes_path = path.with_name(path.name + ".json")
        self._key = key
        self._notes = self._read_notes()
        if self._notes.get("key") != key:
            self._notes = {}
            with writable(path):
                self.discard()

    @property
    def size(self) -> int:
        """Bytes that are here."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def validator(self, url: str) -> str | None:
        """What the server at `url` called the version that the bytes here belong to."""
        known = self._notes.get("validator")
        return known if isinstance(known, str) and self._notes.get("url") == url else None

    def start(self, url: str, validator: str | None) -> None:
        """Begin anew, with bytes from `url`."""
        with writable(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_bytes(b"")
            self._notes = {"key": self._key, "url": url, "validator": validator}
            write_atomically(self._notes_path, json.dumps(self._notes).encode(), alone=True)

    def append(self) -> IO[bytes]:
        """The file, to be written at its end; unbuffered, so that a write fails where it is made."""
        with writable(self.path):
            return open(self.path, "ab", buffering=0)

    def discard(self) -> None:
        """Leave nothing behind. OSError where that fails."""
        self._notes = {}
        self.path.unlink(missing_ok=True)
        self._notes_path.unlink(missing_ok=True)

    def _read_notes(self) -> Mapping[str, Any]:
        try:
            notes = json.loads(self._notes_path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        return notes if isinstance(notes, dict) else {}


def download(url: str, part: PartialFile, size: int, retry: RetryPolicy, listener: PullListener) -> bool:
    """Fetch `url` until `part` has `size` bytes, never more. True where they came from more than one answer.

    ModelFileError where the server does not give them; what has arrived is kept for the next time.
    """
    connection.check_url(url)
    answers, failures = 0, 0
    if part.size > size:
        part.start(url, None)
    while part.size < size:
        before = part.size
        try:
            answers += 1
            _fetch(url, part, size, retry, listener)
        except Temporary as problem:
            failures = 1 if part.size - before >= max(1, size // 100) else failures + 1
            if failures >= retry.attempts:
                kept = f"; {part.size:,} of {size:,} bytes are here, the same command goes on from there"
                raise ModelFileError(
                    f"{url} cannot be fetched, {problem}{kept if part.size else ''}: {ELSEWHERE}", Remedy.ARCHIVE
                ) from problem
            wait = min(max(retry.first_wait * 2 ** (failures - 1), problem.wait), retry.longest_wait)
            listener.note(f"{problem}; trying again in {wait:.0f} s")
            time.sleep(wait)
    return answers > 1


def _fetch(url: str, part: PartialFile, size: int, retry: RetryPolicy, listener: PullListener) -> None:
    """One request, and as much of its answer as comes."""
    start = part.size
    headers = {"User-Agent": f"mrcnn-cv/{__version__}", "Accept-Encoding": "identity", "Connection": "close"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if (validator := part.validator(url)) is not None:
            headers["If-Range"] = validator
    try:
        with _open(urllib.request.Request(url, headers=headers), part, retry.timeout) as response:
            if response.status == 206:
                _check_continuation(response, part, start, size)
            elif response.status == 200:
                _check_announced(url, response, size)
                part.start(url, _validator(response))
            else:
                raise ModelFileError(f"{url} answers with status {response.status}: {ELSEWHERE}", Remedy.ARCHIVE)
            _receive(response, part, size, retry, listener)
    except (HTTPException, OSError, ValueError) as error:
        raise connection.problem(url, error, fresh=not part.size) from error
    if part.size < size:
        raise Temporary("the connection ended too early")


def _open(request: urllib.request.Request, part: PartialFile, timeout: float) -> HTTPResponse:
    """The answer to a request, where it is good; Temporary or ModelFileError where not."""
    try:
        response = connection.opener().open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            code = error.code
            if code == 416:
                # What is here is not the beginning of what is there.
                with writable(part.path):
                    part.discard()
                raise Temporary("the server has another file than before") from error
            if code in _WORTH_TRYING_AGAIN:
                raise Temporary(f"the server answers {code} {error.reason}", _retry_after(error.headers)) from error
            if 300 <= code < 400:
                raise ModelFileError(
                    f"{request.full_url} redirects in a circle or too often: {ELSEWHERE}", Remedy.ARCHIVE
                ) from error
            raise ModelFileError(
                f"{request.full_url} cannot be fetched, the server answers {code} {error.reason}: check the address,"
                " or get it from elsewhere",
                Remedy.ARCHIVE,
            ) from error
    assert isinstance(response, HTTPResponse)
    return response


def _check_continuation(response: HTTPResponse, part: PartialFile, start: int, size: int) -> None:
    """The answer begins where our bytes end, in a file of the same size; else ours are dropped."""
    range_given = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip())
    if range_given and int(range_given[1]) == start and range_given[2] in ("*", str(size)):
        return
    with writable(part.path):
        part.discard()
    raise Temporary("the server went on elsewhere than asked")


def _check_announced(url: str, response: HTTPResponse, size: int) -> None:
    announced = response.headers.get("Content-Length")
    if announced is None or announced.strip() == str(size):
        return
    what = "a web page" if response.headers.get_content_type() == "text/html" else f"{announced} bytes"
    raise ModelFileError(f"{url} offers {what} instead of the archive's {size:,} bytes: {ELSEWHERE}", Remedy.ARCHIVE)


def _validator(response: HTTPResponse) -> str | None:
    """What If-Range may name: a strong entity tag, or else the date."""
    tag = response.headers.get("ETag", "").strip()
    if re.fullmatch(r'"[!#-~]*"', tag):
        return tag
    date = response.headers.get("Last-Modified", "").strip()
    return date if re.fullmatch(r"[ -~]+", date) else None


def _receive(response: HTTPResponse, part: PartialFile, size: int, retry: RetryPolicy, listener: PullListener) -> None:
    """Append what comes, at most up to `size` bytes in all."""
    done = part.size
    since, done_then = time.monotonic(), done
    with part.append() as file:
        while done < size:
            chunk = response.read1(min(_CHUNK, size - done))
            if not chunk:
                return
            with writable(part.path):
                rest = memoryview(chunk)
                while rest:
                    rest = rest[file.write(rest) :]
            done += len(chunk)
            listener.progress(done, size)
            elapsed = time.monotonic() - since
            if elapsed >= retry.timeout:
                if done - done_then < retry.slowest * elapsed:
                    raise Temporary("the server has almost stopped sending")
                since, done_then = time.monotonic(), done


def _retry_after(headers: Any) -> float:
    """Seconds that the server asks us to wait; dates are not worth reading."""
    text = (headers.get("Retry-After") or "").strip() if headers is not None else ""
    return float(text) if re.fullmatch(r"\d{1,5}", text) else 0.0
