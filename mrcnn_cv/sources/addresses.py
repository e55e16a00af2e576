"""Pictures on the web."""

from __future__ import annotations

import urllib.error
import urllib.request
from functools import partial
from http.client import HTTPException
from urllib.parse import unquote, urlsplit

from mrcnn_cv import __version__, names
from mrcnn_cv.errors import InputError, MrcnnCvError
from mrcnn_cv.sources.items import Item

MOST_BYTES = 1 << 28
SECONDS = 30.0


def is_address(text: str) -> bool:
    """Whether a source is the address of a picture."""
    return text.lower().startswith(("http://", "https://"))


def at_address(address: str) -> Item:
    """The picture at an http or https address; it is fetched when its turn comes."""
    parts = urlsplit(address)
    last = unquote(parts.path.rsplit("/", 1)[-1]) or parts.hostname or "picture"
    return Item(address, names.place([last]), None, partial(_fetch, address))


def _fetch(address: str) -> bytes:
    # Most runs need no network, and these imports take their time.
    from mrcnn_cv.zoo.connection import opener

    request = urllib.request.Request(
        address, headers={"User-Agent": f"mrcnn-cv/{__version__}", "Accept": "image/*, */*"}
    )
    try:
        with opener().open(request, timeout=SECONDS) as answer:
            data: bytes = answer.read(MOST_BYTES + 1)
            expected = answer.headers.get("Content-Length")
    except urllib.error.HTTPError as error:
        raise InputError(f"{address} cannot be fetched: the server answers {error.code} {error.reason}") from error
    except (OSError, ValueError, HTTPException, MrcnnCvError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise InputError(f"{address} cannot be fetched ({reason}): check the address and the connection") from error
    if len(data) > MOST_BYTES:
        raise InputError(f"{address} has more than {MOST_BYTES >> 20} MiB: fetch it yourself and give the file")
    if expected is not None and expected.isdecimal() and int(expected) != len(data):
        raise InputError(f"{address} was cut short, {len(data)} of {expected} bytes came: try again")
    return data
