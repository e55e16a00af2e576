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
from mrcnn_cv.util.bounded_tar import BoundedTar, UnfitArchive

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
        _Unpacking(file, folder, limits or Limits()).run()
    except UnfitArchive as problem:
        raise ModelFileError(f"{shown} {problem}") from problem
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, *_ODD) as error:
        raise ModelFileError(
            f"{shown} is damaged or not a .tar.gz archive ({error}): copy or download it again, or name the .pb inside"
        ) from error
    except OSError as error:
        raise ModelFileError(f"{shown} cannot be read: {error.strerror or error}") from error


class _Unpacking:
    """One walk through an archive."""

    def __init__(self, file: IO[bytes], folder: Path, limits: Limits) -> None:
        self._tar = BoundedTar(gzip.GzipFile(fileobj=file, mode="rb"), limits.total)  # type: ignore[arg-type]
        self._folder = folder
        self._limits = limits
        self._graph: PurePosixPath | None = None
        self._small: dict[PurePosixPath, bytes] = {}

    def run(self) -> None:
        for count, member in enumerate(self._tar.members(), start=1):
            if count > self._limits.members:
                raise UnfitArchive(f"holds more than {self._limits.members:,} files: it is not unpacked")
            self._take(member)
        self._tar.drain()
        if self._graph is None:
            raise UnfitArchive(f"holds no {GRAPH_NAME}: name an archive of an exported Object Detection API model")
        for name, data in ((CONFIG_NAME, self._config()), (LABEL_MAP_NAME, self._label_map())):
            if data is not None:
                with writable(self._folder / name):
                    (self._folder / name).write_bytes(data)

    def _take(self, member: tarfile.TarInfo) -> None:
        path = _checked_path(member)
        if member.isdir():
            return
        if not member.isreg() or member.issparse():
            raise UnfitArchive(f"holds '{member.name}', which is a link or a device: it is not unpacked")
        if path.name == GRAPH_NAME:
            if self._graph is None or len(path.parts) < len(self._graph.parts):
                self._write_graph(member)
                self._graph = path
        elif (path.name == CONFIG_NAME or path.suffix == ".pbtxt") and member.size <= self._limits.small_file:
            self._small[path] = self._tar.content(member.offset_data, member.size).read()

    def _write_graph(self, member: tarfile.TarInfo) -> None:
        if not 0 < member.size <= self._limits.graph:
            raise UnfitArchive(f"holds a {GRAPH_NAME} of {member.size:,} bytes, which no graph has: it is not unpacked")
        data = self._tar.content(member.offset_data, member.size)
        target = self._folder / GRAPH_NAME
        with writable(target):
            file = open(target, "wb")  # noqa: SIM115 (what reading raises must not pass through `writable`)
        with file:
            while chunk := data.read(_CHUNK):
                with writable(target):
                    file.write(chunk)
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
        raise UnfitArchive(f"holds the file name '{name}', which leads out of its folder: it is not unpacked")
    return path


def _is_label_map(data: bytes) -> bool:
    return re.search(rb"^\s*item\s*:?\s*\{", data, re.MULTILINE) is not None
