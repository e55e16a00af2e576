"""From a registry entry to a folder in the cache: fetch, verify, unpack, install."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit, urlunsplit

from mrcnn_cv.errors import ModelFileError, OutputError, Remedy
from mrcnn_cv.hub import cache
from mrcnn_cv.hub.archive import unpack
from mrcnn_cv.hub.download import PartialFile, RetryPolicy, download
from mrcnn_cv.hub.registry import GRAPH_NAME, ZooModel
from mrcnn_cv.hub.resolve import PullListener
from mrcnn_cv.util import files
from mrcnn_cv.util.http import check_url
from mrcnn_cv.util.version import __version__

_CHUNK = 1 << 20


def pull(
    model: ZooModel,
    source: str | None = None,
    *,
    again: bool = False,
    retry: RetryPolicy | None = None,
    listener: PullListener | None = None,
) -> Path:
    """The folder of `model` in the cache, pulled where it is not there yet.

    source     where from, instead of the registry's URL: an archive (file or URL), or a folder or URL under which
               archives lie with their own names
    again      True pulls also what is there
    Any number of processes may pull the same model at once; one does the work.
    ModelFileError where the archive cannot be had or is not the right one, OutputError where it cannot be kept.
    """
    listener = listener or PullListener()
    place = locate(model, source)
    if cache.is_pulled(model.name) and not again:
        return cache.model_folder(model.name)
    with cache.locked(model.name, lambda: listener.note(f"another process is pulling {model.name}: waiting for it")):
        if cache.is_pulled(model.name) and not again:
            return cache.model_folder(model.name)
        if isinstance(place, Path):
            _install_file(model, place)
        else:
            _install_download(model, place, retry or RetryPolicy(), listener)
    return cache.model_folder(model.name)


def locate(model: ZooModel, source: str | None) -> Path | str:
    """The file or the URL of the archive that `source` (--from) means; UsageError or ModelFileError."""
    if source is None:
        return check_url(model.url)
    if "://" in source:
        parts = urlsplit(check_url(source))
        if parts.path.endswith((".tar.gz", ".tgz")):
            return source
        return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{model.archive_name}"))
    path = Path(source)
    if os.path.isdir(path):
        path = path / model.archive_name
    try:
        kind = files.kind(path)
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}", Remedy.ARCHIVE) from error
    if kind is None:
        raise ModelFileError(f"there is no file {path}: check the path", Remedy.ARCHIVE)
    if kind != "file":
        raise ModelFileError(f"{path} is not a regular file: give the archive itself", Remedy.ARCHIVE)
    return path


def _install_file(model: ZooModel, path: Path) -> None:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from error
    with file:
        problem = _difference(file, model.size, model.checksums)
        if problem is not None:
            raise ModelFileError(f"{path} is not the archive of {model.name}, {problem}: copy or download it again")
        _install(model, file, str(path))


def _install_download(model: ZooModel, url: str, retry: RetryPolicy, listener: PullListener) -> None:
    part = PartialFile(cache.part_path(model.name), key=_identity(model))
    _check_space(model.size - part.size + model.size, part.path)
    _download_verified(model, url, part, retry, listener)
    try:
        with part.path.open("rb") as file:
            _install(model, file, url)
    except ModelFileError:
        # The right bytes of a bad archive: no use for them, not even to resume.
        _forget(part)
        raise
    _forget(part)


def _download_verified(
    model: ZooModel, url: str, part: PartialFile, retry: RetryPolicy, listener: PullListener
) -> None:
    """Fetch the archive into `part` and verify it; a wrong one leaves nothing behind."""
    for last_try in (False, True):
        resumed = part.size > 0
        resumed = download(url, part, model.size, retry, listener) or resumed
        with part.path.open("rb") as file:
            problem = _difference(file, model.size, model.checksums)
        if problem is None:
            return
        _forget(part)
        if last_try or not resumed:
            raise ModelFileError(
                f"{url} sent something other than {model.name}, {problem}: nothing of it was kept; get it from"
                " elsewhere",
                Remedy.ARCHIVE,
            )
        listener.note("what arrived in pieces does not fit together: starting anew")


def _install(model: ZooModel, file: IO[bytes], source: str) -> None:
    """Unpack a verified archive into the cache."""

    def fill(folder: Path) -> Mapping[str, Any]:
        file.seek(0)
        unpack(file, source, folder)
        with (folder / GRAPH_NAME).open("rb") as graph:
            problem = _difference(graph, None, model.graph_checksums)
        if problem is not None:
            raise ModelFileError(f"{source} holds another {GRAPH_NAME} than {model.name} should, {problem}")
        return {
            "name": model.name,
            "source": source,
            "size": model.size,
            "checksums": dict(model.checksums),
            "pulled": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "version": __version__,
        }

    cache.install(cache.model_folder(model.name), fill)


def remove(name: str) -> bool:
    """Remove the zoo model `name` and what there is of an unfinished pull; False where there was nothing."""
    folder, part = cache.model_folder(name), cache.part_path(name)
    notes = part.with_name(part.name + ".json")
    if not any(os.path.exists(path) for path in (folder, part, notes)):
        return False
    with cache.locked(name, lambda: None), cache.writable(folder):
        cache.discard(folder)
        part.unlink(missing_ok=True)
        notes.unlink(missing_ok=True)
    return True


def _difference(file: IO[bytes], size: int | None, checksums: Mapping[str, str]) -> str | None:
    """How the content of `file` differs from what it should be; None where it does not."""
    actual = file.seek(0, 2)
    if size is not None and actual != size:
        return f"it has {actual:,} bytes instead of {size:,}"
    digests = {name: hashlib.new(name, usedforsecurity=False) for name in checksums}
    file.seek(0)
    while chunk := file.read(_CHUNK):
        for digest in digests.values():
            digest.update(chunk)
    for name, digest in digests.items():
        if not hmac.compare_digest(digest.hexdigest(), checksums[name].lower()):
            return f"its {name} is {_short(digest.hexdigest())} instead of {_short(checksums[name])}"
    return None


def _short(digest: str) -> str:
    return f"{digest[:12]}..."


def _identity(model: ZooModel) -> str:
    """What an archive must be, as text."""
    return " ".join([str(model.size), *(f"{name}:{digest}" for name, digest in sorted(model.checksums.items()))])


def _check_space(needed: int, path: Path) -> None:
    """OutputError before any byte is fetched where the disk has no room for archive and graph."""
    folder = path.parent
    while not os.path.exists(folder) and folder != folder.parent:
        folder = folder.parent
    with suppress(OSError):
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise OutputError(
                f"{folder} has room for {free:,} bytes and the model needs {needed:,}: free some space, or set"
                f" {cache.HOME_VARIABLE} to a folder elsewhere"
            )


def _forget(part: PartialFile) -> None:
    with cache.writable(part.path):
        part.discard()
