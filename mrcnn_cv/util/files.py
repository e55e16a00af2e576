"""Files: read within limits, written whole or not at all, locked; and why one cannot be written."""

from __future__ import annotations

import errno
import glob
import os
import secrets
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Literal


class UnfitFile(ValueError):
    """A file that is invalid; the message is the end of a sentence that begins with its path."""


def kind(path: Path) -> Literal["folder", "file", "other"] | None:
    """What is at a path, behind links; None: nothing. OSError where nobody can look: no permission, links in a circle.

    The predicates of pathlib raise such errors or call them "nothing", as the version of Python has it; those of
    os.path call them "nothing" and are for where the next call says what is wrong.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        # A ValueError: a byte that no name has.
        return None
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


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


ABANDONED_SECONDS = 3600.0
"""A file that a process began to write so long ago, and that takes a moment, belongs to one that was killed."""


def write_atomically(path: Path, data: bytes, *, alone: bool = False) -> None:
    """Put `data` at `path`, whole or not at all, in a folder that is made if need be. OSError where that fails.

    What a process that was killed had half written goes: after an hour, or, where the caller holds a lock and is
    `alone`, at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f"{glob.escape(f'.{path.name}-')}{'[0-9a-f]' * 12}.tmp"):
        with suppress(OSError):
            if alone or left.stat().st_mtime < time.time() - ABANDONED_SECONDS:
                left.unlink()
    temporary = path.parent / f".{path.name}-{secrets.token_hex(6)}.tmp"
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def why_unwritable(error: OSError, path: Path, remedy: str) -> str:
    """One sentence for an OSError from writing at `path`; remedy: what else may be done, "choose another folder"."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"{path} cannot be written, the disk is full: free some space, or {remedy}"
    if error.errno == errno.EROFS:
        return f"{path} cannot be written, the file system is read-only: {remedy}"
    if isinstance(error, PermissionError):
        return f"{path} cannot be written, permission denied: {remedy}, or close the program that has the file open"
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        return f"{path} cannot be written, since {path.parent} is a file or lies in one: {remedy}"
    return f"{path} cannot be written, {error.strerror or error}: {remedy}"


if sys.platform == "win32":
    import msvcrt

    def try_lock(file: IO[bytes]) -> bool:
        """Take the lock of a file, which the system holds until the file is closed, however a process ends.

        False where another process has it; OSError where the file system knows no locks. Who deletes a lock file takes
        it from under those that wait for it.
        """
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EDEADLK):
                return False
            raise
        return True

else:
    import fcntl

    def try_lock(file: IO[bytes]) -> bool:
        """See above."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            raise
        return True
