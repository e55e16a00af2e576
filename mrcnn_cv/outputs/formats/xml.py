"""Text for XML files: escaped, and without what XML 1.0 cannot hold."""

from __future__ import annotations

import re
from xml.sax.saxutils import escape

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def text(value: str) -> str:
    """For use between tags. A character that XML cannot hold is written as in Python (`\\x01`, `\\udce9`)."""
    # A reader takes a bare carriage return for a line feed.
    return escape(_NO_XML.sub(_spelled, value), {"\r": "&#13;"})


def attribute(value: str) -> str:
    """With its quotes, for use as the value of an attribute."""
    entities = {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
    return f'"{escape(_NO_XML.sub(_spelled, value), entities)}"'


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
