"""Images on the web."""

from __future__ import annotations

import base64
import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from mrcnn_cv.errors import InputError, MrcnnCvError
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.util import filenames
from mrcnn_cv.util.redact import redact_url
from mrcnn_cv.util.version import __version__

if TYPE_CHECKING:
    # Most runs need no network, and these imports take their time.
    from urllib.request import Request

MAX_BYTES = 1 << 28
SECONDS = 30.0


def is_url(text: str) -> bool:
    """Whether a source is the address of an image."""
    return text.lower().startswith(("http://", "https://"))


def ref_at_url(address: str) -> ImageRef:
    """The image at an http or https address; it is fetched when its turn comes."""
    name = redact_url(address)
    try:
        parts = urlsplit(name)
        last = unquote(parts.path.rsplit("/", 1)[-1]) or parts.hostname or "picture"
    except ValueError:
        last = "picture"
    return ImageRef(name, filenames.safe_relative_path([last]), None, partial(_fetch, address))


def request_for(address: str) -> Request:
    """How to ask for an address. InputError, one sentence, where it is none.

    A user name and a password go along as HTTP's basic authentication, to this address alone: after a redirect not any
    more.
    """
    from urllib.request import Request

    wrong = InputError(
        f"{redact_url(address)} is not an address that can be asked for: write spaces, and / ? # @ and : of a password,"
        " as %20, %2F, %3F, %23, %40 and %3A"
    )
    try:
        parts = urlsplit(address)
        good = bool(parts.hostname) and parts.port != 0
    except ValueError as error:
        raise wrong from error
    if not good or re.search(r"[\x00-\x20\x7f]", address):
        raise wrong
    who, at, host = parts.netloc.rpartition("@")
    request = Request(urlunsplit(parts._replace(netloc=host)))
    request.add_header("User-Agent", f"mrcnn-cv/{__version__}")
    if at:
        user, _, password = who.partition(":")
        token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode())
        request.add_unredirected_header("Authorization", f"Basic {token.decode('ascii')}")
    return request


def _fetch(address: str) -> bytes:
    from http.client import HTTPException, InvalidURL
    from urllib.error import HTTPError

    from mrcnn_cv.util.http import opener

    name, request = redact_url(address), request_for(address)
    request.add_header("Accept", "image/*, */*")
    try:
        with opener().open(request, timeout=SECONDS) as answer:
            data: bytes = answer.read(MAX_BYTES + 1)
            expected = answer.headers.get("Content-Length")
    except HTTPError as error:
        raise InputError(f"{name} cannot be fetched: the server answers {error.code} {error.reason}") from error
    except (OSError, ValueError, HTTPException, MrcnnCvError) as error:
        # What is wrong with an address is told with parts of it.
        reason = "this is no address" if isinstance(error, ValueError | InvalidURL) else _reason(error)
        raise InputError(f"{name} cannot be fetched ({reason}): check the address and the connection") from error
    if len(data) > MAX_BYTES:
        raise InputError(f"{name} has more than {MAX_BYTES >> 20} MiB: fetch it yourself and give the file")
    if expected is not None and expected.isdecimal() and int(expected) != len(data):
        raise InputError(f"{name} was cut short, {len(data)} of {expected} bytes came: try again")
    return data


def _reason(error: Exception) -> object:
    return getattr(error, "reason", None) or getattr(error, "strerror", None) or error
