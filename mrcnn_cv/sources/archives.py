"""Pictures in .zip and .tar archives, read in place: nothing is unpacked, and nothing of an archive's is trusted."""

from __future__ import annotations

import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from mrcnn_cv import names
from mrcnn_cv.errors import InputError
from mrcnn_cv.sources.folders import Search
from mrcnn_cv.sources.items import Item
from mrcnn_cv.sources.order import by_tree

MOST_BYTES = 1 << 30
"""A picture that unpacks to more than this is a bomb, not a picture."""

MOST_MEMBERS = 5_000_000

_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, NotImplementedError, zlib.error, tarfile.TarError)
# LZMAError is none of the above, and the module may be missing from a small Python.
try:
    from lzma import LZMAError
except ImportError:  # pragma: no cover
    _ERRORS: tuple[type[Exception], ...] = (*_DAMAGE, zipfile.BadZipFile)
else:
    _ERRORS = (*_DAMAGE, zipfile.BadZipFile, LZMAError)


def is_archive(path: Path) -> bool:
    """Whether a file holds other files: by its content, so that photos.zip.1 counts and notes.zip does not."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(512)
        if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
            return zipfile.is_zipfile(path)
        compressed = head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ"))
        return (compressed or head[257:262] == b"ustar") and tarfile.is_tarfile(path)
    except _ERRORS:
        return False


def in_archive(path: Path, search: Search) -> list[Item]:
    """The pictures in an archive: of a .zip in natural order, of a .tar in its own, which is the fast one.

    InputError where the archive cannot be read.
    """
    try:
        members = _zip(path) if zipfile.is_zipfile(path) else _tar(path)
        found = []
        for name, read in members:
            place = names.place(name.replace("\\", "/").split("/"))
            if any(part.startswith(".") and part.strip(".") for part in name.split("/")) or "__MACOSX" in name:
                continue
            if not search.recursive and len(place.parts) > 1:
                continue
            if search.chosen(place):
                found.append(Item(f"{path}/{name}", place, None, partial(_read, read, f"{path}/{name}")))
            else:
                search.left_out += 1
    except _ERRORS as error:
        raise InputError(
            f"{path} is damaged or of a kind that Python cannot unpack ({error}): unpack it first"
        ) from error
    return sorted(found, key=lambda item: by_tree(item.place)) if zipfile.is_zipfile(path) else found


def _read(read: Callable[[], bytes], name: str) -> bytes:
    try:
        return read()
    except InputError as error:
        raise InputError(f"{name} {error}") from error
    except MemoryError as error:
        raise InputError(f"{name} does not fit into the memory of this machine") from error
    except _ERRORS as error:
        raise InputError(f"{name} cannot be unpacked ({error}): the archive is damaged, or needs a password") from error


def _zip(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    archive = zipfile.ZipFile(path)
    # A ZipFile locks where it reads, so that several threads may.
    for member in archive.infolist():
        if not member.is_dir():
            yield member.filename, partial(_zip_member, archive, member)


def _zip_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.file_size > MOST_BYTES:
        raise InputError(f"would unpack to {member.file_size} bytes, which no picture has")
    with archive.open(member) as file:
        data = file.read(MOST_BYTES + 1)
    return _checked(data)


def _tar(path: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    archive = tarfile.open(path)  # noqa: SIM115 (stays open for the readers)
    lock = threading.Lock()
    for count, member in enumerate(archive):
        if count > MOST_MEMBERS:
            raise InputError(f"{path} holds more than {MOST_MEMBERS} files")
        if member.isreg():
            yield member.name, partial(_tar_member, archive, member, lock)


def _tar_member(archive: tarfile.TarFile, member: tarfile.TarInfo, lock: threading.Lock) -> bytes:
    if member.size > MOST_BYTES:
        raise InputError(f"would unpack to {member.size} bytes, which no picture has")
    with lock:
        file = archive.extractfile(member)
        return b"" if file is None else _checked(file.read(MOST_BYTES + 1))


def _checked(data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise InputError(f"unpacks to more than {MOST_BYTES} bytes, which no picture has")
    return data


def archive_place(path: Path) -> PurePosixPath:
    """The folder that an archive would be unpacked to."""
    stem = path.name
    for suffix in (".zip", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz", ".tbz2", ".txz", ".tar"):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) and len(stem) > len(suffix) else stem
    return names.place([stem])
