"""Small files that a user names: lists, labels, configs. Only a regular file is opened, and no more read than fits."""

from __future__ import annotations

import stat
from pathlib import Path


class UnfitFile(ValueError):
    """A file that is invalid; the message is the end of a sentence that begins with its path."""


def read_bytes(path: Path, what: str, maximum: int, *, pipes: bool = False) -> bytes:
    """The content of a regular file of at most `maximum` bytes.

    `what` says in an UnfitFile what the file should be ("a label file"). pipes: whether it may be a pipe as well, for
    whose writer is waited. OSError where it cannot be read, ValueError where its name cannot be one.
    """
    # A pipe may never end, or never begin, and both it and a device have a size of 0.
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise UnfitFile(f"is a folder, not {what}: give the file in it")
    if not (stat.S_ISREG(mode) or (pipes and stat.S_ISFIFO(mode))):
        raise UnfitFile(f"is a device or a pipe, not {what}: save its content to a file first")
    with path.open("rb") as file:
        data = file.read(maximum + 1)
    if len(data) > maximum:
        size = f"{maximum >> 20} MB" if maximum >= 1 << 20 else f"{maximum >> 10} KB"
        raise UnfitFile(f"is too large for {what} (at most {size})")
    return data


def read_text(path: Path, what: str, maximum: int) -> str:
    """The same as UTF-8 text (else ValueError), with or without a byte order mark; lines end with a line feed."""
    text = read_bytes(path, what, maximum).decode("utf-8-sig")
    return text.replace("\r\n", "\n").replace("\r", "\n")
