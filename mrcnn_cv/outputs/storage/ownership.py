"""Which files in an output folder are ours: a small hidden record of what we wrote there.

A file is ours when its bytes are bytes that we wrote under its name. The record is JSON lines, only ever appended to,
so that several processes can share a folder; an entry is written before its file is put in place, so that a crash
between the two leaves an entry too many and never a file that we would not know again.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path
from typing import BinaryIO

from mrcnn_cv.util.durable import sync, sync_file, sync_name

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


class OwnershipLog:
    """The record of one folder. Nothing is read before the first question, nothing written before the first entry.

    durable  an entry is on the disk when `add` returns
    """

    def __init__(self, directory: Path, durable: bool = False) -> None:
        self.directory = directory
        self._durable, self._has_name = durable, False
        self._contents: dict[str, set[_Content]] = {}
        self._growing: dict[str, set[_Content]] = {}
        self._was_read, self._read_to = False, 0
        self._lock = threading.Lock()

    def owns(self, path: Path) -> bool:
        """True where `path`, a file in this folder, holds bytes that we wrote under its name."""
        try:
            if os.path.islink(path) or not os.path.isfile(path):
                return False
            if self._holds(path):
                return True
            # Another process may have written it since.
            return self._read_on() and self._holds(path)
        except OSError:
            return False

    def _holds(self, path: Path) -> bool:
        if not self.wrote(path):
            return False
        with path.open("rb") as file:
            return fingerprint_of(file) in self._known(path)

    def exists(self) -> bool:
        """Whether mrcnn-cv wrote anything into this folder."""
        return os.path.isfile(self.directory / RECORD_NAME)

    def names(self, path: Path) -> bool:
        """Whether we ever wrote a file of this name, whatever is there by now."""
        return bool(self._known(path)) or (self._read_on() and bool(self._known(path)))

    def wrote(self, path: Path) -> bool:
        """Whether a file of this name and size was written by us; its bytes are not read."""
        try:
            size = path.stat().st_size
        except OSError:
            return False
        return any(length == size for length, _ in self._known(path))

    def _name(self, path: Path) -> str:
        """What a file in this folder, or in one below it, is called in the record."""
        try:
            inside = path.relative_to(self.directory)
        except ValueError:
            inside = Path(path.name)
        return _portable(inside.as_posix())

    def add(self, path: Path, size: int, fingerprint: str, grows: bool = False) -> None:
        """Note that the file at `path` holds these bytes from now on. OSError where the record cannot be written.

        grows: it begins with them, and more is written behind them.
        """
        if not grows and (size, fingerprint) in self._known(path):
            if self._durable and not self._has_name:
                # A run that was killed may have left it in the system's memory.
                sync_file(self.directory / RECORD_NAME)
                self._sync_name()
            return
        name = self._name(path)
        entry = {"name": name, "size": size, "digest": fingerprint, **({"grows": True} if grows else {})}
        line = json.dumps(entry).encode("ascii") + b"\n"
        # One write to a file opened for appending does not mix with those of another process.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        handle = os.open(self.directory / RECORD_NAME, flags, 0o666)
        try:
            if not _ends_line(handle):
                # A writer died in the middle of a line; its rest must not swallow ours.
                line = b"\n" + line
            while os.write(handle, line) < len(line):
                # On a full disk the next write says why; else the whole line: its rest might land behind another.
                line = b"\n" + line.lstrip()
            if self._durable:
                sync(handle)
        finally:
            os.close(handle)
        if self._durable and not self._has_name:
            self._sync_name()
        with self._lock:
            self._entries(grows).setdefault(name, set()).add((size, fingerprint))

    def _sync_name(self) -> None:
        sync_name(self.directory / RECORD_NAME, set())
        self._has_name = True

    def _entries(self, grows: bool) -> dict[str, set[_Content]]:
        return self._growing if grows else self._contents

    def known_part(self, path: Path) -> int | None:
        """How many bytes at the beginning of a file are ours, which may have grown since; None: it is another file."""
        self._read_on()
        with self._lock:
            name = self._name(path)
            noted = sorted(self._growing.get(name, set()) | self._contents.get(name, set()), reverse=True)
        try:
            if os.path.islink(path) or not os.path.isfile(path):
                return None
            return next((size for size, digest in noted if _begins_with(path, size, digest)), None)
        except OSError:
            return None

    def _known(self, path: Path) -> set[_Content]:
        """A copy, for other threads may add to the original."""
        if not self._was_read:
            self._read_on()
        with self._lock:
            return set(self._contents.get(self._name(path), ()))

    def _read_on(self) -> bool:
        """Read what the file holds behind what was read of it before; whether that was anything."""
        with self._lock:
            self._was_read = True
            try:
                with (self.directory / RECORD_NAME).open("rb") as file:
                    file.seek(self._read_to)
                    data = file.read()
            except OSError:
                return False
            # The last line may be one that another process is at.
            lines = data[: data.rfind(b"\n") + 1]
            self._read_to += len(lines)
            for line in lines.splitlines():
                if (entry := _parse(line)) is not None:
                    name, content, grows = entry
                    self._entries(grows).setdefault(name, set()).add(content)
            return bool(lines)


def _ends_line(handle: int) -> bool:
    """Whether a file is empty or ends with the end of a line."""
    if not os.lseek(handle, 0, os.SEEK_END):
        return True
    os.lseek(handle, -1, os.SEEK_END)
    return os.read(handle, 1) == b"\n"


def _portable(name: str) -> str:
    """A file name as it is on disk, read as UTF-8: Python's own reading of it depends on the user's locale."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _begins_with(path: Path, size: int, digest: str) -> bool:
    if path.stat().st_size < size:
        return False
    running = new_digest()
    with path.open("rb") as file:
        while size and (piece := file.read(min(size, 1 << 20))):
            running.update(piece)
            size -= len(piece)
    return running.hexdigest() == digest


def _parse(line: bytes) -> tuple[str, _Content, bool] | None:
    """(name, content, whether it is the beginning of a file that grows)."""
    try:
        fields = json.loads(line)
        grows = fields.get("grows") is True
        return str(fields["name"]), (int(fields["size"]), str(fields["digest"])), grows
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError, AttributeError):
        return None
