"""A zip archive in memory: where its members lie. Stored ones are views; nothing is read that is not asked for.

Source: PKWARE's APPNOTE 6.3, 4.3 (headers) and 4.5.3 (sizes of 64 bits).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.importers.base import CandidateFile
from mrcnn_cv.importers.checkpoints.base import mapped
from mrcnn_cv.importers.checkpoints.limits import MAX_ZIP_DIRECTORY, MAX_ZIP_ENTRIES, CheckpointBudget

ZIP_MAGIC = b"PK\x03\x04"

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END_64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_LONGEST_COMMENT = 0xFFFF
_FILLED_32 = 0xFFFFFFFF
_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 1
_MOST_TIMES = 1032
"""Deflate makes nothing smaller than by this."""

_CHUNK = 1 << 20


class ZipEntry(NamedTuple):
    """A member: how it is packed, its checksum, its bytes in the archive and unpacked, where its header lies."""

    method: int
    flags: int
    checksum: int
    packed: int
    size: int
    header: int


class ZipDirectory:
    """The members of an archive by name. Raises ModelFileError, without the file's name, for a damaged one."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        try:
            count, size, start = self._end()
            if count > MAX_ZIP_ENTRIES or size > MAX_ZIP_DIRECTORY:
                raise ModelFileError(f"is an archive of more than {MAX_ZIP_ENTRIES:,} files, so it holds no detector")
            self.entries: Mapping[str, ZipEntry] = self._read(count, data[start : start + size])
        except (struct.error, IndexError) as error:
            raise ModelFileError("is an archive that is damaged: copy or download it again") from error

    def bytes_of(self, name: str, budget: CheckpointBudget) -> memoryview:
        """The content of a member: a view where it is stored. Raises ModelFileError without the file's name."""
        entry = self.entries[name]
        shown = name[-60:]
        if entry.flags & _ENCRYPTED:
            raise ModelFileError(f"has '{shown}' encrypted: save it without a password")
        data = self._data[entry.header :]
        try:
            magic, *_, name_size, extra_size = _LOCAL.unpack_from(data)
        except struct.error as error:
            raise ModelFileError(f"has '{shown}' beyond its end: copy or download it again") from error
        start = _LOCAL.size + name_size + extra_size
        packed = data[start : start + entry.packed]
        if magic != ZIP_MAGIC or len(packed) != entry.packed:
            raise ModelFileError(f"has '{shown}' beyond its end: copy or download it again")
        if entry.method == _STORED and entry.size == entry.packed:
            return packed
        if entry.method != _DEFLATED:
            raise ModelFileError(f"has '{shown}' compressed by a method that is not read: save it uncompressed")
        return memoryview(self._inflated(shown, entry, packed, budget))

    def _inflated(self, shown: str, entry: ZipEntry, packed: memoryview, budget: CheckpointBudget) -> bytearray:
        if entry.size > (entry.packed + 1) * _MOST_TIMES:
            raise ModelFileError(f"has '{shown}' with a size that it cannot have: copy or download it again")
        budget.unpack(entry.size)
        unpacker, content = zlib.decompressobj(-zlib.MAX_WBITS), bytearray()
        try:
            for at in range(0, len(packed), _CHUNK):
                rest: bytes | memoryview = packed[at : at + _CHUNK]
                while rest and len(content) <= entry.size:
                    content += unpacker.decompress(rest, _CHUNK)
                    rest = unpacker.unconsumed_tail
                if len(content) > entry.size:
                    break
            # What the last piece left behind.
            content += unpacker.decompress(b"", max(entry.size + 1 - len(content), 1))
        except zlib.error as error:
            raise ModelFileError(f"has '{shown}' damaged: copy or download it again") from error
        if len(content) != entry.size or zlib.crc32(content) != entry.checksum:
            raise ModelFileError(f"has '{shown}' damaged: copy or download it again")
        return content

    def _end(self) -> tuple[int, int, int]:
        """(number of members, bytes of the directory, where it begins)."""
        data = self._data
        first = max(0, len(data) - _END.size - _LONGEST_COMMENT)
        found = bytes(data[first:]).rfind(b"PK\x05\x06")
        if found < 0:
            raise ModelFileError("is an archive that is cut short: copy or download it again")
        _, _, _, _, count, size, start, _ = _END.unpack_from(data, first + found)
        at = first + found - _LOCATOR.size
        if at >= 0 and bytes(data[at : at + 4]) == b"PK\x06\x07":
            _, _, where, _ = _LOCATOR.unpack_from(data, at)
            magic, *_, count, size, start = _END_64.unpack_from(data[where:])
            if magic != b"PK\x06\x06":
                raise IndexError
        return count, size, start

    def _read(self, count: int, directory: memoryview) -> dict[str, ZipEntry]:
        entries: dict[str, ZipEntry] = {}
        at = 0
        for _ in range(count):
            found = _ENTRY.unpack_from(directory, at)
            magic, flags, method, checksum, packed, size = (*found[:1], *found[3:5], *found[7:10])
            name_size, extra_size, comment_size, header = (*found[10:13], found[16])
            if magic != b"PK\x01\x02":
                raise IndexError
            at += _ENTRY.size
            name = str(directory[at : at + name_size], "utf-8", "replace")
            extra = directory[at + name_size : at + name_size + extra_size]
            size, packed, header = _wide(extra, size, packed, header)
            if name in entries:
                raise ModelFileError(f"is an archive with two files '{name[-60:]}': save it again")
            entries[name] = ZipEntry(method, flags, checksum, packed, size, header)
            at += name_size + extra_size + comment_size
            if at > len(directory):
                raise IndexError
        return entries


def _wide(extra: memoryview, *numbers: int) -> list[int]:
    """Size, packed size and place, those that 32 bits cannot hold out of the extra field."""
    wide = memoryview(b"")
    while len(extra) >= 4 and _FILLED_32 in numbers:
        kind, length = struct.unpack_from("<2H", extra)
        if kind == 1:
            wide = extra[4 : 4 + length]
            break
        extra = extra[4 + length :]
    found = []
    for number in numbers:
        if number == _FILLED_32:
            (number,) = struct.unpack_from("<Q", wide)
            wide = wide[8:]
        found.append(number)
    return found


def zip_directory(file: CandidateFile) -> ZipDirectory:
    """The members of a file that begins as an archive does, read once for all readers."""
    return file.once(_directory)


def find_zip_directory(file: CandidateFile) -> ZipDirectory | None:
    """The same, None for what is no archive, or a damaged one."""
    if not file.head.startswith(ZIP_MAGIC):
        return None
    try:
        return zip_directory(file)
    except ModelFileError:
        return None


def _directory(file: CandidateFile) -> ZipDirectory:
    return ZipDirectory(mapped(file).data)
