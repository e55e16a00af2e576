"""Images in .zip and .tar archives, read in place: nothing is unpacked, and nothing of an archive's is trusted."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import IO

from mrcnn_cv.errors import InputError
from mrcnn_cv.inputs.image_ref import ImageRef
from mrcnn_cv.inputs.images import sniff as content
from mrcnn_cv.inputs.images.directories import DirectoryScan
from mrcnn_cv.inputs.images.sorting import by_tree
from mrcnn_cv.util import filenames
from mrcnn_cv.util.bounded_tar import BoundedTar

MAX_BYTES = 1 << 29
"""An image that unpacks to more than this is a bomb, not an image."""

MAX_MEMBERS = 2_000_000

MAX_NAME = 4096
"""Characters of a member's name: no file system has longer paths."""

FREE, RATIO = 1 << 28, 100
"""A packed .tar may unpack to so many bytes, and so many times its own size more: images hardly shrink."""

_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ")
_PIECE = 1 << 20
_SMALL_PIECE = 1 << 12
"""zipfile unpacks a whole piece of what is not deflated at once: bzip2 makes 80 MB of this much."""

_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, LookupError, zlib.error, tarfile.TarError)
# LZMAError is none of the above, and the module may be missing from a small Python.
try:
    from lzma import LZMAError
except ImportError:  # pragma: no cover
    _ERRORS: tuple[type[Exception], ...] = (*_DAMAGE, zipfile.BadZipFile)
else:
    _ERRORS = (*_DAMAGE, zipfile.BadZipFile, LZMAError)

Member = tuple[str, Callable[[], bytes]]
"""Name, and what reads it."""

OPEN_ARCHIVES = 4
"""Archives that are kept open: to open one takes as long as it has members, and one that is packed is read in order."""


@dataclass(frozen=True)
class _Archive:
    """An archive as it was when its members were listed. modified: in nanoseconds."""

    path: Path
    size: int
    modified: int

    def check(self) -> None:
        """InputError where it is another one by now, or gone."""
        try:
            now = _as_it_is(self.path)
        except OSError as error:
            raise InputError(f"cannot be read: {self.path}: {error.strerror or error}") from error
        if self != now:
            raise InputError("cannot be read: the archive was changed after its images were listed")


@dataclass(frozen=True)
class _ZipMember:
    """Reads a member of a .zip. index: among all of its members, of which several may have one name."""

    archive: _Archive
    index: int

    def __call__(self) -> bytes:
        file = _open_zip(self.archive)
        member = file.infolist()[self.index]
        _check_size(member.file_size)
        is_plain = member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        with file.open(member) as opened:
            return _read_image(opened, _PIECE if is_plain else _SMALL_PIECE)


@dataclass(frozen=True)
class _TarMember:
    """Reads a member of a .tar: so many bytes from an offset of what it unpacks to."""

    archive: _Archive
    start: int
    size: int

    def __call__(self) -> bytes:
        _check_size(self.size)
        file, lock = _open_tar(self.archive)
        with lock, file.content(self.start, self.size) as member:
            return _read_image(member, _PIECE)


def _as_it_is(path: Path) -> _Archive:
    status = path.stat()
    return _Archive(path, status.st_size, status.st_mtime_ns)


@lru_cache(OPEN_ARCHIVES)
def _open_zip(archive: _Archive) -> zipfile.ZipFile:
    archive.check()
    # It locks where it reads, so that several threads may.
    return zipfile.ZipFile(archive.path)


@lru_cache(OPEN_ARCHIVES)
def _open_tar(archive: _Archive) -> tuple[BoundedTar, threading.Lock]:
    archive.check()
    return _tar_at(archive.path), threading.Lock()


def is_archive(path: Path) -> bool:
    """Whether a file holds other files: by its content, so that photos.zip.1 counts and notes.zip does not."""
    try:
        if not os.path.isfile(path):
            return False
        with path.open("rb") as file:
            head = file.read(512)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return zipfile.is_zipfile(path)
        return _is_tar(path, head)
    except MemoryError:
        return False
    except _ERRORS:
        return False


def in_archive(path: Path, scan: DirectoryScan) -> list[ImageRef]:
    """The images in an archive: of a .zip in natural order, of a .tar in its own, which is the fast one.

    InputError where the archive cannot be read.
    """
    try:
        is_zip = zipfile.is_zipfile(path)
        found = [item for item in (_ref(path, *member, scan) for member in _members(path, is_zip)) if item]
    except MemoryError as error:
        raise InputError(f"{path} does not fit into the memory of this machine: unpack it first") from error
    except _ERRORS as error:
        raise InputError(
            f"{path} is damaged or of a kind that Python cannot unpack ({error}): unpack it first"
        ) from error
    return sorted(found, key=lambda item: by_tree(item.output_path)) if is_zip else found


def _members(path: Path, is_zip: bool) -> Iterator[Member]:
    for count, member in enumerate(_zip(path) if is_zip else _tar(path)):
        if count >= MAX_MEMBERS:
            raise InputError(f"{path} holds more than {MAX_MEMBERS:,} files: unpack it first")
        yield member


def _ref(path: Path, name: str, read: Callable[[], bytes], scan: DirectoryScan) -> ImageRef | None:
    """The item of a member that is wanted; None for others."""
    if len(name) > MAX_NAME:
        scan.left_out += 1
        return None
    output_path = filenames.safe_relative_path(name.replace("\\", "/").split("/"))
    if any(part.startswith(".") and part.strip(".") for part in name.split("/")) or "__MACOSX" in name:
        return None
    if not scan.recursive and len(output_path.parts) > 1:
        return None
    if scan.path_filter(output_path):
        return ImageRef(f"{path}/{name}", output_path, None, partial(_read, read, f"{path}/{name}"))
    scan.left_out += 1
    return None


def _read(read: Callable[[], bytes], name: str) -> bytes:
    try:
        return read()
    except InputError as error:
        raise InputError(f"{name} {error}") from error
    except MemoryError as error:
        raise InputError(f"{name} does not fit into the memory of this machine") from error
    except _ERRORS as error:
        raise InputError(f"{name} cannot be unpacked ({error}): the archive is damaged, or needs a password") from error


def _zip(path: Path) -> Iterator[Member]:
    archive = _as_it_is(path)
    for index, member in enumerate(_open_zip(archive).infolist()):
        if not member.is_dir():
            yield member.filename, _ZipMember(archive, index)


def _tar(path: Path) -> Iterator[Member]:
    archive = _as_it_is(path)
    # A file of its own: members are read while a folder that is watched is listed again.
    for member in _tar_at(path).members():
        # No link is followed.
        if member.isreg() and not member.issparse():
            yield member.name, _TarMember(archive, member.offset_data, member.size)


def _is_tar(path: Path, head: bytes) -> bool:
    """Whether a file whose first 512 bytes are `head` is a .tar, packed or not. May raise what reading raises."""
    if not head.startswith(_PACKED) and head[257:262] != b"ustar":
        return False
    try:
        next(_tar_at(path).members(), None)
    except tarfile.TarError:
        return False
    return True


def _tar_at(path: Path) -> BoundedTar:
    """The .tar at `path`, whatever it is packed with."""
    with path.open("rb") as file:
        head, size = file.read(6), file.seek(0, io.SEEK_END)
    total = FREE + RATIO * size if head.startswith(_PACKED) else size + tarfile.RECORDSIZE
    return BoundedTar(_unpacked(path, head), total)


def _unpacked(path: Path, head: bytes) -> IO[bytes]:
    if head.startswith(_PACKED[0]):
        return gzip.open(path)  # type: ignore[return-value]
    if head.startswith(_PACKED[1]):
        return bz2.open(path)
    if head.startswith(_PACKED[2]):
        # A small Python may lack it.
        import lzma

        return lzma.open(path)
    return path.open("rb")


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise InputError(f"would unpack to {size} bytes, which no image has")


def _read_image(file: IO[bytes], piece: int) -> bytes:
    """All bytes of a member that may be an image, whatever its archive says of its size."""
    head = file.read(content.HEAD_BYTES)
    # Of a small file the decoder says what it is.
    if len(head) == content.HEAD_BYTES and (seems := content.not_an_image(head)):
        raise InputError(f"is not an image: it seems to be {seems}")
    pieces, size = [head], len(head)
    while data := file.read(piece):
        pieces.append(data)
        size += len(data)
        if size > MAX_BYTES:
            raise InputError(f"unpacks to more than {MAX_BYTES} bytes, which no image has")
    return b"".join(pieces)


def archive_output_path(path: Path) -> PurePosixPath:
    """The folder that an archive would be unpacked to."""
    stem = path.name
    for suffix in (".zip", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tbz2", ".txz", ".tar"):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) and len(stem) > len(suffix) else stem
    return filenames.safe_relative_path([stem])
