"""Addresses as they may be told and written: without what is secret in them."""

from __future__ import annotations

import re

# Up to the last @: a password may hold one, and / and ?, though such an address leads nowhere. A number before the path
# is a port, after which an @ is a part of a name (http://host:8080/icon@2x.png).
_PASSWORD = re.compile(
    r"([a-z][a-z0-9+.-]+:/+(?!\[)[^/?#:]*):(?!\d{1,5}(?:[/?#]|$)).*@",
    re.IGNORECASE | re.DOTALL,
)

# Not in the query alone: cameras take passwords in their paths, too (rtsp://host/user=me&password=secret&channel=1).
_VALUE = re.compile(
    r"((?:pas|pwd|token|secret|signature|credential|auth|sess|jwt)[^=&?/]*=|(?:key|sig|pw|code)=)[^&]*",
    re.IGNORECASE,
)


def redact_url(address: str) -> str:
    """The address with *** for its password, and for the values of parameters that are called like a secret.

    Whatever is no address comes back as it is. Two addresses that differ in a secret alone become the same.
    """
    return _VALUE.sub(r"\1***", _PASSWORD.sub(r"\1:***@", address)) if ":/" in address else address
