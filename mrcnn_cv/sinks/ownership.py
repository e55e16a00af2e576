"""Which files in an output folder are ours: a small hidden record of what we wrote there.

A file is ours when its bytes are bytes that we wrote under its name. The record is JSON lines, only ever appended to,
so that several processes can share a folder; an entry is written before its file is put in place, so that a crash
between the two leaves an entry too many and never a file that we would not know again.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import BinaryIO

RECORD_NAME = ".mrcnn-cv-outputs.jsonl"

_Content = tuple[int, str]
"""Size in bytes and fingerprint."""


def new_digest(data: bytes = b"") -> hashlib.blake2b:
    """A running fingerprint, for data that comes in pieces."""
    return hashlib.blake2b(data, digest_size=16)


def fingerprint_of(file: BinaryIO) -> _Content:
    """Size and fingerprint of what is left to read in a file."""
    size, running = 0, new_digest()
    while piece := file.read(1 << 20):
        running.update(piece)
        size += len(piece)
    return size, running.hexdigest()


class Fingerprinted:
    """A file that takes the size and the fingerprint of what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = new_digest()
        self.size = 0

    def write(self, data: bytes | memoryview) -> int:
        written = self._file.write(data)
        self._digest.update(data)
        self.size += written
        return written

    def flush(self) -> None:
        self._file.flush()

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class OutputRecord:
    """The record of one folder. Nothing is read before the first question, nothing written before the first entry."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._contents: dict[str, set[_Content]] | None = None
        self._torn = False

    def is_ours(self, path: Path) -> bool:
        """True where `path`, a file in this folder, holds bytes that we wrote under its name."""
        try:
            if path.is_symlink() or not path.is_file():
                return False
            known = self._read().get(self._name(path), set())
            size = path.stat().st_size
            if not any(length == size for length, _ in known):
                return False
            with path.open("rb") as file:
                return fingerprint_of(file) in known
        except OSError:
            return False

    def exists(self) -> bool:
        """Whether mrcnn-cv wrote anything into this folder."""
        return (self.directory / RECORD_NAME).is_file()

    def wrote(self, path: Path) -> bool:
        """Whether a file of this name and size was written by us; its bytes are not read."""
        try:
            size = path.stat().st_size
        except OSError:
            return False
        return any(length == size for length, _ in self._read().get(self._name(path), ()))

    def _name(self, path: Path) -> str:
        """What a file in this folder, or in one below it, is called in the record."""
        try:
            inside = path.relative_to(self.directory)
        except ValueError:
            inside = Path(path.name)
        return _portable(inside.as_posix())

    def add(self, path: Path, size: int, fingerprint: str) -> None:
        """Note that the file at `path` holds these bytes from now on. OSError where the record cannot be written."""
        name = self._name(path)
        known = self._read().setdefault(name, set())
        if (size, fingerprint) in known:
            return
        line = json.dumps({"name": name, "size": size, "digest": fingerprint}) + "\n"
        if self._torn:
            # The last writer died in the middle of a line; its rest must not swallow ours.
            line, self._torn = "\n" + line, False
        # One write to a file opened for appending does not mix with those of another process.
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        handle = os.open(self.directory / RECORD_NAME, flags, 0o666)
        try:
            os.write(handle, line.encode("ascii"))
        finally:
            os.close(handle)
        known.add((size, fingerprint))

    def _read(self) -> dict[str, set[_Content]]:
        if self._contents is None:
            try:
                data = (self.directory / RECORD_NAME).read_bytes()
            except OSError:
                data = b""
            self._torn = bool(data) and not data.endswith(b"\n")
            self._contents = {}
            for line in data.splitlines():
                if (entry := _parse(line)) is not None:
                    self._contents.setdefault(entry[0], set()).add(entry[1])
        return self._contents


def _portable(name: str) -> str:
    """A file name as it is on disk, read as UTF-8: Python's own reading of it depends on the user's locale."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _parse(line: bytes) -> tuple[str, _Content] | None:
    try:
        fields = json.loads(line)
        return str(fields["name"]), (int(fields["size"]), str(fields["digest"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
