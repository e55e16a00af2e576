"""A .tar read within limits: tarfile itself takes headers of any size into memory, and unpacks without end."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from typing import IO

MAX_HEADER = 4 << 20
"""Bytes of the headers of one member. Honest ones have some hundred, or some thousand where a name is long."""

_CHUNK = 1 << 20


class UnfitArchive(ValueError):
    """An archive that no honest one is like; the text is the end of a sentence that begins with its name."""


class BoundedTar:
    """The bytes of a .tar as a file for tarfile. UnfitArchive where they are beyond a limit.

    file   gives them, unpacked
    total  how many bytes that may be
    """

    def __init__(self, file: IO[bytes], total: int) -> None:
        self._file, self._total = file, total
        self._header_bytes_left = MAX_HEADER

    def members(self) -> Iterator[tarfile.TarInfo]:
        """All members, in the order of the archive, which is gone through once."""
        archive = tarfile.TarFile(fileobj=self, mode="r")  # type: ignore[arg-type]
        while (member := archive.next()) is not None:
            # It would keep them all, and they are large.
            archive.members = []  # type: ignore[attr-defined]
            self._header_bytes_left = MAX_HEADER
            yield member

    def content(self, start: int, size: int) -> IO[bytes]:
        """A file of the bytes of a member; one at a time. EOFError from reading where the archive ends before."""
        self._file.seek(start)
        return io.BufferedReader(_MemberReader(self._file, size), 1 << 16)

    def drain(self) -> None:
        """Read to the end: only there does gzip tell that nothing is missing or changed."""
        while self._file.read(_CHUNK):
            self._check(self._file.tell())

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._file.tell()

    def seek(self, position: int) -> int:
        """Go on to a byte; everything up to there is unpacked on the way."""
        if position < self._file.tell():
            raise UnfitArchive("cannot be read in one go: it is not unpacked")
        self._check(position)
        return self._file.seek(position)

    def read(self, size: int = -1) -> bytes:
        """The next bytes, those of a header."""
        if not 0 <= size <= self._header_bytes_left:
            raise UnfitArchive("has a header of an absurd size: it is not unpacked")
        self._header_bytes_left -= size
        return self._file.read(size)

    def _check(self, position: int) -> None:
        if position > self._total:
            raise UnfitArchive(f"unpacks to more than {self._total:,} bytes: it is not unpacked")


class _MemberReader(io.RawIOBase):
    """The next bytes of a file, as a file."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file, self._left = file, size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._left:
            return 0
        data = self._file.read(min(len(buffer), self._left))
        if not data:
            raise EOFError("the archive ends in the middle of a file")
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)
