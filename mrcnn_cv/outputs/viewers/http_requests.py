"""What the server of --serve understands of HTTP: one request for each connection, checked, and a status for the rest.

A page from the web must neither see nor steer a view that this machine's browser reaches. So a request is refused that
names a host which is not ours (its name may have been pointed here for the purpose: DNS rebinding), or that a browser
says comes from another origin. Nothing of a request ever stands in an answer.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Collection
from dataclasses import dataclass

REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    421: "Misdirected Request",
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
    "Cross-Origin-Opener-Policy: same-origin",
    "X-Frame-Options: DENY",
    "Content-Security-Policy: default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self';"
    " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
)
_WRONG_NAME = (
    "mrcnn-cv does not know this name of its machine. Use the machine's address (http://ADDRESS:PORT/), or start"
    " mrcnn-cv with --serve NAME:PORT.\n"
)
_FIRST_LINE = re.compile(rb"([A-Z]{1,16}) (/[\x21-\x7e]*) HTTP/1\.[0-9]")
_HOST = re.compile(r"(?:\[([0-9a-f:.]*)\]|([^:/?#@\[\]\s]*))(?::[0-9]{0,5})?")


class HttpError(Exception):
    """A request that gets nothing but a status, and at most a sentence for people."""

    def __init__(self, status: int, text: str = "") -> None:
        super().__init__(status)
        self.status = status
        self.text = text

    def answer(self) -> bytes:
        """All of the answer."""
        data = self.text.encode("ascii")
        return head(self.status, "text/plain", len(data)) + data


@dataclass(frozen=True)
class Request:
    """method: as it came, of capital letters; path: begins with a slash, printable ASCII, without what follows `?`."""

    method: str
    path: str


def request(data: bytes, names: Collection[str]) -> Request:
    """The request whose lines are `data`, to its empty line; Refused where it is none, or none for us.

    names: in small letters, by which this machine may be called besides its addresses and localhost.
    """
    first, *lines = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    found = _FIRST_LINE.fullmatch(first)
    if found is None:
        raise HttpError(400)
    method, path = found[1].decode("ascii"), found[2].decode("ascii").partition("?")[0]
    fields = _fields(lines)
    if not _is_ours(fields.get("host", ""), names):
        raise HttpError(421, _WRONG_NAME if method == "GET" else "")
    if _is_of_another_page(fields):
        raise HttpError(403)
    return Request(method, path)


def own_names(host: str) -> frozenset[str]:
    """Names for `request`: the one that the user gave, and those that this machine has by itself."""
    machine = socket.gethostname().lower()
    short = machine.partition(".")[0]
    return frozenset({host.lower(), machine, short, f"{short}.local"})


def _fields(lines: list[bytes]) -> dict[str, str]:
    """The header fields by their names in small letters; Refused where a line is none, or a host is named twice."""
    fields: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(b":")
        # Lines that others may read in two ways.
        if not colon or not name or name != name.strip() or any(mark in line for mark in b"\r\n\0"):
            raise HttpError(400)
        key = name.decode("latin-1").lower()
        if key == "host" and key in fields:
            raise HttpError(400)
        fields[key] = value.decode("latin-1").strip()
    return fields


def _is_ours(host: str, names: Collection[str]) -> bool:
    """Whether a Host field names us. An address cannot be pointed elsewhere; no field at all: this is no browser."""
    found = _HOST.fullmatch(host.lower())
    if found is None:
        return False
    name = (found[1] or found[2] or "").removesuffix(".")
    if not name or name == "localhost" or name.endswith(".localhost") or name in names:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_of_another_page(fields: dict[str, str]) -> bool:
    """Whether a browser says that a page of another origin asks. To follow a link to us is not that."""
    origin = fields.get("origin")
    own = fields.get("host", "").lower()
    if origin is not None and origin.lower() not in (f"http://{own}", f"https://{own}"):
        return True
    is_link = fields.get("sec-fetch-mode") == "navigate" and fields.get("sec-fetch-dest") == "document"
    return fields.get("sec-fetch-site", "none") not in ("none", "same-origin") and not is_link


def head(status: int, kind: str, length: int | None) -> bytes:
    """The head of an answer. length: of what follows in bytes, None: until the connection ends."""
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", f"Content-Type: {kind}", *_ALWAYS]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    if status == 405:
        lines.append("Allow: GET, HEAD")
    if status == 503:
        lines.append("Retry-After: 5")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("ascii")
