"""The frozen graph, its config and its label map out of a .tar.gz, as if its maker meant us harm.

Files are written under names of ours, never under a name from the archive; still, an archive that holds a name or kind
of member that no honest one has is refused as a whole.
"""

from __future__ import annotations

import gzip
import re
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from mrcnn_cv.errors import ModelFileError
from mrcnn_cv.hub.cache import writable
from mrcnn_cv.hub.registry import GRAPH_NAME

CONFIG_NAME = "pipeline.config"
LABEL_MAP_NAME = "label_map.pbtxt"

_CHUNK = 1 << 20
# What tarfile lets through for headers that are nested, or say what cannot be.
_ODD = (ValueError, OverflowError, RecursionError, LookupError, AttributeError, TypeError)
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Limits:
    """Bytes, and members. A GraphDef cannot be larger than 2 GiB; the largest archive of the zoo unpacks to 1 GB."""

    graph: int = 2 << 30
    small_file: int = 1 << 20
    total: int = 6 << 30
    members: int = 20_000
    header: int = 4 << 20


class _ArchiveError(Exception):
    """The text says what is wrong, after the name of the archive."""


def is_archive(path: Path) -> bool:
    """True where the file is compressed as a .tar.gz is."""
    try:
        with path.open("rb") as file:
            return file.read(2) == _GZIP_MAGIC
    except OSError:
        return False


def unpack(file: IO[bytes], shown: str, folder: Path, limits: Limits | None = None) -> None:
    """Write the frozen graph of the archive `file`, and its config and label map where it has them, into `folder`.

    shown   what to call the archive in messages
    The graph is the one nearest to the top; config and label map are those beside it.
    ModelFileError where the archive is damaged, holds no graph, or holds what no honest archive holds.
    """
    try:
        reader = _BoundedReader(file, limits or Limits())
        _Unpacking(reader, folder, limits or Limits()).run()
    except _ArchiveError as problem:
        raise ModelFileError(f"{shown} {problem}") from problem
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, *_ODD) as error:
        raise ModelFileError(
            f"{shown} is damaged or not a .tar.gz archive ({error}): copy or download it again, or name the .pb inside"
        ) from error
    except OSError as error:
        raise ModelFileError(f"{shown} cannot be read: {error.strerror or error}") from error


class _BoundedReader:
    """The decompressed archive, read forwards once and within limits; what tarfile needs of a file."""

    def __init__(self, file: IO[bytes], limits: Limits) -> None:
        self._file = gzip.GzipFile(fileobj=file, mode="rb")
        self._limits = limits
        self._at = 0
        self._allowed = limits.header

    def allow(self, size: int = 0) -> None:
        """From now on `size` bytes may be read, and a header."""
        # tarfile takes extended headers and sparse maps into memory, also those of some gigabytes.
        self._allowed = size + self._limits.header

    def tell(self) -> int:
        return self._at

    def seek(self, position: int) -> None:
        if position < self._at:
            raise _ArchiveError("is no archive that can be read in one go: pack it again with tar")
        while self._at < position and self._read(min(_CHUNK, position - self._at)):
            pass

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._allowed:
            raise _ArchiveError("has a header of an absurd size: it is not unpacked")
        self._allowed -= size
        return self._read(size)

    def drain(self) -> None:
        """Read to the end: only there does gzip tell that nothing is missing or changed."""
        while self._read(_CHUNK):
            pass

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._at += len(data)
        if self._at > self._limits.total:
            raise _ArchiveError(f"unpacks to more than {self._limits.total:,} bytes: it is not unpacked")
        return data


class _Unpacking:
    """One walk through an archive."""

    def __init__(self, reader: _BoundedReader, folder: Path, limits: Limits) -> None:
        self._reader = reader
        self._folder = folder
        self._limits = limits
        self._graph: PurePosixPath | None = None
        self._small: dict[PurePosixPath, bytes] = {}

    def run(self) -> None:
        with tarfile.TarFile(fileobj=self._reader, mode="r") as archive:  # type: ignore[arg-type]
            for count, member in enumerate(archive, start=1):
                if count > self._limits.members:
                    raise _ArchiveError(f"holds more than {self._limits.members:,} files: it is not unpacked")
                self._reader.allow(member.size)
                self._take(archive, member)
                self._reader.allow()
        self._reader.drain()
        if self._graph is None:
            raise _ArchiveError(f"holds no {GRAPH_NAME}: name an archive of an exported Object Detection API model")
        for name, data in ((CONFIG_NAME, self._config()), (LABEL_MAP_NAME, self._label_map())):
            if data is not None:
                with writable(self._folder / name):
                    (self._folder / name).write_bytes(data)

    def _take(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        path = _checked_path(member)
        if member.isdir():
            return
        if not member.isreg() or member.issparse():
            raise _ArchiveError(f"holds '{member.name}', which is a link or a device: it is not unpacked")
        if path.name == GRAPH_NAME:
            if self._graph is None or len(path.parts) < len(self._graph.parts):
                self._write_graph(archive, member)
                self._graph = path
        elif (path.name == CONFIG_NAME or path.suffix == ".pbtxt") and member.size <= self._limits.small_file:
            data = archive.extractfile(member)
            if data is not None:
                self._small[path] = data.read(member.size)

    def _write_graph(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if not 0 < member.size <= self._limits.graph:
            raise _ArchiveError(
                f"holds a {GRAPH_NAME} of {member.size:,} bytes, which no graph has: it is not unpacked"
            )
        data = archive.extractfile(member)
        assert data is not None
        target = self._folder / GRAPH_NAME
        with writable(target):
            file = open(target, "wb")  # noqa: SIM115 (what reading raises must not pass through `writable`)
        with file:
            left = member.size
            while left:
                chunk = data.read(min(_CHUNK, left))
                if not chunk:
                    raise _ArchiveError("ends in the middle of a file: copy or download it again")
                with writable(target):
                    file.write(chunk)
                left -= len(chunk)
            with writable(target):
                file.flush()

    def _config(self) -> bytes | None:
        assert self._graph is not None
        return self._small.get(self._graph.parent / CONFIG_NAME)

    def _label_map(self) -> bytes | None:
        """The label map beside the graph, or else the only one in the archive; text graphs are .pbtxt files, too."""
        assert self._graph is not None
        maps = {path: data for path, data in self._small.items() if path.suffix == ".pbtxt" and _is_label_map(data)}
        beside = {path: data for path, data in maps.items() if path.parent == self._graph.parent} or maps
        if len(beside) > 1:
            beside = {path: data for path, data in beside.items() if path.name == LABEL_MAP_NAME}
        return next(iter(beside.values())) if len(beside) == 1 else None


def _checked_path(member: tarfile.TarInfo) -> PurePosixPath:
    name = member.name
    path = PurePosixPath(name)
    # A backslash or a drive is a way out of the folder on Windows, and nowhere part of an honest name.
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or re.match(r"[A-Za-z]:", name):
        raise _ArchiveError(f"holds the file name '{name}', which leads out of its folder: it is not unpacked")
    return path


def _is_label_map(data: bytes) -> bool:
    return re.search(rb"^\s*item\s*:?\s*\{", data, re.MULTILINE) is not None
