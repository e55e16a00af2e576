"""A .tar, whatever it is packed with, read within limits: tarfile itself takes headers of any size into memory."""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

MAX_HEADER = 1 << 20
"""Bytes of one header. Honest ones have some hundred, or some thousand where a name is long."""

FREE, RATIO = 1 << 28, 100
"""A packed .tar may unpack to so many bytes, and so many times its own size more: images hardly shrink."""

_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")


def is_tar(path: Path, head: bytes) -> bool:
    """Whether a file whose first 512 bytes are `head` is a .tar, packed or not. May raise what reading raises."""
    if not head.startswith(_PACKED) and head[257:262] != b"ustar":
        return False
    try:
        next(BoundedTar(path).members(), None)
    except tarfile.TarError:
        return False
    return True


class BoundedTar:
    """The bytes of the .tar at `path`, as a file for tarfile. ValueError for what no honest archive needs."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            head, size = file.read(6), file.seek(0, io.SEEK_END)
        self._file = _opened(path, head)
        self._end = FREE + RATIO * size if head.startswith(_PACKED) else size + tarfile.RECORDSIZE
        self._at = 0

    def members(self) -> Iterator[tuple[str, int, int]]:
        """(name, offset, size) of the regular files, in the order of the archive; no link is followed."""
        archive = tarfile.TarFile(fileobj=self, mode="r")  # type: ignore[arg-type]
        while (member := archive.next()) is not None:
            # It would keep them all, and they are large.
            archive.members = []  # type: ignore[attr-defined]
            if member.isreg() and not member.issparse():
                yield member.name, member.offset_data, member.size

    def member(self, start: int, size: int) -> IO[bytes]:
        """A file of these bytes; one at a time."""
        self.seek(start)
        return io.BufferedReader(_MemberReader(self._file, size), 1 << 16)

    def tell(self) -> int:
        """Where the next byte is read."""
        return self._at

    def seek(self, position: int) -> int:
        """Go to a byte; everything up to there is unpacked on the way."""
        if position > self._end:
            raise ValueError(f"it unpacks to more than {self._end:,} bytes")
        self._at = self._file.seek(position)
        return self._at

    def read(self, size: int = -1) -> bytes:
        """The next bytes, those of a header."""
        if not 0 <= size <= MAX_HEADER:
            raise ValueError("a header has an absurd size")
        data = self._file.read(size)
        self._at += len(data)
        return data


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


def _opened(path: Path, head: bytes) -> IO[bytes]:
    if head.startswith(_PACKED[0]):
        return gzip.open(path)  # type: ignore[return-value]
    if head.startswith(_PACKED[1]):
        return bz2.open(path)
    if head.startswith(_PACKED[2]):
        # A small Python may lack it.
        import lzma

        return lzma.open(path)
    return path.open("rb")
