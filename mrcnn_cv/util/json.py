"""JSON for people and programs: UTF-8, but for what a terminal would take for a command or a turn of the text."""

from __future__ import annotations

import json
import re
from typing import Any

# Controls that JSON leaves as they are, marks that turn the direction of text, line ends of Unicode, lone surrogates.
_HIDDEN = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def dumps(value: Any, indent: int | None = None, *, allow_nan: bool = False) -> str:
    """`value` as JSON that reads back the same; unless allow_nan, ValueError for numbers that JSON does not have."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=allow_nan, indent=indent)
    # Most records are: looking through them letter by letter would take twice as long as making them.
    if text.isascii() and "\x7f" not in text:
        return text
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def to_bytes(value: Any) -> bytes:
    """The same on one line, in UTF-8; the odd bytes of a file name, lone surrogates in Python, as `\\udcXX`."""
    return dumps(value).encode("utf-8")
