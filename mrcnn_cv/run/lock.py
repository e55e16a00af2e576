"""One run at a time in an output folder: a second one would sweep up what the first one is writing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mrcnn_cv.errors import OutputError, UsageError
from mrcnn_cv.file_lock import try_lock
from mrcnn_cv.sinks.folder import why_unwritable

NAME = ".mrcnn-cv-run.lock"


@contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Be the only run that keeps books in this folder. UsageError where another one is; OutputError for no folder.

    The operating system holds the lock, so that it is free again however a process ended. Where a file system knows no
    locks, nothing is held.
    """
    path = directory / NAME
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise OutputError(why_unwritable(error, path)) from error
    with file:
        if not _is_free(file):
            raise UsageError(
                f"another run is at work in {directory}: wait until it has ended, or give another output folder (-o)"
            )
        # Closing the file frees the lock.
        yield


def _is_free(file: IO[bytes]) -> bool:
    try:
        return try_lock(file)
    except OSError:
        return True
