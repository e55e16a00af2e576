"""Names of output files that every file system takes, and of which it takes no two for one."""

from __future__ import annotations

import hashlib
import os
import re
import sys
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

MAX_BYTES = 255
"""A name may have so many on nearly all file systems."""

MAX_PATH_BYTES = 1024
"""A place may have so many, so that there is room for the output folder in front of it."""

_WINDOWS_RESERVED = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f]')
_WINDOWS_DEVICES = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def file_name(name: str) -> str:
    """A file name that every system takes, made of a name that is not a file's (an address, a camera)."""
    plain = _WINDOWS_RESERVED.sub("_", name).rstrip(" .")
    return f"_{plain}" if not plain or plain.startswith(".") or _WINDOWS_DEVICES.fullmatch(plain) else plain


def path_key(name: str) -> str:
    """What is equal for two names that some file system takes for one: by case, or by how accents are composed."""
    return unicodedata.normalize("NFC", name.casefold())


def numbered_name(relative: str, number: int) -> str:
    """a/photo.jpg for 1, a/photo-2.jpg for 2, ..."""
    path = PurePosixPath(relative)
    return relative if number == 1 else str(path.with_name(truncate_name(f"{path.stem}-{number}{path.suffix}")))


def tagged_name(relative: str) -> str:
    """a/photo-masks.jpg: the name for an output that would otherwise be its own input."""
    path = PurePosixPath(relative)
    return str(path.with_name(truncate_name(f"{path.stem}-masks{path.suffix}")))


def truncate_name(name: str) -> str:
    """The name itself, or its beginning with a fingerprint and its suffixes where it is too long for a file system."""
    data = os.fsencode(name)
    if len(data) <= MAX_BYTES:
        return name
    suffixes = "".join(PurePosixPath(name).suffixes[-2:])[-40:]
    tail = f"~{hashlib.blake2b(data, digest_size=4).hexdigest()}{suffixes}"
    room = MAX_BYTES - len(os.fsencode(tail))
    return data[:room].decode(sys.getfilesystemencoding(), "ignore") + tail


def safe_relative_path(parts: Iterable[str]) -> PurePosixPath:
    """A place made of names from anywhere (an archive, an address); it stays below its folder on any system.

    What is too long for a file system is cut, with a fingerprint in its stead.
    """
    path = PurePosixPath(*[truncate_name(file_name(part)) for part in parts if part not in ("", ".")] or ["_"])
    data = os.fsencode(path)
    if len(data) <= MAX_PATH_BYTES:
        return path
    return PurePosixPath(
        path.parts[0], truncate_name(f"{hashlib.blake2b(data, digest_size=8).hexdigest()}-{path.name}")
    )


def is_below(path: str) -> bool:
    """Whether a path from a file that somebody else may have written is a name, or names, below a folder."""
    native = Path(path)
    return bool(native.parts) and not (native.anchor or ".." in native.parts or "\0" in path)
