"""Names of output files: one per input, no two alike on any file system."""

from __future__ import annotations

import re
import unicodedata
from pathlib import PurePath

_WINDOWS_RESERVED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def file_name(name: str) -> str:
    """A file name that every system takes, made of a name that is not a file's (an address, a camera)."""
    plain = _WINDOWS_RESERVED.sub("_", name).rstrip(" .")
    return f"_{plain}" if not plain or plain.startswith(".") or _WINDOWS_DEVICES.fullmatch(plain) else plain


def same(name: str) -> str:
    """What is equal for two names that some file system takes for one: by case, or by how accents are composed."""
    return unicodedata.normalize("NFC", name.casefold())


def numbered(name: str, number: int) -> str:
    """photo.jpg for 1, photo-2.jpg for 2, ..."""
    path = PurePath(name)
    return name if number == 1 else f"{path.stem}-{number}{path.suffix}"


def marked(name: str) -> str:
    """photo-masks.jpg: the name for an output that would otherwise be its own input."""
    path = PurePath(name)
    return f"{path.stem}-masks{path.suffix}"
